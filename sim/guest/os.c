/* SPDX-License-Identifier: MIT */
/* The light guest-OS model: hands out guest-physical pages in order of first touch and builds real page tables for
 * them. Page-table pages lie in 2 MiB blocks of their own, as a kernel groups its unmovable pages. */
#include "sim/guest/exec.h"
#include "sim/guest/guest.h"

#include <stdlib.h>
#include <string.h>

static const char *const levels[] = {"4KiB", "2MiB", "1GiB", NULL};
static const char *const timings[] = {"functional", "block", "window", "warm", NULL}; /* enum x86_timing */
static const char *const guest_levels[] = {"4KiB", "2MiB", NULL};

#define ANY_NODE 255u /* as a configuration writes it */

#define K(field) offsetof(struct vm_conf, field)
const struct conf_key vm_keys[] = {
    {"memory", CONF_SIZE, K(memory_bytes), "4GiB", 4 * MIB, 256 * TIB, NULL,
     "guest-physical RAM; pages get frames when touched"},
    {"pmem", CONF_SIZE, K(pmem_bytes), "0B", 0, 64 * TIB, NULL, "one virtual NVDIMM of that size; 0B: none"},
    {"vcpus", CONF_UINT, K(vcpus), "1", 1, 256, NULL, "virtual CPUs, one after the other on the CPUs of the node"},
    {"node", CONF_UINT, K(node), "0", 0, NUMA_MAX_NODES - 1, NULL, "NUMA node of the vCPUs"},
    {"memory_node", CONF_UINT, K(memory_node), "255", 0, 255, NULL,
     "node that backs its memory while it has room (one without CPUs too); 255: that of the vCPU that touches it"},
    {"pmem_node", CONF_UINT, K(pmem_node), "0", 0, NUMA_MAX_NODES - 1, NULL, "node whose modules back the NVDIMM"},
    {"backing", CONF_CHOICE, K(backing), "2MiB", 0, 0, levels, "largest page that the nested tables use"},
    {"guest_pages", CONF_CHOICE, K(guest_pages), "4KiB", 0, 0, guest_levels, "page size of the guest's own tables"},
    {"guest_levels", CONF_UINT, K(guest_levels), "4", 4, 5, NULL, "levels of the guest's page tables"},
    {"fault_cycles", CONF_UINT, K(fault_cycles), "1000", 0, 0, NULL, "the guest kernel's page fault handler (a knob)"},
    {"trace", CONF_PATH, K(trace), "", 0, 0, NULL, "trace file that the vCPUs play"},
    {"generator", CONF_STRING, K(generator), "", 0, 0, NULL,
     "or what makes their accesses: stream, random, chase, zipf, phase, log-append"},
    {"format", CONF_STRING, K(format), "", 0, 0, NULL, "format of a trace without a signature (quire trace --help)"},
    {"accesses", CONF_UINT, K(accesses), "1000000", 0, 0, NULL,
     "generator: operations of each vCPU; trace: at most that many records (0: all)"},
    {"footprint", CONF_SIZE, K(footprint_bytes), "64MiB", 4096, 0, NULL, "generator: bytes that it touches"},
    {"writes", CONF_RATIO, K(write_ppm), "25%", 0, 1000000, NULL, "generator: share of stores"},
    {"zipf", CONF_RATIO, K(zipf_ppm), "99%", 0, 5000000, NULL, "generator zipf: the exponent (99% = 0.99)"},
    {"append", CONF_SIZE, K(append_bytes), "256B", 1, 1 << 20, NULL, "generator log-append: bytes of a record"},
    {"think", CONF_UINT, K(think), "4", 0, 1 << 20, NULL, "generator: instructions between accesses"},
    {"init", CONF_BOOL, K(init), "false", 0, 0, NULL,
     "generator: first write every page of the footprint once, in order, as a program that loads its data does"},
    {"move_at", CONF_TIME, K(move_at_ps), "0us", 0, 0, NULL, "when the vCPUs move to another node; 0us: never"},
    {"move_to_node", CONF_UINT, K(move_to_node), "0", 0, NUMA_MAX_NODES - 1, NULL, "which node"},
    {"program", CONF_PATH, K(program), "", 0, 0, NULL,
     "or a static x86-64 Linux program that runs in it; with a PVH note, one for the bare machine"},
    {"args", CONF_STRING, K(args), "", 0, 0, NULL,
     "program: its arguments, separated by spaces (a backslash before one keeps it)"},
    {"env", CONF_STRING, K(env), "", 0, 0, NULL, "program: NAME=VALUE words of its environment, as args"},
    {"initrd", CONF_PATH, K(initrd), "", 0, 0, NULL, "program that is a kernel: its initial file system; \"\": none"},
    {"root", CONF_PATH, K(root), "", 0, 0, NULL,
     "program: folder that it sees as /, and may write to; \"\": the current folder, read only"},
    {"timing", CONF_CHOICE, K(timing), "block", 0, 0, timings, "program: model of the processor"},
    {"timing_at", CONF_STRING, K(timing_at), "", 0, 0, NULL,
     "program: other models from an instruction on: INSTRUCTIONS:MODEL words, ascending"},
    {"sample", CONF_BOOL, K(sample), "false", 0, 0, NULL,
     "program: `timing` runs in intervals only, `warm` between them; rates come with confidence intervals"},
    {"sample_head", CONF_UINT, K(sample_head), "100000", 0, 0, NULL,
     "sample: instructions at the begin that are measured whole: start-up is like nothing that follows"},
    {"sample_interval", CONF_UINT, K(sample_interval), "1000", 1, 1000000000, NULL,
     "sample: instructions that are measured (SMARTS: 1,000)"},
    {"sample_lead", CONF_UINT, K(sample_lead), "2000", 0, 1000000000, NULL,
     "sample: instructions of the detailed model before them, to fill its queues (SMARTS: 2,000 to 4,000)"},
    {"sample_period", CONF_UINT, K(sample_period), "100000", 1, 0, NULL,
     "sample: instructions from one interval to the next"},
    {"sample_warming", CONF_UINT, K(sample_warming), "0", 0, 0, NULL,
     "sample: instructions of `warm` before an interval, `functional` before that; 0: `warm` all the way"},
    {"sample_confidence", CONF_RATIO, K(sample_confidence), "95%", 500000, 999999, NULL,
     "sample: probability of the confidence intervals"},
    {"sample_error", CONF_RATIO, K(sample_error), "3%", 100, 1000000, NULL,
     "sample: half width of the interval of cpi that is wanted, as a share of it"},
    {"sample_file", CONF_PATH, K(sample_file), "", 0, 0, NULL, "sample: CSV with a line an interval; \"\": none"},
    {"native", CONF_BOOL, K(native), "false", 0, 0, NULL, "program: runs on the host itself, without nested tables"},
    {"console", CONF_BOOL, K(console), "false", 0, 0, NULL,
     "program: its standard streams are those of quire; false: what it writes is counted only"},
    {"record", CONF_PATH, K(record), "", 0, 0, NULL, "program: trace of its accesses to write; \"\": none"},
    {"trace_insn", CONF_STRING, K(trace_insn), "", 0, 0, NULL,
     "program: file for a line an instruction; \"-\": standard error; \"\": none"},
    {"profile", CONF_STRING, K(profile), "", 0, 0, NULL,
     "program: file for instructions and time by function; \"-\": standard error; \"\": none"},
    {"gdb", CONF_STRING, K(gdb), "", 0, 0, NULL,
     "program: waits for gdb at that port of 127.0.0.1, or at unix:PATH; \"\": does not"},
    {"syscall_cycles", CONF_UINT, K(syscall_cycles), "150", 0, 0, NULL,
     "program: the guest kernel's entry and exit of a system call (a knob)"},
    {"switch_cycles", CONF_UINT, K(switch_cycles), "2000", 0, 0, NULL,
     "program: the guest kernel's switch to another thread (a knob)"},
    {"slice", CONF_TIME, K(slice_ps), "1ms", PS_PER_US, 0, NULL,
     "program: how long a thread runs while others wait for a vCPU"},
    {"max_instructions", CONF_UINT, K(max_instructions), "0", 0, 0, NULL,
     "program: ends after that many instructions of all vCPUs, with status 124; 0: when it ends"},
    {0},
};
#undef K

static int out_of_memory(const struct vm *vm, struct diag *d)
{
    return fail(d, "vm %s: its guest has used all of its %llu bytes of memory; expected a larger `memory`", vm->name,
                (unsigned long long)vm->bytes);
}

static int take(const struct vm *vm, struct guest *g, uint64_t bytes, uint64_t *gpa, struct diag *d)
{
    uint64_t at = (g->next_gpa + bytes - 1) & ~(bytes - 1);
    if (at + bytes > vm->bytes)
        return out_of_memory(vm, d);
    g->next_gpa = at + bytes;
    *gpa = at;
    return 0;
}

static int take_table(const struct vm *vm, struct guest *g, uint64_t *gpa, struct diag *d)
{
    if (g->table_gpa == g->table_end) {
        if (take(vm, g, 2 * MIB, &g->table_gpa, d))
            return -1;
        g->table_end = g->table_gpa + 2 * MIB;
    }
    *gpa = g->table_gpa;
    g->table_gpa += PAGE_BYTES;
    return 0;
}

/* Enters gva -> gpa at a level; tables on the way are made. */
static int map_page(struct vcpu *v, uint64_t gva, uint64_t gpa, uint32_t level, struct diag *d)
{
    const struct vm *vm = v->vm;
    uint64_t table = v->space.cr3;
    for (uint32_t l = v->space.levels - 1; l > level; l--) {
        uint64_t at = table + (gva >> LEVEL_SHIFT(l) & 511) * 8, entry = hv_phys_load64(vm, at);
        if (!(entry & PTE_P)) {
            if (take_table(vm, vm->guest, &entry, d) || hv_phys_store64(v, at, entry |= PTE_P | PTE_W | PTE_U))
                return -1;
        }
        table = entry & PTE_FRAME;
    }
    return hv_phys_store64(v, table + (gva >> LEVEL_SHIFT(level) & 511) * 8,
                           gpa | PTE_P | PTE_W | PTE_U | (level ? PTE_PS : 0));
}

static int page_fault(struct vcpu *v, uint64_t gva, uint32_t access, struct diag *d)
{
    struct vm *vm = v->vm;
    struct guest *g = vm->guest;
    struct core *core = &vcpu_cpu(v)->core;
    uint64_t gpa = 0, page = gva & ~(uint64_t)(PAGE_BYTES - 1);
    (void)access;
    core->now_ps += g->conf.fault_cycles * core->cycle_ps;
    for (uint32_t i = 0; i < vm->n_regions; i++) {
        const struct vm_region *r = &vm->region[i];
        if (page == GUEST_HINT_GVA + i * PAGE_BYTES)
            return map_page(v, page, r->hint_gpa, LEVEL_4K, d);
        if (gva >= GUEST_PMEM_GVA && gva - GUEST_PMEM_GVA < r->bytes) /* as DAX does: the pages of the device itself */
            return map_page(v, page, r->gpa + (page - GUEST_PMEM_GVA), LEVEL_4K, d);
    }
    uint32_t level = (uint32_t)g->conf.guest_pages;
    if (take(vm, g, 1ull << LEVEL_SHIFT(level), &gpa, d))
        return -1;
    return map_page(v, gva >> LEVEL_SHIFT(level) << LEVEL_SHIFT(level), gpa, level, d);
}

int guest_space(struct vcpu *v, uint64_t id, struct diag *d)
{
    struct vm *vm = v->vm;
    struct guest *g = vm->guest;
    uint32_t i = 0;
    while (i < g->n_spaces && g->space_id[i] != id)
        i++;
    if (i == N_ELEMS(g->space_id))
        return fail(d, "vm %s: more than %zu address spaces", vm->name, N_ELEMS(g->space_id));
    if (i == g->n_spaces) {
        if (take_table(vm, g, &g->space_cr3[i], d) || hv_back(v, g->space_cr3[i], EPT_W) == UINT64_MAX)
            return -1;
        g->space_id[i] = id;
        g->n_spaces++;
    }
    v->space.cr3 = g->space_cr3[i];
    v->space.asid = (vm->index + 1) << 8 | i;
    return 0;
}

static void state(struct vm *vm, struct ckpt *c)
{
    struct guest *g = vm->guest;
    CKPT(c, g->next_gpa);
    CKPT(c, g->table_gpa);
    CKPT(c, g->table_end);
    g->n_spaces = (uint32_t)ckpt_count(c, g->n_spaces, N_ELEMS(g->space_id));
    CKPT(c, g->space_id);
    CKPT(c, g->space_cr3);
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        player_state(&vm->vcpu[i], c);
}

const struct guest_ops guest_ops = {.page_fault = page_fault, .run = player_run, .state = state, .stops_unseen = true};

/* ---- set-up ---- */

static int trace_next(void *state, struct trace_rec *out, uint32_t max, struct diag *d)
{
    return trace_read(state, out, max, d);
}

static int open_source(struct player *p, const struct vm_conf *conf, struct hv *hv, uint32_t vm, uint32_t vcpu,
                       const char *where, struct diag *d)
{
    p->only_vcpu = UINT32_MAX;
    if (conf->generator[0]) {
        struct generator *g = generator_new(conf->generator, conf, hv->seed, vm, vcpu, where, d);
        if (!g)
            return -1;
        p->state = g;
        p->next = generator_next;
        p->is_dependent = generator_is_dependent(g);
        return 0;
    }
    struct trace_options opt = {.format = conf->format[0] ? conf->format : NULL, .limit = conf->accesses};
    p->state = trace_open(conf->trace, &opt, d);
    p->next = trace_next;
    p->only_vcpu = conf->vcpus > 1 ? vcpu : UINT32_MAX;
    return p->state ? 0 : -1;
}

/* The VM for records: a light kernel, and a player for each vCPU. */
static struct vm *player_vm(struct hv *hv, struct vm_setup *setup, const struct vm_conf *conf, const char *where,
                            struct diag *d)
{
    struct guest *g = xcalloc(1, sizeof *g);
    uint32_t before = hv->n_vms;
    g->conf = *conf;
    g->next_gpa = 2 * MIB; /* the lowest 2 MiB stay unused, as firmware and legacy areas do */
    g->player = xcalloc(conf->vcpus, sizeof *g->player);
    setup->ops = &guest_ops;
    setup->guest = g;
    struct vm *vm = hv_vm_new(hv, setup, d);
    if (!vm) {
        if (hv->n_vms == before) { /* else the machine owns what there is, and frees it */
            free(g->player);
            free(g);
        }
        return NULL;
    }
    for (uint32_t i = 0; i < vm->n_vcpus; i++) {
        struct vcpu *v = &vm->vcpu[i];
        g->player[i] = v->guest = xcalloc(1, sizeof *g->player[i]);
        v->space.levels = (uint32_t)conf->guest_levels;
        if (open_source(g->player[i], &g->conf, hv, vm->index, i, where, d))
            return NULL;
    }
    return vm;
}

static struct vm *program_vm(struct hv *hv, const struct vm_setup *setup, const struct vm_conf *conf, const char *where,
                             struct diag *d)
{
    if (conf->guest_levels != 4 || conf->guest_pages != LEVEL_4K) {
        fail(d, "%s: a program runs with guest_levels = 4 and guest_pages = 4KiB", where);
        return NULL;
    }
    struct exec_conf c = {
        .program = conf->program,
        .args = conf->args,
        .env = conf->env,
        .root = conf->root,
        .record = conf->record,
        .initrd = conf->initrd,
        .trace_insn = conf->trace_insn,
        .profile = conf->profile,
        .gdb = conf->gdb,
        .pace = {.timing = (enum x86_timing)conf->timing,
                 .timing_at = conf->timing_at,
                 .is_sampled = conf->sample,
                 .head = conf->sample_head,
                 .interval = conf->sample_interval,
                 .lead = conf->sample_lead,
                 .warming = conf->sample_warming,
                 .period = conf->sample_period,
                 .confidence_ppm = conf->sample_confidence,
                 .error_ppm = conf->sample_error,
                 .file = conf->sample_file},
        .is_native = conf->native,
        .console = conf->console,
        .seed = hv->seed,
        .fault_cycles = conf->fault_cycles,
        .syscall_cycles = conf->syscall_cycles,
        .switch_cycles = conf->switch_cycles,
        .slice_ps = conf->slice_ps,
        .max_instructions = conf->max_instructions,
    };
    struct exec *x = exec_new(hv, setup, &c, d);
    return x ? x->vm : NULL;
}

static int check_conf(const struct hv *hv, const struct vm_conf *conf, const char *where, struct diag *d)
{
    uint32_t sources = (conf->trace[0] != 0) + (conf->generator[0] != 0) + (conf->program[0] != 0);
    if (sources != 1)
        return fail(d, "%s: found %s of trace, generator and program, expected one", where,
                    sources ? "several" : "none");
    if (conf->memory_node != ANY_NODE && conf->memory_node >= hv->numa->n_nodes)
        return fail(d, "%s: memory_node: found %llu, the machine has %u nodes with memory", where,
                    (unsigned long long)conf->memory_node, hv->numa->n_nodes);
    if (conf->move_at_ps && conf->move_to_node >= hv->numa->n_cpu_nodes)
        return fail(d, "%s: move_to_node: found %llu, the machine has %u nodes", where,
                    (unsigned long long)conf->move_to_node, hv->numa->n_cpu_nodes);
    return 0;
}

struct vm *guest_new(struct hv *hv, const char *name, const struct vm_conf *conf, const char *where, struct diag *d)
{
    struct vm_setup setup = {
        .name = name,
        .bytes = conf->memory_bytes & ~(uint64_t)(PAGE_BYTES - 1),
        .pmem_bytes = conf->pmem_bytes,
        .n_vcpus = (uint32_t)conf->vcpus,
        .node = (uint32_t)conf->node,
        .pmem_node = (uint32_t)conf->pmem_node,
        .backing = (uint32_t)conf->backing,
    };
    if (check_conf(hv, conf, where, d))
        return NULL;
    struct vm *vm = conf->program[0] ? program_vm(hv, &setup, conf, where, d) : player_vm(hv, &setup, conf, where, d);
    if (!vm)
        return NULL;
    if (conf->memory_node != ANY_NODE)
        vm->memory_node = (uint32_t)conf->memory_node;
    if (conf->move_at_ps)
        heap_push(&hv->events, conf->move_at_ps, EVENT_VCPU_MOVE, (uint64_t)vm->index << 32 | conf->move_to_node);
    return vm;
}

struct exec *guest_exec(const struct vm *vm)
{
    return vm->ops == &exec_ops ? vm->guest : NULL;
}

void guest_free(struct vm *vm)
{
    struct guest *g = vm->guest;
    if (guest_exec(vm)) {
        exec_free(vm->guest);
        return;
    }
    for (uint32_t i = 0; i < g->conf.vcpus; i++) {
        struct player *p = g->player[i];
        if (p && p->next == trace_next && p->state)
            trace_close(p->state);
        else if (p)
            free(p->state);
        free(p);
    }
    free(g->player);
    free(g);
}
