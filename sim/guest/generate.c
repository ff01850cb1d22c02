/* SPDX-License-Identifier: MIT */
/* Generators: records made as they are needed, the same for the same (seed, VM, vCPU). */
#include "sim/guest/guest.h"

#include "sim/base/zipf.h"

#include <stdlib.h>
#include <string.h>

#define BASE_GVA 0x100000000ull /* where the footprint begins */

struct generator {
    const struct vm_conf *conf;
    struct rng rng;
    uint32_t kind, vcpu;
    uint64_t left;      /* operations still to make */
    uint64_t init_page; /* pages that the initial pass has written */
    uint64_t position;  /* stream, chase, log: next offset */
    uint64_t step;      /* log-append: lines of the current record done; phase: operations done */
    uint64_t pages, lines;
    struct zipf zipf; /* over the pages */
};

/* A bijection of [0, n): four Feistel rounds over the next even power of two, repeated until the value falls below n.
 */
static uint64_t scatter(uint64_t x, uint64_t n, uint64_t salt)
{
    uint32_t half = 1;
    while (1ull << 2 * half < n)
        half++;
    uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (hash64(right + salt * 4 + round) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}

static struct trace_rec make(const struct generator *g, uint8_t kind, uint64_t addr, uint16_t size)
{
    return (struct trace_rec){
        .addr = addr, .arg = (uint32_t)g->conf->think, .size = size, .kind = kind, .vcpu = (uint8_t)g->vcpu};
}

static struct trace_rec touch(struct generator *g, uint64_t offset)
{
    bool write = rng_below(&g->rng, 1000000) < g->conf->write_ppm;
    g->left--;
    return make(g, write ? TRACE_WRITE : TRACE_READ, BASE_GVA + offset, 8);
}

static struct trace_rec next_stream(struct generator *g)
{
    uint64_t at = g->position;
    g->position = (at + LINE_BYTES) % g->conf->footprint_bytes;
    return touch(g, at);
}

static struct trace_rec next_random(struct generator *g)
{
    return touch(g, rng_below(&g->rng, g->conf->footprint_bytes / 8) * 8);
}

/* Every line of the footprint once a round, in an order that has no pattern. */
static struct trace_rec next_chase(struct generator *g)
{
    uint64_t at = scatter(g->position, g->lines, 1) * LINE_BYTES;
    g->position = (g->position + 1) % g->lines;
    g->left--;
    return make(g, TRACE_READ, BASE_GVA + at, 8);
}

static struct trace_rec zipf_in(struct generator *g, uint64_t salt)
{
    uint64_t page = scatter(zipf_draw(&g->zipf, &g->rng), g->pages, salt);
    return touch(g, page * PAGE_BYTES + rng_below(&g->rng, PAGE_BYTES / 8) * 8);
}

static struct trace_rec next_zipf(struct generator *g)
{
    return zipf_in(g, 2);
}

/* Zipf over another arrangement of the pages in each of four phases. */
static struct trace_rec next_phase(struct generator *g)
{
    uint64_t phase = g->step++ * 4 / (g->conf->accesses ? g->conf->accesses : 1);
    return zipf_in(g, 3 + phase);
}

/* One record: a store and a CLWB for each of its lines, then a flush. Each vCPU has its own part of the region. */
static struct trace_rec next_log(struct generator *g)
{
    uint64_t lines = (g->conf->append_bytes + LINE_BYTES - 1) / LINE_BYTES;
    uint64_t part = g->conf->pmem_bytes / g->conf->vcpus / (lines * LINE_BYTES) * (lines * LINE_BYTES);
    uint64_t base = GUEST_PMEM_GVA + g->vcpu * part + g->position, step = g->step++;
    if (step < lines)
        return make(g, TRACE_WRITE, base + step * LINE_BYTES, (uint16_t)min_u64(LINE_BYTES, g->conf->append_bytes));
    if (step < 2 * lines)
        return make(g, TRACE_CLWB, base + (step - lines) * LINE_BYTES, 0);
    g->step = 0;
    g->position = (g->position + lines * LINE_BYTES) % part;
    g->left--;
    return make(g, TRACE_FLUSH_HINT, base, 0);
}

static const struct {
    const char *name, *help;
    struct trace_rec (*next)(struct generator *g);
    bool is_dependent, needs_pmem;
} kinds[] = {
    {"stream", "one access a line, from the start of the footprint to its end, over and over", next_stream, false,
     false},
    {"random", "uniform over the footprint, 8 bytes", next_random, false, false},
    {"chase", "loads that depend on each other, each line once a round", next_chase, true, false},
    {"zipf", "pages by a Zipf law, scattered over the footprint; offset uniform", next_zipf, false, false},
    {"phase", "zipf with other hot pages in each quarter of the run", next_phase, false, false},
    {"log-append", "append records to persistent memory: stores, CLWB, flush", next_log, false, true},
};

const char *generator_name(uint32_t i)
{
    return i < N_ELEMS(kinds) ? kinds[i].name : NULL;
}

const char *generator_help(uint32_t i)
{
    return i < N_ELEMS(kinds) ? kinds[i].help : NULL;
}

struct generator *generator_new(const char *name, const struct vm_conf *conf, uint64_t seed, uint32_t vm, uint32_t vcpu,
                                const char *where, struct diag *d)
{
    const char *names[N_ELEMS(kinds)];
    uint32_t kind = 0;
    for (uint32_t i = 0; i < N_ELEMS(kinds); i++)
        names[i] = kinds[i].name;
    while (kind < N_ELEMS(kinds) && strcmp(name, kinds[kind].name) != 0)
        kind++;
    if (kind == N_ELEMS(kinds)) {
        const char *near = conf_nearest(name, names, N_ELEMS(names));
        char known[200] = "";
        for (uint32_t i = 0; i < N_ELEMS(kinds); i++)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", names[i]);
        fail(d, "%s: generator: found '%s'%s%s%s, expected one of %s", where, name, near ? " (did you mean '" : "",
             near ? near : "", near ? "'?)" : "", known);
        return NULL;
    }
    if (kinds[kind].needs_pmem && conf->pmem_bytes / conf->vcpus < conf->append_bytes + LINE_BYTES) {
        fail(d, "%s: generator: %s needs persistent memory: `pmem` is too small", where, name);
        return NULL;
    }
    struct generator *g = xcalloc(1, sizeof *g);
    char *stream = xasprintf("generator.%u.%u", vm, vcpu);
    *g = (struct generator){.conf = conf,
                            .kind = kind,
                            .vcpu = vcpu,
                            .left = conf->accesses,
                            .pages = conf->footprint_bytes / PAGE_BYTES,
                            .lines = conf->footprint_bytes / LINE_BYTES};
    rng_init(&g->rng, seed, stream);
    zipf_init(&g->zipf, g->pages, (double)conf->zipf_ppm / 1e6);
    free(stream);
    return g;
}

bool generator_is_dependent(const struct generator *g)
{
    return kinds[g->kind].is_dependent;
}

int generator_next(void *state, struct trace_rec *out, uint32_t max, struct diag *d)
{
    struct generator *g = state;
    uint32_t n = 0;
    (void)d;
    while (n < max && g->conf->init && g->init_page < g->pages)
        out[n++] = make(g, TRACE_WRITE, BASE_GVA + g->init_page++ * PAGE_BYTES, 8);
    while (n < max && g->left)
        out[n++] = kinds[g->kind].next(g);
    return (int)n;
}

void generator_state(struct generator *g, struct ckpt *c)
{
    CKPT(c, g->rng);
    CKPT(c, g->left);
    CKPT(c, g->init_page);
    CKPT(c, g->position);
    CKPT(c, g->step);
}
