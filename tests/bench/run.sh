#!/usr/bin/env bash
# usage: tests/bench/run.sh [CAPTURE]        (make bench, make bench CAPTURE=file)
#
# Tapedeck against its peers on the same file in the same run: medians of interleaved runs, ratios, never a verdict.
#   import   against `tcptrace -n -l -r` and `tshark -T fields` with HTTP fields     packets/s
#   protocols  import with all dissectors against HTTP and DNS alone                 packets/s
#   size     of the whole store against `zstd -3` of the capture                     bytes
#   export   of one flow against `tcpdump -r` with its 5-tuple                        s
#   record   nginx RPS under wrk with nothing, with tcpdump -w, with tapedeck record  RPS, drops, CPU
# ROUNDS (3), WRK_SECONDS (6), PACKETS (1,000,000), SKIP="tshark record" leave parts out.
set -eu
cd "$(dirname "$0")/../.."
tapedeck=${TAPEDECK:-$PWD/build/tapedeck}
capture=${1:-${CAPTURE:-}}
rounds=${ROUNDS:-3} seconds=${WRK_SECONDS:-6} skip=" ${SKIP:-} "
. tests/bench/lib.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-bench-work.XXXXXX")
trap 'bench_cleanup; rm -rf "$work"' EXIT
say() { printf '%s\n' "$*"; }
has() { case $skip in *" $1 "*) return 1 ;; esac; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }
# timed NAME COMMAND...: wall seconds appended to $work/NAME.s, those of the CPU to $work/NAME.cpu
timed() {
	local name=$1 TIMEFORMAT='%R %U %S'
	shift
	{ time "$@" >"$work/$name.out" 2>"$work/$name.err"; } 2>"$work/time" ||
		{ say "$name failed:"; tail -3 "$work/$name.err"; return 1; }
	awk '{ print $1 }' "$work/time" >>"$work/$name.s"
	awk '{ print $2 + $3 }' "$work/time" >>"$work/$name.cpu"
}

if [ -z "$capture" ]; then
	capture=$work/bench.pcap
	say "making a capture of ${PACKETS:-1000000} packets or more"
	tests/bench/capture.sh "$capture" "${PACKETS:-1000000}" >/dev/null 2>&1
fi
packets=$(capinfos -Mrc "$capture" 2>/dev/null | awk 'END { print $NF }')
[ -n "$packets" ] || packets=$(tcpdump -r "$capture" -nn 2>/dev/null | wc -l)
bytes=$(stat -c %s "$capture")
say "machine   $(nproc) cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), kernel $(uname -r)"
say "capture   $packets packets, $bytes bytes"
cat "$capture" >/dev/null	# into the page cache, for everybody

say
say "== import (median of $rounds, interleaved)"
for i in $(seq "$rounds"); do
	rm -rf "$work/tape"
	timed tapedeck "$tapedeck" import "$capture" --data "$work/tape"
	timed tcptrace tcptrace -n -l -r "$capture" || true
done
ours=$(median <"$work/tapedeck.s")
pps() { awk -v p="$packets" -v s="$1" 'BEGIN { printf "%.0f", p / s }'; }
say "tapedeck import (sealed store)   $ours s   $(pps "$ours") packets/s"
if [ -s "$work/tcptrace.s" ]; then
	theirs=$(median <"$work/tcptrace.s")
	say "tcptrace -n -l -r                $theirs s   $(pps "$theirs") packets/s   ratio $(ratio "$theirs" "$ours")"
fi
if has tshark; then
	timed tshark tshark -n -r "$capture" -T fields -e frame.number -e ip.src -e ip.dst -e tcp.stream \
		-e http.request.method -e http.request.uri -e http.response.code -e http.time || true
	[ -s "$work/tshark.s" ] && theirs=$(median <"$work/tshark.s") &&
		say "tshark -T fields                 $theirs s   $(pps "$theirs") packets/s   ratio $(ratio "$theirs" "$ours")"
fi

say
say "== all dissectors against HTTP and DNS alone (import, median of $rounds, interleaved; goal 0.80)"
for i in $(seq "$rounds"); do
	for list in http,dns all; do
		rm -rf "$work/tape"
		timed "$list" "$tapedeck" import "$capture" --data "$work/tape" --protocols "$list"
	done
done
for list in http,dns all; do
	say "$(printf '%-32s' "--protocols $list") $(median <"$work/$list.s") s   $(pps "$(median <"$work/$list.s")") packets/s   \
$(median <"$work/$list.cpu") CPU s   $(sed -n 's/.* \([0-9]* calls\).*/\1/p' "$work/$list.err")"
done
say "ratio of the packet rates $(ratio "$(median <"$work/http,dns.s")" "$(median <"$work/all.s")"), by CPU time \
$(ratio "$(median <"$work/http,dns.cpu")" "$(median <"$work/all.cpu")")"

say
say "== dissection alone"
[ ! -x build/release/bench_dissect ] || ROUNDS=$rounds build/release/bench_dissect

say
say "== ready rows into the hot tier, commits included"
[ ! -x build/release/bench_rows ] || build/release/bench_rows "$work/rows" 1000000 2>/dev/null
rm -rf "$work/rows"

say
say "== size"
store=$(du -sb "$work/tape" | cut -f1)
zst=$(zstd -3 -q -c "$capture" | wc -c)
say "store     $store bytes   of which packets $(find "$work/tape" -name 'packets.*' -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }')"
say "zstd -3   $zst bytes   ratio $(ratio "$store" "$zst")"

say
say "== export of one flow (median of $rounds, interleaved)"
flow=$("$tapedeck" query flows --data "$work/tape" --filter 'tcp && completeness == 31 && l7 == http' -n 1 -o ndjson | head -1)
field() { printf '%s' "$flow" | jq -r ".\"$1\""; }
id=$(field id)
bpf="host $(field src.ip) and host $(field dst.ip) and tcp port $(field src.port) and tcp port $(field dst.port)"
# Its own time, a second either side: what a user knows of a flow he looks at.
for i in $(seq "$rounds"); do
	timed export "$tapedeck" export --data "$work/tape" --filter "id == \"$id\"" --format pcap --output "$work/one.pcap"
	timed tcpdump tcpdump -n -r "$capture" -w "$work/two.pcap" "$bpf"
done
ours=$(median <"$work/export.s") theirs=$(median <"$work/tcpdump.s")
say "tapedeck export   $ours s   $(stat -c %s "$work/one.pcap") bytes"
say "tcpdump -r        $theirs s   $(stat -c %s "$work/two.pcap") bytes   ratio $(ratio "$theirs" "$ours")"

has record || exit 0
say
ROUNDS=$rounds WRK_SECONDS=$seconds tests/bench/record.sh
