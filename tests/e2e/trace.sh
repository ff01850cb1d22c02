#!/bin/sh
# SPDX-License-Identifier: MIT
# quire trace and quire mrc from the outside: exit codes, messages, what is left on disk. QUIRE is the program, SRCDIR the tree.
set -u
: "${QUIRE:?the program}" "${SRCDIR:?the tree}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0

# check WHAT: judges the last command's success, which is its second argument.
check()
{
    if [ "$2" -ne 0 ]; then
        echo "FAILED: $1"
        failures=$((failures + 1))
    fi
}

# refused WHAT PATTERN COMMAND...: exit 2, one line on standard error that has the pattern, nothing on standard output.
refused()
{
    what=$1 pattern=$2
    shift 2
    "$@" >"$tmp/out" 2>"$tmp/err"
    code=$?
    [ $code -eq 2 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q -e "$pattern" "$tmp/err" && [ ! -s "$tmp/out" ]
    check "$what (exit $code: $(cat "$tmp/err"))" $?
}

shipped=$SRCDIR/traces/python-pages.qtr

# The reference: the same curve from the shipped trace by an awk program that keeps a list.
head_of=3000
"$QUIRE" trace cut "$shipped" "$tmp/a.qtr" --limit $head_of
check "cut" $?
"$QUIRE" trace export "$tmp/a.qtr" "$tmp/a.txt" --to lackey
check "export" $?
[ "$(wc -l <"$tmp/a.txt")" -eq $head_of ]
check "one line a record" $?
"$QUIRE" mrc "$tmp/a.qtr" --sizes 1,4,16,64,100 -o "$tmp/a.csv"
check "mrc" $?
sed 's/^...//; s/...,.*//' "$tmp/a.txt" | awk '
    { for (at = 1; at <= n && list[at] != $1; at++) ;
      if (at > n) { n++; d = 1e9 } else d = at
      for (i = at; i > 1; i--) list[i] = list[i - 1]
      list[1] = $1; total++; count[d]++ }
    END { print "size,misses,accesses,miss_ratio"
      split("1 4 16 64 100", size, " ")
      for (s = 1; s <= 5; s++) { m = 0
        for (d in count) if (d + 0 > size[s] + 0) m += count[d]
        printf "%d,%d,%d,%.9f\n", size[s], m, total, m / total } }' >"$tmp/want.csv"
cmp "$tmp/a.csv" "$tmp/want.csv"
check "the curve equals a list's" $?

# The same through a pipe, compressed, and converted there and back.
gzip -c "$tmp/a.txt" | "$QUIRE" mrc - --sizes 1,4,16,64,100 >"$tmp/b.csv"
cmp "$tmp/a.csv" "$tmp/b.csv"
check "from a compressed pipe" $?
"$QUIRE" trace import - "$tmp/b.qtr" <"$tmp/a.txt" && "$QUIRE" mrc "$tmp/b.qtr" --sizes 1,4,16,64,100 >"$tmp/b.csv"
cmp "$tmp/a.csv" "$tmp/b.csv"
check "imported from standard input" $?

# Two runs give the same bytes.
"$QUIRE" trace import "$tmp/a.txt" "$tmp/c.qtr"
cmp "$tmp/b.qtr" "$tmp/c.qtr"
check "imports are byte for byte alike" $?
"$QUIRE" mrc "$shipped" --method sampled --seeds 3 >"$tmp/s1" && "$QUIRE" mrc "$shipped" --method sampled --seeds 3 >"$tmp/s2"
cmp "$tmp/s1" "$tmp/s2"
check "samples repeat" $?
"$QUIRE" trace info "$shipped" --json | grep -q '"records": 1500000'
check "info --json" $?
"$QUIRE" trace info "$shipped" --json | grep -q '"least_addr": "0x41f000"'
check "info --json has addresses" $?
"$QUIRE" trace info "$shipped" >/dev/full 2>/dev/null
[ $? -eq 2 ]
check "info on a full standard output" $?

# Several analyses in one pass: the windows' curves add up to the whole one, the working sets to the accesses.
"$QUIRE" mrc "$shipped" --dirty --sizes 16,256 --wss "$tmp/w.csv" --epochs "$tmp/e.csv" --window 20000000 \
    --window-by instructions --heat "$tmp/h.csv" -o "$tmp/m.csv"
check "several analyses" $?
awk -F, 'FNR > 1 && FILENAME ~ /e.csv/ { m[$2] += $3 }
    FNR > 1 && FILENAME ~ /w.csv/ { a += $2; if ($4 > $3) bad = 1 }
    FNR > 1 && FILENAME ~ /m.csv/ { if (m[$1] != $2 || a != $3 || $5 > $2) bad = 1; rows++ }
    FNR > 1 && FILENAME ~ /h.csv/ { heat += $3 }
    END { exit bad || rows != 2 || heat != a }' "$tmp/e.csv" "$tmp/w.csv" "$tmp/m.csv" "$tmp/h.csv"
check "windows add up" $?
refused "windows of time without times" "has no times" "$QUIRE" mrc "$shipped" --wss "$tmp/x" --window-by ns

# Tiers are points of the curve; the nodes' accesses add up to all.
"$QUIRE" mrc "$shipped" --sizes 64,192 --by-tier "$tmp/t.csv" --tiers 256KiB,128 --latencies 80,250,9000 --by-node "$tmp/n.csv" \
    --nodes 4 --place interleave -o "$tmp/m.csv"
check "tiers and nodes" $?
awk -F, 'FNR > 1 && FILENAME ~ /m.csv/ { miss[$1] = $2; all = $3 }
    FNR > 1 && FILENAME ~ /t.csv/ { hits[$1] = $3; ns[$1] = $6 }
    FNR > 1 && FILENAME ~ /n.csv/ { if (!($1 in seen)) sum += $4; seen[$1] = 1 }
    END { mean = (hits[1] * 80 + hits[2] * 250 + hits["none"] * 9000) / all
      exit hits[1] != all - miss[64] || hits[2] != miss[64] - miss[192] || hits["none"] != miss[192] || sum != all ||
        (ns["all"] - mean) ^ 2 > 1e-5 }' "$tmp/m.csv" "$tmp/t.csv" "$tmp/n.csv"
check "tiers and nodes add up" $?
refused "tiers without a table" "go together" "$QUIRE" mrc "$shipped" --tiers 4
refused "a tier of nothing" "found '0'" "$QUIRE" mrc "$shipped" --tiers 0 --by-tier "$tmp/x"
refused "latencies missing" "expected 2" "$QUIRE" mrc "$shipped" --tiers 4 --by-tier "$tmp/x" --latencies 3
refused "no such placement" "expected first-touch" "$QUIRE" mrc "$shipped" --by-node "$tmp/x" --place near
refused "nodes of a sample" "for method exact" "$QUIRE" mrc "$shipped" --by-node "$tmp/x" --method sampled

# Pictures, and what is no table.
if command -v gnuplot >/dev/null; then
    for table in m w h n; do
        "$QUIRE" mrc draw "$tmp/$table.csv" -o "$tmp/$table.svg" && grep -q "</svg>" "$tmp/$table.svg"
        check "a picture of $table.csv" $?
    done
    # Large numbers of regions that are near to each other are rows of their own.
    printf 'window,region,accesses\n0,67108944,10\n0,67108945,20\n1,67108946,30\n' >"$tmp/near.csv"
    # (What stands at x = 263.55 is the scale of colours.)
    "$QUIRE" mrc draw "$tmp/near.csv" -o "$tmp/near.svg" &&
        [ "$(grep "<polygon fill" "$tmp/near.svg" | grep -v "points = '263.55" | sed "s/.*points = '[0-9.]*,\([0-9]*\).*/\1/" | sort -u | wc -l)" -eq 3 ]
    check "a heat map with a row a region" $?
fi
(PATH=$tmp && export PATH && exec "$QUIRE" mrc draw "$tmp/m.csv" -o "$tmp/x.svg") 2>"$tmp/err"
[ $? -eq 2 ] && grep -q "gnuplot not found (Debian package" "$tmp/err" && [ ! -e "$tmp/x.svg" ]
check "without gnuplot" $?
refused "a picture of no table" "expected the heading" "$QUIRE" mrc draw "$tmp/a.txt" -o "$tmp/x.svg"
refused "a picture of no kind" "ends in .svg or .png" "$QUIRE" mrc draw "$tmp/m.csv" -o "$tmp/x.gif"
refused "tables that do not go together" "found a heat map after a curve" "$QUIRE" mrc draw "$tmp/m.csv" "$tmp/h.csv" -o "$tmp/x.svg"

# Memory split between two machines: all of it is given out.
"$QUIRE" mrc "$shipped" -o "$tmp/p.csv" && "$QUIRE" mrc "$SRCDIR/traces/redis-accesses.qtr" -o "$tmp/r.csv" &&
    "$QUIRE" mrc split "$tmp/p.csv" "$tmp/r.csv" --total 400 >"$tmp/split" && grep -q "^all,400," "$tmp/split"
check "split" $?
refused "split of nothing" "at least one grain" "$QUIRE" mrc split "$tmp/p.csv"

# Help, and mistakes in words and options.
for verb in info import export cut; do
    "$QUIRE" trace $verb --help | grep -q "usage: quire trace $verb"
    check "trace $verb --help" $?
done
"$QUIRE" mrc --help | grep -q "usage: quire mrc"
check "mrc --help" $?
refused "no verb" "expected info" "$QUIRE" trace
refused "unknown verb" "unknown word 'inof'" "$QUIRE" trace inof x
refused "unknown option" "did you mean --format" "$QUIRE" mrc "$shipped" --fromat pw
refused "no trace" "no trace was named" "$QUIRE" mrc
refused "missing file" "$tmp/none: cannot open" "$QUIRE" mrc "$tmp/none"
refused "unknown format" "unknown trace format 'pww'" "$QUIRE" mrc "$shipped" -f pww
refused "unknown unit" "unknown unit 'pages'" "$QUIRE" mrc "$shipped" -u pages
refused "unknown page size" "expected 4KiB" "$QUIRE" mrc "$shipped" --page-size 8KiB
refused "unknown policy" "unknown policy 'mru'" "$QUIRE" mrc "$shipped" --policy mru
refused "bad sizes" "found 'x'" "$QUIRE" mrc "$shipped" --sizes 4,x
refused "bad rate" "rate" "$QUIRE" mrc "$shipped" --method sampled --rate 0
refused "export without format" "--to is missing" "$QUIRE" trace export "$shipped" "$tmp/x"
refused "export to what cannot be written" "cannot be written" "$QUIRE" trace export "$shipped" "$tmp/x" --to vscsi

# Damage: cut in the middle, a flipped byte, a broken line. Nothing may be left under the output's name.
head -c 300000 "$shipped" >"$tmp/cut.qtr"
refused "truncated trace, mrc" "cut.qtr: byte [0-9]*: truncated" "$QUIRE" mrc "$tmp/cut.qtr" -o "$tmp/x"
refused "truncated trace, import" "truncated" "$QUIRE" trace import "$tmp/cut.qtr" "$tmp/x"
refused "truncated trace, info" "truncated" "$QUIRE" trace info "$tmp/cut.qtr"
{ head -c 1000 "$shipped"; printf X; tail -c +1002 "$shipped"; } >"$tmp/flip.qtr"
refused "damaged trace" "checksum" "$QUIRE" mrc "$tmp/flip.qtr" -o "$tmp/x"
{ head -n 100 "$tmp/a.txt"; echo " L zz,8"; } >"$tmp/bad.txt"
refused "bad line" "bad.txt:101: found ' L zz,8', expected" "$QUIRE" trace import "$tmp/bad.txt" "$tmp/x"
gzip -c "$shipped" | head -c 200000 >"$tmp/cut.gz"
refused "truncated gzip" "byte [0-9]* of the decompressed stream" "$QUIRE" mrc "$tmp/cut.gz" -o "$tmp/x"
[ ! -e "$tmp/x" ]
check "nothing was written" $?
refused "output folder is missing" "none/x" "$QUIRE" trace import "$shipped" "$tmp/none/x"

# A full disk: /dev/full takes nothing.
"$QUIRE" mrc "$shipped" >/dev/full 2>"$tmp/err"
[ $? -eq 2 ]
check "a full standard output" $?

# Killed while writing: the old file stays.
echo old >"$tmp/kept"
(
    while cat "$tmp/a.txt"; do :; done | "$QUIRE" trace import - "$tmp/kept" -f lackey 2>/dev/null &
    pid=$!
    sleep 0.3
    kill -9 $pid
) 2>/dev/null
[ "$(cat "$tmp/kept")" = old ]
check "a killed import leaves the old file" $?

[ $failures -eq 0 ]
