/* Whether this program is guarded; and if so, the core loaded, or the program not started. */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <syslog.h>
#include <unistd.h>

#include "shim/preload/preload.h"

struct dg_hooks dg_hooks;

/* The three of every installation. Others, C nodes mostly, must be named in DISTGUARD_PROGRAMS: in
 * a program that is not guarded nothing may be opened, so the policy cannot be asked. */
static bool is_candidate(const char *program)
{
    const char *others = getenv("DISTGUARD_PROGRAMS");
    size_t size = strlen(program);

    if (strcmp(program, "epmd") == 0 || strcmp(program, "erl_call") == 0 ||
        strcmp(program, "beam") == 0 || strncmp(program, "beam.", 5) == 0) {
        return true;
    }
    while (others != NULL && *others != '\0') {
        size_t part = strcspn(others, ":");

        if (part == size && memcmp(others, program, size) == 0) {
            return true;
        }
        others += part + (others[part] == ':' ? 1 : 0);
    }
    return false;
}

static bool is_off(void)
{
    const char *word = getenv("DISTGUARD");

    return word != NULL && strcmp(word, "off") == 0;
}

/* Base name of the running program: of its file, or, where /proc cannot be asked, as it was called.
 */
static const char *program_name(char path[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
    const char *name = path;
    unsigned long called;
    const char *slash;

    if (size >= 0) {
        path[size] = '\0';
    } else {
        called = getauxval(AT_EXECFN);
        memcpy(&name, &called, sizeof name);
        name = name != NULL ? name : "";
    }
    slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

static void say(const char *text)
{
    if (dg_real()->write(STDERR_FILENO, text, strlen(text)) < 0) {
        return; /* there is nobody to tell but syslog */
    }
}

_Noreturn void dg_refuse_start(const char *program, const char *reason)
{
    say("distguard: ");
    say(program);
    say(" is not started: ");
    say(reason);
    say("\ndistguard: mend it, or set DISTGUARD=off in its environment to run it unguarded\n");
    openlog("distguard", LOG_PID, LOG_DAEMON);
    syslog(LOG_ERR, "event=start_refused program=%s reason=\"%s\"", program, reason);
    _exit(DG_EXIT_REFUSED);
}

/* The core lies beside this library, wherever that was loaded from. */
static void *load_core(const char *program)
{
    static const char name[] = "/libdistguard-core.so";
    char here[PATH_MAX];
    char path[PATH_MAX + sizeof name];
    Dl_info info;
    void *core;

    if (dladdr((void *)load_core, &info) == 0 || info.dli_fname == NULL ||
        realpath(info.dli_fname, here) == NULL) {
        dg_refuse_start(program, "the library cannot tell where it was loaded from");
    }
    (void)snprintf(path, sizeof path, "%s%s", dirname(here), name);
    core = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (core == NULL) {
        const char *reason = dlerror();

        dg_refuse_start(program, reason != NULL ? reason : "libdistguard-core.so cannot be loaded");
    }
    return core;
}

static struct dg_real real_for_core(void)
{
    return (struct dg_real){
        .socket = dg_real()->socket,
        .bind = dg_real()->bind,
        .listen = dg_real()->listen,
        .connect = dg_real()->connect,
        .accept4 = dg_real()->accept4,
        .recvmsg = dg_real()->recvmsg,
        .sendmsg = dg_real()->sendmsg,
        .recv = dg_real()->recv,
        .send = dg_real()->send,
        .write = dg_real()->write,
        .shutdown = dg_real()->shutdown,
        .setsockopt = dg_real()->setsockopt,
        .close = dg_real()->close,
        .dup3 = dg_real()->dup3,
    };
}

static void start_guarding(const char *program)
{
    void *core = load_core(program);
    void *symbol = dlsym(core, DG_CORE_START_SYMBOL);
    struct dg_real real = real_for_core();
    dg_core_start_function *core_start;
    char reason[DG_REASON_SIZE] = "";

    if (symbol == NULL) {
        dg_refuse_start(program, "libdistguard-core.so is not of this version");
    }
    memcpy(&core_start, &symbol, sizeof symbol);
    switch (core_start(DG_ABI, program, &real, &dg_hooks, reason)) {
    case DG_CORE_GUARDING:
        atomic_store_explicit(&dg_stage, DG_STAGE_GUARDING, memory_order_release);
        break;
    case DG_CORE_NOT_GUARDED:
        break;
    case DG_CORE_REFUSED:
    default:
        dg_refuse_start(program, reason);
    }
}

__attribute__((constructor)) static void start(void)
{
    char path[PATH_MAX];
    const char *program = program_name(path);

    if (atomic_load(&dg_stage) == DG_STAGE_UNRESOLVED) {
        dg_resolve();
    }
    if (!is_off() && is_candidate(program)) {
        start_guarding(program);
    }
}
