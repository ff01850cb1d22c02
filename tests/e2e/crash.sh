#!/bin/sh
# SPDX-License-Identifier: MIT
# quire crash: every broken program of workloads/crash is found out, none of their twins; bad input is one line.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. "$SRCDIR/tests/lib.sh"
n=0
for f in "$SRCDIR"/workloads/crash/*.c; do
    name=$(basename "$f" .c)
    domain=adr
    [ "$name" != log-hint ] || domain=adr-fails
    "$QUIRE" crash --domain $domain "$BUILD/workloads/crash/$name.so" >"$tmp/o" || die "$name: $(cat "$tmp/o")"
    grep -q 'all there are' "$tmp/o" || die "$name was not explored whole: $(cat "$tmp/o")"
    code=0
    "$QUIRE" crash --domain $domain "$BUILD/workloads/crash/$name-broken.so" >"$tmp/o" || code=$?
    [ $code -eq 1 ] && grep -q BROKEN "$tmp/o" || die "$name-broken: $code, $(cat "$tmp/o")"
    grep -q "$name.c:[0-9]" "$tmp/o" || die "$name-broken: no event is named: $(cat "$tmp/o")"
    n=$((n + 1))
done
[ $n -ge 12 ] || die "only $n programs"
# ADR keeps what log-hint-broken trusts to it; eADR forgives all but the order.
"$QUIRE" crash "$BUILD/workloads/crash/log-hint-broken.so" >/dev/null || die "log-hint-broken needs a failing ADR"
"$QUIRE" crash --domain eadr "$BUILD/workloads/crash/log-fence-broken.so" >/dev/null || die "eADR keeps every store"
"$QUIRE" crash --json "$BUILD/workloads/crash/counter.so" >"$tmp/o"
grep -q '"exhaustive": true' "$tmp/o" || die "json: $(cat "$tmp/o")"

bad() { # bad TEXT ARGUMENT...
    text=$1
    shift
    code=0
    "$QUIRE" crash "$@" >"$tmp/o" 2>"$tmp/e" || code=$?
    [ $code -eq 2 ] && [ "$(wc -l <"$tmp/e")" -eq 1 ] && grep -q -- "$text" "$tmp/e" || die "$*: $code, $(cat "$tmp/e")"
}
cat >"$tmp/wild.c" <<'END'
#include <quire/crash.h>
static void run(const struct quire_pm *pm) { PM_STORE(pm, 100, "12345678", 8); }
static int check(const uint8_t *i, uint64_t b, uint64_t a, char *w, uint64_t n) { return i && b && a && w && n ? 0 : 0; }
const struct quire_crash_program quire_crash_program = {ABI, "wild", "", BYTES, run, check};
END
cc() {
    ${CC:-gcc} -I"$SRCDIR/include" -fPIC -shared -o "$tmp/$1" "$tmp/wild.c" -DABI="$2" -DBYTES="$3"
}
cc wild.so 1 64
cc abi.so 9 64
cc odd.so 1 65
echo text >"$tmp/text.so"
bad 'region ends at 64' "$tmp/wild.so"
bad 'crash ABI 9' "$tmp/abi.so"
bad 'multiple of 64' "$tmp/odd.so"
bad 'found no ELF file' "$tmp/text.so"
bad 'quire_crash_program' "$BUILD/policies/mrc.so"
bad 'expected adr' --domain adrr "$tmp/wild.so"
bad 'no program'
