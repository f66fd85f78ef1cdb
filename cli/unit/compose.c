#include "cli/unit/compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/programs.h"
#include "cli/wording.h"
#include "shim/core/socket/placement.h"
#include "shim/core/wire/epmd.h"

/* "TEXT" + "LINE"; both are freed. */
static char *append(char *text, char *line)
{
    char *longer = dg_word("%s%s", text, line);

    free(text);
    free(line);
    return longer;
}

/* In double quotes, as systemd.syntax(7) and systemd.unit(5) (specifiers) want it. */
static char *quote(const char *value)
{
    char *text = dg_word("%s", "");

    for (; *value != '\0'; value++) {
        const char *before = *value == '%' ? "%" : *value == '"' || *value == '\\' ? "\\" : "";

        text = append(text, dg_word("%s%c", before, *value));
    }
    return text;
}

static char *set_variable(char *body, const char *name, const char *value)
{
    char *quoted = quote(value);

    body = append(body, dg_word("Environment=\"%s=%s\"\n", name, quoted));
    free(quoted);
    return body;
}

char *dg_compose_service(const struct dg_plan *plan, struct dg_error *error)
{
    char *before = dg_plan_preload(plan->unit);
    char *preload = dg_library_add(&plan->library, before, error);
    char *programs = dg_programs_word(&plan->policy->programs, error);
    char *families = dg_plan_families(plan);
    char *body = NULL;

    if (preload != NULL && programs != NULL) {
        body = set_variable(dg_word("[Service]\n"), "LD_PRELOAD", preload);
        body = set_variable(body, "DISTGUARD_CONF", plan->conf);
        if (plan->profile != NULL)
            body = set_variable(body, "DISTGUARD_PROFILE", plan->profile);
        if (programs[0] != '\0')
            body = set_variable(body, "DISTGUARD_PROGRAMS", programs);
        if (families[0] != '\0')
            body = append(body, dg_word("RestrictAddressFamilies=%s\n", families));
    }
    free(families);
    free(programs);
    free(preload);
    free(before);
    return body;
}

/* --- EPMD's socket --- */

/* The port of "4369", "127.0.0.1:4369" or "[::]:4369"; 0 where there is none. */
static unsigned port_of(const char *stream)
{
    const char *colon = strrchr(stream, ':');

    return (unsigned)strtoul(colon != NULL ? colon + 1 : stream, NULL, 10);
}

static unsigned socket_port(const struct dg_plan *plan, const struct dg_unit *socket)
{
    const struct dg_unit_setting *setting;
    unsigned port = 0;
    size_t at = 0;

    while ((setting = dg_unit_next(socket, "Socket", "ListenStream", &at)) != NULL)
        port = port_of(setting->value);
    if (plan->policy->epmd.port != 0)
        return plan->policy->epmd.port;
    return port != 0 ? port : DG_EPMD_PORT;
}

static bool has_ipv6(void)
{
    FILE *file = fopen("/proc/net/if_inet6", "re");

    if (file == NULL)
        return false;
    (void)fclose(file);
    return true;
}

/* The stream of one family: nothing where the policy has no address of it but loopback, which has
 * been said. NULL with `error` where it cannot be placed. */
static char *stream(const struct dg_plan *plan, enum dg_family family, unsigned port,
                    struct dg_error *error)
{
    const struct dg_bind_rule *rule;
    char address[DG_NETWORK_TEXT];
    struct dg_host host;

    switch (dg_place_listener(&plan->policy->epmd.bind, family, &host, &rule, error)) {
    case DG_PLACEMENT_FOUND:
        dg_host_print(&host, address);
        if (dg_bind_rule_is_loopback(rule))
            return dg_word("%s", "");
        return dg_word(family == DG_FAMILY_IPV6 ? "ListenStream=[%s]:%u\n" : "ListenStream=%s:%u\n",
                       address, port);
    case DG_PLACEMENT_ANY:
    case DG_PLACEMENT_OTHER_FAMILY:
        return dg_word("%s", "");
    case DG_PLACEMENT_FAILED:
    default:
        return NULL;
    }
}

static bool binds_any(const struct dg_policy *policy)
{
    for (size_t i = 0; i < policy->epmd.bind.count; i++)
        if (policy->epmd.bind.rules[i].kind == DG_BIND_ANY)
            return true;
    return false;
}

char *dg_compose_socket(const struct dg_plan *plan, const struct dg_unit *socket,
                        struct dg_error *error)
{
    unsigned port = socket_port(plan, socket);
    char *ipv4, *ipv6, *body;

    if (binds_any(plan->policy))
        return dg_word("[Socket]\nListenStream=\nListenStream=%u\n", port);
    ipv4 = stream(plan, DG_FAMILY_IPV4, port, error);
    ipv6 = ipv4 != NULL ? stream(plan, DG_FAMILY_IPV6, port, error) : NULL;
    if (ipv6 == NULL) {
        free(ipv4);
        return NULL;
    }
    /* FreeBind: the address may come later than the socket while the host starts. */
    body = dg_word("[Socket]\nListenStream=\nListenStream=127.0.0.1:%u\n", port);
    if (has_ipv6())
        body = append(body, dg_word("ListenStream=[::1]:%u\n", port));
    body = append(append(body, ipv4), ipv6);
    return append(body, dg_word("FreeBind=yes\n"));
}
