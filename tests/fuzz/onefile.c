/* SPDX-License-Identifier: MIT */
/* Replays files, or all files of a folder, through a fuzz target: the corpus as a regression test with any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    long size;
    if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
        fprintf(stderr, "onefile: cannot read %s\n", path);
        return 1;
    }
    rewind(f);
    uint8_t *data = malloc((size_t)size + 1);
    size_t n = fread(data, 1, (size_t)size, f);
    fclose(f);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

static int replay_folder(const char *path, DIR *d)
{
    int n = 0, bad = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char file[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        bad |= replay(file);
        n++;
    }
    closedir(d);
    printf("%d inputs\n", n);
    return bad || n == 0;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        bad |= d ? replay_folder(argv[i], d) : replay(argv[i]);
    }
    return bad;
}
