#!/usr/bin/env bash
# A tape of transfers through a firewall that loses packets, a hole of a second, and a reader that stops:
# what was sent again and why, and the closed windows, as the kernels of both ends counted them.
. "$(dirname "$0")/live-lib.bash"
for tool in nft nstat ss; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

make_lossy <<'NFT'
tcp dport 9000 tcp flags & (syn | fin) == 0 numgen random mod 100 < 2 counter drop
NFT
cat >"$work/server.py" <<'PY'
# 9000 reads all there is; 9001 too; 9002 waits before it does.
import socket, sys, threading, time
def serve(port, wait):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if wait:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30000)
    listener.bind((sys.argv[1], port))
    listener.listen(16)
    while True:
        peer, _ = listener.accept()
        time.sleep(wait)
        while peer.recv(65536):
            pass
        peer.sendall(b"done")
        peer.close()
for port, wait in (9001, 0), (9002, 1.5):
    threading.Thread(target=serve, args=(port, wait), daemon=True).start()
serve(9000, 0)
PY
cat >"$work/client.py" <<'PY'
# client.py ADDRESS PORT BYTES: sends them; with a fourth argument half of them when a line is read
import socket, sys
address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
peer = socket.create_connection((address, port))
if len(sys.argv) > 4:
    peer.sendall(b"y" * size)
    print("sent", flush=True)
    sys.stdin.readline()
peer.sendall(b"x" * size)
peer.shutdown(socket.SHUT_WR)
assert peer.recv(10) == b"done"
peer.close()
PY
start_far server python3 "$work/server.py" "$far4"
for port in 9000 9001 9002; do
	wait_for 10 listening far $port || fail "the server does not listen"
done
# Single packets to lose, not merged ones.
in_near sh -c 'command -v ethtool >/dev/null && ethtool -K veth tso off gso off' >/dev/null 2>&1
start_record
# counters NAMESPACE FILE: all of them, as they are
counters() { "in_$1" nstat -asz --json >"$work/$2" 2>/dev/null; }

for _ in 1 2 3; do
	in_near timeout 60 python3 "$work/client.py" "$far4" 9000 2000000 || fail "a transfer"
done
counters near lossy
dropped=$(in_far nft -j list chain inet lossy input | jq '[.. | .counter? // empty | .packets] | add')
[ "$dropped" -gt 0 ] || fail "the firewall lost nothing: no test"

mkfifo "$work/in"
exec 7<>"$work/in"
start_near client timeout 60 python3 "$work/client.py" "$far4" 9001 20000 hole <"$work/in" >"$work/said" 7>&-
wait_for 10 grep -q sent "$work/said" || fail "no connection"
in_far nft add rule inet lossy hole tcp dport 9001 drop
echo >&7
timeouts() { [ "$(in_near nstat -asz --json 2>/dev/null | jq .kernel.TcpExtTCPTimeouts)" -ge $((2 + $(jq .kernel.TcpExtTCPTimeouts "$work/lossy"))) ]; }
wait_for 20 timeouts || fail "no timeouts"
in_far nft flush chain inet lossy hole
exec 7>&-
wait "$client" || fail "the transfer through the hole"
counters near hole

counters far before_closed
in_near timeout 60 python3 "$work/client.py" "$far4" 9002 400000 || fail "the transfer to one that waits"
counters near closed
counters far closed_far
flows() { "$tapedeck" query flows --data "$work/tape" --filter "dst.ip == $far4 && ($1)" -o ndjson -n 1000; }
all_closed() { [ "$(flows 'vantage == client && state == closed' | wc -l)" -eq 5 ]; }
wait_for 15 all_closed || fail "flows of the clients that are closed: $(flows 'vantage == client && state == closed' | wc -l)"
stop_record

# A row is a report of what came since the one before it: sums are right. tape PORT VALUE [VANTAGE]
tape() { flows "dst.port == $1 && vantage == ${3:-client}" | jq -s "map($2 // 0) | add"; }
# told PORT CLASS: segments that the kernel told of as the client sent them again, or that only its socket counts (untold). The server does too, where
# the firewall takes an ACK; those count in the other kernel.
told() { "$tapedeck" query events --data "$work/tape" --filter "kind == retransmit && dst.ip == $far4 && dst.port == $1 && reason == $2" -o ndjson -n 10000 |
	jq -s "map(select(.pid != $server) | .value) | add // 0"; }
# kernel AFTER BEFORE SUM...: of counters
kernel() {
	local after=$1 before=$2 sum=0 name
	shift 2
	for name; do sum=$((sum + $(jq ".kernel.$name // 0" "$work/$after") - $(jq ".kernel.$name // 0" "$work/$before"))); done
	echo $sum
}
# near WORDS GOT WANTED SLACK
near_to() {
	local off=$(($2 - $3))
	[ ${off#-} -le "$4" ] || fail "$1: $2, not $3 (give or take $4)"
	echo "$1: $2 of $3 (give or take $4)"
}
echo '{"kernel":{}}' >"$work/begin"
[ "$(kernel lossy begin TcpRetransSegs)" -gt 0 ] || fail "nothing was retransmitted: no test"

port=9000 before=begin
for after in lossy hole closed; do
	sent_again=$(kernel $after $before TcpRetransSegs)
	# The recorder knows what no event told: the kernel passes over a program that it interrupts, and some kernels
	# over all of them while certain processes are current, with whatever interrupts these: bursts, but seldom.
	unheard=$(told $port untold)
	[ $((2 * unheard)) -le "$sent_again" ] || fail "$after: of $sent_again sent again no event told $unheard"
	[ "$unheard" -eq 0 ] || echo "note: $after: of $sent_again sent again no event told $unheard"
	want "$after: sent again, as the kernel told" "$(tape $port .tx_kernel_retransmits)" "$sent_again"
	want "$after: sent again, as the wire shows" "$(tape $port .tx_retransmits)" "$sent_again"
	want "$after: in the sockets at their end (ss)" "$("$tapedeck" query events --data "$work/tape" -n 1000 -o ndjson \
		--filter "kind == close && dst.ip == $far4 && dst.port == $port" |
		jq -s '[.[].text | capture("acked=(?<acked>[0-9]+) received=(?<received>[0-9]+) retransmits=(?<again>[0-9]+)") | map_values(tonumber) |
			select(.acked > .received) | .again] | add')" "$sent_again"
	fast=$(kernel $after $before TcpExtTCPFastRetrans)
	timed=$(kernel $after $before TcpExtTCPTimeouts TcpExtTCPSlowStartRetrans)
	probes=$(kernel $after $before TcpExtTCPLossProbes)
	want "$after: fast, in the events" "$(told $port fast)" "$(tape $port .tx_fast_retransmits)"
	near_to "$after: fast" "$(told $port fast)" "$fast" $unheard
	near_to "$after: after a timeout" "$(told $port timeout)" "$timed" $unheard
	# A loss probe may carry new data, and then nothing is sent again.
	near_to "$after: the rest is loss probes" "$(told $port tlp)" "$((sent_again - fast - timed))" $unheard
	[ "$(told $port tlp)" -le "$probes" ] || fail "more loss probes than the kernel's $probes"
	# Packets do not say why they are sent: one sent by a timer can look asked for, and a loss probe like either;
	# what recovery sends late, when its reordering timer runs out, does not look like an answer to an ACK: a few, and
	# all that was sent again though nothing of it was lost.
	spurious=0
	[ $after != lossy ] || [ $sent_again -le $dropped ] || spurious=$((sent_again - dropped))
	near_to "$after: asked for by ACKs" "$(tape $port .tx_ack_retransmits)" "$fast" $((timed + probes + spurious + (fast + 19) / 20))
	near_to "$after: by timer" "$(tape $port .tx_timer_retransmits)" "$timed" "$probes"
	before=$after port=$((port + 1))
done
[ "$(kernel hole lossy TcpExtTCPTimeouts)" -ge 2 ] || fail "the hole made no timeouts"

want "untold, in the counters" "$("$tapedeck" stats --data "$work/tape" -o json | jq .recorder.counters.retransmits_untold_total)" \
	"$("$tapedeck" query events --data "$work/tape" --filter 'kind == retransmit && reason == untold' -o ndjson -n 10000 | jq -s 'map(.value) | add // 0')"

zero=$(tape 9002 .rx_zero_windows)
[ "$zero" -ge "$(kernel closed_far before_closed TcpExtTCPToZeroWindowAdv)" ] && [ "$zero" -gt 0 ] || fail "windows of 0: $zero"
[ "$(tape 9002 .tx_window_full)" -gt 0 ] || fail "the window was never full"
# Linux probes with no byte at all, one below what is acknowledged: that is what a keep-alive looks like.
want "probes of the closed window" "$(($(tape 9002 .tx_window_probes) + $(tape 9002 .tx_keepalives)))" "$(kernel closed hole TcpExtTCPWinProbe)"
want "closed windows, both ends" "$zero" "$(tape 9002 .rx_zero_windows server)"
want "held up by" "$(flows 'dst.port == 9002 && vantage == client' | jq -r 'select(.rx_zero_windows > 0) | "\(.receiver_bound) \(.bottleneck)"' | sort -u)" "true receiver"
