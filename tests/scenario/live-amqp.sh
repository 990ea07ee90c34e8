#!/usr/bin/env bash
# RabbitMQ, driven by clients of AMQP 0-9-1 (pika) and 1.0 (qpid-proton): what they counted
# is what the tape shows. The broker takes some seconds of CPU to start.
. "$(dirname "$0")/live-lib.bash"
server=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server 2>/dev/null | tail -n 1)
[ -n "$server" ] || skip "needs rabbitmq-server"
python=/usr/bin/python3		# the one that Debian's modules are for
$python -c 'import pika, proton' 2>/dev/null || skip "needs python3-pika and python3-qpid-proton"
need_bpf
make_namespaces

make_memory_dir
export HOME=$memory_dir RABBITMQ_MNESIA_BASE=$memory_dir/db RABBITMQ_LOGS=- RABBITMQ_NODENAME=tape$$@localhost \
	RABBITMQ_NODE_IP_ADDRESS=$far4 RABBITMQ_CONFIG_FILE=$memory_dir/rabbitmq.conf ERL_EPMD_ADDRESS=127.0.0.1 \
	RABBITMQ_ENABLED_PLUGINS_FILE=$memory_dir/plugins RABBITMQ_PID_FILE=$memory_dir/pid
echo '[rabbitmq_amqp1_0].' >"$memory_dir/plugins"
printf 'loopback_users = none\ndefault_user = tape\ndefault_pass = s3cret\n' >"$memory_dir/rabbitmq.conf"
start_far names epmd -address 127.0.0.1		# else the broker starts one that outlives it
start_far broker sh "$server" >"$work/broker.log" 2>&1

cat >"$work/classic.py" <<'PY'
import sys, threading
import pika

def connect(password):
    return pika.BlockingConnection(pika.ConnectionParameters(sys.argv[1], credentials=pika.PlainCredentials("tape", password)))

connection = connect("s3cret")
ch = connection.channel()
ch.exchange_declare("orders", exchange_type="topic")
ch.queue_declare("bills")
ch.queue_bind("bills", "orders", "order.*")
headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
for i in range(20):
    ch.basic_publish("orders", "order.%d" % i, b"x" * 1000, pika.BasicProperties(headers=headers))
sure = connection.channel()
sure.confirm_delivery()
for i in range(15):
    sure.basic_publish("", "bills", b"y" * 300000 if i == 14 else b"y" * 10)
try:
    sure.basic_publish("orders", "nobody.wants.this", b"z", mandatory=True)
    sys.exit("no return")
except pika.exceptions.UnroutableError:
    pass
for _ in range(3):
    method, _, body = ch.basic_get("bills")
    ch.basic_ack(method.delivery_tag)
got, refused = 0, False
for method, _, body in ch.consume("bills", inactivity_timeout=10):
    if method is None:
        break
    if got == 5 and not refused:
        refused = True
        ch.basic_nack(method.delivery_tag, requeue=True)
        continue
    got += 1
    ch.basic_ack(method.delivery_tag)
    if got == 32:
        break
ch.cancel()
assert ch.basic_get("bills")[0] is None
try:
    connection.channel().queue_declare("missing", passive=True)
    sys.exit("a queue that is not there")
except pika.exceptions.ChannelClosedByBroker:
    pass
connection.close()
try:
    connect("wrong")
    sys.exit("a wrong password is taken")
except (pika.exceptions.ProbableAuthenticationError, pika.exceptions.AMQPConnectionError):
    pass
print("got", got)
PY
cat >"$work/modern.py" <<'PY'
import sys
from proton import Message
from proton.utils import BlockingConnection

connection = BlockingConnection("amqp://%s:5672" % sys.argv[1], sasl_enabled=True, allow_insecure_mechs=True, allowed_mechs="PLAIN",
                                user="tape", password="s3cret", timeout=20)
sender = connection.create_sender("/queue/modern")
for i in range(10):
    sender.send(Message(id=i, body="z" * (200000 if i == 9 else 50), properties={"n": i}))
receiver = connection.create_receiver("/queue/modern", credit=20)
for i in range(10):
    receiver.receive(timeout=20)
    if i == 3:
        receiver.reject()
    else:
        receiver.accept()
connection.close()
print("ok")
PY
wait_for 90 listening far 5672 || skip "RabbitMQ does not run here: $(tail -n 3 "$work/broker.log")"
wait_for 30 grep -q 'startup complete' "$work/broker.log" || fail "RabbitMQ does not come up"
start_record
in_near timeout 60 $python "$work/classic.py" "$far4" >"$work/said" 2>&1 || fail "pika: $(tail -n 3 "$work/said")"
in_near timeout 60 $python "$work/modern.py" "$far4" >"$work/said10" 2>&1 || fail "proton: $(tail -n 3 "$work/said10")"
ended() { [ "$(calls_count 'l7 == amqp && (method == "Connection.Close" || method == close)')" -ge 3 ]; }
wait_for 10 ended || fail "the connections have no end on the tape"
stop_record

of() { calls "l7 == amqp && ($1)"; }
shape() { jq -s -r "$1" | xargs; }
want "published" "$(of 'method == "Basic.Publish" && end_reason == oneway && target_template == "orders:order.{id}"' |
	shape 'length, (map(.req_body_bytes) | add), (map(.trace_id) | unique[])')" "20 20000 0af7651916cd43dd8448eb211c80319c"
want "confirmed" "$(of 'method == "Basic.Publish" && end_reason == complete && queue == bills && status_text == Ack' |
	shape 'length, (map(.req_body_bytes) | add)')" "15 300140"
want "returned" "$(of 'method == "Basic.Publish" && status == 312' | shape '.[] | .topic, .end_reason, .error')" \
	"orders:nobody.wants.this complete NO_ROUTE"
want "fetched" "$(of 'method == "Basic.Get"' | jq -r '"\(.status_text) \(.rows)"' | sort | uniq -c | xargs)" "1 Get-Empty 0 3 Get-Ok 1"
want "delivered and settled" "$(of 'method == "Basic.Deliver"' | jq -r '"\(.queue) \(.end_reason) \(.status_text)"' | sort | uniq -c | xargs)" \
	"32 bills complete Ack 1 bills complete Nack"
want "a queue that is missing" "$(of 'method == "Queue.Declare" && queue == missing' | jq -r '"\(.status) \(.error)"')" \
	"404 NOT_FOUND - no queue 'missing' in vhost '/'"
want "who asks" "$(of 'method == "Basic.Publish"' | jq -r '"\(.user) \(.db) \(.version)"' | sort -u)" "tape / 0-9-1"
want "refused" "$(of 'method == "Connection.Close" && status == 403' | wc -l)" 1

want "1.0: sent and accepted" "$(of "method == transfer && src.ip == $near4 && status_text == accepted && end_reason == complete" |
	shape 'length, (map(.topic) | unique[])')" "10 /queue/modern"
want "1.0: the large one in full" "$(of "method == transfer && src.ip == $near4" | shape 'map(.req_body_bytes) | max > 200000')" true
want "1.0: received" "$(of "method == transfer && src.ip == $far4 && end_reason == complete" | jq -r .status_text | sort | uniq -c | xargs)" \
	"9 accepted 1 rejected"
want "1.0: links" "$(of "method == attach && src.ip == $near4 && end_reason == complete" | jq -r .target | xargs)" "/queue/modern /queue/modern"

"$tapedeck" query calls --data "$work/tape" -o ndjson -n 10000 | grep -q s3cret && fail "a password in a row"
id=$(of 'method == "Connection.Start" && user == tape' | jq -r .id | head -n 1)
want "the password in full view" "$("$tapedeck" show call "$id" --data "$work/tape" | jq -r '.. | .secret? // empty')" '(masked)'
id=$(of 'method == "Basic.Publish" && queue == bills && req_body_bytes == 300000' | jq -r .id)
want "a body of several frames in full view" "$("$tapedeck" show call "$id" --data "$work/tape" | jq -r '.. | .body_bytes? // empty' | head -n 1)" 300000
