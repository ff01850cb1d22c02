/* SPDX-License-Identifier: MIT */
/* Regions and the page tables under them: mapping, faults, copies. */
#include "sim/guest/space_int.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_OF(gva) ((gva) & ~(uint64_t)(PAGE_BYTES - 1))
#define TOP_LEVEL    3u

/* ---- page tables ---- */

/* Guest-physical address of the entry for gva in its last table; 0 if there is none and none is to be made, or no
 * memory. */
static uint64_t slot_of(const struct space *s, struct vcpu *v, uint64_t gva, bool make, struct diag *d)
{
    uint64_t table = s->cr3;
    for (uint32_t l = TOP_LEVEL; l > 0; l--) {
        uint64_t at = table + (gva >> LEVEL_SHIFT(l) & 511) * 8, entry = hv_phys_load64(v->vm, at);
        if (!(entry & PTE_P)) {
            if (!make || pool_take_table(s->pool, &entry, d) || hv_phys_store64(v, at, entry |= PTE_P | PTE_W | PTE_U))
                return 0;
        }
        table = entry & PTE_FRAME;
    }
    return table + (gva >> PAGE_SHIFT & 511) * 8;
}

static uint64_t rights(uint8_t prot)
{
    return (prot ? PTE_P | PTE_U : 0) | (prot & SPACE_WRITE ? PTE_W : 0) | (prot & SPACE_EXEC ? 0 : PTE_NX);
}

/* Every processor that may hold a translation of the page drops it. */
static void changed(const struct space *s, struct vcpu *v, uint64_t gva)
{
    struct vm *vm = v->vm;
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        mmu_flush_page(&vcpu_cpu(&vm->vcpu[i])->mmu, s->asid, gva);
    if (s->pool->changed)
        s->pool->changed(vm, s, gva);
}

/* Calls fn for every entry that is not zero in [start, end). */
typedef int page_fn(struct space *s, struct vcpu *v, uint64_t gva, uint64_t slot, uint64_t entry, void *ctx);
static int for_pages(struct space *s, struct vcpu *v, uint64_t start, uint64_t end, page_fn *fn, void *ctx)
{
    for (uint64_t gva = start; gva < end;) {
        uint64_t slot = slot_of(s, v, gva, false, NULL), next = (gva | (2 * MIB - 1)) + 1;
        for (; slot && gva < min_u64(next, end); gva += PAGE_BYTES, slot += 8) {
            uint64_t entry = hv_phys_load64(v->vm, slot);
            if (entry && fn(s, v, gva, slot, entry, ctx))
                return -1;
        }
        gva = next;
    }
    return 0;
}

static bool is_pmem_page(const struct space *s, uint64_t gpa)
{
    const struct vm *vm = s->pool->vm;
    return vm->is_native ? mem_region_at(vm->hv->mem, gpa)->kind == MEM_PMEM : gpa >= vm->bytes;
}

static int drop_page(struct space *s, struct vcpu *v, uint64_t gva, uint64_t slot, uint64_t entry, void *ctx)
{
    (void)ctx;
    hv_phys_store64(v, slot, 0);
    changed(s, v, gva);
    if (!is_pmem_page(s, entry & PTE_FRAME))
        pool_give(s->pool, v, entry & PTE_FRAME);
    s->n_pages--;
    return 0;
}

/* ---- regions ---- */

/* Index of the first region that ends behind gva. */
static uint32_t find_index(const struct space *s, uint64_t gva)
{
    uint32_t lo = 0, hi = s->n_regions;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (s->region[mid].end > gva)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

struct region *space_at(const struct space *s, uint64_t gva)
{
    uint32_t i = find_index(s, gva);
    return i < s->n_regions && s->region[i].start <= gva ? &s->region[i] : NULL;
}

static void insert(struct space *s, uint32_t at, const struct region *r)
{
    if (s->n_regions == s->cap_regions) {
        s->cap_regions = s->cap_regions ? 2 * s->cap_regions : 16;
        s->region = xrealloc(s->region, s->cap_regions * sizeof *s->region);
    }
    memmove(&s->region[at + 1], &s->region[at], (s->n_regions++ - at) * sizeof *s->region);
    s->region[at] = *r;
}

/* No region crosses gva afterwards. */
static void split(struct space *s, uint64_t gva)
{
    struct region *r = space_at(s, gva);
    if (!r || r->start == gva)
        return;
    struct region upper = *r;
    upper.offset += gva - upper.start;
    upper.start = r->end = gva;
    insert(s, (uint32_t)(r - s->region) + 1, &upper);
}

/* One region with the one before it, where they are alike: an allocator that grows a page at a time keeps few. */
static void join(struct space *s, uint32_t at)
{
    if (at == 0 || at >= s->n_regions)
        return;
    struct region *a = &s->region[at - 1], *b = a + 1;
    bool offsets_fit = a->kind == REGION_ANON || a->kind == REGION_HEAP || a->offset + (a->end - a->start) == b->offset;
    if (a->end != b->start || a->prot != b->prot || a->kind != b->kind || a->is_shared != b->is_shared ||
        a->tag != b->tag || !offsets_fit)
        return;
    a->end = b->end;
    memmove(b, b + 1, (--s->n_regions - at) * sizeof *b);
}

static bool is_valid_range(uint64_t start, uint64_t end)
{
    return start >= PAGE_BYTES && start < end && end <= SPACE_TOP && !((start | end) & (PAGE_BYTES - 1));
}

void space_unmap(struct space *s, struct vcpu *v, uint64_t start, uint64_t end)
{
    if (!is_valid_range(start, end))
        return;
    split(s, start);
    split(s, end);
    uint32_t from = find_index(s, start), to = from;
    while (to < s->n_regions && s->region[to].start < end) {
        for_pages(s, v, s->region[to].start, s->region[to].end, drop_page, NULL);
        to++;
    }
    if (to > from)
        memmove(&s->region[from], &s->region[to], (s->n_regions - to) * sizeof *s->region);
    s->n_regions -= to - from;
}

int space_map(struct space *s, struct vcpu *v, const struct region *what)
{
    if (!is_valid_range(what->start, what->end))
        return -1;
    space_unmap(s, v, what->start, what->end);
    uint32_t at = find_index(s, what->start);
    insert(s, at, what);
    join(s, at + 1);
    join(s, at);
    return 0;
}

static int protect_page(struct space *s, struct vcpu *v, uint64_t gva, uint64_t slot, uint64_t entry, void *ctx)
{
    uint64_t want = *(uint64_t *)ctx;
    if (pool_is_shared(s->pool, entry & PTE_FRAME) && !space_at(s, gva)->is_shared)
        want &= ~PTE_W; /* still to be copied when written */
    hv_phys_store64(v, slot, (entry & (PTE_FRAME | PTE_A | PTE_D)) | want);
    changed(s, v, gva);
    return 0;
}

int space_protect(struct space *s, struct vcpu *v, uint64_t start, uint64_t end, uint8_t prot)
{
    uint64_t want = rights(prot);
    if (!is_valid_range(start, end))
        return -1;
    split(s, start);
    split(s, end);
    uint64_t at = start;
    for (uint32_t i = find_index(s, start); i < s->n_regions && s->region[i].start == at && at < end; i++) {
        struct region *r = &s->region[i];
        at = r->end;
        if (r->prot == prot)
            continue;
        r->prot = prot;
        for_pages(s, v, r->start, r->end, protect_page, &want);
    }
    for (uint32_t i = s->n_regions; i-- > 1;)
        join(s, i);
    return at >= end ? 0 : -1;
}

struct moving {
    uint64_t by;
    struct diag *d;
};
static int move_page(struct space *s, struct vcpu *v, uint64_t gva, uint64_t slot, uint64_t entry, void *ctx)
{
    struct moving *m = ctx;
    uint64_t to = slot_of(s, v, gva + m->by, true, m->d);
    if (!to || hv_phys_store64(v, to, entry) || hv_phys_store64(v, slot, 0))
        return -1;
    changed(s, v, gva);
    return 0;
}

int space_move(struct space *s, struct vcpu *v, uint64_t from, uint64_t to, uint64_t bytes)
{
    const struct region *r = space_at(s, from);
    if (!r || r->end < from + bytes || !is_valid_range(to, to + bytes))
        return -1;
    struct region moved = *r;
    moved.offset += from - r->start;
    moved.start = to;
    moved.end = to + bytes;
    if (space_map(s, v, &moved))
        return -1;
    struct moving m = {to - from, v->vm->hv->diag};
    if (for_pages(s, v, from, from + bytes, move_page, &m))
        return -1;
    space_unmap(s, v, from, from + bytes);
    return 0;
}

uint64_t space_find(const struct space *s, uint64_t hint, uint64_t bytes)
{
    if (bytes == 0 || bytes > SPACE_TOP)
        return 0;
    hint = PAGE_OF(hint);
    if (is_valid_range(hint, hint + bytes)) {
        uint32_t i = find_index(s, hint);
        if (i == s->n_regions || s->region[i].start >= hint + bytes)
            return hint;
    }
    /* Downwards from below the room of the stack. */
    uint64_t end = SPACE_TOP - 2 * SPACE_STACK_BYTES;
    for (uint32_t i = s->n_regions; i-- > 0;) {
        const struct region *r = &s->region[i];
        if (r->start >= end)
            continue;
        if (r->end <= end && end - r->end >= bytes)
            return end - bytes;
        end = min_u64(end, r->start);
    }
    return end >= bytes + PAGE_BYTES ? end - bytes : 0;
}

/* ---- faults ---- */

/* The stack below gva's page grows down to it. */
static struct region *grow_stack(struct space *s, uint64_t gva)
{
    uint32_t i = find_index(s, gva);
    if (i == s->n_regions || s->region[i].kind != REGION_STACK || s->region[i].end - gva > SPACE_STACK_BYTES)
        return NULL;
    if (i > 0 && s->region[i - 1].end > PAGE_OF(gva))
        return NULL;
    s->region[i].start = PAGE_OF(gva);
    return &s->region[i];
}

/* Where the bytes of a persistent region's page are. */
static uint64_t pmem_page(const struct space *s, const struct region *r, uint64_t page)
{
    const struct vm *vm = s->pool->vm;
    uint64_t gpa = vm->region[0].gpa + r->offset + (page - r->start);
    struct ept_leaf leaf;
    if (!vm->is_native)
        return gpa;
    if (!ept_find(&vm->ept, gpa, &leaf))
        return 0;
    return (leaf.entry & EPT_FRAME) + (gpa & ((1ull << LEVEL_SHIFT(leaf.level)) - 1));
}

/* The kernel's copy of a page: every line is read and written. */
static int copy_page(struct vcpu *v, uint64_t to_gpa, uint64_t from_gpa)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    uint64_t to = hv_back(v, to_gpa, EPT_W), from = hv_back(v, from_gpa, EPT_R);
    if (to == UINT64_MAX || from == UINT64_MAX)
        return -1;
    for (uint64_t at = 0; at < PAGE_BYTES; at += LINE_BYTES) {
        core_load(core, cache_access(hv->caches, v->cpu, (from + at) >> LINE_SHIFT, CACHE_READ, core->now_ps),
                  hv->caches->l1_ps);
        core_store(core, cache_access(hv->caches, v->cpu, (to + at) >> LINE_SHIFT, CACHE_WRITE, core->now_ps));
    }
    frame_copy(hv->mem, to >> PAGE_SHIFT, from >> PAGE_SHIFT);
    return 0;
}

/* A write to a page that a fork left shared. */
static int unshare(struct space *s, struct vcpu *v, uint64_t page, uint64_t slot, uint64_t entry, struct diag *d)
{
    uint64_t old = entry & PTE_FRAME, gpa = old;
    if (pool_is_shared(s->pool, old)) {
        if (pool_take(s->pool, &gpa, d) || copy_page(v, gpa, old))
            return -1;
        pool_give(s->pool, v, old);
    }
    if (hv_phys_store64(v, slot, gpa | (entry & ~PTE_FRAME) | PTE_W))
        return -1;
    changed(s, v, page);
    return 0;
}

static int map_new(struct space *s, struct vcpu *v, const struct region *r, uint64_t page, uint64_t slot,
                   struct diag *d)
{
    uint64_t gpa = 0;
    if (r->kind == REGION_PMEM)
        gpa = pmem_page(s, r, page);
    else if (pool_take(s->pool, &gpa, d))
        return -1;
    s->n_pages++;
    return hv_phys_store64(v, slot, gpa | rights(r->prot));
}

int space_fault(struct space *s, struct vcpu *v, uint64_t gva, uint32_t access, bool *is_present, struct diag *d)
{
    uint64_t page = PAGE_OF(gva);
    struct region *r = gva < SPACE_TOP ? space_at(s, gva) : NULL;
    *is_present = false;
    if (!r && gva < SPACE_TOP)
        r = grow_stack(s, gva);
    if (!r)
        return 1;
    uint64_t slot = slot_of(s, v, page, true, d), entry = slot ? hv_phys_load64(v->vm, slot) : 0;
    if (!slot)
        return -1;
    *is_present = entry & PTE_P;
    if (r->prot == 0 || (access & EPT_W && !(r->prot & SPACE_WRITE)) || (access & EPT_X && !(r->prot & SPACE_EXEC)))
        return 1;
    if (!entry)
        return map_new(s, v, r, page, slot, d);
    if (access & EPT_W && !(entry & PTE_W))
        return unshare(s, v, page, slot, entry, d);
    changed(s, v, page); /* another processor mended it */
    return 0;
}

int space_back(struct space *s, struct vcpu *v, uint64_t gva, uint64_t *gpa, struct diag *d)
{
    uint64_t page = PAGE_OF(gva);
    const struct region *r = gva < SPACE_TOP ? space_at(s, gva) : NULL;
    if (!r)
        return fail(d, "vm %s: no memory is mapped at %llx", v->vm->name, (unsigned long long)gva);
    uint64_t slot = slot_of(s, v, page, true, d);
    if (!slot || (!hv_phys_load64(v->vm, slot) && map_new(s, v, r, page, slot, d)))
        return -1;
    uint64_t entry = hv_phys_load64(v->vm, slot);
    if (pool_is_shared(s->pool, entry & PTE_FRAME) && !r->is_shared) {
        if (unshare(s, v, page, slot, entry, d))
            return -1;
        entry = hv_phys_load64(v->vm, slot);
        hv_phys_store64(v, slot, (entry & ~(PTE_W | PTE_NX)) | rights(r->prot));
    }
    *gpa = (entry & PTE_FRAME) | (gva & (PAGE_BYTES - 1));
    return 0;
}

int space_peek(const struct space *s, struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
    uint64_t slot = slot_of(s, v, gva, false, NULL), entry = slot ? hv_phys_load64(v->vm, slot) : 0;
    *gpa = (entry & PTE_FRAME) | (gva & (PAGE_BYTES - 1));
    return entry & PTE_P ? 0 : -1;
}

/* ---- whole spaces ---- */

int space_init(struct space *s, struct page_pool *pool, struct vcpu *v, uint32_t asid, struct diag *d)
{
    *s = (struct space){.pool = pool, .asid = asid};
    if (pool_take_table(pool, &s->cr3, d) || hv_back(v, s->cr3, EPT_W) == UINT64_MAX)
        return -1;
    return 0;
}

/* Tables below table, and itself. */
static void give_tables(struct space *s, struct vcpu *v, uint64_t table, uint32_t level)
{
    for (uint32_t i = 0; level && i < 512; i++) {
        uint64_t entry = hv_phys_load64(v->vm, table + i * 8ull);
        if (entry & PTE_P)
            give_tables(s, v, entry & PTE_FRAME, level - 1);
    }
    pool_give(s->pool, v, table);
}

void space_fini(struct space *s, struct vcpu *v)
{
    if (!s->cr3)
        return;
    space_unmap(s, v, PAGE_BYTES, SPACE_TOP);
    give_tables(s, v, s->cr3, TOP_LEVEL);
    for (uint32_t i = 0; i < v->vm->n_vcpus; i++)
        mmu_flush_space(&vcpu_cpu(&v->vm->vcpu[i])->mmu, s->asid);
    free(s->region);
    *s = (struct space){0};
}

struct copying {
    struct space *to;
    struct diag *d;
};
/* Both spaces have the page; who writes to it first gets a copy. */
static int share_page(struct space *s, struct vcpu *v, uint64_t gva, uint64_t slot, uint64_t entry, void *ctx)
{
    struct copying *c = ctx;
    uint64_t to = slot_of(c->to, v, gva, true, c->d);
    if (!to)
        return -1;
    if (!is_pmem_page(s, entry & PTE_FRAME))
        ++*map_put(&s->pool->shared, (entry & PTE_FRAME) >> PAGE_SHIFT);
    if (!space_at(s, gva)->is_shared && entry & PTE_W) {
        entry &= ~PTE_W;
        if (hv_phys_store64(v, slot, entry))
            return -1;
        changed(s, v, gva);
    }
    c->to->n_pages++;
    return hv_phys_store64(v, to, entry & ~(PTE_A | PTE_D));
}

int space_copy(struct space *to, struct space *from, struct vcpu *v, uint32_t asid, struct diag *d)
{
    if (space_init(to, from->pool, v, asid, d))
        return -1;
    to->brk_start = from->brk_start;
    to->brk = from->brk;
    to->n_regions = to->cap_regions = from->n_regions;
    to->region = xmalloc(from->n_regions * sizeof *to->region);
    memcpy(to->region, from->region, from->n_regions * sizeof *to->region);
    struct copying c = {to, d};
    for (uint32_t i = 0; i < from->n_regions; i++)
        if (for_pages(from, v, from->region[i].start, from->region[i].end, share_page, &c))
            return -1;
    return 0;
}
