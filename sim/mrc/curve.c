/* SPDX-License-Identifier: MIT */
#include "sim/mrc/curve.h"

#include <stdlib.h>
#include <string.h>

void mrc_curve_free(struct mrc_curve *c)
{
    free(c->size);
    free(c->misses);
    free(c->error);
    free(c->writebacks);
    *c = (struct mrc_curve){0};
}

/* round(64 * 2^(k/16)), without floating point. */
static uint64_t geometric(uint32_t k)
{
    static const uint64_t ratio[16] = {0x8000000000000000ull, 0x85aac367cc487b15ull, 0x8b95c1e3ea8bd6e7ull,
                                       0x91c3d373ab11c336ull, 0x9837f0518db8a96full, 0x9ef5326091a111aeull,
                                       0xa5fed6a9b15138eaull, 0xad583eea42a14ac6ull, 0xb504f333f9de6484ull,
                                       0xbd08a39f580c36bfull, 0xc5672a115506daddull, 0xce248c151f8480e4ull,
                                       0xd744fccad69d6af4ull, 0xe0ccdeec2a94e111ull, 0xeac0c6e7dd24392full,
                                       0xf5257d152486cc2cull}; /* 2^63 * 2^(i/16) */
    uint32_t drop = 63 - 6 - k / 16;
    return ((ratio[k % 16] >> (drop - 1)) + 1) >> 1;
}

uint64_t mrc_sizes_auto(uint64_t distinct, uint64_t **size)
{
    const uint32_t most = 64 + 16 * 50 + 1;
    uint64_t n = 0, *s = xmalloc(most * sizeof *s);
    for (uint64_t i = 1; i <= 64 && i < distinct; i++)
        s[n++] = i;
    for (uint32_t k = 1; k < 16 * 50 && geometric(k) < distinct; k++)
        s[n++] = geometric(k);
    if (distinct > 0)
        s[n++] = distinct;
    *size = s;
    return n;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int bad_sizes(const char *text, const char *at, uint64_t *s, struct diag *d)
{
    free(s);
    return fail(d, "sizes '%.100s': found '%.20s', expected auto or positive numbers like 64,128,256", text, at);
}

int mrc_sizes_parse(const char *text, uint64_t **size, uint64_t *n, struct diag *d)
{
    *size = NULL;
    *n = 0;
    if (strcmp(text, "auto") == 0)
        return 0;
    uint64_t *s = xmalloc((strlen(text) / 2 + 1) * sizeof *s), count = 0;
    for (const char *p = text;; p++) {
        const char *from = p;
        uint64_t v = 0;
        for (; *p >= '0' && *p <= '9'; p++) {
            if (v > UINT64_MAX / 20)
                return bad_sizes(text, from, s, d);
            v = v * 10 + (uint64_t)(*p - '0');
        }
        if (p == from || v == 0 || (*p && *p != ','))
            return bad_sizes(text, from, s, d);
        s[count++] = v;
        if (!*p)
            break;
    }
    qsort(s, count, sizeof *s, compare_u64);
    for (uint64_t i = 0; i < count; i++) {
        if (i == 0 || s[i] != s[*n - 1])
            s[(*n)++] = s[i];
    }
    *size = s;
    return 0;
}

void mrc_curve_print(const struct mrc_curve *c, FILE *f)
{
    double accesses = c->accesses ? (double)c->accesses : 1;
    fprintf(f, "size,misses,accesses,miss_ratio%s%s\n", c->writebacks ? ",writebacks" : "",
            c->error ? ",miss_ratio_error" : "");
    for (uint64_t i = 0; i < c->n; i++) {
        fprintf(f, "%llu,%llu,%llu,%.9f", (unsigned long long)c->size[i], (unsigned long long)c->misses[i],
                (unsigned long long)c->accesses, (double)c->misses[i] / accesses);
        if (c->writebacks)
            fprintf(f, ",%llu", (unsigned long long)c->writebacks[i]);
        if (c->error)
            fprintf(f, ",%.9f", c->error[i] / accesses);
        fputc('\n', f);
    }
}
