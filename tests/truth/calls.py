"""Messages of the truth against halves of calls of the tape."""
from collections import Counter, defaultdict

SLACK_NS = 1000
NEAR_NS = 10**9         # a message is the same one only within this of theirs
FOREVER = 1 << 64


class Message:
    """One request or one response. way: (sender, receiver), None when the truth does not say."""

    def __init__(self, side, kind, way, time, fields, frame=None):
        self.turned = False     # said by the receiver
        self.side, self.kind, self.way, self.time, self.frame = side, kind, way, time, frame
        self.fields = {name: value for name, value in fields.items() if value not in (None, "")}

    def __str__(self):
        return " ".join([self.kind] + ["%s=%s" % item for item in sorted(self.fields.items())])[:160].strip()


def request(kind="", time=None, **fields):
    return [Message("request", kind, None, time, fields)]


def response(kind="", time=None, **fields):
    return [Message("response", kind, None, time, fields)]


def ours(call, protocol):
    """The halves of a call that were seen."""
    way = ((call.get("src.ip"), str(call.get("src.port"))), (call.get("dst.ip"), str(call.get("dst.port"))))
    out = []
    for message in protocol.got(call):
        message.way = way if message.side == "request" else way[::-1]
        if message.time is None:
            message.time = call.get("req_last_ns", call["start_ns"]) if message.side == "request" else call["end_ns"]
        if not protocol.addressed:
            message.way = None
        out.append(message)
    return out


def theirs(line, protocol):
    out = protocol.expect(line)
    for message in out:
        message.way, message.time, message.frame = line.way, line.time, line.frame
        if message.turned and message.way:
            message.way = message.way[::-1]
        if not protocol.addressed:
            message.way = None
    return out


def same(want, got, names=None):
    return all(got.fields.get(name) == value for name, value in want.fields.items() if not names or name in names)


def near(want, got):
    return abs(want.time - got.time) <= NEAR_NS


def match(wants, gots, main):
    """Pairs of one group, the surest first; wants and gots keep what is left."""
    passes = [
        lambda want, got: want.time == got.time and same(want, got),
        lambda want, got: want.time == got.time and same(want, got, main),
        lambda want, got: near(want, got) and same(want, got),
        lambda want, got: near(want, got) and same(want, got, main),
        lambda want, got: want.time == got.time,
    ]
    pairs = []
    for fits in passes:
        rest = []
        for want in wants:
            found = next((i for i, got in enumerate(gots) if fits(want, got)), None)
            if found is None:
                rest.append(want)
            else:
                pairs.append((want, gots.pop(found)))
        wants[:] = rest
    return pairs


def gather(answer, tape, protocol):
    """{(side, kind, way): (theirs, ours)}, and up to when the truth lists all there is."""
    groups = defaultdict(lambda: ([], []))
    lasts = {}
    seen = {}
    for line in answer.lines:
        if line.kind not in protocol.truth or (line.where == "-" and protocol.addressed):
            continue
        lasts[line.kind] = max(lasts.get(line.kind, 0), line.time)
        if protocol.again and protocol.again(line, seen):
            continue
        for message in theirs(line, protocol):
            groups[message.side, message.kind, message.way][0].append(message)
    until = min((lasts[kind] for kind in lasts if kind in answer.more), default=FOREVER)
    for call in tape.calls:
        if call["l7"] in protocol.l7:
            for message in ours(call, protocol):
                groups[message.side, message.kind, message.way][1].append(message)
    return groups, until


def compare_pair(score, capture, protocol, want, got):
    which = "frame %d" % want.frame
    for name, value in want.fields.items():
        have = got.fields.get(name)
        if name == "latency" and have is not None and abs(have - value) <= SLACK_NS:
            have = value
        score.check(capture, "%s %s" % (protocol.name, "latency" if name == "latency" else "fields"), which,
                    "%s=%s" % (name, have), "%s=%s" % (name, value))
    score.check(capture, protocol.name + " times", which, got.time, want.time)


def compare_tally(score, capture, answer, tape, protocol):
    """Only how many there are of each name is known."""
    item = "%s %s" % (protocol.name, protocol.tally)
    if protocol.expect:
        wants = Counter(name for line in answer.lines if line.kind in protocol.truth for name in protocol.expect(line))
    else:
        wants = {name: count for (kind, name), count in answer.tallies.items() if kind in protocol.truth}
    gots = Counter(name for call in tape.calls if call["l7"] in protocol.l7 for name in protocol.got(call))
    for name in sorted(set(wants) | set(gots)):
        for i in range(max(wants.get(name, 0), gots[name])):
            if i >= wants.get(name, 0):
                score.surplus(capture, item, name, "one more than counted")
            else:
                score.check(capture, item, name, name if i < gots[name] else "nothing", name)
    return bool(wants)


def compare(score, capture, answer, tape, protocol):
    if protocol.tally:
        return compare_tally(score, capture, answer, tape, protocol)
    groups, until = gather(answer, tape, protocol)
    for (side, _, way), (wants, gots) in groups.items():
        item = "%s %ss" % (protocol.name, side)
        for want, got in match(wants, gots, protocol.main):
            score.check(capture, item, "", True, True)
            compare_pair(score, capture, protocol, want, got)
        for want in wants:
            score.check(capture, item, "frame %d" % want.frame, "nothing", str(want))
        for got in gots:
            if got.time < until and side not in protocol.partial:
                where = "%s:%s>%s:%s" % (way[0] + way[1]) if way else "-"
                score.surplus(capture, item, "%s at %d" % (where, got.time), str(got))
    return bool(groups)
