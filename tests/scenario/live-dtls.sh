#!/usr/bin/env bash
# DTLS: openssl's server, which asks for a cookie, and its client, which says what was agreed on: so does the tape.
. "$(dirname "$0")/live-lib.bash"
command -v openssl >/dev/null || skip "needs openssl"
need_bpf
make_namespaces

chmod 755 "$work"
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=dtls.example -addext 'subjectAltName=DNS:dtls.example' -days 2 \
	-keyout "$work/key" -out "$work/cert" 2>/dev/null || fail "no certificate"
bound() { in_far ss -Hlun "sport = :$1" | grep -q .; }
server() { # PORT ARGUMENTS...
	local port=$1
	shift
	start_far pid openssl s_server -quiet -accept "$far4:$port" -cert "$work/cert" -key "$work/key" "$@" >"$work/server.$port" 2>&1
	wait_for 20 bound "$port" || fail "openssl does not listen on $port: $(cat "$work/server.$port")"
}
server 4433 -dtls -alpn coap
server 4434 -dtls1_2 -mtu 500
server 4435 -dtls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384
start_record

ask() { # PORT ARGUMENTS...: what the client says
	local port=$1
	shift
	{ wait_for 10 grep -q 'Verify return code' "$work/client.$port"; echo hello; wait_for 10 grep -q hello "$work/server.$port"; } |
		in_near timeout 20 openssl s_client -connect "$far4:$port" -servername dtls.example "$@" >"$work/client.$port" 2>&1
}
ask 4433 -dtls -alpn coap
ask 4434 -dtls1_2 -mtu 300
ask 4435 -dtls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256
all_there() { [ "$(calls_count 'l7 == dtls && end_reason == complete')" = 3 ]; }
wait_for 20 all_there || missing=1
stop_record
skip_if_thinned
[ -z "${missing:-}" ] || fail "on the tape: $(calls true | jq -c '[.l7, .method, .end_reason, .error]' | xargs)"

agreed() { # of the client's words, as the tape has them
	local name
	name=$(sed -n 's/^ *Cipher *: //p' "$work/client.$1" | head -1)
	openssl ciphers -stdname | awk -v name="$name" '$3 == name { print $1 }'
}
row() { calls "l7 == dtls && dst.port == $1" | jq -r '"\(.version) \(.method) \(.host) \(.answers) \(.status_class) \(.error)"'; }
grep -q '^    Protocol  : DTLSv1.2' "$work/client.4433" || fail "no handshake: $(tail -5 "$work/client.4433")"
want "with a cookie and ALPN" "$(row 4433)" "DTLS 1.2 DTLS 1.2 dtls.example $(agreed 4433), coap, cookie ok null"
want "in fragments" "$(row 4434)" "DTLS 1.2 DTLS 1.2 dtls.example $(agreed 4434), cookie ok null"
want "refused" "$(row 4435)" "DTLS 1.2 DTLS 1.2 dtls.example null client_error alert handshake_failure of the server"
want "flows" "$("$tapedeck" query flows --data "$work/tape" --filter "dst.ip == $far4 && l7 == dtls" -o ndjson | jq -r '."dst.port"' | sort -u | xargs)" "4433 4434 4435"
id=$(calls 'l7 == dtls && dst.port == 4434' | jq -r .id)
"$tapedeck" show call "$id" --data "$work/tape" >"$work/shown"
want "its messages" "$(jq -r '[.request, .response | .messages[] | .message // .record] | join(" ")' "$work/shown")" \
	"client_hello client_hello client_key_exchange change_cipher_spec encrypted handshake hello_verify_request server_hello certificate server_key_exchange server_hello_done new_session_ticket change_cipher_spec encrypted handshake"
want "the certificate" "$(jq -c '.response.messages[2].certificates[0] | [.subject, .bytes]' "$work/shown")" \
	"[\"CN=dtls.example\",$(openssl x509 -in "$work/cert" -outform DER | wc -c)]"
want "all of it" "$(jq -c '.payload | [.state, .request_missing_bytes, .response_missing_bytes]' "$work/shown")" '["present",0,0]'
