/*
 * Preloaded into a server: while there is a file FULL_DISK with the name of a folder in
 * it, writing to files below that folder fails as it does on a full disk.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int file)
{
    const char *name = getenv("FULL_DISK");
    int list = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (list < 0)
        return 0;
    char link[64], path[4096], folder[4096];
    ssize_t below = read(list, folder, sizeof folder);
    close(list);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t len = readlink(link, path, sizeof path);
    if (below <= 0 || len <= below || memcmp(path, folder, below) != 0)
        return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t len)
{
    return is_full(file) ? -1 : syscall(SYS_write, file, bytes, len);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    return is_full(file) ? -1 : syscall(SYS_writev, file, parts, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t len, off64_t at)
{
    return is_full(file) ? -1 : syscall(SYS_pwrite64, file, bytes, len, at);
}
