#!/usr/bin/env bash
# usage: tests/bench/capture.sh OUT.pcap [PACKETS]
#
# Makes a capture of at least PACKETS (1,000,000) frames from real servers in network namespaces of its own:
# nginx under wrk with mostly unique bodies, plain and TLS, Redis under redis-benchmark, DNS under dnsperf.
set -eu
cd "$(dirname "$0")/../.."
out=$1 want=${2:-1000000}
. tests/bench/lib.sh

bench_namespaces
bench_bodies
bench_servers
nsenter --net="/proc/$bench_server/ns/net" tcpdump -i eth0 -B 65536 -s 65535 -w "$out" 2>"$bench_dir/tcpdump.log" &
dump=$!
bench_pids+=($dump)
sleep 1
frames() { on_server ip -s link show eth0 | awk '/RX:|TX:/ { getline; s += $2 } END { print s }'; }
round=0
while [ "$(frames)" -lt "$want" ] && [ $round -lt 60 ]; do
	round=$((round + 1))
	on_client wrk -t1 -c16 -d4s -s "$bench_dir/shop.lua" http://10.77.0.2/ >/dev/null &
	web=$!
	on_client redis-benchmark -h 10.77.0.2 -q -c 8 -n 12000 -r 100000 -d 120 -t set,get,lpush,hset,incr >/dev/null
	on_client dnsperf -s 10.77.0.2 -d "$bench_dir/names.txt" -l 1 -q 20 >/dev/null 2>&1 || true
	on_client wrk -t1 -c4 -d1s -s "$bench_dir/shop.lua" https://10.77.0.2/ >/dev/null
	wait $web
done
sleep 1
kill -TERM $dump
wait $dump || true
cat "$bench_dir/tcpdump.log" >&2
