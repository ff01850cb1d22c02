/* SPDX-License-Identifier: MIT */
/* The memory directory against a table of bits: what changes them, what that writes, whom a home asks. */
#include "sim/base/rng.h"
#include "sim/machine/machine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES 3u
#define LINES 256u /* of each node */

struct rig {
    struct mem *mem;
    struct numa *n;
    bool bit[NODES][LINES];
    uint64_t writes[NODES], snoops[NODES];
};

static void rig_with(struct rig *r, bool has_directory, uint64_t places)
{
    struct machine_conf c;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &c, &d), 0);
    c.numa.n_nodes = NODES;
    c.numa.dram_bytes = GIB;
    c.numa.has_directory = has_directory;
    c.numa.directory_places = places ? places : c.numa.directory_places;
    *r = (struct rig){.mem = mem_new(), .n = xcalloc(1, sizeof *r->n)};
    cr_assert_eq(numa_init(r->n, &c.numa, &c.imc, &c.pmem, &c.cxl, &c.cxl_imc, r->mem, &d), 0, "%s", d.text);
}

static void rig_up(struct rig *r, bool has_directory)
{
    rig_with(r, has_directory, 0);
}

static void rig_down(struct rig *r)
{
    numa_fini(r->n);
    mem_free(r->mem);
    free(r->n);
}

/* Lines of three pages a node, not next to each other. */
static uint64_t line_of(const struct rig *r, uint32_t home, uint64_t i)
{
    return (mem_find_region(r->mem, home, MEM_DRAM)->base >> LINE_SHIFT) + i % 3 * 777 * 64 + i / 3 % 64;
}

static uint64_t channel_writes(const struct rig *r, uint32_t node)
{
    uint64_t sum = 0;
    for (uint32_t c = 0; c < r->n->node[node].n_chans; c++)
        sum += r->n->node[node].chan[c].stats.writes;
    return sum;
}

static void model_set(struct rig *r, uint32_t home, uint64_t i, bool is_paid)
{
    r->writes[home] += is_paid && !r->bit[home][i];
    r->bit[home][i] = true;
}

/* One random request to both; how many lines it writes as such. */
static uint64_t step(struct rig *r, struct rng *rng, ps_t t)
{
    uint32_t home = (uint32_t)rng_below(rng, NODES), from = (uint32_t)rng_below(rng, NODES);
    uint64_t i = rng_below(rng, 192), line = line_of(r, home, i);
    bool is_kept = rng_below(rng, 2), is_written = rng_below(rng, 2);
    switch (rng_below(rng, 6)) {
    case 0:
    case 1: {
        bool asks = from == home && r->bit[home][i];
        ps_t done = numa_read(r->n, from, line, t);
        cr_assert(!asks || done >= t + 2 * r->n->conf.hop_ps, "the home waits for the others' answers");
        r->snoops[home] += asks;
        r->writes[home] += asks;
        if (from == home)
            r->bit[home][i] = false;
        else
            model_set(r, home, i, true);
        return 0;
    }
    case 2:
        numa_write(r->n, from, line, t);
        r->bit[home][i] = false;
        return 1;
    case 3:
        numa_write(r->n, from, line, numa_claim(r->n, from, line, t));
        r->bit[home][i] = false;
        return 1;
    case 4:
        numa_kept(r->n, from, line);
        if (from != home)
            model_set(r, home, i, false);
        return 0;
    default:
        numa_passed(r->n, from, line, is_kept, is_written, t);
        if (from != home || is_kept)
            model_set(r, home, i, !is_written);
        return 0;
    }
}

Test(directory, bits_and_writes_are_those_of_a_table)
{
    struct rig r;
    struct rng rng;
    rig_up(&r, true);
    rng_init(&rng, 3, "directory");
    uint64_t asked = 0, set = 0, written = 0, paid = 0, on_channels = 0;
    for (uint32_t k = 0; k < 60000; k++)
        asked += step(&r, &rng, (ps_t)k * 100000);
    for (uint32_t home = 0; home < NODES; home++) {
        for (uint64_t i = 0; i < 192; i++) {
            set += r.bit[home][i];
            cr_assert_eq(directory_has(&r.n->directory, line_of(&r, home, i)), r.bit[home][i], "line %u.%u", home,
                         (unsigned)i);
        }
        const struct node_stats *s = &r.n->stats[home];
        cr_expect_eq(s->directory_writes, r.writes[home], "%lu for %lu", (unsigned long)s->directory_writes,
                     (unsigned long)r.writes[home]);
        cr_expect_eq(s->directory_snoops, r.snoops[home]);
        written += s->local_writes + s->remote_writes;
        paid += s->directory_writes;
        on_channels += channel_writes(&r, home);
    }
    cr_expect_eq(r.n->directory.n_lines, set);
    cr_expect(set > 0 && paid > 1000 && r.snoops[0] > 100, "the stream shows something");
    cr_expect_eq(written, asked);
    cr_expect_eq(on_channels, asked + paid);
    rig_down(&r);
}

Test(directory, without_one_nothing_is_noted)
{
    struct rig r;
    struct rng rng;
    rig_up(&r, false);
    rng_init(&rng, 4, "directory");
    for (uint32_t k = 0; k < 5000; k++) {
        step(&r, &rng, (ps_t)k * 100000);
        memset(r.bit, 0, sizeof r.bit);
    }
    for (uint32_t home = 0; home < NODES; home++)
        cr_expect_eq(r.n->stats[home].directory_writes + r.n->stats[home].directory_snoops, 0);
    cr_expect_eq(r.n->directory.page.n + r.n->directory.n_lines, 0);
    rig_down(&r);
}

/* A stream of another socket writes each line's bit once, however often it reads them; pages without a bit are not
 * kept. */
Test(directory, lines_read_again_cost_nothing)
{
    struct rig r;
    rig_up(&r, true);
    uint64_t first = mem_find_region(r.mem, 1, MEM_DRAM)->base >> LINE_SHIFT, n = 4096;
    for (uint32_t pass = 0; pass < 3; pass++)
        for (uint64_t i = 0; i < n; i++)
            numa_read(r.n, 0, first + i, (pass * n + i) * 10000);
    cr_expect_eq(r.n->stats[1].directory_writes, n);
    cr_expect_eq(r.n->directory.n_lines, n);
    cr_expect_eq(r.n->directory.page.n, n / 64);
    for (uint64_t i = 0; i < n; i++)
        numa_write(r.n, 0, first + i, (4 * n + i) * 10000);
    cr_expect_eq(r.n->stats[1].directory_writes, n, "a write-back takes the bit along");
    cr_expect_eq(r.n->directory.page.n + r.n->directory.n_lines, 0);
    rig_down(&r);
}

/* Requests in order of time: as many as there are places are under way at most, and nobody waits for longer than that
 * takes. */
Test(directory, places_are_as_many_as_there_are)
{
    enum { PLACES = 5 };
    struct directory_places p = {0};
    struct rng rng;
    ps_t end[PLACES] = {0}, t = 0;
    uint32_t waited = 0;
    rng_init(&rng, 6, "places");
    for (uint32_t k = 0; k < 20000; k++) {
        uint32_t first = 0, busy = 0;
        ps_t at = t += rng_below(&rng, 40);
        for (uint32_t i = 0; i < PLACES; i++) {
            busy += end[i] > t;
            first = end[i] < end[first] ? i : first;
        }
        ps_t *place = directory_place(&p, PLACES, &at);
        cr_assert_eq(at, busy == PLACES ? end[first] : t, "request %u", k);
        waited += at > t;
        if (rng_below(&rng, 4)) /* some need none */
            end[first] = *place = at + rng_below(&rng, 200);
        t = at;
    }
    cr_expect(waited > 1000 && waited < 19000, "%u waited", waited);
}

/* With one place a home reads one line after the other for other sockets, until all have their bits. */
Test(directory, a_home_sets_few_bits_at_a_time)
{
    enum { READS = 64 };
    struct rig one, many;
    rig_with(&one, true, 1);
    rig_with(&many, true, DIRECTORY_MAX_PLACES);
    ps_t last_one = 0, last_many = 0, before = 0, t = PS_PER_US;
    ps_t least = one.n->node[1].conf.dram.t_cl_ps; /* of a read */
    for (uint64_t i = 0; i < READS; i++) {
        ps_t done = numa_read(one.n, 0, line_of(&one, 1, i), t);
        cr_expect(done >= before + least, "read %u before its turn", (unsigned)i);
        before = last_one = done;
        last_many = max_u64(last_many, numa_read(many.n, 0, line_of(&many, 1, i), t));
    }
    cr_expect_eq(one.n->stats[1].directory_waits, READS - 1);
    cr_expect_eq(many.n->stats[1].directory_waits, 0);
    cr_expect(last_one - t > 4 * (last_many - t), "%lu and %lu", (unsigned long)(last_one - t),
              (unsigned long)(last_many - t));
    for (uint64_t i = 0; i < READS; i++)
        numa_read(one.n, 0, line_of(&one, 1, i), 2 * last_one);
    cr_expect_eq(one.n->stats[1].directory_waits, READS - 1, "bits that are set wait for nothing");
    cr_expect_eq(one.n->stats[1].directory_writes, READS);
    rig_down(&one);
    rig_down(&many);
}

/* Claims until the data come: as many as are noted cost nothing, each beyond writes its line once more. */
Test(directory, a_home_notes_few_claims)
{
    enum { STORES = 30 };
    struct rig r;
    rig_with(&r, true, 0);
    uint64_t noted = r.n->conf.directory_claims, free_writes = channel_writes(&r, 1);
    cr_assert(noted > 1 && noted < STORES);
    ps_t t = PS_PER_US, last = t;
    for (uint64_t i = 0; i < STORES; i++) { /* at once */
        ps_t granted = numa_claim(r.n, 0, line_of(&r, 1, i), t);
        cr_expect(granted > t);
        last = max_u64(last, numa_write(r.n, 0, line_of(&r, 1, i), granted));
    }
    cr_expect_eq(r.n->stats[1].directory_writes, STORES - noted);
    cr_expect_eq(channel_writes(&r, 1) - free_writes, 2 * STORES - noted);
    for (uint64_t i = 0; i < STORES; i++) /* one after the other */
        last = numa_write(r.n, 0, line_of(&r, 1, i), numa_claim(r.n, 0, line_of(&r, 1, i), last));
    cr_expect_eq(r.n->stats[1].directory_writes, STORES - noted);
    cr_expect_eq(r.n->directory.n_lines, 0, "the data take the bit along");
    numa_claim(r.n, 1, line_of(&r, 1, 0), t); /* its own line: nobody is asked */
    cr_expect_eq(r.n->stats[1].directory_writes, STORES - noted);
    rig_down(&r);
}

Test(directory, survives_a_checkpoint)
{
    struct mem_directory d = {0}, e = {0};
    struct rng rng;
    struct diag diag = {0};
    char path[] = "/tmp/quire-directory-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    rng_init(&rng, 5, "directory");
    for (uint32_t i = 0; i < 5000; i++)
        directory_set(&d, rng_below(&rng, 1 << 20));
    for (int loads = 0; loads < 2; loads++) {
        struct ckpt *c = loads ? ckpt_open(path, &diag) : ckpt_create(path, &diag);
        cr_assert_not_null(c, "%s", diag.text);
        ckpt_section(c, "directory");
        directory_state(loads ? &e : &d, c);
        cr_assert_eq(ckpt_close(c, &diag), 0, "%s", diag.text);
    }
    cr_expect_eq(d.n_lines, e.n_lines);
    for (uint64_t line = 0; line < 1 << 20; line++)
        cr_assert_eq(directory_has(&d, line), directory_has(&e, line));
    directory_fini(&d);
    directory_fini(&e);
    remove(path);
}
