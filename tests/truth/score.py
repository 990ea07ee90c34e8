"""What was compared, what differs, and which differences are deliberate."""
import fnmatch
from collections import defaultdict


class Listed:
    """tests/golden/truth-differences: capture, item, which, at most how many, reason; * and ? as in a shell."""

    def __init__(self, path):
        self.entries = []
        if not path:
            return
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                if text.startswith("#") or not text.strip():
                    continue
                words = [word for word in text.rstrip("\n").split("\t") if word]
                if len(words) != 5 or not words[3].isdigit():
                    raise SystemExit("%s:%d: not capture, item, which, count, reason" % (path, number))
                self.entries.append({"number": number, "words": words, "left": int(words[3]), "used": 0})

    def take(self, capture, item, which):
        for entry in self.entries:
            words = entry["words"]
            if entry["left"] and fnmatch.fnmatchcase(capture, words[0]) and fnmatch.fnmatchcase(item, words[1]) \
               and fnmatch.fnmatchcase(which, words[2]):
                entry["left"] -= 1
                entry["used"] += 1
                return True
        return False


class Score:
    def __init__(self, listed):
        self.listed = listed
        self.compared = defaultdict(int)
        self.equal = defaultdict(int)
        self.excused = defaultdict(int)
        self.busy = defaultdict(int)        # where there was anything to count
        self.busy_equal = defaultdict(int)
        self.busy_excused = defaultdict(int)
        self.extra = defaultdict(int)
        self.extra_excused = defaultdict(int)
        self.shown = []                     # (capture, item, which, words)

    def differs(self, capture, item, which, words):
        listed = self.listed.take(capture, item, which)
        self.shown.append((capture, item, which, words, listed))
        return listed

    def check(self, capture, item, which, got, want, busy=True):
        """One value of theirs and ours."""
        self.compared[item] += 1
        self.busy[item] += busy
        if got == want:
            self.equal[item] += 1
            self.busy_equal[item] += busy
        elif self.differs(capture, item, which, "%s, should be %s" % (got, want)):
            self.excused[item] += 1
            self.busy_excused[item] += busy

    def surplus(self, capture, item, which, words):
        """Something of ours they do not have."""
        self.extra[item] += 1
        if self.differs(capture, item + " extra", which, words):
            self.extra_excused[item] += 1

    def rate(self, item):
        """Equal of what is not excused, in percent; None when nothing was compared."""
        rest = self.compared[item] - self.excused[item]
        return 100.0 * self.equal[item] / rest if rest else None if not self.compared[item] else 100.0

    def busy_rate(self, item):
        """The same where either side counts any: zeros agree too easily."""
        rest = self.busy[item] - self.busy_excused[item]
        return 100.0 * self.busy_equal[item] / rest if rest else 100.0

    def extra_rate(self, item):
        rest = self.extra[item] - self.extra_excused[item]
        return 100.0 * rest / max(1, self.compared[item]) if rest else 0.0
