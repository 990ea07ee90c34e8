#!/usr/bin/env bash
# SIPp at both ends, over UDP and TCP: as many calls as it made are transactions on the
# tape, each of their messages paired, the ringing told apart from the answer.
. "$(dirname "$0")/live-lib.bash"
command -v sipp >/dev/null || skip "needs sipp"
need_bpf
make_namespaces

cd "$work" || exit 1
for mode in u1 t1; do
	port=$([ $mode = u1 ] && echo 5060 || echo 5070)
	start_far server_$mode sipp -sn uas -i "$far4" -p $port -t $mode -nostdin >"$work/uas.$mode" 2>&1
done
wait_for 10 listening_udp far 5060 || skip "sipp does not run here: $(tail -3 "$work/uas.u1")"
wait_for 10 listening far 5070 || skip "sipp does not run here: $(tail -3 "$work/uas.t1")"
start_record
in_near timeout 60 sipp -sn uac "$far4:5060" -i "$near4" -p 5061 -t u1 -m 20 -r 20 -d 0 -nostdin >"$work/uac.u1" 2>&1 || fail "UDP: $(tail -20 "$work/uac.u1")"
in_near timeout 60 sipp -sn uac "$far4:5070" -i "$near4" -p 5071 -t t1 -m 20 -r 20 -d 0 -nostdin >"$work/uac.t1" 2>&1 || fail "TCP: $(tail -20 "$work/uac.t1")"
all_there() { [ "$(calls_count 'l7 == sip && method == BYE && end_reason == complete')" -eq 40 ]; }
wait_for 20 all_there || fail "calls: $(calls 'l7 == sip' | jq -c '[.method, .status, .end_reason]' | sort | uniq -c)"
stop_record

for port in 5060 5070; do
	want "port $port" "$(calls "l7 == sip && dst.port == $port" | jq -r '"\(.method) \(.status) \(.answers) \(.end_reason)"' | sort | uniq -c | xargs)" \
		"20 ACK null null oneway 20 BYE 200 null complete 20 INVITE 200 180 complete"
	want "dialogs" "$(calls "l7 == sip && dst.port == $port" | jq -r .trace_id | sort | uniq -c | awk '{print $1}' | sort | uniq -c | xargs)" "20 3"
done
