/* SPDX-License-Identifier: MIT */
#include "sim/base/zipf.h"

#include "sim/base/diag.h"

#include <math.h>

/* H is an integral of x^-skew, h_inverse its inverse. */
static double h(const struct zipf *z, double x)
{
    double u = 1.0 - z->skew;
    return fabs(u) < 1e-9 ? log(x) : (pow(x, u) - 1.0) / u;
}

static double h_inverse(const struct zipf *z, double y)
{
    double u = 1.0 - z->skew;
    return fabs(u) < 1e-9 ? exp(y) : pow(1.0 + y * u, 1.0 / u);
}

void zipf_init(struct zipf *z, uint64_t n, double skew)
{
    CHECK(n > 0 && skew >= 0);
    *z = (struct zipf){.n = n, .skew = skew};
    z->h_first = h(z, 1.5) - 1.0;
    z->h_last = h(z, (double)n + 0.5);
    z->cut = 2.0 - h_inverse(z, h(z, 2.5) - pow(2.0, -skew));
}

uint64_t zipf_draw(const struct zipf *z, struct rng *r)
{
    for (;;) {
        double u = z->h_last + rng_unit(r) * (z->h_first - z->h_last);
        double x = h_inverse(z, u), k = floor(x + 0.5);
        k = k < 1.0 ? 1.0 : k > (double)z->n ? (double)z->n : k;
        if (k - x <= z->cut || u >= h(z, k + 0.5) - pow(k, -z->skew))
            return (uint64_t)k - 1;
    }
}
