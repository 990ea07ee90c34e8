#!/usr/bin/env bash
# usage: tests/bench/record.sh        (the last part of make bench, or alone)
#
# What recording costs: nginx under wrk with nothing, with `tcpdump -w`, with `tapedeck record`, interleaved.
#   RPS          as wrk counts them: both cores are busy, so what capture takes is missing here
#   CPU/request  user + system time of nginx, wrk and the recorder together: what a request costs the machine. BPF and
#                the copies of packet sockets run in the time of whoever sends. Other load on the machine hardly moves it.
#   CPU s/M      of the recorder's process alone, per million frames
# Where nothing else says how the kernel side does, BPF_STATS=1 adds a run with the kernel's own count of it.
# ROUNDS (3), WRK_SECONDS (6), RECORD_FLAGS.
set -eu
cd "$(dirname "$0")/../.."
tapedeck=${TAPEDECK:-$PWD/build/tapedeck}
rounds=${ROUNDS:-3} seconds=${WRK_SECONDS:-6}
. tests/bench/lib.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-bench-work.XXXXXX")
stats_was=
finish() {
	[ -z "$stats_was" ] || sysctl -qw kernel.bpf_stats_enabled="$stats_was"
	bench_cleanup
	rm -rf "$work"
}
trap finish EXIT

# User and system seconds of a process and of its children that it has waited for.
cpu_of() { awk '{ sub(/.*\) /, ""); print ($12 + $13 + $14 + $15) / 100 }' "/proc/$1/stat"; }
cpu_of_nginx() {
	local sum=0 pid
	for pid in $(cat "$bench_dir/nginx.pid") $(pgrep -P "$(cat "$bench_dir/nginx.pid")"); do sum="$sum+$(cpu_of "$pid")"; done
	bc <<<"$sum"
}

# load MODE [PID]: one run of wrk while PID records; a line "RPS CPU-us/request recorder-CPU-s" to $work/MODE.runs
load() {
	local nginx0 nginx1 own0=0 own1=0 TIMEFORMAT='%U %S'
	nginx0=$(cpu_of_nginx)
	[ -z "${2:-}" ] || own0=$(cpu_of "$2")
	{ time on_client wrk -t1 -c16 -d"${seconds}s" -s "$bench_dir/shop.lua" http://10.77.0.2/ >"$work/wrk.out"; } 2>"$work/wrk.cpu"
	[ -z "${2:-}" ] || { sleep 1.2; own1=$(cpu_of "$2"); }	# what it still had to do counts, too
	nginx1=$(cpu_of_nginx)
	awk -v n="$nginx1" -v m="$nginx0" -v o="$own1" -v p="$own0" -v wrk="$(tail -1 "$work/wrk.cpu")" '
		/requests in/ { requests = $1 }
		/Requests\/sec/ { rps = $2 }
		END { split(wrk, w, " "); printf "%s %.2f %.3f\n", rps, (n - m + w[1] + w[2] + o - p) * 1e6 / requests, o - p }' \
		"$work/wrk.out" >>"$work/$1.runs"
}

run_tcpdump() {
	local pid frames
	nsenter --net="/proc/$bench_server/ns/net" tcpdump -i eth0 -B 65536 -s 65535 -w "$work/live.pcap" 2>"$work/tcpdump.log" &
	pid=$!
	sleep 0.5
	load tcpdump $pid
	kill -TERM $pid && wait $pid || true
	frames=$(awk '/packets captured/ { print $1 }' "$work/tcpdump.log")
	awk '/dropped by kernel/ { print $1 }' "$work/tcpdump.log" >>"$work/tcpdump.drops"
	tail -1 "$work/tcpdump.runs" | awk -v f="$frames" '{ print f ? $3 * 1e6 / f : 0 }' >>"$work/tcpdump.cpu"
}

run_record() {
	local pid frames
	rm -rf "$work/live"
	# shellcheck disable=SC2086
	"$tapedeck" record --data "$work/live" --log-level warn ${RECORD_FLAGS:-} 2>"$work/record.log" &
	pid=$!
	sleep 2
	load "$1" $pid
	[ "$1" != stats ] || bpftool prog show --json >"$work/progs.json"
	kill -TERM $pid && wait $pid || true
	"$tapedeck" stats --data "$work/live" -o json >"$work/stats.json"
	frames=$(jq -r '.recorder.counters.frames_total // 0' "$work/stats.json")
	jq -r '.recorder.counters.frames_lost_total // 0' "$work/stats.json" >>"$work/$1.drops"
	jq -c '.recorder | select(.counters.frames_lost_total + .counters.frames_skipped_total + .counters.frames_cut_total > 0) |
		{cut: .counters.frames_cut_total, skipped: .counters.frames_skipped_total, ring_full: .live.lost.ring_full,
		 queue_full: .writer.dropped_queue_full, longest_sleep_s: (.pace.longest_sleep_ns / 1e9),
		 longest_drain_s: (.pace.longest_drain_ns / 1e9)}' "$work/stats.json" >>"$work/losses"
	tail -1 "$work/$1.runs" | awk -v f="$frames" '{ print f ? $3 * 1e6 / f : 0 }' >>"$work/$1.cpu"
	awk -v f="$frames" -v b="$(du -sb "$work/live" | cut -f1)" 'BEGIN { print f ? b / f : 0 }' >>"$work/$1.bytes"
}

# median FILE [COLUMN]
median() { awk -v c="${2:-1}" '{ print $c }' "$1" | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }
# row MODE WORDS
row() {
	local rps cpu
	rps=$(median "$work/$1.runs") cpu=$(median "$work/$1.runs" 2)
	printf '%-16s %9.0f RPS  ratio %s   %6.2f us CPU/request  ratio %s' "$2" "$rps" "$(ratio "$rps" "$none_rps")" \
		"$cpu" "$(ratio "$none_cpu" "$cpu")"
	[ ! -s "$work/$1.cpu" ] || printf '   %.2f CPU s/M frames, drops %s' "$(median "$work/$1.cpu")" "$(paste -sd+ "$work/$1.drops" | bc)"
	[ ! -s "$work/$1.bytes" ] || printf ', %.0f B/frame' "$(median "$work/$1.bytes")"
	echo
}

echo "== record: nginx under wrk, $seconds s a run, $rounds rounds interleaved"
bench_namespaces
bench_bodies
bench_servers
load warm
for _ in $(seq "$rounds"); do
	load none
	run_tcpdump
	run_record record
done
none_rps=$(median "$work/none.runs") none_cpu=$(median "$work/none.runs" 2)
row none "nothing"
row tcpdump "tcpdump -w"
row record "tapedeck record"
[ ! -s "$work/losses" ] || sed 's/^/  left out: /' "$work/losses"

if [ -n "${BPF_STATS:-}" ] && command -v bpftool >/dev/null; then
	stats_was=$(sysctl -n kernel.bpf_stats_enabled)
	sysctl -qw kernel.bpf_stats_enabled=1
	run_record stats
	jq -r '.[] | select(.run_cnt > 1000) | [.name, .run_cnt, (.run_time_ns / .run_cnt | floor), .run_time_ns / 1e9] | @tsv' "$work/progs.json" |
		awk -F'\t' '{ printf "  bpf %-16s %9d runs  %5d ns  %.2f s\n", $1, $2, $3, $4 }'
fi
