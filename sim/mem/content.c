/* SPDX-License-Identifier: MIT */
#include "sim/mem/content.h"

#include "sim/base/rng.h"

#include <stdlib.h>
#include <string.h>

/* The lines of a page that are not zero. A page table with one entry costs 144 bytes instead of 4096; beyond
 * SPARSE_MAX lines the page becomes plain bytes. */
#define SPARSE_MAX 16
struct sparse {
    uint8_t slot[64]; /* 1 + index of the line in lines, 0 = zero line */
    uint32_t n, cap;
    uint64_t lines[][8];
};

static void *pointer(uint64_t content)
{
    return (void *)(uintptr_t)(content & ~7ull);
}
static uint64_t word(const void *p, uint32_t tag)
{
    return (uint64_t)(uintptr_t)p | tag;
}
static size_t sparse_bytes(uint32_t cap)
{
    return sizeof(struct sparse) + cap * 64ul;
}

/* Whole pages come from 2 MiB slabs: page tables are read at random, and a host TLB miss costs more than the read. */
static uint8_t *page_new(struct mem *m)
{
    m->content_bytes += PAGE_BYTES;
    if (m->page_free) {
        uint8_t *page = m->page_free;
        memcpy(&m->page_free, page, sizeof m->page_free);
        return memset(page, 0, PAGE_BYTES);
    }
    if (m->slab_left == 0) {
        m->slab = xrealloc(m->slab, (m->n_slabs + 1) * sizeof *m->slab);
        m->slab[m->n_slabs++] = xhuge(SLAB_PAGES * PAGE_BYTES);
        m->slab_left = SLAB_PAGES;
    }
    return m->slab[m->n_slabs - 1] + --m->slab_left * PAGE_BYTES;
}

static void page_drop(struct mem *m, void *page)
{
    if (!page)
        return;
    m->content_bytes -= PAGE_BYTES;
    memcpy(page, &m->page_free, sizeof m->page_free);
    m->page_free = page;
}

void content_drop(struct mem *m, struct frame *f)
{
    void *p = pointer(f->content);
    switch (f->content & 7) {
    case CONTENT_BYTES:
        page_drop(m, p);
        break;
    case CONTENT_SPARSE:
        m->content_bytes -= sparse_bytes(((struct sparse *)p)->cap);
        free(p);
        break;
    case CONTENT_PMEM: {
        struct pmem_page *page = p;
        m->content_bytes -= sizeof *page;
        page_drop(m, page->cur_bytes);
        page_drop(m, page->media_bytes);
        free(page);
        break;
    }
    default:
        break;
    }
    f->content = 0;
}

void frame_expand(uint64_t id, uint64_t words[512])
{
    for (uint64_t i = 0; i < 512; i++)
        words[i] = id ? hash64(id + i * 0xd1342543de82ef95ull) : 0;
}

/* All 4096 bytes of a frame, whatever its representation. */
static void whole_page(const struct mem *m, uint64_t mfn, uint64_t words[512])
{
    const struct frame *f = frame_at(m, mfn);
    const struct sparse *s = pointer(f->content);
    const struct pmem_page *p = pointer(f->content);
    memset(words, 0, PAGE_BYTES);
    switch (f->content & 7) {
    case CONTENT_SYMBOL:
        frame_expand(f->content >> 3, words);
        break;
    case CONTENT_BYTES:
        memcpy(words, s, PAGE_BYTES);
        break;
    case CONTENT_SPARSE:
        for (int i = 0; i < 64; i++)
            if (s->slot[i])
                memcpy(words + 8 * i, s->lines[s->slot[i] - 1], 64);
        break;
    case CONTENT_PMEM:
        if (p->cur_bytes)
            memcpy(words, p->cur_bytes, PAGE_BYTES);
        break;
    default:
        break;
    }
}

static uint8_t *to_bytes(struct mem *m, uint64_t mfn)
{
    struct frame *f = frame_at(m, mfn);
    if ((f->content & 7) == CONTENT_BYTES)
        return pointer(f->content);
    uint8_t *bytes = page_new(m);
    whole_page(m, mfn, (uint64_t *)(void *)bytes);
    content_drop(m, f);
    f->content = word(bytes, CONTENT_BYTES);
    return bytes;
}

uint8_t *frame_bytes(struct mem *m, uint64_t mfn)
{
    return to_bytes(m, mfn);
}

uint64_t frame_load64_slow(const struct mem *m, uint64_t hpa)
{
    const struct frame *f = frame_at(m, hpa >> PAGE_SHIFT);
    uint32_t line = (hpa >> LINE_SHIFT) & 63, at = (hpa >> 3) & 7;
    if ((f->content & 7) == CONTENT_SPARSE) {
        const struct sparse *s = pointer(f->content);
        return s->slot[line] ? s->lines[s->slot[line] - 1][at] : 0;
    }
    uint64_t value;
    frame_read(m, hpa, &value, sizeof value);
    return value;
}

/* The line of a zero or sparse frame to write to, or NULL if the frame has to become plain bytes. */
static uint64_t *sparse_line(struct mem *m, struct frame *f, uint32_t line)
{
    struct sparse *s = (f->content & 7) == CONTENT_SPARSE ? pointer(f->content) : NULL;
    if (s && s->slot[line])
        return s->lines[s->slot[line] - 1];
    uint32_t n = s ? s->n : 0, cap = s ? s->cap : 0;
    if (n == SPARSE_MAX)
        return NULL;
    if (n == cap) {
        uint32_t more = cap ? cap * 2 : 1;
        m->content_bytes += sparse_bytes(more) - (s ? sparse_bytes(cap) : 0);
        s = s ? xrealloc(s, sparse_bytes(more)) : xcalloc(1, sparse_bytes(more));
        s->cap = more;
        f->content = word(s, CONTENT_SPARSE);
    }
    s->slot[line] = (uint8_t)++s->n;
    memset(s->lines[n], 0, 64);
    return s->lines[n];
}

void frame_store64(struct mem *m, uint64_t hpa, uint64_t value)
{
    struct frame *f = frame_at(m, hpa >> PAGE_SHIFT);
    uint32_t kind = f->content & 7;
    bool is_dram = kind == CONTENT_SPARSE || mem_region_at(m, hpa)->kind == MEM_DRAM;
    if ((kind == CONTENT_ZERO || kind == CONTENT_SPARSE) && is_dram) {
        uint64_t *line = sparse_line(m, f, (hpa >> LINE_SHIFT) & 63);
        if (line) {
            line[(hpa >> 3) & 7] = value;
            return;
        }
    }
    frame_write(m, hpa, &value, sizeof value);
}

void frame_read(const struct mem *m, uint64_t hpa, void *buf, size_t len)
{
    uint64_t mfn = hpa >> PAGE_SHIFT, at = hpa & (PAGE_BYTES - 1);
    const struct frame *f = frame_peek(m, mfn);
    CHECK(at + len <= PAGE_BYTES);
    if (!f || f->content == 0) {
        memset(buf, 0, len);
    } else if ((f->content & 7) == CONTENT_BYTES) {
        memcpy(buf, (const uint8_t *)pointer(f->content) + at, len);
    } else if ((f->content & 7) == CONTENT_PMEM) {
        const struct pmem_page *p = pointer(f->content);
        if (p->cur_bytes)
            memcpy(buf, p->cur_bytes + at, len);
        else
            memset(buf, 0, len);
    } else {
        uint64_t words[512];
        whole_page(m, mfn, words);
        memcpy(buf, (const uint8_t *)words + at, len);
    }
}

void frame_write(struct mem *m, uint64_t hpa, const void *buf, size_t len)
{
    uint64_t mfn = hpa >> PAGE_SHIFT, at = hpa & (PAGE_BYTES - 1);
    CHECK(at + len <= PAGE_BYTES);
    if (mem_region_at(m, hpa)->kind == MEM_PMEM) {
        struct pmem_page *p = frame_pmem(m, mfn);
        if (!p->cur_bytes)
            p->cur_bytes = page_new(m);
        memcpy(p->cur_bytes + at, buf, len);
        return;
    }
    memcpy(to_bytes(m, mfn) + at, buf, len);
}

void frame_set_symbol(struct mem *m, uint64_t mfn, uint64_t id)
{
    struct frame *f = frame_at(m, mfn);
    CHECK(id < 1ull << 61);
    content_drop(m, f);
    f->content = id ? id << 3 | CONTENT_SYMBOL : 0;
}

void frame_copy(struct mem *m, uint64_t dst_mfn, uint64_t src_mfn)
{
    struct frame *dst = frame_at(m, dst_mfn);
    const struct frame *src = frame_at(m, src_mfn);
    content_drop(m, dst);
    switch (src->content & 7) {
    case CONTENT_ZERO:
    case CONTENT_SYMBOL:
        dst->content = src->content;
        break;
    case CONTENT_SPARSE: {
        const struct sparse *s = pointer(src->content);
        struct sparse *copy = xmalloc(sparse_bytes(s->cap));
        memcpy(copy, s, sparse_bytes(s->cap));
        m->content_bytes += sparse_bytes(s->cap);
        dst->content = word(copy, CONTENT_SPARSE);
        break;
    }
    default: {
        uint64_t words[512];
        whole_page(m, src_mfn, words);
        frame_write(m, dst_mfn << PAGE_SHIFT, words, PAGE_BYTES);
    }
    }
}

bool frame_equal(const struct mem *m, uint64_t a_mfn, uint64_t b_mfn)
{
    uint64_t a[512], b[512];
    uint64_t ca = frame_at(m, a_mfn)->content, cb = frame_at(m, b_mfn)->content;
    if (ca == cb && (ca & 7) <= CONTENT_SYMBOL)
        return true;
    whole_page(m, a_mfn, a);
    whole_page(m, b_mfn, b);
    return memcmp(a, b, PAGE_BYTES) == 0;
}

struct pmem_page *frame_pmem(struct mem *m, uint64_t mfn)
{
    struct frame *f = frame_at(m, mfn);
    if ((f->content & 7) == CONTENT_PMEM)
        return pointer(f->content);
    CHECK(f->content == 0);
    struct pmem_page *p = xaligned(64, sizeof *p);
    m->content_bytes += sizeof *p;
    f->content = word(p, CONTENT_PMEM);
    return p;
}

void pmem_media_write(struct mem *m, uint64_t line, uint32_t version, const uint8_t *data)
{
    struct pmem_page *p = frame_pmem(m, line >> (PAGE_SHIFT - LINE_SHIFT));
    uint32_t at = line & 63;
    if (version < p->media[at])
        return;
    p->media[at] = version;
    if (!data)
        return;
    if (!p->media_bytes)
        p->media_bytes = page_new(m);
    memcpy(p->media_bytes + at * LINE_BYTES, data, LINE_BYTES);
}

bool pmem_media_lose(struct mem *m, uint64_t line)
{
    struct pmem_page *p = frame_pmem(m, line >> (PAGE_SHIFT - LINE_SHIFT));
    uint32_t at = line & 63;
    bool had = p->media[at] != 0;
    p->media[at] = 0;
    if (p->media_bytes)
        memset(p->media_bytes + at * LINE_BYTES, 0, LINE_BYTES);
    return had;
}

uint64_t pmem_next(const struct mem *m, uint64_t mfn, uint64_t end)
{
    while (mfn < end) {
        const struct frame *f = frame_peek(m, mfn);
        if (!f)
            mfn = (mfn / FRAMES_A_CHUNK + 1) * FRAMES_A_CHUNK;
        else if ((f->content & 7) == CONTENT_PMEM)
            return mfn;
        else
            mfn++;
    }
    return end;
}

static void page_power_up(struct mem *m, struct pmem_page *p)
{
    memcpy(p->cur, p->media, sizeof p->cur);
    if (!p->media_bytes) {
        page_drop(m, p->cur_bytes);
        p->cur_bytes = NULL;
        return;
    }
    if (!p->cur_bytes)
        p->cur_bytes = page_new(m);
    memcpy(p->cur_bytes, p->media_bytes, PAGE_BYTES);
}

void pmem_power_up(struct mem *m)
{
    for (uint32_t i = 0; i < m->n_regions; i++) {
        const struct mem_region *r = &m->region[i];
        uint64_t end = (r->base + r->bytes) >> PAGE_SHIFT, mfn = r->base >> PAGE_SHIFT;
        while (r->kind == MEM_PMEM && (mfn = pmem_next(m, mfn, end)) < end)
            page_power_up(m, frame_pmem(m, mfn++));
    }
}

/* ---- checkpoints ---- */

static void bytes_state(struct mem *m, uint8_t **page, struct ckpt *c)
{
    if (ckpt_is_loading(c))
        *page = page_new(m);
    ckpt_bytes(c, *page, PAGE_BYTES);
}

static void sparse_state(struct mem *m, struct frame *f, struct ckpt *c)
{
    struct sparse *s = pointer(f->content);
    bool is_loading = ckpt_is_loading(c);
    uint32_t cap = (uint32_t)ckpt_count(c, is_loading ? 0 : s->cap, SPARSE_MAX);
    if (is_loading) {
        s = xcalloc(1, sparse_bytes(cap));
        f->content = word(s, CONTENT_SPARSE);
        m->content_bytes += sparse_bytes(cap);
    }
    ckpt_bytes(c, s, sparse_bytes(cap));
    s->cap = cap;
    bool is_sound = s->n <= cap;
    for (uint32_t i = 0; i < 64; i++)
        is_sound &= s->slot[i] <= s->n;
    if (!is_sound) {
        memset(s->slot, 0, sizeof s->slot);
        ckpt_fail(c, "section 'mem': a page's lines do not fit together");
    }
}

static void pmem_state(struct mem *m, struct frame *f, struct ckpt *c)
{
    struct pmem_page *p = pointer(f->content);
    if (ckpt_is_loading(c)) {
        p = xaligned(64, sizeof *p);
        m->content_bytes += sizeof *p;
        f->content = word(p, CONTENT_PMEM);
    }
    uint8_t has = (uint8_t)((p->cur_bytes != NULL) | (p->media_bytes != NULL) << 1);
    CKPT(c, has);
    CKPT(c, p->cur);
    CKPT(c, p->media);
    if (has & 1)
        bytes_state(m, &p->cur_bytes, c);
    if (has & 2)
        bytes_state(m, &p->media_bytes, c);
}

void content_state(struct mem *m, struct frame *f, struct ckpt *c)
{
    uint8_t kind = (uint8_t)(f->content & 7), *page;
    CKPT(c, kind);
    switch (kind) {
    case CONTENT_ZERO:
    case CONTENT_SYMBOL:
        CKPT(c, f->content);
        if ((f->content & 7) != kind) {
            f->content = 0;
            ckpt_fail(c, "section 'mem': a page of an unknown kind");
        }
        break;
    case CONTENT_BYTES:
        page = pointer(f->content);
        bytes_state(m, &page, c);
        f->content = word(page, CONTENT_BYTES);
        break;
    case CONTENT_SPARSE:
        sparse_state(m, f, c);
        break;
    case CONTENT_PMEM:
        pmem_state(m, f, c);
        break;
    default:
        ckpt_fail(c, "section 'mem': a page of an unknown kind");
    }
}
