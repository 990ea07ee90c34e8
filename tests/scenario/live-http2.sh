#!/usr/bin/env bash
# HTTP/2 without TLS: nghttpd under h2load, which counts, and pushing to nghttp; nginx asked by
# curl; and gRPC of both kinds of streams between a Python server and a client that counts.
. "$(dirname "$0")/live-lib.bash"
for tool in nghttpd h2load nghttp nginx curl; do
	command -v $tool >/dev/null || skip "needs $tool"
done
python=/usr/bin/python3
$python -c 'import grpc' 2>/dev/null || skip "needs Python's grpc"
need_bpf
make_namespaces

mkdir "$work/www"
head -c 3000 /dev/urandom >"$work/www/page"
head -c 40000 /dev/urandom >"$work/www/style"
cat >"$work/grpc_server.py" <<'PY'
import sys, time, grpc
from concurrent import futures

def echo(request, context):
    return request
def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100%")
def several(request, context):
    for i in range(7):
        yield b"x" * 1000
def both(requests, context):
    for request in requests:
        yield request + request
def slow(request, context):
    time.sleep(1)
    return request

methods = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo), "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Several": grpc.unary_stream_rpc_method_handler(several), "Both": grpc.stream_stream_rpc_method_handler(both),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tape.Test", methods),))
assert server.add_insecure_port(sys.argv[1] + ":9000")
server.start()
server.wait_for_termination()
PY
cat >"$work/grpc_client.py" <<'PY'
import sys, grpc

channel = grpc.insecure_channel(sys.argv[1] + ":9000")
trace = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
echo = channel.unary_unary("/tape.Test/Echo")
for i in range(40):
    assert echo(b"m" * i, metadata=trace) == b"m" * i
waiting = [echo.future(b"many at a time", metadata=trace) for i in range(60)]
assert all(f.result() == b"many at a time" for f in waiting)
try:
    channel.unary_unary("/tape.Test/Fail")(b"")
except grpc.RpcError as e:
    assert e.code() == grpc.StatusCode.NOT_FOUND and e.details() == "no such thing: 100%"
try:
    channel.unary_unary("/tape.Test/Nothing")(b"")
except grpc.RpcError as e:
    assert e.code() == grpc.StatusCode.UNIMPLEMENTED
try:
    channel.unary_unary("/tape.Test/Slow")(b"", timeout=0.2)
except grpc.RpcError as e:
    assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED
assert sum(len(m) for m in channel.unary_stream("/tape.Test/Several")(b"")) == 7000
assert list(channel.stream_stream("/tape.Test/Both")(iter([b"a", b"b", b"c"]))) == [b"aa", b"bb", b"cc"]
channel.close()
print("ok")
PY
start_far nghttpd nghttpd --no-tls -a "$far4" -d "$work/www" --echo-upload -p/page=/style 8081 >"$work/nghttpd.log" 2>&1
start_nginx <<CONF
server {
	listen $far4:8080 http2;
	root $work/www;
	location /broken/ { return 503; }
}
CONF
start_far rpc $python "$work/grpc_server.py" "$far4" >"$work/rpc.log" 2>&1
wait_for 20 listening far 8081 || skip "nghttpd does not run here: $(tail -2 "$work/nghttpd.log")"
wait_for 20 listening far 9000 || skip "gRPC does not run here: $(tail -2 "$work/rpc.log")"
start_record

in_near timeout 60 h2load -n 1000 -c 4 -m 20 "http://$far4:8081/style" >"$work/h2load" 2>&1 || fail "h2load: $(tail -3 "$work/h2load")"
grep -q "1000 succeeded, 0 failed" "$work/h2load" || fail "h2load: $(grep requests: "$work/h2load")"
in_near timeout 20 nghttp -n "http://$far4:8081/page" || fail "nghttp"
asked=$work/curl
for path in page users/17 broken/x; do
	in_near curl -s --http2-prior-knowledge -o "$asked" -w '%{http_version} %{http_code} %{size_download}\n' \
		-H 'X-Request-Id: req-1' "http://$far4:8080/$path"
done >"$work/curls"
head -c 20000 "$work/www/style" >"$work/body"
in_near curl -s --http2-prior-knowledge -o "$asked" --data-binary "@$work/body" "http://$far4:8081/echo" || fail "curl: $?"
cmp -s "$asked" "$work/body" || fail "no echo"
in_near timeout 60 $python "$work/grpc_client.py" "$far4" >"$work/said" 2>&1 || fail "gRPC: $(tail -3 "$work/said")"
all_there() { [ "$(calls_count "l7 == grpc && dst.port == 9000")" -ge 105 ]; }
wait_for 20 all_there || missing=1
stop_record
skip_if_thinned
[ -z "${missing:-}" ] ||
	fail "RPCs on the tape: $(calls "l7 == grpc" | jq -r '"\(.method) \(.end_reason)"' | sort | uniq -c | xargs)"

of() { calls "l7 == $1 && $2"; }
style='dst.port == 8081 && target == "/style" && user_agent.startsWith("h2load")'
want "h2load's requests" "$(of http2 "$style && end_reason == complete && status == 200" | wc -l)" 1000
want "all it has sent" "$(of http2 "$style" | wc -l)" 1000
want "their bytes" "$(of http2 "$style" | jq -s 'map(.rsp_body_bytes) | add')" 40000000
want "their connections" "$(of http2 "$style" | jq -r '."flow.id"' | sort -u | wc -l)" 4
want "what h2load says of the headers" \
	"$(of http2 "$style" | jq -s 'map(.rsp_bytes - .rsp_body_bytes) | add > 0')" true
last=$(of http2 "$style" | jq -rs 'max_by(.number).id')
want "a late one's headers" "$("$tapedeck" show call "$last" --data "$work/tape" |
	jq -r '[.request.authority, (.request.unknown_fields // 0), (.response.headers[] | select(.name == "content-length").value), .response.body_bytes] | @csv' | tr -d '"')" \
	"$far4:8081,0,40000,40000"
want "pushed to nghttp" "$(of http2 'dst.port == 8081' | jq -c 'select((.user_agent // "" | startswith("h2load") | not) and .method == "GET")' |
	jq -r '"\(.target) \(.status) \(.rsp_body_bytes)"' | sort | xargs)" "/page 200 3000 /style 200 40000"

want "curl's answers" "$(sed 's/^2 //' "$work/curls" | cut -d' ' -f1 | xargs)" "200 404 503"
want "the tape's" "$(of http2 'dst.port == 8080' | jq -r '"\(.method) \(.target_template) \(.status) \(.rsp_body_bytes) \(.version)"' | sort)" \
	"$(awk 'NR == 1 { print "GET /page", $2, $3, 2 } NR == 2 { print "GET /users/{id}", $2, $3, 2 }
		NR == 3 { print "GET /broken/x", $2, $3, 2 }' "$work/curls" | sort)"
want "their id" "$(of http2 'dst.port == 8080' | jq -r .trace_id | sort -u)" req-1
want "a body and its echo" "$(of http2 'method == POST' | jq -r '"\(.target) \(.status) \(.req_body_bytes) \(.rsp_body_bytes) \(.end_reason) \(.error)"')" \
	"/echo 200 20000 20000 complete null"

want "RPCs" "$(of grpc 'method == Echo && status == 0 && status_class == ok && end_reason == complete' | wc -l)" 100
want "their service" "$(of grpc 'method == Echo' | jq -r '"\(.target) \(.host) \(.trace_id) \(.rows)"' | sort -u)" \
	"/tape.Test/Echo $far4:9000 0af7651916cd43dd8448eb211c80319c 1"
want "one that failed" "$(of grpc 'method == Fail' | jq -r '"\(.status) \(.status_text) \(.status_class) \(.error)"')" \
	"5 NOT_FOUND client_error no such thing: 100%"
want "one that is not there" "$(of grpc 'method == Nothing' | jq -r '"\(.status_text) \(.status_class)"')" "UNIMPLEMENTED server_error"
# The deadline is the server's too: who of them is first?
want "one given up" "$(of grpc 'method == Slow' | jq -r '"\(.end_reason) \(.error)"' |
	sed 's/^reset RST_STREAM by the client: CANCEL (8)$/late/; s/^complete Deadline Exceeded$/late/')" late
want "a stream" "$(of grpc 'method == Several' | jq -r '"\(.rows) \(.status_text)"')" "7 OK"
want "streams both ways" "$(of grpc 'method == Both' | jq -r '"\(.rows) \(.req_body_bytes) \(.rsp_body_bytes)"')" "3 18 21"
id=$(of grpc 'method == Both' | jq -r .id)
want "its messages" "$("$tapedeck" show call "$id" --data "$work/tape" | jq -r '[.request, .response | .messages[].body] | join(" ")')" \
	"a b c aa bb cc"
