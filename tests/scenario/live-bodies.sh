#!/usr/bin/env bash
# Bodies that say more than their heads: GraphQL operations and server-sent events through nginx, asked by
# curl over HTTP/2 and over HTTP/1.1. What the server wrote down and curl received is on the tape, and the
# curl line of a call makes the server write the same again. Caddy packs a page with zstd, which is shown unpacked.
. "$(dirname "$0")/live-lib.bash"
for tool in nginx curl h2load caddy; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

cat >"$work/server.py" <<'PY'
import http.server, json, re, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args):
        pass
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind, name = re.match(r"(\w+) (\w+)", asked["query"]).groups()
        said.write(f"{kind} {name}\n")
        said.flush()
        answer = {"data": None, "errors": [{"message": "no such " + name}]} if name == "Missing" else {"data": {}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(30):
            event = f": {i}\n\nevent: tick\nid: {i}\ndata: {'x' * i}\n\n".encode()
            # every third in pieces, cut in the middle of a line
            for piece in (event[:9], event[9:21], event[21:]) if i % 3 == 0 else (event,):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
                if i % 3 == 0:
                    time.sleep(0.01)
        self.wfile.write(b"0\r\n\r\n")

said = open(sys.argv[2], "w")
server = http.server.ThreadingHTTPServer((sys.argv[1], 9001), Handler)
server.serve_forever()
PY
cat >"$work/Caddyfile" <<CONF
{
	admin off
	auto_https off
	servers {
		protocols h1 h2c
	}
}
http://$far4:8082 {
	root * $work/www
	encode zstd
	file_server
}
CONF
mkdir "$work/www"
seq 20000 >"$work/www/page.txt"
HOME=$work XDG_DATA_HOME=$work start_far caddy caddy run --config "$work/Caddyfile" --adapter caddyfile >"$work/caddy.log" 2>&1
start_far server /usr/bin/python3 "$work/server.py" "$far4" "$work/said" >"$work/server.log" 2>&1
start_nginx <<CONF
proxy_http_version 1.1;
proxy_buffering off;
server { listen $far4:8080; location / { proxy_pass http://$far4:9001; } }
server { listen $far4:8081 http2; location / { proxy_pass http://$far4:9001; } }
CONF
wait_for 20 listening far 9001 || skip "the server does not run here: $(tail -2 "$work/server.log")"
wait_for 20 listening far 8082 || skip "Caddy does not run here: $(tail -2 "$work/caddy.log")"
start_record

ask() { # PORT NAME TYPE...: curl
	local port=$1 text="$3 $2 { a(id: 7) { name } }"
	shift 3
	in_near curl -sS -m 20 "$@" -H 'Content-Type: application/json' --data-raw "{\"query\":\"$text\"}" "http://$far4:$port/graphql" >>"$work/answers" ||
		fail "curl: $?"
}
for port in 8080 8081; do
	flag=--http1.1
	[ $port = 8081 ] && flag=--http2-prior-knowledge
	for name in First Second Missing; do
		ask $port $name query $flag
	done
	ask $port Change mutation $flag
	in_near curl -sS -m 20 -N $flag "http://$far4:$port/feed/7" >"$work/feed.$port" || fail "curl: $?"
done
for flag in --http1.1 --http2-prior-knowledge; do
	in_near curl -sS -m 20 $flag --compressed -H 'Accept-Encoding: zstd' -D "$work/head" -o "$work/page" "http://$far4:8082/page.txt" || fail "curl: $?"
	cmp -s "$work/page" "$work/www/page.txt" && grep -qi '^content-encoding: zstd' "$work/head" || fail "not packed: $(cat "$work/head")"
done
# ten at a time on one connection
printf '{"query":"query Together { a }"}' >"$work/together"
in_near timeout 20 h2load -n 10 -c 1 -m 10 -d "$work/together" -H 'content-type: application/json' "http://$far4:8081/graphql" >"$work/h2load" 2>&1 &&
	grep -q "10 succeeded, 0 failed" "$work/h2load" || fail "h2load: $(tail -3 "$work/h2load")"
all_there() { [ "$(calls_count "l7 == graphql && dst.port == 8081 && target == Together")" = 10 ]; }
wait_for 20 all_there || missing=1
stop_record
skip_if_thinned
[ -z "${missing:-}" ] || fail "on the tape: $(calls "true" | jq -r '"\(.l7) \(.method) \(.target) \(.end_reason)"' | sort | uniq -c | xargs)"

want "curl's answers" "$(wc -c <"$work/feed.8081")" "$(wc -c <"$work/feed.8080")"
for port in 8080 8081; do
	on="dst.port == $port"
	want "operations on $port" "$(calls "l7 == graphql && $on && target != Together" | jq -r '"\(.start_ns) \(.method) \(.target)"' | sort | cut -d' ' -f2- | xargs)" \
		"query First query Second query Missing mutation Change"
	want "the one that failed" "$(calls "l7 == graphql && $on && status_class != ok" | jq -r '"\(.target) \(.status) \(.status_class) \(.error)"')" \
		"Missing 200 server_error no such Missing"
	want "other JSON" "$(calls "$on && (l7 == http || l7 == http2)" | wc -l)" 0
	page=$(calls "l7 == sse && $on")
	want "the page of events" "$(jq -r '"\(.method) \(.target) \(.status) \(.rows) \(.end_reason)"' <<<"$page")" "GET /feed/7 200 30 complete"
	want "its size" "$(jq -r .rsp_body_bytes <<<"$page")" "$(wc -c <"$work/feed.$port")"
	events=$(calls "l7 == sse && src.port == $port")
	want "events" "$(jq -r '"\(.start_ns) \(.method):\(.key):\(.req_body_bytes)"' <<<"$events" | sort | cut -d' ' -f2 | xargs)" \
		"$(for i in $(seq 0 29); do echo "tick:$i:$i"; done | xargs)"
	want "all whole" "$(jq -r '"\(.target) \(.end_reason)"' <<<"$events" | sort -u)" "/feed/7 oneway"
	for id in $(jq -r 'select(.key == "3" or .key == "4" or .key == "27").id' <<<"$events"); do
		"$tapedeck" show call "$id" --data "$work/tape" | jq -r '[.request.fields[] | select(.name == "id" or .name == "data" or .name == "event").value] | join(",")'
	done | sort >"$work/shown"
	want "three of them shown" "$(xargs <"$work/shown")" "tick,27,$(printf '%027d' 0 | tr 0 x) tick,3,xxx tick,4,xxxx"
done
want "pages packed with zstd" "$(calls 'dst.port == 8082' | jq -r '"\(.l7) \(.status) \(.end_reason) \(.rsp_body_bytes < 80000)"' | sort | xargs)" \
	"http 200 complete true http2 200 complete true"
for id in $(calls 'dst.port == 8082' | jq -r .id); do
	"$tapedeck" show call "$id" --data "$work/tape" | jq -j .response.body | cmp -s - "$work/www/page.txt" || fail "not unpacked: $id"
done
want "versions" "$(calls 'l7 == graphql && dst.port < 9000' | jq -r .version | sort | uniq -c | xargs)" "4 1.1 14 2"
want "what the server heard" "$(sort "$work/said" | uniq -c | xargs)" \
	"2 mutation Change 2 query First 2 query Missing 2 query Second 10 query Together"

# The line for curl, of each version, has the server hear the same again.
"$tapedeck" serve --data "$work/tape" --listen 127.0.0.1:0 >"$work/serve.out" 2>"$work/serve.err" &
started+=($!)
wait_for 20 grep -q '^listening on http' "$work/serve.out" || fail "serve does not start: $(cat "$work/serve.err")"
url=$(sed -n 's/^listening on //p' "$work/serve.out")
: >"$work/lines"
for port in 8080 8081; do
	id=$(calls "l7 == graphql && dst.port == $port && target == Change" | jq -r .id)
	curl -sS -m 20 "$url/api/v1/calls/$id?as=curl" >"$work/line" || fail "as=curl"
	grep -q -- --http2-prior-knowledge "$work/line" && echo 2 >>"$work/lines" || echo 1 >>"$work/lines"
	in_near bash "$work/line" >>"$work/repeated" 2>"$work/line.err" || fail "the line does not run: $(cat "$work/line" "$work/line.err")"
done
want "lines" "$(xargs <"$work/lines")" "1 2"
want "heard again" "$(tail -n 2 "$work/said" | xargs)" "mutation Change mutation Change"
