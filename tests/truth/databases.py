"""Databases and key-value stores."""
import re

from calls import request, response
from entry import Protocol, answered, asked, named, number, text


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


ENTRIES = [
    Protocol("redis", ("resp",), redis_expect, redis_got, partial=("response",)),
    Protocol("postgresql", ("pgsql",), pg_expect, pg_got),
    Protocol("mysql", ("mysql",), mysql_expect, mysql_got),
    Protocol("mongodb", ("mongo",), mongo_expect, named),
    Protocol("memcached", ("memcache",), memcache_expect, memcache_got),
    Protocol("cassandra", ("cql",), cql_expect, cql_got),
    Protocol("tds", ("tds",), tds_expect, tds_got),
]
