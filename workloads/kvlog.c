/* SPDX-License-Identifier: MIT */
/* A key-value log on persistent memory: append a record, flush its lines, fence, then publish its length and flush
 * that. Shows what a durable append costs: two flush-and-fence rounds, bounded by the WPQ and the module. kvlog
 * [RECORDS [VALUE_BYTES]] */
#include "workload.h"

struct head {
    uint64_t used; /* bytes of the log that are valid */
};
struct record {
    uint64_t key, bytes;
    uint8_t value[];
};

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 2000), bytes = number(argc, argv, 2, 200), seed = 3, sum = 0;
    uint64_t step = (sizeof(struct record) + bytes + 7) & ~7ul, room = PAGE + n * step;
    struct head *head = persistent((room + PAGE - 1) & ~(PAGE - 1));
    uint8_t *log = (uint8_t *)head + LINE;
    enum flush how = best_flush();
    uint64_t start = ticks();
    for (uint64_t i = 0; i < n; i++) {
        struct record *r = (struct record *)(log + i * step);
        r->key = draw(&seed);
        r->bytes = bytes;
        memset(r->value, (int)(r->key & 255), bytes);
        persist(how, r, sizeof *r + bytes);
        head->used = (i + 1) * step;
        persist(how, head, sizeof *head);
    }
    uint64_t spent = ticks() - start;
    for (uint64_t i = 0; i < head->used; i += step) {
        const struct record *r = (const struct record *)(log + i);
        sum = sum * 31 + r->key + r->value[bytes ? bytes - 1 : 0];
    }
    printf("kvlog %llx\n", (unsigned long long)sum);
    fprintf(stderr, "kvlog: %.0f ticks an append of %llu bytes\n", (double)spent / (double)n,
            (unsigned long long)bytes);
    return 0;
}
