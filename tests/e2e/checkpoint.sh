#!/bin/sh
# SPDX-License-Identifier: MIT
# Checkpoints as a user meets them: a run that goes on from one ends as the run that was not stopped, byte for byte (its
# results, what the program prints from there on, the files it leaves); a run that writes them ends as one that does not.
# Twenty random instants of a threaded program; then every kind of guest and every shipped policy. Damage is one clear line.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
. "$SRCDIR/tests/lib.sh"
end_ns() { # end_ns DIR: when the run of that result ended
    sed -n 's/.*"time_ps": \([0-9]*\)[0-9][0-9][0-9],*/\1/p' "$1"/*/result.json | head -n 1
}
# Instants in (0, END), drawn by a fixed linear congruence (Knuth, MMIX).
instants() { # instants N END SEED
    awk -v n="$1" -v end="$2" -v x="$3" 'BEGIN {
        for (i = 0; i < n; i++) { x = (x * 25214903 + 11) % 281474976; printf "%d\n", 1 + (end - 2) * (x / 281474976) } }'
}
# proves N COMMAND ARGUMENT...: N checkpoints at random of `quire COMMAND ARGUMENT...`, each gone on from
proves() {
    n=$1
    command=$2
    shift 2
    rm -rf plain full again ./*.ckpt
    "$QUIRE" "$command" --out plain "$@" >plain.out 2>plain.err </dev/null || [ "$command" = exec ] ||
        die "$*: $(cat plain.err)"
    end=$(end_ns plain)
    [ -n "$end" ] || die "$*: no end: $(cat plain.err)"
    # The last quantum, of 50 us, may begin before an instant and end the run.
    end=$((end - 60000))
    [ "$end" -gt 100000 ] || die "$*: a run of $end ns is too short to be stopped anywhere"
    options=
    i=0
    for ns in $(instants "$n" "$end" 17); do
        i=$((i + 1))
        options="$options --checkpoint ${ns}ns:$i.ckpt"
    done
    # shellcheck disable=SC2086
    "$QUIRE" $command $options --out full "$@" >full.out 2>full.err </dev/null || [ "$command" = exec ] ||
        die "$*: $(cat full.err)"
    [ -d full ] || die "$*: $(cat full.err)"
    diff -r plain full >diff.out || die "$*: writing checkpoints changes the run: $(head -n 5 diff.out)"
    cmp plain.out full.out || die "$*: writing checkpoints changes the output"
    for k in $(seq "$i"); do
        [ -f "$k.ckpt" ] || die "$*: no $k.ckpt: $(cat full.err)"
            "$QUIRE" resume "$k.ckpt" --out again >again.out 2>again.err </dev/null || [ "$command" = exec ] ||
            die "resume $*: $(cat again.err)"
        diff -r plain again >diff.out || die "$*: checkpoint $k ends otherwise: $(head -n 5 diff.out; cat again.err)"
        tail -c "$(stat -c %s again.out)" plain.out | cmp - again.out || die "$*: checkpoint $k prints otherwise"
        rm -rf again
    done
}

# ---- programs ----
for p in threads kernels; do build $p "$SRCDIR/tests/programs/$p.c" -lm -lpthread; done
for w in selfmod kvlog btree; do build $w "$SRCDIR/workloads/$w.c" -lpthread; done
proves 20 exec --vcpus 4 --memory 1GiB -t block ./threads
for timing in functional block window; do
    proves 3 exec --vcpus 2 --memory 1GiB -t $timing ./threads
    proves 3 exec --memory 1GiB -t $timing ./kernels
    proves 3 exec --memory 1GiB -t $timing ./selfmod 200000
done
proves 3 exec -m "$SRCDIR/experiments/machines/cascade-lake-2s.conf" --pmem 64MiB --policy vfha -t block ./kvlog 3000
proves 3 exec -m "$SRCDIR/experiments/machines/cascade-lake-2s.conf" --native --pmem 64MiB -t window ./btree 2000
proves 3 exec --vcpus 2 --policy mrc:delay=100us -t functional ./threads
proves 3 exec --memory 1GiB -t warm ./kernels
proves 5 exec --memory 1GiB --sample -t window ./kernels
proves 3 exec --vcpus 3 --memory 1GiB --sample --set vm.exec.sample_head=0 -t window ./threads
proves 3 exec --memory 1GiB -t functional --timing-at '200000:warm 400000:window 900000:block' ./kernels

# Programs without a kernel: processors in system mode, APICs, a serial port.
for p in smp interrupts; do proves 3 exec --vcpus 4 --memory 1GiB -t block "$BUILD/workloads/bare/$p"; done

# Files below a root that the program may write to are the folder's: stop, then go on in the same folder. Processes,
# pipes and open files of a shell script with more than thirty applets.
mkdir -p root.orig/work root.orig/tmp
cp /bin/busybox "$SRCDIR/tests/programs/applets.sh" root.orig/
cp -a root.orig root
rm -rf plain full again
"$QUIRE" exec -t functional --root root --out plain root/busybox sh applets.sh >plain.out 2>plain.err </dev/null
mv root root.plain
for ns in $(instants 8 $(($(end_ns plain) - 60000)) 5); do
    rm -rf root again
    cp -a root.orig root
    "$QUIRE" exec -t functional --root root --checkpoint "${ns}ns:shell.ckpt" --stop root/busybox sh applets.sh \
        >again.out 2>again.err </dev/null || die "shell at $ns ns: $(cat again.err)"
    "$QUIRE" resume shell.ckpt --out again >>again.out 2>again.err </dev/null || die "shell at $ns ns: $(cat again.err)"
    diff -r plain again || die "shell at $ns ns: ends otherwise"
    cmp plain.out again.out || die "shell at $ns ns: prints otherwise"
    diff -r root.plain root || die "shell at $ns ns: leaves other files"
done
rm -rf root root.plain root.orig plain again

# ---- generators, traces, policies ----
proves 3 replay generator:zipf -n 200000 --footprint 64MiB -m "$SRCDIR/experiments/machines/cascade-lake-2s.conf"
proves 3 replay generator:log-append -m "$SRCDIR/experiments/machines/cascade-lake-2s.conf" -n 100000 --footprint 16MiB --pmem 64MiB --policy vfha:combine=true --check
proves 3 replay generator:zipf -n 200000 --footprint 32MiB --vcpus 3 --policy mrc:delay=100us,epoch=500us --true-curve
proves 3 replay generator:zipf -n 200000 --footprint 32MiB --policy mrc-bits:period=2ms,bursts=1 --true-curve
proves 3 replay generator:zipf -n 200000 --footprint 32MiB --policy mrc-damon:sample=50us --true-curve
proves 3 replay generator:zipf -n 200000 --footprint 32MiB --policy mrc-bits:see=log,period=100us
proves 3 replay "$SRCDIR/traces/redis-accesses.qtr" -n 240000 --set sample=50us --set machine.cache.prefetch_stream=true
point=$("$QUIRE" run "$SRCDIR/experiments/quickstart.conf" --check-config | sed -n 's/^ *\([0-9a-f]*\)  order=hot.*/\1/p')
rm -rf full again
"$QUIRE" run "$SRCDIR/experiments/quickstart.conf" --point "$point" --checkpoint 2ms:numa.ckpt --out full 2>e || die "$(cat e)"
"$QUIRE" resume numa.ckpt --out again 2>e || die "$(cat e)"
diff -r full again >diff.out || die "numa-hot-first ends otherwise: $(head -n 5 diff.out)"
rm -rf full again

# ---- the same bytes from two processes: no address of this one is in them ----
for k in 1 2; do "$QUIRE" exec -t block --checkpoint 300us:$k.ckpt --vcpus 2 ./threads >/dev/null; done
cmp 1.ckpt 2.ckpt || die "the same state gives other bytes"
"$QUIRE" resume 1.ckpt --info | grep -q '^program .*  threads$' || die "--info does not name the program"

# ---- errors: one line, exit 2, nothing written ----
refuses() { # refuses TEXT COMMAND...
    want=$1
    shift
    code=0
    "$@" >o 2>e || code=$?
    [ "$code" -eq 2 ] || die "$*: exit $code, expected 2: $(cat e)"
    [ "$(wc -l <e)" -eq 1 ] || die "$*: not one line: $(cat e)"
    grep -q -- "$want" e || die "$*: found $(cat e), expected $want"
}
refuses 'expected TIME:FILE' "$QUIRE" exec --checkpoint 1ms ./threads
refuses 'no --checkpoint to stop at' "$QUIRE" exec --stop ./threads
refuses 'the run has ended' "$QUIRE" exec --checkpoint 100s:x.ckpt ./threads
refuses 'expected none of them' "$QUIRE" exec --record t.qtr --checkpoint 10us:x.ckpt ./threads
[ ! -e x.ckpt ] || die "a refused checkpoint was written"
refuses 'cannot be opened' "$QUIRE" resume missing.ckpt
refuses 'found no checkpoint' "$QUIRE" resume ./threads
head -c 5000 1.ckpt >cut.ckpt
refuses 'damaged or cut off' "$QUIRE" resume cut.ckpt
{ head -c 3000 1.ckpt; printf 'X'; tail -c +3002 1.ckpt; } >bad.ckpt
refuses 'damaged or cut off' "$QUIRE" resume bad.ckpt
{ head -c 8 1.ckpt; printf '\143'; tail -c +10 1.ckpt; } >new.ckpt
refuses 'format 99, expected' "$QUIRE" resume new.ckpt
cp threads kept
echo >>threads
refuses 'found other content' "$QUIRE" resume 1.ckpt
mv kept threads
refuses 'nowhere' "$QUIRE" resume 1.ckpt --dir /nowhere
