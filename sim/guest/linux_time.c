/* SPDX-License-Identifier: MIT */
/* System calls on time: the simulated clock, whose zero is the start of the run. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

int64_t timespec_in(struct thread *t, uint64_t gva, ps_t from, ps_t *until)
{
    uint64_t ts[2];
    if (exec_copy_in(t, gva, ts, sizeof ts))
        return -EFAULT;
    if ((int64_t)ts[0] < 0 || ts[1] >= 1000000000)
        return -EINVAL;
    ps_t length = min_u64(ts[0], UINT64_MAX / PS_PER_S / 4) * PS_PER_S + ts[1] * PS_PER_NS;
    *until = from + length;
    return 0;
}

static bool is_wall(uint64_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

int64_t abstime_in(struct thread *t, uint64_t gva, bool is_wall_time, ps_t *until)
{
    uint64_t ts[2];
    if (exec_copy_in(t, gva, ts, sizeof ts))
        return -EFAULT;
    if ((int64_t)ts[0] < 0 || ts[1] >= 1000000000)
        return -EINVAL;
    uint64_t s = ts[0] - min_u64(ts[0], is_wall_time ? EXEC_EPOCH_S : 0);
    *until = min_u64(s, UINT64_MAX / PS_PER_S / 4) * PS_PER_S + ts[1] * PS_PER_NS;
    return 0;
}

static void split(const struct thread *t, uint64_t clock, uint64_t out[2])
{
    ps_t now = thread_now_ps(t);
    out[0] = now / PS_PER_S + (is_wall(clock) ? EXEC_EPOCH_S : 0);
    out[1] = now % PS_PER_S / PS_PER_NS;
}

static int64_t sys_clock_gettime(struct thread *t, const uint64_t a[6])
{
    uint64_t ts[2];
    if (a[0] > CLOCK_TAI && (int32_t)a[0] >= 0)
        return -EINVAL;
    split(t, a[0], ts);
    return exec_copy_out(t, a[1], ts, sizeof ts) ? -EFAULT : 0;
}

static int64_t sys_clock_getres(struct thread *t, const uint64_t a[6])
{
    const uint64_t one_ns[2] = {0, 1};
    return a[1] && exec_copy_out(t, a[1], one_ns, sizeof one_ns) ? -EFAULT : 0;
}

static int64_t sys_gettimeofday(struct thread *t, const uint64_t a[6])
{
    uint64_t tv[2], zone = 0;
    split(t, CLOCK_REALTIME, tv);
    tv[1] /= 1000;
    return (a[0] && exec_copy_out(t, a[0], tv, sizeof tv)) || (a[1] && exec_copy_out(t, a[1], &zone, sizeof zone))
               ? -EFAULT
               : 0;
}

static int64_t sys_time(struct thread *t, const uint64_t a[6])
{
    uint64_t ts[2];
    split(t, CLOCK_REALTIME, ts);
    return a[0] && exec_copy_out(t, a[0], &ts[0], 8) ? -EFAULT : (int64_t)ts[0];
}

static int64_t sys_nanosleep(struct thread *t, const uint64_t a[6])
{
    ps_t until;
    int64_t bad = timespec_in(t, a[0], thread_now_ps(t), &until);
    if (bad)
        return bad;
    thread_wait(t, 0, until, 0, 0);
    return SYS_NONE;
}

static int64_t sys_clock_nanosleep(struct thread *t, const uint64_t a[6])
{
    ps_t until, now = thread_now_ps(t);
    int64_t bad = a[1] & TIMER_ABSTIME ? abstime_in(t, a[2], is_wall(a[0]), &until) : timespec_in(t, a[2], now, &until);
    if (bad || until <= now)
        return bad;
    thread_wait(t, 0, until, 0, 0);
    return SYS_NONE;
}

/* User time of the process: that of its thread's processor; there is no system time. */
static int64_t sys_getrusage(struct thread *t, const uint64_t a[6])
{
    struct rusage u = {0};
    ps_t now = thread_now_ps(t);
    u.ru_utime.tv_sec = (time_t)(now / PS_PER_S);
    u.ru_utime.tv_usec = (suseconds_t)(now % PS_PER_S / PS_PER_US);
    u.ru_maxrss = (long)(t->process->space.n_pages * 4);
    u.ru_minflt = (long)t->process->x->stats.page_faults;
    return exec_copy_out(t, a[1], &u, sizeof u) ? -EFAULT : 0;
}

static int64_t sys_times(struct thread *t, const uint64_t a[6])
{
    uint64_t ticks = thread_now_ps(t) / (PS_PER_S / 100), tms[4] = {ticks, 0, 0, 0};
    return a[0] && exec_copy_out(t, a[0], tms, sizeof tms) ? -EFAULT : (int64_t)ticks;
}

const struct syscall linux_time_calls[] = {
    {35, "nanosleep", sys_nanosleep},
    {96, "gettimeofday", sys_gettimeofday},
    {98, "getrusage", sys_getrusage},
    {100, "times", sys_times},
    {201, "time", sys_time},
    {228, "clock_gettime", sys_clock_gettime},
    {229, "clock_getres", sys_clock_getres},
    {230, "clock_nanosleep", sys_clock_nanosleep},
    {0, NULL, NULL},
};
