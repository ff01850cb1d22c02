/* SPDX-License-Identifier: MIT */
/* LIRS, ARC and S3-FIFO against models written from the papers' definitions: plain arrays that are searched, and for
 * LIRS no stack at all, only the instants at which ids were last accessed. */
#include "sim/base/rng.h"
#include "sim/mrc/policy.h"

#include <criterion/criterion.h>
#include <string.h>

#define MOST_IDS 600
#define MOST_N   6000

/* LIRS by its definitions (Jiang, Zhang 2002, section 3). Rmax is the recency of the LIR id accessed longest ago. An
 * access to an id that is not LIR has an inter-reference recency below Rmax if it was last accessed after that one; it
 * becomes LIR then, and that one loses the rank. Ids are resident as LIR or in the queue, in order of entry to it. */
struct lirs_model {
    uint64_t last[MOST_IDS];    /* instant of the last access, 0 = never */
    uint64_t entered[MOST_IDS]; /* instant of entry to the queue, 0 = not in it */
    bool lir[MOST_IDS];
    uint64_t n_lir, n_queue, clock;
};

static int oldest_lir(const struct lirs_model *m)
{
    int oldest = -1;
    for (int i = 0; i < MOST_IDS; i++) {
        if (m->lir[i] && (oldest < 0 || m->last[i] < m->last[oldest]))
            oldest = i;
    }
    return oldest;
}

static void enter_queue(struct lirs_model *m, int id)
{
    m->n_queue += m->entered[id] == 0;
    m->entered[id] = ++m->clock;
}

static void evict_front(struct lirs_model *m)
{
    int front = -1;
    for (int i = 0; i < MOST_IDS; i++) {
        if (m->entered[i] && (front < 0 || m->entered[i] < m->entered[front]))
            front = i;
    }
    m->entered[front] = 0;
    m->n_queue--;
}

/* Makes id, which was accessed now, a LIR one in the place of the oldest. */
static void exchange(struct lirs_model *m, int id)
{
    int oldest = oldest_lir(m);
    m->lir[oldest] = false;
    m->n_queue -= m->entered[id] != 0;
    m->entered[id] = 0;
    m->lir[id] = true;
    enter_queue(m, oldest);
}

static uint64_t lirs_model(const uint64_t *ids, uint32_t n, uint64_t size)
{
    static struct lirs_model m;
    uint64_t misses = 0, most_lir = size - (size / 100 ? size / 100 : 1);
    memset(&m, 0, sizeof m);
    for (uint32_t i = 0; i < n; i++) {
        int id = (int)ids[i], oldest = oldest_lir(&m);
        bool hit = m.lir[id] || m.entered[id];
        bool near = oldest >= 0 && m.last[id] > m.last[oldest];
        if (!hit && m.n_lir + m.n_queue == size)
            evict_front(&m);
        misses += !hit;
        m.last[id] = ++m.clock;
        if (m.lir[id])
            continue;
        if (m.n_lir < most_lir) {
            m.lir[id] = true;
            m.n_lir++;
        } else if (near) {
            exchange(&m, id);
        } else {
            enter_queue(&m, id);
        }
    }
    return misses;
}

/* A row of ids, the newest last. */
struct row {
    uint64_t id[2 * MOST_IDS], count[2 * MOST_IDS];
    uint64_t n;
};

static int place(const struct row *r, uint64_t id)
{
    for (uint64_t i = 0; i < r->n; i++) {
        if (r->id[i] == id)
            return (int)i;
    }
    return -1;
}

static bool take(struct row *r, uint64_t id)
{
    int at = place(r, id);
    if (at < 0)
        return false;
    memmove(&r->id[at], &r->id[at + 1], (r->n - (uint64_t)at - 1) * sizeof *r->id);
    memmove(&r->count[at], &r->count[at + 1], (r->n - (uint64_t)at - 1) * sizeof *r->count);
    r->n--;
    return true;
}

static void add(struct row *r, uint64_t id, uint64_t count)
{
    r->id[r->n] = id;
    r->count[r->n++] = count;
}

/* The oldest one moves to the end of another row. */
static void shift(struct row *from, struct row *to)
{
    uint64_t id = from->id[0];
    take(from, id);
    add(to, id, 0);
}

struct arc_model {
    struct row t1, t2, b1, b2;
    uint64_t c, p;
};

static void replace(struct arc_model *m, bool in_b2)
{
    if (m->t1.n >= 1 && ((in_b2 && m->t1.n == m->p) || m->t1.n > m->p))
        shift(&m->t1, &m->b1);
    else
        shift(&m->t2, &m->b2);
}

/* Case IV of figure 4 of Megiddo, Modha 2003. */
static void arc_unknown(struct arc_model *m, uint64_t x)
{
    if (m->t1.n + m->b1.n == m->c) {
        if (m->t1.n < m->c) {
            take(&m->b1, m->b1.id[0]);
            replace(m, false);
        } else {
            take(&m->t1, m->t1.id[0]);
        }
    } else if (m->t1.n + m->b1.n + m->t2.n + m->b2.n >= m->c) {
        if (m->t1.n + m->b1.n + m->t2.n + m->b2.n == 2 * m->c)
            take(&m->b2, m->b2.id[0]);
        replace(m, false);
    }
    add(&m->t1, x, 0);
}

static uint64_t arc_model(const uint64_t *ids, uint32_t n, uint64_t size)
{
    static struct arc_model m;
    uint64_t misses = 0;
    memset(&m, 0, sizeof m);
    m.c = size;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = ids[i], b1 = m.b1.n, b2 = m.b2.n;
        if (take(&m.t1, x) || take(&m.t2, x)) {
            add(&m.t2, x, 0);
            continue;
        }
        misses++;
        if (place(&m.b1, x) >= 0) {
            uint64_t step = b1 >= b2 ? 1 : b2 / b1;
            m.p = m.p + step > m.c ? m.c : m.p + step;
            replace(&m, false);
            take(&m.b1, x);
            add(&m.t2, x, 0);
        } else if (place(&m.b2, x) >= 0) {
            uint64_t step = b2 >= b1 ? 1 : b1 / b2;
            m.p = step > m.p ? 0 : m.p - step;
            replace(&m, true);
            take(&m.b2, x);
            add(&m.t2, x, 0);
        } else {
            arc_unknown(&m, x);
        }
    }
    return misses;
}

struct s3_model {
    struct row s, m, g;
    uint64_t s_size, m_size, g_size;
};

/* EVICTM of algorithm 1 of Yang et al. 2023. */
static void evict_m(struct s3_model *c)
{
    for (;;) {
        uint64_t id = c->m.id[0], count = c->m.count[0];
        take(&c->m, id);
        if (count == 0)
            return;
        add(&c->m, id, count - 1);
    }
}

/* EVICTS of the same. */
static void evict_s(struct s3_model *c)
{
    while (c->s.n > 0) {
        uint64_t id = c->s.id[0], count = c->s.count[0];
        take(&c->s, id);
        if (count <= 1) {
            add(&c->g, id, 0);
            if (c->g.n > c->g_size)
                take(&c->g, c->g.id[0]);
            return;
        }
        add(&c->m, id, 0);
        if (c->m.n > c->m_size)
            evict_m(c);
    }
}

static uint64_t s3_model(const uint64_t *ids, uint32_t n, uint64_t size)
{
    static struct s3_model c;
    uint64_t misses = 0;
    memset(&c, 0, sizeof c);
    c.s_size = size < 10 ? 1 : size / 10;
    c.m_size = size - c.s_size;
    c.g_size = c.m_size > 0 ? c.m_size : 1;
    for (uint32_t i = 0; i < n; i++) {
        int in_s = place(&c.s, ids[i]), in_m = place(&c.m, ids[i]);
        uint64_t *count = in_s >= 0 ? &c.s.count[in_s] : in_m >= 0 ? &c.m.count[in_m] : NULL;
        if (count) {
            *count = *count < 3 ? *count + 1 : 3;
            continue;
        }
        misses++;
        while (c.s.n + c.m.n >= size) {
            if (c.s.n >= c.s_size)
                evict_s(&c);
            else
                evict_m(&c);
        }
        add(take(&c.g, ids[i]) ? &c.m : &c.s, ids[i], 0);
    }
    return misses;
}

static const struct {
    const char *name;
    uint64_t (*misses)(const uint64_t *ids, uint32_t n, uint64_t size);
} models[] = {{"lirs", lirs_model}, {"arc", arc_model}, {"s3fifo", s3_model}};

static void compare(const uint64_t *ids, uint32_t n, uint64_t size)
{
    struct diag d = {0};
    struct mrc_sequence *s = mrc_sequence_new();
    mrc_sequence_feed(s, ids, n);
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        uint64_t got, want = models[m].misses(ids, n, size);
        mrc_sequence_misses(s, mrc_policy_named(models[m].name, &d), &size, 1, &got);
        cr_assert_eq(got, want, "%s, size %lu, %u accesses: %lu misses, expected %lu", models[m].name, size, n, got,
                     want);
    }
    mrc_sequence_free(s);
}

/* Ids of several habits: uniform, skewed, a loop, a hot set with a scan through it; a habit lasts for a while. */
static void draw(struct rng *r, uint64_t *ids, uint32_t n, uint64_t universe)
{
    uint64_t habit = 0, left = 0, at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (left-- == 0) {
            habit = rng_below(r, 4);
            left = rng_below(r, 3 * universe);
        }
        double u = rng_unit(r);
        if (habit == 0)
            ids[i] = rng_below(r, universe);
        else if (habit == 1)
            ids[i] = (uint64_t)(u * u * u * (double)universe);
        else
            ids[i] = habit == 2 || u < 0.5 ? at++ % universe : rng_below(r, universe / 4 + 1);
    }
}

Test(policy_models, tiny_caches)
{
    struct rng r;
    rng_init(&r, 21, "tiny");
    for (int round = 0; round < 400; round++) {
        uint64_t ids[400], universe = 2 + rng_below(&r, 24);
        draw(&r, ids, 400, universe);
        for (uint64_t size = 1; size < universe && size <= 16; size++)
            compare(ids, 1 + (uint32_t)rng_below(&r, 400), size);
    }
}

/* Large enough for several entries outside the LIR set, and for a small queue of many. */
Test(policy_models, caches_of_hundreds)
{
    struct rng r;
    static uint64_t ids[MOST_N];
    rng_init(&r, 22, "hundreds");
    for (int round = 0; round < 6; round++) {
        draw(&r, ids, MOST_N, MOST_IDS);
        compare(ids, MOST_N, 100 + rng_below(&r, 450));
    }
}
