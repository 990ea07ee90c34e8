#!/usr/bin/env bash
# Aggregates against the capture's known contents; values, moments, replay, export; what the server says of itself.
. "$(dirname "$0")/rest-lib.bash"
make_store
serve_start

get /api/v1/aggregate table=calls by=status 'agg=count,p50(latency_ns),max(latency_ns)' filter=http order=status
status 200
expect '[["200",240],["404",30],["500",30]]' '[.data[] | [.status, .count]] | sort'
expect 100000000 '.data[] | select(.status == "500") | ."max(latency_ns)"'
get /api/v1/aggregate by=dst.workload 'agg=rate(calls),error_ratio,p99(latency)' step=60s from=2026-01-02T03:00:00Z to=2026-01-02T03:05:00Z
expect '[5,["10.0.1.1",1,0.1,100000000]]' '[.data[] | select(."dst.workload" == "10.0.1.1")] | [length, (.[0] | [."dst.workload", ."rate(calls)", .error_ratio, (."p99(latency)" | round)])]'
expect '"2026-01-02T03:00:00.000000000Z"' '.data[0].time'
get /api/v1/aggregate table=flows by=dst.port 'agg=sum(tx_packets),sum(rx_packets)'
expect '[["53",300,300],["8080",1500,900]]' '[.data[] | [."dst.port", ."sum(tx_packets)", ."sum(rx_packets)"]] | sort'
get /api/v1/aggregate table=calls by=l7 top=1 order=-count filter=http format=csv
[ "$(cat "$work/body")" = $'l7,count\nhttp,300' ] || fail "aggregate as CSV"
get /api/v1/aggregate 'agg=p99(nothing)'
status 400
expect '"E_UNKNOWN_NAME"' .error.code
get /api/v1/aggregate table=calls 'agg=median(latency_ns)'
status 400
get /api/v1/aggregate table=nothing
status 400
get /api/v1/aggregate table=calls step=1ms
status 413

get /api/v1/values table=calls field=status filter=http
expect '["200","404","500"]' '.data | sort'
get /api/v1/values table=calls field=target prefix=/items/29
expect 11 '.data | length'
get /api/v1/values table=calls field=stauts
status 400
expect true '.message | contains("status")'
get /api/v1/values field=status
status 400

get /api/v1/at time=2026-01-02T03:00:20.050Z
expect '[["/items/20"],[20020]]' '[[.data.calls[].target], [.data.flows[]."src.port"]]'
get /api/v1/at time=2026-01-02T03:00:20.300Z
expect '[[],[]]' '[.data.calls, .data.flows]'

get /api/v1/replay speed=0 to=2026-01-02T03:00:10Z
jq -s -c '[.[].start_ns] | . == sort' "$work/body" | grep -qx true || fail "replay out of order"
[ "$(jq -s '[.[] | select(.table == "calls" and .l7 == "http")] | length' "$work/body")" = 10 ] || fail "replay of 10 calls"
begin=$(date +%s%N)
get /api/v1/replay speed=4 from=2026-01-02T03:00:10Z to=2026-01-02T03:00:14Z filter=http
took=$((($(date +%s%N) - begin) / 1000000))
[ $took -ge 600 ] || fail "3 s of rows at four times the speed came in $took ms"
get /api/v1/replay speed=fast
status 400

# Export: all of it is the file that came in, frame by frame; of a filter, exactly its flows.
frames() { python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import frames
for frame in frames.read(sys.argv[2]): print(*frame)' "$here" "$1"; }
curl -s -D "$work/head" -o "$work/all.pcap" "$url/api/v1/export?format=pcap"
grep -qi '^content-disposition: attachment; filename="tapedeck.pcap"' "$work/head" || fail "no file name"
cmp -s <(frames "$work/capture.pcap") <(frames "$work/all.pcap") || fail "the export is not the import"
get /api/v1/export filter=src.port==20007 format=pcap
[ "$(frames "$work/body" | wc -l)" = 8 ] || fail "frames of one flow"
get /api/v1/export filter=src.port==20007 format=pcap 'bpf=tcp[13] & 2 != 0'
[ "$(frames "$work/body" | wc -l)" = 2 ] || fail "packet filter"
get /api/v1/export format=pcap 'bpf=nonsense here'
status 400
get /api/v1/export format=zip
status 400
get /api/v1/export filter=src.port==1 format=pcap
[ "$(stat -c %s "$work/body")" = 24 ] || fail "an empty export is a file header"

get /api/v1/horizon
expect '["2026-01-02T03:00:00.000000000Z",false]' '[.oldest.flows, .recorder_running]'
get /api/v1/schema
expect '["calls","entities","events","flows","packets","rollups"]' '[.data[].name] | sort'
expect true '.data[] | select(.name == "calls") | .columns | any(.name == "latency_ns" and .unit == "ns")'
get /api/v1/fields table=flows
expect true '.data | any(.name == "syn_rtt_ns")'
get /api/v1/status
expect '[3000,"import"]' '.recorder | [.counters.frames_total, .mode]'
get /healthz
status 200
get /-/ready
expect '["ready",[]]' '[.status, .reasons]'
get /openapi.json
expect '"3.1.0"' .openapi
expect true '.paths | has("/api/v1/calls/{id}") and has("/grafana/query")'
# Every path that is promised is there, with every parameter it names known.
expect true '[.paths[][].parameters[] | .description // .schema.pattern] | all(. != null)'
get /
expect '"tapedeck"' .name
get /metrics
grep -qx 'tapedeck_frames_total 3000' "$work/body" || fail "counter of the recorder"
grep -q '^tapedeck_http_requests_total{route="/api/v1/aggregate",code="400"} ' "$work/body" || fail "requests by route and code"
grep -q '^tapedeck_store_rows{table="calls"} 600$' "$work/body" || fail "rows"
awk '!/^#/ && !/^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$/ { print; bad = 1 } END { exit bad }' "$work/body" || fail "not Prometheus text"
"$TAPEDECK" recompress --data "$work/tape" --older 0s -o json >"$work/packed" || fail "recompress"
get /metrics
tried=$(awk '/^tapedeck_repacked_(partitions|left)_total / { n += $2 } END { print n }' "$work/body")
[ "$tried" = "$(awk '/^tapedeck_store_partitions / { print $2 }' "$work/body")" ] || fail "packed again: $tried"
serve_stop
echo "aggregates, moments, replay and export agree with what was captured"
