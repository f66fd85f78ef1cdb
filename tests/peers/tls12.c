// Preloaded besides the library: whatever it asks of OpenSSL, TLS 1.2 is the most. Two guarded
// nodes would speak TLS 1.3 with each other, whatever their policies allow.
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdlib.h>

typedef long ctrl_function(SSL_CTX *, int, long, void *);

__attribute__((visibility("default"))) long SSL_CTX_ctrl(SSL_CTX *context, int command, long number,
                                                         void *pointer)
{
    // libssl is in the scope of whoever loaded it, so that RTLD_NEXT would not find it.
    void *libssl = dlopen("libssl.so.3", RTLD_LAZY | RTLD_NOLOAD);
    ctrl_function *next = libssl ? (ctrl_function *)dlsym(libssl, "SSL_CTX_ctrl") : NULL;
    if (!next)
        abort();
    (void)dlclose(libssl);
    if (command == SSL_CTRL_SET_MAX_PROTO_VERSION)
        number = TLS1_2_VERSION;
    return next(context, command, number, pointer);
}
