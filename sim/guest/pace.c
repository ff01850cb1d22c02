/* SPDX-License-Identifier: MIT */
#include "sim/guest/pace.h"

#include "sim/base/outfile.h"
#include "sim/base/rng.h"
#include "sim/cpu/x86_window.h"
#include "sim/guest/bare.h"
#include "sim/guest/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct stat_desc pace_stat_desc[] = {
    {"functional_instructions", STAT_COUNT, "instructions", "run in model functional"},
    {"block_instructions", STAT_COUNT, "instructions", "run in model block"},
    {"window_instructions", STAT_COUNT, "instructions", "run in model window"},
    {"warm_instructions", STAT_COUNT, "instructions", "run in model warm"},
    {"user_ps", STAT_COUNT, "ps", "time of the program itself: without the guest's kernel, exits and waiting"},
    {"string_ps", STAT_COUNT, "ps", "of that, in single string instructions of 4 KiB and more"},
};
STATS_COMPLETE(struct pace_stats, pace_stat_desc);

static const char *const timing_names[X86_N_TIMINGS] = {"functional", "block", "window", "warm"};

const char *timing_name(enum x86_timing timing)
{
    return timing_names[timing];
}

int timing_by_name(const char *name, size_t n)
{
    for (int i = 0; i < X86_N_TIMINGS; i++)
        if (strlen(timing_names[i]) == n && memcmp(timing_names[i], name, n) == 0)
            return i;
    return -1;
}

enum phase { PHASE_FIXED, PHASE_HEAD, PHASE_FAR, PHASE_WARM, PHASE_LEAD, PHASE_MEASURE };

struct pace_step {
    uint64_t at;
    enum x86_timing timing;
};

struct pace_cpu {
    uint32_t phase; /* number of the one that it is in */
    ps_t string_ps;
    uint64_t before[SAMPLE_N], sum[SAMPLE_N], start[SAMPLE_N];
};

struct pace {
    struct pace_conf conf; /* its strings are valid in pace_new() only */
    struct exec *x;
    struct pace_step *step;
    uint32_t n_steps, next_step;
    enum phase kind, last_kind;
    enum x86_timing timing;
    uint32_t phase;      /* number of it, from 1 on */
    uint64_t end;        /* instructions of the VM at which it ends; UINT64_MAX: never */
    ps_t switch_ps;      /* when it began */
    int wanted;          /* a mark that has not been followed yet, or -1 */
    uint64_t next_lead;  /* sampled: where the next interval's lead begins */
    uint64_t forward_fs; /* how the clock goes on while warming */
    uint64_t instructions;
    __int128 time_fs; /* that the intervals so far stand for, for so many instructions */
    uint64_t stood_for, measured_fs;
    struct pace_stats stats;
    struct pace_cpu *cpu;
    struct sample_interval head;
    struct sample_interval open, *interval; /* the one that is measured; those that are done */
    uint32_t n_intervals, cap_intervals;
    bool has_open;
    struct outfile file;
};

/* ---- set-up ---- */

static int bad_step(const struct pace *p, const char *text, struct diag *d)
{
    return fail(d,
                "vm %s: timing_at: found \"%.60s\", expected INSTRUCTIONS:MODEL (functional, block, window, warm), "
                "ascending",
                p->x->vm->name, text);
}

static int read_steps(struct pace *p, struct diag *d)
{
    uint64_t last = 0;
    for (const char *s = p->conf.timing_at; *s;) {
        size_t n = strcspn(s, " ");
        char *end;
        errno = 0;
        uint64_t at = strtoull(s, &end, 10);
        int timing = *end == ':' ? timing_by_name(end + 1, n - (size_t)(end + 1 - s)) : -1;
        if (*s < '0' || *s > '9' || errno || timing < 0 || at <= last)
            return bad_step(p, s, d);
        p->step = xrealloc(p->step, (p->n_steps + 1) * sizeof *p->step);
        p->step[p->n_steps++] = (struct pace_step){at, (enum x86_timing)timing};
        last = at;
        s += n + strspn(s + n, " ");
    }
    return 0;
}

static int check_conf(const struct pace_conf *c, const char *vm, struct diag *d)
{
    if (!c->is_sampled)
        return c->file[0] ? fail(d, "vm %s: sample_file: found \"%.60s\" without sample = true", vm, c->file) : 0;
    if (c->timing != X86_BLOCK && c->timing != X86_WINDOW)
        return fail(d, "vm %s: sample: found timing = %s, expected block or window", vm, timing_name(c->timing));
    if (c->timing_at[0])
        return fail(d, "vm %s: sample: found timing_at = \"%.60s\" too, expected one of the two", vm, c->timing_at);
    if (c->period < c->lead + c->interval)
        return fail(d, "vm %s: sample_period: found %llu, expected at least sample_lead + sample_interval = %llu", vm,
                    (unsigned long long)c->period, (unsigned long long)(c->lead + c->interval));
    return 0;
}

static void enter(struct pace *p, enum phase kind);

/* The first interval begins anywhere in the first period. */
static void draw_start(struct pace *p)
{
    struct rng r;
    char *name = xasprintf("sample %s", p->x->vm->name);
    rng_init(&r, p->x->conf.seed, name);
    free(name);
    p->next_lead = p->conf.head + rng_below(&r, p->conf.period - p->conf.lead - p->conf.interval + 1);
}

struct pace *pace_new(struct exec *x, const struct pace_conf *conf, struct diag *d)
{
    struct pace *p = xcalloc(1, sizeof *p);
    p->x = x;
    p->conf = *conf;
    p->timing = conf->timing;
    p->wanted = -1;
    p->cpu = xcalloc(x->vm->n_vcpus, sizeof *p->cpu);
    if (check_conf(conf, x->vm->name, d) || read_steps(p, d) || (conf->file[0] && out_open(&p->file, conf->file, d))) {
        pace_free(p);
        return NULL;
    }
    if (conf->is_sampled)
        draw_start(p);
    enter(p, !conf->is_sampled ? PHASE_FIXED : conf->head ? PHASE_HEAD : PHASE_FAR);
    return p;
}

void pace_free(struct pace *p)
{
    out_abort(&p->file);
    free(p->step);
    free(p->cpu);
    free(p->interval);
    free(p);
}

/* ---- what is counted ---- */

static void counters(const struct exec_cpu *c, uint64_t n[SAMPLE_N])
{
    const struct cpu *cpu = vcpu_cpu(c->v);
    const struct core_cache_stats *cache = &c->x->hv->caches->core[c->v->cpu].stats;
    n[SAMPLE_INSTRUCTIONS] = c->x86.instructions;
    n[SAMPLE_USER_PS] = cpu->core.now_ps - cpu->core.stats.exit_ps - c->x86.kernel_ps - c->x86.string_ps;
    n[SAMPLE_STALL_PS] = cpu->core.stats.stall_ps;
    n[SAMPLE_FENCE_PS] = cpu->core.stats.fence_ps;
    n[SAMPLE_L1D_MISSES] = cache->l1d_misses;
    n[SAMPLE_LLC_MISSES] = cache->llc_misses;
    n[SAMPLE_DTLB_MISSES] = cpu->mmu.stats.dtlb_misses;
    n[SAMPLE_WALKS] = cpu->mmu.stats.walks;
    n[SAMPLE_WALK_PS] = cpu->mmu.stats.walk_ps;
    n[SAMPLE_BRANCHES] = c->x86.window ? c->x86.window->stats.branches : 0;
    n[SAMPLE_MISPREDICTS] = c->x86.window ? c->x86.window->stats.mispredicts : 0;
}

static void emit(struct pace *p)
{
    p->has_open = false;
    if (p->open.n[SAMPLE_INSTRUCTIONS] == 0)
        return;
    if (p->n_intervals == p->cap_intervals) {
        p->cap_intervals = p->cap_intervals ? 2 * p->cap_intervals : 64;
        p->interval = xrealloc(p->interval, p->cap_intervals * sizeof *p->interval);
    }
    p->interval[p->n_intervals++] = p->open;
    int64_t fs = (int64_t)p->open.n[SAMPLE_USER_PS] * 1000 / (int64_t)p->open.n[SAMPLE_INSTRUCTIONS];
    p->time_fs += (__int128)fs * p->open.stands_for;
    p->stood_for += p->open.stands_for;
    p->measured_fs = p->time_fs > 0 ? (uint64_t)(p->time_fs / (__int128)p->stood_for) : 0;
}

/* ---- phases ---- */

/* Time an instruction while warming: what the intervals say, and what the clock is behind or ahead of them is made up
 * for until the next one. */
static uint64_t forward_fs(const struct pace *p)
{
    uint64_t mean = p->measured_fs, left = p->next_lead - min_u64(p->next_lead, p->instructions);
    if (!mean || !left)
        return 0;
    uint64_t sampled = p->instructions - p->head.n[SAMPLE_INSTRUCTIONS];
    __int128 target = (__int128)mean * (sampled + left);
    __int128 have = (__int128)(p->stats.user_ps - p->stats.string_ps - p->head.n[SAMPLE_USER_PS]) * 1000;
    __int128 rate = (target - have) / left;
    return rate < mean / 4 ? max_u64(mean / 4, 1) : rate > 4 * (__int128)mean ? 4 * mean : (uint64_t)rate;
}

static bool is_idle(const struct exec_cpu *c)
{
    return c->x->bare ? bare_is_idle(c) : !c->thread;
}

/* The vCPU goes over to the phase that all go over to. */
static void cross(struct pace *p, struct exec_cpu *c)
{
    struct pace_cpu *pc = &p->cpu[c->v->index];
    struct sample_interval *of = p->last_kind == PHASE_MEASURE ? &p->open
                                 : p->last_kind == PHASE_HEAD  ? &p->head
                                                               : NULL;
    for (uint32_t i = 0; of && i < SAMPLE_N; i++)
        of->n[i] += pc->sum[i] - pc->start[i];
    memcpy(pc->start, pc->sum, sizeof pc->start);
    pc->phase = p->phase;
    if (c->x86.timing != p->timing)
        x86_set_timing(&c->x86, p->timing);
}

static bool all_crossed(const struct pace *p)
{
    for (uint32_t i = 0; i < p->x->vm->n_vcpus; i++)
        if (p->cpu[i].phase != p->phase && !is_idle(&p->x->cpu[i]))
            return false;
    return true;
}

static void enter_sampled(struct pace *p, enum phase kind)
{
    const struct pace_conf *c = &p->conf;
    uint64_t lead = p->next_lead;
    p->timing = c->timing;
    if (kind == PHASE_FAR && (!c->warming || lead - min_u64(lead, p->instructions) <= c->warming))
        kind = PHASE_WARM;
    p->kind = kind;
    if (kind == PHASE_FAR || kind == PHASE_WARM) {
        p->timing = kind == PHASE_FAR ? X86_FUNCTIONAL : X86_WARM;
        p->end = kind == PHASE_FAR ? lead - c->warming : lead;
    } else if (kind == PHASE_HEAD) {
        p->end = c->head;
    } else if (kind == PHASE_LEAD) {
        p->end = p->instructions + c->lead;
    } else {
        p->end = p->instructions + c->interval;
        p->open = (struct sample_interval){.at = p->instructions, .at_ps = p->switch_ps};
        p->has_open = true;
        uint64_t from = p->next_lead;
        while (p->next_lead < p->end) /* several vCPUs may have run beyond the next one's place */
            p->next_lead += c->period;
        p->open.stands_for = p->next_lead - from;
    }
}

static void enter(struct pace *p, enum phase kind)
{
    ps_t latest = 0;
    for (uint32_t i = 0; i < p->x->vm->n_vcpus; i++)
        latest = max_u64(latest, vcpu_cpu(&p->x->vm->vcpu[i])->core.now_ps);
    p->switch_ps = latest;
    p->last_kind = p->kind;
    p->phase++;
    if (p->conf.is_sampled) {
        enter_sampled(p, kind);
        return;
    }
    p->kind = kind;
    p->end = p->next_step < p->n_steps ? p->step[p->next_step].at : UINT64_MAX;
}

/* The interval that was measured is done when every vCPU has left it. */
static void close_interval(struct pace *p)
{
    if (!p->has_open || p->kind == PHASE_MEASURE)
        return;
    emit(p);
    p->forward_fs = forward_fs(p);
}

/* The phase is over, and every vCPU has been in it. */
static void decide(struct pace *p)
{
    for (uint32_t i = 0; i < p->x->vm->n_vcpus; i++)
        if (p->cpu[i].phase != p->phase)
            cross(p, &p->x->cpu[i]);
    close_interval(p);
    if (p->conf.is_sampled) {
        static const enum phase next[] = {[PHASE_HEAD] = PHASE_FAR,
                                          [PHASE_FAR] = PHASE_WARM,
                                          [PHASE_WARM] = PHASE_LEAD,
                                          [PHASE_LEAD] = PHASE_MEASURE,
                                          [PHASE_MEASURE] = PHASE_FAR};
        enter(p, next[p->kind]);
        return;
    }
    if (p->wanted >= 0) {
        p->timing = (enum x86_timing)p->wanted;
        p->wanted = -1;
    } else {
        p->timing = p->step[p->next_step++].timing;
    }
    enter(p, PHASE_FIXED);
}

/* ---- around a run ---- */

uint64_t pace_runs(struct pace *p, struct exec_cpu *c, uint64_t allowed, ps_t *until_ps)
{
    struct pace_cpu *pc = &p->cpu[c->v->index];
    ps_t now = vcpu_cpu(c->v)->core.now_ps;
    for (;;) {
        if (pc->phase != p->phase && now >= p->switch_ps)
            cross(p, c);
        if ((p->instructions < p->end && p->wanted < 0) || !all_crossed(p))
            break;
        decide(p);
    }
    if (all_crossed(p))
        close_interval(p);
    c->x86.forward_fs = p->forward_fs;
    if (pc->phase != p->phase) {
        *until_ps = min_u64(*until_ps, p->switch_ps);
    } else if (p->end > p->instructions && p->end != UINT64_MAX) {
        uint64_t left = p->end - p->instructions;
        allowed = allowed ? min_u64(allowed, left) : left;
    }
    counters(c, pc->before);
    return allowed;
}

void pace_ran(struct pace *p, struct exec_cpu *c)
{
    struct pace_cpu *pc = &p->cpu[c->v->index];
    uint64_t after[SAMPLE_N], ran;
    counters(c, after);
    for (uint32_t i = 0; i < SAMPLE_N; i++)
        pc->sum[i] += after[i] - pc->before[i];
    ran = after[SAMPLE_INSTRUCTIONS] - pc->before[SAMPLE_INSTRUCTIONS];
    p->instructions += ran;
    ((uint64_t *)(void *)&p->stats)[c->x86.timing] += ran;
    p->stats.string_ps += c->x86.string_ps - pc->string_ps;
    p->stats.user_ps += c->x86.string_ps - pc->string_ps;
    pc->string_ps = c->x86.string_ps;
    p->stats.user_ps += after[SAMPLE_USER_PS] - pc->before[SAMPLE_USER_PS];
}

int pace_mark(struct pace *p, enum x86_timing timing)
{
    if (p->conf.is_sampled)
        return -1;
    p->wanted = (int)timing;
    return 0;
}

/* ---- the end ---- */

static void write_row(FILE *f, const char *name, const struct sample_interval *s)
{
    fprintf(f, "%s,%llu,%llu,%llu", name, (unsigned long long)s->at, (unsigned long long)s->at_ps,
            (unsigned long long)s->stands_for);
    for (uint32_t k = 0; k < SAMPLE_N; k++)
        fprintf(f, ",%lld", (long long)s->n[k]);
    fputc('\n', f);
}

int pace_finish(struct pace *p, struct diag *d)
{
    if (p->kind == PHASE_HEAD) /* it was the whole program */
        enter(p, PHASE_FAR);
    for (uint32_t i = 0; i < p->x->vm->n_vcpus; i++)
        if (p->cpu[i].phase != p->phase)
            cross(p, &p->x->cpu[i]);
    close_interval(p);
    p->head.stands_for = p->head.n[SAMPLE_INSTRUCTIONS];
    if (!p->file.f)
        return 0;
    fputs("interval,at_instruction,at_ps,stands_for", p->file.f);
    for (uint32_t k = 0; k < SAMPLE_N; k++)
        fprintf(p->file.f, ",%s", sample_count_names[k]);
    fputc('\n', p->file.f);
    if (p->conf.head)
        write_row(p->file.f, "head", &p->head);
    for (uint32_t i = 0; i < p->n_intervals; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        write_row(p->file.f, name, &p->interval[i]);
    }
    return out_commit(&p->file, d);
}

const struct pace_stats *pace_stats(const struct pace *p)
{
    return &p->stats;
}

struct sample pace_sample(const struct pace *p)
{
    return (struct sample){.head = p->head,
                           .interval = p->interval,
                           .n_intervals = p->n_intervals,
                           .instructions = p->instructions,
                           .cycle_ps = vcpu_cpu(&p->x->vm->vcpu[0])->core.cycle_ps};
}

void pace_state(struct pace *p, struct ckpt *c)
{
    uint64_t n = p->n_intervals, cap = p->cap_intervals;
    ckpt_section(c, "pace");
    ckpt_same(c, p->n_steps, "changes of timing");
    CKPT_STRUCT(c, p, CKPT_KEEP(struct pace, conf.timing_at), CKPT_KEEP(struct pace, conf.file),
                CKPT_KEEP(struct pace, x), CKPT_KEEP(struct pace, step), CKPT_KEEP(struct pace, cpu),
                CKPT_KEEP(struct pace, interval), CKPT_KEEP(struct pace, file.f), CKPT_KEEP(struct pace, file.path),
                CKPT_KEEP(struct pace, file.tmp));
    ckpt_array(c, &p->interval, &n, &cap, sizeof *p->interval, UINT32_MAX);
    ckpt_bytes(c, p->cpu, p->x->vm->n_vcpus * sizeof *p->cpu);
    if (!ckpt_is_loading(c))
        return;
    p->n_intervals = (uint32_t)n;
    p->cap_intervals = (uint32_t)cap;
    p->next_step = (uint32_t)min_u64(p->next_step, p->n_steps);
}
