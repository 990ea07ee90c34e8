#!/usr/bin/env bash
# Sockets older than the recorder have owners; workers that accept on their
# parent's socket own what they accept.
. "$(dirname "$0")/live-lib.bash"
need_bpf
make_namespaces

cat >"$work/prefork.py" <<'PY'
import os, socket, sys, time
listener = socket.create_server((sys.argv[1], 7000))
if os.fork() == 0:
    while True:
        peer, _ = listener.accept()
        while True:
            asked = peer.recv(100)
            if not asked:
                break
            peer.sendall(str(os.getpid()).encode())
        peer.close()
os.wait()
PY
cat >"$work/talk.py" <<'PY'
# Talks once for each line that it reads, over one connection.
import socket, sys
peer = socket.create_connection((sys.argv[1], 7000))
print("connected", flush=True)
for line in sys.stdin:
    peer.sendall(b"who?")
    print(peer.recv(100).decode(), flush=True)
PY
start_far parent python3 "$work/prefork.py" "$far4"
wait_for 10 listening far 7000 || fail "the server does not listen"
worker=$(pgrep -P "$parent")
started+=("$worker")

mkfifo "$work/older.in"
exec 7<>"$work/older.in"
start_near older python3 "$work/talk.py" "$far4" <"$work/older.in" >"$work/older.out" 7>&-
wait_for 10 grep -q connected "$work/older.out" || fail "the first client does not connect"
start_dump 7>&-
echo ask >&7
wait_for 10 grep -qx "$worker" "$work/older.out" || fail "the worker does not answer"
exec 7>&-
wait "$older"

echo ask | in_near python3 "$work/talk.py" "$far4" >"$work/newer.out"
both_closed() { [ "$(count '.what == "close" and .lport == 7000')" -eq 2 ]; }
wait_for 10 both_closed || fail "no close"
stop_dump

client=".local == \"$near4\" and .rport == 7000"
server=".local == \"$far4\" and .lport == 7000"
want "older client" "$(value ".what == \"open\" and $client and .existing" '"\(.pid) \(.comm) \(.accepted)"')" "$older python3 false"
# The census meets the parent first only if it holds the socket: here the worker alone accepted it.
want "older accepted" "$(value ".what == \"open\" and $server and .existing" '"\(.pid) \(.accepted)"')" "$worker true"
want "newer accepted, first taken for its listener's" \
	"$(value ".what == \"open\" and $server and (.existing | not)" .pid)" "$parent"
cookie=$(value ".what == \"open\" and $server and (.existing | not)" .cookie)
want "newer accepted, corrected" "$(value ".what == \"owner\" and .cookie == $cookie" .pid)" "$worker"
want "at its end" "$(value ".what == \"close\" and .cookie == $cookie" .pid)" "$worker"
