// Preloaded behind the library: at each connection that it accepts a program writes into a file how
// many bytes of what malloc gave are in use. To be had from nowhere outside: what is free again
// stays with the process. The program must have one arena.
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int accept_function(int, struct sockaddr *, socklen_t *, int);

static void tell(const char *folder)
{
    char path[256];
    char text[32];
    int size;
    int fd;

    (void)snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    size = snprintf(text, sizeof text, "%20zu\n", mallinfo2().uordblks);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t)size) != size || close(fd) != 0) {
        abort();
    }
}

__attribute__((visibility("default"))) int accept4(int listener, struct sockaddr *address,
                                                   socklen_t *size, int flags)
{
    accept_function *next = (accept_function *)dlsym(RTLD_NEXT, "accept4");
    const char *folder = getenv("ALLOCATED_FOLDER");

    if (next == NULL || folder == NULL) {
        abort();
    }
    tell(folder);
    return next(listener, address, size, flags);
}
