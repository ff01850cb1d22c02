# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# What end-to-end scripts share; each sources it when it has its own temporary folder.
die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}
build() { # build NAME SOURCE LIBRARY...: a static program for a guest
    name=$1
    source=$2
    shift 2
    ${CC:-gcc} -O2 -static -Wno-unused-result -o "$name" "$source" "$@" 2>build.log || die "$name: $(cat build.log)"
}
bad() { # bad TEXT ARGUMENT...: quire exec refuses it with exit 2 and one line
    text=$1
    shift
    code=0
    "$QUIRE" exec "$@" >o 2>e || code=$?
    [ $code -eq 2 ] || die "$*: status $code"
    [ "$(wc -l <e)" -eq 1 ] || die "$*: $(cat e)"
    grep -q -- "$text" e || die "$*: $(cat e)"
}
