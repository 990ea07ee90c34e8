#!/usr/bin/env bash
# Exports of a store while it is recorded into, one after the other, as fast as they go: they cost the recorder no
# frame and no byte of one, and the last one has every frame that was sent.
. "$(dirname "$0")/live-lib.bash"
need_bpf
make_namespaces

cat >"$work/send.py" <<'PY'
# Datagrams of 1,000 bytes in bursts of 100, a burst each 10 ms: 10 MB/s for as long as the exports take.
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 6100))
sent = 0
while not os.path.exists(sys.argv[2]) and sent < 200000:
    for _ in range(100):
        s.send(b"%012d" % sent * 81)
        sent += 1
    time.sleep(0.01)
print(sent)
PY
start_hole 6100
tapedeck=$BUILD/tapedeck
"$tapedeck" record --data "$work/tape" 2>"$work/record.err" &
record=$!
started+=("$record")
recording() { grep -q recording "$work/record.err"; }
wait_for 20 recording || fail "no recorder: $(cat "$work/record.err")"
start_near sender python3 "$work/send.py" "$far4" "$work/enough" >"$work/sent"
stored() { "$tapedeck" query flows --filter "dst.port == 6100" --data "$work/tape" -o ndjson -n 1 | grep -q .; }
wait_for 20 stored || fail "nothing is stored"

filter="src.ip == $near4 && dst.ip == $far4 && dst.port == 6100 && vantage == client"
last=0 exports=0 end=$((SECONDS + 4))
while [ "$SECONDS" -lt "$end" ] || [ "$exports" -lt 3 ]; do
	"$tapedeck" export --data "$work/tape" --format pcap -o "$work/all.pcap" 2>"$work/export.err" || fail "export: $(cat "$work/export.err")"
	size=$(stat -c %s "$work/all.pcap")
	[ "$size" -ge "$last" ] || fail "export $exports is smaller than the one before: $size after $last bytes"
	last=$size
	exports=$((exports + 1))
done
touch "$work/enough"
wait "$sender" || fail "the sender"
kill -TERM "$record"
wait "$record" || fail "the recorder ended with $?: $(cat "$work/record.err")"

"$tapedeck" stats --data "$work/tape" -o json >"$work/stats.json"
left_out=$(jq -c '.recorder.counters | [.frames_lost_total, .frames_skipped_total, .frames_cut_total]' "$work/stats.json")
[ "$left_out" = "[0,0,0]" ] || fail "frames lost, counted only, cut short: $left_out: $(
	jq -c '.recorder | [.pace, .live.level, .live.thinned]' "$work/stats.json") $(grep 'level changed' "$work/record.err" | head -n 2)"
want "changes of the capture level" "$("$tapedeck" query events --filter "kind == capture_level" --data "$work/tape" -o ndjson | wc -l)" 0
"$tapedeck" export --data "$work/tape" --filter "$filter" --format pcap -o "$work/last.pcap" || fail "last export"
want "datagrams sent and exported" "$(python3 - "$work/last.pcap" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
at, numbers = 24, set()
while at < len(data):
    held = struct.unpack_from("<I", data, at + 8)[0]
    frame = data[at + 16:at + 16 + held]
    if len(frame) >= 984:
        numbers.add(frame[-972:])
    at += 16 + held
print(len(numbers))
PY
)" "$(cat "$work/sent")"
[ "$last" -gt 1000000 ] || fail "an export of $last bytes is no load"
