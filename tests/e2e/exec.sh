#!/bin/sh
# SPDX-License-Identifier: MIT
# quire exec as a user meets it: real static programs print under it what they print on this host, byte for byte, and end as
# they end here; its own options, its report of programs that end badly, traces that replay to the same counters.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
. "$SRCDIR/tests/lib.sh"
same() { # same TIMING PROGRAM ARGUMENT...: output and status as on the host
    timing=$1
    shift
    want=0
    "$@" >want.out 2>want.err || want=$?
    got=0
    "$QUIRE" exec -t "$timing" --vcpus 2 --memory 1GiB "$@" >got.out 2>got.err || got=$?
    cmp want.out got.out || die "$timing $*: other output"
    [ "$want" -eq "$got" ] || die "$timing $*: status $got, on the host $want: $(head -n 3 got.err)"
}

for p in kernels signals threads; do
    build $p "$SRCDIR/tests/programs/$p.c" -lm -lpthread
    for timing in functional block window; do same $timing ./$p; done
done
for p in altstack churn fpe rep; do
    build $p "$SRCDIR/tests/programs/$p.c" -lm
    for timing in functional block; do same $timing ./$p; done
done
build zip "$SRCDIR/tests/programs/zip.c" -lz
same functional ./zip
build database "$SRCDIR/tests/programs/database.c" -lsqlite3 -lm -lpthread -ldl
same functional ./database
same block ./database

for f in "$SRCDIR"/workloads/*.c; do
    w=$(basename "$f" .c)
    build "$w" "$f" -lpthread
    [ "$w" = micro ] || same functional "./$w" # micro prints what it measured
done
same block ./selfmod 500
same window ./kvlog 50
same block ./btree 300

# Busybox: one script of more than thirty applets, in a folder that it may write to.
mkdir native guest
for d in native guest; do
    cp /bin/busybox "$d/"
    cp "$SRCDIR/tests/programs/applets.sh" "$d/"
    mkdir "$d/work" "$d/tmp"
done
(cd native && ./busybox sh applets.sh >../native.out 2>&1)
(cd guest && "$QUIRE" exec -t functional --root . ./busybox sh applets.sh >../guest.out 2>&1)
diff native.out guest.out || die "busybox prints something else"
(cd native/work && find . -type f | LC_ALL=C sort | xargs sha256sum) >native.sums
(cd guest/work && find . -type f | LC_ALL=C sort | xargs sha256sum) >guest.sums
cmp native.sums guest.sums || die "busybox leaves other files"
[ "$(wc -l <native.out)" -gt 60 ] || die "the applets printed only $(wc -l <native.out) lines"

# The streams are the program's alone; its input too.
echo 'some words' | "$QUIRE" exec -t functional guest/busybox tr a-z A-Z >o 2>e
[ "$(cat o)" = 'SOME WORDS' ] && [ ! -s e ] || die "streams: $(cat o e)"
"$QUIRE" exec --stats ./kernels 2>e >o
grep -q '"vm.exec.instructions": [0-9]' e || die "no statistics"
cmp o want.out >/dev/null 2>&1 || ./kernels | cmp - o || die "statistics disturb the output"

# Nothing outside the root is seen, nothing is written without one.
ln -s /etc guest/etc-link
for path in /etc/passwd ../../../../etc/passwd etc-link/passwd; do
    if (cd guest && "$QUIRE" exec -t functional --root . ./busybox cat "$path" >../o 2>&1); then
        die "$path was read"
    fi
done
if (cd guest && "$QUIRE" exec -t functional ./busybox touch x 2>/dev/null); then die "written without --root"; fi
[ ! -e guest/x ] || die "a file was made without --root"

# Programs that end badly: registers, a name, the signal as a shell gives it.
build broken "$SRCDIR/tests/programs/broken.c"
broken() { # broken NUMBER STATUS TEXT
    code=0
    "$QUIRE" exec -t block ./broken "$1" >o 2>e || code=$?
    [ $code -eq "$2" ] || die "broken $1: status $code"
    grep -q "$3" e || die "broken $1: $(cat e)"
}
broken 1 139 'write of 8, where nothing is mapped'
broken 1 139 'wild_write'
broken 2 139 'execution of 123456789000'
broken 3 139 'overflow_stack'
broken 4 134 'SIGABRT'
broken 5 132 'SIGILL'
broken 6 139 'general protection'
broken 7 139 'general protection'
broken 8 139 'execution of'
broken 9 5 'system call 500 is not implemented; it was made 1 times'

# Bad input: exit 2, one line.
head -c 1000 ./kernels >cut.elf
echo text >text.elf
bad 'lie outside\|lies\|lie at\|broken' ./cut.elf
bad 'no ELF signature' ./text.elf
bad 'cannot be opened' ./nosuch
bad 'dynamic' /bin/ls
bad 'did you mean --timing' --timin block ./kernels
bad 'timing' --timing fast ./kernels
bad 'larger `memory`' --memory 8MiB ./gups 64M
code=0
"$QUIRE" exec -t functional --max-instructions 10000 ./kernels >o 2>e || code=$?
[ $code -eq 124 ] || die "max-instructions: $code"

# A trace of what ran replays to the same counters.
for timing in functional block; do
    "$QUIRE" exec -t $timing --record r.qtr --stats ./gups 256K 2000 >o 2>e
    "$QUIRE" replay r.qtr >replay.json
    for k in accesses reads writes fetches; do
        a=$(sed -n "s/.*\"vm.exec.$k\": \([0-9]*\).*/\1/p" e)
        b=$(sed -n "s/.*\"vm.vm0.$k\": \([0-9]*\).*/\1/p" replay.json)
        [ -n "$a" ] && [ "$a" = "$b" ] || die "$timing trace: $k $a, replayed $b"
    done
done

# Four vCPUs, twice: the same trace, byte for byte.
for i in 1 2; do
    "$QUIRE" exec -t block --vcpus 4 --seed 7 --record d$i.qtr ./numahot 4 64K 500 >/dev/null 2>&1
done
cmp d1.qtr d2.qtr || die "two runs leave different traces"

# First touch pays a fault, the second does not; a fence behind each flush costs, as on real machines.
"$QUIRE" exec -m "$SRCDIR/experiments/machines/cascade-lake-2s.conf" ./touch 2>e >/dev/null
awk '{ exit !($2 > 5 * $8) }' e || die "touch: $(cat e)"
"$QUIRE" exec -m "$SRCDIR/experiments/machines/cascade-lake-2s.conf" ./flushcost 2>e >/dev/null
awk '{ r = $(NF-1); exit !(r >= 3 && r <= 6) }' e || die "flushcost: $(cat e)"

# What costs more than what: as on this host, in both models.
"$QUIRE" bench timing >o
[ "$(grep -c 'as on the host\|does not tell' o)" -eq 30 ] || die "bench timing: $(cat o)"
if grep 'NOT AS ON THE HOST' o; then die "the models order otherwise"; fi
"$QUIRE" bench cpu --scale 0.05 >o
grep -q 'cpu.mixed.window' o || die "bench cpu: $(cat o)"

# A profile by function, a line an instruction.
"$QUIRE" exec --profile p.txt ./mixed 2 >o
grep -q '  main$' p.txt || die "profile: $(cat p.txt)"
"$QUIRE" exec -t functional --trace-insn t.txt --max-instructions 500 ./mixed >o 2>e || [ $? -eq 124 ]
[ "$(wc -l <t.txt)" -eq 500 ] || die "trace-insn: $(wc -l <t.txt) lines"
grep -q ' _start .* xor ebp, ebp' t.txt || die "trace-insn: $(head -n 3 t.txt)"
