#include "shim/core/tls/bio.h"

#include <openssl/bio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct view {
    struct dg_buffer *in;
    size_t *whole;
    struct dg_buffer *out;
};

/* Shown a part of a record, OpenSSL would keep it to itself; our count of what is in the kernel
 * would be wrong. */
static int view_read(BIO *bio, char *bytes, size_t size, size_t *count)
{
    struct view *view = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (*view->whole == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *count = size < *view->whole ? size : *view->whole;
    memcpy(bytes, view->in->bytes + view->in->start, *count);
    dg_buffer_take(view->in, *count);
    *view->whole -= *count;
    return 1;
}

static int view_write(BIO *bio, const char *bytes, size_t size, size_t *count)
{
    struct view *view = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (!dg_buffer_append(view->out, bytes, size)) {
        return 0;
    }
    *count = size;
    return 1;
}

static long view_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int view_destroy(BIO *bio)
{
    free(BIO_get_data(bio));
    return 1;
}

static BIO_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "distguard");

    if (made != NULL && BIO_meth_set_read_ex(made, view_read) == 1 &&
        BIO_meth_set_write_ex(made, view_write) == 1 &&
        BIO_meth_set_ctrl(made, view_control) == 1 &&
        BIO_meth_set_destroy(made, view_destroy) == 1) {
        method = made;
    }
}

int dg_bio_attach(SSL *ssl, struct dg_buffer *in, size_t *whole, struct dg_buffer *out)
{
    struct view *view = malloc(sizeof *view);
    BIO *bio;

    pthread_once(&once, make_method);
    if (view == NULL || method == NULL || (bio = BIO_new(method)) == NULL) {
        free(view);
        return -1;
    }
    *view = (struct view){.in = in, .whole = whole, .out = out};
    BIO_set_data(bio, view);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return 0;
}
