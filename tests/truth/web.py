"""The web: HTTP, DNS, TLS and what runs on them."""
import os
import re

from calls import request, response
from entry import Protocol, answered, asked, latency, nanoseconds, number, text


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


def dtls_again(line, seen):
    """The client's hello once more, with the cookie it was asked for: the same call."""
    f = line.fields
    if f.get("hs") != "1" or "nciphers" not in f:
        return False
    before, seen[line.where] = line.where in seen, True
    return before


def dtls_expect(line):
    """Of a hello in pieces only the line of its last piece tells what is in it."""
    return [] if line.fields.get("hs") == "1" and "nciphers" not in line.fields else quic_expect(line)


def tls_got(call):
    out = []
    if asked(call):
        out += request(target=call.get("host"))
    if answered(call) and "answers" in call:
        out += response(time=call["rsp_first_ns"], cipher=call["answers"].split(",")[0])    # the hello, not the end
    return out


# ---- WebSocket: a message is a call, a pong the answer of a ping, the second close that of the first ----

WEBSOCKET = {1: "text", 2: "binary", 8: "close", 9: "ping"}


def websocket_again(line, seen):
    """Says of the second close of a connection that it is an answer."""
    if line.fields.get("op") == "8":
        line.fields["answer"] = (line.where[:-1] in seen)
        seen[line.where[:-1]] = True
    return False


def websocket_expect(line):
    f = line.fields
    op = number(f.get("op", "0"))
    if op == 10 or op == 8 and f["answer"]:
        return response()
    return request(method=WEBSOCKET[op]) if op in WEBSOCKET else []


def websocket_got(call):
    # fragments: theirs is the first
    return (request(time=call["start_ns"], method=call.get("method")) if asked(call) else []) + \
        (response() if answered(call) else [])


# ---- SSH: the banners ----

def ssh_expect(line):
    banner = re.match(r"SSH-[\d.]+-(.*)", line.fields.get("banner", ""))
    if not banner:
        return []
    return request(target=text(banner[1])) if line.where.endswith(">") else response(target=text(banner[1]))


def ssh_got(call):
    out = request(time=call["start_ns"], target=text(call["user_agent"])) if "user_agent" in call else []
    return out + (response(time=call.get("rsp_first_ns"), target=text(call["status_text"]))
                  if "status_text" in call else [])


# ---- HTTP/2 and gRPC ----

def http2_expect(line):
    f = line.fields
    if f.get("ctype", "").startswith("application/grpc"):
        return []
    return h2_message(f)


def grpc_expect(line):
    f = line.fields
    if "method" in f and f.get("ctype", "").startswith("application/grpc"):
        return request(target=text(f.get("path")), host=f.get("authority"))
    return response(status=number(f["grpc_status"])) if "grpc_status" in f else []


def grpc_got(call):
    # theirs is where the headers are; a stream of messages follows
    out = request(time=call["start_ns"], target=text(call.get("target")), host=call.get("host")) if asked(call) else []
    return out + (response(status=call["status"]) if answered(call) and "status" in call else [])


def h2_message(f):
    if "method" in f:
        out = request(method=f["method"], target=text(f.get("path")), host=f.get("authority"))
        out[0].turned = f.get("type") == "5"        # a promise is the server's words for a request of the client
        return out
    if "status" in f and f["status"][0] != "1":
        return response(status=number(f["status"]))
    return []


ENTRIES = [
    Protocol("http", ("http",), http_expect, http_got, l7=("http", "graphql", "grpc_web", "sse")),
    Protocol("http2", ("http2",), http2_expect, http_got),
    Protocol("grpc", ("http2",), grpc_expect, grpc_got),
    # rows: messages of the response; those of the request are not a column
    Protocol("grpc response", ("grpc",), lambda line: ["message"] if line.where.endswith("<") else [],
             lambda call: ["message"] * call.get("rows", 0), l7=("grpc", "grpc_web"), tally="messages"),
    Protocol("websocket", ("websocket",), websocket_expect, websocket_got, again=websocket_again),
    Protocol("dns", ("dns", "mdns", "llmnr"), dns_expect, dns_got, again=dns_again),
    Protocol("tls", ("tls",), tls_expect, tls_got, main=("target", "cipher")),
    Protocol("dtls", ("dtls",), dtls_expect, tls_got, main=("target", "cipher"), again=dtls_again),
    Protocol("quic", ("tls",), lambda line: quic_expect(line) if line.where.startswith("udp") else [], tls_got),
    Protocol("ssh", ("ssh",), ssh_expect, ssh_got, main=()),
]
