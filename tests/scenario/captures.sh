#!/usr/bin/env bash
# Every real capture imports without a crash, exports byte for byte, and leaves a sound store.
set -u
cd "$(dirname "$0")"
[ -d "${CAPTURES:-}" ] || { echo "no real captures at ${CAPTURES:-unset}"; exit 77; }
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-captures.XXXXXX")
trap 'rm -rf "$work"' EXIT
files=0 frames=0 bad=0 refused=0

fail() {
	echo "FAIL $1: $2"
	bad=$((bad + 1))
}

one() {
	local file=$1 name=${1#"$CAPTURES"/} code
	rm -rf "$work/tape"
	"$TAPEDECK" import "$file" --data "$work/tape" --progress none >"$work/out" 2>&1
	code=$?
	if [ $code -gt 2 ]; then
		fail "$name" "import ended with $code"
		return
	fi
	python3 frames.py "$file" >"$work/want" 2>"$work/want.err"
	if [ $? -eq 3 ] || [ ! -s "$work/want" ]; then
		refused=$((refused + 1))
		return
	fi
	if [ $code -ne 0 ]; then
		fail "$name" "import: $(tail -1 "$work/out")"
		return
	fi
	"$TAPEDECK" export --data "$work/tape" --output "$work/got.pcapng" >"$work/out" 2>&1 ||
		{ fail "$name" "export: $(tail -1 "$work/out")"; return; }
	python3 frames.py "$work/got.pcapng" >"$work/got"
	# A simple packet block has no time of its own: whatever we give it is right.
	if grep -q ^None "$work/want"; then
		cut -d' ' -f2- "$work/want" >"$work/w" && cut -d' ' -f2- "$work/got" >"$work/g"
	else
		cp "$work/want" "$work/w" && cp "$work/got" "$work/g"
	fi
	cmp -s "$work/w" "$work/g" ||
		fail "$name" "$(wc -l <"$work/got") frames exported, $(wc -l <"$work/want") in the file; first difference: $(diff "$work/w" "$work/g" | head -3 | tr '\n' ' ')"
	if [ "$(cut -d' ' -f4 "$work/want" | sort -u | wc -l)" = 1 ]; then
		"$TAPEDECK" export --data "$work/tape" --format pcap --output "$work/got.pcap" >"$work/out" 2>&1 ||
			{ fail "$name" "export as pcap: $(tail -1 "$work/out")"; return; }
		python3 frames.py "$work/got.pcap" | cmp -s - "$work/got" || fail "$name" "pcap and pcapng exports differ"
	fi
	"$TAPEDECK" check --data "$work/tape" >"$work/out" 2>&1 || fail "$name" "check: $(tail -2 "$work/out" | tr '\n' ' ')"
	frames=$((frames + $(wc -l <"$work/want")))
	files=$((files + 1))
}

while read -r file; do
	one "$file"
done < <(find "$CAPTURES" -type f \( -name '*.pcap' -o -name '*.pcapng' -o -name '*.cap' \) | LC_ALL=C sort)
echo "$files captures, $frames frames exported identical; $refused hold no frame; $bad failed"
[ $bad -eq 0 ] && [ $files -gt 0 ]
