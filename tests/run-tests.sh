#!/usr/bin/env bash
# usage: tests/run-tests.sh BUILD-FOLDER     (make test and make check-* call it)
#
# Runs the unit tests and, with SCENARIO=1, the scripts in tests/scenario/.
# A scenario is an executable script: 0 = passed, 77 = skipped (its last line
# says why), anything else = failed. It finds in its environment
#   TAPEDECK   the binary            BUILD     the build folder
#   CAPTURES   real captures         (all absolute)
# TESTS=part of a name runs only what matches.
# The last line is "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." || exit 1

BUILD=$(realpath "${1:?usage: tests/run-tests.sh BUILD-FOLDER}")
CAPTURES=$(realpath -m "${CAPTURES:-../shared/captures}")
TAPEDECK=$BUILD/tapedeck
export BUILD CAPTURES TAPEDECK
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=0:exitcode=66}

seconds_max=120
logs=$BUILD/log
passed=0 failed=0
skips=()
rm -rf "$logs"
mkdir -p "$logs"

fail() { # name, file with the words
	failed=$((failed + 1))
	echo "FAIL $1"
	[ -s "${2:-}" ] && tail -n 60 "$2" | sed 's/^/     /'
	return 0
}

run_unit() {
	local tap=$logs/unit.tap rc=0 before=$failed line name
	local args=("--tap=$tap")

	case $BUILD in
	*/tsan)
		args+=(${TESTS:+"--filter=$TESTS"})
		# Older kernels and gcc 12 disagree on how far addresses are randomised.
		setarch -R true 2>/dev/null && args=(setarch -R "$BUILD/unit" "${args[@]}") ||
			args=("$BUILD/unit" "${args[@]}")
		;;
	*)
		args=("$BUILD/unit" "${args[@]}" --timeout "$seconds_max" -j2 --color=never
			${TESTS:+--filter "*$TESTS*/*"})
		;;
	esac
	: >"$tap"
	# TEST looks for leaks itself, in the process of the test; Criterion's own is none of ours.
	ASAN_OPTIONS=$ASAN_OPTIONS:leak_check_at_exit=0 "${args[@]}" </dev/null >"$logs/unit.out" 2>&1 || rc=$?
	while IFS= read -r line; do
		name=${line#*ok - }
		case $line in
		*"# SKIP test was skipped") ;; # TESTS= left it out
		"ok - "*"# SKIP"*) skips+=("unit ${name%% *}: ${line#*# SKIP }") ;;
		"ok - "*) passed=$((passed + 1)) ;;
		"not ok - "*) fail "unit $name" ;;
		esac
	done <"$tap"
	if [ "$rc" -ne 0 ] && [ "$failed" -eq "$before" ]; then
		fail "unit: the test program ended with status $rc" "$logs/unit.out"
	elif [ "$failed" -ne "$before" ]; then
		grep -v '^\[====\]' "$logs/unit.out" | tail -n 200
	fi
}

run_scenario() {
	local name log rc=0
	name=$(basename "$1" .sh)
	log=$logs/$name.out
	timeout -k 5 "$seconds_max" "$1" </dev/null >"$log" 2>&1 || rc=$?
	case $rc in
	0) passed=$((passed + 1)) ;;
	77) skips+=("scenario $name: $(tail -n 1 "$log")") ;;
	124 | 137) fail "scenario $name: not done after $seconds_max s" "$log" ;;
	*) fail "scenario $name: status $rc" "$log" ;;
	esac
}

run_unit
if [ "${SCENARIO:-}" = 1 ]; then
	for script in tests/scenario/*.sh; do
		[ -x "$script" ] && [[ $script == *"${TESTS:-}"* ]] && run_scenario "$script"
	done
fi
[ ${#skips[@]} -gt 0 ] && printf 'SKIP %s\n' "${skips[@]}"
[ $((passed + failed)) -eq 0 ] && echo "no test ran"
echo "$passed passed, $failed failed, ${#skips[@]} skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
