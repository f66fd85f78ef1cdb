#include "shim/core/rules.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/changes.h"
#include "shim/core/files.h"
#include "shim/core/report/log.h"
#include "shim/core/report/status.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/tls/describe.h"

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dg_rules *current; /* under current_lock */

/* Held by who looks at the files; nobody waits for it. */
static pthread_mutex_t renewing = PTHREAD_MUTEX_INITIALIZER;
static atomic_long looked;          /* CLOCK_MONOTONIC, seconds */
static struct dg_files_stamp stamp; /* under `renewing`: the files as they were last read */

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
        dg_policy_free((struct dg_policy *)ours->policy);
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
}

void dg_rules_forked(void)
{
    pthread_mutex_init(&current_lock, NULL);
    pthread_mutex_init(&renewing, NULL);
}

/* --- making --- */

/* The profile that the environment chose at the start; "" where it left that to the file. */
static char chosen_profile[256];
static char chosen_file[4096];

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

static void show(const struct dg_rules *rules)
{
    struct dg_certificate_description description = {.expires = 0};
    struct dg_error unused;

    if (rules->credentials != NULL) {
        (void)dg_certificate_describe(rules->policy->tls.certificate, &description, &unused);
    }
    dg_status_policy(rules->policy, rules->generation, description.expires);
}

int dg_rules_read(struct dg_error *error)
{
    const char *profile = secure_getenv("DISTGUARD_PROFILE");
    struct dg_policy *policy;
    struct dg_rules *rules;

    if (dg_policy_load(NULL, NULL, &policy, error) != 0) {
        return -1;
    }
    rules = make(policy);
    if (rules == NULL) {
        return dg_fail(error, "out of memory");
    }
    (void)snprintf(chosen_file, sizeof chosen_file, "%s", policy->file);
    (void)snprintf(chosen_profile, sizeof chosen_profile, "%s", profile != NULL ? profile : "");
    publish(rules);
    return 0;
}

int dg_rules_start(struct dg_error *error)
{
    stamp = dg_files_look(current->policy);
    if (dg_credentials_load(current->policy, &current->credentials, error) != 0) {
        return -1;
    }
    show(current);
    return 0;
}

/* --- renewing --- */

/* The rules as the files have them now, built aside. NULL with the reason in `error`. */
static struct dg_rules *build(struct dg_error *error)
{
    struct dg_policy *policy;
    struct dg_rules *rules;

    if (dg_policy_load(chosen_file, chosen_profile[0] != '\0' ? chosen_profile : NULL, &policy,
                       error) != 0) {
        return NULL;
    }
    rules = make(policy);
    if (rules == NULL) {
        (void)dg_fail(error, "out of memory");
        return NULL;
    }
    if (policy->mode != DG_MODE_OFF &&
        (dg_check_placement(policy, error) != 0 ||
         dg_credentials_load(policy, &rules->credentials, error) != 0)) {
        dg_rules_release(rules);
        return NULL;
    }
    return rules;
}

static void tell(const struct dg_rules *rules, const struct dg_policy *before)
{
    const struct dg_policy *policy = rules->policy;
    char generation[16];
    char later[DG_CHANGES_SIZE];

    (void)snprintf(generation, sizeof generation, "%u", rules->generation);
    dg_policy_changes_for_later(before, policy, later);
    dg_log(DG_LOG_INFO, "reloaded", "generation", generation, "profile", policy->profile, "mode",
           dg_mode_name(policy->mode), "policy", policy->file, "certificate",
           policy->tls.certificate, NULL);
    if (later[0] != '\0') {
        dg_log(DG_LOG_WARNING, "needs_restart", "policy", policy->file, "keys", later, "reason",
               "what these say now counts when the program starts anew", NULL);
    }
}

static void reload(const struct dg_rules *before)
{
    struct dg_error error = {""};
    struct dg_files_stamp seen = dg_files_look(before->policy);
    struct dg_rules *rules = build(&error);

    if (rules == NULL) {
        dg_log(DG_LOG_ERROR, "reload_failed", "reason", error.text, "policy", before->policy->file,
               "kept", "what counted before", NULL);
        dg_status_reload_failed();
        stamp = seen;
        return;
    }
    stamp = dg_files_look(rules->policy);
    if (dg_files_changed_since(&stamp, &seen.looked)) {
        stamp.identity = 0; /* perhaps while it was read: to be read again */
    }
    publish(rules);
    show(rules);
    tell(rules, before->policy);
}

static long seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (long)now.tv_sec;
}

void dg_rules_renew(void)
{
    long now = seconds();
    int saved = errno;
    const struct dg_rules *rules;
    struct dg_files_stamp seen;

    if (atomic_load(&looked) == now || pthread_mutex_trylock(&renewing) != 0) {
        return;
    }
    atomic_store(&looked, now);
    rules = dg_rules_hold();
    if (rules != NULL) {
        seen = dg_files_look(rules->policy);
        if (!dg_files_same(&seen, &stamp)) {
            reload(rules);
        }
        dg_rules_release(rules);
    }
    pthread_mutex_unlock(&renewing);
    errno = saved;
}
