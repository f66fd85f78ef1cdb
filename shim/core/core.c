#include "shim/core/core.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/report/log.h"
#include "shim/core/report/repeats.h"
#include "shim/core/report/status.h"
#include "shim/core/rules.h"
#include "shim/core/socket/flusher.h"
#include "shim/core/socket/handing.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/in_flight.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/table.h"

struct dg_core dg_core;

static ssize_t transport_receive(int fd, void *bytes, size_t size, bool peek)
{
    return dg_core.real.recv(fd, bytes, size, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
}

static ssize_t transport_send(int fd, const void *bytes, size_t size)
{
    return dg_core.real.send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct dg_hooks all_hooks = {
    .watched = dg_table,
    .watched_size = DG_TABLE_SIZE,
    .socket_opened = dg_hook_socket_opened,
    .bind = dg_hook_bind,
    .listen = dg_hook_listen,
    .connect = dg_hook_connect,
    .accept = dg_hook_accept,
    .receive = dg_hook_receive,
    .send = dg_hook_send,
    .sendfile = dg_hook_sendfile,
    .readable = dg_hook_readable,
    .shutdown = dg_hook_shutdown,
    .set_option = dg_hook_set_option,
    .unsupported = dg_hook_unsupported,
    .close = dg_hook_close,
    .close_range = dg_hook_close_range,
    .replace = dg_hook_replace,
    .duplicated = dg_hook_duplicated,
    .hands_on = dg_hook_hands_on,
    .handed = dg_hook_handed,
    .ends_at_exec = dg_hook_ends_at_exec,
    .unshares = dg_hook_unshares,
};

static enum dg_core_verdict refuse(char reason[DG_REASON_SIZE], const char *text)
{
    (void)snprintf(reason, DG_REASON_SIZE, "%s", text);
    return DG_CORE_REFUSED;
}

static void start_log(const struct dg_log_policy *policy, const char *program)
{
    const struct dg_log_calls calls = {
        .write = dg_core.real.write,
        .close = dg_core.real.close,
        .socket = dg_core.real.socket,
        .connect = dg_core.real.connect,
        .send = dg_core.real.send,
    };

    dg_log_start(policy, program, &calls);
}

static void forked(void)
{
    dg_learned_forked();
    dg_rules_forked();
    dg_in_flight_forked();
    dg_flusher_forked();
    dg_repeats_forked();
    dg_log_forked();
}

/* No handler has run, that of the status page neither. */
static void forked_bare(void)
{
    dg_status_forked();
    forked();
}

static void tls_ended(void)
{
    dg_rules_stop();
    dg_table_disown();
}

/* Everything that can be refused. Returns 0, or -1 with `error`. */
static int start(const char *program, const struct dg_policy *policy, struct dg_error *error)
{
    if (dg_program_read(program, &dg_core.program, error) != 0) {
        return -1;
    }
    if (policy->epmd.port != 0) {
        dg_core.program.epmd_port = policy->epmd.port;
    }
    start_log(&policy->log, program);
    if (dg_check_placement(policy, error) != 0 ||
        (dg_core.program.kind == DG_PROGRAM_EPMD && dg_prepare_epmd(policy, error) != 0)) {
        return -1;
    }
    if (dg_status_start(program) != 0) {
        return dg_fail(error, "fork handlers cannot be registered: out of memory");
    }
    if (dg_tls_start(error) != 0 || dg_rules_start(error) != 0) {
        return -1;
    }
    dg_tls_at_end(tls_ended);
    dg_table_at_bare_fork(forked_bare);
    if (dg_table_start() != 0 || pthread_atfork(NULL, NULL, forked) != 0) {
        return dg_fail(error, "fork handlers cannot be registered: out of memory");
    }
    return dg_adopt_inherited(error);
}

__attribute__((visibility("default"))) enum dg_core_verdict
dg_core_start(const char *abi, const char *program, const struct dg_real *real,
              struct dg_hooks *hooks, char reason[DG_REASON_SIZE])
{
    struct dg_error error = {""};
    const struct dg_rules *rules;
    const struct dg_policy *policy;

    if (strcmp(abi, DG_ABI) != 0) {
        return refuse(reason, "libdistguard.so and libdistguard-core.so are of different versions; "
                              "install both from one build");
    }
    if (dg_rules_read(&error) != 0) {
        return refuse(reason, error.text);
    }
    rules = dg_rules_hold();
    policy = rules->policy;
    if (policy->mode == DG_MODE_OFF || !dg_policy_guards(policy, program)) {
        dg_rules_release(rules);
        dg_rules_drop();
        return DG_CORE_NOT_GUARDED;
    }
    dg_core.real = *real;
    dg_core.transport = (struct dg_transport){
        .receive = transport_receive, .send = transport_send, .shutdown = real->shutdown};
    if (start(program, policy, &error) != 0) {
        dg_rules_release(rules);
        return refuse(reason, error.text);
    }
    *hooks = all_hooks;
    hooks->select = dg_core.program.kind == DG_PROGRAM_EPMD ? dg_hook_select : NULL;
    hooks->polls = dg_core.program.kind == DG_PROGRAM_VM ? dg_hook_polls : NULL;
    hooks->ends = dg_core.program.kind == DG_PROGRAM_VM ? dg_hook_ends : NULL;
    dg_log(DG_LOG_INFO, "started", "version", DG_VERSION, "profile", policy->profile, "mode",
           dg_mode_name(policy->mode), "policy", policy->file, "certificate",
           policy->tls.certificate, NULL);
    dg_rules_release(rules);
    return DG_CORE_GUARDING;
}
