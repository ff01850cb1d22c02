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

die() {
    echo "linux.sh: $*" >&2
    exit 1
}

${CC:-cc} -O2 -static -o init "$SRCDIR/tests/programs/init.c"
./init initrd
boot() { # boot OUT OPTION...
    out=$1
    shift
    "$QUIRE" exec --memory 512MiB --initrd initrd --max-instructions 10000000000 "$@" "$QUIRE_VMLINUX" console=ttyS0 panic=-1 reboot=k \
        >"$out" 2>"$out.stats" || die "$*: status $?: $(tail -n 5 "$out" "$out.stats")"
    for line in 'init: Linux x86_64' 'init: 50 children, sum 1225' 'init: 64 MiB written, -1' 'reboot: machine restart'; do
        grep -q "$line" "$out" || die "$*: no \"$line\": $(tail -n 20 "$out")"
    done
    if grep -q 'Call Trace\|BUG:\|WARNING: CPU' "$out"; then die "$*: $(grep -A 5 'Call Trace\|BUG:\|WARNING: CPU' "$out")"; fi
}
boot a -t functional --stats
boot b -t functional --stats
cmp a b && cmp a.stats b.stats || die "two runs differ"
boot c -t functional --policy mrc-bits --backing 4KiB --check
boot d -t block
