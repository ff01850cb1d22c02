/* SPDX-License-Identifier: MIT */
#include "sim/cli/find.h"

#include "sim/base/types.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *find_file(const char *tree, const char *installed, struct diag *d)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/'), *found = NULL;
    if (slash)
        *slash = 0;
    char *place[] = {xstrdup(tree), xasprintf("%s/../%s", exe, tree), xasprintf(QUIRE_DATA_DIR "/%s", installed)};
    for (size_t i = 0; i < N_ELEMS(place); i++) {
        if (!found)
            found = realpath(place[i], NULL);
        free(place[i]);
    }
    if (!found)
        fail(d, "found no %s here, nor " QUIRE_DATA_DIR "/%s", tree, installed);
    return found;
}

char *find_machine(const char *name, struct diag *d)
{
    if (strchr(name, '/') || strstr(name, ".conf")) {
        char *path = realpath(name, NULL);
        if (!path)
            fail(d, "--machine: cannot read %s", name);
        return path;
    }
    char *tree = xasprintf("experiments/machines/%s.conf", name);
    char *found = find_file(tree, tree, d);
    free(tree);
    return found;
}
