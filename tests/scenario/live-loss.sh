#!/usr/bin/env bash
# Packets that the firewall drops: each retransmission is reported, as many as
# the kernel's own counters say, with its class.
. "$(dirname "$0")/live-lib.bash"
command -v nft >/dev/null && command -v nstat >/dev/null || skip "needs nft and nstat"
need_bpf
make_namespaces

make_lossy <<'NFT'
tcp dport 9000 tcp flags & (syn | fin) == 0 numgen inc mod 40 == 7 drop
tcp dport 9001 tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 drop
NFT
cat >"$work/sink.py" <<'PY'
import socket, sys, threading
def serve(port):
    listener = socket.create_server((sys.argv[1], port))
    while True:
        peer, _ = listener.accept()
        while peer.recv(65536):
            pass
        peer.sendall(b"done")
        peer.close()
threading.Thread(target=serve, args=(9001,), daemon=True).start()
serve(9000)
PY
cat >"$work/slow.py" <<'PY'
# Asks when told: first the handshake, then each line read is one request.
import socket, sys
peer = socket.create_connection((sys.argv[1], 9001))
print("connected", flush=True)
for line in sys.stdin:
    peer.sendall(b"x" * 500)
peer.shutdown(socket.SHUT_WR)
assert peer.recv(10) == b"done"
PY
cat >"$work/send.py" <<'PY'
import socket, sys
peer = socket.create_connection((sys.argv[1], 9000))
for _ in range(60):
    peer.sendall(b"x" * 20000)
peer.shutdown(socket.SHUT_WR)
assert peer.recv(10) == b"done"
peer.close()
PY
start_far server python3 "$work/sink.py" "$far4"
wait_for 10 listening far 9000 || fail "the server does not listen"
# Single packets to lose, not merged ones.
in_near sh -c 'command -v ethtool >/dev/null && ethtool -K veth tso off gso off' >/dev/null 2>&1
start_dump
start_near client python3 "$work/send.py" "$far4"
wait "$client" || fail "the transfer"
wait_for 10 seen ".what == \"close\" and .rport == 9000" || fail "no close"
counters=$(in_near nstat -asz --json 2>/dev/null)

mkfifo "$work/in"
exec 7<>"$work/in"
start_near slow python3 "$work/slow.py" "$far4" <"$work/in" >"$work/said" 7>&-
wait_for 10 grep -q connected "$work/said" || fail "the second SYN does not get through"
in_far nft add rule inet lossy hole tcp dport 9001 drop
echo ask >&7
wait_for 20 seen '.what == "retransmit" and .rport == 9001 and .class == "timeout"' || fail "no timeout"
in_far nft flush chain inet lossy hole
exec 7>&-
wait "$slow" || fail "the slow client"
stop_dump

retransmits='.what == "retransmit" and .rport == 9000'
counted=$(jq '.kernel.TcpRetransSegs' <<<"$counters")
told=$(sum "$retransmits" .value)
[ "$counted" -gt 0 ] || fail "nothing was retransmitted: no test"
# The kernel may pass over a program that it interrupted, and some over all of them while certain processes are current.
# The socket counts them: its count goes up by more than an event tells of.
untold_to() {
	lines | jq -s --argjson port "$1" '[.[] | select((.what == "retransmit" or .what == "close") and .rport == $port) |
		[.total_retrans, if .what == "close" then 0 else .value end]] |
		reduce .[] as [$total, $value] ({seen: 0, untold: 0}; .untold += $total - .seen - $value | .seen = $total) | .untold'
}
untold=$(untold_to 9000)
[ "$untold" -eq 0 ] || echo "note: $untold of $counted are known not to be told"
[ $((2 * untold)) -le "$counted" ] || fail "of $counted no event told $untold"
want "segments sent again" $((told + untold)) "$counted"
want "segments sent again, at the end" "$(value '.what == "close" and .rport == 9000' .total_retrans)" "$counted"
[ "$(sum "$retransmits and .class == \"fast\"" .value)" -gt 0 ] || fail "none of $told by fast retransmit"
want "of no known class" "$(count "$retransmits and .class == \"other\"")" 0
want "of another process" "$(count "$retransmits and .pid != $client")" 0

if [ "$(untold_to 9001)" -gt 0 ]; then
	echo "note: no event told how the slow client sent $(untold_to 9001) segments again"
	exit 0
fi
slow_ones=".what == \"retransmit\" and .rport == 9001 and .pid == $slow"
want "SYNs sent again" "$(sum "$slow_ones and .class == \"syn\"" .value)" 1
# A lone segment is probed for first, then its timer runs out.
want "then, in this order" "$(lines | jq -r "select($slow_ones and .class != \"syn\") | .class" | uniq | xargs)" "tlp timeout"
