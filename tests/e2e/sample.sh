#!/bin/sh
# SPDX-License-Identifier: MIT
# Timing models that change during a run. Warming: caches and predictor see exactly what they see in a timed model.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
die() {
    echo "sample.sh: $*" >&2
    exit 1
}
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
