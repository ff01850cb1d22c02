/* SPDX-License-Identifier: MIT */
/* Floating-point exceptions: unmasked ones of the x87 and of integer division as signals, masked ones as flags, and
 * what the rounding modes give. (Unmasked exceptions of SSE raise no signal in quire: docs/exec.md.) */
#define _GNU_SOURCE
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <math.h>
static sigjmp_buf back;
static volatile int code;
static volatile unsigned mx, sw;
static void h(int s, siginfo_t *i, void *u)
{
    ucontext_t *c = u;
    code = i->si_code;
    mx = c->uc_mcontext.fpregs->mxcsr;
    sw = c->uc_mcontext.fpregs->swd;
    siglongjmp(back, 1);
}
#define T(name, ex, expr)                                                                                              \
    do {                                                                                                               \
        feclearexcept(FE_ALL_EXCEPT);                                                                                  \
        volatile int c = 0;                                                                                            \
        code = 0;                                                                                                      \
        mx = sw = 0;                                                                                                   \
        if (!sigsetjmp(back, 1)) {                                                                                     \
            feenableexcept(ex);                                                                                        \
            expr;                                                                                                      \
            __asm__ volatile("fwait");                                                                                 \
            c = 1;                                                                                                     \
        }                                                                                                              \
        fedisableexcept(FE_ALL_EXCEPT);                                                                                \
        printf("%s: %s code %d mxcsr %x sw %x raised %x\n", name, c ? "went on" : "fault", code, mx & 0x3f, sw & 0xbf, \
               c ? fetestexcept(FE_ALL_EXCEPT) : 0);                                                                   \
        fesetenv(FE_DFL_ENV);                                                                                          \
    } while (0)
int main(void)
{
    struct sigaction a = {.sa_sigaction = h, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &a, NULL);
    volatile double z = 0, o = 1, big = 1e308, tiny = 1e-308, r;
    volatile long double lo = 1, lz = 0, lr, lb = 1e4930L;
    volatile int i = 1, iz = 0, ir;
    T("sse masked", 0, r = o / z);
    T("masked inexact", 0, r = o / 3.0);
    T("masked nan", 0, r = z / z);
    T("masked big", 0, r = big * big);
    T("masked tiny", 0, r = tiny * tiny);
    T("exact", 0, r = o + o);
    T("x87 div", FE_DIVBYZERO, lr = lo / lz);
    T("x87 inv", FE_INVALID, lr = lz / lz);
    T("x87 res", FE_INEXACT, lr = lo / 3.0L);
    T("x87 ovf", FE_OVERFLOW, lr = lb * lb);
    T("int div", 0, ir = i / iz);
    volatile int m = 0x80000000, n = -1;
    T("int ovf", 0, ir = m / n);
    for (int k = 0; k < 4; k++) {
        static const int m4[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
        fesetround(m4[k]);
        printf("%a %a %La %ld\n", o / 3.0, -o / 3.0, lo / 3.0L, lrint(2.5));
    }
    return 0;
}
