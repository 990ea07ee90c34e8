#!/usr/bin/env bash
# Pings and SNMP requests by programs that count: echoes over both versions of IP, one address where nobody is,
# and an agent that answers a walk, refuses a community and a user.
. "$(dirname "$0")/live-lib.bash"
for tool in ping snmpd snmpget snmpgetnext; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

cat >"$work/snmpd.conf" <<CONF
agentAddress udp:$far4:161
rocommunity s3cret
sysName box
CONF
start_far agent env SNMP_PERSISTENT_DIR="$work" snmpd -f -Lf "$work/snmpd.log" -C -c "$work/snmpd.conf" 2>"$work/snmpd.err"
wait_for 20 listening_udp far 161 || skip "snmpd does not run here: $(tail -n 2 "$work/snmpd.err")"
start_record

in_near ping -c 20 -i 0.01 -s 100 "$far4" >"$work/ping4" || fail "ping: $(tail -n 2 "$work/ping4")"
in_near ping -c 7 -i 0.01 "$far6" >"$work/ping6" || fail "ping over IPv6: $(tail -n 2 "$work/ping6")"
snmp() { in_near env SNMP_PERSISTENT_DIR="$work" MIBS= "$@"; }
for i in $(seq 5); do
	snmp snmpget -v2c -c s3cret -Oqv "$far4" 1.3.6.1.2.1.1.5.0 >>"$work/names" || fail "snmpget"
done
snmp snmpgetnext -v1 -c s3cret "$far4" 1.3.6.1.2.1.1.5 >"$work/next" || fail "snmpgetnext"

snmp snmpget -v2c -c wrong -t 1 -r 0 "$far4" 1.3.6.1.2.1.1.5.0 >"$work/wrong" 2>&1 && fail "a wrong community was taken: $(cat "$work/wrong")"
snmp snmpget -v3 -u eve -l noAuthNoPriv -t 1 -r 0 "$far4" 1.3.6.1.2.1.1.5.0 >/dev/null 2>&1 && fail "an unknown user was taken"
calls6() { "$tapedeck" query calls --data "$work/tape" --filter "dst.ip == $far6 && ($1)" -o ndjson -n 10000; }
wait_for 15 eval '[ "$(calls_count "l7 == icmp") $(calls6 "l7 == icmp" | wc -l)" = "20 7" ]' ||
	fail "echoes on the tape: $(calls_count 'l7 == icmp') $(calls6 'l7 == icmp' | wc -l)"
stop_record

of() { calls "$1"; }
want "echoes" "$(of 'l7 == icmp && proto == icmp && status_text == "echo reply"' | wc -l)" 20
want "echoes over IPv6" "$(calls6 'l7 == icmp && status_text == "echo reply"' | wc -l)" 7
want "their bytes" "$(of 'l7 == icmp && proto == icmp' | jq -r '"\(.req_body_bytes) \(.rsp_body_bytes)"' | sort -u)" "100 100"
want "answered names" "$(of 'l7 == snmp && method == get && version == "2c" && status == 0' | jq -r .answers | xargs)" "box box box box box"
want "the next" "$(of 'l7 == snmp && method == getnext' | jq -r '"\(.version) \(.target) \(.rows)"')" "1 1.3.6.1.2.1.1.5 1"
want "a wrong community" "$(of 'l7 == snmp && version == "2c" && status == null' | jq -r .end_reason)" capture_end
want "an unknown user" "$(of 'l7 == snmp && user == eve' | jq -r '"\(.status_text) \(.status_class)"' | tail -n 1)" "unknownUserNames client_error"
"$tapedeck" query calls --data "$work/tape" -o ndjson -n 10000 | grep -q s3cret && fail "a community in a row"
exit 0
