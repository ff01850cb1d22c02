/* SPDX-License-Identifier: MIT */
/* execve: the words of the new program, the file that is its image, and the old program's end. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_WORDS      4096u
#define MAX_WORD_BYTES (128 * KIB)

/* A vector of strings from the guest; free() each and it. NULL with *error. */
static char **words_in(struct thread *t, uint64_t gva, uint32_t *n, int64_t *error)
{
    char **word = xcalloc(MAX_WORDS + 1, sizeof *word), *buf = xmalloc(MAX_WORD_BYTES);
    *n = 0;
    *error = 0;
    for (uint64_t p = 0; gva && !*error; gva += 8) {
        if (exec_copy_in(t, gva, &p, sizeof p))
            *error = -EFAULT;
        if (*error || !p)
            break;
        int64_t len = *n == MAX_WORDS ? -2 : exec_str_in(t, p, buf, MAX_WORD_BYTES);
        if (len < 0)
            *error = len == -1 ? -EFAULT : -E2BIG;
        else
            word[(*n)++] = xstrdup(buf);
    }
    free(buf);
    return word;
}

static void free_words(char **word)
{
    for (uint32_t i = 0; word && word[i]; i++)
        free(word[i]);
    free(word);
}

static void put_first(char ***words, uint32_t *n, const char *word)
{
    *words = xrealloc(*words, (*n + 2ul) * sizeof **words);
    memmove(*words + 1, *words, (*n + 1ul) * sizeof **words);
    **words = xstrdup(word);
    ++*n;
}

static int64_t read_program(struct thread *t, const char *path, uint8_t **bytes, uint64_t *n)
{
    struct stat st;
    int fd = path_open(t, AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    int64_t bad = fstat(fd, &st) ? -errno : !S_ISREG(st.st_mode) || !(st.st_mode & 0111) ? -EACCES : 0;
    if (!bad) {
        *bytes = xmalloc((size_t)st.st_size + 1);
        ssize_t got = read(fd, *bytes, (size_t)st.st_size);
        *n = got > 0 ? (uint64_t)got : 0;
        (*bytes)[*n] = 0;
    }
    close(fd);
    return bad;
}

/* The image that path names. A script names its interpreter, whose words come before the script's. */
static int64_t find_image(struct thread *t, char path[4096], char ***argv, uint32_t *argc, struct elf **image)
{
    struct diag quiet = {0};
    for (uint32_t depth = 0; depth < 5; depth++) {
        uint8_t *bytes = NULL;
        uint64_t n = 0;
        if (strcmp(path, "/proc/self/exe") == 0 || strcmp(path, os_of(t)->exe) == 0) {
            *image = os_of(t)->image;
            (*image)->refs++;
            return 0;
        }
        int64_t bad = read_program(t, path, &bytes, &n);
        if (bad)
            return bad;
        if (n < 3 || bytes[0] != '#' || bytes[1] != '!') {
            *image = elf_from_memory(path, bytes, n, &quiet);
            free(bytes);
            return *image ? 0 : -ENOEXEC;
        }
        bytes[min_u64(n, 255)] = 0;
        char *line = (char *)bytes + 2, *arg;
        line[strcspn(line, "\n")] = 0;
        line += strspn(line, " \t");
        arg = line + strcspn(line, " \t");
        if (*arg)
            *arg++ = 0;
        arg += strspn(arg, " \t");
        if (*argc) { /* the script's own name takes the place of the first word */
            free((*argv)[0]);
            (*argv)[0] = xstrdup(path);
        }
        if (*arg)
            put_first(argv, argc, arg);
        put_first(argv, argc, line);
        snprintf(path, 4096, "%s", line);
        free(bytes);
    }
    return -ELOOP;
}

/* Nothing is left of the old program: it cannot come back. */
static int64_t replace(struct thread *t, struct elf *image, const char *exe, char **argv, uint32_t argc, char **envp,
                       uint32_t envc)
{
    struct process *p = t->process;
    struct exec *x = p->x;
    struct linux_process *os = p->os;
    struct linux_thread *thread_os = t->os;
    struct diag d = {0};
    uint32_t asid = p->space.asid;
    mappings_write_back(t, 0, SPACE_TOP);
    for (uint32_t i = x->n_threads; i-- > 0;)
        if (x->thread[i]->process == p && x->thread[i] != t)
            thread_end(x->thread[i], 0);
    files_close_by_exec(x, os->files);
    signals_reset(os);
    linux_set_image(p, image, exe);
    space_fini(&p->space, t->vcpu);
    int bad = space_init(&p->space, &x->pool, t->vcpu, asid, &d) ||
              linux_image(p, t->vcpu, image, argv, argc, envp, envc, thread_regs(t), &d);
    if (os->is_vfork) {
        os->is_vfork = false;
        exec_wake(x, vfork_key(p), UINT32_MAX);
    }
    if (bad) {
        process_end(p, SIGKILL, t->vcpu);
        return SYS_NONE;
    }
    if (thread_os)
        thread_os->clear_child_tid = thread_os->altstack_bytes = 0;
    thread_space_changed(t);
    return SYS_NONE;
}

static int64_t sys_execve(struct thread *t, const uint64_t a[6])
{
    char path[4096];
    int64_t bad = path_in(t, a[0], path);
    uint32_t argc, envc;
    struct elf *image = NULL;
    if (bad)
        return bad;
    char **argv = words_in(t, a[1], &argc, &bad), **envp = NULL;
    if (!bad)
        envp = words_in(t, a[2], &envc, &bad);
    if (!bad)
        bad = find_image(t, path, &argv, &argc, &image);
    if (!bad) {
        char *exe = strcmp(path, "/proc/self/exe") == 0 ? xstrdup(os_of(t)->exe) : path_absolute(t, AT_FDCWD, path);
        bad = replace(t, image, exe, argv, argc, envp, envc);
        free(exe);
    }
    free_words(argv);
    free_words(envp);
    return bad;
}

const struct syscall linux_execve_calls[] = {
    {59, "execve", sys_execve},
    {0, NULL, NULL},
};
