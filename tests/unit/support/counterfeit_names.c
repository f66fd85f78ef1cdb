#include "tests/unit/support/counterfeit_names.h"

#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 512 };

size_t counterfeit_bytes(const char *text, size_t size, char *name, size_t most)
{
    size_t used = 0;

    for (size_t i = 0; i < size && used < most; i++) {
        if (text[i] == '\\' && i + 3 < size && text[i + 1] == 'x') {
            const char digits[] = {text[i + 2], text[i + 3], '\0'};

            name[used++] = (char)strtoul(digits, NULL, 16);
            i += 3;
        } else {
            name[used++] = text[i];
        }
    }
    return used;
}

static bool push(GENERAL_NAMES *names, GENERAL_NAME *name)
{
    return name != NULL && sk_GENERAL_NAME_push(names, name) > 0;
}

/* DNS, URI and EMAIL names are all of the same ASN.1 type. */
static bool push_text(GENERAL_NAMES *names, int type, const char *bytes, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *string = ASN1_IA5STRING_new();

    ASN1_STRING_set(string, bytes, (int)size);
    GENERAL_NAME_set0_value(name, type, string);
    return push(names, name);
}

static bool push_address(GENERAL_NAMES *names, ASN1_OCTET_STRING *address)
{
    GENERAL_NAME *name = GENERAL_NAME_new();

    GENERAL_NAME_set0_value(name, GEN_IPADD, address);
    return address != NULL && push(names, name);
}

static bool push_hex(GENERAL_NAMES *names, const char *hex)
{
    ASN1_OCTET_STRING *address = ASN1_OCTET_STRING_new();
    long size;
    unsigned char *bytes = OPENSSL_hexstr2buf(hex, &size);

    ASN1_STRING_set0(address, bytes, (int)size);
    return push_address(names, address);
}

static bool push_many(GENERAL_NAMES *names, unsigned long count)
{
    char name[NAME_SIZE];

    for (unsigned long i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "n%lu.example.org", i);
        if (!push_text(names, GEN_DNS, name, strlen(name))) {
            return false;
        }
    }
    return true;
}

static bool push_long(GENERAL_NAMES *names, size_t size)
{
    char name[NAME_SIZE];

    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 50) {
        name[i] = '.';
    }
    return size <= sizeof name && push_text(names, GEN_DNS, name, size);
}

/* One "TYPE:VALUE". */
static bool push_one(GENERAL_NAMES *names, const char *text, size_t size)
{
    char name[NAME_SIZE + 1];
    size_t type = strcspn(text, ":");
    size_t used =
        type < size ? counterfeit_bytes(text + type + 1, size - type - 1, name, NAME_SIZE) : 0;

    name[used] = '\0';
    if (strncmp(text, "DNS:", 4) == 0) {
        return push_text(names, GEN_DNS, name, used);
    }
    if (strncmp(text, "URI:", 4) == 0) {
        return push_text(names, GEN_URI, name, used);
    }
    if (strncmp(text, "EMAIL:", 6) == 0) {
        return push_text(names, GEN_EMAIL, name, used);
    }
    if (strncmp(text, "IP:", 3) == 0) {
        return push_address(names, a2i_IPADDRESS(name));
    }
    if (strncmp(text, "HEX:", 4) == 0) {
        return push_hex(names, name);
    }
    if (strncmp(text, "MANY:", 5) == 0) {
        return push_many(names, strtoul(name, NULL, 10));
    }
    return strncmp(text, "LONG:", 5) == 0 && push_long(names, strtoul(name, NULL, 10));
}

static X509_EXTENSION *names_of_text(const char *text, bool critical)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    X509_EXTENSION *extension = NULL;
    bool good = true;

    while (good && *text != '\0' && strcmp(text, "empty") != 0) {
        size_t size = strcspn(text, ",");

        good = push_one(names, text, size);
        text += size + (text[size] == ',' ? 1 : 0);
    }
    if (good) {
        extension = X509V3_EXT_i2d(NID_subject_alt_name, critical, names);
    }
    GENERAL_NAMES_free(names);
    return extension;
}

X509_EXTENSION *counterfeit_names(const char *text)
{
    static const char critical[] = "critical,";
    bool is_critical = strncmp(text, critical, strlen(critical)) == 0;

    if (strncmp(text, "DER:", 4) == 0) {
        return X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, text);
    }
    return names_of_text(is_critical ? text + strlen(critical) : text, is_critical);
}
