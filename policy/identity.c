#include "policy/identity.h"

#include <stdlib.h>

#include "policy/lists.h"

void dg_identity_clear(struct dg_identity *identity)
{
    dg_string_list_free(&identity->dns);
    dg_string_list_free(&identity->uris);
    free(identity->addresses);
    *identity = (struct dg_identity){.address_count = 0};
}
