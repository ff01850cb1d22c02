#!/bin/sh
# SPDX-License-Identifier: MIT
# How often the 95 % interval of a sampled run holds what the whole program takes: SEEDS random starts (80) of each program in
# each model. Needs BUILD. Prints a line a program; ends with 1 if an interval holds it so rarely as one that is right does
# once in a thousand trials, or if the mean of all estimates is off by more than 3 %. All programs do one thing from begin to
# end but for their start-up.
set -eu
seeds=${SEEDS:-80}
quire=$BUILD/quire
bad=0
number() { # number KEY: of the statistics on standard input
    sed -n "s/^  \"vm.exec.$1\": \([0-9.]*\),\{0,1\}\$/\1/p"
}
for model in window block; do
    while read -r period program; do
        # shellcheck disable=SC2086
        whole=$("$quire" exec --stats -t $model "$BUILD/workloads/"$program 2>&1 >/dev/null | number cpi)
        i=0
        while [ $i -lt "$seeds" ]; do
            i=$((i + 1))
            # shellcheck disable=SC2086
            "$quire" exec --stats --sample --seed $i --set vm.exec.sample_period="$period" -t $model "$BUILD/workloads/"$program 2>&1 >/dev/null |
                number 'sample.cpi[_a-z]*' | tr '\n' ' '
            echo
        done | awk -v whole="$whole" -v name="$model: $program" '
            { n++; e = $1 / whole - 1; sum += e; squares += e * e; half += ($2 - $1) / whole; hits += $3 <= whole && whole <= $2 }
            END {
                mean = sum / n
                printf "%-32s cpi %.4f, held by %d of %d; bias %+.2f %%, spread %.2f %%, half width %.2f %%\n",
                    name, whole, hits, n, 100 * mean, 100 * sqrt(squares / n - mean * mean), 100 * half / n
                p = 0.95 ^ n # how likely n hits are; then one less, and so on
                for (k = n; k > hits; k--) {
                    more += p
                    p *= k / (n - k + 1) * 0.05 / 0.95
                }
                chance = 1 - more # of so few, or fewer
                exit !(chance >= 0.001 && mean < 0.03 && mean > -0.03)
            }' || bad=1
    done <<EOF
50000 mixed 10
25000 gups 1M 500000
25000 btree 10000
25000 kvlog 20000
20000 chase 256K 1000000
25000 stream 768K 40
50000 numahot 1 1M 300000
EOF
done
exit $bad
