#!/usr/bin/env bash
# usage: tests/run-fuzz.sh SECONDS TARGET...     (make fuzz-smoke calls it)
#
# Shares the seconds among the fuzz targets. Seeds: tests/corpus/NAME/ for
# fuzz_NAME, tests/corpus/shared/, and the real captures. New inputs stay in
# the build folder; an input that breaks a target is printed and kept.
set -u
cd "$(dirname "$0")/.." || exit 1

total=${1:?usage: tests/run-fuzz.sh SECONDS TARGET...}
shift
if [ $# -eq 0 ]; then
	echo "fuzz: no targets in tests/fuzz/"
	exit 0
fi
captures=${CAPTURES:-../shared/captures}
each=$((total / $# > 0 ? total / $# : 1))
bad=0
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1}

for target in "$@"; do
	name=$(basename "$target")
	work=$(dirname "$target")/fuzz/$name
	mkdir -p "$work/corpus"
	seeds=("$work/corpus")
	for folder in "tests/corpus/${name#fuzz_}" tests/corpus/shared "$captures"; do
		[ -d "$folder" ] && seeds+=("$folder")
	done
	if timeout -k 5 $((each + 60)) "$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=1024 \
		-max_len=16384 -print_final_stats=1 -artifact_prefix="$work/" "${seeds[@]}" \
		</dev/null >"$work/log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
		echo "fuzz: $name: ${runs:-?} inputs in about $each s, nothing found"
	else
		bad=$((bad + 1))
		echo "fuzz: $name: FAILED, whole log in $work/log"
		tail -n 50 "$work/log" | sed 's/^/     /'
	fi
done
[ "$bad" -eq 0 ]
