/* SPDX-License-Identifier: MIT */
#include "sim/machine/sweep.h"

#include "sim/base/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How a worker ends. 3 also stands for CHECK, whose line is already on standard error. */
enum worker_end { WORKER_DONE = 0, WORKER_BAD = 2, WORKER_FAULT = 3, WORKER_DISK = 4 };

struct job {
    const struct study *study;
    const struct point *point;
};

struct worker {
    pid_t pid; /* 0: free */
    int fd;    /* the worker writes its error lines here */
    struct job job;
};

struct sweep {
    const struct experiment *e;
    const struct sweep_options *opt;
    struct sweep_progress *p;
    struct diag *d;
    struct worker *worker;
    char *runs;
    int worst;         /* a sweep_end */
    bool is_disk_full; /* start no more */
    sigset_t old_mask, mask;
};

char *sweep_run_dir(const char *out, const char *id)
{
    return xasprintf("%s/runs/%s", out, id);
}

/* ---- one point, in its own process ---------------------------------------------------------------------------------
 */
static int run_job(const struct sweep *s, const struct job *job, struct diag *d)
{
    struct manifest m = {0};
    struct run_inputs in = {0};
    char id[33];
    int end = WORKER_BAD;
    struct conf *c = study_point_conf(job->study, job->point, d);
    if (!c)
        return WORKER_BAD;
    struct result *r = result_new();
    if (point_manifest(s->e, c, &m, &in, id, d) == 0) {
        if (strcmp(id, job->point->id) != 0)
            fail(d, "an input file was changed while the sweep ran: run id %s is now %s", job->point->id, id);
        else if (s->e->ops->run(c, r, d) == 0)
            end = result_write(r, &m, s->runs, d) == 0 ? WORKER_DONE : WORKER_DISK;
    }
    result_free(r);
    run_inputs_free(&in);
    free((char *)m.config);
    conf_free(c);
    return end;
}

static _Noreturn void worker_main(const struct sweep *s, const struct job *job, int fd, pid_t parent)
{
    struct diag d = {0};
    sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(WORKER_FAULT);
    int end = run_job(s, job, &d);
    for (uint32_t at = 0; at < d.len;) {
        ssize_t n = write(fd, d.text + at, d.len - at);
        if (n <= 0)
            break;
        at += (uint32_t)n;
    }
    _exit(end);
}

/* ---- the pool ---------------------------------------------------------------------------------------------------- */
static void job_name(const struct job *job, char *buf, size_t size)
{
    char label[400];
    point_label(job->study, job->point, label, sizeof label);
    snprintf(buf, size, "run %s%s%s%s%s%s", job->point->id, *job->study->name || *label ? " (" : "", job->study->name,
             *job->study->name && *label ? ": " : "", label, *job->study->name || *label ? ")" : "");
}

static void job_failed(struct sweep *s, const struct job *job, const char *why, int end)
{
    char name[600];
    job_name(job, name, sizeof name);
    fail(s->d, "%s: %s", name, why);
    s->p->n_failed++;
    if (end > s->worst)
        s->worst = end;
}

static int start_worker(struct sweep *s, struct worker *w, const struct job *job)
{
    int fd[2];
    pid_t parent = getpid();
    if (pipe2(fd, O_CLOEXEC) != 0)
        return fail(s->d, "cannot start a run: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        worker_main(s, job, fd[1], parent);
    int err = errno;
    close(fd[1]);
    if (pid < 0) {
        close(fd[0]);
        return fail(s->d, "cannot start a run: %s", strerror(err));
    }
    *w = (struct worker){.pid = pid, .fd = fd[0], .job = *job};
    return 0;
}

/* What a finished worker wrote; it fits into a pipe. */
static void read_lines(int fd, char *buf, size_t size)
{
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = read(fd, buf + n, size - n - 1)) > 0;)
        n += (size_t)got;
    buf[n] = 0;
}

static void end_worker(struct sweep *s, struct worker *w, int status)
{
    char lines[4200];
    read_lines(w->fd, lines, sizeof lines);
    close(w->fd);
    w->pid = 0;
    s->p->n_done++;
    if (WIFSIGNALED(status)) {
        char why[64];
        snprintf(why, sizeof why, "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        job_failed(s, &w->job, why, SWEEP_FAULT);
    } else if (WEXITSTATUS(status) == WORKER_DISK) {
        s->is_disk_full = true;
        job_failed(s, &w->job, lines, SWEEP_BAD);
    } else if (WEXITSTATUS(status) == WORKER_BAD) {
        job_failed(s, &w->job, lines, SWEEP_BAD);
    } else if (WEXITSTATUS(status) != WORKER_DONE) {
        job_failed(s, &w->job, *lines ? lines : "ended by a fault in quire itself", SWEEP_FAULT);
    }
}

/* Takes in every worker that has ended. True if there was one. */
static bool reap(struct sweep *s)
{
    bool any = false;
    for (uint32_t i = 0; i < s->opt->jobs; i++) {
        int status;
        if (s->worker[i].pid && waitpid(s->worker[i].pid, &status, WNOHANG) == s->worker[i].pid) {
            end_worker(s, &s->worker[i], status);
            any = true;
        }
    }
    return any;
}

static void kill_workers(struct sweep *s)
{
    for (uint32_t i = 0; i < s->opt->jobs; i++) {
        if (!s->worker[i].pid)
            continue;
        kill(s->worker[i].pid, SIGKILL);
        while (waitpid(s->worker[i].pid, NULL, 0) < 0 && errno == EINTR)
            ;
        close(s->worker[i].fd);
        s->worker[i].pid = 0;
    }
}

/* Waits for a worker or a signal. 0, or the signal that asks to stop. */
static int wait_for_news(struct sweep *s)
{
    const struct timespec tick = {.tv_nsec = 200 * 1000 * 1000};
    if (!reap(s)) {
        int sig = sigtimedwait(&s->mask, NULL, &tick);
        if (sig > 0 && sig != SIGCHLD)
            return sig;
        reap(s);
    }
    if (s->opt->progress)
        s->opt->progress(s->opt->ctx, s->p);
    return 0;
}

static struct worker *free_worker(struct sweep *s)
{
    for (uint32_t i = 0; i < s->opt->jobs; i++)
        if (!s->worker[i].pid)
            return &s->worker[i];
    return NULL;
}

static bool is_busy(const struct sweep *s)
{
    for (uint32_t i = 0; i < s->opt->jobs; i++)
        if (s->worker[i].pid)
            return true;
    return false;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */
static bool is_finished(const struct sweep *s, const char *id)
{
    struct stat st;
    char *dir = sweep_run_dir(s->opt->out, id);
    bool there = stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
    free(dir);
    return there;
}

static int compare_jobs(const void *a, const void *b)
{
    const struct job *const *x = a, *const *y = b;
    int c = strcmp((*x)->point->id, (*y)->point->id);
    return c ? c : *x < *y ? -1 : *x > *y;
}

/* What must be run, in the order of the file, every run id once. The caller frees. */
static struct job *list_jobs(struct sweep *s, uint32_t *n)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < s->e->n_studies; i++)
        total += s->e->study[i].n_points;
    struct job *all = xcalloc(total + 1, sizeof *all), *todo = xcalloc(total + 1, sizeof *todo);
    struct job **sorted = xcalloc(total + 1, sizeof *sorted);
    uint32_t k = 0;
    for (uint32_t i = 0; i < s->e->n_studies; i++)
        for (uint32_t j = 0; j < s->e->study[i].n_points; j++, k++) {
            all[k] = (struct job){&s->e->study[i], &s->e->study[i].point[j]};
            sorted[k] = &all[k];
        }
    qsort(sorted, total, sizeof *sorted, compare_jobs);
    bool *again = xcalloc(total + 1, sizeof *again);
    for (uint32_t i = 1; i < total; i++)
        again[sorted[i] - all] = strcmp(sorted[i]->point->id, sorted[i - 1]->point->id) == 0;
    *n = 0;
    for (uint32_t i = 0; i < total; i++) {
        if (again[i] || (s->opt->only && strcmp(s->opt->only, all[i].point->id) != 0))
            continue;
        s->p->n_points++;
        if (is_finished(s, all[i].point->id))
            s->p->n_skipped++;
        else
            todo[(*n)++] = all[i];
    }
    s->p->n_done = s->p->n_skipped;
    free(again);
    free(sorted);
    free(all);
    return todo;
}

/* Removes what a killed sweep left behind. */
static void remove_leftovers(const char *runs)
{
    DIR *d = opendir(runs);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, ".tmp-", 5) != 0)
            continue;
        char *path = xasprintf("%s/%s", runs, e->d_name);
        DIR *sub = opendir(path);
        for (struct dirent *f; sub && (f = readdir(sub));)
            unlinkat(dirfd(sub), f->d_name, 0);
        if (sub)
            closedir(sub);
        rmdir(path);
        free(path);
    }
    if (d)
        closedir(d);
}

static int write_plan(const struct sweep *s)
{
    struct outfile o;
    char *path = xasprintf("%s/experiment.conf", s->opt->out), *text = experiment_print(s->e);
    int rc = out_open(&o, path, s->d);
    if (rc == 0) {
        fputs(text, o.f);
        rc = out_commit(&o, s->d);
    }
    free(path);
    free(text);
    return rc;
}

/* The folder, locked: two sweeps into one folder would remove each other's unfinished runs. -1 after an error. */
static int open_out(struct sweep *s)
{
    if (out_mkdirs(s->runs, s->d) != 0)
        return -1;
    int fd = open(s->runs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(s->d, "%s: cannot be opened: %s", s->opt->out, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return fd;
    close(fd);
    return fail(s->d, "%s: found another quire run at work in it, expected one at a time", s->opt->out);
}

static int run_jobs(struct sweep *s, const struct job *todo, uint32_t n)
{
    int sig = 0;
    for (uint32_t next = 0; sig == 0;) {
        struct worker *w = next < n && !s->is_disk_full ? free_worker(s) : NULL;
        if (w) {
            if (start_worker(s, w, &todo[next++]) != 0) {
                s->worst = SWEEP_BAD;
                s->is_disk_full = true; /* let those that run finish */
            }
        } else if (is_busy(s)) {
            sig = wait_for_news(s);
        } else {
            break;
        }
    }
    kill_workers(s);
    return sig;
}

int sweep_run(const struct experiment *e, const struct sweep_options *opt, struct sweep_progress *p, struct diag *d)
{
    static const int signals[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
    struct sweep s = {.e = e, .opt = opt, .p = p, .d = d};
    *p = (struct sweep_progress){0};
    s.runs = xasprintf("%s/runs", opt->out);
    int fd = open_out(&s), sig = 0;
    if (fd < 0 || write_plan(&s) != 0) {
        s.worst = SWEEP_BAD;
    } else {
        uint32_t n;
        remove_leftovers(s.runs);
        s.worker = xcalloc(opt->jobs, sizeof *s.worker);
        sigemptyset(&s.mask);
        for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
            sigaddset(&s.mask, signals[i]);
        signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide how a worker ended */
        sigprocmask(SIG_BLOCK, &s.mask, &s.old_mask);
        struct job *todo = list_jobs(&s, &n);
        sig = run_jobs(&s, todo, n);
        if (sig)
            remove_leftovers(s.runs);
        sigprocmask(SIG_SETMASK, &s.old_mask, NULL);
        free(todo);
        free(s.worker);
    }
    if (fd >= 0)
        close(fd);
    free(s.runs);
    return sig ? SWEEP_SIGNAL + sig : s.worst;
}
