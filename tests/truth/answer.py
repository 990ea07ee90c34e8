"""Read one truth file: what an independent dissector says of a capture."""
from collections import namedtuple

Stream = namedtuple("Stream", "proto number ends packets bytes first last completeness irtt events")
Line = namedtuple("Line", "kind frame time where way fields")


def nanoseconds(text):
    """Seconds with up to nine decimals, without the rounding of a float."""
    whole, _, rest = text.partition(".")
    size = int(whole.lstrip("-")) * 10**9 + int((rest + "0" * 9)[:9])
    return -size if whole.startswith("-") else size


class Answer:
    def __init__(self, path):
        self.meta, self.sums, self.items, self.more, self.layers = {}, {}, {}, {}, {}
        self.streams, self.lines = [], []
        self.tallies = {}
        ends = {}
        with open(path, encoding="utf-8", newline="\n") as file:
            for text in file:
                words = text.rstrip("\n").split("\t")
                kind = words[0]
                if kind.startswith("#") or len(words) < 3:
                    continue
                if kind == "meta":
                    self.meta[words[1]] = words[2]
                elif kind == "sum":
                    self.sums[words[1]] = words[2]
                elif kind == "layer":
                    self.layers[words[1]] = int(words[2])
                elif kind in ("items", "more"):
                    (self.items if kind == "items" else self.more)[words[1]] = int(words[2])
                elif kind in ("tally", "line_scan"):
                    self.tallies[words[1], words[2]] = int(words[3])
                elif kind in ("tcp", "udp") and words[1].isdigit():
                    stream = self.stream(words)
                    self.streams.append(stream)
                    ends[kind + ":" + words[1]] = stream.ends
                elif len(words) >= 5 and words[1].isdigit() and kind not in (
                        "layer", "iface", "items_other_order", "quoted_in_icmp"):
                    self.lines.append(self.line(words, ends))

    @staticmethod
    def stream(words):
        ends = ((words[2], words[3]), (words[4], words[5]))
        if words[0] == "udp":
            return Stream("udp", words[1], ends, (int(words[6]), int(words[8])), (int(words[7]), int(words[9])),
                          nanoseconds(words[10]), nanoseconds(words[11]), None, None, {})
        events = {}
        for word in words[19].split() if len(words) > 19 and words[19] != "-" else ():
            name, _, pair = word.partition("=")
            events[name] = tuple(int(n) for n in pair.split("+"))
        return Stream("tcp", words[1], ends, (int(words[6]), int(words[10])), (int(words[7]), int(words[11])),
                      nanoseconds(words[14]), nanoseconds(words[15]),
                      int(words[16]) if words[16].isdigit() else None,
                      None if words[17] == "-" else nanoseconds(words[17]), events)

    @staticmethod
    def line(words, ends):
        where, way = words[3], None
        if where != "-":
            a_b = ends.get(where[:-1])
            if a_b:
                way = a_b if where[-1] == ">" else a_b[::-1]
        fields = {}
        for word in words[4:]:
            key, _, value = word.partition("=")
            fields[key] = value
        return Line(words[0], int(words[1]), nanoseconds(words[2]), where, way, fields)
