/* SPDX-License-Identifier: MIT */
/* Any bytes as a program: refused with one line, or loaded and run for a while, whatever it does: the end is an exit
 * status or one line, never a crash of the simulator. */
#include "sim/guest/elf.h"
#include "sim/machine/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const char *path)
{
    struct diag d = {0};
    uint64_t status;
    char *text =
        xasprintf("machine { hypervisor { cores = 1 } numa { dram = \"1GiB\" } cache { llc_slices = 1 } }\n"
                  "vm \"exec\" { program = \"%s\" memory = \"16MiB\" timing = \"functional\" max_instructions = 3000 }",
                  path);
    struct conf *conf = conf_parse(text, strlen(text), "fuzz", "", &experiment_schema, &d);
    struct result *r = result_new();
    CHECK_MSG(conf, "%s", d.text);
    if (run_point(conf, r, &d) == 0)
        CHECK(d.n_errors == 0 && result_get(r, "vm.exec.exit_status", &status) && status < 256);
    else
        CHECK_MSG(d.n_errors == 1 && d.len > 0 && !strchr(d.text, '\n'), "%s", d.text);
    result_free(r);
    conf_free(conf);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d = {0};
    struct elf *e = elf_from_memory("fuzz", data, size, &d);
    if (!e) {
        CHECK(d.n_errors == 1 && d.len > 0 && !strchr(d.text, '\n'));
        return 0;
    }
    uint64_t offset;
    CHECK(d.n_errors == 0 && e->n_segments > 0);
    for (uint32_t i = 0; i < e->n_segments; i++)
        elf_symbol_at(e, e->segment[i].vaddr, &offset);
    elf_free(e);
    char path[64];
    int fd = memfd_create("program", 0);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    run(path);
    close(fd);
    return 0;
}
