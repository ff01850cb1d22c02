#!/bin/sh
# SPDX-License-Identifier: MIT
# Policies on the real machine: quire policy, plugins that are none, and the oracles of mrc, vfha and numa-hot-first. QUIRE is
# the program, SRCDIR the tree, CC a C compiler.
set -u
: "${QUIRE:?the program}" "${SRCDIR:?the tree}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0
cd "$SRCDIR" || exit 1

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

# value KEY: an integer of the last result.
value()
{
    sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" "$tmp/result"
}

# equal WHAT A B
equal()
{
    [ -n "$2" ] && [ "$2" = "$3" ]
    check "$1: found '$2', expected '$3'" $?
}

run()
{
    "$QUIRE" replay "$@" >"$tmp/result"
    check "replay $*" $?
}

# plugin NAME CODE: builds NAME.so, a policy whose fault hook is CODE and that traces every page.
plugin()
{
    cat >"$tmp/$1.c" <<END
#include <quire/policy.h>
static const struct quire_ept *ept;
static void vm_event(void *self, const struct quire_vm_event *e)
{
    (void)self;
    if (e->what == QUIRE_VM_MAPPED)
        ept->trace(ept, e->vm, &e->gpa, 1, QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE);
}
static void fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    (void)self, (void)f;
    $2
}
static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    (void)self, (void)why;
    ept = h->service(h, "quire.ept/1");
    return h->claim(h, QUIRE_ROLE_TRACE);
}
static const struct quire_hooks hooks = {.size = sizeof hooks, .vm_event = vm_event, .fault = fault};
static const struct quire_policy p = {.size = sizeof p, .abi_major = $3, .name = "$1", .help = "", .hooks = &hooks,
                                      .roles = QUIRE_ROLE_TRACE, .init = init};
const struct quire_policy *quire_policy_entry(void)
{
    return &p;
}
END
    ${CC:-cc} -shared -fPIC -Iinclude -o "$tmp/$1.so" "$tmp/$1.c"
    check "building $1.so" $?
}

# ---- quire policy ----
"$QUIRE" policy list >"$tmp/list"
check "policy list" $?
for p in mrc mrc-bits mrc-damon vfha numa-hot-first; do
    grep -q "^$p  (roles: " "$tmp/list"
    check "$p is listed" $?
    "$QUIRE" policy check $p >"$tmp/out"
    check "policy check $p: $(grep FAILED "$tmp/out")" $?
done
[ "$("$QUIRE" policy list --json | grep -c '"digest"')" -ge 3 ]
check "policy list --json" $?
echo 'no plugin' >"$tmp/text.so"
refused "a text file" "found no ELF file" "$QUIRE" policy check "$tmp/text.so"
refused "a name that nobody has" "found no nobody.so" "$QUIRE" policy check nobody
refused "no word" "expected .list. or" "$QUIRE" policy

# ---- the example of docs/policies.md ----
sed -n '/^\o140\{3\}c$/,/^\o140\{3\}$/p' docs/policies.md | sed '1d;$d' >"$tmp/touched.c"
${CC:-cc} -Wall -Wextra -Werror -shared -fPIC -O2 -Iinclude -o "$tmp/touched.so" "$tmp/touched.c"
check "the documented example compiles" $?
"$QUIRE" policy check "$tmp/touched.so" >"$tmp/out"
check "the documented example: $(grep FAILED "$tmp/out")" $?

# ---- plugins in a run ----
small="generator:zipf -n 3000 --footprint 1MiB --memory 64MiB --backing 4KiB"
# shellcheck disable=SC2086
{
    refused "a run with no such policy" "found no nobody.so" "$QUIRE" replay $small --policy nobody
    refused "an option that is misspelt" "did you mean delay" "$QUIRE" replay $small --policy mrc:dealy=1ms
    refused "an option without its unit" "delay" "$QUIRE" replay $small --policy mrc:delay=5
    plugin newer "" 2
    refused "another ABI" "found policy ABI 2.0, expected 1.x" \
        "$QUIRE" replay $small --policy newer --set "policy_path=$tmp"
    plugin liar "out->what = 9;" 1
    run $small --policy liar --set "policy_path=$tmp"
    grep -q '"policy.liar.ejected": "fault hook: verdict 9' "$tmp/result"
    check "a lying policy is ejected" $?
    equal "the run goes on without it" "$(value vm.vm0.accesses)" 3000
    "$QUIRE" policy check "$tmp/liar.so" >"$tmp/out"
    equal "the kit finds the liar" $? 1
}

# ---- a policy that asks for more time than there is: the VM still gets on ----
timeout 60 "$QUIRE" replay generator:zipf -n 20000 --footprint 1MiB --memory 64MiB --backing 4KiB \
    --policy mrc-bits:period=1us >"$tmp/result"
check "a period shorter than its work" $?
equal "a period shorter than its work: all accesses are made" "$(value vm.vm0.accesses)" 20000

# ---- mrc: all pages, no untraced period: the exact curve, integer for integer ----
"$QUIRE" trace cut traces/python-pages.qtr "$tmp/a.qtr" --limit 20000
mkdir "$tmp/o"
for groups in group_pages=1,group_growth=0% group_pages=5,group_growth=0% group_pages=1,group_growth=12.5%; do
    rm -rf "$tmp/o"/*
    "$QUIRE" replay "$tmp/a.qtr" --memory 16MiB --backing 4KiB --policy "mrc:delay=0us,$groups" --out "$tmp/o" 2>"$tmp/err"
    check "mrc $groups: $(cat "$tmp/err")" $?
    awk -F, '$1 == "mrc_observed_misses" && $4 > 0 { printf "%d,%d\n", $4, $5 }' "$tmp/o"/*/series.csv >"$tmp/seen"
    sizes=$(cut -d, -f1 "$tmp/seen" | tr '\n' ',')
    "$QUIRE" mrc "$tmp/a.qtr" --unit page --sizes "${sizes%,}" -o "$tmp/true.csv"
    sed 1d "$tmp/true.csv" | cut -d, -f1,2 >"$tmp/true"
    [ "$(wc -l <"$tmp/seen")" -gt 20 ] && cmp -s "$tmp/seen" "$tmp/true"
    check "mrc $groups: every size equals the exact curve: $(diff "$tmp/seen" "$tmp/true" | head -n 3)" $?
done

# ---- vfha: one exit a flush where the host has hints, none where it has not; promises kept (check) ----
log="generator:log-append -n 400 --pmem 1GiB --vcpus 4 --check -m cascade-lake-2s"
# shellcheck disable=SC2086
for combine in true false; do
    run $log --policy vfha:combine=$combine --set machine.imc.flush_hints=true
    equal "vfha: exits are flushes" "$(value hypervisor.hint_faults)" "$(value vm.vm0.flushes)"
    equal "vfha: the policy saw them all" "$(value policy.vfha.flushes)" "$(value vm.vm0.flushes)"
    run $log --policy vfha:combine=$combine --set machine.imc.flush_hints=false
    equal "vfha: no exit without hints" "$(value hypervisor.hint_faults)" 0
    [ "$(value vm.vm0.flushes)" -gt 0 ]
    check "vfha: the guest flushes all the same" $?
done

# ---- a crash at many events without ADR: what was flushed is there; a policy that drains nothing is found out ----
cat >"$tmp/nodrain.c" <<'END'
#include <quire/policy.h>
static const struct quire_pmem *pmem;
static void vm_event(void *self, const struct quire_vm_event *e)
{
    (void)self;
    if (e->what == QUIRE_VM_CREATED)
        pmem->hint_mode(pmem, e->vm, 0, QUIRE_HINT_TRAP);
}
static void fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    (void)self, (void)f;
    out->what = QUIRE_VERDICT_SKIP;
}
static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    (void)self, (void)why;
    pmem = h->service(h, "quire.pmem/1");
    return h->claim(h, QUIRE_ROLE_PMEM);
}
static const struct quire_hooks hooks = {.size = sizeof hooks, .vm_event = vm_event, .fault = fault};
QUIRE_POLICY(.name = "nodrain", .help = "", .hooks = &hooks, .roles = QUIRE_ROLE_PMEM, .init = init)
END
${CC:-cc} -shared -fPIC -Iinclude -o "$tmp/nodrain.so" "$tmp/nodrain.c"
check "building nodrain.so" $?
points=$(seq 1 109 4500 | sed 's/.*/"&",/' | tr -d '\n')
# One that is ejected at its first answer: the built-in default drains in its place.
sed 's/out->what = .*/out->what = 77;/; s/nodrain/ejected/' "$tmp/nodrain.c" >"$tmp/ejected.c"
${CC:-cc} -shared -fPIC -Iinclude -o "$tmp/ejected.so" "$tmp/ejected.c"
check "building ejected.so" $?
for policy in 'vfha" { combine = true' 'vfha" { combine = false' 'ejected" {' 'nodrain" {'; do
    cat >"$tmp/crash.conf" <<END
claim = "what was flushed survives"
include("$SRCDIR/experiments/machines/cascade-lake-2s.conf")
check = true
policy_path = "$tmp"
machine { hypervisor { power_fail = "adr-fails" } imc { channels = 1 controllers = 1 } pmem { write_rate = "200MB/s" } }
vm "log" { generator = "log-append" pmem = "1GiB" append = "16KiB" accesses = 3 vcpus = 3 }
policy "$policy }
sweep "event" { key = "crash_at" values = {${points%,}} }
END
    "$QUIRE" run "$tmp/crash.conf" --out "$tmp/crash" >"$tmp/log" 2>&1
    code=$?
    case $policy in
    vfha* | ejected*) equal "crash, $policy: $(grep G3 "$tmp/log" | head -n 1)" $code 0 ;;
    *)
        [ $code -ne 0 ] && grep -q "golden model G3" "$tmp/log"
        check "nodrain is found out" $?
        ;;
    esac
    rm -rf "$tmp/crash"
done

# ---- numa-hot-first: nothing is lost on the way, all pages move once, twice the same ----
cat >"$tmp/numa.conf" <<END
claim = "a VM's memory follows its vCPUs"
include("$SRCDIR/experiments/machines/cascade-lake-2s.conf")
check = true
vm "kv" { generator = "zipf" footprint = "8MiB" init = true memory = "64MiB" backing = "4KiB" accesses = 4000000
          move_at = "8ms" move_to_node = 1 }
policy "numa-hot-first" { period = "250us" least = 1 settle = "100us" }
sweep "heuristic" { key = "policy.numa-hot-first.heuristic" values = {"h1", "h2", "h3", "h4"} }
sweep "order" { key = "policy.numa-hot-first.order" values = {"hot", "none"} }
expect "range" { of = "policy.numa-hot-first.moves" min = "2048" max = "2200" where = {"order=hot"} }
expect "range" { of = "hypervisor.moves" min = "0" max = "0" where = {"order=none"} }
expect "range" { of = "hypervisor.move_failures" min = "0" max = "0" }
END
for out in one two; do
    "$QUIRE" run "$tmp/numa.conf" --out "$tmp/$out" >"$tmp/log" 2>&1
    check "numa: $(cat "$tmp/log")" $?
done
cat "$tmp"/one/runs/*/result.json >"$tmp/r1"
cat "$tmp"/two/runs/*/result.json >"$tmp/r2"
[ -s "$tmp/r1" ] && cmp -s "$tmp/r1" "$tmp/r2"
check "numa: the same again" $?
[ "$(grep -c '"decisions_chain"' "$tmp/r1")" -eq 8 ]
check "numa: eight points" $?
! grep -q '"oracle"' "$tmp"/one/runs/*/manifest.json
check "no oracle, no taint" $?

# A policy that looks more often than a look takes: its timers count from the end of the look, so its VM goes on.
timeout 60 "$QUIRE" replay generator:zipf -n 200000 --footprint 32MiB --policy mrc-bits:period=200us,bursts=2 >/dev/null
check "a policy that is always busy leaves its VM some time" $?

[ $failures -eq 0 ] && echo "policies: all checks passed"
[ $failures -eq 0 ]
