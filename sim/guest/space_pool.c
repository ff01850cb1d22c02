/* SPDX-License-Identifier: MIT */
/* Guest-physical pages of a VM for its programs: taken, shared by forked processes, given back. */
#include "sim/guest/space_int.h"

#include <stdlib.h>

void pool_init(struct page_pool *p, struct vm *vm)
{
    *p = (struct page_pool){.vm = vm, .next_gpa = 2 * MIB}; /* the lowest 2 MiB stay unused, as firmware areas do */
}

void pool_fini(struct page_pool *p)
{
    free(p->free_gpa);
    map_free(&p->shared);
    *p = (struct page_pool){0};
}

static int out_of_memory(const struct page_pool *p, struct diag *d)
{
    return fail(d, "vm %s: its programs have used all of its %llu bytes of memory; expected a larger `memory`",
                p->vm->name, (unsigned long long)p->vm->bytes);
}

/* Without EPT a page is a frame of the host: of the VM's node, else of the next that has room. */
static uint64_t native_page(struct page_pool *p)
{
    struct hv *hv = p->vm->hv;
    uint64_t mfn = MFN_NONE;
    for (uint32_t i = 0; mfn == MFN_NONE && i < hv->numa->n_nodes; i++) {
        struct mem_region *r = mem_find_region(hv->mem, (p->vm->node + i) % hv->numa->n_nodes, MEM_DRAM);
        if (r)
            mfn = mem_alloc(hv->mem, r, LEVEL_4K, FRAME_GUEST, p->vm->index, 0);
    }
    p->vm->stats.pages_mapped += mfn != MFN_NONE;
    return mfn == MFN_NONE ? 0 : mfn << PAGE_SHIFT;
}

static void put_free(struct page_pool *p, uint64_t gpa)
{
    if (p->n_free == p->cap_free) {
        p->cap_free = p->cap_free ? 2 * p->cap_free : 512;
        p->free_gpa = xrealloc(p->free_gpa, p->cap_free * sizeof *p->free_gpa);
    }
    p->free_gpa[p->n_free++] = gpa;
}

int pool_take(struct page_pool *p, uint64_t *gpa, struct diag *d)
{
    if (p->n_free) {
        *gpa = p->free_gpa[--p->n_free];
        return 0;
    }
    if (p->vm->is_native)
        return (*gpa = native_page(p)) ? 0 : out_of_memory(p, d);
    if (p->next_gpa + PAGE_BYTES > p->vm->bytes)
        return out_of_memory(p, d);
    *gpa = p->next_gpa;
    p->next_gpa += PAGE_BYTES;
    return 0;
}

/* Page tables lie in 2 MiB blocks of their own, as a kernel groups its unmovable pages. */
int pool_take_table(struct page_pool *p, uint64_t *gpa, struct diag *d)
{
    if (p->vm->is_native || p->n_free)
        return pool_take(p, gpa, d);
    if (p->table_gpa == p->table_end) {
        uint64_t at = (p->next_gpa + 2 * MIB - 1) & ~(2 * MIB - 1);
        if (at + 2 * MIB > p->vm->bytes)
            return out_of_memory(p, d);
        for (uint64_t gpa_left = p->next_gpa; gpa_left < at; gpa_left += PAGE_BYTES)
            put_free(p, gpa_left);
        p->table_gpa = at;
        p->table_end = p->next_gpa = at + 2 * MIB;
    }
    *gpa = p->table_gpa;
    p->table_gpa += PAGE_BYTES;
    return 0;
}

void pool_give(struct page_pool *p, struct vcpu *v, uint64_t gpa)
{
    uint64_t users = 0, *shared = map_get(&p->shared, gpa >> PAGE_SHIFT);
    if (shared && (users = *shared)) {
        if (users == 1)
            map_del(&p->shared, gpa >> PAGE_SHIFT);
        else
            *shared = users - 1;
        return;
    }
    uint64_t hpa = hv_back(v, gpa, EPT_W);
    if (hpa == UINT64_MAX)
        return;
    frame_set_symbol(p->vm->hv->mem, hpa >> PAGE_SHIFT, 0);
    if (p->freed)
        p->freed(p->vm, hpa);
    put_free(p, gpa);
}

bool pool_is_shared(const struct page_pool *p, uint64_t gpa)
{
    const uint64_t *users = map_get(&p->shared, gpa >> PAGE_SHIFT);
    return users && *users;
}
