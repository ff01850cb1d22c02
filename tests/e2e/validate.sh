#!/bin/sh
# SPDX-License-Identifier: MIT
# quire validate: rows and groups, verdicts and exit codes, JSON, pictures.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$SRCDIR"
fails() {
    want=$1
    shift
    code=0
    "$@" >"$tmp/out" 2>"$tmp/err" || code=$?
    [ $code -eq "$want" ] || { echo "validate.sh: $*: exit $code, expected $want" >&2; cat "$tmp/out" "$tmp/err" >&2; exit 1; }
}

# The architectural rows are exact on every machine that claims them.
for machine in cascade-lake-2s skylake-2s; do
    "$QUIRE" validate 22 23 16 --machine $machine >"$tmp/table"
    grep -q '3 of 3 rows in band' "$tmp/table"
done
"$QUIRE" validate cache 5 6 7 8 10 22.4 24 25 31 32 --json >"$tmp/json"
grep -q '"rows_beyond_twice": 0' "$tmp/json"
"$QUIRE" validate 10 24 25 31 32 | grep -q '5 of 5 rows in band'

# A machine whose L2 is slower than what it claims is judged false.
cat >"$tmp/slow.conf" <<'EOF'
machine { name = "slow" claims = "1 2" cache { l2_cycles = 30 } }
EOF
fails 1 "$QUIRE" validate --machine "$tmp/slow.conf"
grep -q '1 of 2 rows in band' "$tmp/out"
grep 'L2 load-to-use' "$tmp/out" | grep -q FAR
# What it does not claim is not measured.
fails 2 "$QUIRE" validate 22 --machine "$tmp/slow.conf"
grep -q 'expected some of "1 2"' "$tmp/err"

fails 2 "$QUIRE" validate nonsense
grep -q "found 'nonsense'" "$tmp/err"
fails 2 "$QUIRE" validate --machine no-such-machine

if command -v gnuplot >/dev/null; then
    "$QUIRE" validate 48 --plot "$tmp/plots" >/dev/null || true
    for f in svg png dat gp; do [ -s "$tmp/plots/pmem-amplification.$f" ]; done
    # Both curves are drawn: the simulated one and every published point.
    [ "$(grep -c '^[0-9]' "$tmp/plots/pmem-amplification.dat")" -gt 37 ]
fi

# A table of one's own: simulated beside published, judged by the bands and limits that the table states.
cat >"$tmp/points.csv" <<'EOF'
source,"e2e"
median,15%
medium,op,pattern,threads,access,region,quantity,published,band
dram,load,sequential,1,256B,64MiB,GB/s,7.38,10%
dram,load,sequential,4,256B,64MiB,GB/s,29.3,10%
pmem-one,ntstore,random,1,64B,64MiB,ewr,0.245,10%
EOF
"$QUIRE" validate --points "$tmp/points.csv" >"$tmp/table"
grep -q '3 of 3 judged points in band; median at most 15%; ok' "$tmp/table"
"$QUIRE" validate cascade-lake-2s --points "$tmp/points.csv" --json >"$tmp/json"
grep -q '"holds": true' "$tmp/json"
# The points of rows 17, 49 and 54 are those rows.
"$QUIRE" validate 17.0.1 49.64 --json >"$tmp/rows.json"
for key in 17.0.1 49.64; do grep -A4 "\"key\": \"$key\"" "$tmp/rows.json" | grep simulated | tr -dc '0-9.\n' | cut -c1-6; done >"$tmp/rows"
grep simulated "$tmp/json" | tr -dc '0-9.\n' | cut -c1-6 | sed -n '1p;3p' >"$tmp/mine"
paste "$tmp/rows" "$tmp/mine" | awk '{ d = $1 / $2 - 1; if (d < -0.02 || d > 0.02) bad = 1 } END { exit bad }'
sed 's/7.38,10%/9.9,10%/' "$tmp/points.csv" >"$tmp/wrong.csv"
fails 1 "$QUIRE" validate --points "$tmp/wrong.csv"
grep -q MISS "$tmp/out"
sed 's/pmem-one/pmem-two/' "$tmp/points.csv" >"$tmp/wrong.csv"
fails 2 "$QUIRE" validate --points "$tmp/wrong.csv"
grep -q 'wrong.csv:6: medium: found "pmem-two", expected one of dram, pmem, pmem-one, cxl' "$tmp/err"
fails 2 "$QUIRE" validate 17 --points "$tmp/points.csv"
fails 2 "$QUIRE" validate skylake-2s --points "$tmp/points.csv"
grep -q 'the machine has no persistent memory' "$tmp/err"
fails 2 "$QUIRE" validate --points "$tmp/absent.csv"
# The tables that ship can be read (tools/check-long.sh runs them).
for f in results/hardware/points-*.csv; do
    sed -n '1,/^medium/p' "$f" >"$tmp/head.csv"
    fails 2 "$QUIRE" validate --points "$tmp/head.csv"
    grep -q 'found no point' "$tmp/err"
done
