# Sourced by rest-*.sh and grafana-*.sh: a store of known contents (rest_capture.py) and a server on it.
#
#   serve_start [FLAGS]   starts the server; url and serve_pid
#   get PATH [k=v ...]    the body of a GET, parameters encoded; the status in $work/status
#   post PATH JSON        the same of a POST
#   expect WANT JQ [FILE] jq expression over the last body (or FILE) gives WANT
#   status WANT           of the last answer
set -u
: "${TAPEDECK:=$PWD/build/tapedeck}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in curl jq python3; do
	command -v $tool >/dev/null || { echo "no $tool"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-rest.XXXXXX")
chmod 755 "$work"
serve_pid=
url=
cleanup() {
	if [ -n "$serve_pid" ]; then
		kill "$serve_pid" 2>/dev/null
		wait "$serve_pid" 2>/dev/null
	fi
	rm -rf "$work"
}
trap cleanup EXIT

fail() {
	echo "FAIL ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]} ${BASH_SOURCE[2]:+(${BASH_SOURCE[2]##*/}:${BASH_LINENO[1]})}: $*"
	[ -s "$work/body" ] && { echo "last answer: $(cat "$work/status")"; head -c 600 "$work/body"; echo; }
	[ -s "$work/serve.err" ] && tail -n 5 "$work/serve.err"
	exit 1
}

# until_true SECONDS COMMAND...
until_true() {
	local n=$(($1 * 20))
	shift
	for _ in $(seq "$n"); do "$@" && return 0; sleep 0.05; done
	return 1
}

make_store() {
	python3 "$here/rest_capture.py" "$work/capture.pcap" "${1:-300}" || fail "no capture"
	"$TAPEDECK" import "$work/capture.pcap" --data "$work/tape" >"$work/import.out" 2>&1 || fail "import: $(cat "$work/import.out")"
}

serve_start() {
	: >"$work/serve.out"
	"$TAPEDECK" serve --data "$work/tape" --listen 127.0.0.1:0 "$@" >"$work/serve.out" 2>"$work/serve.err" &
	serve_pid=$!
	until_true 10 grep -q '^listening on http://127.0.0.1:[0-9]*$' "$work/serve.out" || fail "serve does not start"
	url=$(sed -n 's/^listening on //p' "$work/serve.out")
}

serve_stop() {
	local rc=0
	kill -TERM "$serve_pid"
	wait "$serve_pid" || rc=$?
	serve_pid=
	[ $rc = 0 ] || fail "serve ends with status $rc"
}

get() {
	local path=$1 args=()
	shift
	for arg; do args+=(--data-urlencode "$arg"); done
	curl -sS -m 30 -G -o "$work/body" -w '%{http_code}' "${args[@]}" "$url$path" >"$work/status" || fail "GET $path"
}

post() {
	curl -sS -m 30 -o "$work/body" -w '%{http_code}' -H 'Content-Type: application/json' --data-raw "$2" "$url$1" >"$work/status" || fail "POST $1"
}

status() {
	[ "$(cat "$work/status")" = "$1" ] || fail "status is $(cat "$work/status"), not $1"
}

expect() {
	local got
	got=$(jq -c "$2" "${3:-$work/body}" 2>&1) || fail "$2: $got"
	[ "$got" = "$1" ] || fail "$2 is $got, not $1"
}
