#!/bin/sh
# SPDX-License-Identifier: MIT
# quire exec under the real gdb: breakpoints, steps, registers, memory, threads, a fault, the exit; a bare machine with
# its vCPUs. Skipped where there is no gdb.
set -eu
command -v gdb >/dev/null || {
    echo "gdb.sh: skipped: there is no gdb"
    exit 0
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
. "$SRCDIR/tests/lib.sh"
${CC:-gcc} -g -O0 -static -o threads "$SRCDIR/tests/programs/threads.c" -lpthread
${CC:-gcc} -g -O0 -static -Wno-unused-result -o broken "$SRCDIR/tests/programs/broken.c" 2>/dev/null
want=$(./threads)

# debug STATUS PROGRAM "ARGS" COMMAND...: gdb's output in o, the program's in p. $vcpus of them, with $options.
vcpus=2
options="-t functional"
debug() {
    status=$1
    program=$2
    args=$3
    shift 3
    printf '%s\n' "$@" >script
    # shellcheck disable=SC2086
    (
        code=0
        "$QUIRE" exec $options --vcpus $vcpus --gdb "unix:$tmp/s" "./$program" $args >p 2>e || code=$?
        echo $code >code
    ) &
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -S s ] && break
        sleep 0.1
    done
    timeout 60 gdb -q -batch -nx "./$program" -ex 'set pagination off' -ex "target remote $tmp/s" -x script >o 2>&1 || true
    wait
    [ "$(cat code)" -eq "$status" ] || die "$program ended with $(cat code): $(cat o e)"
}
debug 0 threads '' 'break main' continue 'print $rip == (long)&main || 1' next 'print queue[3] + 41' 'set var queue[3] = 7' \
    'print queue[3]' 'set var queue[3] = 0' stepi 'break consume' continue 'info threads' 'delete' continue
grep -q 'Breakpoint 1, main' o || die "no stop at main: $(cat o)"
grep -q '= 41$' o && grep -q '= 7$' o || die "memory: $(cat o)"
grep -q 'hit Breakpoint 2, consume' o || die "no stop in a thread: $(cat o)"
[ "$(grep -c '  Thread [0-9]* ' o)" -ge 3 ] || die "threads: $(cat o)"
grep -q 'exited normally' o || die "the end: $(cat o)"
[ "$(cat p)" = "$want" ] || die "under gdb it printed $(cat p)"

debug 139 broken 1 continue backtrace 'info registers rip' continue
grep -q 'SIGSEGV' o && grep -q 'wild_write ()' o && grep -q 'in main' o || die "the fault: $(cat o)"

code=0
"$QUIRE" exec --gdb nowhere ./threads >p 2>e || code=$?
[ $code -eq 2 ] && grep -q "expected a port" e || die "--gdb nowhere: $code, $(cat e)"

# A bare machine: each vCPU is a thread; memory by the tables as they are, or guest-physical.
cp "$BUILD/workloads/bare/smp" "$BUILD/workloads/bare/paging" .
vcpus=4
for options in "-t functional" "-t block --native"; do
    debug 0 smp '' 'info threads' 'break bare_main' continue 'print $rip == (long)&bare_main || 1' 'print $eflags & 0' \
        'stepi' 'break count' continue 'delete' 'info threads' 'print n_started' 'monitor physical on' 'print n_started' \
        'monitor physical off' 'print $rip + 0' 'set var $rax = 0x1234' 'print $rax' continue
    grep -q 'Breakpoint 1, bare_main' o || die "bare: no stop at bare_main: $(cat o)"
    [ "$(grep -c 'vCPU [123], waits for its start-up' o)" -eq 3 ] || die "bare: vCPUs that were not started: $(cat o)"
    grep -q 'hit Breakpoint 2, count' o && grep -q 'vCPU 3, runs' o || die "bare: no stop in count: $(cat o)"
    [ "$(grep -c '^\$[0-9]* = 4$' o)" -eq 2 ] && grep -q 'memory is guest-physical' o || die "bare: memory: $(cat o)"
    grep -q '= 4660$' o && grep -q 'exited normally' o || die "bare: the end: $(cat o)"
    tr -d '\r' <p | cmp - "$SRCDIR/tests/e2e/bare/smp.txt" || die "bare: under gdb it printed $(cat p)"
done
# Every breakpoint on the way is met, also where a quantum ends at one: an instruction of lock_take that runs once a
# call, and where vCPUs change most often.
vcpus=2
options="-t functional --set machine.hypervisor.quantum=7ns"
# shellcheck disable=SC2086
"$QUIRE" exec $options --vcpus 2 --trace-insn t.txt ./smp >p
calls=$(awk '$4 == "lock_take"' t.txt | wc -l)
at=$(awk '$1 != v && $4 ~ /^lock_take/ { first[$4]++ } { all[$4]++; v = $1 }
    END { for (a in first) if (all[a] == '"$calls"') print first[a], a }' t.txt | sort -n | sed -n '$s/.* //p')
debug 0 smp '' "break *($at)" 'ignore 1 1000000' continue 'info breakpoints'
hits=$(sed -n 's/.*already hit \([0-9]*\) time.*/\1/p' o)
[ -n "$hits" ] && [ "$hits" -eq "$calls" ] || die "$at: $calls calls, $hits hits: $(tail -n 5 o)"
