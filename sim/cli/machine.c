/* SPDX-License-Identifier: MIT */
/* quire machine: what a machine file builds: its memory map, and the table that its firmware would give. */
#include "sim/base/outfile.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/find.h"
#include "sim/machine/nfit.h"

#include <jansson.h>
#include <stdlib.h>

static const char *kind_of(const struct machine *m, const struct mem_region *r)
{
    if (r->kind == MEM_PMEM)
        return m->conf.pmem.kind == NVDIMM_N ? "nvdimm-n" : "optane";
    return r->node < m->numa.n_cpu_nodes ? "dram" : "cxl";
}

static void print_table(const struct machine *m)
{
    printf("%-5s %-9s %12s %12s %10s %8s %s\n", "node", "memory", "from", "to", "GiB", "channels", "interleave");
    for (uint32_t i = 0; i < m->mem->n_regions; i++) {
        const struct mem_region *r = &m->mem->region[i];
        const struct node_imc *n = &m->numa.node[r->node];
        printf("%-5u %-9s %12llx %12llx %10llu %8u %llu B\n", r->node, kind_of(m, r), (unsigned long long)r->base,
               (unsigned long long)(r->base + r->bytes - 1), (unsigned long long)(r->bytes / GIB), n->n_chans,
               (unsigned long long)(r->kind == MEM_PMEM ? n->conf.pmem_interleave_bytes : n->conf.interleave_bytes));
    }
    if (m->conf.pmem.kind == NVDIMM_NONE || !m->conf.imc.hints)
        return;
    for (uint32_t i = 0; i < m->numa.n_cpu_nodes; i++)
        for (uint32_t k = 0; k < m->conf.imc.n_imcs; k++)
            printf("%-5u hint of controller %u at %llx\n", i, k, (unsigned long long)machine_hint_address(m, i, k));
}

static void print_json(const struct machine *m)
{
    json_t *regions = json_array(), *hints = json_array();
    for (uint32_t i = 0; i < m->mem->n_regions; i++) {
        const struct mem_region *r = &m->mem->region[i];
        json_array_append_new(regions, json_pack("{s:i, s:s, s:I, s:I, s:i}", "node", (int)r->node, "memory",
                                                 kind_of(m, r), "base", (json_int_t)r->base, "bytes",
                                                 (json_int_t)r->bytes, "channels", (int)m->numa.node[r->node].n_chans));
    }
    for (uint32_t i = 0; m->conf.pmem.kind != NVDIMM_NONE && m->conf.imc.hints && i < m->numa.n_cpu_nodes; i++)
        for (uint32_t k = 0; k < m->conf.imc.n_imcs; k++)
            json_array_append_new(hints, json_pack("{s:i, s:i, s:I}", "node", (int)i, "controller", (int)k, "address",
                                                   (json_int_t)machine_hint_address(m, i, k)));
    json_t *top = json_pack("{s:s, s:o, s:o}", "machine", m->conf.name, "regions", regions, "hints", hints);
    json_dumpf(top, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(top);
}

static int write_nfit(const struct machine *m, const char *path, struct diag *d)
{
    struct nfit t = {0};
    struct outfile o;
    int bad = -1;
    if (machine_nfit(m, &t, d) == 0 && out_open(&o, path, d) == 0) {
        fwrite(t.bytes, 1, t.n, o.f);
        bad = out_commit(&o, d);
    }
    nfit_fini(&t);
    return bad;
}

static int show(const char *name, const char *nfit, bool json, struct diag *d)
{
    static const struct conf_schema schema[] = {
        {.name = "machine", .keys = machine_keys, .subs = machine_sections, .help = "a host"}, {0}};
    const struct conf_schema root = {.name = "", .subs = schema};
    struct machine_conf mc;
    struct machine *m = NULL;
    char *path = find_machine(name, d);
    struct conf *conf = path ? conf_read(path, &root, d) : NULL;
    int bad = -1;
    const struct conf_section *host = conf ? conf_find(conf_root(conf), "machine", NULL) : NULL;
    uint32_t since = d->len;
    if (conf && machine_bind(host, &mc, d) == 0) {
        m = machine_new(&mc, d);
        conf_blame(host ? host : conf_root(conf), since, d);
    }
    if (m && (!nfit || write_nfit(m, nfit, d) == 0)) {
        (json ? print_json : print_table)(m);
        bad = 0;
    }
    machine_free(m);
    free(path);
    conf_free(conf);
    return bad;
}

int cmd_machine(int argc, char **argv)
{
    const char *nfit = NULL, *word[1];
    bool json = false;
    const struct arg table[] = {
        {"nfit", 0, "FILE", ARG_STRING, &nfit, "write the machine's NFIT: the ACPI table of its persistent memory"},
        {"json", 0, NULL, ARG_FLAG, &json, "print JSON"},
        {0},
    };
    const struct args a = {
        "quire machine NAME [OPTION]...",
        "What a machine file, by name or path, builds: the map of its physical memory and its flush\n"
        "hints.",
        table,
        "`iasl -d FILE` (acpica-tools) disassembles the table. Example:\n"
        "  quire machine cascade-lake-2s --nfit nfit.dat",
        NULL};
    struct diag d = {0};
    int n = args_parse(&a, argc, argv, word, 1, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        n = fail(&d, "machine: found no name, expected a machine file, such as cascade-lake-2s");
    return n < 0 || show(word[0], nfit, json, &d) ? args_complain(&d) : EXIT_DONE;
}
