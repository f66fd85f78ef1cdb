#include "shim/core/rules.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/changes.h"
#include "shim/core/expiry.h"
#include "shim/core/files.h"
#include "shim/core/report/log.h"
#include "shim/core/report/status.h"
#include "shim/core/socket/isolation.h"

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dg_rules *current; /* under current_lock */

/* Held by who looks at the files; nobody waits for it. */
static pthread_mutex_t renewing = PTHREAD_MUTEX_INITIALIZER;
static atomic_long looked;             /* CLOCK_MONOTONIC, seconds */
static struct dg_files_stamp stamp;    /* under `renewing`: the files as they were last read */
static struct dg_files_stamp reported; /* under `renewing`: as they were when they failed last */
/* Under `renewing`: when files that could not be used are read again though they are as they were,
 * as what was missing may have been a descriptor or memory; 0: never. CLOCK_MONOTONIC, seconds */
static long retry;

/* Of the start, and kept: what needs a restart is what differs from it. */
static struct dg_policy *started;

/* --- holding --- */

const struct dg_rules *dg_rules_hold(void)
{
    struct dg_rules *rules;

    pthread_mutex_lock(&current_lock);
    rules = current;
    if (rules != NULL) {
        atomic_fetch_add(&rules->holders, 1);
    }
    pthread_mutex_unlock(&current_lock);
    return rules;
}

void dg_rules_release(const struct dg_rules *rules)
{
    struct dg_rules *ours = (struct dg_rules *)rules;

    if (ours != NULL && atomic_fetch_sub(&ours->holders, 1) == 1) {
        dg_credentials_free(ours->credentials);
        if (ours->policy != started) {
            dg_policy_free((struct dg_policy *)ours->policy);
        }
        free(ours);
    }
}

void dg_rules_refresh(const struct dg_rules **rules)
{
    const struct dg_rules *old = *rules;

    *rules = dg_rules_hold();
    dg_rules_release(old);
}

void dg_rules_drop(void)
{
    struct dg_rules *old;

    pthread_mutex_lock(&current_lock);
    old = current;
    current = NULL;
    pthread_mutex_unlock(&current_lock);
    dg_rules_release(old);
    dg_policy_free(started);
    started = NULL;
}

void dg_rules_forked(void)
{
    pthread_mutex_init(&current_lock, NULL);
    pthread_mutex_init(&renewing, NULL);
}

/* --- reading --- */

/* As the environment said it at the start; "" where it left that to the file. */
static char chosen_profile[256];

static struct dg_rules *make(struct dg_policy *policy)
{
    struct dg_rules *rules = calloc(1, sizeof *rules);

    if (rules == NULL) {
        dg_policy_free(policy);
        return NULL;
    }
    rules->policy = policy;
    atomic_init(&rules->holders, 1);
    return rules;
}

static void publish(struct dg_rules *rules)
{
    struct dg_rules *old;

    pthread_mutex_lock(&current_lock);
    old = current;
    rules->generation = old != NULL ? old->generation + 1 : 1;
    current = rules;
    pthread_mutex_unlock(&current_lock);
    dg_rules_release(old);
}

/* When the first of our own chain ends; 0 where there is none. */
static time_t first_end(const struct dg_credentials *credentials)
{
    size_t count = 0;
    const struct dg_expiry *expiries =
        credentials != NULL ? dg_credentials_expiries(credentials, &count) : NULL;
    time_t first = 0;

    for (size_t i = 0; i < count; i++) {
        if (expiries[i].kind == DG_EXPIRY_CERTIFICATE && (first == 0 || expiries[i].ends < first)) {
            first = expiries[i].ends;
        }
    }
    return first;
}

/* To the status page and, of what ends soon, to the log. */
static void show(const struct dg_rules *rules)
{
    dg_status_policy(rules->policy, rules->generation, first_end(rules->credentials));
    dg_expiry_begin(rules->credentials, time(NULL));
}

/* Notes how the files are that have just been read, having been as in `before` when that began.
 * Where that may not be what was read, they are to be read again at the next look. */
static void note_read(const struct dg_files_stamp *before, const struct dg_policy *policy)
{
    stamp = dg_files_look(policy);
    if (!dg_files_same(&stamp, before) || dg_files_changed_since(&stamp, &before->looked)) {
        stamp.identity = DG_FILES_UNKNOWN;
    }
}

int dg_rules_read(struct dg_error *error)
{
    const char *profile = secure_getenv("DISTGUARD_PROFILE");
    struct dg_policy *policy;
    struct dg_rules *rules;

    clock_gettime(CLOCK_REALTIME, &stamp.looked);
    if (dg_policy_load(NULL, NULL, &policy, error) != 0) {
        return -1;
    }
    rules = make(policy);
    if (rules == NULL) {
        return dg_fail(error, "out of memory");
    }
    stamp.identity = dg_files_look(policy).identity;
    started = policy;
    (void)snprintf(chosen_profile, sizeof chosen_profile, "%s", profile != NULL ? profile : "");
    publish(rules);
    return 0;
}

int dg_rules_start(struct dg_error *error)
{
    struct dg_files_stamp before = stamp;

    if (dg_credentials_load(current->policy, &current->credentials, error) != 0) {
        return -1;
    }
    note_read(&before, current->policy);
    show(current);
    return 0;
}

/* --- renewing --- */

/* The rules as the files have them now, built aside; *named: the files that they name, as they were
 * before the credentials were read. NULL with the reason in `error`. */
static struct dg_rules *build(struct dg_files_stamp *named, struct dg_error *error)
{
    const char *profile = chosen_profile[0] != '\0' ? chosen_profile : NULL;
    struct dg_policy *policy;
    struct dg_rules *rules;

    if (dg_policy_load(started->file, profile, &policy, error) != 0) {
        return NULL;
    }
    rules = make(policy);
    if (rules == NULL) {
        (void)dg_fail(error, "out of memory");
        return NULL;
    }
    *named = dg_files_look(policy);
    if (policy->mode != DG_MODE_OFF &&
        (dg_check_placement(policy, error) != 0 ||
         dg_credentials_load(policy, &rules->credentials, error) != 0)) {
        dg_rules_release(rules);
        return NULL;
    }
    return rules;
}

static void tell_restart(const struct dg_policy *policy)
{
    static char told[DG_CHANGES_SIZE]; /* under `renewing` */
    char later[DG_CHANGES_SIZE];

    dg_policy_changes_for_later(started, policy, later);
    if (later[0] != '\0' && strcmp(later, told) != 0) {
        dg_log(DG_LOG_WARNING, "needs_restart", "policy", policy->file, "keys", later, "reason",
               "what these say now counts when the program starts anew", NULL);
    }
    memcpy(told, later, sizeof told);
}

static void tell(const struct dg_rules *rules)
{
    const struct dg_policy *policy = rules->policy;
    char generation[16];

    (void)snprintf(generation, sizeof generation, "%u", rules->generation);
    dg_log(DG_LOG_INFO, "reloaded", "generation", generation, "profile", policy->profile, "mode",
           dg_mode_name(policy->mode), "policy", policy->file, "certificate",
           policy->tls.certificate, NULL);
    tell_restart(policy);
}

/* Once, however often the same files are read. */
static void tell_failure(const struct dg_files_stamp *seen, const struct dg_policy *kept,
                         const struct dg_error *error)
{
    if (!dg_files_same(seen, &reported)) {
        reported = *seen;
        dg_log(DG_LOG_ERROR, "reload_failed", "reason", error->text, "policy", kept->file, "kept",
               "what counted before", NULL);
        dg_status_reload_failed();
    }
}

enum { RETRY = 10 };

static long seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (long)now.tv_sec;
}

/* Several files are replaced one after the other: who comes in between finds a key that does not
 * belong to its certificate, and tries again before complaining. */
static void reload(const struct dg_rules *before)
{
    enum { TRIES = 3 };
    struct dg_error error = {""};
    struct dg_files_stamp seen = {.identity = DG_FILES_UNKNOWN};
    struct dg_files_stamp now = dg_files_look(before->policy);
    struct dg_files_stamp named;
    struct dg_rules *rules = NULL;

    for (int i = 0; rules == NULL && i < TRIES && !dg_files_same(&now, &seen); i++) {
        seen = now;
        rules = build(&named, &error);
        now = dg_files_look(before->policy);
    }
    if (rules == NULL) {
        tell_failure(&seen, before->policy, &error);
        note_read(&seen, before->policy);
        retry = seconds() + RETRY;
        return;
    }
    retry = 0;
    named.looked = seen.looked;
    note_read(&named, rules->policy);
    if (!dg_files_same(&now, &seen)) {
        stamp.identity = DG_FILES_UNKNOWN;
    }
    reported.identity = DG_FILES_UNKNOWN;
    publish(rules);
    tell(rules);
    show(rules);
}

static void look(void)
{
    const struct dg_rules *rules = dg_rules_hold();
    struct dg_files_stamp seen;

    if (rules == NULL) {
        return;
    }
    seen = dg_files_look(rules->policy);
    if (dg_files_same(&seen, &stamp) && (retry == 0 || seconds() < retry)) {
        dg_expiry_again(rules->credentials, time(NULL));
    } else {
        reload(rules);
    }
    dg_rules_release(rules);
}

void dg_rules_renew(void)
{
    long now = seconds();
    int saved = errno;

    if (atomic_load(&looked) == now || pthread_mutex_trylock(&renewing) != 0) {
        return;
    }
    /* Another thread may have looked between these two. */
    if (atomic_exchange(&looked, now) != now) {
        look();
    }
    pthread_mutex_unlock(&renewing);
    errno = saved;
}

void dg_rules_stop(void)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec++;
    (void)pthread_mutex_timedlock(&renewing, &limit); /* for good */
}
