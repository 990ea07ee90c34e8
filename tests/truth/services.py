"""Mail, files, directories, telephony, management: what a host lives on."""
import re

from calls import request, response
from entry import Protocol, answered, asked, nanoseconds, number, text

# ---- LDAP ----

LDAP_ASKS = {0: "bind", 2: "unbind", 3: "search", 6: "modify", 8: "add", 10: "delete", 12: "modifyDN", 14: "compare",
             16: "abandon", 23: "extended"}
LDAP_ANSWERS = (1, 5, 7, 9, 11, 13, 15, 24)     # entries and references belong to the answer that ends them


def ldap_expect(line):
    f = line.fields
    op = number(f.get("op", "-1"))
    if op in LDAP_ASKS:
        return request(method=LDAP_ASKS[op], target=text(f.get("dn") or f.get("base") or f.get("oid")))
    return response(status=number(f.get("result"))) if op in LDAP_ANSWERS else []


def status_got(call):
    out = request(method=call.get("method"), target=text(call.get("target"))) if asked(call) else []
    return out + (response(status=call.get("status")) if answered(call) else [])


# ---- lines of text with three digits for an answer: SMTP, FTP ----

def addressed(value):
    """An address without its brackets and parameters."""
    match = re.search(r"<([^>]*)>?", value or "")
    return text(match[1]) if match else None


def smtp_expect(line):
    f = line.fields
    out = []
    args = f.get("arg", "").split(",")
    for name in f.get("cmd", "").split(",") if "cmd" in f else ():
        name = "STARTTLS" if name == "STAR" else name      # theirs has four letters
        arg = args.pop(0) if args and name not in ("DATA", "QUIT", "RSET", "NOOP", "STARTTLS") else None
        out += request(method=name, target=addressed(arg) if name in ("MAIL", "RCPT") else None)
    for code in f.get("code", "").split(",") if "code" in f else ():
        if code.isdigit() and code[0] != "3":       # those ask for the rest of the request
            out += response(status=int(code))
    return out


def smtp_got(call):
    method = call.get("method", "")
    target = call.get("target") if method in ("MAIL", "RCPT") else None
    out = request(time=call["start_ns"], method=method, target=text(target)) if asked(call) else []
    return out + (response(status=call.get("status")) if "status" in call else [])


def ftp_expect(line):
    f = line.fields
    if "cmd" in f:
        name = f["cmd"].upper()
        return request(method=name, target=None if name in ("USER", "PASS", "PORT") else text(f.get("arg")))
    if "code" in f and f["code"][0] != "1":
        return response(status=int(f["code"]))
    return []


def pop_expect(line):
    f = line.fields
    if "cmd" in f:
        return request(method=f["cmd"].upper())
    return response(status=f["ind"]) if "ind" in f else []


def pop_got(call):
    out = request(method=call.get("method")) if asked(call) else []
    return out + (response(status=call.get("status_text")) if answered(call) else [])


def imap_expect(line):
    f = line.fields
    if "cmd" in f:
        return request(method=f["cmd"].upper())
    return response(status=f.get("status")) if "rtag" in f else []


# ---- SIP ----

def sip_expect(line):
    f = line.fields
    if "method" in f:
        return request(method=f["method"], target=text(f.get("uri")))
    return response(status=number(f["status"])) if "status" in f and f["status"][0] != "1" else []


def sip_again(line, seen):
    """A request sent again before its answer: the same call."""
    f = line.fields
    if "status" in f and f["status"][0] != "1":
        seen.clear()
    key = line.way, f.get("method"), f.get("call"), f.get("cseq"), f.get("uri")
    before, seen[key] = seen.get(key), line.time
    return "method" in f and before is not None and line.time - before < 32 * 10**9


def sip_got(call):
    out = request(time=call["start_ns"], method=call.get("method"), target=text(call.get("target"))) if asked(call) else []
    return out + (response(status=call["status"]) if answered(call) and call.get("status", 0) >= 200 else [])


# ---- requests and answers of one datagram each ----

RADIUS = {1: "Access-Request", 4: "Accounting-Request", 12: "Status-Server", 40: "Disconnect-Request",
          43: "CoA-Request"}


def radius_expect(line):
    f = line.fields
    code = number(f.get("code", "0"))
    if code in RADIUS:
        return request(method=RADIUS[code], user=text(f.get("user")))
    return response(status=code, latency=nanoseconds(f.get("time"))) if code else []


def radius_got(call):
    out = request(time=call["start_ns"], method=call.get("method"), user=text(call.get("user"))) if asked(call) else []
    return out + (response(status=call.get("status"), latency=call.get("latency_ns")) if answered(call) else [])


def radius_again(line, seen):
    """A request sent again before its answer: the same call."""
    f = line.fields
    key = line.way, f.get("id"), f.get("code"), f.get("len"), f.get("user")
    if number(f.get("code", "0")) not in RADIUS:
        seen.clear()
        return False
    before, seen[key] = seen.get(key), line.time
    return before is not None and line.time - before < 10 * 10**9


COMMANDS = {257: "Capabilities-Exchange", 258: "Re-Auth", 271: "Accounting", 272: "Credit-Control",
            274: "Abort-Session", 275: "Session-Termination", 280: "Device-Watchdog", 282: "Disconnect-Peer"}


def diameter_expect(line):
    f = line.fields
    if f.get("req") == "1":
        return request(method=COMMANDS.get(number(f.get("cmd"))), key=f.get("sess"))
    return response(status=number(f.get("result"))) if f.get("req") == "0" else []


def diameter_got(call):
    out = request(method=call.get("method"), key=call.get("key")) if asked(call) else []
    return out + (response(status=call.get("status")) if answered(call) else [])


SNMP = {0: "get", 1: "getnext", 3: "set", 4: "trap", 5: "getbulk", 6: "inform", 7: "trap"}
SNMP_VERSIONS = {0: "1", 1: "2c", 3: "3"}


def snmp_expect(line):
    f = line.fields
    pdu = number(f.get("pdu", "2"))
    if pdu in SNMP:
        return request(method=SNMP[pdu], version=SNMP_VERSIONS.get(number(f.get("ver"))))
    return response() if pdu == 2 and "pdu" in f else []


def snmp_got(call):
    out = request(method=call.get("method"), version=call.get("version")) if asked(call) else []
    return out + (response() if answered(call) else [])


def ntp_expect(line):
    mode = line.fields.get("mode")
    return request(version=line.fields.get("ver")) if mode in ("1", "3") else \
        response(status=number(line.fields.get("stratum"))) if mode in ("2", "4") else []


def ntp_got(call):
    out = request(version=call.get("version")) if asked(call) else []
    return out + (response(status=call.get("status")) if answered(call) else [])


DHCP = {0: "BOOTREQUEST", 1: "DISCOVER", 3: "REQUEST", 4: "DECLINE", 7: "RELEASE", 8: "INFORM", 10: "LEASEQUERY"}
DHCP6 = {1: "SOLICIT", 3: "REQUEST", 4: "CONFIRM", 5: "RENEW", 6: "REBIND", 8: "RELEASE", 9: "DECLINE",
         11: "INFORMATION-REQUEST", 14: "LEASEQUERY"}


def dhcp_expect(line):
    f = line.fields
    message = number(f.get("msg", "0"))
    if line.kind == "dhcpv6":
        if message in DHCP6:
            return request(method=DHCP6[message])
        return response(status=message) if message in (2, 7, 15) else []
    if f.get("op") == "1":
        return request(method=DHCP.get(message, "TYPE%d" % message), target=f.get("mac"))
    return response(status=message) if f.get("op") == "2" else []


def dhcp_got(call):
    target = call.get("target") if call.get("version") == "4" else None
    out = request(method=call.get("method"), target=target) if asked(call) else []
    return out + (response(status=call.get("status")) if answered(call) else [])


def quoted(line, seen):
    """In the frame of an error the second message is the one it is about."""
    kind = number(line.fields.get("type", "0"))
    error = kind in (3, 4, 5, 11, 12) if line.kind == "icmp" else kind in (1, 2, 3, 4)
    if seen.get("frame") == line.frame:
        return True
    if error:
        seen["frame"] = line.frame
    return False


def icmp_expect(line):
    f = line.fields
    kind = number(f.get("type", "0"))
    fields = {"target": "id=%s seq=%s" % (number(f["id"]), number(f["seq"]))} if "id" in f and "seq" in f else {}
    if kind == (8 if line.kind == "icmp" else 128):
        return request(**fields)
    if kind == (0 if line.kind == "icmp" else 129):
        return response(latency=round(float(f["rtt_ms"]) * 10**6) if "rtt_ms" in f else None)
    return []


def icmp_got(call):
    out = request(target=call.get("target")) if asked(call) else []
    return out + (response(latency=call.get("latency_ns")) if answered(call) else [])


ENTRIES = [
    Protocol("ldap", ("ldap", "cldap"), ldap_expect, status_got),
    Protocol("smtp", ("smtp",), smtp_expect, smtp_got),
    Protocol("imap", ("imap",), imap_expect, pop_got),
    Protocol("pop3", ("pop",), pop_expect, pop_got),
    Protocol("ftp", ("ftp",), ftp_expect, status_got),
    Protocol("sip", ("sip",), sip_expect, sip_got, again=sip_again),
    Protocol("radius", ("radius",), radius_expect, radius_got, again=radius_again),
    Protocol("diameter", ("diameter",), diameter_expect, diameter_got),
    Protocol("snmp", ("snmp",), snmp_expect, snmp_got),
    Protocol("dhcp", ("dhcp", "dhcpv6"), dhcp_expect, dhcp_got),
    Protocol("ntp", ("ntp",), ntp_expect, ntp_got),
    Protocol("icmp", ("icmp", "icmpv6"), icmp_expect, icmp_got, addressed=False, again=quoted),
]
