#!/bin/sh
# SPDX-License-Identifier: MIT
# An unmodified Linux kernel starts as a bare machine, runs a program of its initial file system, and restarts. For
# the kernel that QUIRE_VMLINUX names (the vmlinux that extract-vmlinux takes out of a distribution's kernel); nothing
# is tested without.
set -eu
if [ -z "${QUIRE_VMLINUX:-}" ]; then
    echo "linux.sh: skipped: QUIRE_VMLINUX names no kernel"
    exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

. "$SRCDIR/tests/lib.sh"

${CC:-cc} -O2 -static -o init "$SRCDIR/tests/programs/init.c"
./init initrd
append=
# shellcheck disable=SC2086
boot() { # boot OUT OPTION...
    out=$1
    shift
    "$QUIRE" exec --memory 512MiB --initrd initrd --max-instructions 10000000000 "$@" "$QUIRE_VMLINUX" console=ttyS0 panic=-1 reboot=k $append \
        >"$out" 2>"$out.stats" || die "$*: status $?: $(tail -n 5 "$out" "$out.stats")"
    for line in 'init: Linux x86_64' 'init: 50 children, sum 1225' 'init: 64 MiB written, -1' 'reboot: machine restart'; do
        grep -q "$line" "$out" || die "$*: no \"$line\": $(tail -n 20 "$out")"
    done
    if grep -q 'Call Trace\|BUG:\|WARNING: CPU' "$out"; then die "$*: $(grep -A 5 'Call Trace\|BUG:\|WARNING: CPU' "$out")"; fi
}
# Several processors. Their clocks are up to a quantum apart, which the kernel's check of the TSC would find.
four() {
    grep -q 'smpboot: Allowing 4 CPUs' "$1" && grep -q 'smp: Brought up 1 node, 4 CPUs' "$1" || die "$1: $(grep -i smp "$1")"
    grep -q 'ttyS0 at I/O 0x3f8 (irq = [0-9]*, .*16550A' "$1" && grep -q 'setting system clock to 2026-01-01T00:00:00 UTC' "$1" ||
        die "$1: devices: $(grep '00:0' "$1")"
    if grep -i 'ACPI.*error\|ACPI.*warning\|BIOS bug\|BIOS Error\|unstable\|warp\|not listed' "$1"; then die "$1: complaints"; fi
}
append=tsc=reliable
boot e -t functional --vcpus 4 --stats
boot f -t functional --vcpus 4 --stats
four e
cmp e f && cmp e.stats f.stats || die "two runs of four vCPUs differ"
boot g -t block --vcpus 4 --native
four g
append=
boot a -t functional --stats
boot b -t functional --stats
cmp a b && cmp a.stats b.stats || die "two runs differ"
boot c -t functional --policy mrc-bits --backing 4KiB --check
boot d -t block
