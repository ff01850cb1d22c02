/* SPDX-License-Identifier: MIT */
#include "sim/cli/sets.h"

#include "sim/base/types.h"

#include <string.h>

int take_sets(int *argc, char **argv, struct sets *s, struct diag *d)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], "--set=", 6) == 0)
            value = argv[i] + 6;
        else if (strcmp(argv[i], "--set") == 0 && i + 1 < *argc)
            value = argv[++i];
        if (!value) {
            argv[kept++] = argv[i];
            continue;
        }
        if (s->n == N_ELEMS(s->text))
            return fail(d, "--set: more than %zu of them", N_ELEMS(s->text));
        s->text[s->n++] = value;
    }
    *argc = kept;
    return 0;
}
