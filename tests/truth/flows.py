"""Packets and conversations: streams of the truth against flows of the tape."""
from collections import defaultdict

# item, name of the event in the truth, column after tx_ / rx_, goal in percent
EVENTS = (
    ("retransmissions", "retx", "retransmits", 95),
    ("fast retransmissions", "fast", "ack_retransmits", 95),
    ("spurious retransmissions", "spur", "spurious_retransmits", 95),
    ("out of order", "ooo", "out_of_order", 95),
    ("duplicate ACKs", "dupack", "dup_acks", 95),
    ("zero windows", "zwin", "zero_windows", 95),
    ("window probes", "zprobe", "window_probes", 95),
    ("window full", "winfull", "window_full", 95),
    ("keep-alives", "ka", "keepalives", 95),
    ("resets", "rst", "resets", 95),
    ("FINs", "fin", "fins", 95),
)
ROWS = [("packets", 100), ("bytes", 100), ("captured bytes", 100), ("TCP conversations", 100),
        ("UDP conversations", 100), ("SCTP packets", 100), ("packets of a conversation", 100), ("bytes of a conversation", 100),
        ("completeness", 99), ("initial RTT", 99)] + [(item, goal) for item, _, _, goal in EVENTS]
SLACK_NS = 1000


TUNNEL = tuple("tunnel." + name for name in ("src.ip", "src.port", "dst.ip", "dst.port"))


def carrier(row, side):
    """The packets of one side as part of the UDP conversation that carried them: (source, destination), or None."""
    if side == "rx" and "rx_tunnel.src.port" in row:
        ends = (row["tunnel.dst.ip"], row["rx_tunnel.src.port"]), (row["tunnel.src.ip"], row["rx_tunnel.dst.port"])
    else:
        ends = (row["tunnel.src.ip"], row["tunnel.src.port"]), (row["tunnel.dst.ip"], row["tunnel.dst.port"])
        ends = ends if side == "tx" else ends[::-1]
    return tuple((ip, str(port)) for ip, port in ends)


def carriers(rows):
    """Flows inside tunnels, told by their carriers: rows like those of UDP flows, added up by conversation."""
    found = {}
    for row in rows:
        if row.get("tunnel") and all(name in row for name in TUNNEL):
            for side in ("tx", "rx"):
                if not row.get(side + "_packets"):
                    continue
                src, dst = carrier(row, side)
                key = frozenset((src, dst))
                whole = found.setdefault(key, {
                    "id": "carrier %d" % len(found), "proto": "udp", "first_ns": row["first_ns"], "src.ip": src[0],
                    "src.port": src[1], "dst.ip": dst[0], "dst.port": dst[1],
                    "tx_packets": 0, "rx_packets": 0, "tx_bytes": 0, "rx_bytes": 0})
                ours = "tx" if (whole["src.ip"], whole["src.port"]) == src else "rx"
                for what in ("_packets", "_bytes"):
                    whole[ours + what] += row[side + what]
                whole["first_ns"] = min(whole["first_ns"], row["first_ns"])
    return list(found.values())


class Flow:
    """All reports of one flow: counters are deltas, the rest holds the latest."""

    def __init__(self, row):
        self.row, self.sums = dict(row), defaultdict(int)
        self.first = row["first_ns"]
        self.ends = ((row.get("src.ip"), str(row.get("src.port"))), (row.get("dst.ip"), str(row.get("dst.port"))))

    def add(self, row):
        self.row.update(row)
        for key, value in row.items():
            if key[:3] in ("tx_", "rx_") and isinstance(value, int):
                self.sums[key] += value


def assemble(rows):
    flows = {}
    for row in rows:
        if row.get("proto") in ("tcp", "udp") and "src.port" in row:    # without a port it is no stream of theirs
            flows.setdefault(row["id"], Flow(row)).add(row)
    return list(flows.values())


def pair(streams, flows):
    """[(stream or None, flow or None)]: same ends; of several, those that begin together, then in order."""
    groups = defaultdict(lambda: ([], []))
    for stream in streams:
        groups[stream.proto, frozenset(stream.ends)][0].append(stream)
    for flow in flows:
        groups[flow.row["proto"], frozenset(flow.ends)][1].append(flow)
    pairs = []
    for theirs, ours in groups.values():
        ours.sort(key=lambda flow: flow.first)
        for stream in list(theirs):
            same = next((flow for flow in ours if abs(flow.first - stream.first) <= SLACK_NS), None)
            if same:
                pairs.append((stream, same))
                theirs.remove(stream)
                ours.remove(same)
        for i in range(max(len(theirs), len(ours))):
            pairs.append((theirs[i] if i < len(theirs) else None, ours[i] if i < len(ours) else None))
    return pairs


def both(flow, column, turned):
    pair_ = (flow.sums["tx_" + column], flow.sums["rx_" + column])
    return pair_[::-1] if turned else pair_


def compare_pair(score, capture, stream, flow):
    which = "%s:%s" % (stream.proto, stream.number)
    turned = flow.ends != stream.ends and flow.ends[::-1] == stream.ends

    def check(item, got, want, busy=True):
        score.check(capture, item, which, got, want, busy)

    check("packets of a conversation", both(flow, "packets", turned), stream.packets)
    check("bytes of a conversation", both(flow, "bytes", turned), stream.bytes)
    if stream.proto == "udp":
        return
    if stream.completeness:     # 0: no opinion, of a stream of one packet
        got = flow.row.get("completeness")
        # the ACK of a handshake follows a SYN-ACK; they count any
        lone = got == stream.completeness & ~4 and not got & 2
        score.check(capture, "completeness", which + (" lone ACK" if lone else ""), got, stream.completeness)
    if stream.irtt is not None:
        got = flow.row.get("handshake_ns")
        near = got is not None and abs(got - stream.irtt) <= SLACK_NS
        # a handshake has a SYN-ACK; they take the ACK of a RST, or one whose SYN-ACK is not in the capture
        tag = " SYN repeated" if flow.row.get("handshake_ambiguous") else \
            "" if flow.row.get("completeness", 0) & 2 else " no SYN-ACK"
        score.check(capture, "initial RTT", which + tag, stream.irtt if near else got, stream.irtt)
    sums = [[both(flow, column, turned)[d] for column in ("retransmits", "out_of_order")] for d in (0, 1)]
    # a segment with bytes seen before is sent again to us; to them out of order when it comes soon enough
    split = all(sum(sums[d]) == sum(stream.events.get(event, (0, 0))[d] for event in ("retx", "ooo")) for d in (0, 1))
    for item, event, column, _ in EVENTS:
        if "tx_" + column in flow.sums or "rx_" + column in flow.sums:
            want = stream.events.get(event, (0, 0))
            got = both(flow, column, turned)
            tag = " split" if split and event in ("retx", "ooo", "fast") else ""
            score.check(capture, item, which + tag, got, want, any(want) or any(got))


def compare(score, capture, answer, tape):
    def number(name):
        return int(answer.sums.get(name, 0))

    score.check(capture, "packets", "file", len(tape.packets), number("packets"))
    score.check(capture, "bytes", "file", sum(row["len"] for row in tape.packets), number("bytes"))
    score.check(capture, "captured bytes", "file", sum(row["cap_len"] for row in tape.packets), number("captured"))
    sctp = [row for row in tape.flows if row.get("proto") == "sctp"]
    if sctp or "sctp" in answer.layers:
        score.check(capture, "SCTP packets", "file", sum(row["tx_packets"] + row["rx_packets"] for row in sctp),
                    answer.layers.get("sctp", 0))
    for stream, flow in pair(answer.streams, assemble(tape.flows + carriers(tape.flows))):
        item = (stream.proto if stream else flow.row["proto"]).upper() + " conversations"
        if not stream:
            score.surplus(capture, item, "%s %s" % flow.ends, "no stream of theirs")
            continue
        score.check(capture, item, "%s:%s" % (stream.proto, stream.number), "there" if flow else "no flow", "there")
        if flow:
            compare_pair(score, capture, stream, flow)
