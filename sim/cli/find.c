/* SPDX-License-Identifier: MIT */
#include "sim/cli/find.h"

#include "sim/base/conf.h"
#include "sim/base/types.h"

#include <dirent.h>
#include <errno.h>
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

static int is_conf(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

/* Says which machines there are, and which one was meant. */
static void no_machine(const char *name, const char *dir, struct diag *d)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_conf, alphasort);
    char *known = xstrdup("");
    const char **word = xcalloc(n > 0 ? (size_t)n : 1, sizeof *word);
    for (int i = 0; i < n; i++) {
        word[i] = list[i]->d_name;
        list[i]->d_name[strlen(list[i]->d_name) - 5] = 0;
        char *longer = xasprintf("%s%s%s", known, i ? ", " : "", word[i]);
        free(known);
        known = longer;
    }
    const char *near = conf_nearest(name, word, n > 0 ? (uint32_t)n : 0);
    fail(d, "found no machine '%s'%s%s%s, expected %s, or the path of a machine file", name,
         near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", known);
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    free(word);
    free(known);
}

char *find_machine(const char *name, struct diag *d)
{
    if (strchr(name, '/') || strstr(name, ".conf")) {
        char *path = realpath(name, NULL);
        if (!path)
            fail(d, "%s: cannot be read: %s", name, strerror(errno));
        return path;
    }
    char *dir = find_file("experiments/machines", "experiments/machines", d);
    char *path = dir ? xasprintf("%s/%s.conf", dir, name) : NULL;
    if (path && access(path, F_OK)) {
        no_machine(name, dir, d);
        free(path);
        path = NULL;
    }
    free(dir);
    return path;
}

bool is_machine(const char *name)
{
    struct diag ignored = {0};
    char *path = find_machine(name, &ignored);
    free(path);
    return path != NULL;
}
