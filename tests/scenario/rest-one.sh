#!/usr/bin/env bash
# One flow, its streams and packets; one call in full, as bytes, and as a curl line that does the same again.
. "$(dirname "$0")/rest-lib.bash"
make_store 40
serve_start

find_call() { get /api/v1/calls "filter=target == \"/items/$1\""; jq -r '.data[0].id' "$work/body"; }
call=$(find_call 7)
flow=$(jq -r '.data[0]."flow.id"' "$work/body")
post_head=$'POST /items/7 HTTP/1.1\r\nHost: shop.example\r\nX-Who: o\'hara\r\nContent-Length: 18\r\n\r\n'
post_body=$'{"it\'s": "a\nbody"}'

get "/api/v1/calls/$call"
status 200
expect '["/items/7","POST",200,"complete"]' '.data | [.target, .method, .status, .end_reason]'
expect "\"{\\\"it's\\\": \\\"a\\nbody\\\"}\"" '.data.request.body'
expect '107' '.data.response.body | length'
expect '["present",99,0,0]' '.data.payload | [.state, .request_bytes, .request_missing_bytes, .response_missing_bytes]'
get "/api/v1/calls/$call" body_max=5
expect '["7 xxx",true,107]' '.data.response | [.body, .truncated, .body_bytes]'
get "/api/v1/calls/$call" raw=request
printf '%s%s' "$post_head" "$post_body" | cmp -s - "$work/body" || fail "raw request"
get "/api/v1/calls/$call" raw=response
[ "$(tail -c 107 "$work/body")" = "$(printf '7 %0105d' 0 | tr 0 x)" ] || fail "raw response"

# The curl line sends the same request: to a server that only writes down what it gets.
get "/api/v1/calls/$call" as=curl
cp "$work/body" "$work/line"
python3 -u - "$work/got" >"$work/port" <<'PY' &
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
data = b""
while b"\r\n\r\n" not in data or not data.endswith(b"}"):
    data += peer.recv(65536)
peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
open(sys.argv[1], "wb").write(data)
PY
until_true 5 test -s "$work/port" || fail "no listener"
sed -i "s|curl |curl -s -m 5 --connect-to shop.example:80:127.0.0.1:$(cat "$work/port") --noproxy '*' |" "$work/line"
bash "$work/line" || fail "the line does not run: $(cat "$work/line")"
wait $!
tr -d '\r' <"$work/got" | grep -qx "X-Who: o'hara" || fail "header of the curl line"
tr -d '\r' <"$work/got" | head -1 | grep -qx 'POST /items/7 HTTP/1.1' || fail "request line"
[ "$(tail -c 18 "$work/got")" = "$post_body" ] || fail "body of the curl line"

get "/api/v1/flows/$flow"
expect "[\"$flow\",20007,8080,5,3,\"fin\",\"present\"]" '.data | [.id, ."src.port", ."dst.port", .tx_packets, .rx_packets, .end_reason, .payload]'
get "/api/v1/flows/$flow/stream" as=raw
printf '%s%s' "$post_head" "$post_body" | cmp -s - "$work/body" || fail "stream tx"
get "/api/v1/flows/$flow/stream" as=raw offset=5 limit=8
[ "$(cat "$work/body")" = "/items/7" ] || fail "part of a stream"
get "/api/v1/flows/$flow/stream" dir=rx
expect '[173,0,"HTTP/1.1 200 OK"]' '.data | [.bytes, .missing_bytes, .text[:15]]'
expect '"485454502f312e31"' '.data.hex[:16]'
get "/api/v1/flows/$flow/stream" as=hex
[ "$(head -1 "$work/body")" = '00000000  50 4f 53 54 20 2f 69 74  65 6d 73 2f 37 20 48 54  |POST /items/7 HT|' ] || fail "hex dump"
get "/api/v1/flows/$flow/packets" order=asc
expect '[2,18,16,24,24,17,17,16]' '[.data[]."tcp.flags"]'
get "/api/v1/flows/$flow/packets" 'filter=payload_bytes > 0' order=asc fields=dir,payload_bytes
expect '[{"dir":"tx","payload_bytes":99},{"dir":"rx","payload_bytes":173}]' '.data'

# A DNS call, dissected too.
get /api/v1/calls 'filter=dns' limit=1
get "/api/v1/calls/$(jq -r '.data[0].id' "$work/body")"
expect true '.data.response | tostring | contains("10.0.1.1")'
dns=$(jq -r .data.id "$work/body")
get "/api/v1/calls/$dns" as=curl
status 501

get /api/v1/calls/0000000000000001	# an id tells its time: before all that is held
status 410
get /api/v1/calls/${call%???}fff
status 404
get /api/v1/flows/ffffffffffffffff
status 404
for id in 1 xyz 00000000000000000 000000000000000g; do
	get "/api/v1/calls/$id"
	status 400
	expect '"E_FORMAT"' .error.code
done
get "/api/v1/flows/$flow/stream" dir=up
status 400
get "/api/v1/flows/$flow/stream" offset=-1
status 400
get "/api/v1/flows/$flow/stream" offset=9000000000 as=raw
status 200
[ ! -s "$work/body" ] || fail "bytes from beyond the end"
serve_stop
echo "flows, streams and calls come back byte for byte; the curl line repeats the call"
