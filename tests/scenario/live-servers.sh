#!/usr/bin/env bash
# Servers as they are run: nginx, whose workers accept on the master's socket,
# and dnsmasq, asked by curl and dig.
. "$(dirname "$0")/live-lib.bash"
for tool in nginx dnsmasq dig curl; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

mkdir "$work/www"
head -c 50000 /dev/urandom >"$work/www/page"
start_nginx <<CONF
server { listen $far4:8080; listen [$far6]:8080; root $work/www; }
CONF
start_far dns dnsmasq -k -p 53 --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
	--listen-address="$far4" --bind-interfaces --address=/shop.test/192.0.2.7 2>"$work/dns.err"
wait_for 10 listening_udp far 53 || skip "dnsmasq does not run here: $(cat "$work/dns.err")"
worker() { pgrep -P "$nginx"; }
wait_for 10 worker || fail "nginx has no worker"
worker=$(worker)
start_dump

start_near dig dig +tries=1 +time=10 +short shop.test "@$far4" >"$work/answer"
wait "$dig" && [ "$(cat "$work/answer")" = 192.0.2.7 ] || fail "dig: $(cat "$work/answer")"
start_near curl4 curl -s -o "$work/got4" "http://$far4:8080/page"
wait "$curl4" && cmp -s "$work/got4" "$work/www/page" || fail "curl"
start_near curl6 curl -s -o "$work/got6" "http://[$far6]:8080/page"
wait "$curl6" && cmp -s "$work/got6" "$work/www/page" || fail "curl over IPv6"
all_closed() { [ "$(count '.what == "close" and (.lport == 8080 or .rport == 8080)')" -eq 4 ]; }
wait_for 10 all_closed || fail "no close"
stop_dump

dig_cookie=$(value ".what == \"open\" and .pid == $dig and .proto == 17" .cookie)
want "dig's frames" "$(lines | jq -r "select(.what == \"frame\" and .cookie == $dig_cookie) | \"\(.at) \(.dport == 53 or .sport == 53)\"" | xargs)" \
	"egress true ingress true"
# As dig names itself: its threads have other names.
want "dig's name" "$(value ".what == \"open\" and .cookie == $dig_cookie" .comm)" dig
want "dnsmasq's frames" \
	"$(lines | jq -r "select(.what == \"frame\" and .netns == $netns_far and (.dport == 53 or .sport == 53)) | .at" | xargs)" "ingress egress"
dns_cookie=$(value ".what == \"frame\" and .netns == $netns_far and .dport == 53" .cookie)
want "dnsmasq" "$(value ".what == \"open\" and .cookie == $dns_cookie" '"\(.pid) \(.comm) \(.existing)"')" "$dns dnsmasq true"

for client in "$curl4 $near4 $far4" "$curl6 $near6 $far6"; do
	set -- $client
	want "client $2" "$(value ".what == \"open\" and .local == \"$2\" and .rport == 8080" '"\(.pid) \(.comm)"')" "$1 curl"
	server=".local == \"$3\" and .lport == 8080"
	cookie=$(value ".what == \"open\" and $server" .cookie)
	want "who answers at $3 in the end" "$(value ".what == \"close\" and .cookie == $cookie" '"\(.pid) \(.comm)"')" "$worker nginx"
	# Either the census knew the worker as the listener's, or its first read told.
	if [ "$(value ".what == \"open\" and $server" .pid)" != "$worker" ]; then
		want "corrected" "$(value ".what == \"owner\" and .cookie == $cookie" .pid)" "$worker"
	fi
done
