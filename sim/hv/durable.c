/* SPDX-License-Identifier: MIT */
/* Golden model G3: for every persistent line the version that the guest was promised, computed from retired flushes,
 * fences and hints alone; and the image that a power failure left (power.c), judged against it. */
#include "sim/hv/hv.h"

static struct pmem_page *page_of(const struct hv *hv, uint64_t line)
{
    return frame_pmem(hv->mem, line >> (PAGE_SHIFT - LINE_SHIFT));
}

void durable_flush(struct vcpu *v, uint64_t line)
{
    if (v->vm->hv->check)
        *map_put(&v->flushed, line) = page_of(v->vm->hv, line)->cur[line & 63];
}

/* Adds src to dst, the larger version of each line; src is empty afterwards. */
static void merge(struct map *dst, struct map *src)
{
    for (uint64_t i = 0; src->n && i <= src->mask; i++)
        if (src->key[i] != UINT64_MAX) {
            uint64_t *version = map_put(dst, src->key[i]);
            *version = max_u64(*version, src->val[i]);
        }
    map_free(src);
}

uint32_t durable_version(const struct hv *hv, uint64_t line, ps_t t, bool adr)
{
    const struct mem_region *r = mem_region_at(hv->mem, line << LINE_SHIFT);
    uint32_t queued = imc_queued_version(&hv->numa->node[r->node], r, line - (r->base >> LINE_SHIFT), t, adr);
    uint32_t media = page_of(hv, line)->media[line & 63];
    return queued > media ? queued : media;
}

/* Every line of the map survives a failure at t in the version it names. */
static int judge(const struct hv *hv, const struct map *promise, ps_t t, bool adr, const char *what, struct diag *d)
{
    for (uint64_t i = 0; promise->n && i <= promise->mask; i++) {
        uint64_t line = promise->key[i];
        if (line == UINT64_MAX)
            continue;
        uint32_t has = durable_version(hv, line, t, adr);
        if (has < promise->val[i])
            return fail(
                d, "golden model G3: line %llx was promised version %llu by a %s, a power failure at %llu ps leaves %u",
                (unsigned long long)line, (unsigned long long)promise->val[i], what, (unsigned long long)t, has);
    }
    return 0;
}

void durable_fence(struct vcpu *v)
{
    struct hv *hv = v->vm->hv;
    if (!hv->check)
        return;
    judge(hv, &v->flushed, vcpu_cpu(v)->core.now_ps, true, "fence", hv->diag);
    merge(&v->vm->durable.fenced, &v->flushed);
}

void durable_hint(struct vm *vm, uint32_t region, ps_t done_ps)
{
    const struct vm_region *r = &vm->region[region];
    struct durable *g = &vm->durable;
    struct ept_leaf l;
    if (!vm->hv->check || !ept_find(&vm->ept, r->gpa, &l))
        return;
    judge(vm->hv, &g->fenced, done_ps, false, "flush hint", vm->hv->diag);
    merge(&g->hinted, &g->fenced);
}

void durable_fini(struct vm *vm)
{
    map_free(&vm->durable.fenced);
    map_free(&vm->durable.hinted);
}

/* eADR: every line that was ever stored survives in its newest version. */
static int judge_all(const struct hv *hv, const struct vm *vm, struct diag *d)
{
    for (uint32_t i = 0; i < vm->n_regions; i++) {
        const struct vm_region *r = &vm->region[i];
        struct ept_leaf l;
        for (uint64_t at = 0; at < r->bytes && ept_find(&vm->ept, r->gpa + at, &l); at += PAGE_BYTES) {
            uint64_t hpa = (l.entry & EPT_FRAME) + (r->gpa + at - l.gpa);
            const struct frame *f = frame_at(hv->mem, hpa >> PAGE_SHIFT);
            if ((f->content & 7) != CONTENT_PMEM)
                continue;
            const struct pmem_page *p = page_of(hv, hpa >> LINE_SHIFT);
            for (uint32_t k = 0; k < 64; k++)
                if (p->media[k] != p->cur[k])
                    return fail(d, "golden model G3: eADR left version %u of line %llx, the caches had %u", p->media[k],
                                (unsigned long long)(hpa >> LINE_SHIFT) + k, p->cur[k]);
        }
    }
    return 0;
}

int durable_judge(const struct hv *hv, ps_t t, enum power_outcome outcome, struct diag *d)
{
    int bad = 0;
    for (uint32_t i = 0; i < hv->n_vms; i++) {
        const struct vm *vm = hv->vm[i];
        bad |= judge(hv, &vm->durable.hinted, t, true, "flush hint", d);
        if (outcome != POWER_ADR_FAILS)
            bad |= judge(hv, &vm->durable.fenced, t, true, "fence", d);
        if (outcome == POWER_EADR)
            bad |= judge_all(hv, vm, d);
    }
    return bad;
}

/* Every leaf's frame belongs to the VM and the page that maps it. */
static int verify_vm(const struct hv *hv, const struct vm *vm, struct diag *d)
{
    struct ept_leaf l;
    for (uint64_t at = 0; ept_next(&vm->ept, at, vm->top_gpa, &l); at = l.gpa + (1ull << LEVEL_SHIFT(l.level))) {
        uint64_t owner = frame_at(hv->mem, ept_mfn(l.entry))->owner;
        if (owner_use(owner) != FRAME_GUEST || owner_vm(owner) != vm->index || owner_gfn(owner) != l.gpa >> PAGE_SHIFT)
            return fail(d, "vm %s: guest page %llx maps frame %llx, which belongs to VM %u page %llx", vm->name,
                        (unsigned long long)l.gpa >> PAGE_SHIFT, (unsigned long long)ept_mfn(l.entry), owner_vm(owner),
                        (unsigned long long)owner_gfn(owner));
    }
    return 0;
}

int hv_verify(const struct hv *hv, struct diag *d)
{
    for (uint32_t i = 0; i < hv->n_vms; i++)
        if (verify_vm(hv, hv->vm[i], d))
            return -1;
    return mem_verify(hv->mem, d) || caches_verify(hv->caches, d) ? -1 : 0;
}
