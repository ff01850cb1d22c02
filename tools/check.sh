#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make check` runs, from the build folder: unit suites, end-to-end scripts, fuzz corpora, the sanitizer build of both,
# lint. Needs SRCDIR, BUILD and CC. Ends with "N passed, N failed".
set -u
passed=0
failed=0
log=$BUILD/check.log
: >"$log"

# step NAME COMMAND...: one item; its output is shown only if it fails.
step() {
    name=$1
    shift
    start=$(date +%s)
    if "$@" >"$BUILD/step.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name ($(($(date +%s) - start)) s)"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 60 "$BUILD/step.log"
    fi
    cat "$BUILD/step.log" >>"$log"
}

# suites FOLDER: every unit program in FOLDER/tests, counting its tests one by one.
suites() {
    for t in "$1"/tests/*; do
        [ -x "$t" ] && [ -f "$t" ] || continue
        out=$BUILD/step.log
        start=$(date +%s)
        QUIRE=$1/quire SRCDIR=$SRCDIR BUILD=$1 "$t" -j2 --timeout 900 >"$out" 2>&1
        code=$?
        counts=$(sed -n 's/.*Synthesis: Tested: [^0-9]*\([0-9]*\).*Passing: [^0-9]*\([0-9]*\).*Failing: [^0-9]*\([0-9]*\).*Crashing: [^0-9]*\([0-9]*\).*/\2 \3 \4/p' "$out" |
            sed 's/\x1b\[[0-9;]*m//g' | tail -n 1)
        good=${counts%% *}
        rest=${counts#* }
        bad=$((${rest%% *} + ${rest##* })) 2>/dev/null || bad=1
        if [ -z "$counts" ] || [ "$((good + bad))" -eq 0 ]; then
            bad=1
            good=0
        fi
        [ $code -eq 0 ] || [ $bad -gt 0 ] || bad=1
        passed=$((passed + good))
        failed=$((failed + bad))
        if [ $bad -gt 0 ]; then
            echo "FAIL  $2 $(basename "$t"): $good passed, $bad failed"
            tail -n 60 "$out"
        else
            echo "ok    $2 $(basename "$t"): $good passed ($(($(date +%s) - start)) s)"
        fi
        cat "$out" >>"$log"
    done
}

corpora() {
    for f in "$1"/fuzz/*; do
        [ -x "$f" ] || continue
        name=$(basename "$f")
        [ -d "$SRCDIR/tests/fuzz/corpus/$name" ] || continue
        step "$2 corpus of $name" "$f" -cut "$SRCDIR/tests/fuzz/corpus/$name"
    done
}

suites "$BUILD" unit
for s in "$SRCDIR"/tests/e2e/*.sh; do
    [ -f "$s" ] || continue
    step "e2e $(basename "$s")" env QUIRE="$BUILD/quire" SRCDIR="$SRCDIR" BUILD="$BUILD" sh "$s"
done
corpora "$BUILD" plain

mkdir -p "$BUILD/sanitize"
sanitized() {
    cd "$BUILD/sanitize" &&
        "$SRCDIR/configure" CC="$CC" CFLAGS="-O1 -g" --enable-sanitize=address,undefined &&
        make -j2 unit
}
step "sanitizer build" sanitized
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0
suites "$BUILD/sanitize" sanitized
corpora "$BUILD/sanitize" sanitized
step lint sh "$SRCDIR/tools/lint.sh"

echo
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
