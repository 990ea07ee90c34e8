#!/usr/bin/env bash
# Every real capture imports without a crash, exports byte for byte, and leaves a sound store.
set -u
[ -d "${CAPTURES:-}" ] || { echo "no real captures at ${CAPTURES:-unset}"; exit 77; }
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-captures.XXXXXX")
trap 'rm -rf "$work"' EXIT
PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "$0")/captures.py" "$TAPEDECK" "$CAPTURES" "$work"
