/*
 * What OpenSSL keeps for each thread, and its end.
 *
 * OpenSSL lets go of it by a key's destructor (pthread_key_create) as the thread ends, and
 * OPENSSL_cleanup() does so for all threads at once, without a lock: a thread that ends meanwhile
 * has the same memory freed twice. So every thread into which we brought OpenSSL lets go of it a
 * little earlier, as C++ destroys its thread_local objects: before any key's destructor, and never
 * while OpenSSL is being torn down.
 */
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/elapsed.h"
#include "shim/core/tls/internal.h"

/* glibc's, as its C++ ABI has them; they are in no header. */
extern int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *library);
extern void *__dso_handle __attribute__((visibility("hidden")));

static __thread bool is_known __attribute__((tls_model("initial-exec")));

/* Held by a thread that lets go; and for good once OpenSSL is torn down. */
static pthread_mutex_t letting_go = PTHREAD_MUTEX_INITIALIZER;
static pid_t process; /* in a child of fork anybody may have held it, and OpenSSL's own locks */

static struct timespec last; /* until when threads wait for the end of the process */
static atomic_bool is_last;

static bool hold(const struct timespec *limit)
{
    return getpid() == process && pthread_mutex_timedlock(&letting_go, limit) == 0;
}

static void let_go(void *unused)
{
    struct timespec limit = atomic_load(&is_last) ? last : dg_in_a_second();

    (void)unused;
    if (hold(&limit)) {
        OPENSSL_thread_stop();
        pthread_mutex_unlock(&letting_go);
    }
}

void dg_tls_start_threads(void)
{
    process = getpid();
}

void dg_tls_know_thread(void)
{
    if (!is_known) {
        is_known = true;
        /* Where memory is out, OpenSSL's own way must do. */
        (void)__cxa_thread_atexit_impl(let_go, NULL, &__dso_handle);
    }
}

void dg_tls_stop_threads(void)
{
    last = dg_in_a_second();
    atomic_store(&is_last, true);
    (void)hold(&last); /* for good */
}
