#!/usr/bin/env bash
# A recorder that is held up: it leaves out bytes, then packets, says so, and
# takes everything again when it has caught up. Packets of each flow stay exact.
. "$(dirname "$0")/live-lib.bash"
need_bpf
make_namespaces

cat >"$work/send.py" <<'PY'
# Datagrams of 972 bytes (1000 with headers) to three sockets that exist: "flood N PORT" at once, "paced N PORT" one a ms.
import socket, sys, time
to = {}
sent = {6000: 0, 6001: 0, 6002: 0}
for port in sent:
    to[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to[port].connect((sys.argv[1], port))
for line in sys.stdin:
    how, n, port = line.split()
    for _ in range(int(n)):
        to[int(port)].send(b"x" * 972)
        sent[int(port)] += 1
        if how == "paced":
            time.sleep(0.001)
    print("sent", port, sent[int(port)], flush=True)
PY
start_hole 6000 6001 6002
tapedeck=$BUILD/tapedeck
"$tapedeck" record --data "$work/tape" --ring-bytes 256KiB 2>"$work/record.err" &
record=$!
started+=("$record")
recording() { grep -q recording "$work/record.err"; }
wait_for 20 recording || fail "no recorder: $(cat "$work/record.err")"
mkfifo "$work/in"
exec 7<>"$work/in"
start_near sender python3 "$work/send.py" "$far4" <"$work/in" >"$work/said" 7>&-
# send HOW N PORT
send() {
	local before
	before=$(wc -l <"$work/said")
	echo "$1 $2 $3" >&7
	said() { [ "$(wc -l <"$work/said")" -gt "$before" ]; }
	wait_for 30 said || fail "sending $*"
}
level() { grep -q "capture_level=$1 " "$work/record.err"; }

send paced 20 6000
send paced 20 6001
kill -STOP "$record"
send flood 400 6000	# more than the ring holds
kill -CONT "$record"
wait_for 10 level 3 || fail "no level 3: $(cat "$work/record.err")"
send paced 600 6001	# while packets are counted only
wait_for 10 level 0 || fail "it does not return to level 0: $(cat "$work/record.err")"
send paced 20 6000	# the first of them tells what was lost before it
send paced 20 6001
send paced 20 6002
exec 7>&-
wait "$sender" || fail "the sender"
query() { "$tapedeck" query "$1" --data "$work/tape" --filter "$2" -o ndjson -n 5000 "${@:3}"; }
# Reports of the sender's own view
rows() { query flows "dst.ip == $far4 && dst.port == $1 && vantage == client"; }
rows_closed() { rows 6002 | jq -e 'select(.state == "closed")' && rows 6000 | jq -e 'select(.state == "closed")' && rows 6001 | jq -e 'select(.state == "closed")'; }
wait_for 20 rows_closed || fail "flows: $(rows 6001)"
kill -TERM "$record"
wait "$record" || fail "the recorder ended with $?"

want "levels" "$(query events 'kind == capture_level' | jq -s -c 'sort_by(.start_ns) | map(.value) | [.[0], .[-3:][]]')" "[3,2,1,0]"
flow_sum() { rows "$1" | jq -s "map($2) | add"; }
packets() { query packets "flow.id == \"$(rows "$1" | jq -r .id | head -1)\"" | jq -s "$2"; }
want "packets of the flow that filled the ring" "$(flow_sum 6000 '.tx_packets + (.tx_lost_packets // 0)')" 440
[ "$(flow_sum 6000 '.tx_lost_packets // 0')" -gt 0 ] || fail "the ring was never full: no test"
want "packets of the flow that was counted" "$(flow_sum 6001 .tx_packets)" 640
want "its bytes" "$(flow_sum 6001 .tx_bytes)" 640000
held=$(packets 6001 length)
[ "$held" -lt 400 ] || fail "all but a few packets are held: $held"
[ "$(packets 6001 '[.[] | select(.cap_len < .len)] | length')" -gt 0 ] || fail "no packet was cut"
thinned=$(jq -r .recorder.counters.frames_skipped_total <("$tapedeck" stats --data "$work/tape" -o json))
[ "$thinned" -ge $((640 - held)) ] || fail "$thinned counted only, but $((640 - held)) are missing"
gap=$(query events 'kind == gap && reason == "thinned"' | jq -s 'map(.value) | add')
want "told as gaps" "$gap" "$thinned"
want "payload of the flow that was counted" "$("$tapedeck" show flow "$(rows 6001 | jq -r .id | head -1)" --data "$work/tape" | jq -r .payload)" thinned
want "packets afterwards, whole" "$(packets 6002 '[.[] | select(.cap_len == .len)] | length')" 20
want "counters" "$("$tapedeck" stats --data "$work/tape" -o json | jq -c '.recorder.live | [.level, .skipped == .skipped_told]')" "[0,true]"
"$tapedeck" check --data "$work/tape" >"$work/check" || fail "check: $(tail -2 "$work/check")"
