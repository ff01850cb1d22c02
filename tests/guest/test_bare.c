/* SPDX-License-Identifier: MIT */
/* Bare machines: programs of a few bytes in ELF files made here, and files that are wrong; the serial port's
 * registers. */
#include "sim/guest/uart.h"
#include "sim/machine/run.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE_GPA 0x100000u

struct file {
    Elf64_Ehdr head;
    Elf64_Phdr load[2], note;
    struct {
        Elf64_Nhdr head;
        char name[4];
        uint32_t entry;
    } pvh;
    uint8_t code[256];
};

static struct file make(const void *code, size_t n)
{
    struct file f = {
        .head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                 .e_type = ET_EXEC,
                 .e_machine = EM_X86_64,
                 .e_version = EV_CURRENT,
                 .e_entry = CODE_GPA,
                 .e_phoff = offsetof(struct file, load),
                 .e_ehsize = sizeof(Elf64_Ehdr),
                 .e_phentsize = sizeof(Elf64_Phdr),
                 .e_phnum = 3},
        .load[0] = {.p_type = PT_LOAD,
                    .p_flags = PF_R | PF_X,
                    .p_offset = offsetof(struct file, code),
                    .p_vaddr = CODE_GPA,
                    .p_paddr = CODE_GPA,
                    .p_filesz = 256,
                    .p_memsz = 256},
        .load[1] = {.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x200000, .p_paddr = 0x200000, .p_memsz = 64},
        .note = {.p_type = PT_NOTE, .p_offset = offsetof(struct file, pvh), .p_filesz = sizeof f.pvh, .p_align = 4},
        .pvh = {.head = {.n_namesz = 4, .n_descsz = 4, .n_type = 18}, .name = "Xen", .entry = CODE_GPA},
    };
    memcpy(f.code, code, n);
    return f;
}

/* The exit status; -1: an error, in d. top: keys of the experiment, keys: of the VM. *value, unless key is NULL: what
 * the result has there. */
static int run_for(const struct file *f, const char *top, const char *keys, const char *key, uint64_t *value,
                   struct diag *d)
{
    uint64_t status = 0;
    char path[64];
    int fd = memfd_create("program", 0);
    cr_assert(fd >= 0 && write(fd, f, sizeof *f) == (ssize_t)sizeof *f);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    char *text =
        xasprintf("%s\nmachine { hypervisor { cores = 1 } numa { dram = \"1GiB\" } cache { llc_slices = 1 } }\n"
                  "vm \"exec\" { program = \"%s\" %s %s %s }",
                  top, path, strstr(keys, "memory") ? "" : "memory = \"16MiB\"",
                  strstr(keys, "timing") ? "" : "timing = \"functional\"", keys);
    struct conf *conf = conf_parse(text, strlen(text), "test", "", &experiment_schema, d);
    cr_assert(conf, "%s", d->text);
    struct result *r = result_new();
    int bad = run_point(conf, r, d);
    if (!bad)
        cr_assert(result_get(r, "vm.exec.exit_status", &status));
    if (!bad && key)
        cr_assert(result_get(r, key, value), "%s", key);
    result_free(r);
    conf_free(conf);
    free(text);
    close(fd);
    return bad ? -1 : (int)status;
}

static int run_file(const struct file *f, const char *keys, struct diag *d)
{
    return run_for(f, "", keys, NULL, NULL, d);
}

static int run_code(const void *code, size_t n, const char *keys)
{
    struct diag d = {0};
    struct file f = make(code, n);
    int status = run_file(&f, keys, &d);
    cr_assert_geq(status, 0, "%s", d.text);
    return status;
}
#define RUN(keys, ...) run_code((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), keys)
#define OUT_F4         0xe6, 0xf4 /* out %al, $0xf4 */

Test(bare, ends)
{
    cr_assert_eq(RUN("", 0xb0, 7, OUT_F4), 7);
    cr_assert_eq(RUN("", 0xf4), 0, "HLT without interrupts is an end");
    cr_assert_eq(RUN("", 0xfb, 0xf4), 1, "HLT with interrupts, and none can come, is a mistake");
    cr_assert_eq(RUN("max_instructions = 1000", 0xeb, 0xfe), 124);
    cr_assert_eq(RUN("", 0xb0, 0xfe, 0xe6, 0x64), 0, "reset by the keyboard controller");
    cr_assert_eq(RUN("", 0xb0, 6, 0xba, 0xf9, 0x0c, 0, 0, 0xee), 0, "reset by cf9");
    cr_assert_eq(RUN("vcpus = 3", 0xf4), 0, "vCPUs that were never started do not hold it up");
    /* lidt of a table without a gate; ud2: no handler, none for #GP, none for #DF */
    cr_assert_eq(RUN("", 0x0f, 0x01, 0x1d, 0, 0, 0x20, 0, 0x0f, 0x0b), 1);
}

Test(bare, start)
{
    cr_assert_eq(RUN("", 0x8a, 0x03, OUT_F4), 0x78, "EBX points to the information: its magic");
    cr_assert_eq(RUN("", 0x8b, 0x43, 0x18, 0x8a, 0, OUT_F4), 0, "no command line is an empty one");
    cr_assert_eq(RUN("args = \"ab c\"", 0x8b, 0x43, 0x18, 0x8a, 0x40, 1, OUT_F4), 'b');
    cr_assert_eq(RUN("", 0x8a, 0x43, 0x30, OUT_F4), 5, "ranges of the memory map");
    cr_assert_eq(RUN("memory = \"4GiB\"", 0x8a, 0x43, 0x30, OUT_F4), 6);
    cr_assert_eq(RUN("", 0x0f, 0x20, 0xc0, OUT_F4), 0x11, "CR0: PE, ET");
    cr_assert_eq(RUN("", 0xbc, 0x40, 0, 0x20, 0, 0x9c, 0x58, OUT_F4), 2, "flags");
}

Test(bare, platform)
{
    cr_assert_eq(RUN("", 0xa0, 0x30, 0, 0xe0, 0xfe, OUT_F4), 0x14, "version of the local APIC");
    cr_assert_eq(RUN("timing = \"block\"", 0xa0, 0x30, 0, 0xe0, 0xfe, OUT_F4), 0x14);
    cr_assert_eq(RUN("", 0xe4, 0x60, OUT_F4), 0xff, "nobody at port 60");
    cr_assert_eq(RUN("", 0xb0, 0x32, 0xe6, 0x70, 0xe4, 0x71, OUT_F4), 0x20, "the century");
    cr_assert_eq(RUN("", 0xb0, 9, 0xe6, 0x70, 0xe4, 0x71, OUT_F4), 0x26, "the year");
    cr_assert_eq(RUN("", 0xb0, 7, 0xe6, 0x70, 0xe4, 0x71, OUT_F4), 0x01, "the day");
    /* mov $1, %eax; cpuid; shr $9, %edx; and $1, %dl; mov %dl, %al: there is an APIC */
    cr_assert_eq(RUN("", 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0xc1, 0xea, 9, 0x80, 0xe2, 1, 0x88, 0xd0, OUT_F4), 1);
    cr_assert_eq(RUN("", 0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32, 0xc1, 0xe8, 8, OUT_F4), 9, "IA32_APIC_BASE: on, boot");
}

/* Exits move the clock of a model that counts instructions: a run ends where it is told to all the same, no later than
 * one exit. 13,000 cycles at 2.1 GHz and more are what one costs here; the quantum alone is 50 us. */
Test(bare, ends_in_time)
{
    const uint8_t ports[] = {0xe4, 0x60, 0xeb, 0xfc}; /* 1: in $0x60, %al; jmp 1b */
    const uint8_t apic[] = {0xa0, 0x30, 0, 0xe0, 0xfe, 0xeb, 0xf9};
    const uint8_t msr[] = {0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32, 0xeb, 0xfc};
    const uint64_t end_ps = 200 * PS_PER_US, slack_ps = 10 * PS_PER_US;
    const struct {
        const uint8_t *code;
        size_t n;
    } all[] = {{ports, sizeof ports}, {apic, sizeof apic}, {msr, sizeof msr}};
    for (uint32_t i = 0; i < 6; i++) {
        struct diag d = {0};
        struct file f = make(all[i % 3].code, all[i % 3].n);
        uint64_t time_ps = 0;
        cr_assert_geq(run_for(&f, "duration = \"200us\"", i < 3 ? "" : "timing = \"warm\"", "time_ps", &time_ps, &d), 0,
                      "%s", d.text);
        cr_assert(time_ps >= end_ps && time_ps <= end_ps + slack_ps, "%u: ended at %llu ps", i,
                  (unsigned long long)time_ps);
    }
}

/* Without a hypervisor below it the same program leaves nothing. */
Test(bare, native)
{
    const uint8_t code[] = {0xe4, 0x60, 0xa0, 0x30, 0, 0xe0, 0xfe, OUT_F4};
    static const char *const keys[] = {"", "native = true", "timing = \"block\"", "native = true timing = \"block\""};
    for (uint32_t i = 0; i < 4; i++) {
        struct diag d = {0};
        struct file f = make(code, sizeof code);
        uint64_t exits = 0;
        cr_assert_eq(run_for(&f, "", keys[i], "hypervisor.exits", &exits, &d), 0x14, "%s: %s", keys[i], d.text);
        cr_assert(i & 1 ? exits == 0 : exits >= 3, "%s: %llu exits", keys[i], (unsigned long long)exits);
    }
    cr_assert_eq(RUN("native = true backing = \"4KiB\" memory = \"6GiB\"", 0x8a, 0x43, 0x30, OUT_F4), 6);
}

/* An initial file system that says who it is. */
Test(bare, initrd)
{
    char path[64], keys[128];
    int fd = memfd_create("initrd", 0);
    uint8_t bytes[5000] = {42};
    bytes[4999] = 43;
    cr_assert(write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(keys, sizeof keys, "initrd = \"%s\"", path);
    /* mov 16(%ebx), %eax (modules); mov (%eax), %ecx; mov 8(%eax), %edx; mov (%ecx), %al or -1(%ecx,%edx), %al */
    cr_assert_eq(RUN(keys, 0x8b, 0x43, 0x10, 0x8b, 0x08, 0x8b, 0x50, 8, 0x8a, 0x01, OUT_F4), 42);
    cr_assert_eq(RUN(keys, 0x8b, 0x43, 0x10, 0x8b, 0x08, 0x8b, 0x50, 8, 0x8a, 0x44, 0x11, 0xff, OUT_F4), 43);
    cr_assert_eq(RUN(keys, 0x8a, 0x43, 12, OUT_F4), 1, "modules");
    close(fd);
}

static void refused(const struct file *f, const char *keys, const char *text)
{
    struct diag d = {0};
    cr_assert_eq(run_file(f, keys, &d), -1, "%s", text);
    cr_assert(d.n_errors == 1 && strstr(d.text, text) && !strchr(d.text, '\n'), "%s: %s", text, d.text);
}

Test(bare, wild_accesses)
{
    const uint8_t hole[] = {0xa0, 0, 0, 0, 0xd0}, beyond[] = {0xa0, 0, 0, 0, 0x40},
                  run_apic[] = {0xe9, 0xfb, 0xff, 0xcf, 0xfe};
    struct file f = make(hole, sizeof hole);
    refused(&f, "", "guest-physical d0000000");
    refused(&f, "timing = \"block\"", "guest-physical d0000000");
    f = make(beyond, sizeof beyond);
    refused(&f, "", "its memory ends at 1000000");
    f = make(run_apic, sizeof run_apic);
    refused(&f, "", "in the page of a device");
}

Test(bare, bad_files)
{
    const uint8_t code[] = {0xf4};
    struct file good = make(code, sizeof code), f = good;
    f.load[0].p_paddr = 0x8000;
    refused(&f, "", "expected them from 100000");
    f = good;
    f.load[1].p_memsz = 64 << 20;
    refused(&f, "", "expected them from 100000 to 1000000");
    f = good;
    f.load[1].p_paddr = UINT64_MAX - 8;
    refused(&f, "", "expected them from 100000 to 1000000");
    f = good;
    f.load[1].p_paddr = CODE_GPA + 16;
    refused(&f, "", "the same physical addresses");
    f = good;
    f.pvh.entry = 0x300000;
    refused(&f, "", "PVH entry 300000 is in no segment");
    f = good;
    f.load[0].p_filesz = 1 << 20;
    refused(&f, "", "outside the file");
    refused(&good, "initrd = \"/nosuch\"", "/nosuch: cannot be opened");
    refused(&good, "initrd = \"/\"", "found no regular file");
    refused(&good, "memory = \"4MiB\" initrd = \"/proc/self/exe\"", "a larger file");
    f = good;
    f.pvh.head.n_type = 17;
    refused(&f, "initrd = \"/nosuch\"", "programs with a PVH note");
    refused(&good, "root = \"/\"", "`root`");
    refused(&good, "env = \"A=B\"", "`env`");
    refused(&good, "vcpus = 256", "at most 255");
    char *keys = xcalloc(1, 4096);
    strcpy(keys, "args = \"");
    memset(keys + strlen(keys), 'x', 3000);
    strcat(keys, "\"");
    refused(&good, keys, "command line of 3000");
    free(keys);
}

/* ---- the serial port ---- */

static char written[16];
static uint32_t n_written;
static void on_put(void *ctx, char c)
{
    (void)ctx;
    written[n_written++ % sizeof written] = c;
}

Test(uart, registers)
{
    struct uart u;
    uart_init(&u, on_put, NULL);
    uart_write(&u, 7, 0x5a);
    cr_assert_eq(uart_read(&u, 7), 0x5a);
    uart_write(&u, 3, 0x83);
    uart_write(&u, 0, 0x34);
    uart_write(&u, 1, 0x12);
    cr_assert(uart_read(&u, 0) == 0x34 && uart_read(&u, 1) == 0x12 && n_written == 0);
    uart_write(&u, 3, 3);
    cr_assert_eq(uart_read(&u, 3), 3);
    uart_write(&u, 0, 'q');
    cr_assert(n_written == 1 && written[0] == 'q');
    cr_assert_eq(uart_read(&u, 5), 0x60);
    cr_assert_eq(uart_read(&u, 2), 0x01, "nothing is to be told");
    uart_write(&u, 2, 1);
    cr_assert_eq(uart_read(&u, 2), 0xc1, "there are FIFOs");
    cr_assert_eq(uart_read(&u, 6), 0xb0);
    uart_write(&u, 1, 0xff);
    cr_assert_eq(uart_read(&u, 1), 0x0f);
}

/* "Transmitter empty": by its enabling, and after each byte; reading IIR takes it. */
Test(uart, interrupts)
{
    struct uart u;
    uart_init(&u, on_put, NULL);
    uart_write(&u, 4, 0x0b);
    cr_assert(!uart_interrupts(&u));
    uart_write(&u, 1, 2);
    cr_assert(uart_interrupts(&u));
    cr_assert_eq(uart_read(&u, 2), 0x02);
    cr_assert(!uart_interrupts(&u) && uart_read(&u, 2) == 0x01);
    uart_write(&u, 0, 'a');
    cr_assert(uart_interrupts(&u));
    uart_write(&u, 4, 0x03);
    cr_assert(!uart_interrupts(&u), "OUT2 gates the line");
}

Test(uart, loop_back)
{
    struct uart u;
    uart_init(&u, on_put, NULL);
    n_written = 0;
    uart_write(&u, 2, 1);
    uart_write(&u, 4, 0x1a);
    cr_assert_eq(uart_read(&u, 6) & 0xf0, 0x90, "RTS and OUT2 as CTS and DCD");
    for (uint32_t i = 0; i < 20; i++)
        uart_write(&u, 0, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 15; i++)
        cr_assert(uart_read(&u, 5) & 1 && uart_read(&u, 0) == i + 1);
    cr_assert(uart_read(&u, 0) == 20 && uart_read(&u, 5) == 0x60 && n_written == 0, "the last of 16 was overrun");
}
