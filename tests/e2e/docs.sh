#!/bin/sh
# SPDX-License-Identifier: MIT
# What the documents and the help texts say: docs/experiments.md names every key of sweeps, expectations and plots, and none
# that does not exist; every command line that they show works as it stands; README's figures are those of today.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
doc=$SRCDIR/docs/experiments.md
"$QUIRE" run --keys >"$tmp/keys"
for section in sweep expect plot; do
    awk -v s="$section" '/^[a-z]/ { on = $1 == s } on && /^    [a-z_]+:/ { sub(":", "", $1); print $1 }' "$tmp/keys" |
        LC_ALL=C sort -u >"$tmp/known"
    awk -v s="key of \`$section\`" 'index($0, s) { on = 1; next } !/^\|/ { on = 0 } on { split($0, c, "|"); print c[2] }' "$doc" |
        tr ',' '\n' | tr -d '` -' | grep . | LC_ALL=C sort -u >"$tmp/said"
    [ -s "$tmp/known" ] || { echo "docs.sh: no keys of $section" >&2; exit 1; }
    diff "$tmp/known" "$tmp/said" || { echo "docs.sh: $section: left is known, right is documented" >&2; exit 1; }
done

# ---- every command line ---------------------------------------------------------------------------------------------
# They are run in a folder that looks like the repository after ./bootstrap demo, with build/ on the PATH.
bad=0
root=$tmp/quire
mkdir "$root"
for f in "$SRCDIR"/*; do
    case $(basename "$f") in build | out) ;; *) ln -s "$f" "$root/" ;; esac
done
ln -s "$BUILD" "$root/build"
PATH=$BUILD:$PATH
export PATH
cd "$root"
for f in own.conf own-machine.conf; do # the blocks of docs/start.md, in order
    awk -v n="$f" 'BEGIN { want = n == "own.conf" ? 1 : 2 } /^```conf$/ { on = ++k == want; next } /^```$/ { on = 0 } on' docs/start.md >"$f"
    [ -s "$f" ] || { echo "docs.sh: docs/start.md has no $f" >&2; bad=1; }
done
sed -n '/^\o140\{3\}c$/,/^\o140\{3\}$/p' docs/policies.md | sed '1d;$d' >touched.c

# lines INDENT: what stands behind exactly that indent and begins a command; comments begin after two spaces.
lines() {
    sed -n "s/^$1\\([a-z].*\\)/\\1/p" | grep -E '^(quire|cc|cp|printf|valgrind|gdb) ' | grep -v '\[option\]' | sed 's/   *.*//; s/ *&$//'
}

# Not here: what other scripts run (gdb.sh, linux.sh, validate.sh), and what takes a minute.
is_elsewhere() {
    case $1 in
    *--gdb* | gdb* | *vmlinux* | 'quire validate' | *'bench '* | 'quire run experiments/quickstart.conf --out'*) return 0 ;;
    valgrind*) ! command -v valgrind >/dev/null ;;
    *busybox*) ! command -v busybox >/dev/null ;;
    *'quire report'* | *'mrc draw'*) ! command -v gnuplot >/dev/null ;;
    *) return 1 ;;
    esac
}

# paste WHERE LINE
paste() {
    is_elsewhere "$2" && return
    line=$(echo "$2" | sed "s/RUN_ID/$point/; s/^cc /${CC:-cc} /")
    code=0
    sh -c "$line" >"$tmp/out" 2>"$tmp/err" </dev/null || code=$?
    case $line in *-broken.so*) want=1 ;; *) want=0 ;; esac
    [ $code -eq $want ] || [ "${line#quire validate}$code" = "${line#quire }1" ] ||
        { echo "docs.sh: $1: $line: exit $code, expected $want: $(head -n 3 "$tmp/err")" >&2; bad=1; }
    n=$((n + 1))
}

n=0
point=$(quire run experiments/quickstart.conf --check-config | sed -n "s/^ *\\([0-9a-f]*\\)  controllers=1 design=vfha\$/\\1/p")
for f in docs/*.md; do
    lines '    ' <"$f" >"$tmp/lines"
    while read -r line; do
        paste "$f" "$line"
    done <"$tmp/lines"
done
for c in $(quire --help | awk '/^  [a-z]/ { print $1 }') 'mrc draw' 'mrc split'; do
    # shellcheck disable=SC2086
    quire $c --help >"$tmp/help"
    grep -q '^Exit code: ' "$tmp/help" || { echo "docs.sh: $c --help says nothing of exit codes" >&2; bad=1; }
    lines '  ' <"$tmp/help" >"$tmp/lines"
    [ -s "$tmp/lines" ] || { echo "docs.sh: $c --help shows no example" >&2; bad=1; }
    while read -r line; do
        paste "$c --help" "$line"
    done <"$tmp/lines"
done
[ $n -ge 40 ] || { echo "docs.sh: only $n command lines found" >&2; bad=1; }

# ---- README's table -------------------------------------------------------------------------------------------------
# figure DESIGN WORDS: the median of that design with four controllers is within a tenth of what the row with WORDS says.
figure() {
    id=$(quire run experiments/quickstart.conf --check-config | sed -n "s/^ *\\([0-9a-f]*\\)  controllers=4 design=$1\$/\\1/p")
    quire run experiments/quickstart.conf --point "$id" --out out/readme >/dev/null
    now=$(sed -n 's/.*"vm.log.flush_p50_ns": \([0-9]*\).*/\1/p' "out/readme/runs/$id/result.json")
    said=$(grep -F "| $2 |" README.md | awk -F'|' '{ gsub(/[^0-9]/, "", $3); print $3 }')
    [ $((now * 10)) -le $((said * 11)) ] && [ $((now * 10)) -ge $((said * 9)) ] ||
        { echo "docs.sh: README.md says $said ns for '$2', a run says $now" >&2; bad=1; }
}
figure vfha 'virtual flush hints on a host with hints'
figure 'vfha, no hints on host' 'the same on a host without hints'
figure 'always-trap, no hints on host' 'trapping always, host without hints'
figure hypercall 'a flush hypercall'
figure 'no hint' 'no hint at all (nothing is promised)'
exit $bad
