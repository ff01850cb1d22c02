/* SPDX-License-Identifier: MIT */
#include "sim/mrc/axis.h"

#include "sim/base/diag.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of each level. */
struct sizes {
    size_t bits, leaf, group, super, top;
};

static struct sizes sizes_of(const struct axis *a)
{
    const uint64_t n = a->n_bits;
    return (struct sizes){.bits = (((n >> AXIS_LEAF_SHIFT) + 1) << (AXIS_LEAF_SHIFT - 6)) * sizeof *a->bits,
                          .leaf = (((n >> AXIS_GROUP_SHIFT) + 1) << 5) * sizeof *a->leaf,
                          .group = (((n >> AXIS_SUPER_SHIFT) + 1) << 4) * sizeof *a->group,
                          .super = (a->n_top << 4) * sizeof *a->super,
                          .top = a->n_top * sizeof *a->top};
}

static void allocate(struct axis *a, uint64_t n_bits)
{
    *a = (struct axis){.n_top = (n_bits >> AXIS_TOP_SHIFT) + 1, .n_bits = n_bits};
    const struct sizes s = sizes_of(a);
    a->bits = xaligned(64, s.bits);
    a->leaf = xaligned(64, s.leaf);
    a->group = xaligned(64, s.group);
    a->super = xaligned(64, s.super);
    a->top = xaligned(64, s.top);
}

void axis_copy(struct axis *to, const struct axis *a)
{
    allocate(to, a->n_bits);
    const struct sizes s = sizes_of(a);
    memcpy(to->bits, a->bits, s.bits);
    memcpy(to->leaf, a->leaf, s.leaf);
    memcpy(to->group, a->group, s.group);
    memcpy(to->super, a->super, s.super);
    memcpy(to->top, a->top, s.top);
    to->end = a->end;
    to->n_set = a->n_set;
}

void axis_init(struct axis *a, uint64_t n_bits, uint64_t n_set)
{
    CHECK(n_set <= n_bits);
    allocate(a, n_bits);
    for (uint64_t t = 0; t < n_set; t += 1u << AXIS_LEAF_SHIFT) {
        uint64_t left = n_set - t, most = 1u << AXIS_LEAF_SHIFT;
        a->end = t;
        axis_enter(a, t);
        for (uint64_t i = 0; i < (left < most ? left : most); i++)
            a->bits[(t + i) >> 6] |= 1ull << ((t + i) & 63);
        a->n_set += left < most ? left : most;
    }
    a->end = n_set;
}

void axis_free(struct axis *a)
{
    free(a->bits);
    free(a->leaf);
    free(a->group);
    free(a->super);
    free(a->top);
}

/* All set bits lie before t. A part's count is what lies before it, less what lies before the part it is in. */
void axis_enter(struct axis *a, uint64_t t)
{
    uint64_t top = t >> AXIS_TOP_SHIFT, super = t >> AXIS_SUPER_SHIFT, group = t >> AXIS_GROUP_SHIFT;
    uint64_t base = a->n_set;
    if ((t & ((1ull << AXIS_TOP_SHIFT) - 1)) == 0)
        a->top[top] = (uint32_t)base;
    base -= a->top[top];
    if ((t & ((1ull << AXIS_SUPER_SHIFT) - 1)) == 0)
        a->super[super] = (uint32_t)base;
    base -= a->super[super];
    if ((t & ((1ull << AXIS_GROUP_SHIFT) - 1)) == 0)
        a->group[group] = (uint32_t)base;
    base -= a->group[group];
    a->leaf[t >> AXIS_LEAF_SHIFT] = (uint16_t)base;
}

void axis_state(struct axis *a, struct ckpt *c)
{
    uint64_t n_bits = ckpt_count(c, a->n_bits, 1ull << 34);
    if (ckpt_is_loading(c)) {
        axis_free(a);
        allocate(a, n_bits);
    }
    const struct sizes s = sizes_of(a);
    ckpt_bytes(c, a->bits, s.bits);
    ckpt_bytes(c, a->leaf, s.leaf);
    ckpt_bytes(c, a->group, s.group);
    ckpt_bytes(c, a->super, s.super);
    ckpt_bytes(c, a->top, s.top);
    CKPT(c, a->end);
    CKPT(c, a->n_set);
}
