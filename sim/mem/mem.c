/* SPDX-License-Identifier: MIT */
#include "sim/mem/mem.h"

#include "sim/mem/content.h"

#include <stdlib.h>
#include <string.h>

struct mem *mem_new(void)
{
    return xcalloc(1, sizeof(struct mem));
}

void mem_free(struct mem *m)
{
    if (!m)
        return;
    for (uint64_t c = 0; c < m->n_gib * 512; c++) {
        for (uint32_t i = 0; m->chunk[c] && i < FRAMES_A_CHUNK; i++)
            content_drop(m, &m->chunk[c][i]);
        free(m->chunk[c]);
    }
    for (uint32_t r = 0; r < m->n_regions; r++)
        for (int level = 0; level < 3; level++)
            free(m->region[r].pool[level]);
    for (uint64_t i = 0; i < m->n_slabs; i++)
        free(m->slab[i]);
    free(m->slab);
    map_free(&m->extra_refs);
    map_free(&m->pins);
    free(m->region_of_gib);
    free(m->chunk);
    free(m);
}

int mem_add_region(struct mem *m, uint32_t node, enum mem_kind kind, uint64_t bytes, struct diag *d)
{
    uint64_t gib = bytes / GIB, first = m->n_gib;
    if (bytes == 0 || bytes % GIB)
        return fail(d, "memory of node %u: %llu bytes, expected a multiple of 1 GiB", node, (unsigned long long)bytes);
    if (m->n_regions == MEM_MAX_REGIONS || first + gib > 1ull << (HPA_BITS - 30))
        return fail(d, "memory of node %u: does not fit into 64 regions and 2^%d bytes", node, HPA_BITS);
    m->n_gib += gib;
    m->region_of_gib = xrealloc(m->region_of_gib, m->n_gib);
    memset(m->region_of_gib + first, (int)m->n_regions, gib);
    /* calloc of a large block stays untouched zero pages until a chunk is used. */
    struct frame **chunk = xcalloc(m->n_gib * 512, sizeof *chunk);
    if (m->chunk)
        memcpy(chunk, m->chunk, first * 512 * sizeof *chunk);
    free(m->chunk);
    m->chunk = chunk;
    uint64_t reserved = first == 0 ? FRAMES_RESERVED : 0;
    m->region[m->n_regions++] = (struct mem_region){
        .base = first * GIB,
        .bytes = bytes,
        .node = node,
        .kind = kind,
        .next_mfn = (first * GIB >> PAGE_SHIFT) + reserved,
        .free_pages = (bytes >> PAGE_SHIFT) - reserved,
    };
    return 0;
}

struct mem_region *mem_find_region(struct mem *m, uint32_t node, enum mem_kind kind)
{
    for (uint32_t r = 0; r < m->n_regions; r++)
        if (m->region[r].node == node && m->region[r].kind == kind)
            return &m->region[r];
    return NULL;
}

static void pool_push(struct mem_region *r, uint32_t level, uint64_t mfn)
{
    if (r->n_pool[level] == r->cap_pool[level]) {
        r->cap_pool[level] = r->cap_pool[level] ? r->cap_pool[level] * 2 : 64;
        r->pool[level] = xrealloc(r->pool[level], r->cap_pool[level] * sizeof(uint64_t));
    }
    r->pool[level][r->n_pool[level]++] = mfn;
}

/* Gives [from, to) to the pools in the largest aligned blocks. */
static void pool_range(struct mem_region *r, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint32_t level = LEVEL_1G;
        while (level && (from % (1ull << 9 * level) || from + (1ull << 9 * level) > to))
            level--;
        pool_push(r, level, from);
        from += 1ull << 9 * level;
    }
}

/* Freed blocks first, then memory never used, then a larger block cut up. */
static uint64_t take_block(struct mem_region *r, uint32_t level)
{
    uint64_t pages = 1ull << 9 * level, end = (r->base + r->bytes) >> PAGE_SHIFT;
    if (r->n_pool[level])
        return r->pool[level][--r->n_pool[level]];
    uint64_t at = (r->next_mfn + pages - 1) & ~(pages - 1);
    if (at + pages <= end) {
        pool_range(r, r->next_mfn, at);
        r->next_mfn = at + pages;
        return at;
    }
    for (uint32_t up = level + 1; up <= LEVEL_1G; up++) {
        if (!r->n_pool[up])
            continue;
        uint64_t mfn = r->pool[up][--r->n_pool[up]];
        pool_range(r, mfn + pages, mfn + (1ull << 9 * up));
        return mfn;
    }
    return MFN_NONE;
}

uint64_t mem_alloc(struct mem *m, struct mem_region *r, uint32_t level, enum frame_use use, uint32_t vm, uint64_t gfn)
{
    uint64_t mfn = take_block(r, level), pages = 1ull << 9 * level;
    if (mfn == MFN_NONE)
        return mfn;
    for (uint64_t i = 0; i < pages; i++) {
        struct frame **chunk = &m->chunk[(mfn + i) >> 9];
        if (!*chunk) {
            *chunk = xaligned(64, FRAMES_A_CHUNK * sizeof(struct frame));
            m->n_chunks_used++;
        }
        struct frame *f = frame_at(m, mfn + i);
        f->owner = frame_owner(use, vm, gfn + i, (owner_generation(f->owner) + 1) & 0xfff);
    }
    r->free_pages -= pages;
    return mfn;
}

static struct mem_region *region_of(struct mem *m, uint64_t mfn)
{
    return &m->region[m->region_of_gib[mfn >> (30 - PAGE_SHIFT)]];
}

static bool drop_frame(struct mem *m, uint64_t mfn)
{
    struct frame *f = frame_at(m, mfn);
    CHECK_MSG(owner_use(f->owner) != FRAME_FREE, "frame %llx is freed twice", (unsigned long long)mfn);
    uint64_t *more = map_get(&m->extra_refs, mfn);
    if (more) {
        if (--*more == 0)
            map_del(&m->extra_refs, mfn);
        return false;
    }
    content_drop(m, f);
    map_del(&m->pins, mfn);
    f->owner = frame_owner(FRAME_FREE, 0, 0, owner_generation(f->owner));
    return true;
}

void mem_release(struct mem *m, uint64_t mfn, uint32_t level)
{
    struct mem_region *r = region_of(m, mfn);
    uint64_t pages = 1ull << 9 * level, dropped = 0;
    for (uint64_t i = 0; i < pages; i++)
        dropped += drop_frame(m, mfn + i);
    r->free_pages += dropped;
    if (dropped == pages) {
        pool_push(r, level, mfn);
        return;
    }
    for (uint64_t i = 0; i < pages; i++)
        if (owner_use(frame_at(m, mfn + i)->owner) == FRAME_FREE)
            pool_push(r, LEVEL_4K, mfn + i);
}

struct frame *frame_peek(const struct mem *m, uint64_t mfn)
{
    if (mfn >> 9 >= m->n_gib * 512 || !m->chunk[mfn >> 9])
        return NULL;
    return frame_at(m, mfn);
}

void frame_ref(struct mem *m, uint64_t mfn)
{
    ++*map_put(&m->extra_refs, mfn);
}

uint64_t frame_refs(const struct mem *m, uint64_t mfn)
{
    const struct frame *f = frame_peek(m, mfn);
    const uint64_t *more = map_get(&m->extra_refs, mfn);
    return !f || owner_use(f->owner) == FRAME_FREE ? 0 : 1 + (more ? *more : 0);
}

void frame_pin(struct mem *m, uint64_t mfn)
{
    ++*map_put(&m->pins, mfn);
}

int frame_unpin(struct mem *m, uint64_t mfn)
{
    uint64_t *pins = map_get(&m->pins, mfn);
    if (!pins)
        return -1;
    if (--*pins == 0)
        map_del(&m->pins, mfn);
    return 0;
}

bool frame_is_pinned(const struct mem *m, uint64_t mfn)
{
    return map_get(&m->pins, mfn) != NULL;
}

int mem_verify(const struct mem *m, struct diag *d)
{
    for (uint32_t i = 0; i < m->n_regions; i++) {
        const struct mem_region *r = &m->region[i];
        uint64_t used = 0, pooled = 0, first = r->base >> PAGE_SHIFT, end = (r->base + r->bytes) >> PAGE_SHIFT;
        for (uint64_t mfn = first; mfn < end; mfn += FRAMES_A_CHUNK)
            for (uint32_t k = 0; m->chunk[mfn >> 9] && k < FRAMES_A_CHUNK; k++)
                used += owner_use(frame_at(m, mfn + k)->owner) != FRAME_FREE;
        for (uint32_t level = 0; level < 3; level++)
            pooled += r->n_pool[level] << 9 * level;
        uint64_t free_pages = pooled + end - r->next_mfn;
        if (free_pages != r->free_pages || used + free_pages + (first ? 0 : FRAMES_RESERVED) != end - first)
            return fail(d, "node %u region %u: %llu frames in use and %llu free, counted %llu free of %llu", r->node, i,
                        (unsigned long long)used, (unsigned long long)free_pages, (unsigned long long)r->free_pages,
                        (unsigned long long)(end - first));
    }
    return 0;
}

/* ---- checkpoints ---- */

static void region_state(struct mem_region *r, struct ckpt *c)
{
    ckpt_same(c, r->base, "as a region's base");
    ckpt_same(c, r->bytes, "bytes of a region");
    CKPT(c, r->next_mfn);
    CKPT(c, r->free_pages);
    for (uint32_t level = 0; level < 3; level++)
        ckpt_array(c, &r->pool[level], &r->n_pool[level], &r->cap_pool[level], sizeof(uint64_t),
                   r->bytes >> PAGE_SHIFT);
}

static void drop_all(struct mem *m)
{
    for (uint64_t i = 0; i < m->n_gib * 512; i++) {
        for (uint32_t k = 0; m->chunk[i] && k < FRAMES_A_CHUNK; k++)
            content_drop(m, &m->chunk[i][k]);
        free(m->chunk[i]);
        m->chunk[i] = NULL;
    }
}

static void chunk_state(struct mem *m, uint64_t i, struct ckpt *c)
{
    if (ckpt_is_loading(c))
        m->chunk[i] = xaligned(64, FRAMES_A_CHUNK * sizeof(struct frame));
    for (uint32_t k = 0; k < FRAMES_A_CHUNK; k++) {
        CKPT(c, m->chunk[i][k].owner);
        content_state(m, &m->chunk[i][k], c);
    }
}

void mem_state(struct mem *m, struct ckpt *c)
{
    ckpt_section(c, "mem");
    ckpt_same(c, m->n_regions, "regions");
    for (uint32_t r = 0; r < m->n_regions; r++)
        region_state(&m->region[r], c);
    ckpt_map(c, &m->extra_refs);
    ckpt_map(c, &m->pins);
    if (ckpt_is_loading(c))
        drop_all(m);
    m->n_chunks_used = ckpt_count(c, m->n_chunks_used, m->n_gib * 512);
    for (uint64_t left = m->n_chunks_used, at = 0; left && !ckpt_failed(c); left--, at++) {
        while (!ckpt_is_loading(c) && !m->chunk[at])
            at++;
        uint64_t i = ckpt_count(c, at, m->n_gib * 512 - 1);
        if (m->chunk[i] && ckpt_is_loading(c)) {
            ckpt_fail(c, "section 'mem': a stretch of frames comes twice");
            return;
        }
        chunk_state(m, i, c);
    }
}
