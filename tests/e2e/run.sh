#!/bin/sh
# SPDX-License-Identifier: MIT
# quire run as a user meets it: the same bytes from -j1 and -j2 and from another folder, a killed sweep that goes on, typos,
# a broken trace, a file that is no plugin, a full disk.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
conf=$SRCDIR/tests/e2e/same.conf

sums() {
    (cd "$1" && find . -type f ! -name '*.tmp*' | LC_ALL=C sort | xargs sha256sum)
}
. "$SRCDIR/tests/lib.sh"

"$QUIRE" run "$conf" --out "$tmp/a" -j 1 >/dev/null
(cd / && LANG=de_DE.UTF-8 TZ=Asia/Tokyo HOME=/nonexistent "$QUIRE" run "$conf" --out "$tmp/b" -j 2 >/dev/null)
sums "$tmp/a" >"$tmp/a.sums"
sums "$tmp/b" >"$tmp/b.sums"
cmp "$tmp/a.sums" "$tmp/b.sums" || die "-j1 and -j2 differ"

# What happened is in events.json: the VM, its move to the other node, pages that followed.
events=$(grep -l '"vCPUs move"' "$tmp"/a/runs/*/events.json) || die "no run's events tell of a move of vCPUs"
for f in $events; do
    grep -q '"cat":"vm","name":"kv","ph":"X","pid":1' "$f" || die "$f does not tell of the VM"
    [ "$(grep -c '"name":"batch of pages","ph":"X"' "$f")" -gt 3 ] || die "$f does not tell of moved pages"
done

# Killed in the middle, then again: the same end.
"$QUIRE" run "$conf" --out "$tmp/c" -j 1 >/dev/null 2>&1 &
pid=$!
sleep 0.3
kill -9 $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
sleep 1 # its workers end with it
"$QUIRE" run "$conf" --out "$tmp/c" -j 2 >/dev/null
sums "$tmp/c" | grep -v '\.lock' >"$tmp/c.sums"
cmp "$tmp/a.sums" "$tmp/c.sums" || die "a resumed sweep differs"
"$QUIRE" run "$conf" --out "$tmp/c" | grep -q '6 were there already' || die "finished runs are run again"

# bad WANT TEXT: exit 2, one line that contains WANT, nothing written.
bad() {
    printf '%s\n' "$2" >"$tmp/bad.conf"
    rm -rf "$tmp/bad"
    code=0
    "$QUIRE" run "$tmp/bad.conf" --out "$tmp/bad" >"$tmp/out" 2>&1 || code=$?
    [ $code -eq 2 ] || die "'$2' ended with $code: $(cat "$tmp/out")"
    [ "$(wc -l <"$tmp/out")" -eq 1 ] || die "'$2' gave more than a line: $(cat "$tmp/out")"
    grep -qF -- "$1" "$tmp/out" || die "'$2' said: $(cat "$tmp/out")"
    [ ! -e "$tmp/bad" ] || die "'$2' left something behind"
}
bad 'bad.conf:1' 'vm "a" { generator = "zipf" memry = "1GiB" }'
bad 'memory' 'vm "a" { generator = "zipf" memory = "1024" }'
bad 'bad.conf:1' 'vm "a" { generator = "zipf" memory = "1GiB" memory = "2GiB" }'
bad 'nosuch.so' 'vm "a" { generator = "zipf" } policy "nosuch" { }'
bad 'design' 'vm "a" { generator = "zipf" } policy "vfha" { design = "fast" }'
bad 'zipf' 'vm "a" { generator = "zpf" }'
zipf='vm "a" { generator = "zipf" accesses = 10 }'
bad 'bad.conf:2: [machine.cache] l1d_size: 12288 bytes in 8 ways' "$zipf
machine { cache { l1d_size = \"12KiB\" l1d_ways = 8 } }"
bad 'bad.conf:1: [machine.tlb] dtlb_4k: 63 entries' "machine { tlb { dtlb_4k = 63 } } $zipf"
bad 'bad.conf:1: [machine.cache] l1d_ways: found 0, expected 1 to 16' "machine { cache { l1d_ways = 0 } } $zipf"
bad 'bad.conf:1: vm a: found node 9' 'vm "a" { generator = "zipf" accesses = 10 node = 9 }'
bad 'none.qtr: cannot open' 'vm "a" { trace = "none.qtr" }'
bad 'bad.conf:1: found none of trace' 'vm "a" { }'

# --set reaches the runs, and is checked as the file is.
"$QUIRE" run "$conf" --check-config >"$tmp/plain"
"$QUIRE" run "$conf" --check-config --set machine.imc.wpq_entries=8 >"$tmp/set"
[ "$(sort "$tmp/plain" "$tmp/set" | uniq -d | grep -c '[0-9a-f]\{32\}' || true)" -eq 0 ] || die "--set changes no run"
"$QUIRE" run "$conf" --out "$tmp/set-out" --point "$(awk 'NR == 2 { print $1 }' "$tmp/set")" --set machine.imc.wpq_entries=8
grep -q 'wpq_entries = 8' "$tmp"/set-out/runs/*/config.conf || die "--set is not in the resolved configuration"
# set WANT SETTING
set_fails() {
    code=0
    "$QUIRE" run "$conf" --out "$tmp/bad" --set "$2" >"$tmp/out" 2>&1 || code=$?
    [ $code -eq 2 ] && [ "$(wc -l <"$tmp/out")" -eq 1 ] && grep -qF -- "$1" "$tmp/out" && [ ! -e "$tmp/bad" ] ||
        die "--set '$2' ended with $code: $(cat "$tmp/out")"
}
set_fails 'expected KEY=VALUE' seed
set_fails 'perhaps wpq_entries' machine.imc.wpq_entris=8
set_fails 'found "x"' machine.imc.wpq_entries=x
set_fails 'expected a section' machine.imc=1
set_fails 'without a unit' sample=5

# Natural mistakes.
cp "$SRCDIR/traces/redis-accesses.qtr" "$tmp/redis.qtr"
for f in "$tmp/redis.qtr" /bin/sh "$tmp"; do
    code=0
    "$QUIRE" run "$f" >"$tmp/out" 2>&1 || code=$?
    [ $code -eq 2 ] && [ "$(wc -l <"$tmp/out")" -eq 1 ] && grep -q expected "$tmp/out" || die "run $f: $code, $(cat "$tmp/out")"
done

head -c 3000 "$SRCDIR/traces/redis-accesses.qtr" >"$tmp/cut.qtr"
code=0
"$QUIRE" replay "$tmp/cut.qtr" >"$tmp/out" 2>&1 || code=$?
[ $code -eq 2 ] && grep -q 'cut.qtr' "$tmp/out" || die "a truncated trace: $code, $(cat "$tmp/out")"
echo 'no plugin' >"$tmp/no.so"
code=0
"$QUIRE" replay generator:zipf -n 10 -p "$tmp/no.so" >"$tmp/out" 2>&1 || code=$?
[ $code -eq 2 ] && [ "$(wc -l <"$tmp/out")" -eq 1 ] || die "no plugin: $code, $(cat "$tmp/out")"

# A disk that fills: what was finished stays, the rest is finished elsewhere later.
if [ "$(id -u)" -eq 0 ] && mkdir "$tmp/disk" && mount -t tmpfs -o size=120k none "$tmp/disk" 2>/dev/null; then
    code=0
    "$QUIRE" run "$conf" --out "$tmp/disk/out" >"$tmp/out" 2>&1 || code=$?
    [ $code -eq 2 ] || { umount "$tmp/disk"; die "a full disk ended with $code: $(cat "$tmp/out")"; }
    for d in "$tmp/disk/out/runs"/*/; do
        [ -f "$d/result.json" ] || continue
        cmp "$d/result.json" "$tmp/a/runs/$(basename "$d")/result.json" || { umount "$tmp/disk"; die "a full disk broke a result"; }
    done
    umount "$tmp/disk"
fi
