#!/usr/bin/env bash
# usage: CC=gcc tests/lint/headers.sh COMPILER-FLAGS, from the top
#
# Every header compiles alone: whoever includes it need not know what it needs.
set -u
bad=0
check() {
	printf '#include "%s"\n' "$1" | "${CC:-gcc}" "${@:2}" -Wno-unused-function -Wno-unused-macros \
		-fsyntax-only -x c - || { echo "$1: does not compile alone" && return 1; }
}
for header in base/*.h schema/*.h wire/*.h store/*.h ingest/*.h query/*.h tools/*.h tests/*.h; do
	[ -e "$header" ] || continue
	check "$header" "$@" || bad=1
done
exit $bad
