#!/usr/bin/env bash
# The generated pages in docs/ are those of this program; the man page and the bash completion can be read.
set -u
cd "$(dirname "$0")/../.."
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-docs.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$TAPEDECK" docs "$work" || exit 1
for file in $(cd "$work" && find . -type f); do
	cmp "docs/$file" "$work/$file" || { echo "FAIL: docs/$file is out of date: make docs"; exit 1; }
done
bash -n "$work/completion/tapedeck.bash" || exit 1
if command -v mandoc >/dev/null; then
	! mandoc -Tlint -W warning "$work/man/tapedeck.1" | grep . || exit 1
fi
for command in $("$TAPEDECK" --help | awk '/^  / { print $1 }'); do
	"$TAPEDECK" "$command" --help >"$work/help" || { echo "FAIL: $command --help"; exit 1; }
	[ "$(grep -c '^  tapedeck\|^  source\|^  make\|^  TAPEDECK\|^  tcpdump' "$work/help")" -ge 3 ] || { echo "FAIL: $command --help has less than three examples"; exit 1; }
done
