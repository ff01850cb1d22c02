/* SPDX-License-Identifier: MIT */
/* The address space beside a model that knows one byte of state a page: random maps, unmaps, protections, moves,
 * touches and forks; after each, what the page tables allow and what the pages hold has to be the model's. */
#include "sim/base/rng.h"
#include "sim/guest/space.h"
#include "sim/machine/machine.h"
#include "sim/machine/run.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 64u
#define BASE  0x10000000ull

struct model_page {
    bool is_mapped;
    uint8_t prot;
    uint64_t value; /* first word; 0 before it is written */
};
struct both {
    struct space space;
    struct model_page page[PAGES];
};

static int no_fault(struct vcpu *v, uint64_t gva, uint32_t access, struct diag *d)
{
    (void)v;
    (void)gva;
    (void)access;
    (void)d;
    return 1;
}
static int no_run(struct vcpu *v, ps_t until, struct diag *d)
{
    (void)until;
    (void)d;
    v->is_done = true;
    return 0;
}
static const struct guest_ops ops = {.page_fault = no_fault, .run = no_run};

struct host {
    struct machine *m;
    struct vm *vm;
    struct page_pool pool;
    struct diag d;
};

static void host_init(struct host *h, bool is_native)
{
    static const char text[] = "machine { hypervisor { cores = 1 } numa { dram = \"1GiB\" } }";
    struct machine_conf mc;
    memset(h, 0, sizeof *h);
    struct conf *conf = conf_parse(text, strlen(text), "test", "", &experiment_schema, &h->d);
    cr_assert(conf && machine_bind(conf_find(conf_root(conf), "machine", NULL), &mc, &h->d) == 0, "%s", h->d.text);
    h->m = machine_new(&mc, &h->d);
    struct vm_setup s = {.name = "a", .bytes = 32 * MIB, .n_vcpus = 1, .backing = LEVEL_2M, .ops = &ops, .guest = NULL};
    h->vm = hv_vm_new(&h->m->hv, &s, &h->d);
    cr_assert(h->vm, "%s", h->d.text);
    h->vm->is_native = is_native;
    if (is_native)
        h->vm->vcpu[0].space.ept = NULL;
    pool_init(&h->pool, h->vm);
    conf_free(conf);
}

/* The VM has no guest that machine_free() could free. */
static void host_fini(struct host *h)
{
    pool_fini(&h->pool);
    hv_fini(&h->m->hv);
    caches_fini(&h->m->caches);
    numa_fini(&h->m->numa);
    mem_free(h->m->mem);
    free(h->m);
}

/* The entry of the last table, by reading the tables. */
static uint64_t entry_of(struct host *h, const struct space *s, uint64_t gva)
{
    uint64_t table = s->cr3;
    for (uint32_t l = 3;; l--) {
        uint64_t e = hv_phys_load64(h->vm, table + (gva >> LEVEL_SHIFT(l) & 511) * 8);
        if (l == 0 || !(e & PTE_P))
            return e;
        table = e & PTE_FRAME;
    }
}

static uint64_t word_of(struct host *h, uint64_t entry)
{
    return frame_load64(h->m->mem, hv_back(&h->vm->vcpu[0], entry & PTE_FRAME, EPT_R));
}

static void compare(struct host *h, const struct both *b, const char *after)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        const struct model_page *m = &b->page[i];
        uint64_t gva = BASE + i * PAGE_BYTES, e = entry_of(h, &b->space, gva);
        const struct region *r = space_at(&b->space, gva);
        cr_assert_eq(r != NULL, m->is_mapped, "%s: page %u", after, i);
        if (!r) {
            cr_assert_eq(e, 0, "%s: page %u has entry %llx", after, i, (unsigned long long)e);
            continue;
        }
        cr_assert_eq(r->prot, m->prot, "%s: page %u", after, i);
        if (e & PTE_P) {
            cr_assert_eq(word_of(h, e), m->value, "%s: page %u holds %llx", after, i,
                         (unsigned long long)word_of(h, e));
            cr_assert(!(e & PTE_W) || m->prot & SPACE_WRITE, "%s: page %u is writable", after, i);
            cr_assert_eq(!(e & PTE_NX), (m->prot & SPACE_EXEC) != 0, "%s: page %u", after, i);
        } else if (!e) {
            cr_assert_eq(m->value, 0, "%s: page %u lost its bytes", after, i);
        }
    }
}

static void touch(struct host *h, struct both *b, uint32_t page, bool write, uint64_t value)
{
    struct model_page *m = &b->page[page];
    uint64_t gva = BASE + page * PAGE_BYTES;
    bool is_present, allowed = m->is_mapped && m->prot && (!write || m->prot & SPACE_WRITE);
    int got = space_fault(&b->space, &h->vm->vcpu[0], gva, write ? EPT_W : EPT_R, &is_present, &h->d);
    cr_assert_eq(got, !allowed, "page %u: %s", page, h->d.text);
    if (!allowed || !write)
        return;
    uint64_t e = entry_of(h, &b->space, gva);
    cr_assert((e & (PTE_P | PTE_W)) == (PTE_P | PTE_W), "page %u cannot be written after its fault", page);
    frame_store64(h->m->mem, hv_back(&h->vm->vcpu[0], e & PTE_FRAME, EPT_W), value);
    m->value = value;
}

static void change(struct host *h, struct both *b, struct rng *r, char *what)
{
    struct vcpu *v = &h->vm->vcpu[0];
    uint32_t at = (uint32_t)rng_below(r, PAGES), n = 1 + (uint32_t)rng_below(r, PAGES - at < 12 ? PAGES - at : 12);
    uint8_t prot = (uint8_t)rng_below(r, 8);
    uint64_t start = BASE + at * PAGE_BYTES, end = start + n * PAGE_BYTES;
    uint32_t op = (uint32_t)rng_below(r, 8);
    snprintf(what, 64, "operation %u at %u, %u pages, prot %u", op, at, n, prot);
    if (op == 0) {
        const struct region region = {.start = start, .end = end, .kind = REGION_ANON, .prot = prot};
        cr_assert_eq(space_map(&b->space, v, &region), 0);
        for (uint32_t i = at; i < at + n; i++)
            b->page[i] = (struct model_page){true, prot, 0};
    } else if (op == 1) {
        space_unmap(&b->space, v, start, end);
        for (uint32_t i = at; i < at + n; i++)
            b->page[i] = (struct model_page){0};
    } else if (op == 2) {
        bool is_whole = true;
        uint32_t i = at;
        for (; i < at + n && b->page[i].is_mapped; i++)
            b->page[i].prot = prot;
        is_whole = i == at + n;
        cr_assert_eq(space_protect(&b->space, v, start, end, prot), is_whole ? 0 : -1, "%s", what);
    } else if (op == 3 && at + 2 * n <= PAGES) {
        const struct region *region = space_at(&b->space, start);
        bool is_one = region && region->end >= end;
        cr_assert_eq(space_move(&b->space, v, start, end, end - start), is_one ? 0 : -1, "%s", what);
        for (uint32_t i = 0; i < n && is_one; i++) {
            b->page[at + n + i] = b->page[at + i];
            b->page[at + i] = (struct model_page){0};
        }
    } else {
        touch(h, b, at, op & 1, rng_next(r) | 1);
    }
}

static void random_walk(bool is_native, uint64_t seed)
{
    struct host h;
    struct rng r;
    char what[64];
    static struct both parent, child;
    memset(&parent, 0, sizeof parent);
    host_init(&h, is_native);
    rng_init(&r, seed, "space");
    struct vcpu *v = &h.vm->vcpu[0];
    cr_assert_eq(space_init(&parent.space, &h.pool, v, 256, &h.d), 0);
    for (uint32_t i = 0; i < 300; i++) {
        change(&h, &parent, &r, what);
        compare(&h, &parent, what);
    }
    /* A fork: both go on by themselves, and neither sees the other's writes. */
    child = parent;
    memset(&child.space, 0, sizeof child.space);
    cr_assert_eq(space_copy(&child.space, &parent.space, v, 257, &h.d), 0);
    for (uint32_t i = 0; i < 300; i++) {
        change(&h, i & 1 ? &parent : &child, &r, what);
        compare(&h, &parent, what);
        compare(&h, &child, what);
    }
    space_fini(&parent.space, v);
    compare(&h, &child, "the parent's end");
    for (uint32_t i = 0; i < 100; i++) {
        change(&h, &child, &r, what);
        compare(&h, &child, what);
    }
    space_fini(&child.space, v);
    cr_expect_eq(h.pool.shared.n, 0, "%llu pages are still shared", (unsigned long long)h.pool.shared.n);
    host_fini(&h);
}

Test(space, random_edits_are_those_of_a_model)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        random_walk(seed & 1, seed);
}

Test(space, memory_comes_back)
{
    struct host h;
    host_init(&h, false);
    struct vcpu *v = &h.vm->vcpu[0];
    uint64_t most = 0;
    for (uint32_t round = 0; round < 20; round++) {
        struct space s;
        bool is_present;
        cr_assert_eq(space_init(&s, &h.pool, v, 256, &h.d), 0, "%s", h.d.text);
        const struct region r = {
            .start = BASE, .end = BASE + 1024 * PAGE_BYTES, .kind = REGION_ANON, .prot = SPACE_WRITE};
        cr_assert_eq(space_map(&s, v, &r), 0);
        for (uint32_t i = 0; i < 1024; i++)
            cr_assert_eq(space_fault(&s, v, BASE + i * PAGE_BYTES, EPT_W, &is_present, &h.d), 0, "%s", h.d.text);
        space_fini(&s, v);
        if (round == 1)
            most = h.pool.next_gpa;
    }
    cr_expect_eq(h.pool.next_gpa, most, "twenty spaces one after the other need no more than two");
    host_fini(&h);
}

Test(space, a_free_range_is_free)
{
    struct host h;
    struct rng r;
    host_init(&h, false);
    rng_init(&r, 5, "find");
    struct vcpu *v = &h.vm->vcpu[0];
    struct space s;
    cr_assert_eq(space_init(&s, &h.pool, v, 256, &h.d), 0);
    for (uint32_t i = 0; i < 500; i++) {
        uint64_t bytes = (1 + rng_below(&r, 40)) * PAGE_BYTES, at = space_find(&s, 0, bytes);
        cr_assert(at && at % PAGE_BYTES == 0 && at + bytes <= SPACE_TOP);
        for (uint64_t k = 0; k < bytes; k += PAGE_BYTES)
            cr_assert(!space_at(&s, at + k));
        const struct region region = {.start = at, .end = at + bytes, .kind = REGION_ANON, .prot = 1, .tag = i};
        cr_assert_eq(space_map(&s, v, &region), 0);
        if (rng_below(&r, 3) == 0)
            space_unmap(&s, v, at, at + PAGE_BYTES);
    }
    space_fini(&s, v);
    host_fini(&h);
}
