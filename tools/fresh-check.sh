#!/bin/sh
# SPDX-License-Identifier: MIT
# fresh-check.sh demo|check [FOLDER]: runs ./bootstrap in a fresh Debian 12 tree made with debootstrap (root; package
# debootstrap). The mirror is the one that this machine's apt uses.
set -eu
what=${1:-check}
root=${2:-$(mktemp -d)}
src=$(cd "$(dirname "$0")/.." && pwd)
mirror=$(sed -n -e 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' -e 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)
[ -x "$root/bin/sh" ] || debootstrap --variant=minbase bookworm "$root" "$mirror"
cp -r /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d "$root/etc/apt/" 2>/dev/null || true
[ ! -d /etc/ssl/certs ] || { mkdir -p "$root/etc/ssl" && cp -rL /etc/ssl/certs "$root/etc/ssl/"; }
cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
rm -rf "$root/quire"
git clone -q "$src" "$root/quire"
for m in proc dev; do
    mountpoint -q "$root/$m" || mount --bind "/$m" "$root/$m"
done
trap 'umount "$root/proc" "$root/dev"' EXIT
chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$(env | sed -n 's/^\(https\{0,1\}_proxy=.*\)/\1/p' | head -n 1 | grep . || echo FRESH=1)" /quire/bootstrap "$what"
