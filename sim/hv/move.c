/* SPDX-License-Identifier: MIT */
/* Page moves between nodes, by a worker on the last CPU of the target node, a batch at a time: allocate on the target
 * and write-protect; copy line by line through the memory system; when the copy is done, pages that were written
 * meanwhile are copied again, the others switch their leaf; one shootdown for the batch; the old frames are freed. The
 * vCPUs run on while a batch is copied. A limited rate makes pauses between batches, not within one: pages are
 * write-protected as briefly as the memory allows. */
#include "sim/hv/hv.h"

#include <stdlib.h>
#include <string.h>

#define BATCH        64u /* leaves a shootdown (systems.md section 14: 64-512) */
#define QUEUE_MAX    65536u
#define MAX_RETRIES  3u  /* then the page is stopped: copied while no vCPU runs */
#define COPY_OVERLAP 10u /* lines in flight of one copying CPU */

struct job {
    uint64_t gpa, new_mfn, rate;
    uint32_t vm, node, cpu, level, retries;
    bool written;
};

struct hv_move {
    struct job *queue; /* ring */
    uint32_t head, n;
    struct job batch[BATCH];
    uint32_t n_batch;
    bool is_copying;
    bool is_awake; /* an event is under way, or this very step will make one if there is work */
    uint32_t at;   /* job of the batch that is being copied */
    uint64_t done; /* bytes of it that are */
    ps_t next_ps;  /* the rate allows no batch before */
    ps_t began_ps; /* the copy of the batch */
};

static struct hv_move *engine(struct hv *hv)
{
    if (!hv->move) {
        hv->move = xcalloc(1, sizeof *hv->move);
        hv->move->queue = xcalloc(QUEUE_MAX, sizeof *hv->move->queue);
    }
    return hv->move;
}

void move_fini(struct hv *hv)
{
    if (hv->move)
        free(hv->move->queue);
    free(hv->move);
}

uint32_t move_pending(const struct hv *hv)
{
    return hv->move ? hv->move->n + hv->move->n_batch : 0;
}

int32_t move_queue(struct hv *hv, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                   uint64_t rate)
{
    struct hv_move *e = engine(hv);
    uint32_t taken = (uint32_t)min_u64(n, QUEUE_MAX - e->n);
    uint32_t worker = (node + 1) * (uint32_t)hv->conf.cores - 1;
    hv_charge(hv, cpu, taken * hv->conf.leaf_read_cycles);
    for (uint32_t i = 0; i < taken; i++)
        e->queue[(e->head + e->n++) % QUEUE_MAX] =
            (struct job){.gpa = gpa[i], .rate = rate, .vm = vm, .node = node, .cpu = worker};
    if (taken && !e->is_awake) {
        e->is_awake = true;
        heap_push(&hv->events, hv->now_ps, EVENT_MOVE, 0);
    }
    return (int32_t)taken;
}

static void answer(struct hv *hv, const struct job *j, int32_t result, uint32_t from)
{
    hv->stats.moves += result == QUIRE_OK;
    hv->stats.move_failures += result != QUIRE_OK;
    plugin_host_done(
        hv->plugins, j->vm, j->cpu,
        (struct quire_done){
            .result = result, .gpa = j->gpa, .from_node = from, .to_node = j->node, .retries = j->retries});
}

/* Looks the page up and takes a frame for it. Answers the plugin and returns false if it cannot or need not move. */
static bool prepare(struct hv *hv, struct job *j)
{
    struct vm *vm = hv->vm[j->vm];
    struct ept_leaf l;
    struct mem_region *to = mem_find_region(hv->mem, j->node, MEM_DRAM);
    if (!ept_find(&vm->ept, j->gpa, &l)) {
        answer(hv, j, QUIRE_E_NOENT, j->node);
        return false;
    }
    uint64_t mfn = ept_mfn(l.entry);
    const struct mem_region *from = mem_region_at(hv->mem, mfn << PAGE_SHIFT);
    bool hint = vm->n_regions && l.gpa == vm->region[0].hint_gpa, busy = false;
    for (uint32_t i = 0; i < hv->move->n_batch; i++)
        busy |= hv->move->batch[i].vm == j->vm && hv->move->batch[i].gpa == l.gpa;
    if (from->node == j->node || from->kind == MEM_PMEM || frame_is_pinned(hv->mem, mfn) || hint || busy) {
        answer(hv, j, from->node == j->node ? QUIRE_E_ALREADY : QUIRE_E_BUSY, from->node);
        return false;
    }
    j->gpa = l.gpa;
    j->level = l.level;
    j->new_mfn = mem_alloc(hv->mem, to, l.level, FRAME_GUEST, j->vm, l.gpa >> PAGE_SHIFT);
    if (j->new_mfn == MFN_NONE && l.level && to->free_pages >= 512) {
        /* No contiguous block: the leaf is split, and its first piece moves now. */
        ept_split(&vm->ept, l.gpa);
        return prepare(hv, j);
    }
    if (j->new_mfn == MFN_NONE) {
        answer(hv, j, QUIRE_E_NOMEM, from->node);
        return false;
    }
    return true;
}

static void write_protect(struct hv *hv, struct job *j)
{
    struct ept_leaf l;
    j->written = false;
    if (!ept_find(&hv->vm[j->vm]->ept, j->gpa, &l))
        return;
    l.entry &= ~(EPT_W | (l.entry & EPT_TRACED ? EPT_W << EPT_SAVED_SHIFT : 0));
    ept_write(&hv->vm[j->vm]->ept, &l);
    hv_charge(hv, j->cpu, hv->conf.leaf_edit_cycles);
}

static void restore_write(struct hv *hv, const struct job *j)
{
    struct ept_leaf l;
    if (!ept_find(&hv->vm[j->vm]->ept, j->gpa, &l))
        return;
    l.entry |= l.entry & EPT_TRACED ? EPT_W << EPT_SAVED_SHIFT : EPT_W;
    ept_write(&hv->vm[j->vm]->ept, &l);
}

/* Copies bytes [from_byte, to_byte) of the page from start on; answers when the last line is written. Reads and writes
 * go through the caches of the copying CPU, COPY_OVERLAP of them at a time. */
static ps_t copy(struct hv *hv, const struct job *j, uint64_t from_byte, uint64_t to_byte, ps_t start)
{
    struct ept_leaf l;
    ps_t slot[COPY_OVERLAP], last = start;
    if (!ept_find(&hv->vm[j->vm]->ept, j->gpa, &l))
        return start;
    uint64_t from = ept_mfn(l.entry) << (PAGE_SHIFT - LINE_SHIFT), to = j->new_mfn << (PAGE_SHIFT - LINE_SHIFT);
    for (uint32_t i = 0; i < COPY_OVERLAP; i++)
        slot[i] = start;
    for (uint64_t i = from_byte >> LINE_SHIFT; i < to_byte >> LINE_SHIFT; i++) {
        ps_t read = cache_access(hv->caches, j->cpu, from + i, CACHE_READ, slot[i % COPY_OVERLAP]);
        slot[i % COPY_OVERLAP] = read;
        last = max_u64(last, cache_ntstore(hv->caches, j->cpu, to + i, read));
    }
    return last;
}

/* Write-protects the whole batch. */
static void begin_copy(struct hv *hv, ps_t now)
{
    struct hv_move *e = hv->move;
    bool vm_done[256] = {false};
    for (uint32_t i = 0; i < e->n_batch; i++)
        write_protect(hv, &e->batch[i]);
    for (uint32_t i = 0; i < e->n_batch; i++)
        if (!vm_done[e->batch[i].vm]) {
            vm_done[e->batch[i].vm] = true;
            hv_shootdown(hv, hv->vm[e->batch[i].vm], e->batch[i].cpu);
        }
    e->is_copying = true;
    e->at = 0;
    e->done = 0;
    e->next_ps = e->began_ps = now;
}

/* One piece of 4 KiB: short enough that the channels are not booked far ahead of the vCPUs' own accesses. The next
 * piece follows when this one is done. */
static void copy_piece(struct hv *hv, ps_t now)
{
    struct hv_move *e = hv->move;
    const struct job *j = &e->batch[e->at];
    struct cpu *cpu = &hv->cpu[j->cpu];
    ps_t end = copy(hv, j, e->done, e->done + PAGE_BYTES, now);
    if (j->rate)
        e->next_ps += (ps_t)((unsigned __int128)PS_PER_S * PAGE_BYTES / j->rate);
    if (cpu->n_vcpus == 0) {
        cpu->core.now_ps = max_u64(cpu->core.now_ps, end);
    } else { /* a vCPU shares the CPU: it waits that long */
        cpu->core.now_ps += end - now;
        cpu->core.stats.exit_ps += end - now;
    }
    e->done += PAGE_BYTES;
    if (e->done == 1ull << LEVEL_SHIFT(j->level)) {
        e->at++;
        e->done = 0;
    }
    heap_push(&hv->events, end, EVENT_MOVE, 0);
}

/* The leaf points to the new frame from now on. */
static void switch_leaf(struct hv *hv, const struct job *j)
{
    struct vm *vm = hv->vm[j->vm];
    struct ept_leaf l;
    if (!ept_find(&vm->ept, j->gpa, &l))
        return;
    uint64_t old = ept_mfn(l.entry);
    for (uint64_t i = 0; i < 1ull << 9 * j->level; i++)
        frame_copy(hv->mem, j->new_mfn + i, old + i);
    l.entry = (l.entry & ~EPT_FRAME) | j->new_mfn << PAGE_SHIFT;
    ept_write(&vm->ept, &l);
    restore_write(hv, j);
    hv_charge(hv, j->cpu, hv->conf.leaf_edit_cycles);
    hv->stats.moved_bytes += 1ull << LEVEL_SHIFT(j->level);
}

static void finish_batch(struct hv *hv, ps_t now)
{
    struct hv_move *e = hv->move;
    struct job finished[BATCH] = {0}, again[BATCH] = {0};
    uint64_t old[BATCH];
    uint32_t n_finished = 0, n_again = 0;
    bool vm_done[256] = {false};
    for (uint32_t i = 0; i < e->n_batch; i++) {
        struct job *j = &e->batch[i];
        struct ept_leaf l;
        if (j->written && j->retries < MAX_RETRIES) {
            j->retries++;
            hv->stats.move_retries++;
            again[n_again++] = *j;
            continue;
        }
        /* A page that is written over and over is stopped: nobody runs while its last copy is made. */
        ps_t stop_ps = j->written ? copy(hv, j, 0, 1ull << LEVEL_SHIFT(j->level), now) - now : 0;
        if (stop_ps)
            for (uint32_t k = 0; k < hv->vm[j->vm]->n_vcpus; k++) {
                struct core *c = &hv->cpu[hv->vm[j->vm]->vcpu[k].cpu].core;
                c->now_ps += stop_ps;
            }
        old[n_finished] = ept_find(&hv->vm[j->vm]->ept, j->gpa, &l) ? ept_mfn(l.entry) : MFN_NONE;
        switch_leaf(hv, j);
        finished[n_finished++] = *j;
    }
    for (uint32_t i = 0; i < n_finished; i++)
        if (!vm_done[finished[i].vm]) {
            vm_done[finished[i].vm] = true;
            hv_shootdown(hv, hv->vm[finished[i].vm], finished[i].cpu);
        }
    if (n_finished && hv->event)
        hv->event(hv->out_ctx, "move", "batch of pages", 0, finished[0].cpu, e->began_ps, now - e->began_ps);
    memcpy(e->batch, again, n_again * sizeof *again);
    e->n_batch = n_again;
    e->is_copying = false;
    for (uint32_t i = 0; i < n_finished; i++) {
        uint32_t from = mem_region_at(hv->mem, old[i] << PAGE_SHIFT)->node;
        mem_release(hv->mem, old[i], finished[i].level);
        answer(hv, &finished[i], QUIRE_OK, from);
    }
}

void move_step(struct hv *hv, ps_t now)
{
    struct hv_move *e = hv->move;
    if (e->is_copying && e->at < e->n_batch) {
        copy_piece(hv, now);
        return;
    }
    if (e->is_copying)
        finish_batch(hv, now);
    if (now < e->next_ps && (e->n_batch || e->n)) {
        heap_push(&hv->events, e->next_ps, EVENT_MOVE, 0);
        return;
    }
    while (e->n_batch < BATCH && e->n) {
        struct job j = e->queue[e->head];
        e->head = (e->head + 1) % QUEUE_MAX;
        e->n--;
        if (prepare(hv, &j))
            e->batch[e->n_batch++] = j;
    }
    if (e->n_batch && !e->is_copying) {
        begin_copy(hv, now);
        copy_piece(hv, now);
    } else {
        e->is_awake = false;
    }
}

bool move_was_written(struct hv *hv, struct vm *vm, uint64_t gpa)
{
    for (uint32_t i = 0; hv->move && i < hv->move->n_batch; i++) {
        struct job *j = &hv->move->batch[i];
        if (j->vm == vm->index && gpa >> LEVEL_SHIFT(j->level) == j->gpa >> LEVEL_SHIFT(j->level)) {
            j->written = true;
            restore_write(hv, j);
            return true;
        }
    }
    return false;
}

void move_state(struct hv *hv, struct ckpt *c)
{
    bool is_there = hv->move != NULL;
    CKPT(c, is_there);
    if (!is_there)
        return;
    struct hv_move *e = engine(hv);
    CKPT_STRUCT(c, e, CKPT_KEEP(struct hv_move, queue));
    ckpt_bytes(c, e->queue, QUEUE_MAX * sizeof *e->queue);
}
