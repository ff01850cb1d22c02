/* SPDX-License-Identifier: MIT */
#include "sim/cli/find.h"

#include "sim/base/types.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *find_machine(const char *name, struct diag *d)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    const char *const places[] = {"experiments/machines", "%s/../experiments/machines",
                                  QUIRE_DATA_DIR "/experiments/machines"};
    if (strchr(name, '/') || strstr(name, ".conf")) {
        if (access(name, R_OK) == 0)
            return realpath(name, NULL);
        fail(d, "--machine: cannot read %s", name);
        return NULL;
    }
    for (size_t i = 0; i < N_ELEMS(places); i++) {
        char *folder = i == 1 ? xasprintf("%s/../experiments/machines", exe) : xstrdup(places[i]);
        char *file = xasprintf("%s/%s.conf", folder, name), *real = realpath(file, NULL);
        free(folder);
        free(file);
        if (real)
            return real;
    }
    fail(d, "--machine: found no %s.conf in experiments/machines or " QUIRE_DATA_DIR "/experiments/machines", name);
    return NULL;
}
