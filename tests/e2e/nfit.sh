#!/bin/sh
# SPDX-License-Identifier: MIT
# quire machine: the memory map, and the NFIT as ACPI's own disassembler reads it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. "$SRCDIR/tests/lib.sh"
cd "$SRCDIR"
"$QUIRE" machine cascade-lake-2s --nfit "$tmp/nfit" >"$tmp/map"
grep -q '^1  *optane  *1e000000000  *35fffffffff  *1536 ' "$tmp/map" || die "memory map: $(cat "$tmp/map")"
"$QUIRE" machine cascade-lake-2s --json | grep -q '"address": 3710851743744' || die "hint address in JSON"
[ "$(head -c 4 "$tmp/nfit")" = NFIT ] || die "no table"
code=0
"$QUIRE" machine skylake-2s --nfit "$tmp/none" >/dev/null 2>"$tmp/err" || code=$?
[ $code -eq 2 ] && [ ! -e "$tmp/none" ] && grep -q 'no persistent modules' "$tmp/err" || die "a machine without modules"

command -v iasl >/dev/null || { echo "nfit.sh: no iasl, the table is not disassembled"; exit 0; }
for machine in cascade-lake-2s nvdimm-n-2s; do
    "$QUIRE" machine $machine --nfit "$tmp/nfit.aml" >/dev/null
    (cd "$tmp" && iasl -d nfit.aml >log 2>&1) || die "iasl: $(cat "$tmp/log")"
    grep -qi 'error\|unknown\|invalid' "$tmp/nfit.dsl" && die "iasl finds fault with $machine"
    for part in '0 System Physical Address Range 2' '1 Memory Range Map 12' '2 Interleave Info 1' '4 NVDIMM Control Region 12' \
        '6 Flush Hint Address 12' '7 Platform Capabilities 1'; do
        name=$(echo "$part" | sed 's/^. //; s/ [0-9]*$//')
        [ "$(grep -c "\[$name\]" "$tmp/nfit.dsl")" = "${part##* }" ] || die "$machine: parts '$name', expected ${part##* }"
    done
    grep -q 'Region Type GUID : 66F0D379-B4F3-4074-AC43-0D3318B78CDB' "$tmp/nfit.dsl" || die "GUID"
done
