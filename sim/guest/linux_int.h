/* SPDX-License-Identifier: MIT */
/* Inside the Linux personality: its state, and what its areas offer one another. System calls answer with a result or
 * -errno; SYS_NONE says that the thread waits or is gone, and RAX is not to be touched. */
#ifndef QUIRE_GUEST_LINUX_INT_H
#define QUIRE_GUEST_LINUX_INT_H

#include "sim/base/rng.h"
#include "sim/guest/elf.h"
#include "sim/guest/exec_int.h"
#include "sim/guest/linux.h"

#define SYS_NONE INT64_MIN

/* ---- files ---- */

enum file_kind {
    FILE_HOST,
    FILE_DIR,
    FILE_PIPE_READ,
    FILE_PIPE_WRITE,
    FILE_NULL,
    FILE_ZERO,
    FILE_RANDOM,
    FILE_TEXT,
    FILE_PMEM,
    FILE_COUNTER
};

#define PIPE_BYTES 65536u
struct pipe {
    uint64_t key; /* that threads at both ends wait for */
    uint32_t n_readers, n_writers;
    uint32_t head, n; /* bytes wait from head on */
    uint8_t byte[PIPE_BYTES];
};

/* An open file description: descriptors share it. */
struct file {
    uint32_t refs;
    enum file_kind kind;
    int host;        /* FILE_HOST, FILE_DIR: the host's descriptor; else -1 */
    uint32_t flags;  /* O_ACCMODE, O_APPEND, O_NONBLOCK */
    bool is_console; /* one of the three standard streams */
    uint64_t at;     /* FILE_TEXT, FILE_PMEM: position; FILE_COUNTER: value */
    uint64_t bytes;  /* FILE_TEXT */
    char *text;
    char *path; /* as the guest named it, absolute */
    struct pipe *pipe;
};

#define MAX_FILES 1024u
struct file_table {
    uint32_t refs; /* processes that share it */
    struct file *file[MAX_FILES];
    bool is_closed_by_exec[MAX_FILES];
};

/* A shared mapping of a file that was open for writing: its bytes go back. */
struct file_mapping {
    struct file *file;
    uint64_t gva, bytes, offset;
};

/* ---- state ---- */

#define N_SIGNALS 65u
struct action {
    uint64_t handler, flags, restorer, mask; /* as rt_sigaction has them */
};

struct syscall;
struct linux_vm { /* x->os */
    int root;     /* the host's folder */
    bool is_read_only;
    struct rng random;
    const struct syscall *calls[512]; /* by number; NULL: unknown */
    uint64_t unknown[512];            /* how often */
    uint64_t n_pipes;
};

struct linux_process { /* p->os */
    struct file_table *files;
    char *cwd; /* absolute, as the guest sees it */
    char *exe;
    struct elf *image;
    struct action action[N_SIGNALS];
    uint32_t umask;
    uint32_t n_mappings;
    struct file_mapping *mapping;
    bool is_vfork; /* the parent waits until this one ends or takes a new image */
    char name[16];
};

struct linux_thread {          /* t->os */
    uint64_t blocked, pending; /* bit n-1: signal n */
    uint64_t saved_blocked;    /* of rt_sigsuspend */
    bool has_saved_blocked;
    uint64_t clear_child_tid;
    uint64_t altstack, altstack_bytes;
    ps_t poll_until_ps; /* of a poll that is being retried; 0: none is */
};

static inline struct linux_vm *vm_of(const struct thread *t)
{
    return t->process->x->os;
}
static inline struct linux_process *os_of(const struct thread *t)
{
    return t->process->os;
}
static inline struct linux_thread *thread_os(struct thread *t)
{
    return t->os;
}

/* ---- system calls ---- */

typedef int64_t syscall_fn(struct thread *t, const uint64_t a[6]);
struct syscall {
    uint16_t number;
    const char *name;
    syscall_fn *fn;
};
/* One table an area, ended by name NULL. */
extern const struct syscall linux_file_calls[], linux_path_calls[], linux_change_calls[], linux_mem_calls[],
    linux_process_calls[], linux_execve_calls[], linux_ask_calls[], linux_time_calls[], linux_signal_calls[];

/* ---- areas ---- */

/* linux_fd.c */
struct file_table *files_new(bool console);
struct file_table *files_copy(const struct file_table *f);
void files_drop(struct exec *x, struct file_table *f);
void files_close_by_exec(struct exec *x, struct file_table *f);
struct file *file_new(enum file_kind kind, int host, uint32_t flags, const char *path);
struct file *file_of(const struct thread *t, uint64_t fd); /* NULL: EBADF */
void file_drop(struct exec *x, struct file *f);
/* The lowest free descriptor from first on takes f. -EMFILE, and f is dropped, if there is none. */
int64_t fd_install(struct thread *t, struct file *f, uint64_t first, bool closed_by_exec);
uint64_t pipe_key(const struct pipe *p);
/* Bytes at a position, or at the file's own (at < 0). How many, or -errno, or SYS_NONE. */
int64_t file_read(struct thread *t, struct file *f, void *buf, uint64_t n, int64_t at);
int64_t file_write(struct thread *t, struct file *f, const void *buf, uint64_t n, int64_t at);
/* A read, a write would not wait. */
bool file_is_readable(const struct file *f);
bool file_is_writable(const struct file *f);

/* linux_file.c: struct stat of an open file, of a host descriptor, to the guest. */
int64_t file_stat(struct thread *t, const struct file *f, uint64_t gva);
int64_t stat_out(struct thread *t, int host, uint64_t gva);

/* linux_special.c: a file that the guest's kernel makes up, where path is that of one; else NULL. The caller drops it.
 */
struct file *special_file(struct thread *t, const char *path, uint64_t flags);

/* linux_time.c: a timespec argument as a time; from is added. 0 or -errno. */
int64_t timespec_in(struct thread *t, uint64_t gva, ps_t from, ps_t *until);
/* The same of an absolute time, of the wall clock or of the monotonic one. */
int64_t abstime_in(struct thread *t, uint64_t gva, bool is_wall_time, ps_t *until);

/* linux_process.c: keys that threads wait for. */
uint64_t futex_key(const struct thread *t, uint64_t gva);
uint64_t wait_key(const struct process *p);
uint64_t vfork_key(const struct process *child);

/* linux_path.c: opens what the guest calls path, relative to its descriptor dirfd, by openat2() below the root. A host
 * descriptor, or -errno. */
int path_open(struct thread *t, int64_t dirfd, const char *path, uint64_t flags, uint32_t mode);
/* The same of an absolute path, for nobody in particular. */
int path_open_root(const struct linux_vm *vm, const char *path, uint64_t flags, uint32_t mode);
/* The guest's absolute name for it. The caller frees. */
char *path_absolute(const struct thread *t, int64_t dirfd, const char *path);
/* A path argument. 0 or -errno. */
int64_t path_in(struct thread *t, uint64_t gva, char path[4096]);

/* linux_mem.c */
void mappings_write_back(struct thread *t, uint64_t start, uint64_t end);

/* linux_signal.c */
/* The signal is the thread's; it wakes if it waits and the signal is not blocked. */
void signal_thread(struct thread *t, int signal);
void signal_process(struct process *p, int signal);
/* Handlers are the default again, as after execve. */
void signals_reset(struct linux_process *os);

/* linux.c */
/* e becomes the image of p, which takes the reference. */
void linux_set_image(struct process *p, struct elf *e, const char *exe);
const char *os_exe(const struct process *p);
/* A new image for p, whose space is empty: linux_load's work with its own words and environment. */
int linux_image(struct process *p, struct vcpu *v, struct elf *image, char **argv, uint32_t argc, char **envp,
                uint32_t envc, struct x86_state *regs, struct diag *d);

#endif
