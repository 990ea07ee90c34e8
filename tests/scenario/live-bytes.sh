#!/usr/bin/env bash
# What crossed the wire is what the recorder holds, byte for byte, super-packets
# larger than an IP length can say included: once at one end and the headers at
# the other, or at both.
. "$(dirname "$0")/live-lib.bash"
command -v tshark >/dev/null || skip "needs tshark"
need_bpf
make_namespaces

head -c 3000000 /dev/urandom >"$work/body"
cat >"$work/loop.py" <<'PY'
# Over loopback, whose segments of 64 KiB come in pairs.
import socket, sys, threading
body = open(sys.argv[1], "rb").read()
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
def send():
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as s:
        s.sendall(body)
threading.Thread(target=send).start()
peer, _ = listener.accept()
while peer.recv(1 << 20):
    pass
PY

# pass COPIES FLAGS...: transfer and look
pass() {
	local copies=$1 mine cookie sum cut again
	shift
	port=$((10000 + ($$ + copies) % 20000))	# the pcap file does not tell namespaces
	rm -f "$out" "$work/all.pcap"
	start_dump --pcap "$work/all.pcap" "$@"
	in_near python3 "$work/loop.py" "$work/body" "$port" || fail "the transfer"
	closed() { [ "$(count ".what == \"close\" and (.lport == $port or .rport == $port)")" -eq 2 ]; }
	wait_for 10 closed || fail "no close"
	stop_dump

	mine=".what == \"frame\" and .dport == $port"
	want "frames cut short where payload is kept" "$(count "$mine and .len != .cap and (.second | not)")" 0
	[ "$(lines | jq -s "[.[] | select($mine) | .len] | max")" -gt 65535 ] || echo "note: no frame beyond 65535 bytes here"
	# The receiver's view: one copy of each byte, in order.
	cookie=$(value ".what == \"open\" and .lport == $port" .cookie)
	sum=$(sum "$mine and .cookie == $cookie and .at == \"ingress\"" .len)
	[ "$sum" -gt 3000000 ] || fail "the receiver's frames hold $sum bytes"
	cut=$(count "$mine and .cookie == $cookie and .second and .cap < 100 and .len > 1000")
	if [ "$copies" -eq 1 ]; then
		[ "$cut" -gt 20 ] || fail "$cut frames of the second view without payload"
	else
		want "frames of a second view" "$(count "$mine and .second")" 0
	fi
	# A busy machine may make the kernel send a segment again.
	again=$(count ".what == \"retransmit\" and .rport == $port")
	want "put together, $copies times" "$(tshark -r "$work/all.pcap" -Y "tcp.dstport == $port && tcp.len > 0" \
		-T fields -e tcp.seq_raw -e tcp.payload 2>/dev/null | python3 -c '
import sys
body = open(sys.argv[1], "rb").read()
copies, again = int(sys.argv[2]), int(sys.argv[3])
pieces = [line.split() for line in sys.stdin]
pieces = [(int(p[0]), bytes.fromhex(p[1])) for p in pieces if len(p) == 2]	# of a second view: no payload
first = pieces[0][0]
held, covered = 0, bytearray(len(body))
for seq, data in pieces:
    at = (seq - first) % 2**32
    if body[at:at + len(data)] != data:
        sys.exit("other bytes at %d" % at)
    covered[at:at + len(data)] = b"x" * len(data)
    held += len(data)
exact = held == copies * len(body) or (again and held > copies * len(body))
print("all" if exact and covered == b"x" * len(body) else "%d of %d" % (held, copies * len(body)))
' "$work/body" "$copies" "$again")" all
}
pass 1
pass 2 --second-full 1

# The recorder keeps as much without being asked to.
port=$((10003 + $$ % 20000))
start_record
in_near python3 "$work/loop.py" "$work/body" "$port" || fail "the transfer"
rows() { "$tapedeck" query "$1" --data "$work/tape" --filter "$2" -o ndjson -n 10000; }
both_closed() { [ "$(rows flows "dst.port == $port && state == closed" | wc -l)" -eq 2 ]; }
wait_for 20 both_closed || fail "flows: $(rows flows "dst.port == $port")"
stop_record
skip_if_thinned
rows packets "flow.id == \"$(rows flows "dst.port == $port && view == first" | jq -r .id)\"" >"$work/packets"
# once, and what the kernel sent again
[ "$(jq -s 'map(.payload_bytes) | add' "$work/packets")" -ge 3000000 ] || fail "of the payload the tape holds $(jq -s 'map(.payload_bytes) | add' "$work/packets")"
want "its frames that were cut short" "$(jq -c 'select(.cap_len < .len)' "$work/packets" | wc -l)" 0
