#!/usr/bin/env bash
# A NATS server and clients that count what they send and get: publications, deliveries of
# a queue group, requests with their latency, one that nobody answers, a login refused.
. "$(dirname "$0")/live-lib.bash"
command -v nats-server >/dev/null || skip "needs nats-server"
need_bpf
make_namespaces

cat >"$work/client.py" <<'PY'
import json, socket, sys, threading, time

class Client:
    def __init__(self, host, **options):
        self.s = socket.create_connection((host, 4222), timeout=10)
        self.f = self.s.makefile("rb")
        assert self.f.readline().startswith(b"INFO ")
        self.send(b"CONNECT " + json.dumps(dict(verbose=False, lang="python", version="1", headers=True,
                  no_responders=True, **options)).encode() + b"\r\nPING\r\n")
        self.refused = self.line().startswith(b"-ERR")

    def send(self, data):
        self.s.sendall(data)

    def line(self):
        while True:
            line = self.f.readline()
            if line.rstrip() != b"PING":
                return line
            self.send(b"PONG\r\n")

    def message(self):
        words = self.line().split()
        assert words[0] in (b"MSG", b"HMSG"), words
        data = self.f.read(int(words[-1]) + 2)
        return words, data[:-2]

    def settle(self):
        self.send(b"PING\r\n")
        assert self.line() == b"PONG\r\n"

host = sys.argv[1]
login = {"user": "tape", "pass": "s3cret"}
a, worker, service = Client(host, **login), Client(host, **login), Client(host, **login)
assert not a.refused and Client(host, user="tape", **{"pass": "wrong"}).refused
worker.send(b"SUB jobs.> workers 1\r\n")
worker.settle()
service.send(b"SUB svc.time 1\r\n")
service.settle()

def serve():
    for i in range(10):
        words, data = service.message()
        time.sleep(0.02)
        service.send(b"PUB " + words[3] + b" 5\r\nreply\r\n")
    service.settle()

thread = threading.Thread(target=serve)
thread.start()
for i in range(50):
    a.send(b"PUB jobs.%d 100\r\n" % i + b"x" * 100 + b"\r\n")
head = b"NATS/1.0\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nK: v\r\n\r\n"
a.send(b"HPUB jobs.h %d %d\r\n" % (len(head), len(head) + 4) + head + b"body\r\n")
got = [worker.message() for _ in range(51)]
assert got[-1][1].endswith(b"body")
a.send(b"SUB _INBOX.me.* 7\r\n")
for i in range(10):
    a.send(b"PUB svc.time _INBOX.me.%d 3\r\nnow\r\n" % i)
    assert a.message()[1] == b"reply"
a.send(b"PUB svc.none _INBOX.me.none 0\r\n\r\n")
assert b" 503" in a.message()[1]
thread.join()
print("ok")
PY
cat >"$work/nats.conf" <<CONF
listen: "$far4:4222"
authorization { user: tape, password: s3cret }
CONF
start_far server nats-server -c "$work/nats.conf" >"$work/server.log" 2>&1
wait_for 20 listening far 4222 || skip "nats-server does not run here: $(tail -2 "$work/server.log")"
start_record
in_near timeout 60 python3 "$work/client.py" "$far4" >"$work/said" 2>&1 || fail "the client: $(cat "$work/said")"
wait_for 10 eval '[ "$(calls_count "l7 == nats && method == CONNECT")" -eq 4 ]' || fail "no connections on the tape"
stop_record

of() { calls "l7 == nats && $1"; }
want "publications" "$(of 'method == PUB && target_template == "jobs.{id}" && end_reason == oneway' | wc -l)" 50
want "their bytes" "$(of 'method == PUB && target_template == "jobs.{id}"' | jq -s 'map(.req_body_bytes) | add')" 5000
want "a publication with headers" "$(of 'method == HPUB' | jq -r '"\(.topic) \(.req_body_bytes) \(.trace_id)"')" \
	"jobs.h 4 0af7651916cd43dd8448eb211c80319c"
want "deliveries to the queue group" "$(of 'queue == workers && (method == MSG || method == HMSG)' | wc -l)" 51
want "requests answered" "$(of 'method == PUB && topic == "svc.time" && end_reason == complete && status_class == ok' | wc -l)" 10
want "replies that took their time" "$(of 'method == PUB && topic == "svc.time" && latency > 19ms' | wc -l)" 10
want "the service's side of them" "$(of 'method == MSG && topic == "svc.time" && end_reason == complete && latency > 19ms' | wc -l)" 10
want "nobody there" "$(of 'topic == "svc.none"' | jq -r '"\(.status) \(.status_class) \(.error)"')" "503 server_error 503 No Responders"
want "logins" "$(of 'method == CONNECT && user == tape' | jq -r '.error // "-"' | sort | xargs)" "- - - Authorization Violation"
"$tapedeck" query calls --data "$work/tape" -o ndjson -n 10000 | grep -q s3cret && fail "a password in a row"
id=$(of 'method == CONNECT && status_class == none' | jq -r .id | head -n 1)
want "the password in full view" "$("$tapedeck" show call "$id" --data "$work/tape" | jq -r '.. | .pass? // empty')" '(masked)'
