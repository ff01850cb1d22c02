/* SPDX-License-Identifier: MIT */
#include "sim/base/zipf.h"

#include "sim/base/diag.h"

#include <math.h>
#include <stdlib.h>

struct zipf {
    uint32_t n;
    uint32_t *alias;
    double *keep; /* probability of staying at a rank rather than going to its alias */
};

struct zipf *zipf_new(uint32_t n, double skew)
{
    CHECK(n > 0 && n <= 1u << 31);
    struct zipf *z = xmalloc(sizeof *z);
    *z = (struct zipf){n, xmalloc(n * sizeof *z->alias), xmalloc(n * sizeof *z->keep)};
    uint32_t *stack = xmalloc(n * sizeof *stack), small = 0, large = n;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += z->keep[i] = pow((double)i + 1, -skew);
    for (uint32_t i = 0; i < n; i++) { /* ranks below the mean from the left, the others from the right */
        z->keep[i] *= (double)n / sum;
        stack[z->keep[i] < 1 ? small++ : --large] = i;
    }
    uint32_t top = n; /* the right stack is stack[large..n); its top is stack[large] */
    while (small > 0 && large < top) {
        uint32_t s = stack[--small], l = stack[large];
        z->alias[s] = l;
        z->keep[l] -= 1 - z->keep[s];
        if (z->keep[l] < 1) {
            large++;
            stack[small++] = l;
        }
    }
    while (small > 0)
        z->keep[stack[--small]] = 1;
    for (; large < top; large++)
        z->keep[stack[large]] = 1;
    free(stack);
    return z;
}

void zipf_free(struct zipf *z)
{
    if (!z)
        return;
    free(z->alias);
    free(z->keep);
    free(z);
}

uint32_t zipf_draw(const struct zipf *z, struct rng *r)
{
    uint32_t i = (uint32_t)rng_below(r, z->n);
    return rng_unit(r) < z->keep[i] ? i : z->alias[i];
}
