#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs without a kernel print in quire what they print in qemu: tests/e2e/bare/PROGRAM.txt is what
# qemu-system-x86_64 7.2.22 printed (-M q35 -cpu max -smp 4, TCG); where qemu is there, it is asked again.
# `bare.sh --record` writes these files.
set -eu
programs="hello exceptions interrupts paging phases pmemlog selfmod smp user"
expected=$SRCDIR/tests/e2e/bare
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

die() {
    echo "bare.sh: $*" >&2
    exit 1
}

args_of() {
    [ "$1" = hello ] && echo "one two status=0"
    true
}

# Without what the firmware says before; its exit status is twice the program's, plus one.
in_qemu() { # in_qemu PROGRAM
    code=0
    timeout 60 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 256 -smp 4 -display none -vga none \
        -nodefaults -serial stdio -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 \
        -kernel "$BUILD/workloads/bare/$1" -append "$(args_of "$1")" </dev/null >raw 2>qemu.err || code=$?
    [ $code -eq 1 ] || die "$1 in qemu: status $code: $(cat qemu.err raw)"
    tr -d '\r' <raw | sed '1s/.*Booting from ROM\.\.//'
}

if [ "${1:-}" = --record ]; then
    for p in $programs; do
        in_qemu "$p" >"$expected/$p.txt"
    done
    exit 0
fi
if command -v qemu-system-x86_64 >/dev/null; then
    for p in $programs; do
        in_qemu "$p" >"$p.qemu"
        cmp "$p.qemu" "$expected/$p.txt" || die "$p: qemu prints something else than what is recorded"
    done
fi
