/* SPDX-License-Identifier: MIT */
/* Pages of known content: a share of zero pages, of pages of one repeated byte, of duplicates of a few originals, the
 * rest unique. Shows what page sharing and compression can find, and nothing that they cannot. pagemix [PAGES [ZERO%
 * [PATTERN% [DUPLICATE%]]]] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 1024), zero = number(argc, argv, 2, 25), pattern = number(argc, argv, 3, 10),
             duplicate = number(argc, argv, 4, 25), seed = 5, sum = 0, kinds[4] = {0};
    uint8_t *p = pages(n * PAGE);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t r = draw(&seed) % 100, *w = (uint64_t *)(p + i * PAGE);
        uint64_t original = draw(&seed) % 8 + 1;
        if (r < zero) {
            memset(w, 0, PAGE); /* touched, and zero all the same */
            kinds[0]++;
        } else if (r < zero + pattern) {
            memset(w, (int)original, PAGE);
            kinds[1]++;
        } else {
            uint64_t s = r < zero + pattern + duplicate ? original * 1000003 : draw(&seed);
            for (uint64_t k = 0; k < PAGE / 8; k++)
                w[k] = draw(&s);
            kinds[r < zero + pattern + duplicate ? 2 : 3]++;
        }
    }
    for (uint64_t i = 0; i < n * PAGE / 8; i += 64)
        sum = sum * 31 + ((uint64_t *)p)[i];
    printf("pagemix %llx: %llu zero, %llu pattern, %llu duplicate, %llu unique\n", (unsigned long long)sum,
           (unsigned long long)kinds[0], (unsigned long long)kinds[1], (unsigned long long)kinds[2],
           (unsigned long long)kinds[3]);
    return 0;
}
