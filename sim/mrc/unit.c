/* SPDX-License-Identifier: MIT */
#include "sim/mrc/unit.h"

#include <string.h>

#define BLOCK_SHIFT  9
#define REGION_SHIFT 12
#define SPACE_SHIFT  45 /* above the page number of a 57-bit address */
#define DISK_SHIFT   48

static const char *const names[] = {[MRC_PAGE] = "page", [MRC_BLOCK] = "block", [MRC_OBJECT] = "object"};

int mrc_unit_parse(const char *name, enum mrc_unit_kind *kind, struct diag *d)
{
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *kind = (enum mrc_unit_kind)i;
            return 0;
        }
    }
    return fail(d, "unknown unit '%s', expected page, block or object", name);
}

void mrc_unit_free(struct mrc_unit *u)
{
    map_free(&u->spaces);
}

void mrc_unit_records(struct mrc_unit *u, const struct trace_rec *rec, uint32_t n)
{
    u->rec = rec;
    u->rec_end = rec + n;
    u->left = 0;
}

static void switch_space(struct mrc_unit *u, const struct trace_rec *r)
{
    uint64_t key = r->addr == UINT64_MAX ? UINT64_MAX - 1 : r->addr; /* the map's one forbidden key */
    uint64_t n = u->spaces.n, *number = map_put(&u->spaces, key);
    if (u->spaces.n > n)
        *number = n;
    u->space[r->vcpu] = *number << SPACE_SHIFT;
}

/* The ids of bytes [addr, addr + bytes), which may not wrap. */
static void span(struct mrc_unit *u, uint64_t addr, uint64_t bytes, uint32_t shift)
{
    uint64_t last = bytes ? addr + (bytes - 1) : addr;
    if (last < addr)
        last = UINT64_MAX;
    u->next = addr >> shift;
    u->left = (last >> shift) - u->next + 1;
}

/* Sets next and left for a record. */
static void begin(struct mrc_unit *u, const struct trace_rec *r)
{
    uint32_t shift = u->kind == MRC_PAGE ? u->shift : BLOCK_SHIFT;
    u->left = 0;
    switch (r->kind) {
    case TRACE_READ:
    case TRACE_WRITE:
    case TRACE_EXEC:
    case TRACE_MODIFY:
    case TRACE_NTSTORE:
        span(u, r->addr, u->kind == MRC_OBJECT ? 0 : r->size, u->kind == MRC_OBJECT ? 0 : shift);
        u->next ^= u->space[r->vcpu];
        break;
    case TRACE_BLOCK_READ:
    case TRACE_BLOCK_WRITE:
        span(u, r->addr, u->kind == MRC_OBJECT ? 0 : r->arg, shift < BLOCK_SHIFT ? BLOCK_SHIFT : shift);
        u->next ^= (uint64_t)r->size << DISK_SHIFT;
        break;
    case TRACE_OBJECT_READ:
    case TRACE_OBJECT_WRITE:
        span(u, r->addr, 0, 0);
        break;
    case TRACE_REGION:
        if (r->size > 0 && r->arg > 0)
            span(u, r->addr, (uint64_t)r->arg << REGION_SHIFT, shift);
        break;
    case TRACE_SPACE:
        switch_space(u, r);
        break;
    default:
        break;
    }
}

uint64_t mrc_unit_address(const struct mrc_unit *u, uint64_t id)
{
    switch (u->kind) {
    case MRC_PAGE:
        return (id & ((1ull << SPACE_SHIFT) - 1)) << u->shift;
    case MRC_BLOCK:
        return (id & ((1ull << SPACE_SHIFT) - 1)) << BLOCK_SHIFT;
    default:
        return id;
    }
}

/* The ids of records that touch one page, block or object each, which nearly all do: up to the first other one. */
static uint32_t simple_ids(struct mrc_unit *u, uint64_t *ids, const struct trace_rec **source, uint32_t max)
{
    const uint32_t shift = u->kind == MRC_OBJECT ? 0 : u->kind == MRC_PAGE ? u->shift : BLOCK_SHIFT;
    const uint64_t within = (1ull << shift) - 1;
    const struct trace_rec *r = u->rec;
    uint32_t n = 0;
    for (; n < max && r != u->rec_end; r++, n++) {
        bool is_access = trace_is_access(r->kind),
             is_object = r->kind == TRACE_OBJECT_READ || r->kind == TRACE_OBJECT_WRITE;
        if (!is_object && (!is_access || (shift && (r->addr & within) + r->size > within + 1)))
            break;
        ids[n] = is_object ? r->addr : (r->addr >> shift) ^ u->space[r->vcpu];
        if (source)
            source[n] = r;
    }
    u->rec = r;
    return n;
}

uint32_t mrc_unit_ids(struct mrc_unit *u, uint64_t *ids, const struct trace_rec **source, uint32_t max)
{
    uint32_t n = 0;
    while (n < max) {
        if (u->left == 0)
            n += simple_ids(u, ids + n, source ? source + n : NULL, max - n);
        if (n == max || (u->left == 0 && u->rec == u->rec_end))
            break;
        if (u->left == 0) {
            begin(u, u->rec++);
            continue;
        }
        if (source)
            source[n] = u->rec - 1;
        ids[n++] = u->next++;
        u->left--;
    }
    return n;
}
