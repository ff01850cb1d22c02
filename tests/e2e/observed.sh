#!/bin/sh
# SPDX-License-Identifier: MIT
# Observed curves on the real machine: what looking shows and costs, by every way of looking. A cut-down
# experiments/observed.conf, and quire mrc --method observed. QUIRE is the program, SRCDIR the tree.
set -u
: "${QUIRE:?the program}" "${SRCDIR:?the tree}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0
cd "$SRCDIR" || exit 1
trace=traces/python-pages.qtr

check()
{
    if [ "$2" -ne 0 ]; then
        echo "FAILED: $1"
        failures=$((failures + 1))
    fi
}

# refused WHAT PATTERN ARGUMENT...: quire mrc exits with 2 and one line on standard error that has the pattern.
refused()
{
    what=$1 pattern=$2
    shift 2
    "$QUIRE" mrc "$@" >"$tmp/out" 2>"$tmp/err"
    code=$?
    [ $code -eq 2 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q -e "$pattern" "$tmp/err" && [ ! -s "$tmp/out" ]
    check "$what (exit $code: $(cat "$tmp/err"))" $?
}

# field KEY: a number of the last JSON.
field()
{
    sed -n "s/^ *\"$1\": \([0-9.e-]*\),*\$/\1/p" "$tmp/json"
}

# holds WHAT EXPRESSION: true for awk.
holds()
{
    awk "BEGIN { exit !($2) }"
    check "$1: $2" $?
}

# ---- without untraced periods and with all pages traced: the exact curve, byte for byte ----
"$QUIRE" mrc $trace --limit 30000 -o "$tmp/exact.csv" &&
    "$QUIRE" mrc $trace --limit 30000 --method observed --observe trace:delay=0us,group_growth=0% -o "$tmp/seen.csv" 2>"$tmp/err"
check "observed by trace: $(cat "$tmp/err")" $?
cmp "$tmp/exact.csv" "$tmp/seen.csv"
check "an untraced period of 0 is Mattson's curve" $?
grep -q '^seen by policy mrc: mean error 0.0000 of the true curve, at most 0.0000 ' "$tmp/err"
check "and says so: $(cat "$tmp/err")" $?

# ---- reading bits makes no exits but the first touches, and costs little ----
for way in ad:period=500us pml:period=500us damon:sample=100us; do
    "$QUIRE" mrc $trace --limit 600000 --method observed --observe $way --json >"$tmp/json" 2>"$tmp/err"
    check "observed by $way: $(cat "$tmp/err")" $?
    holds "$way: exits are first touches" "$(field exits) == $(field distinct)"
    holds "$way: slowdown" "$(field slowdown_percent) > 0 && $(field slowdown_percent) < 10"
    holds "$way: error" "$(field curve_error_ratio) > 0 && $(field curve_error_ratio) < 0.4"
    holds "$way: slowdown is that of the two times" \
        "$(field slowdown_percent) - 100 * ($(field time_ps) / $(field baseline_time_ps) - 1) < 0.000001"
    "$QUIRE" mrc $trace --limit 600000 --method observed --observe $way --json >"$tmp/again" 2>"$tmp/err"
    cmp -s "$tmp/json" "$tmp/again"
    check "$way: the same again" $?
done

# ---- every access is in the curve of a counter, none that a log does not see ----
"$QUIRE" mrc $trace --limit 600000 --method observed --observe ad:period=500us --sizes 1 2>"$tmp/err" >"$tmp/seen.csv"
grep -q '^1,[0-9]*,600000,' "$tmp/seen.csv"
check "the counter counts all accesses: $(tail -n 1 "$tmp/seen.csv")" $?
"$QUIRE" mrc $trace --limit 600000 --method observed --observe ad:period=500us,counter=false --sizes 1 2>"$tmp/err" |
    tail -n 1 | awk -F, '{ exit !($3 > 0 && $3 < 60000) }'
check "without it a page counts once a period" $?

# ---- bad usage ----
refused "a way that there is not" "expected trace, ad, pml or damon" $trace --method observed --observe tlb
refused "an option that is misspelt" "did you mean period" $trace --method observed --observe ad:peroid=1ms
refused "an option without its unit" "period" $trace --method observed --observe ad:period=1
refused "a way without the method" "expected --method observed" $trace --observe ad
refused "what only exact does" "found it with --method observed" $trace --method observed --dirty
refused "an interval longer than the run" "saw no access" $trace --limit 1000 --method observed --observe damon:sample=1s
refused "epochs" "saw no access" $trace --limit 1000 --method observed --observe ad:period=10us,epoch=20us
refused "a pipe" "expected a file" - --method observed
refused "no such machine" "no-such" $trace --method observed --machine no-such

# ---- a cut-down experiment: the shipped one with fewer accesses and intervals ----
"$QUIRE" run experiments/observed.conf --out "$tmp/o" --check-config >"$tmp/log" 2>&1
check "experiments/observed.conf: $(cat "$tmp/log")" $?
cat >"$tmp/cut.conf" <<END
claim = "more is seen for more"
include("$SRCDIR/experiments/machines/small.conf")
true_curve = true
baseline = true
vm "vm" { generator = "zipf" footprint = "2MiB" zipf = "90%" think = 100 memory = "32MiB" backing = "4KiB" accesses = 300000 }
policy "mrc" { }
policy "mrc-bits" { }
policy "mrc-damon" { }
sweep "method" {
  key = {"policy.mrc.on", "policy.mrc-bits.on", "policy.mrc-damon.on", "policy.mrc-bits.see"}
  values = {"true | false | false | accessed", "false | true | false | accessed",
            "false | true | false | log", "false | false | true | accessed"}
  labels = {"traces", "bits", "log", "regions"}
}
sweep "interval" {
  key = {"policy.mrc.delay", "policy.mrc-bits.period", "policy.mrc-damon.sample"}
  values = {"100us | 100us | 100us", "2ms | 2ms | 2ms"}
  labels = {"100us", "2ms"}
}
expect "monotone" { of = "vm.vm.curve_error_ratio" over = "interval" direction = "up" strict = true }
expect "monotone" { of = "slowdown_percent" over = "interval" direction = "down" strict = true }
expect "rank" { of = "slowdown_percent" over = "method" order = {"regions", "log", "bits", "traces"} where = {"interval=100us"} }
expect "range" { of = "hypervisor.exits" min = "512" max = "512" where = {"method=bits"} }
plot "error" { against = "slowdown_percent" y = "vm.vm.curve_error_ratio" group = "method" logx = true }
END
"$QUIRE" run "$tmp/cut.conf" --out "$tmp/cut" -j 2 >"$tmp/log" 2>&1
check "cut-down experiment: $(grep -v ^true "$tmp/log")" $?
head -n 1 "$tmp/cut/results.csv" | tr ',' '\n' | grep -c -x -e baseline_time_ps -e slowdown_percent -e vm.vm.curve_error_ratio \
    -e vm.vm.curve_error_max_ratio -e vm.vm.curve_error_max_at_pages >"$tmp/n"
[ "$(cat "$tmp/n")" -eq 5 ]
check "error and price are results: $(cat "$tmp/n") of 5" $?
for p in mrc:2 mrc-bits:4 mrc-damon:2; do
    [ "$(grep -l "\"policy.${p%:*}.hook_calls\"" "$tmp"/cut/runs/*/result.json | wc -l)" -eq "${p#*:}" ]
    check "${p%:*} runs where it is on" $?
done
"$QUIRE" report "$tmp/cut" -o "$tmp/report" >"$tmp/log" 2>&1
check "report: $(cat "$tmp/log")" $?
[ "$(grep -c '^# ' "$tmp/report/error.dat")" -eq 4 ] && [ "$(grep -c '^[0-9]' "$tmp/report/error.dat")" -eq 8 ]
check "the picture has a line a method: $(cat "$tmp/report/error.dat")" $?

# ---- the judge can say no; mistakes are found before anything runs ----
sed 's/direction = "down" strict/direction = "up" strict/; s/"regions", "log", /"log", "regions", /' "$tmp/cut.conf" >"$tmp/bent.conf"
"$QUIRE" run "$tmp/bent.conf" --out "$tmp/cut" >"$tmp/log" 2>&1
[ $? -eq 1 ] && [ "$(grep -c ^false "$tmp/log")" -eq 2 ]
check "what is false is found: $(cat "$tmp/log")" $?
for wrong in 's/baseline = true/baseline = true duration = "1ms"/' 's/against = "[a-z_]*"/& x = "interval"/' \
    's/ "mrc" { }/ "mrc" { on = 3 }/'; do
    sed "$wrong" "$tmp/cut.conf" >"$tmp/bent.conf"
    "$QUIRE" run "$tmp/bent.conf" --out "$tmp/bent" --check-config >"$tmp/log" 2>&1
    [ $? -eq 2 ]
    check "$wrong is refused: $(cat "$tmp/log")" $?
done

[ $failures -eq 0 ] && echo "observed curves: all checks passed"
[ $failures -eq 0 ]
