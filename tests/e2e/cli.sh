#!/bin/sh
# SPDX-License-Identifier: MIT
# The command line as scripts see it: help of every command, messages, exit codes, nothing on the wrong stream.
set -eu
cd "$SRCDIR"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

# expect CODE WORDS-ON-STDERR ARGUMENT...
expect() {
    want=$1 says=$2 code=0
    shift 2
    "$QUIRE" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || code=$?
    [ "$code" = "$want" ] || { echo "cli.sh: quire $*: exit $code, expected $want" >&2; bad=1; }
    if [ "$want" = 0 ]; then
        [ -s "$tmp/out" ] || { echo "cli.sh: quire $*: prints nothing" >&2; bad=1; }
        [ ! -s "$tmp/err" ] || { echo "cli.sh: quire $*: writes to standard error" >&2; bad=1; }
    else
        [ ! -s "$tmp/out" ] || { echo "cli.sh: quire $*: an error, yet output" >&2; bad=1; }
        grep -qF -- "$says" "$tmp/err" || { echo "cli.sh: quire $*: does not say '$says'" >&2; bad=1; }
    fi
}

expect 0 '' --help
expect 0 '' --version
expect 2 usage:
expect 2 "did you mean 'run'" rnu
expect 2 "no command 'xyzzy'" xyzzy
expect 2 "found no machine 'cascade-lake' (did you mean 'cascade-lake-2s'?)" machine cascade-lake
# Nothing is built among the sources.
code=0
(cd "$SRCDIR" && ./configure) >"$tmp/out" 2>"$tmp/err" || code=$?
[ "$code" = 2 ] && grep -q 'mkdir build' "$tmp/err" || { echo "cli.sh: configure among the sources: exit $code" >&2; bad=1; }
commands=$("$QUIRE" --help | awk '/^  [a-z]/ { print $1 }')
[ "$(echo "$commands" | wc -l)" -ge 8 ] || { echo "cli.sh: commands missing from --help" >&2; bad=1; }
for c in $commands; do
    expect 0 '' "$c" --help
    grep -q "^usage: quire $c" "$tmp/out" || { echo "cli.sh: $c --help has no usage line" >&2; bad=1; }
    expect 0 '' "$c" -h
    expect 2 --xyzzy "$c" --xyzzy
    case $c in
    bench | validate) ;; # need no argument
    *) expect 2 "$c" "$c" ;;
    esac
done
expect 2 'did you mean --format' mrc --fromat=pw x
expect 2 'needs a value' mrc x --unit
expect 2 'takes no value' bench --json=1
expect 2 'expected a number' bench --scale inf
expect 2 "found 'xyzzy'" bench xyzzy
expect 2 'a machine, or one of' validate xyzzy
expect 0 '' validate cascade-lake-2s 8 --json
expect 2 'that the machine claims' validate nvdimm-n-2s optane
expect 2 'expected one' validate cascade-lake-2s skylake-2s
expect 2 /nonexistent mrc /nonexistent
expect 2 /nonexistent run /nonexistent
expect 2 /nonexistent policy check /nonexistent

# Natural mistakes, before anything has run or is written.
expect 0 '' help
expect 0 '' help mrc
grep -q '^usage: quire mrc' "$tmp/out" || { echo "cli.sh: help mrc is not mrc --help" >&2; bad=1; }
echo text >"$tmp/file"
expect 2 'quire run runs an experiment' replay experiments/quickstart.conf
expect 2 'quire replay runs a trace' run traces/redis-accesses.qtr
expect 2 'expected a folder that quire run wrote' report "$tmp"
expect 2 'expected a folder that quire run wrote' report "$tmp/file"
expect 2 "--memory: found \"5\" without a unit" replay generator:zipf -n 10 --memory 5
expect 2 "--backing: found \"3KiB\"" replay generator:zipf -n 10 --backing 3KiB
expect 2 'expected one of stream, random' replay generator:nope -n 10
expect 2 'expected a folder' replay generator:zipf -n 10 --out "$tmp/file"
expect 2 'expected a folder' exec --out "$tmp/file" "$BUILD/workloads/mixed" 1
expect 2 'Is a directory' exec --record "$tmp" "$BUILD/workloads/mixed" 1
expect 2 'expected at least 1' crash --max-images 0 "$BUILD/workloads/crash/counter.so"
expect 2 'expected the run to save' run tests/e2e/same.conf --checkpoint "1us:$tmp/x"
head -c 4000 "$BUILD/workloads/crash/counter.so" >"$tmp/cut.so"
expect 2 'cut off' crash "$tmp/cut.so"
head -c 6000 "$BUILD/policies/mrc.so" >"$tmp/mrc.so"
expect 2 'cut off' policy check "$tmp/mrc.so"
printf '#!/bin/sh\n' >"$tmp/script"
expect 2 'found a script' exec "$tmp/script"
[ ! -e "$tmp/x" ] && [ "$(cat "$tmp/file")" = text ] || { echo "cli.sh: a mistake left something behind" >&2; bad=1; }

# What is no regular file is written to, not replaced; a link stays a link.
mkfifo "$tmp/pipe"
cat "$tmp/pipe" >"$tmp/piped" &
"$QUIRE" mrc "$SRCDIR/traces/redis-accesses.qtr" -o "$tmp/pipe"
wait $!
[ -p "$tmp/pipe" ] && grep -q '^1,' "$tmp/piped" || { echo "cli.sh: -o PIPE does not write to it" >&2; bad=1; }
echo old >"$tmp/behind"
ln -s behind "$tmp/link"
"$QUIRE" mrc "$SRCDIR/traces/redis-accesses.qtr" -o "$tmp/link"
[ -L "$tmp/link" ] && cmp -s "$tmp/behind" "$tmp/piped" || { echo "cli.sh: -o LINK does not write behind it" >&2; bad=1; }
if [ -c /dev/full ] && [ ! -w /dev ]; then
    expect 2 'No space left' mrc "$SRCDIR/traces/redis-accesses.qtr" -o /dev/full
fi

for a in --help --version 'run --keys' 'mrc --help' 'policy list'; do
    code=0
    # shellcheck disable=SC2086
    "$QUIRE" $a >/dev/full 2>"$tmp/err" || code=$?
    [ "$code" = 2 ] || { echo "cli.sh: quire $a to a full disk: exit $code, expected 2" >&2; bad=1; }
    grep -q 'cannot be written' "$tmp/err" || { echo "cli.sh: quire $a to a full disk: says nothing" >&2; bad=1; }
done
exit $bad
