"""Message brokers."""
import os
import re

from calls import request, response
from entry import Protocol, answered, asked


# ---- Kafka ----

KAFKA = {}


def read_kafka(wire):
    with open(os.path.join(wire, "kafka_api.def"), encoding="utf-8") as file:
        for code, name in re.findall(r"^API\((\d+), (\w+)", file.read(), re.M):
            KAFKA[int(code)] = name


def kafka_expect(line):
    f = line.fields
    if "corr" not in f:
        return []
    if "key" in f and "ver" in f and "rkey" not in f:
        topic = f.get("topic", "")
        return request(method=KAFKA.get(int(f["key"])), version="v" + f["ver"], client=f.get("client"),
                       target=topic if topic and topic[0] != "[" and "," not in topic else None)
    return response()


def kafka_got(call):
    out = []
    if asked(call):
        out += request(method=call.get("method"), version=call.get("version"), client=call.get("user_agent"),
                       target=call.get("topic"))
    return out + (response() if answered(call) else [])

# ---- MQTT ----

MQTT = {1: "CONNECT", 3: "PUBLISH", 6: "PUBREL", 8: "SUBSCRIBE", 10: "UNSUBSCRIBE", 12: "PING", 14: "DISCONNECT", 15: "AUTH"}


def mqtt_expect(line):
    f = line.fields
    if "type" not in f:
        return []
    kind = int(f["type"]) & 15
    if kind in (2, 4, 5, 7, 9, 11, 13):
        return response()
    if kind not in MQTT:
        return []
    return request(method=MQTT[kind], target=f.get("topic", "").split(",")[0] or None if kind != 1 else None)


def mqtt_got(call):
    method = call.get("method", "")
    out = request(method="PING" if method.startswith("PING") else method, target=call.get("topic")) \
        if asked(call) else []
    return out + (response() if answered(call) else [])


# ---- AMQP 0-9-1: method frames; what answers is named -Ok, and a delivery answers Get ----

AMQP = {}
for number_, class_, names in (
        (10, "Connection", "10 Start 11 Start-Ok 20 Secure 21 Secure-Ok 30 Tune 31 Tune-Ok 40 Open 41 Open-Ok "
                           "50 Close 51 Close-Ok"),
        (20, "Channel", "10 Open 11 Open-Ok 20 Flow 21 Flow-Ok 40 Close 41 Close-Ok"),
        (40, "Exchange", "10 Declare 11 Declare-Ok 20 Delete 21 Delete-Ok 30 Bind 31 Bind-Ok"),
        (50, "Queue", "10 Declare 11 Declare-Ok 20 Bind 21 Bind-Ok 30 Purge 31 Purge-Ok 40 Delete 41 Delete-Ok"),
        (60, "Basic", "10 Qos 11 Qos-Ok 20 Consume 21 Consume-Ok 30 Cancel 31 Cancel-Ok 40 Publish 50 Return "
                      "60 Deliver 70 Get 71 Get-Ok 72 Get-Empty 80 Ack 90 Reject 120 Nack"),
        (90, "Tx", "10 Select 11 Select-Ok 20 Commit 21 Commit-Ok 30 Rollback 31 Rollback-Ok")):
    words = names.split()
    for code, name in zip(words[::2], words[1::2]):
        AMQP[number_, int(code)] = class_, name


def amqp_expect(line):
    f = line.fields
    if "proto" in f:
        return request(method="Protocol-Header")
    if f.get("type") != "1":
        return []
    class_, name = AMQP.get((int(f["class"]), int(f["method"])), ("?", "?"))
    if name.endswith(("-Ok", "-Empty")) or name in ("Ack", "Nack", "Reject"):
        return response(answer=name)
    if class_ == "Basic" and name != "Consume" and ("exchange" in f or "rkey" in f):
        return request(method="%s.%s" % (class_, name), target="%s:%s" % (f.get("exchange", ""), f.get("rkey", "")))
    return request(method="%s.%s" % (class_, name), target=f.get("queue") or f.get("exchange"))


def amqp_got(call):
    out = request(time=call["start_ns"], method=call.get("method"), target=call.get("target")) if asked(call) else []
    return out + (response(answer=call["status_text"]) if answered(call) and "status_text" in call else [])


# ---- NATS: theirs has no dissector; operations counted over the followed streams ----

def nats_names(call):
    """The lines of a call: its own, and what answers it."""
    method, out = call.get("method"), []
    if asked(call):
        out.append("?" if method == "UNKNOWN" else method)
    if answered(call):
        if method == "PING":
            out.append("PONG")
        elif call.get("status_text") in ("+OK", "-ERR"):
            out.append(call["status_text"])
    return out


ENTRIES = [
    Protocol("kafka", ("kafka",), kafka_expect, kafka_got),
    Protocol("mqtt", ("mqtt",), mqtt_expect, mqtt_got),
    Protocol("amqp", ("amqp",), amqp_expect, amqp_got),
    Protocol("nats", ("nats",), None, nats_names, tally="lines"),
]
