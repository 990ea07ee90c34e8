"""What the entries of the table share; protocols.py tells of them."""
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
    """partial: sides the truth does not list whole, where we may have more. again(line, seen): a repeated message.
    tally: what is counted, by a name, where there is nothing else to pair; expect(line) and got(call) give names
    then, without expect() the truth counts itself."""

    def __init__(self, name, truth, expect, got, l7=None, main=("method", "target"), addressed=True, partial=(),
                 again=None, tally=""):
        self.name, self.truth, self.expect, self.got = name, truth, expect, got
        self.l7, self.main, self.addressed = l7 or (name,), main, addressed
        self.partial, self.again, self.tally = partial, again, tally


def plain(call):
    """method, target and status as the columns hold them."""
    out = []
    if asked(call):
        out += request(method=call.get("method"), target=text(call.get("target")))
    if answered(call):
        out += response(status=call.get("status"), latency=latency(call))
    return out


def named(call):
    """Only the command and that there is an answer."""
    return (request(method=call.get("method")) if asked(call) else []) + (response() if answered(call) else [])
