#!/bin/sh
# SPDX-License-Identifier: MIT
# Timing models that change during a run. Warming: caches and predictor see exactly what they see in a timed model.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
. "$SRCDIR/tests/lib.sh"
run() { # run NAME ARGUMENT...: statistics in NAME.json
    name=$1
    shift
    "$QUIRE" exec --stats "$@" >out 2>"$name.all" || [ $? -eq 124 ] || die "$*: $(tail -n 3 "$name.all")"
    sed -n '/^{/,$p' "$name.all" >"$name.json"
}
value() { # value NAME KEY
    sed -n "s/^  \"$2\": \"\{0,1\}\([^,\"]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1.json" | grep . || die "$1: no $2"
}
w=$BUILD/workloads

near() { # near SHARE KEY...: counts of both runs
    share=$1
    shift
    for key; do
        echo "$(value block "$key") $(value warm "$key")" |
            awk -v s="$share" '{ d = $1 - $2; exit !((d < 0 ? -d : d) <= 8 + s * $1) }' ||
            die "$program: $key: $(value block "$key") when timed, $(value warm "$key") when warmed"
    done
}
# The order of entries within a set of a TLB is not known exactly, and walks go through the caches too; the end of a run cuts a
# block. All else is the same. What programs print depends on time, so they are cut before.
for program in mixed 'chase 256K 50000000' 'chase 8M 50000000' 'stream 768K 5000' 'phases 4M 1 50000000' 'gups 4M 50000000'; do
    run block -t block --max-instructions 4000000 $w/$program
    run warm -t warm --max-instructions 4000000 $w/$program
    near 0 vm.exec.reads vm.exec.writes vm.exec.fetches
    [ "$(value block vm.exec.instructions)" = "$(value warm vm.exec.instructions)" ] || die "$program: other instructions"
    near 0.001 cpu0.l1d_hits cpu0.l1d_misses cpu0.l1i_hits cpu0.l1i_misses cpu0.l2_hits cpu0.l2_misses cpu0.l2_writebacks \
        cpu0.llc_hits cpu0.llc_misses vm.exec.branches vm.exec.mispredicts
    near 0.01 cpu0.dtlb_misses cpu0.itlb_misses cpu0.walks
done

# Models by turns: each instruction is counted where it ran, exactly from the one that was said; time never goes back.
run at -t functional --timing-at '100000:block 300000:window 700000:warm' --max-instructions 1000000 $w/mixed
for want in functional=100000 block=200000 window=400000 warm=300000; do
    [ "$(value at "vm.exec.${want%=*}_instructions")" = "${want#*=}" ] || die "timing_at: $want: $(cat at.json)"
done
${CC:-gcc} -O2 -static -o marks "$SRCDIR/tests/programs/marks.c"
./marks >want
run marks -t block ./marks
cmp out want || die "marks: $(cat out)"
for model in functional block window warm; do
    [ "$(value marks vm.exec.${model}_instructions)" -gt 700000 ] || die "marks: $model did not run"
done
run both --sample -t window ./marks
[ "$(value both vm.exec.functional_instructions)" -eq 0 ] || die "marks: a sampled run followed them"

# A sampled run twice, also with several vCPUs: the same bytes. Another seed: other intervals.
for vcpus in 1 3; do
    for i in 1 2; do
        run s$i --sample -t window --vcpus $vcpus --set vm.exec.sample_file=i$i.csv $w/numahot 3 256K 30000
    done
    cmp s1.json s2.json && cmp i1.csv i2.csv || die "$vcpus vCPUs: two sampled runs differ"
    run s3 --sample -t window --vcpus $vcpus --seed 2 --set vm.exec.sample_file=i3.csv $w/numahot 3 256K 30000
    if cmp -s i1.csv i3.csv; then die "the seed does not move the intervals"; fi
done
# With one vCPU an interval has exactly its instructions, and lies where the period says.
run one --sample -t window --set vm.exec.sample_file=one.csv --set vm.exec.sample_period=20000 \
    --set vm.exec.sample_interval=700 --set vm.exec.sample_lead=1300 $w/mixed 1
awk -F, 'NR == 2 && ($1 != "head" || $5 != 100000) { exit 1 } NR > 3 && ($2 - last != 20000 || $5 != 700) { exit 1 }
         { last = $2 } END { exit NR < 50 }' one.csv ||
    die "one.csv: $(head -n 4 one.csv)"

# The whole program in detail against samples of it: within the interval, in either model; the clock and the estimate agree.
for model in block window; do
    for program in 'mixed 4' 'gups 1M 200000' 'kvlog 10000' 'btree 6000'; do
        run full -t $model $w/$program
        run part --sample --set vm.exec.sample_period=25000 -t $model $w/$program
        awk -v f="$(value full vm.exec.cpi)" -v l="$(value part vm.exec.sample.cpi_low)" \
            -v h="$(value part vm.exec.sample.cpi_high)" 'BEGIN { exit !(l <= f && f <= h && h < 1.4 * l) }' ||
            die "$model $program: $(value full vm.exec.cpi), sampled $(grep 'sample.cpi' part.json)"
        awk -v a="$(value part time_ps)" -v b="$(value part vm.exec.sample.time_ps)" 'BEGIN { exit !(a < 1.05 * b && b < 1.05 * a) }' ||
            die "$model $program: the clock says $(value part time_ps), the intervals $(value part vm.exec.sample.time_ps)"
    done
done
# A memset of megabytes is one instruction: no interval is needed to know what it takes.
run full -t window $w/numahot 1 4M 1000
run part --sample -t window $w/numahot 1 4M 1000
awk -v a="$(value full vm.exec.string_ps)" -v b="$(value part vm.exec.string_ps)" \
    'BEGIN { exit !(a > 3e8 && a < 1.01 * b && b < 1.01 * a) }' || die "string_ps differs"

# Functional up to shortly before an interval: less is simulated, the estimate is near.
run near --sample --set vm.exec.sample_warming=10000 --set vm.exec.sample_period=50000 -t window $w/mixed 4
[ "$(value near vm.exec.functional_instructions)" -gt "$(value near vm.exec.warm_instructions)" ] || die "warming is not bounded"

# Too little to say anything of is said.
"$QUIRE" exec --sample -t window $w/mixed 1 >out 2>e
grep -q 'intervals were measured, .* are needed' e || die "no warning: $(cat e)"
"$QUIRE" exec --sample --set vm.exec.sample_period=100000000 -t window $w/mixed 1 >out 2>e
grep -q 'too few for any estimate' e || die "no warning: $(cat e)"

# Bad keys: one line, exit 2.
bad() { # bad TEXT ARGUMENT...
    text=$1
    shift
    code=0
    "$QUIRE" exec "$@" $w/mixed 1 >out 2>e || code=$?
    [ $code -eq 2 ] || die "$*: status $code"
    [ "$(wc -l <e)" -eq 1 ] || die "$*: $(cat e)"
    grep -q -- "$text" e || die "$*: $(cat e)"
}
bad 'expected INSTRUCTIONS:MODEL' --timing-at 1000:blok
bad 'expected INSTRUCTIONS:MODEL' --timing-at '2000:block 1000:window'
bad 'expected INSTRUCTIONS:MODEL' --timing-at block
bad 'expected INSTRUCTIONS:MODEL' --timing-at '99999999999999999999:block'
bad 'expected block or window' --sample -t functional
bad 'expected one of the two' --sample --timing-at 5:block
bad 'expected at least sample_lead + sample_interval = 3000' --sample --set vm.exec.sample_period=2999
bad 'expected 50% to 99.9999%' --sample --set vm.exec.sample_confidence=100%
bad 'sample_error: found 0%' --sample --set vm.exec.sample_error=0%
bad 'without sample = true' --set vm.exec.sample_file=x.csv
bad 'cannot be written' --sample --set vm.exec.sample_file=no/such/folder.csv

# What leaves the guest costs its time in every model: a program that prints through a port.
for model in block window warm; do
    run hello -t $model $w/bare/hello
    [ "$(value hello time_ps)" -gt "$(value hello cpu0.exit_ps)" ] || die "$model: exits of $(value hello cpu0.exit_ps) ps are lost"
done
