#!/usr/bin/env bash
# Sockets of other kinds: UDP connected and not, IPv6, refused connections,
# translated addresses, processes that are not to be captured.
. "$(dirname "$0")/live-lib.bash"
command -v nft >/dev/null || skip "needs nft"
need_bpf
make_namespaces

cat >"$work/echo.py" <<'PY'
import socket, sys, threading
def udp(family, host):
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((host, 5300))
    while True:
        data, peer = server.recvfrom(2000)
        server.sendto(data, peer)
def tcp(host, port, family):
    server = socket.create_server((host, port), family=family)
    while True:
        peer, _ = server.accept()
        peer.sendall(peer.recv(1000))
        peer.close()
for run, args in ((udp, (socket.AF_INET6, sys.argv[2])), (tcp, (sys.argv[1], 5301, socket.AF_INET)),
                  (tcp, (sys.argv[2], 5301, socket.AF_INET6))):
    threading.Thread(target=run, args=args, daemon=True).start()
udp(socket.AF_INET, sys.argv[1])
PY
cat >"$work/ask.py" <<'PY'
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
if kind == "tcp":
    s = socket.socket(family)
    try:
        s.connect((host, port))
    except ConnectionRefusedError:
        sys.exit(0)
    s.sendall(b"hello")
    assert s.recv(100) == b"hello"
else:
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(10)
    if kind == "connected":
        s.connect((host, port))
        s.send(b"hello")
    else:
        s.sendto(b"hello", (host, port))
    assert s.recv(100) == b"hello"
s.close()
PY
in_near nft -f - <<NFT 2>"$work/nft.err" || skip "nft is refused: $(cat "$work/nft.err")"
table ip translate {
	chain output {
		type nat hook output priority -100;
		ip daddr 10.231.8.9 tcp dport 80 dnat to $far4:5301
	}
}
NFT
ip -n "$near" route add 10.231.8.0/24 dev veth
start_far server python3 "$work/echo.py" "$far4" "$far6"
start_far excluded python3 -m http.server 5309 --bind "$far4"  >/dev/null 2>&1
wait_for 10 listening_udp far 5300 && wait_for 10 listening far 5301 && wait_for 10 listening far 5309 ||
	fail "the servers do not listen"
# A raw socket is handed copies of every UDP packet of its namespace: they must not count twice.
start_near raw python3 -c "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 17)
print('raw', flush=True)
sys.stdout.close()
while True:
    s.recv(2000)" >"$work/raw"
wait_for 10 grep -q raw "$work/raw" || fail "no raw socket"
start_dump --exclude "$excluded"

ask() { # variable kind host port
	start_near "$1" python3 "$work/ask.py" "$2" "$3" "$4"
	wait "${!1}" || fail "asking $*"
}
ask connected connected "$far4" 5300
ask loose loose "$far4" 5300
ask loose6 loose "$far6" 5300
ask tcp6 tcp "$far6" 5301
ask refused tcp "$far4" 5999
ask translated tcp 10.231.8.9 80
in_near python3 -c "import urllib.request as u; u.urlopen('http://$far4:5309/').read()" || fail "the excluded server"
wait_for 10 seen ".what == \"close\" and .rport == 5309" || fail "no close"
stop_dump

open='.what == "open"'
want "connected UDP" "$(value "$open and .proto == 17 and .rport == 5300" '"\(.pid) \(.local) \(.remote)"')" "$connected $near4 $far4"
want "unconnected UDP has no fixed peer" "$(value "$open and .pid == $loose and .proto == 17" '"\(.local) \(.rport)"')" "$near4 0"
want "unconnected UDP over IPv6" "$(value "$open and .pid == $loose6 and .proto == 17" '"\(.local) \(.rport)"')" "$near6 0"
for pid in $connected $loose $loose6; do
	cookie=$(value "$open and .pid == $pid" .cookie)
	want "its frames, out and in" "$(lines | jq -r "select(.what == \"frame\" and .cookie == $cookie) | .at" | xargs)" "egress ingress"
	want "its end" "$(count ".what == \"close\" and .cookie == $cookie")" 1
done
want "frames at the raw socket" "$(count ".what == \"open\" and .pid == $raw")" 0
want "UDP servers" "$(count "$open and .lport == 5300 and .pid == $server")" 2
want "IPv6 client" "$(value "$open and .rport == 5301 and .remote == \"$far6\"" .pid)" "$tcp6"
want "IPv6 accepted" "$(value "$open and .lport == 5301 and .local == \"$far6\"" '"\(.pid) \(.accepted)"')" "$server true"
want "refused" "$(value '.what == "connect_failed" and .rport == 5999' '"\(.pid) \(.value)"')" "$refused 111"
want "refused, no close besides" "$(count '.what == "close" and .rport == 5999')" 0
want "reset by nobody" "$(value '.what == "reset_sent" and .lport == 5999' '"\(.cookie) \(.local) \(.remote)"')" "0 $far4 $near4"
want "reset received" "$(value '.what == "reset_received" and .rport == 5999' .pid)" "$refused"

want "dialled" "$(value "$open and .pid == $translated" '"\(.remote) \(.rport)"')" "10.231.8.9 80"
cookie=$(value "$open and .pid == $translated" .cookie)
first=$(lines | jq -c "select(.what == \"frame\" and .cookie == $cookie and .at == \"egress\")" | head -n 1)
want "on the wire, and as dialled" "$(jq -r '"\(.dst):\(.dport) \(.sk_remote):\(.sk_rport)"' <<<"$first")" "$far4:5301 10.231.8.9:80"
want "frames translated without need" "$(count '.what == "frame" and .sk_remote and .sk_remote == .dst and .at == "egress" and .sk_lport == .sport and .sk_rport == .dport')" 0

want "frames at the excluded server" "$(count ".what == \"frame\" and .netns == $netns_far and (.sport == 5309 or .dport == 5309)")" 0
want "events of the excluded server" "$(count ".what != \"frame\" and .pid == $excluded and .what != \"exec\" and .what != \"exit\"")" 0
[ "$(count ".what == \"frame\" and (.sport == 5309 or .dport == 5309)")" -ge 8 ] || fail "its client was not captured"
