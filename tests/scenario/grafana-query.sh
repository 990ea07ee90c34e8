#!/usr/bin/env bash
# What each generation of the Grafana JSON plugins sends to /query, and what it must get.
. "$(dirname "$0")/rest-lib.bash"
make_store
serve_start
range='"range":{"from":"2026-01-02T03:00:00.000Z","to":"2026-01-02T03:05:00.000Z","raw":{"from":"now-1h","to":"now"}}'
# query 'members of the request' 'a target' ...
query() { local members=$1; shift; local IFS=,; post /grafana/query "{$range,$members,\"targets\":[$*]}"; }

# Health: with a JSON content type and no body, below any number of slashes.
for path in /grafana /grafana/ //grafana//; do
	[ "$(curl -s --path-as-is -o "$work/body" -w '%{http_code}' -H 'Content-Type: application/json' "$url$path")" = 200 ] || fail "health at $path"
done
expect '"2026-01-02T03:00:00.000000000Z"' .oldest

# ---- simPod 0.6.5 as Grafana sends it, with all that is to be skipped
post /grafana/query '{"app":"dashboard","requestId":"SQR100","timezone":"browser",'"$range"',"rangeRaw":{"from":"now-1h","to":"now"},
 "interval":"5s","intervalMs":5000,"maxDataPoints":600,"scopedVars":{"ns":{"selected":false,"text":["a"],"value":["a"]},"__sceneObject":{"text":"__sceneObject"}},
 "targets":[{"refId":"A","datasource":{"type":"simpod-json-datasource","uid":"x"},"target":"calls","payload":{},"editorMode":"code"}],
 "startTime":1795383299188,"dashboardUID":"u","panelId":2,"filters":[],"scopes":[[[[]]]],"queryCachingTTL":null}'
status 200
expect '["array",1,"A","A"]' '[type, length, .[0].refId, .[0].schema.refId]'
expect '[["Time","time"],["calls","number"]]' '[.[0].schema.fields[] | [.name, .type]]'
expect '[60,60,true]' '.[0].data.values | [(.[0]|length), (.[1]|length), (.[0] | . == sort)]'
expect '[1767322800000,5000]' '.[0].data.values[0] | [.[0], .[1] - .[0]]'
expect '[2]' '.[0].data.values[1] | unique'
expect '"reqps"' '.[0].schema.fields[1].config.unit'

# Never more points than asked for, never a shorter step, whole steps.
for points in 1 2 7 60 301; do
	query "\"intervalMs\":1,\"maxDataPoints\":$points" '{"refId":"A","target":"calls"}'
	expect true ".[0].data.values[0] | length <= $points and length >= 1 and (.[0] % 1000 == 0)"
	expect 600 '.[0].data.values as [$t, $v] | (if ($t|length) > 1 then $t[1] - $t[0] else 300000 end) as $step | [$v | to_entries[] | .value * ([$step, 1767323100000 - $t[.key]] | min) / 1000] | add | round'
done
query '"intervalMs":"20000","maxDataPoints":"100"' '{"refId":"A","target":"calls"}'
expect 20000 '.[0].data.values[0] | .[1] - .[0]'

# Groups, limits, labels, units; several targets, several metrics in one; hidden ones; none.
query '"maxDataPoints":5' '{"refId":"A","target":"calls","payload":{"group_by":["dst.workload"]}}' \
	'{"refId":"B","target":"(bytes|packets)","payload":{"group_by":"dst.port","limit":"1"}}' '{"refId":"C","target":"calls","hide":true}'
expect '[["A","10.0.1.1"],["A","10.0.1.53"],["B","8080 tx_bytes"],["B","8080 rx_bytes"],["B","8080 tx_packets"],["B","8080 rx_packets"]]' '[.[] | [.refId, .schema.name]]'
expect '{"dst.workload":"10.0.1.1"}' '.[0].schema.fields[1].labels'
expect '["Bps","pps"]' '[.[2].schema.fields[1].config.unit, .[4].schema.fields[1].config.unit]'
expect true '.[2].schema.meta.notices[0].text | contains("1 largest of 2")'
query '"maxDataPoints":5'
expect '[]' .
post /grafana/query '{}'
expect '[]' .

# Percentiles; a filter on what rollups do not know is answered from the rows.
query '"maxDataPoints":1' '{"refId":"A","target":"latency","payload":{"percentile":["50","99"],"filter":"l7 == \"http\""}}' \
	'{"refId":"B","target":"latency","payload":{"percentile":"p99","filter":"status >= 500 && method == \"GET\""}}'
expect '[["p50",1],["p99",100],["p99",100]]' '[.[] | [.schema.name, (.data.values[1][0] / 1000000 | round)]]'
query '"maxDataPoints":1' '{"refId":"A","target":"connections","payload":{"filter":"status == 200"}}'
status 400
expect '"E_UNKNOWN_NAME"' .error.code

# Silence is 0 where something could be known, null where nothing can.
post /grafana/query '{"range":{"from":"2026-01-02T02:00:00Z","to":"2026-01-02T04:00:00Z"},"maxDataPoints":12,"targets":[{"refId":"A","target":"calls","payload":{"filter":"src.workload == \"10.0.0.2\""}}]}'
expect '[12,1,[null]]' '.[0].data.values[1] | [length, (map(select(. != null)) | length), (map(select(. == null)) | unique)]'
expect true '.[0].schema.meta.notices[0].text | contains("oldest")'

# ---- ad hoc filters: both names, every operator
adhoc() { # operator, value, values, expected number of calls of the table
	query "\"filters\":[{\"key\":\"$1\",\"operator\":\"$2\",\"value\":$3,\"values\":$4}]" '{"refId":"A","target":"call_rows","payload":{"limit":"1000","filter":"http"}}'
	status 200
	expect "$5" '.[0].data.values[0] | length'
}
adhoc status = '"404"' null 30
adhoc status '!=' '"404"' null 270
adhoc status '=|' '""' '["404","500"]' 60
adhoc status '!=|' '""' '["404","500"]' 240
adhoc status '=~' '"(404|500)"' null 60
adhoc status '!~' '"404"' null 270
adhoc status '<' '"404"' null 240
adhoc status '<=' '404' null 270
adhoc status '>' '"404"' null 30
adhoc status '>=' '"404"' null 60
adhoc dst.workload '=~' '"10\\.0\\.1\\.1"' null 300
adhoc dst.workload '=~' '"10[.]0.*"' null 300
adhoc dst.workload '=~' '"10"' null 0
adhoc host '=' '"shop\"example"' null 0
query '"adhocFilters":[{"key":"status","operator":"=","value":"500"}]' '{"refId":"A","target":"call_rows","payload":{"limit":1000}}'
expect 30 '.[0].data.values[0] | length'
query '"filters":[{"key":"status","operator":"=","value":"500"}],"adhocFilters":[{"key":"status","operator":"=","value":"404"}]' '{"refId":"A","target":"call_rows","payload":{"limit":1000}}'
expect 30 '.[0].data.values[0] | length'
query '"filters":[{"key":"status","operator":"~~","value":"500"}]' '{"refId":"A","target":"call_rows"}'
status 400
expect true '.message | contains("~~")'
query '"filters":[{"key":"colour","operator":"=","value":"red"}]' '{"refId":"A","target":"calls"}'
status 400
expect true '.message == .error.message and (.message | contains("colour"))'
query '"filters":[{"key":"","operator":"=","value":""}]' '{"refId":"A","target":"call_rows"}'
status 200

# ---- variables arrive as regular expressions
query '"maxDataPoints":1' '{"refId":"A","target":"calls","payload":{"destination":"(10\\.0\\.1\\.1|10\\.0\\.1\\.53)"}}' \
	'{"refId":"B","target":"calls","payload":{"filter":"dst.workload == \"10\\.0\\.1\\.1\""}}' \
	'{"refId":"C","target":"calls","payload":{"filter":"dst.workload in (10\\.0\\.1\\.1|none)"}}' \
	'{"refId":"D","target":"calls","payload":{"filter":"dst.workload ~ \"^10\\.0\\.1\\.1$\""}}' \
	'{"refId":"E","target":"calls","payload":{"source":["10.0.0.1"],"protocol":"http"}}'
expect '[2,1,1,1,0.5]' '[.[].data.values[1][0]]'

# ---- tables, events, the map
query '"x":1' '{"refId":"A","target":"call_rows","payload":{"fields":"time, target, latency_ns, status","limit":2,"filter":"http"}}'
expect '[["start_ns","time"],["target","string"],["latency_ns","number"],["status","number"]]' '[.[0].schema.fields[] | [.name, .type]]'
expect '[["/items/299","/items/298"],[1000000,1000000],[200,200]]' '.[0].data.values[1:]'
expect 1767323099003 '.[0].data.values[0][0]'
query '"x":1' '{"refId":"A","target":"calls","payload":{"show":"table","group_by":["dst.workload"]}}'
expect '[["10.0.1.1","10.0.1.53"],[1,1]]' '.[0].data.values'
query '"maxDataPoints":100,"scopedVars":{"__annotation":{}}' '{"refId":"Anno","target":"events","payload":{"kind":"capture_start"},"limit":100,"matchAny":false,"tags":[],"type":"dashboard"}'
expect '["time","timeEnd","title","text","tags","id"]' '[.[0].schema.fields[].name][:6]'
expect '[[1767322800000],[null],["capture_start"],["import: capture.pcap"],["capture_start,import"]]' '.[0].data.values[:5]'
query '"x":1' '{"refId":"M","target":"service_map"}'
expect '["nodeGraph","nodeGraph"]' '[.[].schema.meta.preferredVisualisationType]'
expect '["id","title","mainstat","secondarystat","arc__ok","arc__errors"]' '[.[0].schema.fields[].name]'
expect '["10.0.0.1","10.0.0.2","10.0.1.1","10.0.1.53"]' '.[0].data.values[0] | sort'
expect '[4,true]' '[.[1].data.values[0] | length, (unique | length == 4)]'
expect true '(.[0].data.values[0]) as $nodes | .[1].data.values[1:3] | add | all(. as $n | $nodes | index($n) != null)'

# ---- SimpleJson and simPod before 0.3
query '"adhocFilters":[],"maxDataPoints":5,"intervalMs":1000' '{"refId":"A","target":"calls","type":"timeserie","hide":false}' '{"refId":"B","target":"call_rows","type":"table","data":{"limit":1}}'
expect '["calls","A",[2,1767322800000],"reqps"]' '.[0] | [.target, .refId, .datapoints[0], .unit]'
expect '["table","B",{"text":"start_ns","type":"time"},1]' '.[1] | [.type, .refId, .columns[0], (.rows | length)]'
post /grafana/annotations "{$range,\"annotation\":{\"name\":\"x\",\"query\":\"capture_start\",\"enable\":true}}"
expect '[{"annotation":{"name":"x","query":"capture_start","enable":true},"time":1767322800000,"title":"capture_start","text":"capture.pcap","tags":["capture_start","import"]}]' .
post /grafana/annotations "{$range,\"annotation\":{\"query\":\"reason == \\\"nothing\\\"\"}}"
expect '[]' .

# ---- wrong requests
post /grafana/query 'no json'
status 400
expect '["E_FORMAT",true]' '[.error.code, (.message | length > 0)]'
post /grafana/query '[]'
status 400
query '"x":1' '{"refId":"A","target":"lateny"}'
status 400
expect true '.message | contains("nearest is latency")'
query '"x":1' '{"refId":"A","target":"calls"}' '{"refId":"B","target":"calls","payload":{"limit":"many"}}'
status 400
expect true '.message | startswith("query B: ")'
query '"x":1' '{"refId":"A","target":"latency","payload":{"percentile":"150"}}'
status 400
post /grafana/query '{"range":{"from":"2026-01-02T03:05:00Z","to":"2026-01-02T03:00:00Z"},"targets":[{"target":"calls"}]}'
status 400
[ "$(curl -s -o "$work/body" -w '%{http_code}' "$url/grafana/query")" = 405 ] || fail "GET /grafana/query"
serve_stop
echo "every generation of the plugins gets the frames it wants"
