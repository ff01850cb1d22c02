#!/bin/sh
# SPDX-License-Identifier: MIT
# A VM of 1 TiB that touches 2 GiB runs within 1 GiB of host memory, the pages spread over all of its address space. A sampled curve takes 16 MiB.
set -eu
cat >"$BUILD/tib.conf" <<EOF
machine { numa { dram = "16GiB" } hypervisor { cores = 1 } }
vm "big" { generator = "random" footprint = "1TiB" memory = "1TiB" accesses = 524288 think = 0 }
EOF
rm -rf "$BUILD/tib"
/usr/bin/time -f %M -o "$BUILD/tib.kib" "$QUIRE" run "$BUILD/tib.conf" --out "$BUILD/tib" >/dev/null
used=$(tail -n 1 "$BUILD/tib.kib")
mapped=$(sed -n 's/.*"vm.big.pages_mapped": \([0-9]*\).*/\1/p' "$BUILD"/tib/runs/*/result.json)
[ "$mapped" -ge 524288 ] || { echo "memory.sh: only $mapped pages were touched" >&2; exit 1; }
[ "$used" -lt 1048576 ] || { echo "memory.sh: $used KiB used, expected less than 1 GiB" >&2; exit 1; }

# A sampled curve takes 16 MiB at most, the program included, however many ids there are.
seq 1 20000000 | /usr/bin/time -f %M -o "$BUILD/sampled.kib" "$QUIRE" mrc - -f ids -u object --method sampled -o /dev/null
used=$(tail -n 1 "$BUILD/sampled.kib")
[ "$used" -le 16384 ] || { echo "memory.sh: a sampled curve took $used KiB, expected at most 16384" >&2; exit 1; }
