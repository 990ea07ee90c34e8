#!/usr/bin/env bash
# The server as a process: no rights, a read-only store, tokens, origins, clients that leave, a full house, rubbish, the end.
. "$(dirname "$0")/rest-lib.bash"
make_store
printf 'a secret token\n' >"$work/token"
chmod 600 "$work/token"

# ---- rights
checksums() { (cd "$work/tape" && find . -type f ! -name lock.mdb -exec sha256sum {} + | sort -k2); }
checksums >"$work/before"
serve_start
grep -c . "$work/serve.out" | grep -qx 1 || fail "more than one line on stdout"
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$serve_pid/status" || fail "effective capabilities"
grep -q '^CapPrm:[[:space:]]*0*$' "/proc/$serve_pid/status" || fail "permitted capabilities"
grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$serve_pid/status" || fail "new privileges are possible"
if [ "$(id -u)" = 0 ]; then
	uid=$(awk '/^Uid:/ { print $2 }' "/proc/$serve_pid/status")
	gid=$(awk '/^Gid:/ { print $2 }' "/proc/$serve_pid/status")
	[ "$uid" != 0 ] || fail "still root"
	grep -q '^CapBnd:[[:space:]]*0*$' "/proc/$serve_pid/status" || fail "capabilities can come back"
	# As that user nothing of the store can be written, made or removed; lock.mdb is where LMDB counts its readers.
	setpriv --reuid="$uid" --regid="$gid" --clear-groups bash -c '
		cd "$1" || exit 1
		for file in $(find . -type f ! -name lock.mdb); do [ ! -w "$file" ] || { echo "can write $file"; exit 1; }; done
		for dir in $(find . -type d); do [ ! -w "$dir" ] || { echo "can write into $dir"; exit 1; }; done' - "$work/tape" ||
		fail "the store is not read-only to serve"
fi

# ---- a client that goes away ends its query, and the thread is free again
running() { get /metrics; [ "$(awk '$1 == "tapedeck_http_requests_running" { print $2 }' "$work/body")" = "$1" ]; }
cancelled() { get /metrics; awk '$1 == "tapedeck_http_requests_cancelled_total" { exit !($2 >= want) }' want="$1" "$work/body"; }
curl -sN -m 0.5 "$url/api/v1/replay?speed=0.01" >"$work/replayed"
until_true 3 running 1 || fail "the replay goes on without a client"
cancelled 1 || fail "not counted as cancelled"

# ---- four streams are all; queries and probes go on
streams=()
for _ in 1 2 3 4; do
	curl -sN "$url/api/v1/replay?speed=0.01" >/dev/null &
	streams+=($!)
done
until_true 3 running 5 || fail "four replays do not run"
get /api/v1/replay
status 503
expect '"E_BUSY"' .error.code
get /api/v1/calls limit=1
status 200
get /healthz
status 200
kill "${streams[@]}"
wait "${streams[@]}" 2>/dev/null
until_true 3 running 1 || fail "streams do not end"

# ---- rubbish, from a seed; the server still answers
timeout 60 python3 - "${url##*:}" <<'PY' || fail "rubbish"
import random, socket, sys
seed = 20260102
rng = random.Random(seed)
print("seed", seed)
words = [b"GET", b"POST", b" ", b"/", b"api/v1/calls", b"?", b"filter=", b"%", b"%00", b"&", b"=", b"HTTP/1.1", b"HTTP/1.0",
         b"\r\n", b"\n", b"Host: localhost", b"Content-Length: 5", b"Content-Length: -5", b"Transfer-Encoding: chunked",
         b"fffffffff", b"0", b"{", b"}", b"[", b'"', b"grafana/query", b"\0", b"\xff", b"limit=", b"9" * 40, b"cursor=", b"A" * 300,
         b"Connection: close", b"flows/", b"0123456789abcdef", b"/stream", b"from=", b"-15m", b"&&", b"(" * 70, b"http"]
sockets = 0
for n in range(1000):
    kind = rng.randrange(4)
    if kind == 0:
        data = rng.randbytes(rng.randrange(1, 2000))
    elif kind == 1:
        data = b"".join(rng.choice(words) for _ in range(rng.randrange(1, 60))) + b"\r\n\r\n"
    elif kind == 2:
        query = b"".join(rng.choice(words[4:]) for _ in range(rng.randrange(20))).translate(None, b"\r\n \0")
        data = b"GET /api/v1/" + rng.choice([b"calls", b"flows", b"aggregate", b"values", b"at", b"export", b"packets"]) + b"?" + query + b" HTTP/1.0\r\n\r\n"
    else:
        body = b"".join(rng.choice([b'{"targets":[', b'{"target":"', b"calls", b'"', b"]", b"}", b",", b'"payload":{', b'"filters":[{"key":"l7","operator":"', b"=~", b'"value":"(', b"1", b"null", b":", b"\\"]) for _ in range(rng.randrange(40)))
        data = b"POST /grafana/" + rng.choice([b"query", b"variable", b"tag-values", b"search", b"annotations", b"metrics"]) + b" HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as s:
        try:
            s.sendall(data)
            if rng.randrange(3):
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
        except (ConnectionError, BrokenPipeError):
            pass
PY
kill -0 "$serve_pid" || fail "rubbish ended the server"
until_true 5 running 1 || fail "rubbish left something running"
get /api/v1/calls filter=http limit=10000
expect 300 '.data | length'
serve_stop
checksums | cmp -s "$work/before" - || fail "the store has changed"

# ---- a token
serve_start --token-file "$work/token"
code() { curl -s -o "$work/body" -w '%{http_code}' "$@"; }
[ "$(code "$url/api/v1/calls")" = 401 ] || fail "no token"
expect '"E_AUTH"' .error.code
[ "$(code -H 'Authorization: Bearer a secret tokem' "$url/api/v1/calls")" = 401 ] || fail "wrong token"
[ "$(code -H 'Authorization: Bearer a secret token' "$url/api/v1/calls")" = 200 ] || fail "right token"
[ "$(code -u 'grafana:a secret token' "$url/grafana")" = 200 ] || fail "token as a password"
[ "$(code "$url/readyz")" = 200 ] || fail "probes need no token"
[ "$(code "$url/metrics")" = 401 ] || fail "metrics without a token"
grep -q 'secret' "$work/serve.err" && fail "the token is in the log"
serve_stop

# ---- origins, and names that are not ours
serve_start --cors http://grafana.example:3000
curl -s -D "$work/head" -o /dev/null -X OPTIONS -H 'Origin: http://grafana.example:3000' "$url/grafana"
grep -qi '^access-control-allow-origin: http://grafana.example:3000' "$work/head" || fail "preflight"
curl -s -D "$work/head" -o /dev/null -H 'Origin: http://other.example' "$url/grafana"
grep -qi '^access-control' "$work/head" && fail "a stranger's page may read"
[ "$(code -H 'Host: other.example' "$url/api/v1/calls")" = 421 ] || fail "another name"
serve_stop

# ---- a store that is not there yet is found when it comes
mv "$work/tape" "$work/later"
mkdir "$work/tape" && chmod 755 "$work/tape"
serve_start
get /readyz
status 503
expect '["not ready",1]' '[.status, (.reasons | length)]'
get /healthz
status 200
get /api/v1/calls
status 503
for entry in "$work"/later/*; do mv "$entry" "$work/tape/"; done
ready() { get /readyz; [ "$(cat "$work/status")" = 200 ]; }
until_true 5 ready || fail "the store is not found when it comes"
get /api/v1/calls filter=http limit=10000
expect 300 '.data | length'

# ---- an end while somebody reads
curl -sN "$url/api/v1/replay?speed=0.01" >/dev/null &
until_true 3 running 2 || fail "no replay"
begin=$(date +%s%N)
serve_stop
[ $((($(date +%s%N) - begin) / 1000000)) -lt 3000 ] || fail "the end took long"

for listen in nonsense 127.0.0.1 127.0.0.1:99999 host.example:80 :80; do
	"$TAPEDECK" serve --data "$work/tape" --listen "$listen" >"$work/out" 2>&1 && fail "listens on $listen"
	grep -q 'ADDR:PORT' "$work/out" || fail "no words about $listen: $(cat "$work/out")"
done
"$TAPEDECK" serve --data "$work/nothing" --listen 127.0.0.1:0 >"$work/out" 2>&1 && fail "serves no directory"
echo "serve has no rights, keeps strangers out, frees its threads, outlives rubbish and stops in order"
