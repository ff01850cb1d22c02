/* SPDX-License-Identifier: MIT */
/* Page permissions of a real kernel: all permutations of two levels' P, W, U, NX and reserved bits, page sizes, CR0.WP,
 * EFER.NXE, SMEP, SMAP, AC, privilege and kind of access, against a model that is told the rules of the SDM (volume 3,
 * 4.6.1 and 4.7) one by one; walked anew each time, and with what earlier accesses left in the TLBs. */
#include "rig.h"

#include <criterion/criterion.h>

#define GVA 0x40000000ull /* begins a 1 GiB page */

enum { READ, WRITE, FETCH };
enum { PRESENT = 1, WRITABLE = 2, USER = 4, NO_EXEC = 8, RESERVED = 16 };

struct paging {
    bool wp, nxe, smep, smap;
    unsigned upper, leaf; /* PRESENT... */
};
struct who {
    int kind;
    bool is_user, ac;
};

/* ---- the model ---- */

#define NO_FAULT (-1)

static int error_code(const struct paging *p, const struct who *a, bool present, bool reserved)
{
    int code = 0;
    if (present)
        code += 1;
    if (a->kind == WRITE)
        code += 2;
    if (a->is_user)
        code += 4;
    if (reserved)
        code += 8;
    if (a->kind == FETCH && (p->nxe || p->smep))
        code += 16;
    return code;
}

static bool bad_entry(const struct paging *p, unsigned entry)
{
    return (entry & RESERVED) || ((entry & NO_EXEC) && !p->nxe);
}

static bool may(const struct paging *p, const struct who *a)
{
    bool user_page = (p->upper & USER) && (p->leaf & USER);
    bool writable = (p->upper & WRITABLE) && (p->leaf & WRITABLE);
    bool no_exec = (p->upper & NO_EXEC) || (p->leaf & NO_EXEC);
    if (a->is_user) {
        switch (a->kind) {
        case READ:
            return user_page;
        case WRITE:
            return user_page && writable;
        default:
            return user_page && !no_exec;
        }
    }
    switch (a->kind) {
    case READ:
        return !user_page || !p->smap || a->ac;
    case WRITE:
        if (user_page && p->smap && !a->ac)
            return false;
        return writable || !p->wp;
    default:
        if (user_page && p->smep)
            return false;
        return !no_exec;
    }
}

/* The error code, or NO_FAULT. */
static int model(const struct paging *p, const struct who *a)
{
    if (!(p->upper & PRESENT))
        return error_code(p, a, false, false);
    if (bad_entry(p, p->upper))
        return error_code(p, a, true, true);
    if (!(p->leaf & PRESENT))
        return error_code(p, a, false, false);
    if (bad_entry(p, p->leaf))
        return error_code(p, a, true, true);
    return may(p, a) ? NO_FAULT : error_code(p, a, true, false);
}

/* ---- the machine ---- */

struct place {
    struct rig rig;
    uint64_t upper_at, leaf_at;     /* host addresses of the two entries */
    uint64_t upper_base, leaf_base; /* their addresses, and PS */
    uint32_t level;
};

static uint64_t entry_bits(unsigned e, uint32_t level, bool is_leaf)
{
    /* Bit 51 is above the physical address; bit 13 is inside a large page. */
    uint64_t reserved = is_leaf && level ? 1ull << 13 : 1ull << 51;
    return (e & PRESENT ? PTE_P : 0) | (e & WRITABLE ? PTE_W : 0) | (e & USER ? PTE_U : 0) |
           (e & NO_EXEC ? PTE_NX : 0) | (e & RESERVED ? reserved : 0);
}

static void place_init(struct place *p, uint32_t level)
{
    rig_init(&p->rig, 4, 4, level, true);
    rig_top(&p->rig);
    p->level = level;
    p->leaf_base = rig_page(&p->rig, level);
    p->leaf_at = rig_map(&p->rig, GVA, p->leaf_base, level, PTE_P);
    p->leaf_base |= level ? PTE_PS : 0;
    /* Open all levels above; the one over the leaf is the other that varies. */
    uint64_t table = p->rig.space.cr3;
    for (uint32_t l = 3; l > level; l--) {
        p->upper_at = rig_hpa(&p->rig, table + (GVA >> LEVEL_SHIFT(l) & 511) * 8);
        p->upper_base = frame_load64(p->rig.mem, p->upper_at) & PTE_FRAME;
        frame_store64(p->rig.mem, p->upper_at, p->upper_base | PTE_P | PTE_W | PTE_U);
        table = p->upper_base;
    }
}

static void place_set(struct place *p, const struct paging *c)
{
    frame_store64(p->rig.mem, p->upper_at, p->upper_base | entry_bits(c->upper, p->level + 1, false));
    frame_store64(p->rig.mem, p->leaf_at, p->leaf_base | entry_bits(c->leaf, p->level, true));
}

static int machine(struct place *p, const struct paging *c, const struct who *a)
{
    static const enum cache_op ops[] = {CACHE_READ, CACHE_WRITE, CACHE_FETCH};
    struct mmu_result r;
    p->rig.space.rights = MMU_PAGING | (c->wp ? MMU_WP : 0) | (c->nxe ? MMU_NXE : 0) | (c->smep ? MMU_SMEP : 0) |
                          (a->is_user          ? MMU_USER
                           : c->smap && !a->ac ? MMU_NO_USER
                                               : 0);
    enum mmu_status status = mmu_translate(&p->rig.mmu, &p->rig.space, GVA + 0x123, ops[a->kind], 0, &r);
    cr_assert(status == MMU_OK || status == MMU_GUEST_FAULT);
    if (status == MMU_OK)
        cr_assert_eq(r.hpa, rig_hpa(&p->rig, (p->leaf_base & PTE_FRAME) + 0x123));
    return status == MMU_OK ? NO_FAULT : (int)p->rig.mmu.fault_code;
}

static const struct who accesses[] = {{READ, true, false},  {WRITE, true, false},  {FETCH, true, false},
                                      {READ, false, false}, {WRITE, false, false}, {FETCH, false, false},
                                      {READ, false, true},  {WRITE, false, true},  {FETCH, false, true}};

/* A is set in what led to a page that was reached, D in the leaf that was written, and in nothing else. */
static void check_bits(struct place *p, bool reached, bool written, uint32_t n)
{
    uint64_t leaf = frame_load64(p->rig.mem, p->leaf_at), upper = frame_load64(p->rig.mem, p->upper_at);
    cr_assert_eq(!!(leaf & PTE_A), reached, "case %u", n);
    cr_assert_eq(!!(leaf & PTE_D), written, "case %u", n);
    cr_assert_eq(upper & PTE_D, 0, "case %u", n);
    if (reached)
        cr_assert(upper & PTE_A, "case %u", n);
}

static void all_accesses(struct place *p, const struct paging *c, uint32_t n, bool keep)
{
    bool reached = false, written = false;
    place_set(p, c);
    mmu_flush_page(&p->rig.mmu, p->rig.space.asid, GVA);
    for (uint32_t i = 0; i < N_ELEMS(accesses); i++) {
        const struct who *a = &accesses[(i * (n % 2 ? 1 : 4) + n) % N_ELEMS(accesses)];
        int expect = model(c, a), got = machine(p, c, a);
        cr_assert_eq(got, expect,
                     "case %u: upper %x leaf %x wp %d nxe %d smep %d smap %d, kind %d user %d ac %d: %d, "
                     "expected %d",
                     n, c->upper, c->leaf, c->wp, c->nxe, c->smep, c->smap, a->kind, a->is_user, a->ac, got, expect);
        reached |= got == NO_FAULT;
        written |= got == NO_FAULT && a->kind == WRITE;
        if (!keep)
            mmu_flush_page(&p->rig.mmu, p->rig.space.asid, GVA);
    }
    check_bits(p, reached, written, n);
}

static void every_permutation(uint32_t level)
{
    struct place p;
    uint32_t n = 0;
    place_init(&p, level);
    for (unsigned upper = 0; upper < 32; upper++)
        for (unsigned leaf = 0; leaf < 32; leaf++)
            for (unsigned f = 0; f < 16; f++, n++) {
                struct paging c = {f & 1, f & 2, f & 4, f & 8, upper, leaf};
                all_accesses(&p, &c, n, false);
                all_accesses(&p, &c, n, true);
            }
    rig_fini(&p.rig);
}

Test(rights, every_permutation_4k)
{
    every_permutation(LEVEL_4K);
}
Test(rights, every_permutation_2m)
{
    every_permutation(LEVEL_2M);
}
Test(rights, every_permutation_1g)
{
    every_permutation(LEVEL_1G);
}

/* The paging-structure caches know what the tables above allow: a neighbour's walk starts below them. */
Test(rights, kept_in_the_paging_structure_caches)
{
    for (unsigned upper = 0; upper < 8; upper++) {
        struct place p;
        struct paging c = {true, true, false, false, PRESENT | upper << 1, PRESENT | WRITABLE | USER};
        place_init(&p, LEVEL_4K);
        uint64_t gpa = rig_page(&p.rig, 0);
        rig_map(&p.rig, GVA + PAGE_BYTES, gpa, 0, PTE_P | PTE_W | PTE_U);
        place_set(&p, &c);
        const struct who first = {READ, false, false};
        cr_assert_eq(machine(&p, &c, &first), NO_FAULT);
        for (uint32_t i = 0; i < N_ELEMS(accesses); i++) {
            static const enum cache_op ops[] = {CACHE_READ, CACHE_WRITE, CACHE_FETCH};
            struct mmu_result r;
            p.rig.space.rights = MMU_PAGING | MMU_WP | MMU_NXE | (accesses[i].is_user ? MMU_USER : 0);
            bool ok = mmu_translate(&p.rig.mmu, &p.rig.space, GVA + PAGE_BYTES, ops[accesses[i].kind], 0, &r) == MMU_OK;
            cr_assert_eq(ok, model(&c, &accesses[i]) == NO_FAULT, "upper %x, access %u", c.upper, i);
        }
        rig_fini(&p.rig);
    }
}

/* With paging off an address is physical, whatever is in CR3. */
Test(rights, no_paging)
{
    struct rig r;
    struct mmu_result out;
    rig_init(&r, 4, 4, LEVEL_2M, true);
    rig_top(&r);
    uint64_t gpa = rig_page(&r, LEVEL_2M);
    r.space.levels = 0;
    for (int op = 0; op < 2; op++) {
        cr_assert_eq(mmu_translate(&r.mmu, &r.space, gpa + 77, op ? CACHE_WRITE : CACHE_FETCH, 0, &out), MMU_OK);
        cr_assert_eq(out.hpa, rig_hpa(&r, gpa + 77));
    }
    rig_fini(&r);
}
