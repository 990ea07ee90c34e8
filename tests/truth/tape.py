"""Import a capture into a store of its own and read the rows back, as a user does."""
import json
import subprocess

ROWS_MAX = "10000000"


def run(tapedeck, *args):
    try:
        done = subprocess.run((tapedeck,) + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                              check=False)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        return 99, b"", "%s hangs" % args[0]


class Tape:
    """refused: why there is nothing, in the program's words. broken: what must never happen."""

    def __init__(self, tapedeck, path, folder):
        self.flows, self.calls, self.packets = [], [], []
        self.refused = self.broken = None
        code, _, words = run(tapedeck, "import", path, "--data", folder, "--progress", "none")
        if code < 0 or code > 2:
            self.broken = "import ends with %d: %s" % (code, words[-200:])
            return
        said = [line for line in words.splitlines() if line.startswith("tapedeck import: ")]
        if code or said:
            self.refused = (said or words.splitlines() or ["no words"])[0].replace(path, "FILE")[17:]
        for table in ("flows", "calls", "packets"):
            code, out, words = run(tapedeck, "query", table, "--data", folder, "-n", ROWS_MAX, "--ascending",
                                   "-o", "ndjson")
            if code == 0:
                setattr(self, table, [json.loads(line) for line in out.decode("utf-8", "replace").splitlines()])
            elif not self.refused:
                self.broken = "query %s: %s" % (table, words[-200:])
