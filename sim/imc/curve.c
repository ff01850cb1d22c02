/* SPDX-License-Identifier: MIT */
#include "sim/imc/curve.h"

#include "sim/base/diag.h"

/* Skylake-SP with six channels of DDR4-2666: bwlat_78 of the Mess simulator's memory_curve/skylake-ddr4, up to the
 * point of its highest bandwidth. */
static const struct mem_point skylake_ddr4[] = {
    {80, 65630},     {889, 66870},    {4991, 68420},   {9757, 70430},    {16016, 72770},
    {24888, 74680},  {34498, 77210},  {45454, 79780},  {51560, 81730},   {58445, 84060},
    {69881, 91350},  {79591, 104830}, {84171, 113230}, {90613, 122790},  {94157, 130750},
    {95285, 141130}, {97384, 151820}, {99203, 164170}, {100187, 173670}, {101007, 196760},
};

/* A vendor's model of an expander, seen at the host's interface: bwlat_60 of memory_curve/cxl. */
static const struct mem_point cxl_expander[] = {
    {320, 107440},   {4266, 108960},  {12797, 113750}, {18280, 117890}, {24604, 122910},
    {30459, 128830}, {35533, 136600}, {39971, 149470}, {42628, 221370}, {42800, 426630},
};

const char *const mem_curve_names[] = {"none", "skylake-ddr4", "cxl-expander", NULL};
const struct mem_curve mem_curves[] = {
    {"skylake-ddr4", "Mess simulator, memory_curve/skylake-ddr4/bwlat_78.txt", 78, N_ELEMS(skylake_ddr4), skylake_ddr4},
    {"cxl-expander", "Mess simulator, memory_curve/cxl/bwlat_60.txt", 60, N_ELEMS(cxl_expander), cxl_expander},
};

void curve_init(struct curve_state *s, uint64_t which, ps_t offset_ps)
{
    *s = (struct curve_state){.curve = which ? &mem_curves[which - 1] : NULL, .offset_ps = offset_ps};
    if (s->curve)
        s->latency_ps = s->curve->point[0].ps;
}

ps_t curve_at(const struct mem_curve *c, uint64_t mb_s)
{
    const struct mem_point *p = c->point;
    if (mb_s <= p->mb_s)
        return p->ps;
    for (uint32_t i = 1; i < c->n; i++)
        if (mb_s <= p[i].mb_s)
            return p[i - 1].ps +
                   (uint64_t)(p[i].ps - p[i - 1].ps) * (mb_s - p[i - 1].mb_s) / (p[i].mb_s - p[i - 1].mb_s);
    return p[c->n - 1].ps;
}

/* The window is over: a quarter of the way to the latency of its bandwidth, or up by what was too much. Larger steps
 * would swing about the knee, where a little more bandwidth is several times the latency. */
static void next_window(struct curve_state *s, ps_t t)
{
    const struct mem_point *last = &s->curve->point[s->curve->n - 1];
    uint64_t mb_s = s->lines * LINE_BYTES * 1000 / ((t - s->window_ps) / 1000);
    ps_t there = curve_at(s->curve, mb_s);
    if (mb_s > last->mb_s || s->latency_ps > last->ps) /* in proportion, so that a closed loop settles at the peak */
        there = min_u64(max_u64(max_u64(s->latency_ps, last->ps) * mb_s / last->mb_s, there), 64ull * last->ps);
    s->latency_ps = (3 * s->latency_ps + there) / 4;
    s->window_ps = t;
    s->lines = 0;
}

ps_t curve_access(struct curve_state *s, ps_t t)
{
    if (unlikely(t >= s->window_ps + CURVE_WINDOW_PS))
        next_window(s, t);
    s->lines++;
    return t + (s->latency_ps > s->offset_ps ? s->latency_ps - s->offset_ps : 0);
}
