#!/usr/bin/env bash
# Stores that earlier versions wrote (tests/golden/store-*) give the rows and the frames they gave then, before and
# after this version has taken over what a killed writer left and written beside it.
set -u
command -v jq >/dev/null && command -v editcap >/dev/null || { echo "no jq or no editcap"; exit 77; }
golden=$(realpath "$(dirname "$0")/../golden")
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-formats.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

# same_rows FOLDER TAPE WHEN: every column of then, with its value; columns may have come since.
same_rows() {
	local table rows
	for table in flows calls events entities rollups; do
		rows=$("$TAPEDECK" query $table --data "$2" --to 2026-11-23 --limit 1000 --output ndjson) || fail "$1 $table"
		jq -en --slurpfile was "$1/$table.ndjson" --slurpfile now <(printf '%s\n' "$rows") '
			($was | length) == ($now | length) and
			([$was, $now] | transpose | all(. as [$a, $b] | $a | to_entries | all($b[.key] == .value)))' \
			>/dev/null || fail "$1 $table $3: $(diff <(jq -cS . "$1/$table.ndjson") <(jq -cS . <<<"$rows"))"
	done
}

stores=0
for folder in "$golden"/store-*; do
	mkdir "$work/$stores"
	tar xzf "$folder/tape.tar.gz" -C "$work/$stores" || fail "cannot unpack $folder"
	tape=$work/$stores/tape
	"$TAPEDECK" check --data "$tape" >/dev/null || fail "$folder is not sound"
	same_rows "$folder" "$tape" "as it was left"
	"$TAPEDECK" export --data "$tape" --format pcap --output - 2>/dev/null | sha256sum |
		cut -d' ' -f1 | cmp -s - "$folder/frames.sha256" || fail "$folder has other frames"
	# A writer of today closes what was hot then, and adds a capture of another day.
	editcap -t 1000000 "$golden/refused-and-dns/input.pcap" "$work/later.pcap" || fail "editcap"
	"$TAPEDECK" import --progress none --data "$tape" "$work/later.pcap" >/dev/null || fail "cannot write to $folder"
	"$TAPEDECK" check --data "$tape" >/dev/null || fail "$folder is not sound after a writer of today"
	"$TAPEDECK" stats --data "$tape" | grep -q '^hot/' && fail "a partition of $folder is still hot"
	same_rows "$folder" "$tape" "after a writer of today"
	stores=$((stores + 1))
done
[ $stores -gt 0 ] || fail "no stores"
echo "$stores stores"
