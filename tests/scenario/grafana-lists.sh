#!/usr/bin/env bash
# The lists behind Grafana's editors: metrics, options, variables, tags, and the same under the old names.
. "$(dirname "$0")/rest-lib.bash"
make_store 60
serve_start

post /grafana/metrics '{}'
status 200
expect '["array",true]' '[type, length > 10]'
expect true 'all((.value | type == "string") and (.label | type == "string") and (.payloads | all(.name != null and (.type | IN("input","select","multi-select","textarea")))))'
expect true '[.[].value] | length == (unique | length)'
expect true '.[] | select(.value == "latency") | .payloads | any(.name == "percentile" and (.options | length) > 3)'
expect false '.[] | select(.value == "bytes") | .payloads | any(.name == "percentile")'
expect null '.[] | select(.value == "calls") | .payloads[] | select(.name == "destination") | .options'
# Every metric that is offered answers, with the defaults.
for metric in $(jq -r '.[].value' "$work/body"); do
	post /grafana/query "{\"range\":{\"from\":\"2026-01-02T03:00:00Z\",\"to\":\"2026-01-02T03:01:00Z\"},\"maxDataPoints\":10,\"targets\":[{\"refId\":\"A\",\"target\":\"$metric\",\"payload\":{}}]}"
	status 200
	expect true 'length >= 1 and all(.refId == "A" and (.schema.fields | length) == (.data.values | length) and ([.data.values[] | length] | unique | length) == 1)'
done
post /grafana/metrics '{"metric":"latency","payload":{"percentile":["99"]}}'
expect true 'length > 10'

post /grafana/metric-payload-options '{"metric":"calls","payload":{},"name":"destination"}'
expect '[{"label":"10.0.1.1","value":"10.0.1.1"},{"label":"10.0.1.53","value":"10.0.1.53"}]' .
post /grafana/metric-payload-options '{"name":"group_by"}'
expect true 'any(.value == "dst.workload")'
post /grafana/metric-payload-options '{"name":"filter"}'
expect '[]' .

variable() { post /grafana/variable "{\"payload\":$1,\"range\":{\"from\":\"2026-01-02T03:00:00Z\",\"to\":\"2026-01-02T04:00:00Z\",\"raw\":{}}}"; status 200; expect "$2" '[.[].__text]'; expect true 'all(.__text == .__value)'; }
variable '{"target":"workloads"}' '["10.0.0.1","10.0.0.2","10.0.1.1","10.0.1.53"]'
variable '{"target":"sources"}' '["10.0.0.1","10.0.0.2"]'
variable '"ports"' '["53","8080"]'
variable '{"target":"protocols"}' '["dns","http"]'
variable '{"target":"values(calls, status)"}' '["0","200","404","500"]'
variable '{"target":"pods(default)"}' '[]'
variable '{"target":"pods","namespace":["a","b"]}' '[]'
post /grafana/variable '{"payload":{"target":"pots"}}'
status 400
post /grafana/variable '{"payload":{"target":"values(calls, nothing)"}}'
status 400
post /grafana/variable '{"payload":{"target":"metrics"}}'
expect true 'any(.__value == "latency")'

post /grafana/search '{"target":""}'
expect true 'all(type == "string") and index("latency") != null'
post /grafana/search '{"target":"methods"}'
expect '["A","GET","POST"]' .
post /grafana/search '{"target":"late"}'
expect '["latency"]' .

post /grafana/tag-keys '{}'
expect true 'any(.text == "dst.workload" and .value == "dst.workload" and .type == "string") and any(.text == "status")'
expect true '[.[].text] | length == (unique | length)'
post /grafana/tag-keys '{"filters":[],"timeRange":{"from":"now-1h","to":"now"},"queries":[]}'
status 200
post /grafana/tag-values '{"key":"dst.port"}'
expect '[{"text":"53","value":"53"},{"text":"8080","value":"8080"}]' .
post /grafana/tag-values '{"key":"status","filters":[{"key":"l7","operator":"=","value":"http"}],"timeRange":{"from":"2026-01-02T03:00:01.000Z","to":"2026-01-02T03:00:09.000Z"}}'
expect '["200","404"]' '[.[].text]'
post /grafana/tag-values '{"key":"colour"}'
status 400
post /grafana/tag-values '{}'
status 400
serve_stop
echo "lists are complete, and what they offer works"
