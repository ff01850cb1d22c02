#!/bin/sh
# SPDX-License-Identifier: MIT
# Format, include direction, headers that compile alone, source lists, shell scripts, cppcheck.
set -u
cd "$(dirname "$0")/.." || exit 2
bad=0

complain() {
    echo "lint: $*"
    bad=1
}
need() {
    command -v "$1" >/dev/null 2>&1 || complain "$1 not found (Debian package $2)"
}
need clang-format clang-format
need shellcheck shellcheck
need cppcheck cppcheck
[ $bad -eq 0 ] || exit 1

sources=$(find sim include policies tests -name '*.[ch]' | LC_ALL=C sort)
# shellcheck disable=SC2086
clang-format --dry-run -Werror $sources || complain "clang-format: run make format"

# A folder includes only itself and folders above it in this list.
order="base mem nvdimm imc numa cache mmu cpu pci flash hv guest trace mrc machine cli"
rank() {
    i=0
    for f in $order; do
        [ "$f" = "$1" ] && echo $i && return
        i=$((i + 1))
    done
    echo 99
}
for f in $order; do
    [ -d "sim/$f" ] || continue
    mine=$(rank "$f")
    for used in $(sed -n 's|^#include "sim/\([a-z]*\)/.*|\1|p' sim/"$f"/*.[ch] | sort -u); do
        # The player of records reads traces: sim/guest uses sim/trace's interface.
        [ "$f:$used" = guest:trace ] && continue
        [ "$(rank "$used")" -le "$mine" ] || complain "sim/$f includes sim/$used, which is below it"
    done
done
for p in policies/*.c; do
    grep '#include "' "$p" | grep -v '"quire/policy.h"' && complain "$p includes more than quire/policy.h"
done

for s in $(find sim -name '*.c') policies/*.c; do
    grep -q "+= $s\$" Makefile.in || complain "$s is not in Makefile.in"
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
: >"$tmp/config.h"
for h in $(find sim include -name '*.h'); do
    printf '#include "%s"\n' "$h" >"$tmp/t.c"
    ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -march=x86-64-v2 -fsyntax-only -I. -Iinclude -I"$tmp" "$tmp/t.c" || complain "$h does not compile alone"
done

for s in configure bootstrap .ci/run tools/*.sh tests/e2e/*.sh; do
    [ -f "$s" ] || continue
    shellcheck -S warning -e SC2030,SC2031,SC2044 -s sh "$s" || complain "shellcheck: $s"
done

cppcheck --quiet --std=c11 --error-exitcode=1 --enable=portability --inline-suppr --suppressions-list=tools/cppcheck.txt \
    -D__GNUC__ -DQUIRE_BUILD_ID='""' -I. -Iinclude sim policies || complain cppcheck

# shellcheck disable=SC2086
grep -nwE 'TODO|FIXME|XXX' $sources && complain "unfinished marks"
# shellcheck disable=SC2086
grep -nE '[[:space:]]+$' $sources && complain "trailing spaces"
exit $bad
