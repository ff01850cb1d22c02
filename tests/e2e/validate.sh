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
