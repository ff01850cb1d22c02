/* SPDX-License-Identifier: MIT */
/* Bare machines: which programs are for them, memory, loading by the PVH protocol, the console. */
#include "sim/guest/acpi.h"
#include "sim/guest/bare_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the loader puts what it tells: low memory that no image may have. */
#define INFO_GPA       0x6000u
#define MODULE_GPA     0x6080u
#define MAP_GPA        0x6100u
#define LINE_GPA       0x7000u
#define LINE_BYTES_MAX 2048u
#define IMAGE_FIRST    MIB
#define LEGACY_GPA     0xa0000u /* video memory and ROMs, to 1 MiB */
#define TABLES_GPA     0xe0000u /* ACPI's, where a PC's firmware is */

/* struct hvm_start_info and hvm_memmap_table_entry (Xen, public/arch-x86/hvm/start_info.h). */
#define START_MAGIC   0x336ec578u
#define START_VERSION 1u
struct start_info {
    uint32_t magic, version, flags, n_modules;
    uint64_t modules, command_line, rsdp, memory_map;
    uint32_t n_memory_map, reserved;
};
struct module { /* hvm_modlist_entry */
    uint64_t gpa, bytes, command_line, reserved;
};
enum { MAP_RAM = 1, MAP_RESERVED = 2, MAP_PMEM = 7 };
struct map_entry {
    uint64_t gpa, bytes;
    uint32_t type, reserved;
};

/* Segment attributes: a type, with S, present, and for flat ones D and G. */
#define FLAT_CODE 0xc09bu
#define FLAT_DATA 0xc093u
#define BUSY_TSS  0x8bu

/* ---- is it one? ---- */

static int refuse(const struct exec_conf *conf, const char *what, struct diag *d)
{
    return fail(d, "%s: found %s, which does not apply to a program for the bare machine", conf->program, what);
}

static int check(const struct exec_conf *conf, const struct vm_setup *setup, struct diag *d)
{
    if (conf->root[0])
        return refuse(conf, "`root`", d);
    if (conf->env[0])
        return refuse(conf, "`env`", d);
    if (setup->n_vcpus > BARE_MAX_CPUS)
        return fail(d, "%s: found %u vCPUs, expected at most %u", conf->program, setup->n_vcpus, BARE_MAX_CPUS);
    return 0;
}

int bare_find(const struct exec_conf *conf, const struct vm_setup *setup, struct elf **image, struct diag *d)
{
    struct diag quiet = {0};
    struct elf *e = elf_open(conf->program, &quiet);
    if (!e || !e->pvh_entry) {
        elf_free(e);
        return conf->initrd[0] ? fail(d, "%s: found `initrd`, which applies to programs with a PVH note", conf->program)
                               : 0;
    }
    if (check(conf, setup, d)) {
        elf_free(e);
        return -1;
    }
    *image = e;
    return 1;
}

uint64_t bare_vm_bytes(uint64_t bytes, uint64_t pmem_bytes)
{
    uint64_t pmem_end = (bytes + GIB - 1) / GIB * GIB + pmem_bytes + PAGE_BYTES;
    if (bytes > BARE_HOLE_GPA)
        return bytes + (BARE_HOLE_END - BARE_HOLE_GPA);
    /* The persistent region comes behind the memory: not into the hole. */
    return pmem_bytes && pmem_end > BARE_HOLE_GPA ? BARE_HOLE_END : bytes;
}

/* ---- memory ---- */

static int write_guest(struct bare *b, struct vcpu *v, uint64_t gpa, const void *bytes, uint64_t n)
{
    for (uint64_t done = 0, part; done < n; done += part) {
        uint64_t at = gpa + done;
        part = min_u64(n - done, PAGE_BYTES - (at & (PAGE_BYTES - 1)));
        uint64_t hpa = hv_back(v, at, EPT_W);
        if (hpa == UINT64_MAX)
            return -1;
        frame_write(b->x->hv->mem, hpa, (const uint8_t *)bytes + done, part);
    }
    return 0;
}

static int check_segment(const struct bare *b, const struct elf_segment *s, struct diag *d)
{
    uint64_t end = s->paddr + s->mem_bytes, room = min_u64(b->ram_bytes, BARE_HOLE_GPA);
    if (s->paddr >= IMAGE_FIRST && s->mem_bytes <= room && s->paddr <= room - s->mem_bytes)
        return 0;
    return fail(d, "%s: segment at %llx: found physical addresses %llx..%llx, expected them from %llx to %llx",
                b->image->path, (unsigned long long)s->vaddr, (unsigned long long)s->paddr, (unsigned long long)end,
                (unsigned long long)IMAGE_FIRST, (unsigned long long)room);
}

static int load_image(struct bare *b, struct vcpu *v, struct diag *d)
{
    const struct elf *e = b->image;
    bool is_inside = false;
    for (uint32_t i = 0; i < e->n_segments; i++) {
        const struct elf_segment *s = &e->segment[i];
        if (check_segment(b, s, d))
            return -1;
        for (uint32_t k = 0; k < i; k++)
            if (s->paddr < e->segment[k].paddr + e->segment[k].mem_bytes &&
                e->segment[k].paddr < s->paddr + s->mem_bytes)
                return fail(d, "%s: segments %u and %u: found the same physical addresses in both, at %llx", e->path, k,
                            i, (unsigned long long)s->paddr);
        is_inside |= e->pvh_entry - s->paddr < s->mem_bytes;
    }
    if (!is_inside)
        return fail(d, "%s: its PVH entry %llx is in no segment", e->path, (unsigned long long)e->pvh_entry);
    for (uint32_t i = 0; i < e->n_segments; i++)
        if (write_guest(b, v, e->segment[i].paddr, e->file + e->segment[i].offset, e->segment[i].file_bytes))
            return -1;
    return 0;
}

static uint64_t image_end(const struct elf *e)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < e->n_segments; i++)
        end = max_u64(end, e->segment[i].paddr + e->segment[i].mem_bytes);
    return end;
}

/* The initial file system goes to the end of low memory, as boot loaders do. *m says where it is. */
static int load_initrd(struct bare *b, struct vcpu *v, struct module *m, struct diag *d)
{
    const char *path = b->x->conf.initrd;
    uint64_t low = min_u64(b->ram_bytes, BARE_HOLE_GPA), room = low - image_end(b->image);
    uint8_t bytes[4096];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    if (fd < 0 || fstat(fd, &st)) {
        fail(d, "%s: cannot be opened: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size + PAGE_BYTES > room) {
        fail(d, "%s: found %s, expected an initial file system of at most %llu bytes", path,
             S_ISREG(st.st_mode) ? "a larger file" : "no regular file", (unsigned long long)room);
        goto out;
    }
    m->bytes = (uint64_t)st.st_size;
    m->gpa = (low - m->bytes) & ~(uint64_t)(PAGE_BYTES - 1);
    for (uint64_t done = 0; (n = read(fd, bytes, sizeof bytes)) > 0 && done < m->bytes; done += (uint64_t)n)
        if (write_guest(b, v, m->gpa + done, bytes, min_u64((uint64_t)n, m->bytes - done)))
            goto out;
    if (n < 0)
        fail(d, "%s: cannot be read: %s", path, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    return n < 0 || d->n_errors ? -1 : 0;
}

/* ---- what the program is told ---- */

static uint32_t memory_map(const struct bare *b, struct map_entry *map)
{
    const struct vm *vm = b->x->vm;
    uint64_t low = min_u64(b->ram_bytes, BARE_HOLE_GPA);
    uint32_t n = 0;
    map[n++] = (struct map_entry){0, LEGACY_GPA, MAP_RAM, 0};
    map[n++] = (struct map_entry){LEGACY_GPA, IMAGE_FIRST - LEGACY_GPA, MAP_RESERVED, 0};
    map[n++] = (struct map_entry){IMAGE_FIRST, low - IMAGE_FIRST, MAP_RAM, 0};
    for (uint32_t i = 0; i < vm->n_regions && vm->region[i].gpa < BARE_HOLE_GPA; i++) {
        map[n++] = (struct map_entry){vm->region[i].gpa, vm->region[i].bytes, MAP_PMEM, 0};
        map[n++] = (struct map_entry){vm->region[i].hint_gpa, PAGE_BYTES, MAP_RESERVED, 0};
    }
    map[n++] = (struct map_entry){IOAPIC_GPA, PAGE_BYTES, MAP_RESERVED, 0};
    map[n++] = (struct map_entry){APIC_GPA, PAGE_BYTES, MAP_RESERVED, 0};
    if (b->ram_bytes > BARE_HOLE_GPA)
        map[n++] = (struct map_entry){BARE_HOLE_END, b->ram_bytes - BARE_HOLE_GPA, MAP_RAM, 0};
    for (uint32_t i = 0; i < vm->n_regions; i++) {
        if (vm->region[i].gpa < BARE_HOLE_GPA)
            continue;
        map[n++] = (struct map_entry){vm->region[i].gpa, vm->region[i].bytes, MAP_PMEM, 0};
        map[n++] = (struct map_entry){vm->region[i].hint_gpa, PAGE_BYTES, MAP_RESERVED, 0};
    }
    return n;
}

/* A flush hint that may be written. */
static bool has_hint(const struct vm_region *r)
{
    return r->hint_mode == QUIRE_HINT_TRAP || r->hint_mode == QUIRE_HINT_OPEN;
}

/* The program's arguments, and where the flush hint is if it may be written. */
static char *command_line(const struct bare *b)
{
    const struct exec_conf *conf = &b->x->conf;
    const struct vm *vm = b->x->vm;
    char *text = NULL;
    size_t len;
    uint32_t n = 0;
    FILE *f = open_memstream(&text, &len);
    char **word = conf->argv ? conf->argv + 1 : exec_words(conf->args, &n);
    n = conf->argv ? conf->argc - 1 : n;
    for (uint32_t i = 0; i < n; i++)
        fprintf(f, "%s%s", i ? " " : "", word[i]);
    if (vm->n_regions && has_hint(&vm->region[0]))
        fprintf(f, "%spmem_hint=0x%llx", n ? " " : "", (unsigned long long)vm->region[0].hint_gpa);
    fclose(f);
    if (!conf->argv)
        free(word);
    return text;
}

static int load_tables(struct bare *b, struct vcpu *v)
{
    const struct vm *vm = b->x->vm;
    struct acpi_conf conf = {.n_cpus = vm->n_vcpus,
                             .apic_gpa = APIC_GPA,
                             .io_apic_gpa = IOAPIC_GPA,
                             .uart_port = UART_COM1,
                             .uart_line = BARE_UART_LINE,
                             .clock_port = BARE_CLOCK_PORT,
                             .n_regions = vm->n_regions};
    _Static_assert(ACPI_MAX_REGIONS >= VM_MAX_REGIONS, "a module a region");
    for (uint32_t i = 0; i < vm->n_regions; i++) {
        conf.region[i].gpa = vm->region[i].gpa;
        conf.region[i].bytes = vm->region[i].bytes;
        conf.region[i].hint_gpa = has_hint(&vm->region[i]) ? vm->region[i].hint_gpa : 0;
    }
    uint32_t n;
    uint8_t *tables = acpi_build(&conf, TABLES_GPA, &n);
    CHECK(TABLES_GPA + n <= IMAGE_FIRST);
    int bad = write_guest(b, v, TABLES_GPA, tables, n);
    free(tables);
    return bad;
}

static int tell(struct bare *b, struct vcpu *v, struct diag *d)
{
    struct map_entry map[6 + 2 * VM_MAX_REGIONS];
    struct start_info info = {.magic = START_MAGIC,
                              .version = START_VERSION,
                              .command_line = LINE_GPA,
                              .rsdp = TABLES_GPA,
                              .memory_map = MAP_GPA,
                              .n_memory_map = memory_map(b, map)};
    struct module initrd = {0};
    if (b->x->conf.initrd[0]) {
        if (load_initrd(b, v, &initrd, d))
            return -1;
        info.n_modules = 1;
        info.modules = MODULE_GPA;
    }
    char *line = command_line(b);
    size_t n = strlen(line) + 1;
    int bad = n > LINE_BYTES_MAX ? fail(d, "%s: found a command line of %zu bytes, expected at most %u", b->image->path,
                                        n - 1, LINE_BYTES_MAX - 1)
                                 : 0;
    bad = bad || load_tables(b, v) || write_guest(b, v, MODULE_GPA, &initrd, sizeof initrd) ||
          write_guest(b, v, LINE_GPA, line, n) || write_guest(b, v, INFO_GPA, &info, sizeof info) ||
          write_guest(b, v, MAP_GPA, map, info.n_memory_map * sizeof *map);
    free(line);
    return bad ? -1 : 0;
}

/* 32-bit flat protected mode without paging, EBX at the information. */
static void start(struct bare *b)
{
    struct x86_cpu *cpu = &b->x->cpu[0].x86;
    const struct x86_segment code = {.selector = 0x08, .attributes = FLAT_CODE, .limit = UINT32_MAX},
                             data = {.selector = 0x10, .attributes = FLAT_DATA, .limit = UINT32_MAX};
    x86_set_segment(cpu, X86_CS, code);
    x86_set_segment(cpu, X86_DS, data);
    x86_set_segment(cpu, X86_ES, data);
    x86_set_segment(cpu, X86_SS, data);
    cpu->state.tr = (struct x86_segment){.attributes = BUSY_TSS, .limit = 0x67};
    cpu->state.cr0 = X86_CR0_PE | X86_CR0_ET;
    cpu->state.gpr[X86_RBX] = INFO_GPA;
    cpu->state.rip = b->image->pvh_entry;
    x86_changed(cpu);
    b->cpu[0].state = BARE_RUNS;
    b->cpu[0].is_moved = true;
}

int bare_load(struct bare *b, struct vcpu *v, struct diag *d)
{
    b->x->is_loaded = true;
    if (load_image(b, v, d) || tell(b, v, d))
        return -1;
    start(b);
    return 0;
}

/* ---- the console ---- */

void bare_flush_console(struct bare *b)
{
    for (uint32_t done = 0; b->x->conf.console && done < b->n_line;) {
        ssize_t n = write(STDOUT_FILENO, b->line + done, b->n_line - done);
        if (n <= 0)
            break; /* nobody reads it any more */
        done += (uint32_t)n;
    }
    b->n_line = 0;
}

void bare_put(void *ctx, char c)
{
    struct bare *b = ctx;
    b->x->stats.output_bytes++;
    b->line[b->n_line++] = c;
    if (c == '\n' || b->n_line == sizeof b->line)
        bare_flush_console(b);
}

/* ---- looking ---- */

int bare_translate(const struct exec_cpu *c, uint64_t gva, uint64_t *gpa)
{
    const struct vm *vm = c->x->vm;
    uint64_t table = x86_paging_root(&c->x86);
    uint32_t levels = x86_paging_levels(&c->x86);
    *gpa = gva;
    while (levels--) {
        uint64_t entry = hv_phys_load64(vm, table + (gva >> LEVEL_SHIFT(levels) & 511) * 8),
                 mask = (1ull << LEVEL_SHIFT(levels)) - 1;
        if (!(entry & PTE_P))
            return -1;
        *gpa = (entry & PTE_FRAME & ~mask) | (gva & mask);
        if (entry & PTE_PS && levels && levels <= LEVEL_1G)
            return 0;
        table = entry & PTE_FRAME;
    }
    return 0;
}

/* Host-physical address behind gpa; -1: no memory has been given there. */
static int host_address(const struct exec_cpu *c, uint64_t gpa, uint64_t *hpa)
{
    struct ept_leaf leaf;
    if (!ept_find(&c->x->vm->ept, gpa, &leaf))
        return -1;
    *hpa = (leaf.entry & EPT_FRAME) + (gpa & ((1ull << LEVEL_SHIFT(leaf.level)) - 1));
    return 0;
}

/* One of to and from is NULL. */
static uint64_t copy(struct exec_cpu *c, uint64_t at, bool is_physical, void *to, const void *from, uint64_t n)
{
    uint64_t done = 0;
    for (uint64_t part; done < n; done += part) {
        uint64_t gpa = at + done, hpa;
        part = min_u64(n - done, PAGE_BYTES - (gpa & (PAGE_BYTES - 1)));
        if ((!is_physical && bare_translate(c, gpa, &gpa)) || host_address(c, gpa, &hpa))
            break;
        if (to) {
            frame_read(c->x->hv->mem, hpa, (uint8_t *)to + done, part);
        } else {
            frame_write(c->x->hv->mem, hpa, (const uint8_t *)from + done, part);
            x86_code_written(c->x->code, hpa, part);
        }
    }
    return done;
}

uint64_t bare_peek(struct exec_cpu *c, uint64_t gva, void *buf, uint64_t n)
{
    return copy(c, gva, false, buf, NULL, n);
}

uint64_t bare_peek_physical(struct exec_cpu *c, uint64_t gpa, void *buf, uint64_t n)
{
    return copy(c, gpa, true, buf, NULL, n);
}

uint64_t bare_poke(struct exec_cpu *c, uint64_t at, bool is_physical, const void *bytes, uint64_t n)
{
    return copy(c, at, is_physical, NULL, bytes, n);
}

const char *bare_what(const struct exec_cpu *c)
{
    static const char *const names[] = {
        [BARE_RUNS] = "runs", [BARE_HALTS] = "halts", [BARE_WAITS_START] = "waits for its start-up"};
    return names[bare_cpu_of(c)->state];
}

const struct elf_symbol *bare_symbol(const struct exec_cpu *c, uint64_t address, uint64_t *offset)
{
    return elf_symbol_at(c->x->bare->image, address, offset);
}

/* ---- set-up ---- */

struct bare *bare_new(struct exec *x, struct elf *image, uint64_t ram_bytes)
{
    struct bare *b = xcalloc(1, sizeof *b);
    b->x = x;
    b->image = image;
    b->ram_bytes = ram_bytes;
    b->cpu = xcalloc(x->vm->n_vcpus, sizeof *b->cpu);
    uart_init(&b->uart, bare_put, b);
    pic_init(&b->pic);
    ioapic_init(&b->ioapic, bare_send_line, b);
    return b;
}

/* What the platform adds to CPUID.1 (SDM volume 2, CPUID). */
#define CPUID_EDX_APIC     (1u << 9)
#define CPUID_EDX_HTT      (1u << 28)
#define CPUID_ECX_X2APIC   (1u << 21)
#define CPUID_ECX_DEADLINE (1u << 24)
#define CPUID_ECX_VM       (1u << 31)

void bare_cpu_init(struct bare *b, struct exec_cpu *c)
{
    struct bare_cpu *bc = &b->cpu[c->v->index];
    bc->device_page = BARE_NOWHERE;
    bc->state = BARE_WAITS_START;
    apic_init(&bc->apic, c->v->index, c->v->index == 0, bare_send, c);
    bc->apic.ended = bare_ended;
    c->v->space.levels = 0;
    x86_system_init(&c->x86);
    c->x86.platform_edx = CPUID_EDX_APIC | (b->x->vm->n_vcpus > 1 ? CPUID_EDX_HTT : 0);
    c->x86.platform_ecx = CPUID_ECX_X2APIC | CPUID_ECX_DEADLINE | CPUID_ECX_VM;
}

void bare_free(struct bare *b)
{
    elf_free(b->image);
    free(b->cpu);
    free(b);
}
