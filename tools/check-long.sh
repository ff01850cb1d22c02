#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make check-long` runs: fuzzers with a budget, clang and -O0 builds that have to give the same bytes. Needs SRCDIR,
# BUILD, CC, FUZZ.
set -u
bad=0
runs=${RUNS:-100000}

same() {
    mkdir -p "$BUILD/$1" && cd "$BUILD/$1" && "$SRCDIR/configure" CC="$2" CFLAGS="$3" --disable-tests >/dev/null &&
        make -j2 all >make.log 2>&1 && ./quire run "$SRCDIR/tests/e2e/same.conf" --out same >/dev/null &&
        (cd same && find . -name result.json -o -name series.csv | LC_ALL=C sort | xargs sha256sum) >sums
}
for v in "gcc-O2 gcc -O2" "gcc-O0 gcc -O0" "clang-O2 clang -O2"; do
    # shellcheck disable=SC2086
    set -- $v
    command -v "$2" >/dev/null 2>&1 || { echo "check-long: no $2 (Debian package $2)"; bad=1; continue; }
    if (same "$1" "$2" "$3"); then
        if cmp -s "$BUILD/$1/sums" "$BUILD/gcc-O2/sums"; then echo "ok    $1 gives the same bytes"; else echo "FAIL  $1 differs"; bad=1; fi
    else
        echo "FAIL  $1 does not build or run"
        bad=1
    fi
done

if [ "$FUZZ" = yes ]; then
    for f in "$SRCDIR"/tests/fuzz/fuzz_*.c; do
        name=$(basename "$f" .c)
        dir=$BUILD/fuzz-long
        mkdir -p "$dir/$name"
        # shellcheck disable=SC2046
        clang -std=gnu11 -march=x86-64-v2 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
            -include "$BUILD/config.h" -I"$BUILD" -I"$SRCDIR" -I"$SRCDIR/include" -o "$dir/$name.bin" "$f" \
            $(find "$SRCDIR/sim" -name '*.c' ! -name main.c) -lz -llzma -lzstd -lxxhash -ljansson -lZydis -ldl -lm || { bad=1; continue; }
        if "$dir/$name.bin" -runs="$runs" -timeout=20 -rss_limit_mb=2048 "$dir/$name" "$SRCDIR/tests/fuzz/corpus/$name" >"$dir/$name.log" 2>&1; then
            echo "ok    $name: $runs runs"
        else
            echo "FAIL  $name: see $dir/$name.log"
            bad=1
        fi
    done
else
    echo "check-long: libFuzzer not found (Debian packages clang, libclang-rt-14-dev)"
    bad=1
fi
exit $bad
