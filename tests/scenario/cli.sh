#!/usr/bin/env bash
# The command line as a user meets it: exit codes and words for every kind of mistake, the same content in every
# format, the same answer from a directory and from a server, help, completion and man page of every command.
set -u
command -v jq >/dev/null && command -v python3 >/dev/null || { echo "no jq or no python3"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-cli.XXXXXX")
serve=
cleanup() {
	[ -n "$serve" ] && kill "$serve" 2>/dev/null && wait "$serve" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
chmod 755 "$work"
cd "$work" || exit 1
failures=0
fail() { echo "FAIL: $*"; failures=$((failures + 1)); }
# wants CODE WORDS COMMAND...: the exit code, words on stderr, nothing on stdout when it failed
wants() {
	local code=$1 words=$2 got
	shift 2
	timeout 20 "$TAPEDECK" "$@" >out 2>err </dev/null
	got=$?
	[ $got = "$code" ] || fail "$* ends with $got, not $code: $(head -c 200 err)"
	grep -qF -- "$words" err out || fail "$* does not say \"$words\": $(head -c 300 err)"
	[ $got = 0 ] || [ $got -ge 3 ] || [ ! -s out ] || fail "$* fails and prints: $(head -c 100 out)"
}

python3 - >capture.pcap <<'PY'
import struct, sys
def frame(src, sport, dst, dport, data):
    udp = struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(src), bytes(dst))
    return b"\2" * 12 + b"\x08\0" + ip + udp
def dns(number, name, response):
    labels = b"".join(bytes([len(x)]) + x for x in name.split(b".")) + b"\0"
    return struct.pack(">HHHHHH", number, 0x8183 if response else 0x0100, 1, 0, 0, 0) + labels + b"\0\1\0\1"
out = sys.stdout.buffer
out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
for n in range(250):
    a, b = (10, 0, 0, 1 + n % 3), (10, 0, 1, 1)
    q = frame(a, 4000 + n % 3, b, 53, dns(n, b"host%d.example" % (n % 7), False))
    r = frame(b, 53, a, 4000 + n % 3, dns(n, b"host%d.example" % (n % 7), True))
    for k, data in ((0, q), (1500, r)):
        out.write(struct.pack("<IIII", 1700000000 + n, k, len(data), len(data)) + data)
PY
wants 0 "" import capture.pcap --data tape --progress none

# ---- protocols that are off: their flows and bytes stay ----
wants 0 "" import capture.pcap --data nodns --progress none --protocols -dns
wants 0 "protocols                          -dns" stats --data nodns
wants 0 "streams_off_total" stats --data nodns
wants 3 "" query calls --fail-empty --data nodns
wants 0 "" export --data nodns --format pcap --output nodns.pcap
wants 0 "" export --data tape --format pcap --output all.pcap
cmp -s all.pcap nodns.pcap || fail "--protocols -dns loses bytes"

# ---- mistakes ----
wants 2 "no command" nosuch
wants 2 "which table" query
wants 2 "one argument too many" query calls flows
wants 2 "one argument too many" horizon extra
wants 2 "no flag" query calls --nosuch
wants 2 "did you mean --filter" query calls --filtre x
wants 2 "needs a value" query calls --limit
wants 2 "not a number" query calls --limit abc
wants 2 "1 or more" query calls --limit 0 --data tape
wants 2 "--from" query calls --from yesterdayish --data tape
wants 2 "ends before it begins" query calls --from now --to -5m --data tape
wants 2 "did you mean ftp, http, ntp?" import capture.pcap --data off --protocols htp
wants 2 "there are all, none, amqp" import capture.pcap --data off --protocols nosuch
wants 2 "a name is missing" import capture.pcap --data off --protocols dns,
wants 2 "grpc is read out of http2" record --data off --protocols grpc
wants 2 "a unit is missing" top calls --step 5 --data tape
wants 2 "cursor" query calls --cursor zzz --data tape
wants 2 "none of table" query calls -o xml --data tape
wants 2 "table or json" horizon -o csv --data tape
wants 2 "auto, always or never" query calls --color purple --data tape
wants 2 "--data is empty" query calls --data=
wants 2 "at byte 0" query calls --filter 'bogus == 1' --data tape
wants 2 "at most 65535" query calls --filter 'src.port == 70000' --data tape
wants 2 "is an instant" query calls --filter 'start_ns > yesteryear' --data tape
wants 2 "one of the two" query calls --at now --from -5m --data tape
wants 2 "at byte 0" query calls --fields bogus --data tape
wants 2 "none of count" top calls --agg bogus --data tape
wants 2 "hexadecimal" show call xyz --data tape
wants 2 "for calls" show flow 0000000000000001 --raw request --data tape
wants 2 "pcap or pcapng" export --format zip -o x --data tape
wants 2 "packet filter" export --bpf 'foo bar' -o x --data tape
wants 2 "ndjson" replay -o csv --data tape
wants 2 "none of show" retention nosuch --data tape
wants 2 "expected" config --config /etc/passwd
wants 1 "holds no store" query calls --data nowhere
wants 1 "holds no store" check --data nowhere
wants 0 "0 losses" check --data tape --repair saved
[ ! -s err ] || fail "check --repair says on stderr: $(head -c 200 err)"
wants 1 "No such file" import nowhere.pcap --data tape
echo "some text" >text
wants 1 "not a pcap" import text --data tape
wants 1 "empty" import - --data tape
wants 1 "no longer held" show call 0000000000000001 --data tape
wants 1 "No space" export -o /dev/full --data tape
wants 1 "onnect" query calls --server http://127.0.0.1:1
wants 3 "" query calls --fail-empty --filter 'src.port == 1' --data tape
wants 4 "nothing is held before" query calls --strict --from 2001-01-01T00:00:00Z --data tape
wants 0 "" query calls --strict --limit 1 --data tape
echo precious >kept
wants 2 "at byte 0" export --filter 'bogus == 1' -o kept --data tape
[ "$(cat kept)" = precious ] || fail "a mistake in the filter emptied the output file"
TAPEDECK_LIMIT=7 wants 0 "limit = 7" config
echo 'limit = 3' >conf
[ "$("$TAPEDECK" query calls --config conf --data tape --no-headers | wc -l)" = 3 ] || fail "the configuration file is not read"
[ "$(TAPEDECK_LIMIT=4 "$TAPEDECK" query calls --config conf --data tape --no-headers | wc -l)" = 4 ] || fail "the environment does not win over the file"
[ "$(TAPEDECK_LIMIT=4 "$TAPEDECK" query calls -n 5 --config conf --data tape --no-headers | wc -l)" = 5 ] || fail "the flag does not win"
NO_COLOR=1 "$TAPEDECK" query calls --data tape | grep -q $'\033' && fail "NO_COLOR prints colours"
"$TAPEDECK" query calls --data tape --color always | grep -q $'\033' || fail "--color always prints none"

# ---- formats ----
ids() { "$TAPEDECK" query calls --data tape -n 1000 --fields id,target,latency_ns -o "$1"; }
ids json | jq -r '.data[] | [.id, .target, .latency_ns] | @tsv' >json
ids ndjson | jq -r '[.id, .target, .latency_ns] | @tsv' >ndjson
ids csv | tail -n +2 | tr , '\t' >csv
[ "$(wc -l <json)" = 250 ] || fail "$(wc -l <json) calls of 250"
cmp -s json ndjson && cmp -s json csv || fail "json, ndjson and csv differ"
cut -f1 json >ids
ids table | tail -n +2 | awk '{ print $1 }' | cmp -s - ids || fail "the table has other rows"
# Pages make the whole.
cursor= pages=0
: >paged
while :; do
	"$TAPEDECK" query calls --data tape -n 37 --fields id -o json ${cursor:+--cursor "$cursor"} >page || { fail "page $pages"; break; }
	jq -r '.data[].id' page >>paged
	cursor=$(jq -r '.next // empty' page)
	pages=$((pages + 1))
	[ -n "$cursor" ] && [ $pages -lt 20 ] || break
done
cmp -s ids paged || fail "$pages pages are not the whole"
[ "$("$TAPEDECK" top calls --data tape -o json | jq '.data[0].count')" = 250 ] || fail "top counts otherwise"
for time in 1700000100 1700000100000 1700000100000000000 2023-11-14T22:15:00Z "2023-11-14T23:15:00+01:00"; do
	[ "$("$TAPEDECK" query calls --data tape --from "$time" --within --no-headers -n 1000 | wc -l)" = 150 ] || fail "--from $time"
done

# ---- a server says the same ----
"$TAPEDECK" serve --data tape --listen 127.0.0.1:0 >serve.out 2>serve.err &
serve=$!
for _ in $(seq 50); do grep -q http: serve.out && break; sleep 0.1; done
url=$(sed -n 's/.*\(http:[^ ]*\).*/\1/p' serve.out | head -1)
[ -n "$url" ] || { fail "serve prints no address"; exit 1; }
same() {
	local here there
	"$TAPEDECK" "$@" --data tape >here 2>here.err; here=$?
	"$TAPEDECK" "$@" --server "$url" >there 2>there.err; there=$?
	[ $here = $there ] || fail "$*: $here here, $there from the server: $(cat there.err)"
	cmp -s here there || fail "$* differs from the server's: $(diff here there | head -4)"
}
for table in flows calls packets events entities rollups; do
	for format in table wide ndjson csv; do same query $table -o $format -n 500; done
done
id=$(head -1 ids)
flow=$("$TAPEDECK" query flows --data tape -n 1 --fields id --no-headers)
same query calls --filter 'dns && target contains "host3"' --no-headers
same query calls --filter 'latency > 1ms' --ascending -o csv
same query flows --at 2023-11-14T22:15:00.0005Z -o csv
same query calls --within --from 1700000100 -o csv
same query calls --fail-empty --filter 'src.port == 1'
same query calls --strict --from 2001-01-01T00:00:00Z
same query calls --strict -n 1
same query calls --filter 'bogus == 1'
same query calls --cursor zzz
same top calls --by target --agg 'count,p50(latency),error_ratio' -o csv
same top calls --by src.ip --step 10s -o ndjson
same top calls --fail-empty --filter 'src.port == 1'
same show call "$id"
same show call "$id" --raw request
same show flow "$flow"
same show call 0000000000000001
same export -o - --format pcap
same export -o - --filter 'src.port == 4001' --bpf 'src port 53'
same export -o - --filter 'src.port == 1' --fail-empty
same export -o /dev/full
same replay --speed 0
same horizon
same horizon -o json
same stats
same stats -o table

# ---- about itself ----
commands=$("$TAPEDECK" help | awk '/^  [a-z]/ { print $1 }')
for command in $commands; do
	wants 0 "Usage: tapedeck $command" "$command" --help
	wants 0 "Usage: tapedeck $command" help "$command"
	"$TAPEDECK" completion bash | grep -q "$command)" || fail "completion does not know $command"
done
completes() { # words of the line..., and then what must be among the answers
	bash --norc -c 'source <("$TAPEDECK" completion bash); COMP_WORDS=("${@:1:$#-1}"); COMP_CWORD=$(($# - 2)); _tapedeck; printf "%s\n" "${COMPREPLY[@]}"' - "$@" | grep -qxF -- "${@: -1}" || fail "completion of: $*"
}
completes tapedeck que query
completes tapedeck query fl flows
completes tapedeck query flows --fil --filter
completes tapedeck query flows -o wi wide
completes tapedeck show call x --raw req request
completes tapedeck query flows --data ta tape
completes tapedeck import cap capture.pcap
"$TAPEDECK" docs docs || fail docs
if command -v mandoc >/dev/null; then
	mandoc -Tlint -Wwarning docs/man/tapedeck.1 >lint || fail "man page: $(head -3 lint)"
fi
[ "$failures" = 0 ] || exit 1
echo "every mistake has its words and its exit code; formats, directory and server agree"
