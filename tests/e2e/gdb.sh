#!/bin/sh
# SPDX-License-Identifier: MIT
# quire exec under the real gdb: breakpoints, steps, registers, memory, threads, a fault, the exit.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
die() {
    echo "gdb.sh: $*" >&2
    exit 1
}
${CC:-gcc} -g -O0 -static -o threads "$SRCDIR/tests/programs/threads.c" -lpthread
${CC:-gcc} -g -O0 -static -Wno-unused-result -o broken "$SRCDIR/tests/programs/broken.c" 2>/dev/null
want=$(./threads)

# debug STATUS PROGRAM "ARGS" COMMAND...: gdb's output in o, the program's in p.
debug() {
    status=$1
    program=$2
    args=$3
    shift 3
    printf '%s\n' "$@" >script
    # shellcheck disable=SC2086
    (
        code=0
        "$QUIRE" exec -t functional --vcpus 2 --gdb "unix:$tmp/s" "./$program" $args >p 2>e || code=$?
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
