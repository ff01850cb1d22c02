/* SPDX-License-Identifier: MIT */
/* A B+-tree on persistent memory: nodes of 256 bytes (an XPLine), entries shifted in place, a flush for each line that
 * an insertion changed and one fence. Shows small random persistent writes: write amplification of the module, and
 * lookups that chase from node to node.      btree [KEYS] */
#include "workload.h"

#define ORDER 14u
struct node {
    uint32_t n, is_leaf;
    uint64_t key[ORDER];
    union {
        uint64_t value[ORDER];
        uint64_t child[ORDER + 1]; /* index of a node */
    };
    uint64_t pad;
};
_Static_assert(sizeof(struct node) == 248 || sizeof(struct node) == 256, "a node is an XPLine");
#define NODE_BYTES 256ul

static uint8_t *pool;
static uint64_t n_nodes;
static enum flush how;

static struct node *at(uint64_t i)
{
    return (struct node *)(pool + i * NODE_BYTES);
}

static uint64_t node_new(uint32_t is_leaf)
{
    struct node *x = at(++n_nodes);
    memset(x, 0, sizeof *x);
    x->is_leaf = is_leaf;
    return n_nodes;
}

/* Splits the full child i of x; its upper half becomes a new node. */
static void split(struct node *x, uint32_t i)
{
    struct node *y = at(x->child[i]);
    uint64_t zi = node_new(y->is_leaf);
    struct node *z = at(zi);
    uint32_t half = ORDER / 2;
    uint64_t middle = y->key[half];
    z->n = y->is_leaf ? ORDER - half : ORDER - half - 1;
    uint32_t from = y->is_leaf ? half : half + 1;
    memcpy(z->key, y->key + from, z->n * 8);
    memcpy(z->child, y->child + from, (z->n + !y->is_leaf) * 8ul);
    persist(how, z, sizeof *z); /* the new node is whole before anything points to it */
    memmove(x->key + i + 1, x->key + i, (x->n - i) * 8ul);
    memmove(x->child + i + 2, x->child + i + 1, (x->n - i) * 8ul);
    x->key[i] = middle;
    x->child[i + 1] = zi;
    x->n++;
    persist(how, x, sizeof *x);
    y->n = half;
    persist(how, y, sizeof *y);
}

static uint64_t insert(uint64_t root, uint64_t key, uint64_t value)
{
    if (at(root)->n == ORDER) {
        uint64_t up = node_new(0);
        at(up)->child[0] = root;
        split(at(up), 0);
        root = up;
    }
    struct node *x = at(root);
    while (!x->is_leaf) {
        uint32_t i = 0;
        while (i < x->n && key >= x->key[i])
            i++;
        if (at(x->child[i])->n == ORDER) {
            split(x, i);
            i += key >= x->key[i];
        }
        x = at(x->child[i]);
    }
    uint32_t i = x->n;
    for (; i > 0 && x->key[i - 1] > key; i--) {
        x->key[i] = x->key[i - 1];
        x->value[i] = x->value[i - 1];
    }
    x->key[i] = key;
    x->value[i] = value;
    x->n++;
    persist(how, x, sizeof *x);
    return root;
}

static uint64_t find(uint64_t root, uint64_t key)
{
    const struct node *x = at(root);
    while (!x->is_leaf) {
        uint32_t i = 0;
        while (i < x->n && key >= x->key[i])
            i++;
        x = at(x->child[i]);
    }
    for (uint32_t i = 0; i < x->n; i++)
        if (x->key[i] == key)
            return x->value[i];
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 4000), seed = 11, sum = 0;
    how = best_flush();
    pool = persistent((n + 64) * NODE_BYTES * 2);
    uint64_t root = node_new(1), start = ticks();
    for (uint64_t i = 0; i < n; i++)
        root = insert(root, draw(&seed), i + 1);
    uint64_t inserted = ticks();
    seed = 11;
    for (uint64_t i = 0; i < n; i++)
        sum = sum * 31 + find(root, draw(&seed));
    uint64_t found = ticks();
    printf("btree %llx in %llu nodes\n", (unsigned long long)sum, (unsigned long long)n_nodes);
    fprintf(stderr, "btree: %.0f ticks an insertion, %.0f a lookup\n", (double)(inserted - start) / (double)n,
            (double)(found - inserted) / (double)n);
    return 0;
}
