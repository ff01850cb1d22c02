/* SPDX-License-Identifier: MIT */
/* The NFIT of every machine that ships, read back by a parser that knows nothing but the specification
 * (ACPI 6.4, 5.2.25): every line of persistent memory belongs to the module and to the place in it that the memory
 * controllers use. */
#include "sim/base/rng.h"
#include "sim/machine/nfit.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MODULES 256u

struct module {
    uint64_t handle, range, control, bytes, offset, physical, interleave, ways, hint, format, serial;
};
struct parsed {
    struct {
        uint64_t domain, base, bytes;
    } range[17]; /* by index */
    uint32_t n_ranges, n_modules, n_controls, n_hints;
    struct module module[MAX_MODULES];
    uint64_t lines, line_bytes, line_offset[8];
    uint64_t capabilities;
};

static uint64_t get(const uint8_t *p, uint32_t at, uint32_t bytes)
{
    uint64_t v = 0;
    while (bytes--)
        v = v << 8 | p[at + bytes];
    return v;
}

static void parse_range(struct parsed *t, const uint8_t *p)
{
    static const char guid[] = "66f0d379-b4f3-4074-ac43-0d3318b78cdb";
    char text[40];
    uint64_t i = get(p, 4, 2);
    cr_assert(i >= 1 && i <= 16);
    cr_assert_eq(t->range[i].bytes, 0, "range %lu twice", (unsigned long)i);
    cr_assert_eq(get(p, 6, 2), 2, "proximity domain valid");
    t->range[i].domain = get(p, 12, 4);
    t->range[i].base = get(p, 32, 8);
    t->range[i].bytes = get(p, 40, 8);
    cr_assert_eq(get(p, 48, 8), 0x8008);
    snprintf(text, sizeof text, "%08lx-%04lx-%04lx-%04x-", (unsigned long)get(p, 16, 4), (unsigned long)get(p, 20, 2),
             (unsigned long)get(p, 22, 2), (unsigned)(p[24] << 8 | p[25]));
    for (uint32_t k = 26; k < 32; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%02x", p[k]);
    cr_assert_str_eq(text, guid);
    t->n_ranges++;
}

static void parse_part(struct parsed *t, const uint8_t *p, uint64_t type, uint64_t bytes)
{
    struct module *m = &t->module[t->n_modules];
    uint32_t i = 0;
    switch (type) {
    case 0:
        cr_assert_eq(bytes, 56);
        parse_range(t, p);
        return;
    case 1:
        cr_assert_eq(bytes, 48);
        *m = (struct module){get(p, 4, 4),
                             get(p, 12, 2),
                             get(p, 14, 2),
                             get(p, 16, 8),
                             get(p, 24, 8),
                             get(p, 32, 8),
                             get(p, 40, 2),
                             get(p, 42, 2),
                             0,
                             0,
                             0};
        cr_assert_eq(get(p, 44, 2), 0, "nothing has failed");
        t->n_modules++;
        return;
    case 2:
        t->lines = get(p, 8, 4);
        t->line_bytes = get(p, 12, 4);
        cr_assert_eq(get(p, 4, 2), 1);
        cr_assert_eq(bytes, 16 + 4 * t->lines);
        for (uint32_t k = 0; k < t->lines; k++)
            t->line_offset[k] = get(p, 16 + 4 * k, 4);
        return;
    case 4:
        cr_assert_eq(bytes, 32, "no windows, no fields of windows");
        cr_assert_eq(get(p, 30, 2), 0);
        while (i < t->n_modules && t->module[i].control != get(p, 4, 2))
            i++;
        cr_assert(i < t->n_modules, "a control region of no module");
        t->module[i].format = get(p, 28, 2);
        t->module[i].serial = get(p, 24, 4);
        t->n_controls++;
        return;
    case 6:
        cr_assert_eq(bytes, 16 + 8 * get(p, 8, 2));
        while (i < t->n_modules && t->module[i].handle != get(p, 4, 4))
            i++;
        cr_assert(i < t->n_modules, "a hint of no module");
        t->module[i].hint = get(p, 16, 8);
        t->n_hints++;
        return;
    case 7:
        cr_assert_eq(bytes, 16);
        cr_assert_eq(get(p, 4, 1), 1);
        t->capabilities = get(p, 8, 4);
        return;
    default:
        cr_assert_fail("part of type %lu", (unsigned long)type);
    }
}

static void parse(struct parsed *t, const struct nfit *nfit)
{
    uint8_t sum = 0;
    *t = (struct parsed){0};
    for (uint32_t i = 0; i < nfit->n; i++)
        sum = (uint8_t)(sum + nfit->bytes[i]);
    cr_assert_eq(sum, 0, "checksum");
    cr_assert_eq(memcmp(nfit->bytes, "NFIT", 4), 0);
    cr_assert_eq(get(nfit->bytes, 4, 4), nfit->n);
    uint32_t at = 40;
    while (at < nfit->n) {
        uint64_t bytes = get(nfit->bytes, at + 2, 2);
        cr_assert(bytes >= 8 && bytes % 8 == 0 && at + bytes <= nfit->n, "a part of %lu bytes at %u",
                  (unsigned long)bytes, at);
        parse_part(t, nfit->bytes + at, get(nfit->bytes, at, 2), bytes);
        at += (uint32_t)bytes;
    }
}

/* Host-physical address of a byte of a module, by the specification's formula. */
static uint64_t address_of(const struct parsed *t, const struct module *m, uint64_t byte)
{
    uint64_t base = t->range[m->range].base + m->offset;
    if (m->interleave == 0)
        return base + byte - m->physical;
    uint64_t line = (byte - m->physical) / t->line_bytes, rotation = line / t->lines;
    uint64_t rotation_lines = t->lines * m->ways;
    return base + (rotation * rotation_lines + t->line_offset[line % t->lines]) * t->line_bytes + byte % t->line_bytes;
}

static void check_places(const struct machine *m, const struct parsed *t)
{
    struct rng r;
    rng_init(&r, 1, "nfit");
    for (uint32_t i = 0; i < t->n_modules; i++) {
        const struct module *mod = &t->module[i];
        uint32_t node = (uint32_t)(mod->handle >> 12 & 15);
        const struct node_imc *imc = &m->numa.node[node];
        uint64_t chan = (mod->handle >> 8 & 15) * imc->conf.n_channels + (mod->handle >> 4 & 15);
        cr_assert_eq(t->range[mod->range].domain, node);
        cr_assert_eq(mod->bytes, m->conf.pmem.size_bytes);
        cr_assert_eq(mod->ways, imc->n_chans);
        cr_assert_eq(mod->serial, i + 1, "serial numbers are unique");
        cr_assert_eq(mod->format, m->conf.pmem.kind == NVDIMM_N ? 0x101 : 0x301);
        if (m->conf.imc.hints)
            cr_assert_eq(mod->hint, machine_hint_address(m, node, (uint32_t)(mod->handle >> 8 & 15)));
        for (uint32_t k = 0; k < 200; k++) {
            uint64_t byte = rng_below(&r, mod->bytes / LINE_BYTES) * LINE_BYTES, chan_line;
            uint64_t hpa = address_of(t, mod, byte);
            cr_assert(hpa >> 30 < m->mem->n_gib, "address %lx", (unsigned long)hpa);
            const struct mem_region *reg = mem_region_at(m->mem, hpa);
            cr_assert(reg->kind == MEM_PMEM && reg->node == node);
            cr_assert_eq(imc_channel(imc, MEM_PMEM, (hpa - reg->base) >> LINE_SHIFT, &chan_line), chan);
            cr_assert_eq(chan_line << LINE_SHIFT, byte, "module %u, byte %lx", i, (unsigned long)byte);
        }
    }
}

static void check(const struct machine_conf *c)
{
    static struct parsed t;
    struct nfit nfit = {0};
    struct diag d = {0};
    struct machine *m = machine_new(c, &d);
    cr_assert(m, "%s", d.text);
    if (c->pmem.kind == NVDIMM_NONE) {
        cr_assert_eq(machine_nfit(m, &nfit, &d), -1);
        cr_assert(strstr(d.text, "no persistent modules"), "%s", d.text);
        machine_free(m);
        return;
    }
    cr_assert_eq(machine_nfit(m, &nfit, &d), 0, "%s", d.text);
    parse(&t, &nfit);
    cr_assert_eq(t.n_ranges, m->numa.n_cpu_nodes);
    cr_assert_eq(t.n_modules, m->numa.n_cpu_nodes * c->imc.n_imcs * c->imc.n_channels);
    cr_assert_eq(t.n_controls, t.n_modules);
    cr_assert_eq(t.n_hints, c->imc.hints ? t.n_modules : 0);
    for (uint32_t i = 1; i <= t.n_ranges; i++) {
        const struct mem_region *reg = mem_find_region(m->mem, (uint32_t)t.range[i].domain, MEM_PMEM);
        cr_assert(t.range[i].base == reg->base && t.range[i].bytes == reg->bytes);
    }
    static const uint32_t saves[] = {[POWER_ADR] = 2, [POWER_ADR_FAILS] = 0, [POWER_EADR] = 3};
    cr_assert_eq(t.capabilities, saves[c->hv.power_fail]);
    check_places(m, &t);
    nfit_fini(&nfit);
    machine_free(m);
}

/* Each machine as it ships, and with modules, hints and outcomes that it does not have. */
Test(nfit, of_every_machine_that_ships)
{
    static const struct conf_schema schema[] = {
        {.name = "machine", .keys = machine_keys, .subs = machine_sections, .help = "a host"}, {0}};
    const struct conf_schema root = {.name = "", .subs = schema};
    char *dir = xasprintf("%s/experiments/machines", getenv("SRCDIR") ? getenv("SRCDIR") : ".");
    DIR *list = opendir(dir);
    uint32_t n = 0;
    cr_assert(list, "%s", dir);
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        struct diag d = {0};
        struct machine_conf c;
        if (!strstr(e->d_name, ".conf"))
            continue;
        char *path = xasprintf("%s/%s", dir, e->d_name);
        struct conf *conf = conf_read(path, &root, &d);
        cr_assert(conf && machine_bind(conf_find(conf_root(conf), "machine", NULL), &c, &d) == 0, "%s", d.text);
        check(&c);
        for (uint32_t variant = 0; variant < 6; variant++) {
            c.pmem.kind = variant & 1 ? NVDIMM_N : NVDIMM_OPTANE;
            c.pmem.size_bytes = 2 * GIB;
            c.hv.power_fail = variant % 3;
            c.imc.hints = variant / 3;
            c.imc.n_imcs = 1 + variant % 4;
            c.imc.n_channels = 1 + variant / 2;
            c.imc.pmem_interleave_bytes = 256ull << variant;
            check(&c);
        }
        free(path);
        conf_free(conf);
        n++;
    }
    closedir(list);
    free(dir);
    cr_assert(n >= 5, "%u machines", n);
}
