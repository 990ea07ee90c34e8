"""Compare captures with the answers of an independent dissector; run.sh starts it, README.md tells of it."""
import argparse
import fnmatch
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import calls
import flows
import protocols
import report
from answer import Answer
from score import Listed, Score
from tape import Tape

JOBS = 2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("tapedeck", "captures", "truth", "dissectors", "work"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--differences", default="", help="the list of deliberate differences")
    parser.add_argument("--out", default="", help="write the table here too, tab-separated")
    parser.add_argument("--only", default="", help="captures to take, a shell pattern")
    parser.add_argument("--show", default="", help="list the differences of these items, a shell pattern")
    return parser.parse_args()


def captures(folder, truth, only):
    for root, dirs, names in os.walk(folder):
        dirs.sort()
        if os.path.realpath(root) == os.path.realpath(truth):
            dirs[:] = []
            continue
        for name in sorted(names):
            capture = os.path.relpath(os.path.join(root, name), folder)
            if os.path.exists(os.path.join(truth, capture + ".tsv")) and fnmatch.fnmatchcase(capture, only or "*"):
                yield capture


def main():
    args = arguments()
    table = protocols.load(args.dissectors)
    score = Score(Listed(args.differences))
    result = report.Report(score, table, args)
    names = sorted(captures(args.captures, args.truth, args.only))

    def record(item):
        number, capture = item
        folder = os.path.join(args.work, str(number))
        tape = Tape(args.tapedeck, os.path.join(args.captures, capture), folder)
        shutil.rmtree(folder, ignore_errors=True)
        return capture, tape

    with ThreadPoolExecutor(JOBS) as pool:
        for capture, tape in pool.map(record, enumerate(names)):
            answer = Answer(os.path.join(args.truth, capture + ".tsv"))
            result.capture(capture, tape, answer)
            if tape.broken:
                continue
            flows.compare(score, capture, answer, tape)
            for protocol in table:
                if result.covered(protocol) and calls.compare(score, capture, answer, tape, protocol):
                    result.files[protocol.name] += 1
    result.write()
    sys.exit(0 if result.passed else 1)


main()
