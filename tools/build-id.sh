#!/bin/sh
# SPDX-License-Identifier: MIT
# build-id.sh SRCDIR: prints build_id.h, whose id is the content of everything that can change a result.
set -eu
cd "$1"
id=$(find sim include policies -name '*.[ch]' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-32)
printf '/* Made by tools/build-id.sh. */\n#define QUIRE_BUILD_ID "%s"\n' "$id"
