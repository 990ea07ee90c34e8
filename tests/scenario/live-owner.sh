#!/usr/bin/env bash
# Both ends of a connection across a veth: their processes, and every frame that
# tcpdump sees on the device, at each vantage.
. "$(dirname "$0")/live-lib.bash"
command -v tcpdump >/dev/null && command -v curl >/dev/null || skip "needs tcpdump and curl"
need_bpf
make_namespaces

head -c 700000 /dev/urandom >"$work/body"
start_far server python3 -m http.server 8080 --bind "$far4" --directory "$work" >/dev/null 2>&1
wait_for 10 listening far 8080 || fail "the server does not listen"
start_near tap tcpdump -i veth -B 8192 -s 100 -U -w "$work/near.pcap" tcp port 8080 2>"$work/near.err"
start_far tap2 tcpdump -i veth -B 8192 -s 100 -U -w "$work/far.pcap" tcp port 8080 2>"$work/far.err"
wait_for 10 grep -q listening "$work/near.err" || fail "tcpdump"
wait_for 10 grep -q listening "$work/far.err" || fail "tcpdump"
start_dump

start_near client curl -s -o "$work/got" "http://$far4:8080/body"
wait "$client" || fail "curl"
cmp -s "$work/got" "$work/body" || fail "curl got other bytes"
wait_for 10 seen ".what == \"close\" and .rport == 8080 and .remote == \"$far4\"" || fail "no close"
stop_dump
kill -INT "$tap" "$tap2"
wait "$tap" "$tap2"

mine="(.local == \"$near4\" or .local == \"$far4\")"
want "opened by" "$(value ".what == \"open\" and $mine and .rport == 8080" '"\(.pid) \(.comm) \(.accepted)"')" "$client curl false"
want "accepted by" "$(value ".what == \"open\" and $mine and .lport == 8080" '"\(.pid) \(.comm) \(.accepted)"')" "$server python3 true"
want "opens" "$(count ".what == \"open\" and $mine and .proto == 6")" 2

start_ticks=$(sed 's/.*) //' "/proc/$server/stat" | cut -d' ' -f20)
start_s=$(awk -v t="$start_ticks" -v hz="$(getconf CLK_TCK)" '/^btime/ { printf "%d", $2 + t / hz }' /proc/stat)
told_s=$(value ".what == \"open\" and $mine and .lport == 8080" '.pid_start_ns / 1e9 | floor')
[ $((told_s - start_s)) -ge -2 ] && [ $((told_s - start_s)) -le 2 ] || fail "process start $told_s, not $start_s"

want "namespace of the client" "$(value ".what == \"open\" and $mine and .rport == 8080" .netns)" "$netns_near"
want "frames in another namespace" \
	"$(jq -c "select(.what == \"frame\" and (.src == \"$far4\" or .dst == \"$far4\") and .netns != $netns_near and .netns != $netns_far)" "$out" | wc -l)" 0

# Each direction up to its FIN: a socket in TIME_WAIT is gone, what it answers has no owner.
frames() { # netns src-port-condition
	lines | jq -c "select(.what == \"frame\" and .netns == $1 and $2)" |
		jq -s '(map(.flags % 2 == 1) | index(true)) as $fin | .[:$fin] | "\(length) \(map(.len) | add)"' | tr -d '"'
}
dumped() { # file filter
	tcpdump -nr "$1" -v "$2" 2>/dev/null | awk '/length [0-9]+\)$/ { len = $NF + 0 }
		/Flags \[/ { if ($0 ~ /Flags \[[^]]*F/) exit; n++; sum += len } END { print n, sum }'
}
for side in near far; do
	ns=netns_$side
	want "requests at $side (frames, bytes)" "$(frames "${!ns}" '.dport == 8080')" "$(dumped "$work/$side.pcap" "dst port 8080")"
	want "responses at $side (frames, bytes)" "$(frames "${!ns}" '.sport == 8080')" "$(dumped "$work/$side.pcap" "src port 8080")"
done

acked=$(value ".what == \"close\" and .lport == 8080 and $mine" .bytes_acked)
[ "$acked" -gt 700000 ] || fail "the server's kernel says $acked bytes were acknowledged"
jq -s -e '[.[] | select(.time_ns) | .time_ns] | . == sort' "$out" >/dev/null || fail "not in order of time"
