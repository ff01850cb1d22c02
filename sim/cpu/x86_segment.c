/* SPDX-License-Identifier: MIT */
/* Descriptors, and segment registers loaded from them with every check (SDM volume 3, 3.4, 5.5 to 5.8). */
#include "sim/cpu/x86_sys.h"

#define NULL_SELECTOR(s) (((s) & ~3u) == 0)

bool x86_refuse(struct x86_cpu *cpu, enum x86_vector vector, uint32_t code)
{
    cpu->fault = (struct x86_fault){
        .vector = (uint8_t)vector, .has_error_code = true, .error_code = code, .rip = cpu->state.rip};
    cpu->stop = X86_STOP_FAULT;
    return false;
}

bool x86_refuse_plain(struct x86_cpu *cpu, enum x86_vector vector)
{
    cpu->fault = (struct x86_fault){.vector = (uint8_t)vector, .rip = cpu->state.rip};
    cpu->stop = X86_STOP_FAULT;
    return false;
}

struct x86_segment x86_unpack_segment(uint16_t selector, uint64_t raw)
{
    struct x86_segment s = {.selector = selector, .attributes = (uint16_t)(raw >> 40 & 0xf0ff)};
    uint32_t limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 32 & 0xf0000);
    s.limit = s.attributes & X86_DESC_G ? limit << 12 | 0xfff : limit;
    s.base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24;
    return s;
}

bool x86_read_descriptor(struct x86_cpu *cpu, uint16_t selector, enum x86_vector vector, uint32_t ext,
                         struct x86_descriptor *d)
{
    const struct x86_state *s = &cpu->state;
    bool is_local = selector & 4;
    uint64_t base = is_local ? s->ldtr.base : s->gdt_base;
    uint32_t limit = is_local ? s->ldtr.limit : s->gdt_limit, at = selector & ~7u;
    *d = (struct x86_descriptor){.at = base + at};
    if ((is_local && s->ldtr.attributes & X86_DESC_UNUSABLE) || at + 7 > limit)
        return x86_refuse(cpu, vector, (selector & ~3u) | ext);
    if (!x86_load_system(cpu, d->at, &d->raw[0], 8))
        return false;
    d->seg = x86_unpack_segment(selector, d->raw[0]);
    if (d->seg.attributes & X86_DESC_S || !x86_is_long(cpu))
        return true;
    if (at + 15 > limit)
        return x86_refuse(cpu, vector, (selector & ~3u) | ext);
    if (!x86_load_system(cpu, d->at + 8, &d->raw[1], 8))
        return false;
    d->seg.base |= d->raw[1] << 32;
    return true;
}

bool x86_mark_descriptor(struct x86_cpu *cpu, struct x86_descriptor *d, uint32_t type_bits)
{
    uint8_t access = (uint8_t)(d->raw[0] >> 40 | type_bits);
    d->seg.attributes |= (uint16_t)type_bits;
    return (d->raw[0] >> 40 & type_bits) == type_bits || x86_store_system(cpu, d->at + 5, &access, 1);
}

/* ---- data segments and the stack's ---- */

static bool is_data(uint32_t a)
{
    return a & X86_DESC_S && !(a & X86_DESC_CODE);
}
static bool is_code(uint32_t a)
{
    return a & X86_DESC_S && a & X86_DESC_CODE;
}

static void put_null(struct x86_cpu *cpu, enum x86_seg seg, uint16_t selector)
{
    x86_set_segment(cpu, seg, (struct x86_segment){.selector = selector, .attributes = X86_DESC_UNUSABLE});
}

bool x86_check_stack_segment(struct x86_cpu *cpu, uint16_t selector, uint32_t cpl, enum x86_vector vector, uint32_t ext,
                             struct x86_descriptor *d)
{
    uint32_t code = (selector & ~3u) | ext;
    if (NULL_SELECTOR(selector))
        return x86_refuse(cpu, vector, ext);
    if (!x86_read_descriptor(cpu, selector, vector, ext, d))
        return false;
    uint32_t a = d->seg.attributes;
    if ((selector & 3u) != cpl || X86_DESC_DPL(a) != cpl || !is_data(a) || !(a & X86_DESC_WRITABLE))
        return x86_refuse(cpu, vector, code);
    if (!(a & X86_DESC_P))
        return x86_refuse(cpu, X86_SS_FAULT, code);
    return x86_mark_descriptor(cpu, d, X86_DESC_ACCESSED);
}

static bool load_stack_segment(struct x86_cpu *cpu, uint16_t selector)
{
    struct x86_descriptor d;
    uint32_t cpl = cpu->state.cpl;
    if (NULL_SELECTOR(selector)) {
        if (!x86_is_64bit(cpu) || cpl == 3 || (selector & 3u) != cpl)
            return x86_refuse(cpu, X86_GP, 0);
        put_null(cpu, X86_SS, selector);
        return true;
    }
    if (!x86_check_stack_segment(cpu, selector, cpl, X86_GP, 0, &d))
        return false;
    x86_set_segment(cpu, X86_SS, d.seg);
    return true;
}

static bool load_data_segment(struct x86_cpu *cpu, enum x86_seg seg, uint16_t selector)
{
    struct x86_descriptor d;
    if (NULL_SELECTOR(selector)) {
        put_null(cpu, seg, selector);
        return true;
    }
    if (!x86_read_descriptor(cpu, selector, X86_GP, 0, &d))
        return false;
    uint32_t a = d.seg.attributes, dpl = X86_DESC_DPL(a), rpl = selector & 3u;
    bool is_checked = !(is_code(a) && a & X86_DESC_CONFORMING);
    if (!(is_data(a) || (is_code(a) && a & X86_DESC_WRITABLE)) || (is_checked && (rpl > dpl || cpu->state.cpl > dpl)))
        return x86_refuse(cpu, X86_GP, selector & ~3u);
    if (!(a & X86_DESC_P))
        return x86_refuse(cpu, X86_NP, selector & ~3u);
    if (!x86_mark_descriptor(cpu, &d, X86_DESC_ACCESSED))
        return false;
    x86_set_segment(cpu, seg, d.seg);
    return true;
}

bool x86_load_segment(struct x86_cpu *cpu, enum x86_seg seg, uint16_t selector)
{
    if (x86_is_real(cpu)) { /* the limit stays what it was */
        struct x86_segment s = cpu->state.seg[seg];
        s.selector = selector;
        s.base = (uint64_t)selector << 4;
        s.attributes = (uint16_t)((s.attributes & (X86_DESC_DB | X86_DESC_G)) | 0x93);
        x86_set_segment(cpu, seg, s);
    } else if (!(seg == X86_SS ? load_stack_segment(cpu, selector) : load_data_segment(cpu, seg, selector))) {
        return false;
    }
    if (!x86_is_64bit(cpu))
        x86_refresh(cpu);
    return true;
}

void x86_hide_segments(struct x86_cpu *cpu)
{
    static const uint8_t segs[] = {X86_ES, X86_DS, X86_FS, X86_GS};
    for (uint32_t i = 0; i < sizeof segs; i++) {
        uint32_t a = cpu->state.seg[segs[i]].attributes;
        if (!(a & X86_DESC_UNUSABLE) && X86_DESC_DPL(a) < cpu->state.cpl &&
            (is_data(a) || (is_code(a) && !(a & X86_DESC_CONFORMING))))
            put_null(cpu, segs[i], 0);
    }
}

/* ---- code segments ---- */

bool x86_check_code_segment(struct x86_cpu *cpu, uint16_t selector, uint32_t ext, struct x86_descriptor *d)
{
    uint32_t code = (selector & ~3u) | ext;
    if (NULL_SELECTOR(selector))
        return x86_refuse(cpu, X86_GP, ext);
    if (!x86_read_descriptor(cpu, selector, X86_GP, ext, d))
        return false;
    uint32_t a = d->seg.attributes;
    if (!is_code(a) || (x86_is_long(cpu) && a & X86_DESC_L && a & X86_DESC_DB))
        return x86_refuse(cpu, X86_GP, code);
    return true;
}

void x86_put_code_segment(struct x86_cpu *cpu, struct x86_segment seg, uint32_t cpl)
{
    seg.selector = (uint16_t)((seg.selector & ~3u) | cpl);
    cpu->state.seg[X86_CS] = seg;
    cpu->state.cpl = (uint8_t)cpl;
    x86_refresh(cpu);
}

bool x86_target(struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t offset, uint32_t ext, uint64_t *rip)
{
    bool is_64bit = x86_is_long(cpu) && cs->attributes & X86_DESC_L;
    if (is_64bit ? !x86_is_canonical(offset) : (uint32_t)offset > cs->limit)
        return x86_refuse(cpu, X86_GP, ext);
    *rip = is_64bit ? offset : (uint32_t)(cs->base + offset);
    return true;
}

bool x86_far_target(struct x86_cpu *cpu, uint16_t selector, uint64_t offset, struct x86_far *f)
{
    struct x86_descriptor d;
    if (x86_is_real(cpu)) {
        f->cs = cpu->state.seg[X86_CS];
        f->cs.selector = selector;
        f->cs.base = (uint64_t)selector << 4;
        f->cpl = 0;
        return x86_target(cpu, &f->cs, offset, 0, &f->rip);
    }
    if (!x86_check_code_segment(cpu, selector, 0, &d))
        return false;
    uint32_t a = d.seg.attributes, dpl = X86_DESC_DPL(a), cpl = cpu->state.cpl;
    if (a & X86_DESC_CONFORMING ? dpl > cpl : (selector & 3u) > cpl || dpl != cpl)
        return x86_refuse(cpu, X86_GP, selector & ~3u);
    if (!(a & X86_DESC_P))
        return x86_refuse(cpu, X86_NP, selector & ~3u);
    f->cs = d.seg;
    f->cpl = cpl;
    return x86_target(cpu, &f->cs, offset, 0, &f->rip) && x86_mark_descriptor(cpu, &d, X86_DESC_ACCESSED);
}

bool x86_return_target(struct x86_cpu *cpu, uint16_t selector, uint64_t offset, struct x86_far *f)
{
    struct x86_descriptor d;
    uint32_t rpl = selector & 3u;
    if (x86_is_real(cpu))
        return x86_far_target(cpu, selector, offset, f);
    if (!x86_check_code_segment(cpu, selector, 0, &d))
        return false;
    uint32_t a = d.seg.attributes, dpl = X86_DESC_DPL(a);
    if (rpl < cpu->state.cpl || (a & X86_DESC_CONFORMING ? dpl > rpl : dpl != rpl))
        return x86_refuse(cpu, X86_GP, selector & ~3u);
    if (!(a & X86_DESC_P))
        return x86_refuse(cpu, X86_NP, selector & ~3u);
    f->cs = d.seg;
    f->cpl = rpl;
    return x86_target(cpu, &f->cs, offset, 0, &f->rip) && x86_mark_descriptor(cpu, &d, X86_DESC_ACCESSED);
}

bool x86_return_stack(struct x86_cpu *cpu, uint16_t selector, const struct x86_far *f, struct x86_segment *ss)
{
    struct x86_descriptor d;
    if (NULL_SELECTOR(selector)) {
        if (!(x86_is_long(cpu) && f->cs.attributes & X86_DESC_L) || f->cpl == 3 || (selector & 3u) != f->cpl)
            return x86_refuse(cpu, X86_GP, 0);
        *ss = (struct x86_segment){.selector = selector, .attributes = X86_DESC_UNUSABLE};
        return true;
    }
    if (!x86_check_stack_segment(cpu, selector, f->cpl, X86_GP, 0, &d))
        return false;
    *ss = d.seg;
    return true;
}
