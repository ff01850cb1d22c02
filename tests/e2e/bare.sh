#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs without a kernel print in quire what they print in qemu: tests/e2e/bare/PROGRAM.txt is what
# qemu-system-x86_64 7.2.22 printed (-M q35 -cpu max -smp 4, TCG); where qemu is there, it is asked again.
# `bare.sh --record` writes these files.
set -eu
programs="acpi hello exceptions interrupts paging phases pmemlog selfmod smp user"
expected=$SRCDIR/tests/e2e/bare
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

. "$SRCDIR/tests/lib.sh"

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

# in_quire OUT PROGRAM OPTION...: what it prints, into OUT; it has to end well.
in_quire() {
    out=$1
    p=$2
    shift 2
    # shellcheck disable=SC2046
    "$QUIRE" exec --vcpus 4 --memory 256MiB "$@" "$BUILD/workloads/bare/$p" $(args_of "$p") >raw 2>quire.err ||
        die "$p $*: status $?: $(cat quire.err raw)"
    tr -d '\r' <raw >"$out"
}
same() { # same PROGRAM OPTION...
    in_quire printed "$@"
    diff "$expected/$1.txt" printed >diff.txt || die "$*: qemu prints <, quire prints >: $(cat diff.txt)"
}
for p in $programs; do
    same "$p" -t functional
    same "$p" -t block
    same "$p" -t window
done
same interrupts -t warm
same exceptions -t warm
# Policies, small nested pages, persistent memory; more vCPUs than cores.
for p in interrupts phases pmemlog smp user; do
    same "$p" -t block --policy mrc-bits --backing 4KiB
    same "$p" -t functional --policy numa-hot-first --set machine.hypervisor.cores=2
done
machine=$SRCDIR/experiments/machines/cascade-lake-2s.conf
same pmemlog -t block -m "$machine" --pmem 64MiB --policy vfha --check
same pmemlog -t window -m "$machine" --pmem 64MiB --check

# By MSRs as by the page.
"$QUIRE" exec -t block --vcpus 4 "$BUILD/workloads/bare/interrupts" x2apic verbose >raw
head -n 1 raw | grep -q 'x2APIC, TSC deadline' || die "x2apic: $(head -n 1 raw)"
tail -n +2 raw | tr -d '\r' | cmp - "$expected/interrupts.txt" || die "x2apic prints something else"

# Where qemu is not exact: SDM volume 3, 4.7 (RSVD only with P), 6.13 (error codes of gates: vector * 8 + IDT, EXT),
# unmasked SSE exceptions (6.15, vector 19), reserved bits of control registers (2.5), unknown MSRs.
"$QUIRE" exec "$BUILD/workloads/bare/exceptions" strict | tr -d '\r' >strict.txt
cat >strict.want <<'EOF'
read, reserved bit: #PF error 9 at 7000200000 +0
int 0x80, no gate: #NP error 402 +0
#UD without a gate: #NP error 33 +0
sse divides by zero: #XM error 0 +12
sse divides by zero, masked: nothing happened
unknown msr: #GP error 0 +5
cr4 with a reserved bit: #GP error 0
cr0 without protection: #GP error 0
EOF
sed -n '/^read, reserved bit/,/^cr0 without/p' strict.txt | cmp - strict.want || die "strict: $(cat strict.txt)"

# The flush hint of a policy is there, and is trapped: every 64 records and at the end.
"$QUIRE" exec -m "$machine" --pmem 64MiB --policy vfha --stats "$BUILD/workloads/bare/pmemlog" verbose >raw 2>stats
grep -q 'persistent memory, with a flush hint' raw || die "hint: $(cat raw)"
grep -q '"hypervisor.hint_faults": 32' stats || die "hint: $(grep hint_faults stats)"

# Four vCPUs, twice: every access the same, every counter too.
for i in 1 2; do
    "$QUIRE" exec -t block --vcpus 4 --record d$i.qtr --stats "$BUILD/workloads/bare/interrupts" >d$i.out 2>d$i.stats
done
cmp d1.qtr d2.qtr && cmp d1.stats d2.stats && cmp d1.out d2.out || die "two runs differ"

# On the machine itself: the same, without anybody to leave to, and without nested tables to walk.
counter() { # counter NAME FILE
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$2"
}
for p in $programs; do
    same "$p" -t block --native
done
same pmemlog -t functional -m "$machine" --pmem 64MiB --native --check
same interrupts -t window --native
for n in "" --native; do
    # shellcheck disable=SC2086
    "$QUIRE" exec -t block $n --vcpus 4 --stats "$BUILD/workloads/bare/paging" >raw 2>"stats$n"
done
for k in hypervisor.exits hypervisor.ept_violations hypervisor.cpuid_exits; do
    [ "$(counter $k stats--native)" -eq 0 ] && [ "$(counter $k stats)" -gt 0 ] || die "native: $k $(counter $k stats--native)"
done
[ "$(counter vm.exec.accesses stats--native)" -eq "$(counter vm.exec.accesses stats)" ] || die "native: other accesses"
[ "$(counter time_ps stats--native)" -lt "$(counter time_ps stats)" ] || die "native: slower"
# Four references a walk at most, but many more with nested tables.
walks=$(counter cpu0.walks stats--native)
refs=$(counter cpu0.walk_refs stats--native)
[ "$refs" -le $((4 * walks)) ] && [ "$(counter cpu0.walk_refs stats)" -gt "$refs" ] || die "native: $refs references in $walks walks"

# A trace of what ran replays to the same counters: accesses that fault and those to devices are not in it.
replays() { # replays PROGRAM OPTION...
    p=$1
    shift
    "$QUIRE" exec --record r.qtr --memory 256MiB --stats "$@" "$BUILD/workloads/bare/$p" >raw 2>e
    "$QUIRE" replay r.qtr >replay.json
    for k in accesses reads writes fetches; do
        a=$(counter vm.exec.$k e)
        b=$(counter vm.vm0.$k replay.json)
        [ -n "$a" ] && [ "$a" = "$b" ] || die "$p $* trace: $k $a, replayed $b"
    done
}
replays interrupts -t functional
replays interrupts -t block --native
replays exceptions -t warm
replays paging -t block
replays user -t window
replays smp -t block --vcpus 4
replays selfmod -t functional --vcpus 4 --native

# How it ends: its status is quire's; what cannot go on is told with registers and the function.
code=0
"$QUIRE" exec "$BUILD/workloads/bare/hello" status=9 >/dev/null || code=$?
[ $code -eq 9 ] || die "status: $code"
"$QUIRE" exec --trace-insn t.txt --max-instructions 2000 "$BUILD/workloads/bare/hello" >/dev/null || code=$?
[ $code -eq 124 ] && [ "$(wc -l <t.txt)" -eq 2000 ] || die "max-instructions: $code"
grep -q 'pvh_entry+0xd .*lgdt' t.txt || die "trace-insn: $(head -n 6 t.txt)"
"$QUIRE" exec -t functional --vcpus 2 --trace-insn t.txt "$BUILD/workloads/bare/smp" >/dev/null
[ "$(grep '^1 ' t.txt | sed -n '1s/^1 0 \([0-9a-f]*\) *\([a-z]*\) *$/\1 \2/p')" = "0000000000008000 cli" ] ||
    die "trace-insn in real mode: $(grep '^1 ' t.txt | head -n 3)"
"$QUIRE" exec --profile p.txt "$BUILD/workloads/bare/phases" >/dev/null
grep -q '  bare_main$' p.txt || die "profile: $(cat p.txt)"
cat >triple.S <<'EOF'
    .section .note.pvh, "a", @note
    .align 4
    .long 4, 4, 18
    .asciz "Xen"
    .long start
    .section .text.entry, "ax"
    .code32
    .globl start, doomed
    .type doomed, @function
start:
    mov $0x1234, %ebp
doomed:
    lidt zero
    ud2
zero: .long 0, 0
EOF
${CC:-cc} -ffreestanding -nostdlib -static -Wl,-T,"$SRCDIR/workloads/bare/rt/bare.lds" -Wl,--build-id=none -o triple triple.S 2>err ||
    die "triple: $(cat err)"
code=0
"$QUIRE" exec ./triple >o 2>e || code=$?
[ $code -eq 1 ] || die "triple fault: status $code"
grep -q 'triple fault.*doomed+0x7' e && grep -q 'rbp 0000000000001234' e || die "triple fault: $(cat e)"

# Bad input: exit 2, one line.
hello=$BUILD/workloads/bare/hello
for option in "--root /" "--env A=B"; do
    # shellcheck disable=SC2086
    bad 'does not apply to a program for the bare machine' $option "$hello"
done
bad 'expected them from 100000' --memory 4MiB "$hello"
head -c 5000 "$hello" >cut.elf
bad 'lie outside\|lies\|lie at\|broken' ./cut.elf
