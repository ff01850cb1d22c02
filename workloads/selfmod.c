/* SPDX-License-Identifier: MIT */
/* Code that rewrites itself: a function of one instruction, mov $n,%eax, whose constant is stored anew before each
 * call. Shows that decoded code follows its bytes, and what dropping it costs.      selfmod [ROUNDS] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t rounds = number(argc, argv, 1, 20000), sum = 0;
    uint8_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return 1;
    memcpy(code, "\xb8\0\0\0\0\xc3", 6);
    uint32_t (*f)(void) = (uint32_t(*)(void))(uintptr_t)code;
    uint64_t start = ticks();
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t n = (uint32_t)(i * 2654435761u);
        memcpy(code + 1, &n, sizeof n);
        sum = sum * 31 + f();
    }
    printf("selfmod %llx\n", (unsigned long long)sum);
    fprintf(stderr, "selfmod: %.0f ticks a round\n", (double)(ticks() - start) / (double)rounds);
    return 0;
}
