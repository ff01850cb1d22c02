/* SPDX-License-Identifier: MIT */
/* Checkpoint files: what was written is read back, and nothing else is. */
#include "sim/base/ckpt.h"
#include "sim/base/rng.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct thing {
    uint64_t a;
    char *text;
    uint32_t b[5];
    uint64_t *array;
    uint64_t n, cap;
    struct map map;
    struct heap heap;
};

static void thing_state(struct thing *t, struct ckpt *c)
{
    struct map map = t->map;
    struct heap heap = t->heap;
    t->map = (struct map){0};
    t->heap = (struct heap){0};
    ckpt_section(c, "thing");
    CKPT_STRUCT(c, t, CKPT_KEEP(struct thing, text), CKPT_KEEP(struct thing, array));
    ckpt_text(c, &t->text);
    ckpt_array(c, &t->array, &t->n, &t->cap, sizeof *t->array, 1u << 20);
    t->map = map;
    t->heap = heap;
    ckpt_section(c, "containers");
    ckpt_map(c, &t->map);
    ckpt_heap(c, &t->heap);
}

static struct thing make(uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, "thing");
    struct thing t = {.a = rng_next(&r), .text = seed % 3 ? xasprintf("text %llu", (unsigned long long)seed) : NULL};
    for (uint32_t i = 0; i < 5; i++)
        t.b[i] = (uint32_t)rng_next(&r);
    t.n = t.cap = rng_below(&r, 3) * rng_below(&r, 20000);
    t.array = t.n ? xcalloc(t.n, sizeof *t.array) : NULL;
    for (uint64_t i = 0; i < t.n; i++)
        t.array[i] = i % 7 ? 0 : rng_next(&r);
    for (uint64_t i = rng_below(&r, 300); i--;)
        *map_put(&t.map, rng_below(&r, 1000)) = rng_next(&r);
    for (uint64_t i = 0; i < 100; i++)
        map_del(&t.map, rng_below(&r, 1000));
    for (uint64_t i = rng_below(&r, 50); i--;)
        heap_push(&t.heap, rng_below(&r, 100), 1, i);
    return t;
}

static void drop(struct thing *t)
{
    free(t->text);
    free(t->array);
    map_free(&t->map);
    heap_free(&t->heap);
}

static void equal(struct thing *x, struct thing *y)
{
    cr_assert_eq(x->a, y->a);
    cr_assert_eq(memcmp(x->b, y->b, sizeof x->b), 0);
    cr_assert_eq(x->text == NULL, y->text == NULL);
    cr_assert(!x->text || strcmp(x->text, y->text) == 0);
    cr_assert_eq(x->n, y->n);
    cr_assert(!x->n || memcmp(x->array, y->array, x->n * sizeof *x->array) == 0);
    cr_assert_eq(x->map.n, y->map.n);
    for (uint64_t k = 0; k < 1000; k++) {
        const uint64_t *a = map_get(&x->map, k), *b = map_get(&y->map, k);
        cr_assert_eq(a == NULL, b == NULL);
        cr_assert(!a || *a == *b);
    }
    cr_assert_eq(x->heap.n, y->heap.n);
    while (x->heap.n) {
        struct heap_item a = heap_pop(&x->heap), b = heap_pop(&y->heap);
        cr_assert_eq(a.at_ps, b.at_ps);
        cr_assert_eq(a.order, b.order);
        cr_assert_eq(a.id, b.id);
    }
}

static char path[64];
static void name_file(void)
{
    snprintf(path, sizeof path, "/tmp/quire-ckpt-%d", (int)getpid());
}
static void drop_file(void)
{
    unlink(path);
}
TestSuite(ckpt, .init = name_file, .fini = drop_file);

static void write_thing(struct thing *t)
{
    struct diag d = {0};
    struct ckpt *c = ckpt_create(path, &d);
    cr_assert_not_null(c);
    thing_state(t, c);
    cr_assert_eq(ckpt_close(c, &d), 0, "%s", d.text);
}

static uint8_t *slurp(size_t *n)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    cr_assert_not_null(f);
    fstat(fileno(f), &st);
    *n = (size_t)st.st_size;
    uint8_t *p = malloc(*n);
    cr_assert_eq(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

static void spill(const uint8_t *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    cr_assert_eq(fwrite(p, 1, n, f), n);
    fclose(f);
}

Test(ckpt, what_is_written_is_read_back)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct diag d = {0};
        struct thing a = make(seed), b = make(seed + 1000); /* the reader has other contents before */
        write_thing(&a);
        struct ckpt *c = ckpt_open(path, &d);
        cr_assert_not_null(c, "%s", d.text);
        cr_assert(ckpt_is_loading(c));
        thing_state(&b, c);
        cr_assert_eq(ckpt_close(c, &d), 0, "%s", d.text);
        equal(&a, &b);
        drop(&a);
        drop(&b);
    }
}

Test(ckpt, the_same_state_gives_the_same_bytes)
{
    size_t n, m;
    struct thing a = make(5), b = make(9);
    struct diag d = {0};
    write_thing(&a);
    uint8_t *first = slurp(&n);
    struct ckpt *c = ckpt_open(path, &d);
    thing_state(&b, c);
    ckpt_close(c, &d);
    write_thing(&b); /* what was read is written: pointers, and room that was left, are not in it */
    uint8_t *second = slurp(&m);
    cr_assert_eq(n, m);
    cr_assert_eq(memcmp(first, second, n), 0);
    free(first);
    free(second);
    drop(&a);
    drop(&b);
}

Test(ckpt, every_damaged_byte_and_every_shorter_file_is_found_out)
{
    size_t n;
    struct thing a = make(4);
    write_thing(&a);
    uint8_t *p = slurp(&n);
    for (size_t i = 0; i < n; i++) {
        struct diag d = {0};
        if (i >= 12 && i < 16)
            continue; /* not used: part of the digest, below */
        p[i] ^= 0x10;
        spill(p, n);
        p[i] ^= 0x10;
        cr_assert_null(ckpt_open(path, &d), "byte %zu", i);
        cr_assert_eq(d.n_errors, 1);
    }
    p[13] ^= 1;
    spill(p, n);
    p[13] ^= 1;
    cr_assert_null(ckpt_open(path, &(struct diag){0}));
    for (size_t i = 0; i < n; i += 1 + n / 300) {
        struct diag d = {0};
        spill(p, i);
        cr_assert_null(ckpt_open(path, &d), "%zu bytes", i);
        cr_assert_eq(d.n_errors, 1);
    }
    spill(p, n);
    struct diag d = {0};
    struct ckpt *c = ckpt_open(path, &d);
    cr_assert_not_null(c);
    ckpt_abort(c);
    free(p);
    drop(&a);
}

/* A reader with another layout finds out, whatever it reads. */
enum layout { SHORTER, LONGER, OTHER_NAME, OTHER_ORDER, OTHER_SIZE, SMALL_LIMIT, OTHER_FIXED };
static void other_state(enum layout how, struct ckpt *c)
{
    uint64_t x = 0, n = 100;
    uint32_t half = 0;
    uint64_t *array = NULL;
    if (how == OTHER_ORDER)
        ckpt_section(c, "second");
    ckpt_section(c, how == OTHER_NAME ? "another" : "first");
    if (how == OTHER_SIZE)
        CKPT(c, half);
    else
        CKPT(c, x);
    ckpt_same(c, how == OTHER_FIXED ? 4 : 3, "things");
    ckpt_array(c, &array, &n, NULL, sizeof x, how == SMALL_LIMIT ? 50 : 200);
    ckpt_section(c, "second");
    if (how != SHORTER)
        CKPT(c, x);
    if (how == LONGER)
        CKPT(c, x);
    free(array);
}
static void right_state(struct ckpt *c)
{
    uint64_t x = 7, n = 100;
    uint64_t *array = xcalloc(n, sizeof *array);
    ckpt_section(c, "first");
    CKPT(c, x);
    ckpt_same(c, 3, "things");
    ckpt_array(c, &array, &n, NULL, sizeof x, 200);
    ckpt_section(c, "second");
    CKPT(c, x);
    free(array);
}

Test(ckpt, a_reader_with_another_layout_finds_out)
{
    struct diag d = {0};
    struct ckpt *c = ckpt_create(path, &d);
    right_state(c);
    cr_assert_eq(ckpt_close(c, &d), 0);
    for (enum layout how = SHORTER; how <= OTHER_FIXED; how++) {
        d = (struct diag){0};
        c = ckpt_open(path, &d);
        cr_assert_not_null(c);
        other_state(how, c);
        cr_assert_eq(ckpt_close(c, &d), -1, "layout %d", how);
        cr_assert_eq(d.n_errors, 1, "%s", d.text);
    }
}

Test(ckpt, a_failed_one_leaves_the_old_file)
{
    size_t n, m;
    struct diag d = {0};
    struct thing a = make(2), b = make(3);
    write_thing(&a);
    uint8_t *before = slurp(&n);
    struct ckpt *c = ckpt_create(path, &d);
    thing_state(&b, c);
    ckpt_fail(c, "cannot be saved");
    ckpt_fail(c, "the first reason stays");
    cr_assert(ckpt_failed(c));
    cr_assert_eq(ckpt_close(c, &d), -1);
    cr_assert_not_null(strstr(d.text, "cannot be saved"));
    uint8_t *after = slurp(&m);
    cr_assert_eq(n, m);
    cr_assert_eq(memcmp(before, after, n), 0);
    free(before);
    free(after);
    drop(&a);
    drop(&b);
}

Test(ckpt, another_version_is_named)
{
    size_t n;
    struct diag d = {0};
    struct thing a = make(1);
    write_thing(&a);
    uint8_t *p = slurp(&n);
    p[8] = CKPT_VERSION + 1;
    spill(p, n);
    cr_assert_null(ckpt_open(path, &d));
    cr_assert_not_null(strstr(d.text, "format 2, expected 1"), "%s", d.text);
    free(p);
    drop(&a);
}
