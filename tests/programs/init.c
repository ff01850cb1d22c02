/* SPDX-License-Identifier: MIT */
/* The first program of a Linux guest: processes, memory, a file of the kernel's; then it restarts the machine. With a
 * name, it writes itself into an initial file system (cpio, "newc") of that name instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void pad(FILE *f, size_t n)
{
    for (; n % 4; n++)
        fputc(0, f);
}

static void entry(FILE *f, const char *name, unsigned mode, const void *bytes, size_t n, unsigned major, unsigned minor)
{
    static unsigned inode;
    fprintf(f, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X%s", ++inode, mode, 0, 0, 1, 0, n, 0, 0,
            major, minor, strlen(name) + 1, 0, name);
    fputc(0, f);
    pad(f, 110 + strlen(name) + 1);
    if (n)
        fwrite(bytes, 1, n, f);
    pad(f, n);
}

static int make(const char *path)
{
    FILE *self = fopen("/proc/self/exe", "rb"), *f = fopen(path, "wb");
    char *bytes = malloc(64 << 20);
    if (!self || !f || !bytes)
        return 1;
    size_t n = fread(bytes, 1, 64 << 20, self);
    entry(f, "dev", 040755, NULL, 0, 0, 0);
    entry(f, "dev/console", 020600, NULL, 0, 5, 1);
    entry(f, "proc", 040755, NULL, 0, 0, 0);
    entry(f, "init", 0100755, bytes, n, 0, 0);
    entry(f, "TRAILER!!!", 0, NULL, 0, 0, 0);
    return fclose(f) != 0;
}

static void processes(void)
{
    unsigned sum = 0;
    for (int i = 0; i < 50; i++) {
        int status, pid = fork();
        if (pid == 0)
            exit(i);
        waitpid(pid, &status, 0);
        sum += (unsigned)WEXITSTATUS(status);
    }
    printf("init: 50 children, sum %u\n", sum);
}

int main(int argc, char **argv)
{
    struct utsname u;
    char line[128], *p;
    if (argc == 2 && getpid() != 1)
        return make(argv[1]);
    uname(&u);
    printf("init: %s %s\n", u.sysname, u.machine);
    processes();
    p = malloc(64 << 20);
    for (long i = 0; p && i < 64 << 20; i += 4096)
        p[i] = (char)(i >> 12);
    printf("init: 64 MiB written, %d\n", p ? p[(64 << 20) - 4096] : -1);
    mount("proc", "/proc", "proc", 0, 0);
    FILE *f = fopen("/proc/filesystems", "r");
    if (f && fgets(line, sizeof line, f))
        printf("init: %s", line);
    fflush(stdout);
    reboot(RB_AUTOBOOT);
    return 1;
}
