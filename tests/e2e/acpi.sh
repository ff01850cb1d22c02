#!/bin/sh
# SPDX-License-Identifier: MIT
# The ACPI tables of a bare machine, as a program finds them there, read by ACPI's own disassembler and compiler.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
. "$SRCDIR/tests/lib.sh"
machine=$SRCDIR/experiments/machines/cascade-lake-2s.conf
"$QUIRE" exec -t functional --vcpus 255 "$BUILD/workloads/bare/acpi" dump | tr -d '\r' >many.txt
"$QUIRE" exec -t functional --vcpus 3 -m "$machine" --pmem 64MiB --policy vfha "$BUILD/workloads/bare/acpi" dump | tr -d '\r' >pmem.txt
[ "$(grep -c '^FACP @\|^APIC @\|^DSDT @' many.txt)" -eq 3 ] && [ "$(grep -c '^NFIT @' pmem.txt)" -eq 1 ] || die "tables: $(grep @ many.txt pmem.txt)"
if ! command -v iasl >/dev/null || ! command -v acpixtract >/dev/null; then
    echo "acpi.sh: no iasl, the tables are not disassembled"
    exit 0
fi
for from in many pmem; do
    mkdir $from
    (
        cd $from
        acpixtract -a ../$from.txt >log
        for table in *.dat; do
            iasl -d "$table" >log 2>&1 || die "$from: $table: $(cat log)"
            if grep -i 'error\|unknown\|invalid\|warning' log "${table%.dat}.dsl"; then die "$from: iasl finds fault with $table"; fi
        done
        # What it reads is what its compiler takes.
        iasl -oa dsdt.dsl >log 2>&1 && grep -q '0 Errors, 0 Warnings, 0 Remarks' log || die "$from: DSDT: $(cat log)"
    )
done
[ "$(grep -c 'Processor Enabled : 1' many/apic.dsl)" -eq 255 ] && [ "$(grep -c 'ACPI0007' many/dsdt.dsl)" -eq 255 ] || die "processors"
[ "$(grep -c 'Local Apic ID : ' pmem/apic.dsl)" -eq 3 ] && grep -q 'Address : FEC00000' pmem/apic.dsl || die "MADT: $(cat pmem/apic.dsl)"
grep -q 'Hardware Reduced (V5) : 1' pmem/facp.dsl && grep -q 'Reset Register Supported (V2) : 1' pmem/facp.dsl || die "FADT: $(cat pmem/facp.dsl)"
for part in 'System Physical Address Range' 'Memory Range Map' 'NVDIMM Control Region' 'Flush Hint Address' 'Platform Capabilities'; do
    [ "$(grep -c "\[$part\]" pmem/nfit.dsl)" -eq 1 ] || die "NFIT: $part: $(cat pmem/nfit.dsl)"
done
grep -q 'ACPI0012' pmem/dsdt.dsl || die "no root of the modules"
