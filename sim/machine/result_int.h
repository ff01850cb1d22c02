/* SPDX-License-Identifier: MIT */
/* Inside of the result builder: what result.c and result_write.c share. */
#ifndef QUIRE_MACHINE_RESULT_INT_H
#define QUIRE_MACHINE_RESULT_INT_H

#include "sim/machine/result.h"

enum item_kind { ITEM_INT, ITEM_TEXT, ITEM_QUOTIENT, ITEM_FORMULA };

struct item {
    char *key;
    enum item_kind kind;
    uint64_t value, den;
    char *num_text, *den_text; /* of a formula; num_text also holds an ITEM_TEXT */
};

/* Text that grows. */
struct text {
    char *p;
    size_t len, cap;
};

struct result {
    struct item *item;
    uint32_t n, cap;
    uint32_t *slot; /* open addressing over keys: index + 1, 0 = empty; n_slots is a power of two */
    uint32_t n_slots;
    struct text series, events;
    uint64_t n_events, n_dropped;
    char **taint;
    uint32_t n_taints;
};

void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes. */
void text_json(struct text *t, const char *s);

#endif
