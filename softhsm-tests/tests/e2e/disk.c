/* A disk that fails on command: loaded before libc (ld.so(8), LD_PRELOAD). The file named by DISK_FAULT says which call fails on the
   journal's files: "sync" (EIO), "write" (ENOSPC), "open" (EROFS, for writing). Empty or missing: none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int wanted(const char *fault) {
    char text[16] = "";
    const char *order = getenv("DISK_FAULT");
    FILE *file = order ? fopen(order, "re") : NULL;
    if (!file) return 0;
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
    return strcmp(text, fault) == 0;
}

static int is_journal(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "journal.sqlite") != NULL;
}

static int fails(int fd, const char *fault, int error) {
    if (!is_journal(fd) || !wanted(fault)) return 0;
    errno = error;
    return 1;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int fsync(int fd) { REAL(int, "fsync", int); return fails(fd, "sync", EIO) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); return fails(fd, "sync", EIO) ? -1 : real(fd); }

ssize_t pwrite(int fd, const void *octets, size_t length, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return fails(fd, "write", ENOSPC) ? -1 : real(fd, octets, length, at);
}
ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails(fd, "write", ENOSPC) ? -1 : real(fd, octets, length, at);
}

static int refuses(const char *path, int flags) {
    if (!(flags & (O_WRONLY | O_RDWR)) || !strstr(path, "journal.sqlite") || !wanted("open")) return 0;
    errno = EROFS;
    return 1;
}
int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, ...);
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest);
    return refuses(path, flags) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest);
    return refuses(path, flags) ? -1 : real(path, flags, mode);
}
