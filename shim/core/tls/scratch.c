#include "shim/core/tls/scratch.h"

#include <pthread.h>
#include <stdlib.h>

#include "shim/core/tls/internal.h"

/* Found without a call: a few bytes of what the loader keeps for libraries that come late. */
static __thread struct dg_scratch *scratch __attribute__((tls_model("initial-exec")));
static pthread_key_t at_thread_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_error;

/* A destructor of somebody else's that runs after this one may still receive or send: it gets new
 * memory, and this one is called again. */
static void free_scratch(void *memory)
{
    scratch = NULL;
    free(memory);
}

static void make_key(void)
{
    key_error = pthread_key_create(&at_thread_exit, free_scratch);
}

bool dg_scratch_is_made(void)
{
    return scratch != NULL;
}

struct dg_scratch *dg_scratch(void)
{
    if (scratch != NULL) {
        return scratch;
    }
    dg_tls_know_thread(); /* what it gets scratch memory for uses OpenSSL */
    pthread_once(&once, make_key);
    if (key_error != 0) {
        return NULL;
    }
    scratch = malloc(sizeof *scratch);
    if (scratch != NULL && pthread_setspecific(at_thread_exit, scratch) != 0) {
        free(scratch);
        scratch = NULL;
    }
    return scratch;
}
