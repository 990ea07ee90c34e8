#!/usr/bin/env bash
# `tapedeck run`: a curl on this machine is a call seconds later, with the processes of both ends, its exact bytes and
# its pcap; serve has no rights; a crashed recorder comes back, and the hole is a gap.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-run.XXXXXX")
pids=()
cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
	rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "FAIL: $*"; tail -5 "$work/run.err"; exit 1; }
# until SECONDS COMMAND...: try it every 0.2 s
until_true() {
	local n=$(($1 * 5))
	shift
	for _ in $(seq "$n"); do "$@" && return 0; sleep 0.2; done
	return 1
}
chmod 755 "$work"
"$TAPEDECK" run --data "$work/tape" --listen 127.0.0.1:0 >"$work/run.out" 2>"$work/run.err" &
run=$!
pids+=($run)
served() { grep -q 'serves http' "$work/run.out"; }
gone() { ! kill -0 $run 2>/dev/null; }
ready_or_gone() { { served && grep -q recording "$work/run.err"; } || gone; }
until_true 20 ready_or_gone || fail "neither ready nor ended"
if gone; then
	if grep -qiE 'permi|privilege|capab|BPF|BTF' "$work/run.err"; then
		echo "eBPF is not permitted here: $(tail -1 "$work/run.err")"
		exit 77
	fi
	fail "run ended"
fi
url=$(sed -n 's/.*serves \(http[^ ]*\) .*/\1/p' "$work/run.out" | head -1)
[ "$(grep -c "curl -s" "$work/run.out")" = 3 ] || fail "three examples are not printed"

# A server and its client.
mkdir "$work/www" && printf 'hello from the wire %s\n' "$work" >"$work/www/hello.txt"
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/www" >"$work/server.out" 2>&1 &
server=$!
pids+=($server)
until_true 10 grep -q port "$work/server.out" || fail "the server does not start"
port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/server.out" | head -1)
curl -s "http://127.0.0.1:$port/hello.txt?id=4711" >/dev/null || fail "curl"

call() { curl -s -G "$url/api/v1/calls" --data-urlencode "filter=http && dst.port == $port" --data-urlencode from=-1m >"$work/calls.json" && [ "$(jq '.data | length' "$work/calls.json")" = 1 ]; }
until_true 10 call || fail "the call does not show: $(head -c 300 "$work/calls.json")"
want='["curl","python3","/hello.txt?id=4711",200,"complete"]'
got=$(jq -c '.data[0] | [."src.comm", ."dst.comm", .target, .status, .end_reason]' "$work/calls.json")
[ "$got" = "$want" ] || fail "call is $got"
[ "$(jq '.data[0]."dst.pid"' "$work/calls.json")" = $server ] || fail "dst.pid is not $server"
id=$(jq -r '.data[0].id' "$work/calls.json")
curl -s "$url/api/v1/calls/$id?raw=request" | head -1 | grep -q '^GET /hello.txt?id=4711 HTTP/1.1' || fail "raw request"
curl -s "$url/api/v1/calls/$id?raw=response" >"$work/response"
tail -n +1 "$work/response" | sed '1,/^\r*$/d' | cmp -s - "$work/www/hello.txt" || fail "raw response: $(head -c 200 "$work/response")"
curl -s "$url/api/v1/calls/$id" | jq -e '.. | .body? // empty | tostring | contains("hello from the wire")' >/dev/null || fail "the body is not in the call's detail"
# Both ends of the connection are flows of their own.
both() { [ "$(curl -s -G "$url/api/v1/flows" --data-urlencode "filter=dst.port == $port" | jq -c '[.data[].vantage] | unique')" = '["client","server"]' ]; }
until_true 10 both || fail "the flow is not there from both ends"
curl -s -G "$url/api/v1/export" --data-urlencode "filter=dst.port == $port" --data-urlencode format=pcapng >"$work/flow.pcapng"
if command -v tshark >/dev/null; then
	tshark -r "$work/flow.pcapng" -d "tcp.port==$port,http" -T fields -e http.request.uri 2>/dev/null | grep -q '/hello.txt?id=4711' || fail "tshark does not see the request in the export"
	# Both ends saw each frame; an export holds it once.
	! tshark -r "$work/flow.pcapng" -Y tcp.analysis.retransmission 2>/dev/null | grep . || fail "frames are in the export twice"
fi

# serve cannot do anything.
serve=$(pgrep -P $run -f . | while read -r p; do [ "$(cat "/proc/$p/comm")" = tapedeck-serve ] && echo "$p"; done)
[ -n "$serve" ] || fail "no serve process"
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$serve/status" || fail "serve has capabilities"
[ "$(stat -c %u "/proc/$serve")" != 0 ] || [ "$(id -u)" != 0 ] || fail "serve runs as root"
record=$(pgrep -P $run -f . | while read -r p; do [ "$(cat "/proc/$p/comm")" = tapedeck-record ] && echo "$p"; done)

# A recorder that is killed comes back, the hole is recorded, and what was committed is still there.
kill -9 "$record"
sleep 1
curl -s "$url/api/v1/calls/$id?raw=request" | grep -q '^GET' || fail "serve does not answer while the recorder is down"
gap() { curl -s -G "$url/api/v1/events" --data-urlencode 'filter=kind == gap' | jq -e '.data | length > 0' >/dev/null; }
until_true 15 gap || fail "no gap after kill -9"
curl -s "http://127.0.0.1:$port/again" >/dev/null
again() { curl -s -G "$url/api/v1/calls" --data-urlencode 'filter=target == "/again"' | jq -e '.data | length == 1' >/dev/null; }
until_true 10 again || fail "the recorder does not record after its restart"

kill -TERM $run
until_true 10 gone || fail "run does not stop"
"$TAPEDECK" check --data "$work/tape" >"$work/check" || fail "check: $(tail -2 "$work/check")"
"$TAPEDECK" query calls --data "$work/tape" --filter "dst.port == $port" -o ndjson | jq -e 'select(.target == "/hello.txt?id=4711")' >/dev/null || fail "the call is gone after the stop"
echo "a curl became a call with both processes, its bytes and its pcap; kill -9 became a gap"
