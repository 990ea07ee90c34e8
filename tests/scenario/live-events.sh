#!/usr/bin/env bash
# More events of sockets than their ring holds while the recorder does not read it: those that
# are missing are counted, and are a gap. A refused connection makes four.
. "$(dirname "$0")/live-lib.bash"
need_bpf
make_namespaces

cat >"$work/knock.py" <<'PY'
import socket, sys
for i in range(int(sys.argv[2])):
    s = socket.socket()
    try:
        s.connect((sys.argv[1], 9))
        sys.exit("somebody listens")
    except ConnectionRefusedError:
        pass
    s.close()
PY
knocks=7000	# each four records of 208 bytes; the ring has 4 MiB
start_record
in_near timeout 60 python3 "$work/knock.py" "$far4" 10 || fail "the first connections"
kill -STOP "$record_pid"
in_near timeout 60 python3 "$work/knock.py" "$far4" $knocks || fail "connections while it is stopped"
kill -CONT "$record_pid"
# It has read what there is when an event that comes after it is there.
again() { in_near timeout 60 python3 "$work/knock.py" "$near4" 1 && [ "$(told_of "$near4")" -gt 0 ]; }
told_of() { "$tapedeck" query events --data "$work/tape" --filter "dst.ip == $1 && dst.port == 9 && (kind == connect || kind == reset)" -o ndjson -n 100000 | wc -l; }
wait_for 60 again || fail "the recorder reads no more: $(tail -n 3 "$work/record.err")"
stop_record

"$tapedeck" stats --data "$work/tape" -o json >"$work/stats.json"
counter() { jq ".recorder.counters.$1" "$work/stats.json"; }
told=$(told_of "$far4")
lost=$(counter events_lost_total)
[ "$lost" -gt 0 ] || fail "nothing was lost: no test"
want "lost, as the kernel side counts" "$lost" "$(jq .recorder.live.events_lost "$work/stats.json")"
# The ring is everybody's: more than ours may be lost, but none of ours without being counted.
sent=$((4 * (knocks + 10)))
unheard=$((lost + $(counter events_passed_over_total)))
[ $((told + unheard)) -ge $sent ] && [ "$told" -lt $sent ] || fail "$told told and $unheard known to be missing of $sent"
echo "told: $told, lost: $lost, of $sent and what others made"
gap='kind == gap && reason == "events_lost"'
[ "$("$tapedeck" query events --data "$work/tape" --filter "$gap" -o ndjson | wc -l)" -gt 0 ] || fail "no gap"
"$tapedeck" check --data "$work/tape" >"$work/check" || fail "check: $(tail -n 2 "$work/check")"
