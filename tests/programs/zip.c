/* SPDX-License-Identifier: MIT */
/* zlib at every level, there and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int main(void)
{
    uLong n = 120000;
    unsigned char *in = malloc(n), *packed = malloc(2 * n), *out = malloc(n);
    unsigned s = 1;
    for (uLong i = 0; i < n; i++) {
        s = s * 1103515245u + 12345u;
        in[i] = (unsigned char)(i % 97 < 60 ? "the quick brown fox jumps over it"[i % 33] : (char)(s >> 28));
    }
    for (int level = 0; level <= 9; level++) {
        uLongf a = 2 * n, b = n;
        if (compress2(packed, &a, in, n, level) || uncompress(out, &b, packed, a) || b != n || memcmp(in, out, n))
            return 1;
        printf("level %d: %lu bytes, crc %08lx, adler %08lx\n", level, a, crc32(0, packed, (uInt)a),
               adler32(1, packed, (uInt)a));
    }
    return 0;
}
