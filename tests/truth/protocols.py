"""The table of protocols: what a line of the truth asks for, and where our calls hold it.

A further protocol is one entry: Protocol(name, the truth's kinds, expect(line) -> messages, got(call) -> messages).
expect() names only fields the line tells; only those are compared. `main` are the fields that name a message.
"""
import os
import re

from calls import request, response


def text(value):
    """Text as both sides can be compared: escapes and white space are one blank, what is too long is cut."""
    if value is None:
        return None
    value = re.sub(r"\.\.\.\[\d+\]$", "", value)
    value = re.sub(r"\\\\[nrt]|\\x[0-9a-f]{2}|[\x00-\x20\x7f-\x9f]|\\[nrt]", " ", value)
    return re.sub(r" +", " ", value.replace("\\\\", "\\")).strip()[:120].strip()


def number(value):
    return None if value is None else int(value, 0) if isinstance(value, str) else value


def nanoseconds(value):
    """tshark's own difference of two times, in seconds; of the many values of a field the first."""
    return None if value is None else round(float(value.split(",")[0]) * 10**9)


def asked(call):
    return "req_last_ns" in call


def answered(call):
    return "rsp_first_ns" in call


def latency(call):
    return call["end_ns"] - call["req_last_ns"] if asked(call) and answered(call) else None


class Protocol:
    """partial: sides the truth does not list whole, where we may have more. again(line, seen): a repeated message."""

    def __init__(self, name, truth, expect, got, l7=None, main=("method", "target"), addressed=True, partial=(),
                 again=None):
        self.name, self.truth, self.expect, self.got = name, truth, expect, got
        self.l7, self.main, self.addressed = l7 or (name,), main, addressed
        self.partial, self.again = partial, again


def plain(call):
    """method, target and status as the columns hold them."""
    out = []
    if asked(call):
        out += request(method=call.get("method"), target=text(call.get("target")))
    if answered(call):
        out += response(status=call.get("status"), latency=latency(call))
    return out


# ---- HTTP/1 ----

def http_expect(line):
    f = line.fields
    if "method" in f:
        return request(method=f["method"], target=text(f.get("uri")), host=f.get("host"))
    if "status" in f and (f["status"][0] != "1" or f["status"] == "101"):   # interim ones belong to the final
        return response(status=number(f["status"]), latency=nanoseconds(f.get("time")))
    return []


def http_got(call):
    out = []
    if asked(call):
        out += request(method=call.get("method"), target=text(call.get("target")), host=call.get("host"))
    if answered(call):
        out += response(status=call.get("status"), latency=latency(call))
    return out


# ---- DNS ----

DNS_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT",
             25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR", 37: "CERT", 41: "OPT", 43: "DS", 46: "RRSIG",
             47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 99: "SPF", 249: "TKEY",
             250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA"}


def dns_name(value):
    return "." if value in ("<Root>", ".") else value and text(value.lower().rstrip("."))


def dns_again(line, seen):
    """A query sent again before its answer: the same call."""
    f = line.fields
    key = line.way, f.get("id"), f.get("name"), f.get("type")
    if f.get("qr") == "1":
        seen.pop((line.way and line.way[::-1],) + key[1:], None)
        return False
    before, seen[key] = seen.get(key), line.time
    return before is not None and f.get("id") != "0x0000" and line.time - before < 5 * 10**9


def dns_expect(line):
    f = line.fields
    name = f.get("name", "").split(",")[0] or None
    kind = f.get("type", "").split(",")[0]
    fields = {"target": dns_name(name),
              "method": DNS_TYPES.get(int(kind), "TYPE" + kind) if kind.isdigit() else None}
    if f.get("op") not in (None, "0"):      # updates and notifications are named by their operation
        fields.pop("method")
    if f.get("qr") == "0":
        return request(**fields)
    if f.get("qr") == "1":
        return response(status=number(f.get("rcode")), latency=nanoseconds(f.get("time")), **fields)
    return []


def dns_got(call):
    out = []
    fields = {"target": dns_name(call.get("target")), "method": call.get("method")}
    if asked(call):
        out += request(time=call["start_ns"], **fields)     # of several the first
    if answered(call):
        out += response(status=call.get("status"), latency=call.get("latency_ns"), **fields)
    return out


# ---- TLS ----

SUITES = {}


def read_suites(wire):
    with open(os.path.join(wire, "tls_suites.def"), encoding="utf-8") as file:
        for code, name in re.findall(r"SUITE\(0x([0-9a-f]+), (\w+)\)", file.read()):
            SUITES[int(code, 16)] = "TLS_" + name


def tls_expect(line):
    return [] if line.where.startswith("udp") else quic_expect(line)


def quic_expect(line):
    f = line.fields
    if not line.where.startswith(("udp", "tcp")):
        return []
    if f.get("hs") == "1":
        return request(target=f.get("sni"))
    if f.get("hs") == "2" and "cipher" in f:
        code = number(f["cipher"])
        return response(cipher=SUITES.get(code, "0x%04x" % code))
    return []


def tls_got(call):
    out = []
    if asked(call):
        out += request(target=call.get("host"))
    if answered(call) and "answers" in call:
        out += response(time=call["rsp_first_ns"], cipher=call["answers"].split(",")[0])    # the hello, not the end
    return out


# ---- Redis ----

def redis_commands(f):
    """Commands of one item: lengths of its arrays, then all their strings; both lists are cut at twelve."""
    arrays, bulks = f.get("array", "").split(","), f.get("bulk", "")
    lengths, cut = f.get("bulklen", "").split(","), "...[" in bulks
    words = re.sub(r"\.\.\.\[\d+\]$", "", bulks).split(",")
    clear = len(words) == len(lengths) or cut       # a comma inside a value would shift what follows
    at, out = 0, []
    for size in arrays:
        if size.startswith("+"):
            out += [{} for _ in range(int(size))]
            continue
        n = int(size)
        whole = clear and at + min(n, 2) < len(words) - cut and not any(
            word.startswith("+") for word in words[at:at + min(n, 2)])
        out.append({"method": words[at].upper(), "target": text(words[at + 1]) if n > 1 else None} if whole else {})
        at += n
    return out


def redis_expect(line):
    f = line.fields
    out = []
    if line.where.endswith(">"):
        if "array" in f and "bulk" in f:
            for fields in redis_commands(f):
                out += request(**fields)
        return out
    if "array" in f or "bulk" in f or "int" in f and "string" in f:
        return []                               # how many answers these are is not told
    for key in ("string", "error", "int"):
        for value in f.get(key, "").split(",") if key in f else ():
            if re.fullmatch(r"\+\d+", value):
                for _ in range(int(value)):
                    out += response("short")
            else:
                out += response("short")
    return out


def redis_got(call):
    out = []
    if asked(call):
        words = call.get("method", "").split(" ")
        target = words[1] if len(words) > 1 else call.get("target")
        out += request(method=words[0], target=text(target and target[:60]))
    if answered(call):
        out += response("short")
    return out


# ---- PostgreSQL ----

PG_ASKS = {"Startup message": "connect", "SSL request": "ssl", "GSS encrypt request": "gss",
           "Cancel request": "cancel", "Execute": "execute"}
PG_METHODS = {"CONNECT": "connect", "SSLREQUEST": "ssl", "GSSENCREQUEST": "gss", "CANCEL": "cancel"}


def pg_expect(line):
    f = line.fields
    kind = f.get("type")
    if kind == "Simple query":
        return request("query", target=text(f.get("query")))
    if kind in PG_ASKS:
        return request(PG_ASKS[kind])
    if kind == "Command completion":
        return response("done", tag=f.get("tag"))
    if kind == "Error":
        return response("error", status=f.get("code"))
    return []


def pg_got(call):
    out = []
    method, target = call.get("method", ""), call.get("target", "")
    if asked(call) and method not in ("PREPARE", "DESCRIBE", "SYNC"):
        if method in PG_METHODS:
            out += request(PG_METHODS[method])
        elif call["req_bytes"] == 5 + len(target.encode()) + 1 or method == "COPY":
            out += request("query", target=text(target))
        else:
            out += request("execute")
    if "answers" in call:
        out += response("done", tag=call["answers"])
    if "error" in call and "status_text" in call:
        out += response("error", status=call["status_text"])
    return out


# ---- MySQL ----

MYSQL_COMMANDS = {1: "QUIT", 2: "INIT_DB", 3: "query", 4: "FIELD_LIST", 14: "PING", 22: "prepare", 23: "execute",
                  25: "CLOSE", 26: "RESET", 28: "FETCH"}


def mysql_expect(line):
    f = line.fields
    out = []
    if "err" in f:
        out += response("error", status=number(f["err"]))
    if "user" in f:
        return out + request("connect", target=f["user"] or None)
    if f.get("num") == "0" and f.get("cmd", "").isdigit() and int(f["cmd"]) in MYSQL_COMMANDS:
        out += request(MYSQL_COMMANDS[int(f["cmd"])], target=text(f.get("query")))
    return out


MYSQL_OURS = {"QUIT": "QUIT", "INIT_DB": "INIT_DB", "FIELD_LIST": "FIELD_LIST", "PING": "PING", "CLOSE": "CLOSE",
              "RESET": "RESET", "FETCH": "FETCH", "PREPARE": "prepare"}


def mysql_got(call):
    out = []
    method, target = call.get("method", ""), call.get("target", "")
    if asked(call):
        if method == "CONNECT" or method == "SSLREQUEST":
            out += request("connect", target=call.get("user"))
        elif method in MYSQL_OURS:
            out += request(MYSQL_OURS[method], target=text(target))
        elif call["req_bytes"] < 5 + len(target.encode()):
            out += request("execute")       # an execution carries no text: it is shorter than its statement
        else:
            out += request("query", target=text(target))
    if "status" in call:
        out += response("error", status=call["status"])
    return out


# ---- MongoDB ----

def mongo_expect(line):
    f = line.fields
    if "elem" not in f:
        return []
    if line.where.endswith(">"):
        return request(method=f["elem"].split(",")[0])
    return response()


def named(call):
    """Only the command and that there is an answer."""
    return (request(method=call.get("method")) if asked(call) else []) + (response() if answered(call) else [])


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


# ---- Memcached ----

def memcache_expect(line):
    f = line.fields
    if "cmd" in f:
        return request(method=f["cmd"], target=f.get("key", "").split(",")[0] or None)
    return []


def memcache_got(call):
    return request(method=call.get("method"), target=call.get("key")) if asked(call) else []


# ---- Cassandra ----

CQL = {0: "ERROR", 1: "STARTUP", 2: "READY", 3: "AUTHENTICATE", 5: "OPTIONS", 6: "SUPPORTED", 7: "QUERY", 8: "RESULT",
       9: "PREPARE", 10: "EXECUTE", 11: "REGISTER", 12: "EVENT", 13: "BATCH", 14: "AUTH_CHALLENGE",
       15: "AUTH_RESPONSE", 16: "AUTH_SUCCESS"}


def cql_expect(line):
    f = line.fields
    if "op" not in f:
        return []
    name = CQL.get(number(f["op"]))
    return response(status=name) if number(f.get("dir", "0")) else request(method=name)


def cql_got(call):
    out = request(method=call.get("method")) if asked(call) else []
    return out + (response(status=call.get("status_text")) if answered(call) else [])


# ---- TDS ----

def tds_expect(line):
    f = line.fields
    kind = f.get("type")
    if kind == "4":
        return response()
    if "query" in f:
        return request(target=text(f["query"]))
    return request() if kind else []


def tds_got(call):
    out = request(target=text(call.get("target"))) if asked(call) else []
    return out + (response() if answered(call) else [])


PROTOCOLS = [
    Protocol("http", ("http",), http_expect, http_got),
    Protocol("dns", ("dns", "mdns", "llmnr"), dns_expect, dns_got, again=dns_again),
    Protocol("tls", ("tls",), tls_expect, tls_got, main=("target", "cipher")),
    Protocol("redis", ("resp",), redis_expect, redis_got, partial=("response",)),
    Protocol("postgresql", ("pgsql",), pg_expect, pg_got),
    Protocol("mysql", ("mysql",), mysql_expect, mysql_got),
    Protocol("mongodb", ("mongo",), mongo_expect, named),
    Protocol("kafka", ("kafka",), kafka_expect, kafka_got),
    Protocol("mqtt", ("mqtt",), mqtt_expect, mqtt_got),
    Protocol("memcached", ("memcache",), memcache_expect, memcache_got),
    Protocol("cassandra", ("cql",), cql_expect, cql_got),
    Protocol("tds", ("tds",), tds_expect, tds_got),
]


def load(wire):
    read_suites(wire)
    read_kafka(wire)
    return PROTOCOLS
