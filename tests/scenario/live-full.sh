#!/usr/bin/env bash
# A ring too small for a flood that nobody drains: every frame is delivered or
# told as lost, once, by the socket it belongs to.
. "$(dirname "$0")/live-lib.bash"
need_bpf
make_namespaces

cat >"$work/flood.py" <<'PY'
# Datagrams of a known number and size: many at once, then one for each line read.
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 6000))
for _ in range(3000):
    s.send(b"x" * 972)
print("flooded", flush=True)
sent = 3000
for line in sys.stdin:
    s.send(b"y" * 972)
    sent += 1
print("sent", sent, flush=True)
PY
start_hole 6000
start_dump --ring 65536 --stall 1500
mkfifo "$work/in"
exec 7<>"$work/in"
start_near flood python3 "$work/flood.py" "$far4" <"$work/in" >"$work/said" 7>&-
wait_for 20 grep -q flooded "$work/said" || fail "the flood"
# The reader begins. Others may fill the ring too: one of ours finds room at last.
one_comes_out() {
	echo one >&7
	seen '.what == "frame" and .dport == 6000 and .at == "egress" and .lost_before'
}
wait_for 30 one_comes_out || fail "nothing comes out"
exec 7>&-
wait "$flood" || fail "the sender"
sent=$(sed -n 's/^sent //p' "$work/said")
wait_for 20 seen '.what == "close" and .rport == 6000' || fail "no close"
kill "$hole"
wait "$hole" 2>/dev/null
stop_dump

mine='.what == "frame" and .dport == 6000 and .at == "egress"'
got=$(count "$mine")
told=$(sum "$mine and .lost_before" .lost_before)
cookie=$(value '.what == "open" and .rport == 6000' .cookie)
last=$(sum ".what == \"lost\" and .cookie == $cookie" .value)
[ "$got" -gt 0 ] && [ "$told" -gt 0 ] || fail "nothing lost ($told) or nothing delivered ($got): no test"
want "frames of the sender, delivered and lost" $((got + told + last)) "$sent"
want "their bytes" $(($(sum "$mine" .len) + $(sum "$mine and .lost_before" .lost_before_bytes) + $(sum ".what == \"lost\" and .cookie == $cookie" .value2))) $((sent * 1000))

status() { jq "select(.what == \"status\") | $1" "$out"; }
want "all frames of all sockets" "$(status '.delivered + .lost.ring_full + .lost.copy_failed + .excluded')" "$(status .seen)"
want "copies refused" "$(status .lost.copy_failed)" 0
want "control records lost" "$(status .events_lost)" 0
# Other programs on this machine have sockets that stay open with losses untold: only ours can be exact.
[ "$(status .lost_told)" -le "$(status .lost.ring_full)" ] || fail "more told than lost"
