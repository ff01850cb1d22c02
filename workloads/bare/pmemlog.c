/* SPDX-License-Identifier: MIT */
/* A log in persistent memory: records by non-temporal stores or by stores and CLWB, a fence, then the tail; every few
 * records a deep flush. Then the log is read as after a crash. Shows what flushing costs (records=N, --stats), and that
 * nothing is lost. Without an NVDIMM it is a log in ordinary memory. */
#include "rt/bare.h"

#define LOG_BYTES (4ull << 20)
#define MAGIC     0x676f6c657269ull

struct record {
    uint64_t sequence, bytes, sum;
    uint64_t payload[5];
};
struct head {
    uint64_t magic, tail, reserved[6];
};

static struct pmem pm;
static struct head *head;

static uint64_t sum_of(const struct record *r)
{
    uint64_t sum = r->sequence * 0x9e3779b97f4a7c15ull ^ r->bytes;
    for (uint32_t i = 0; i < N_ELEMS(r->payload); i++)
        sum = (sum << 7 | sum >> 57) ^ r->payload[i];
    return sum;
}

static void append(uint64_t sequence)
{
    struct record r = {.sequence = sequence, .bytes = sizeof r.payload}, *at = (struct record *)(head + 1) + sequence;
    for (uint32_t i = 0; i < N_ELEMS(r.payload); i++)
        r.payload[i] = sequence * (i + 3) ^ 0x5555;
    r.sum = sum_of(&r);
    if (sequence & 1) {
        pmem_ntstore(at, &r, sizeof r);
    } else {
        *at = r;
        pmem_clwb(at, sizeof r);
    }
    pmem_fence();
    head->tail = sequence + 1;
    pmem_clwb(head, sizeof *head);
    pmem_fence();
    if (sequence % 64 == 63)
        pmem_deep_flush(&pm);
}

int bare_main(void)
{
    uint64_t n = arg_number("records", 2000), good = 0, room = (LOG_BYTES - sizeof *head) / sizeof(struct record);
    pm = pmem_find(LOG_BYTES);
    head = (struct head *)pm.base;
    if (n > room)
        n = room;
    *head = (struct head){.magic = MAGIC};
    pmem_clwb(head, sizeof *head);
    pmem_fence();
    for (uint64_t i = 0; i < n; i++)
        append(i);
    pmem_deep_flush(&pm);
    const struct record *r = (const struct record *)(head + 1);
    EXPECT(head->magic == MAGIC);
    while (good < head->tail && r[good].sequence == good && r[good].sum == sum_of(&r[good]))
        good++;
    if (arg_is("verbose"))
        print("%s memory, %s flush hint\n", pm.is_real ? "persistent" : "ordinary", pm.hint ? "with a" : "no");
    print("%lu records appended, tail %lu, %lu good\n", n, head->tail, good);
    return good == n ? 0 : 1;
}
