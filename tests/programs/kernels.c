/* SPDX-License-Identifier: MIT */
/* Integer and floating-point kernels whose results print exactly: quicksort, sieve, matrix product, FFT, n-body, long
 * double sums, string formatting. */
#include <complex.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t state = 1;
static uint32_t next(void)
{
    return (state = state * 1664525u + 1013904223u) >> 8;
}

static int by_int(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void sort(void)
{
    int n = 20000, *a = malloc((size_t)n * sizeof *a);
    uint64_t h = 0;
    for (int i = 0; i < n; i++)
        a[i] = (int)next();
    qsort(a, (size_t)n, sizeof *a, by_int);
    for (int i = 0; i < n; i++)
        h = h * 31 + (uint32_t)a[i];
    printf("sort %llx\n", (unsigned long long)h);
    free(a);
}

static void sieve(void)
{
    static char composite[100000];
    int count = 0;
    for (int i = 2; i < 100000; i++) {
        count += !composite[i];
        for (int k = 2 * i; k < 100000 && !composite[i]; k += i)
            composite[k] = 1;
    }
    printf("sieve %d\n", count);
}

static void matrix(void)
{
    enum { N = 48 };
    static double a[N][N], b[N][N], c[N][N];
    double trace = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = next() / 1e6;
            b[i][j] = next() / 1e7;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++)
                c[i][j] += a[i][k] * b[k][j];
    for (int i = 0; i < N; i++)
        trace += c[i][i];
    printf("matrix %.17g\n", trace);
}

static void fft(double complex *x, int n)
{
    double complex even[256], odd[256];
    if (n == 1)
        return;
    for (int i = 0; i < n / 2; i++) {
        even[i] = x[2 * i];
        odd[i] = x[2 * i + 1];
    }
    fft(even, n / 2);
    fft(odd, n / 2);
    for (int i = 0; i < n / 2; i++) {
        double complex t = cexp(-2.0 * I * 3.14159265358979323846 * i / n) * odd[i];
        x[i] = even[i] + t;
        x[i + n / 2] = even[i] - t;
    }
}

static void transform(void)
{
    double complex x[512];
    double sum = 0;
    for (int i = 0; i < 512; i++)
        x[i] = sin(i * 0.1) + 0.5 * cos(i * 0.37);
    fft(x, 512);
    for (int i = 0; i < 512; i++)
        sum += cabs(x[i]);
    printf("fft %.15g\n", sum);
}

static void bodies(void)
{
    double p[5][3], v[5][3] = {{0}}, e = 0;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            p[i][k] = next() / 1e6;
    for (int step = 0; step < 500; step++) {
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 5; j++) {
                double d[3], r = 0.01;
                for (int k = 0; k < 3; k++) {
                    d[k] = p[j][k] - p[i][k];
                    r += d[k] * d[k];
                }
                for (int k = 0; k < 3 && i != j; k++)
                    v[i][k] += d[k] / (r * sqrt(r)) * 0.001;
            }
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 3; k++)
                p[i][k] += v[i][k] * 0.001;
    }
    for (int i = 0; i < 5; i++)
        e += v[i][0] * v[i][0] + v[i][1] * v[i][1] + v[i][2] * v[i][2];
    printf("bodies %.17g\n", e);
}

static void extended(void)
{
    long double s = 0, f = 1;
    for (int i = 1; i < 3000; i++) {
        s += 1.0L / i - logl(i) * 1e-3L + sinl(i) * atan2l(i, 3);
        f = fmodl(f * 1.0001L + i, 97.5L);
    }
    printf("extended %.18Lg %.18Lg\n", s, f);
}

static void text(void)
{
    char out[4096] = "";
    size_t n = 0;
    for (int i = 0; i < 40; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%d:%05x:%+.3e:%s|", i * i, (unsigned)i * 77777, i / 7.0,
                              i % 3 ? "abc" : "longer text");
    char *at = out;
    int words = 0;
    for (char *w; (w = strsep(&at, "|"));)
        words += strlen(w) > 0 && strchr(w, 0x65) != NULL;
    printf("text %zu %d %s\n", strlen(out), words, strstr("needle in a haystack", "hay"));
}

int main(void)
{
    sort();
    sieve();
    matrix();
    transform();
    bodies();
    extended();
    text();
    return 0;
}
