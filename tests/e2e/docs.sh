#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/experiments.md names every key of sweeps, expectations and plots, and none that does not exist.
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
