"""The table a person reads, and the same as tab-separated values."""
import fnmatch
import os
from collections import Counter, defaultdict

import flows

FOUND_GOAL, EXTRA_GOAL, FIELDS_GOAL = 98, 1, 98
WHOLE = 200         # a run of so many captures is the whole set


def percent(value):
    return "-" if value is None else "%.2f" % value


class Report:
    def __init__(self, score, table, args):
        self.score, self.table, self.args = score, table, args
        self.captures = self.packets = 0
        self.names = []
        self.refused, self.broken = [], []
        self.files = Counter()
        self.unlisted = Counter()               # lines the truth counts but does not hold
        self.kinds = defaultdict(lambda: [0, 0])
        self.lines = []
        self.passed = True

    def covered(self, protocol):
        return any(os.path.exists(os.path.join(self.args.dissectors, "proto_%s.c" % name)) for name in protocol.l7)

    def capture(self, capture, tape, answer):
        self.captures += 1
        self.names.append(capture)
        self.packets += len(tape.packets)
        if tape.refused:
            self.refused.append((capture, len(tape.packets), tape.refused))
        if tape.broken:
            self.broken.append((capture, tape.broken))
        for kind in {line.kind for line in answer.lines}:
            self.kinds[kind][0] += 1
        for line in answer.lines:
            self.kinds[line.kind][1] += 1
        for protocol in self.table:
            self.unlisted[protocol.name] += sum(answer.more.get(kind, 0) for kind in protocol.truth)

    def verdict(self, good):
        if not good:
            self.passed = False
        return "PASS" if good else "MISS"

    # one line each: (name, compared, equal, listed, percent, extra, extra listed, goal, verdict)
    def line(self, item, goal, extra_goal=None):
        score = self.score
        rate, extra = score.rate(item), score.extra_rate(item)
        if not score.compared[item] and not score.extra[item]:
            return None
        good = goal is None or ((rate is None or rate >= goal) and (extra_goal is None or extra <= extra_goal)
                                and score.busy_rate(item) >= goal)
        goal_text = "-" if goal is None else ">= %d%%" % goal + (
            ", extra <= %d%%" % extra_goal if extra_goal is not None else "")
        row = (item, score.compared[item], score.equal[item], score.excused[item], percent(rate),
               score.extra[item], score.extra_excused[item], goal_text, self.verdict(good) if goal is not None else "")
        self.lines.append(row)
        return row

    @staticmethod
    def print_line(row, note=""):
        print("%-32s %8d %8d %7d %8s %6d %7d  %-22s %s%s" % (row + (note,)))

    def head(self, title):
        print("\n%-32s %8s %8s %7s %8s %6s %7s  %-22s" % (title, "expected", "equal", "listed", "%", "extra", "listed",
                                                         "goal"))

    def write_flows(self):
        self.head("packets and connections")
        for item, goal in flows.ROWS:
            exact = 0 if item.endswith("conversations") else None
            row = self.line(item, goal, exact)
            if not row:
                print("%-32s %s" % (item, "not covered: no such column"))
                self.lines.append((item, 0, 0, 0, "-", 0, 0, ">= %d%%" % goal, "not covered"))
                continue
            busy = self.score.busy[item]
            note = "  (where there is any: %d of %d)" % (self.score.busy_equal[item], busy) \
                if busy != self.score.compared[item] else ""
            self.print_line(row, note)

    def write_calls(self):
        self.head("messages by protocol")
        for protocol in self.table:
            name = protocol.name
            if not self.covered(protocol):
                lines = sum(self.kinds[kind][1] for kind in protocol.truth)
                print("%-32s not covered: no dissector; %d messages in %d captures" % (
                    name, lines, sum(self.kinds[kind][0] for kind in protocol.truth)))
                self.lines.append((name, lines, 0, 0, "-", 0, 0, "-", "not covered"))
                continue
            note = "  %d captures" % self.files[name]
            if self.unlisted[name]:
                note += "; %d more lines the truth only counts" % self.unlisted[name]
            for suffix, goal, extra in (("requests", FOUND_GOAL, EXTRA_GOAL), ("responses", FOUND_GOAL, EXTRA_GOAL),
                                        ("fields", FIELDS_GOAL, None), ("latency", FIELDS_GOAL, None),
                                        ("times", None, None), ("lines", FOUND_GOAL, EXTRA_GOAL),
                                        ("messages", FOUND_GOAL, EXTRA_GOAL)):
                row = self.line("%s %s" % (name, suffix), goal, extra)
                if row:
                    self.print_line(row, note)
                    note = ""
        known = {kind for protocol in self.table for kind in protocol.truth}
        rest = sorted(kind for kind in self.kinds if kind not in known)
        if rest:
            print("%-32s %s" % ("in the truth, not compared", ", ".join(
                "%s %d" % (kind, self.kinds[kind][1]) for kind in rest)))

    def write(self):
        score = self.score
        print("%d captures, %d packets; %d refused in part or whole, %d broken" % (
            self.captures, self.packets, len(self.refused), len(self.broken)))
        for capture, packets, words in self.refused:
            print("  %s: %d packets, then: %s" % (capture, packets, words))
        for capture, words in self.broken:
            print("  BROKEN %s: %s" % (capture, words))
            self.passed = False
        if not self.captures:
            print("no capture with an answer")
            self.passed = False
        self.write_flows()
        self.write_calls()
        if self.args.show:
            print("\ndifferences (+ listed)")
            for capture, item, which, words, listed in score.shown:
                if fnmatch.fnmatchcase(item, self.args.show):
                    print("%s %s\t%s\t%s\t%s" % ("+" if listed else "-", capture, item, which, words))
        for entry in score.listed.entries:
            # a pattern may stand for captures that are not of this run
            ran = entry["words"][0] in self.names or self.captures >= WHOLE and not self.args.only
            if not entry["used"] and ran:
                print("line %d of the list matches no difference any more: %s" % (
                    entry["number"], " ".join(entry["words"][:3])))
        missed = [row[0] for row in self.lines if row[-1] == "MISS"]
        print("\n%s" % ("every goal is met" if self.passed else "missed: " + ", ".join(missed or ["see above"])))
        if self.args.out:
            with open(self.args.out, "w", encoding="utf-8") as file:
                file.write("item\texpected\tequal\tlisted\tpercent\textra\textra_listed\tgoal\tverdict\n")
                for row in self.lines:
                    file.write("\t".join(str(value) for value in row) + "\n")
