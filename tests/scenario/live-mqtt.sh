#!/usr/bin/env bash
# Mosquitto and its own clients: as many publications of each quality of service as were
# sent come in at the broker and go out to the subscriber, each settled as its quality asks.
. "$(dirname "$0")/live-lib.bash"
for tool in mosquitto mosquitto_pub mosquitto_sub; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

chmod 755 "$work"
mosquitto_passwd -c -b "$work/passwd" tape s3cret && chmod 644 "$work/passwd"
cat >"$work/mosquitto.conf" <<CONF
listener 1883 $far4
password_file $work/passwd
persistence false
user root
CONF
start_far broker mosquitto -c "$work/mosquitto.conf" >"$work/broker.log" 2>&1
wait_for 20 listening far 1883 || skip "mosquitto does not run here: $(tail -2 "$work/broker.log")"
start_record

as=(-h "$far4" -u tape -P s3cret)
start_near sub mosquitto_sub "${as[@]}" -i sub-1 -q 2 -t 'plant/#' -C 60 -F '%q %t %l' >"$work/got"
publish() { seq -f "message %02.0f" 20 | in_near mosquitto_pub "${as[@]}" -i "pub-$1" -q "$1" -t "plant/$1/temperature" -l "${@:2}"; }
granted() { [ "$(calls_count 'l7 == mqtt && method == SUBSCRIBE && end_reason == complete')" -ge 1 ]; }
wait_for 10 granted || fail "no subscription on the tape"
publish 0 || fail "publications"
publish 1 || fail "publications"
publish 2 -V 5 || fail "publications"
wait "$sub" || fail "the subscriber got $(wc -l <"$work/got") of 60"
in_near mosquitto_pub -h "$far4" -u tape -P wrong -i nobody -t x -m y 2>/dev/null && fail "a wrong password is taken"
refused() { [ "$(calls_count 'l7 == mqtt && method == CONNECT && status == 5')" -ge 1 ]; }
wait_for 10 refused || fail "the refused login is not on the tape"
stop_record

of() { calls "l7 == mqtt && $1"; }
out() { of "src.ip == $near4 && $1"; }
back() { of "src.ip == $far4 && $1"; }
for qos in 0 1 2; do
	reason=complete
	[ $qos -eq 0 ] && reason=oneway
	topic="topic == \"plant/$qos/temperature\" && method == PUBLISH"
	want "QoS $qos: the client counted" "$(grep -c "^$qos plant/$qos/temperature 10\$" "$work/got")" 20
	want "QoS $qos: published" "$(out "$topic && end_reason == $reason" | jq -s 'length, (map(.req_body_bytes) | add)' | xargs)" "20 200"
	want "QoS $qos: delivered" "$(back "$topic && end_reason == $reason" | jq -s 'length, (map(.req_body_bytes) | add)' | xargs)" "20 200"
done
want "QoS 2: released" "$(out 'method == PUBREL && end_reason == complete' | wc -l) $(back 'method == PUBREL && end_reason == complete' | wc -l)" "20 20"
want "users" "$(of 'method == CONNECT && status == 0' | jq -r .user | sort -u | xargs)" tape
want "versions" "$(out 'method == PUBLISH' | jq -r .version | sort | uniq -c | xargs)" "40 3.1.1 20 5"
want "refused" "$(of 'method == CONNECT && status != 0' | jq -r '"\(.user_agent) \(.status) \(.error)"')" "nobody 5 Not authorized"
"$tapedeck" query calls --data "$work/tape" -o ndjson -n 10000 | grep -q s3cret && fail "a password in a row"
exit 0
