/* SPDX-License-Identifier: MIT */
/* Running points: any number of processes gives the same bytes, whatever ends a sweep costs only what was unfinished.
 */
#include "tests/machine/fake.h"

#include "sim/machine/grid.h"
#include "sim/machine/sweep.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(sweep, .init = fake_enter, .fini = fake_leave, .timeout = 60);

#define SIX                                                                                                            \
    "sweep \"depth\" { key = machine.imc.depth values = {4, 8, 16} }\nsweep \"seed\" { key = seed values = {1, 2} }\n"

static int run_text(const char *text, const char *out, uint32_t jobs, struct sweep_progress *p, struct diag *d)
{
    struct experiment *e = fake_load(text, d);
    cr_assert(e != NULL, "%s", d->text);
    struct sweep_options opt = {.out = out, .jobs = jobs};
    int rc = sweep_run(e, &opt, p, d);
    experiment_free(e);
    return rc;
}

static int count_runs(const char *dir, bool hidden)
{
    DIR *dp = opendir(dir);
    int n = 0;
    for (struct dirent *e; dp && (e = readdir(dp));)
        n += e->d_name[0] == '.' ? hidden && e->d_name[1] == 't' : !hidden;
    if (dp)
        closedir(dp);
    return n;
}

Test(sweep, any_number_of_jobs_gives_the_same_bytes)
{
    struct sweep_progress p;
    struct diag d;
    cr_assert_eq(run_text(SIX, "one", 1, &p, &d), SWEEP_DONE, "%s", d.text);
    cr_assert(p.n_points == 6 && p.n_done == 6 && p.n_skipped == 0 && p.n_failed == 0);
    cr_assert_eq(run_text(SIX, "deep/er/two", 2, &p, &d), SWEEP_DONE, "%s", d.text);
    cr_assert_eq(run_text(SIX, "nine", 9, &p, &d), SWEEP_DONE, "%s", d.text);
    cr_assert_eq(system("diff -r one deep/er/two && diff -r one nine"), 0);
    cr_assert_eq(count_runs("one/runs", false), 6);
}

Test(sweep, finished_runs_are_not_run_again)
{
    struct sweep_progress p;
    struct diag d;
    cr_assert_eq(run_text(SIX, "out", 2, &p, &d), SWEEP_DONE);
    cr_assert_eq(system("cp -r out whole; for f in out/runs/*; do rm -r $f; break; done; rm -r out/runs/?[0-7]*"), 0);
    cr_assert_eq(run_text(SIX, "out", 2, &p, &d), SWEEP_DONE);
    cr_assert(p.n_points == 6 && p.n_done == 6 && p.n_skipped > 0 && p.n_skipped < 6, "%u", p.n_skipped);
    cr_assert_eq(system("diff -r out whole"), 0);
    cr_assert_eq(run_text(SIX, "out", 2, &p, &d), SWEEP_DONE);
    cr_assert_eq(p.n_skipped, 6);
}

Test(sweep, a_point_that_appears_twice_is_run_once)
{
    struct sweep_progress p;
    struct diag d;
    cr_assert_eq(
        run_text("study \"a\" { " SIX " }\nstudy \"b\" { seed = 2 machine { imc { depth = 8 } } }", "out", 2, &p, &d),
        SWEEP_DONE);
    cr_assert_eq(p.n_points, 6);
    cr_assert_eq(count_runs("out/runs", false), 6);
}

Test(sweep, points_that_fail_are_reported_and_the_others_run)
{
    struct sweep_progress p;
    struct diag d;
    const char *text = "sweep \"mode\" { key = mode values = {refuse, run, fault, crash} }";
    cr_assert_eq(run_text(text, "out", 2, &p, &d), SWEEP_FAULT);
    cr_assert(p.n_done == 4 && p.n_failed == 3);
    cr_assert_eq(count_runs("out/runs", false), 1);
    cr_assert_eq(count_runs("out/runs", true), 0);
    cr_assert(strstr(d.text, " (mode=refuse): refused on purpose") != NULL, "%s", d.text);
    cr_assert(strstr(d.text, " (mode=fault): ended by a fault in quire itself") != NULL, "%s", d.text);
    cr_assert(strstr(d.text, " (mode=crash): died of signal 6") != NULL, "%s", d.text);
    cr_assert_eq(run_text("sweep \"mode\" { key = mode values = {refuse, run} }", "two", 1, &p, &d), SWEEP_BAD);
    cr_assert_eq(d.n_errors, 1);
}

/* Starts the sweep in a process of its own; its session is its own too, so that a signal hits all of it. */
static pid_t start(const char *text, const char *out)
{
    struct diag d;
    struct sweep_progress p;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_text(text, out, 2, &p, &d));
    return pid;
}

static void wait_for_runs(const char *dir, int n)
{
    for (int i = 0; i < 200 && count_runs(dir, false) < n; i++)
        usleep(50000);
    cr_assert_geq(count_runs(dir, false), n);
}

static bool any_child_of_group(pid_t pid)
{
    char cmd[100];
    snprintf(cmd, sizeof cmd, "cat /proc/[0-9]*/stat 2>/dev/null | awk '$4 == %d { n = 1 } END { exit !n }'", (int)pid);
    return system(cmd) == 0;
}

#define SLOW "sweep \"mode\" { key = mode values = {run, slow} }\nsweep \"seed\" { key = seed values = {1, 2} }\n"

Test(sweep, asked_to_stop_it_stops_at_once_and_keeps_what_is_done)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        char out[20], runs[40];
        int status;
        snprintf(out, sizeof out, "out%d", i);
        snprintf(runs, sizeof runs, "%s/runs", out);
        pid_t pid = start(SLOW, out);
        wait_for_runs(runs, 2);
        cr_assert(any_child_of_group(pid), "the slow points are at work");
        kill(pid, signals[i]);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == SWEEP_SIGNAL + signals[i]);
        cr_assert_eq(count_runs(runs, false), 2);
        cr_assert_eq(count_runs(runs, true), 0);
    }
}

Test(sweep, killed_it_resumes_and_ends_the_same)
{
    struct sweep_progress p;
    struct diag d;
    int status;
    pid_t pid = start(SLOW, "out");
    wait_for_runs("out/runs", 2);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    /* what a process that was killed while writing leaves behind */
    cr_assert_eq(system("mkdir out/runs/.tmp-00112233445566778899aabbccddeeff-1 && echo half > "
                        "out/runs/.tmp-00112233445566778899aabbccddeeff-1/result.json"),
                 0);
    const char *rest =
        "sweep \"mode\" { key = mode values = {run} }\nsweep \"seed\" { key = seed values = {1, 2, 3} }\n";
    for (int i = 0; i < 100; i++) { /* the lock goes with the last of the killed processes */
        if (run_text(rest, "out", 1, &p, &d) == SWEEP_DONE)
            break;
        usleep(20000);
    }
    cr_assert(p.n_points == 3 && p.n_skipped == 2 && p.n_done == 3, "%s", d.text);
    cr_assert_eq(count_runs("out/runs", true), 0);
    cr_assert_eq(run_text(rest, "fresh", 1, &p, &d), SWEEP_DONE);
    cr_assert_eq(system("diff -r out fresh"), 0);
}

Test(sweep, two_sweeps_do_not_share_a_folder)
{
    struct sweep_progress p;
    struct diag d;
    int status;
    pid_t pid = start(SLOW, "out");
    wait_for_runs("out/runs", 2);
    cr_assert_eq(run_text(SIX, "out", 1, &p, &d), SWEEP_BAD);
    cr_assert_str_eq(d.text, "out: found another quire run at work in it, expected one at a time");
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
}

Test(sweep, an_output_folder_that_cannot_be_made_is_one_line)
{
    struct sweep_progress p;
    struct diag d;
    fake_put("file", "");
    cr_assert_eq(run_text(SIX, "file", 1, &p, &d), SWEEP_BAD);
    cr_assert_eq(d.n_errors, 1);
    cr_assert_str_eq(d.text, "file/runs: cannot be made: Not a directory");
}

Test(sweep, a_full_disk_is_one_line_and_loses_nothing)
{
    struct sweep_progress p;
    struct diag d;
    cr_assert_eq(mkdir("small", 0700), 0);
    if (mount("tmpfs", "small", "tmpfs", 0, "size=48k") != 0)
        cr_skip_test("a small tmpfs cannot be mounted here");
    int rc = run_text("sweep \"seed\" { key = seed values = {1, 2, 3, 4, 5, 6, 7, 8} }", "small/out", 1, &p, &d);
    int n = count_runs("small/out/runs", false), left = count_runs("small/out/runs", true);
    cr_expect_eq(rc, SWEEP_BAD);
    cr_expect_eq(d.n_errors, 1, "%s", d.text);
    cr_expect(strstr(d.text, "No space left on device") != NULL, "%s", d.text);
    cr_expect(n >= 1 && n < 8, "%d", n);
    cr_expect_eq(left, 0);
    cr_expect_eq(system("for f in small/out/runs/*; do for k in manifest.json result.json series.csv events.json "
                        "config.conf; do test -s $f/$k || exit 1; done; done"),
                 0);
    cr_assert_eq(umount("small"), 0);
}

Test(sweep, results_become_one_table_that_reads_back)
{
    struct sweep_progress p;
    struct diag d;
    struct experiment *e = fake_load(SIX "note = \"a, \\\"b\\\"\"", &d);
    struct sweep_options opt = {.out = "out", .jobs = 2};
    cr_assert_eq(sweep_run(e, &opt, &p, &d), SWEEP_DONE);
    struct grid *g = grid_load(&e->study[0], "out", &d);
    cr_assert(g != NULL, "%s", d.text);
    cr_assert_eq(g->n_rows, 6);
    cr_assert_eq(grid_write(g, "out/results.csv", &d), 0);
    char first[300];
    FILE *f = fopen("out/results.csv", "r");
    cr_assert(fgets(first, sizeof first, f) != NULL);
    cr_assert_str_eq(first, "depth,seed,run,events_dropped,flush_p99_ns,flushes,local,local_ratio,taints,timing\n");
    cr_assert(fgets(first, sizeof first, f) != NULL);
    cr_assert_str_eq(strchr(first + 4, ','), ",0,251,100,4,0.062500000,,block\n");
    fclose(f);
    struct grid *h = grid_read("out/results.csv", "", &d);
    cr_assert(h != NULL, "%s", d.text);
    cr_assert(h->n_axes == 2 && h->n_rows == 6 && h->n_cols == g->n_cols);
    cr_assert_str_eq(h->row[5].cell[grid_col(h, "flush_p99_ns")], "64");
    cr_assert_str_eq(h->row[5].id, g->row[5].id);
    cr_assert_eq(grid_write(h, "out/again.csv", &d), 0);
    cr_assert_eq(system("cmp out/results.csv out/again.csv && rm -r out/runs/*"), 0);
    cr_assert_null(grid_load(&e->study[0], "out", &d));
    fake_put("bad.csv", "a,run,b\n1,x\n");
    d = (struct diag){0};
    cr_assert_null(grid_read("bad.csv", "", &d));
    cr_assert_str_eq(d.text, "bad.csv:2: found 2 fields, expected 3");
    grid_free(g);
    grid_free(h);
    experiment_free(e);
}
