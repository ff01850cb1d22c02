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

# Ten million random instructions beside the host's processor.
if QUIRE_NATIVE_CASES=10000000 "$BUILD/tests/cpu" --filter 'x86_native/*' >"$BUILD/native.log" 2>&1; then
    echo "ok    10000000 instructions do what the host's processor does"
else
    echo "FAIL  see $BUILD/native.log"
    bad=1
fi

# The same for x87 and MMX; the log lists the covered mnemonics.
if QUIRE_ORACLE_CASES=3000000 QUIRE_ORACLE_LIST=1 "$BUILD/tests/cpu" --filter 'x86_oracle/*' \
    >"$BUILD/oracle.log" 2>&1; then
    echo "ok    3000000 x87 and MMX instructions do what the host's processor does"
else
    echo "FAIL  see $BUILD/oracle.log"
    bad=1
fi

# Guests at random, at every level in every mode, which quire has to outlive.
if QUIRE_HOSTILE_CASES=20000 "$BUILD/tests/cpu" --filter 'x86_hostile/*' >"$BUILD/hostile.log" 2>&1; then
    echo "ok    20000 guests of random code end"
else
    echo "FAIL  see $BUILD/hostile.log"
    bad=1
fi

# Machines at random, of which more than a thousand run.
if RANDOM_MACHINES=3000 "$BUILD/tests/machine" --filter 'machines/*' >"$BUILD/machines.log" 2>&1; then
    echo "ok    $(sed -n 's/^\([0-9]* machines ran, .*\)/\1/p' "$BUILD/machines.log" | head -n 1)"
else
    echo "FAIL  see $BUILD/machines.log"
    bad=1
fi

# Tables of published points, of the machines that they were measured on.
for f in "$SRCDIR"/results/hardware/points-*.csv; do
    case $f in *mess-cxl*) on=cxl-host ;; *mess*) on=skylake-2s ;; *) on=cascade-lake-2s ;; esac
    if (cd "$SRCDIR" && "$BUILD/quire" validate $on --points "$f") >"$BUILD/points.log" 2>&1; then
        echo "ok    ${f##*/}: $(tail -n 1 "$BUILD/points.log")"
    else
        echo "FAIL  see $BUILD/points.log"
        bad=1
    fi
done

# Confidence intervals of sampled runs hold the truth as often as they promise.
if BUILD=$BUILD sh "$SRCDIR/tools/coverage.sh" >"$BUILD/coverage.log" 2>&1; then
    echo "ok    intervals of sampled runs: $(sed -n 's/.*held by \([0-9]* of [0-9]*\);.*/\1/p' "$BUILD/coverage.log" | tr '\n' ' ')"
else
    echo "FAIL  see $BUILD/coverage.log"
    bad=1
fi

# Every shipped experiment's claim holds.
for e in "$SRCDIR"/experiments/*.conf; do
    name=$(basename "$e" .conf)
    rm -rf "$BUILD/long-$name"
    base=$SRCDIR/experiments
    if grep -q '"\.\./workloads/' "$e"; then base=$BUILD/workloads; fi
    if "$BUILD/quire" run "$e" --base "$base" --out "$BUILD/long-$name" >"$BUILD/long-$name.log" 2>&1; then
        echo "ok    experiments/$name.conf"
    else
        echo "FAIL  experiments/$name.conf"
        grep -v ^true "$BUILD/long-$name.log" | tail -n 20
        bad=1
    fi
done

# One fuzzer: NAME, and for traces the one format to try.
fuzz() {
    log=$dir/$1${2:+-$2}.log n=$runs
    [ -z "${2:-}" ] || export QUIRE_FUZZ_FORMAT="$2"
    # A program that runs for a while takes libFuzzer 30 ms.
    [ "$FUZZ" != yes ] || [ "$1" != fuzz_elf ] || n=$((runs / 50))
    if [ "$FUZZ" = yes ]; then
        mkdir -p "$dir/$1${2:+-$2}"
        "$dir/$1.bin" -runs="$n" -seed=1 -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$dir/" "$dir/$1${2:+-$2}" \
            "$SRCDIR/tests/fuzz/corpus/$1" >"$log" 2>&1
    else
        "$BUILD/fuzz/$1" -mutate "$runs" "$SRCDIR/tests/fuzz/corpus/$1" >"$log" 2>&1
    fi
    code=$?
    unset QUIRE_FUZZ_FORMAT
    if [ $code -eq 0 ]; then
        echo "ok    $1${2:+ as $2}: $n runs"
    else
        echo "FAIL  $1${2:+ as $2}: see $log"
        bad=1
    fi
}

# Without libFuzzer the programs of `make fuzzers` mutate by themselves.
[ "$FUZZ" = yes ] || echo "check-long: libFuzzer not found (Debian packages clang, libclang-rt-14-dev); mutating without its guidance"
dir=$BUILD/fuzz-long
mkdir -p "$dir"
formats=$("$BUILD/quire" trace --help | sed -n 's/^  \([A-Za-z0-9-]*\) *[* ] .*/\1/p' | grep -v '^quire$')
[ "$(echo "$formats" | wc -l)" -ge 20 ] || { echo "FAIL  the list of formats"; bad=1; }
if [ "$FUZZ" = yes ]; then
    flags='-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
    mkdir -p "$dir/build"
    (cd "$dir/build" && "$SRCDIR/configure" CC=clang CFLAGS="$flags" LDFLAGS="$flags" --disable-tests && make -j2 libquire.a) >"$dir/build.log" 2>&1 ||
        { echo "FAIL  the simulator for libFuzzer: see $dir/build.log"; exit 1; }
fi
for f in "$SRCDIR"/tests/fuzz/fuzz_*.c; do
    name=$(basename "$f" .c)
    if [ "$FUZZ" = yes ]; then
        clang -std=gnu11 -march=x86-64-v2 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
            -include "$dir/build/config.h" -I"$dir/build" -I"$SRCDIR" -I"$SRCDIR/include" -o "$dir/$name.bin" "$f" "$dir/build/libquire.a" \
            -lz -llzma -lzstd -lxxhash -ljansson -lZydis -lelf -ldl -lm -lpthread >"$dir/$name.log" 2>&1 ||
            { echo "FAIL  $name: see $dir/$name.log"; bad=1; continue; }
    fi
    fuzz "$name"
    # Programs by plain mutation too, as many as everything else.
    if [ "$FUZZ" = yes ] && [ "$name" = fuzz_elf ]; then (FUZZ=no && fuzz "$name" && exit $bad) || bad=1; fi
    [ "$name" = fuzz_trace ] || continue
    for format in $formats; do
        fuzz "$name" "$format"
    done
done
exit $bad
