#!/usr/bin/env bash
# Both ends of a connection recorded, the payload once: the second view's packets
# are all there with their lengths, and whoever asks for its bytes gets them from
# the first view. Payload that the first view cannot have is taken at the second.
. "$(dirname "$0")/live-lib.bash"
need_bpf
make_namespaces

cat >"$work/server.py" <<'PY'
import socket, sys
listener = socket.create_server((sys.argv[1], 8080))
while True:
    peer, _ = listener.accept()
    if peer.recv(1000) == b"bye":
        sys.stdin.readline()	# the client is gone
        peer.sendall(b"L" * 777)
    else:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"0123456789" * 4000)
    peer.close()
PY
cat >"$work/ask.py" <<'PY'
import socket, sys
s = socket.create_connection((sys.argv[1], 8080))
s.sendall(b"GET /twice HTTP/1.1\r\nHost: far\r\n\r\n")
while s.recv(65536):
    pass
s.close()
s = socket.create_connection((sys.argv[1], 8080))
s.sendall(b"bye")
s.close()
PY
mkfifo "$work/in"
exec 7<>"$work/in"
cat >"$work/echo.py" <<'PY'
import socket, sys
listener = socket.create_server((sys.argv[1], 8081))
while True:
    peer, _ = listener.accept()
    while True:
        data = peer.recv(100)
        if not data:
            break
        peer.sendall(data)
    peer.close()
PY
cat >"$work/many.py" <<'PY'
import socket, sys
s = socket.create_connection((sys.argv[1], 8081))
for _ in range(400):
    s.sendall(b"q" * 50)
    s.recv(100)
s.close()
PY
start_far echo python3 "$work/echo.py" "$far4"
wait_for 10 listening far 8081 || fail "the second server does not listen"
start_far server python3 "$work/server.py" "$far4" <"$work/in" 7>&-
wait_for 10 listening far 8080 || fail "the server does not listen"
tapedeck=$BUILD/tapedeck
"$tapedeck" record --data "$work/tape" 2>"$work/record.err" &
record=$!
started+=("$record")
recording() { grep -q recording "$work/record.err"; }
wait_for 20 recording || fail "no recorder: $(cat "$work/record.err")"
in_near python3 "$work/ask.py" "$far4" || fail "the client"
gone() { in_near ss -Htan "dport = :8080" | grep -q FIN-WAIT-2; }
wait_for 10 gone || fail "the client's second socket is not closed: $(in_near ss -tan)"
echo answer >&7
query() { "$tapedeck" query "$1" --data "$work/tape" --filter "$2" -o ndjson -n 1000 "${@:3}"; }
mine="dst.ip == $far4 && dst.port == 8080"
both_closed() { [ "$(query flows "$mine && state == closed" | wc -l)" -eq 4 ]; }
wait_for 20 both_closed || fail "flows: $(query flows "$mine")"
kill "$record"
wait "$record"

flow() { query flows "$mine && l7 == http && view == $1" | jq -r "$2"; }
first=$(flow first .id) second=$(flow second .id)
want "the twin of the first" "$(flow first '."twin.id"')" "$second"
want "the twin of the second" "$(flow second '."twin.id"')" "$first"
want "vantages" "$(flow first .vantage) $(flow second .vantage)" "client server"
totals='[.tx_goodput_bytes, .rx_goodput_bytes, .tx_retransmits + .rx_retransmits, .rx_missing_bytes] | @csv'
want "what the second view counts" "$(flow second "$totals")" "$(flow first "$totals")"
want "response bytes" "$(flow second .rx_goodput_bytes)" 40042

packets() { query packets "flow.id == \"$1\"" | jq -s "$2"; }
want "packets of the first view cut" "$(packets "$first" '[.[] | select(.cap_len < .len)] | length')" 0
want "payload kept of the second" "$(packets "$second" '[.[] | select(.payload_bytes > 0 and .cap_len > 80)] | length')" 0
want "payload seen by the second" "$(packets "$second" '[.[] | select(.dir == "rx") | .payload_bytes] | add')" 40042
show() { "$tapedeck" show flow "$1" --data "$work/tape"; }
want "payload of the first" "$(show "$first" | jq -r .payload)" present
want "payload of the second" "$(show "$second" | jq -r .payload)" first_view
want "calls" "$(query calls "$mine" | jq -r .target)" /twice
call=$(query calls "$mine" | jq -r .id)
want "the response" "$("$tapedeck" show call "$call" --raw response --data "$work/tape" | tail -c 40000 | md5sum | cut -c1-8)" \
	"$(python3 -c 'print("0123456789" * 4000, end="")' | md5sum | cut -c1-8)"

# The last answer comes to a closed socket.
late=$(query flows "$mine && view == second && l7 != http" | jq -r .id)
[ -n "$late" ] || late=$(query flows "$mine && view == second" | jq -r "select(.id != \"$second\") | .id")
want "payload that only the second view saw" "$(packets "$late" '[.[] | select(.payload_bytes == 777) | .cap_len == .len]' | jq -c .)" "[true]"

# Counted only: the same packets and bytes, and hardly any held.
"$tapedeck" record --data "$work/tape2" --second-view count 2>"$work/record.err" &
record=$!
started+=("$record")
wait_for 20 recording || fail "no recorder: $(cat "$work/record.err")"
in_near python3 "$work/many.py" "$far4" || fail "the client"
query2() { "$tapedeck" query "$1" --data "$work/tape2" --filter "$2" -o ndjson -n 1000; }
mine="dst.ip == $far4 && dst.port == 8081"
closed2() { [ "$(query2 flows "$mine && state == closed" | wc -l)" -eq 2 ]; }
wait_for 20 closed2 || fail "flows: $(query2 flows "$mine")"
kill "$record"
wait "$record"
sums() { query2 flows "$mine && view == $1" | jq -s -c '[(map(.tx_packets) | add) + (map(.rx_packets) | add), (map(.tx_bytes) | add) + (map(.rx_bytes) | add)]'; }
want "packets and bytes that the second view counts" "$(sums second)" "$(sums first)"
held() { query2 packets "flow.id == \"$(query2 flows "$mine && view == $1" | jq -r .id | head -1)\"" | wc -l; }
[ "$(held second)" -lt "$(($(held first) / 4))" ] || fail "$(held second) packets of the second view are held, $(held first) of the first"
want "told as missing" "$(query2 events 'kind == gap && reason == "thinned"' | wc -l)" 0
"$tapedeck" check --data "$work/tape" >"$work/check" || fail "check: $(tail -2 "$work/check")"
