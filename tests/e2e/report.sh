#!/bin/sh
# SPDX-License-Identifier: MIT
# quire report and quire compare on a small sweep: pictures with labelled axes, one page, equal and unequal results.
set -eu
tmp=$(mktemp -d)
cd "$SRCDIR"
trap 'rm -rf "$tmp"' EXIT
. "$SRCDIR/tests/lib.sh"

# want CODE COMMAND...: runs it, keeps what it prints in $tmp/out.
want() {
    code=0
    expected=$1
    shift
    "$@" >"$tmp/out" 2>&1 || code=$?
    [ $code -eq "$expected" ] || die "$* ended with $code, expected $expected: $(cat "$tmp/out")"
}

cat >"$tmp/small.conf" <<'END'
claim = "More controllers drain a log <sooner> & more evenly"
check = true
machine { imc { channels = 1 } pmem { kind = "optane" size = "1GiB" } numa { dram = "1GiB" } cache { llc_slices = 2 } }
vm "log" { generator = "log-append" pmem = "16MiB" append = "512B" accesses = 300 vcpus = 2 memory = "16MiB" }
policy "vfha" { combine = false }
sweep "controllers" { key = "machine.imc.controllers" values = {"1", "2"} }
sweep "seed" { key = "seed" values = {"1", "2", "3"} }
expect "range" { of = "hypervisor.hint_faults" min = "600" max = "600" }
plot "lines" { x = "controllers" y = {"vm.log.flush_p50_ns", "vm.log.flush_p99_ns"} ymin = "0" caption = "two keys" }
plot "bars" { x = "controllers" y = {"vm.log.flush_p50_ns"} kind = "bars" ymin = "0" }
plot "time" { x = "controllers" y = {"time_ps"} ymin = "0" }
END

want 0 "$QUIRE" run "$tmp/small.conf" --out "$tmp/a" -j 2
want 0 "$QUIRE" report "$tmp/a" -o "$tmp/page"
for f in lines bars; do
    for kind in svg png dat gp; do
        [ -s "$tmp/page/$f.$kind" ] || die "no $f.$kind"
    done
    head -c 8 "$tmp/page/$f.png" | od -An -tx1 | grep -q '89 50 4e 47' || die "$f.png is no PNG"
    grep -q 'flush p50 (ns)' "$tmp/page/$f.svg" || die "$f.svg has no unit on its axis"
    grep -q 'controllers' "$tmp/page/$f.svg" || die "$f.svg has no label below"
done
grep -q 'flush p99 (ns)' "$tmp/page/lines.svg" || die "lines.svg has no legend"
grep -q 'time (µs)' "$tmp/page/time.svg" || die "time.svg shows picoseconds"
grep -q '&lt;sooner&gt; &amp; more' "$tmp/page/index.html" || die "the claim is not on the page"
grep -q 'class="true"' "$tmp/page/index.html" || die "no verdict on the page"
grep -q 'data:image/svg' "$tmp/page/index.html" || die "no picture on the page"
[ "$(grep -c '<td>seed\|<th>seed' "$tmp/page/index.html")" -ge 1 ] || die "no table on the page"

# The page again, from a copy elsewhere: the same bytes.
cp -r "$tmp/a" "$tmp/copy"
want 0 "$QUIRE" report "$tmp/copy"
cmp "$tmp/page/index.html" "$tmp/copy/report/index.html" || die "the page depends on where it is made"
cmp "$tmp/page/bars.png" "$tmp/copy/report/bars.png" || die "a picture depends on where it is made"
rm -r "$tmp/copy/report"

# What was run, run again from its resolved form.
want 0 "$QUIRE" run "$tmp/a/experiment.conf" --base "$tmp" --out "$tmp/again"
want 0 "$QUIRE" compare "$tmp/a" "$tmp/again"
diff -r "$tmp/a" "$tmp/again" >/dev/null || die "the resolved experiment gives other bytes"

# A missing gnuplot is one line that names the package.
mkdir "$tmp/empty"
want 2 env PATH="$tmp/empty" "$QUIRE" report "$tmp/a" -o "$tmp/nopage"
grep -q 'gnuplot-nox' "$tmp/out" || die "no package named: $(cat "$tmp/out")"
[ ! -e "$tmp/nopage/index.html" ] || die "a page without pictures"
want 2 "$QUIRE" report "$tmp/empty"

# An integer is exact, a ratio may move by the tolerance, a run may not be missing.
run=$(cd "$tmp/copy/runs" && printf '%s\n' * | head -n 1)
want 0 "$QUIRE" compare "$tmp/a/runs/$run" "$tmp/copy/runs/$run"
sed -i 's/"hypervisor.hint_faults": 600,/"hypervisor.hint_faults": 601,/' "$tmp/copy/runs/$run/result.json"
want 1 "$QUIRE" compare "$tmp/a/runs/$run" "$tmp/copy/runs/$run" --tolerance 0.5
grep -q 'hypervisor.hint_faults (exact): 601, was 600' "$tmp/out" || die "the difference is not named: $(cat "$tmp/out")"
sed 's/^\(1,1,.*,0\.[0-9]*\)1,/\12,/' "$tmp/a/results.csv" >"$tmp/copy/results.csv"
if ! cmp -s "$tmp/a/results.csv" "$tmp/copy/results.csv"; then
    want 1 "$QUIRE" compare "$tmp/a" "$tmp/copy"
    want 0 "$QUIRE" compare "$tmp/a" "$tmp/copy" --tolerance 0.01
fi
grep -v '^2,3,' "$tmp/a/results.csv" >"$tmp/copy/results.csv"
want 1 "$QUIRE" compare "$tmp/a" "$tmp/copy"
grep -q 'controllers=2 seed=3: the run (exact): is missing' "$tmp/out" || die "the missing run is not named"
want 0 "$QUIRE" compare "$tmp/copy" "$tmp/a"
want 2 "$QUIRE" compare "$tmp/a" "$tmp/none"
want 2 "$QUIRE" compare "$tmp/a" "$tmp/a/runs/$run"
want 2 "$QUIRE" compare "$tmp/a"

# Host speed: only what got worse counts, in the direction of its unit.
echo '[{"name":"x","value":10.0,"unit":"M accesses/s"},{"name":"y","value":48.0,"unit":"bytes/page"}]' >"$tmp/old.json"
echo '[{"name":"x","value":30.0,"unit":"M accesses/s"},{"name":"y","value":20.0,"unit":"bytes/page"}]' >"$tmp/new.json"
want 0 "$QUIRE" compare "$tmp/old.json" "$tmp/new.json"
want 1 "$QUIRE" compare "$tmp/new.json" "$tmp/old.json" --tolerance 0.2
[ "$(grep -c '(host)' "$tmp/out")" -eq 2 ] || die "host speed: $(cat "$tmp/out")"
