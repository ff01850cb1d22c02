/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target without libFuzzer: the corpus as a regression test with any compiler.
 *
 *   onefile FILE|FOLDER...             every file once
 *   onefile -cut FILE|FOLDER...        and every beginning of every file
 *   onefile -mutate N FILE|FOLDER...   and N mutated inputs, the same ones every time */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILES 1024
#define MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *byte;
    size_t n;
};

struct inputs {
    struct input file[MAX_FILES];
    size_t n;
};

static int load(struct inputs *in, const char *path)
{
    FILE *f = in->n < MAX_FILES ? fopen(path, "rb") : NULL;
    if (!f) {
        fprintf(stderr, "onefile: cannot read %s\n", path);
        return 1;
    }
    uint8_t *byte = malloc(MAX_BYTES);
    in->file[in->n++] = (struct input){byte, fread(byte, 1, MAX_BYTES, f)};
    fclose(f);
    return 0;
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Files are loaded by name, so that every run does the same. */
static int load_folder(struct inputs *in, const char *path)
{
    struct dirent **entry;
    int bad = 0, n = scandir(path, &entry, not_hidden, alphasort);
    if (n < 0)
        return load(in, path);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entry[i]->d_name);
        bad |= load(in, file);
        free(entry[i]);
    }
    free(entry);
    return bad || n == 0;
}

/* Runs the target on a copy of just that size, so that reading past its end is found. */
static void run(const uint8_t *byte, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, byte, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13; /* Marsaglia 2003, "Xorshift RNGs" */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % below;
}

/* One change to an input of at least a byte: a bit, a byte, a value at a border, a cut, a repeated part, a part of
 * another input. Returns the new size. */
static size_t mutate(uint8_t *b, size_t n, const struct input *other, uint64_t *state)
{
    static const uint64_t border[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, UINT64_MAX};
    size_t at = draw(state, n), len = 1 + draw(state, 16), from;
    len = len < n - at ? len : n - at;
    switch (draw(state, 7)) {
    case 0:
        b[at] ^= (uint8_t)(1u << draw(state, 8));
        return n;
    case 1:
        b[at] = (uint8_t)draw(state, 256);
        return n;
    case 2:
        memcpy(b + at, &border[draw(state, 10)], len < 8 ? len : 8);
        return n;
    case 3:
        memmove(b + at, b + at + len, n - at - len);
        return n - len;
    case 4:
        b[at] = (uint8_t) "0123456789abcdefxX,:;\"{}[]()=+-. \t\r\n/*#%"[draw(state, 41)];
        return n;
    case 5:
        if (n + len > MAX_BYTES)
            return n;
        memmove(b + at + len, b + at, n - at);
        return n + len;
    default:
        from = other->n ? draw(state, other->n) : 0;
        len = len < other->n - from ? len : other->n - from;
        memcpy(b + at, other->byte + from, len);
        return n;
    }
}

static void run_mutated(const struct inputs *in, uint64_t runs)
{
    static uint8_t b[MAX_BYTES];
    uint64_t state = 0x9e3779b97f4a7c15;
    for (uint64_t i = 0; i < runs; i++) {
        const struct input *seed = &in->file[draw(&state, in->n)];
        size_t n = seed->n;
        memcpy(b, seed->byte, n);
        for (uint64_t k = draw(&state, 8); n > 0 && k < 8; k++)
            n = mutate(b, n, &in->file[draw(&state, in->n)], &state);
        run(b, n);
    }
}

int main(int argc, char **argv)
{
    static struct inputs in;
    const char *const option = argc > 1 && argv[1][0] == '-' ? argv[1] : "";
    const uint64_t runs = strcmp(option, "-mutate") == 0 && argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    int first = *option ? runs ? 3 : 2 : 1, bad = first >= argc;
    for (int i = first; i < argc; i++)
        bad |= load_folder(&in, argv[i]);
    for (size_t f = 0; f < in.n; f++) {
        for (size_t n = 0; n < in.file[f].n && strcmp(option, "-cut") == 0; n++)
            run(in.file[f].byte, n);
        run(in.file[f].byte, in.file[f].n);
    }
    if (in.n > 0)
        run_mutated(&in, runs);
    printf("%zu inputs\n", in.n);
    for (size_t f = 0; f < in.n; f++)
        free(in.file[f].byte);
    return bad || in.n == 0;
}
