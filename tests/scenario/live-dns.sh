#!/usr/bin/env bash
# unbound, asked by dnsperf over UDP and TCP and by dig: as many queries and answers of each code as
# dnsperf counted, each of them paired.
. "$(dirname "$0")/live-lib.bash"
for tool in unbound dnsperf dig; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

cat >"$work/unbound.conf" <<CONF
server:
	interface: $far4
	access-control: 0.0.0.0/0 allow
	username: ""
	chroot: ""
	directory: "$work"
	pidfile: "$work/unbound.pid"
	use-syslog: no
	do-daemonize: no
	num-threads: 1
	local-zone: "shop.test." static
	local-data: "shop.test. 300 IN SOA ns.shop.test. root.shop.test. 1 2 3 4 5"
	local-data: "big.shop.test. 60 IN TXT $(head -c 200 /dev/zero | tr '\0' b)"
	local-zone: "refused.test." refuse
$(for i in $(seq 20); do echo "	local-data: \"h$i.shop.test. 60 IN A 192.0.2.$i\""; done)
remote-control:
	control-enable: no
CONF
for i in $(seq 200); do
	echo "h$((i % 20 + 1)).shop.test A"
	[ $((i % 4)) -eq 0 ] && echo "nobody$i.shop.test AAAA"
	[ $((i % 10)) -eq 0 ] && echo "x$i.refused.test A"
done >"$work/queries"
start_far unbound unbound -c "$work/unbound.conf" >"$work/unbound.log" 2>&1
wait_for 20 listening_udp far 53 || skip "unbound does not run here: $(tail -n 2 "$work/unbound.log")"
start_record
for mode in udp tcp; do
	in_near timeout 30 dnsperf -s "$far4" -p 53 -m $mode -d "$work/queries" -n 1 -c 3 -q 12 -t 10 >"$work/$mode" 2>&1 || fail "dnsperf: $(tail -n 5 "$work/$mode")"
done
[ "$(in_near dig +tries=1 +short "@$far4" big.shop.test TXT)" = "\"$(head -c 200 /dev/zero | tr '\0' b)\"" ] || fail "dig"
dug() { [ "$(calls_count 'l7 == dns && target == "big.shop.test"')" -ge 1 ]; }
wait_for 10 dug || fail "dig's query is not on the tape"
stop_record

calls 'l7 == dns' >"$work/calls"
for mode in udp tcp; do
	# dnsperf says: "Queries completed: 270 (100.00%)" and "Response codes: NOERROR 200 (74.07%), ..."
	counted=$(sed -n 's/^ *Response codes: *//p' "$work/$mode" | tr ',' '\n' | awk '{ print $1, $2 }' | sort | xargs)
	[ -n "$counted" ] || fail "dnsperf counted nothing: $(cat "$work/$mode")"
	want "$mode: completed" "$(jq -s --arg mode $mode 'map(select(.proto == $mode and .target != "big.shop.test" and .end_reason == "complete")) | length' "$work/calls")" \
		"$(awk '/Queries completed:/ { print $3 }' "$work/$mode")"
	want "$mode: codes" "$(jq -r --arg mode $mode 'select(.proto == $mode and .target != "big.shop.test") | .status_text' "$work/calls" | sort | uniq -c | awk '{ print $2, $1 }' | xargs)" "$counted"
done
want "both" "$(jq -r 'select(.target != "big.shop.test") | "\(.method) \(.status_text) \(.status)"' "$work/calls" | sort | uniq -c | xargs)" \
	"400 A NOERROR 0 40 A REFUSED 5 100 AAAA NXDOMAIN 3"
want "a wrong answer to a name" "$(jq -r 'select(.status == 0 and .method == "A") | select(.answers != "192.0.2." + (.target | capture("h(?<n>[0-9]+)").n)) | .answers' "$work/calls" | wc -l)" 0
want "connections over TCP" "$(jq -r 'select(.proto == "tcp") | .["flow.id"]' "$work/calls" | sort -u | wc -l)" 3
want "dig's" "$(jq -r 'select(.target == "big.shop.test") | "\(.method) \(.status_text) \(.answers | length)"' "$work/calls")" "TXT NOERROR 202"
