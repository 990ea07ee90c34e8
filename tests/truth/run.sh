#!/usr/bin/env bash
# Every capture of CAPTURES imported and asked as a user would, against the answers of an independent dissector.
# CAPTURES=folder  TRUTH=folder (default CAPTURES/truth)  OUT=file.tsv  ONLY=glob  SHOW=glob; see README.md.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
CAPTURES=${CAPTURES:-$top/../shared/captures}
TRUTH=${TRUTH:-$CAPTURES/truth}
TAPEDECK=${TAPEDECK:-$top/build/tapedeck}
[ -d "$CAPTURES" ] && [ -d "$TRUTH" ] || {
	echo "NOT COMPARED: no captures with answers at $CAPTURES (CAPTURES= and TRUTH= name others)"; exit 77; }
command -v python3 >/dev/null || { echo "NOT COMPARED: no python3"; exit 77; }
[ -x "$TAPEDECK" ] || { echo "no program at $TAPEDECK: make"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-truth.XXXXXX")
trap 'rm -rf "$work"' EXIT
PYTHONDONTWRITEBYTECODE=1 python3 "$here/truth.py" --tapedeck "$TAPEDECK" --captures "$CAPTURES" --truth "$TRUTH" \
	--differences "${DIFFERENCES-$top/tests/golden/truth-differences}" --dissectors "$top/wire" --work "$work" \
	--out "${OUT:-}" --only "${ONLY:-}" --show "${SHOW:-}" "$@"
