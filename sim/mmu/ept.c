/* SPDX-License-Identifier: MIT */
#include "sim/mmu/ept.h"

static uint64_t new_table(struct ept *e)
{
    uint64_t mfn = mem_alloc(e->mem, e->tables, LEVEL_4K, FRAME_EPT, e->vm, 0);
    if (mfn == MFN_NONE)
        return 0;
    e->n_tables++;
    return mfn << PAGE_SHIFT;
}

static void free_table(struct ept *e, uint64_t table_hpa)
{
    mem_release(e->mem, table_hpa >> PAGE_SHIFT, LEVEL_4K);
    e->n_tables--;
}

int ept_init(struct ept *e, struct mem *mem, struct mem_region *tables, uint32_t levels, uint32_t vm)
{
    *e = (struct ept){.mem = mem, .tables = tables, .levels = levels, .vm = vm};
    e->root = new_table(e);
    return e->root ? 0 : -1;
}

static bool is_leaf(uint64_t entry, uint32_t level)
{
    return level == 0 || entry & EPT_LEAF;
}

static uint64_t slot(uint64_t table, uint64_t gpa, uint32_t level)
{
    return table + ((gpa >> LEVEL_SHIFT(level)) & 511) * 8;
}

static void free_below(struct ept *e, uint64_t table, uint32_t level)
{
    for (uint32_t i = 0; level && i < 512; i++) {
        uint64_t entry = frame_load64(e->mem, table + i * 8);
        if (entry & EPT_FRAME && !is_leaf(entry, level))
            free_below(e, entry & EPT_FRAME, level - 1);
    }
    free_table(e, table);
}

void ept_fini(struct ept *e)
{
    if (e->root)
        free_below(e, e->root, e->levels - 1);
    e->root = 0;
}

bool ept_find(const struct ept *e, uint64_t gpa, struct ept_leaf *out)
{
    uint64_t table = e->root;
    if (gpa >> LEVEL_SHIFT(e->levels))
        return false;
    for (uint32_t level = e->levels - 1;; level--) {
        uint64_t at = slot(table, gpa, level), entry = frame_load64(e->mem, at);
        if (!(entry & EPT_FRAME))
            return false;
        if (is_leaf(entry, level)) {
            *out = (struct ept_leaf){at, entry, gpa >> LEVEL_SHIFT(level) << LEVEL_SHIFT(level), level};
            return true;
        }
        table = entry & EPT_FRAME;
    }
}

static bool next_below(const struct ept *e, uint64_t table, uint32_t level, uint64_t base, uint64_t gpa, uint64_t limit,
                       struct ept_leaf *out)
{
    uint64_t first = gpa > base ? (gpa - base) >> LEVEL_SHIFT(level) : 0;
    for (uint64_t i = first; i < 512; i++) {
        uint64_t at = base + (i << LEVEL_SHIFT(level)), entry = frame_load64(e->mem, table + i * 8);
        if (at >= limit)
            return false;
        if (!(entry & EPT_FRAME))
            continue;
        if (!is_leaf(entry, level)) {
            if (next_below(e, entry & EPT_FRAME, level - 1, at, gpa, limit, out))
                return true;
        } else if (at >= gpa) {
            *out = (struct ept_leaf){table + i * 8, entry, at, level};
            return true;
        }
    }
    return false;
}

bool ept_next(const struct ept *e, uint64_t gpa, uint64_t limit, struct ept_leaf *out)
{
    return next_below(e, e->root, e->levels - 1, 0, gpa, limit, out);
}

/* The slot of gpa at a level, with tables made on the way; 0 if a leaf is in the way or there is no memory. */
static uint64_t make_slot(struct ept *e, uint64_t gpa, uint32_t level)
{
    uint64_t table = e->root;
    for (uint32_t l = e->levels - 1; l > level; l--) {
        uint64_t at = slot(table, gpa, l), entry = frame_load64(e->mem, at);
        if (!(entry & EPT_FRAME)) {
            uint64_t made = new_table(e);
            if (!made)
                return 0;
            entry = made | EPT_RWX;
            frame_store64(e->mem, at, entry);
        } else if (is_leaf(entry, l)) {
            return 0;
        }
        table = entry & EPT_FRAME;
    }
    return slot(table, gpa, level);
}

int ept_map(struct ept *e, uint64_t gpa, uint64_t mfn, uint32_t level, uint64_t rights)
{
    CHECK((gpa & ((1ull << LEVEL_SHIFT(level)) - 1)) == 0 && (mfn & ((1ull << 9 * level) - 1)) == 0);
    uint64_t at = make_slot(e, gpa, level);
    if (!at || frame_load64(e->mem, at) & EPT_FRAME)
        return -1;
    frame_store64(e->mem, at, mfn << PAGE_SHIFT | EPT_TYPE_WB | rights | (level ? EPT_LEAF : 0));
    e->n_mapped[level]++;
    return 0;
}

uint64_t ept_unmap(struct ept *e, const struct ept_leaf *leaf)
{
    frame_store64(e->mem, leaf->entry_hpa, 0);
    e->n_mapped[leaf->level]--;
    return ept_mfn(leaf->entry);
}

int ept_split(struct ept *e, uint64_t gpa)
{
    struct ept_leaf leaf;
    if (!ept_find(e, gpa, &leaf) || leaf.level == 0)
        return -1;
    uint64_t table = new_table(e), bits = leaf.entry & ~EPT_FRAME;
    uint64_t step = 1ull << LEVEL_SHIFT(leaf.level - 1), frame = leaf.entry & EPT_FRAME;
    if (!table)
        return -1;
    if (leaf.level == 1)
        bits &= ~EPT_LEAF;
    for (uint64_t i = 0; i < 512; i++)
        frame_store64(e->mem, table + i * 8, (frame + i * step) | bits);
    frame_store64(e->mem, leaf.entry_hpa, table | EPT_RWX);
    e->n_mapped[leaf.level]--;
    e->n_mapped[leaf.level - 1] += 512;
    return 0;
}

/* The table that holds 512 leaves of the given level around gpa, and the slot that points to it; false if there is
 * none. */
static bool leaf_table(const struct ept *e, uint64_t gpa, uint32_t level, uint64_t *table, uint64_t *above)
{
    *table = e->root;
    *above = 0;
    for (uint32_t l = e->levels - 1; l > level; l--) {
        *above = slot(*table, gpa, l);
        uint64_t entry = frame_load64(e->mem, *above);
        if (!(entry & EPT_FRAME) || is_leaf(entry, l))
            return false;
        *table = entry & EPT_FRAME;
    }
    return true;
}

int ept_merge(struct ept *e, uint64_t gpa)
{
    struct ept_leaf leaf;
    uint64_t table, above, ad = 0;
    if (!ept_find(e, gpa, &leaf) || leaf.level == 2 || !leaf_table(e, gpa, leaf.level, &table, &above))
        return -1;
    uint64_t step = 1ull << LEVEL_SHIFT(leaf.level), first = frame_load64(e->mem, table);
    if ((first & EPT_FRAME) % (step * 512) || first & EPT_TRACED)
        return -1;
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t entry = frame_load64(e->mem, table + i * 8), want = first + i * step;
        if ((entry ^ want) & ~(EPT_A | EPT_D))
            return -1;
        ad |= entry & (EPT_A | EPT_D);
    }
    frame_store64(e->mem, above, first | ad | EPT_LEAF);
    free_table(e, table);
    e->n_mapped[leaf.level] -= 512;
    e->n_mapped[leaf.level + 1]++;
    return 0;
}
