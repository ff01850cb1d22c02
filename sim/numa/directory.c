/* SPDX-License-Identifier: MIT */
#include "sim/numa/directory.h"

#define LINES_SHIFT (PAGE_SHIFT - LINE_SHIFT)

static uint64_t bit_of(uint64_t line)
{
    return 1ull << (line & ((1u << LINES_SHIFT) - 1));
}

void directory_fini(struct mem_directory *d)
{
    map_free(&d->page);
}

bool directory_has(const struct mem_directory *d, uint64_t line)
{
    const uint64_t *bits = d->n_lines ? map_get(&d->page, line >> LINES_SHIFT) : NULL;
    return bits && *bits & bit_of(line);
}

bool directory_set(struct mem_directory *d, uint64_t line)
{
    uint64_t *bits = map_put(&d->page, line >> LINES_SHIFT), bit = bit_of(line);
    if (*bits & bit)
        return false;
    *bits |= bit;
    d->n_lines++;
    return true;
}

bool directory_clear(struct mem_directory *d, uint64_t line)
{
    uint64_t *bits = d->n_lines ? map_get(&d->page, line >> LINES_SHIFT) : NULL, bit = bit_of(line);
    if (!bits || !(*bits & bit))
        return false;
    *bits &= ~bit;
    d->n_lines--;
    if (!*bits)
        map_del(&d->page, line >> LINES_SHIFT);
    return true;
}

void directory_state(struct mem_directory *d, struct ckpt *c)
{
    ckpt_map(c, &d->page);
    CKPT(c, d->n_lines);
}
