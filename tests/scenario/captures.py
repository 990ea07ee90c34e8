"""Import every capture below a folder, export it again, compare frame by frame, check the store.

usage: captures.py TAPEDECK FOLDER WORK      See captures.sh.
"""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import frames


def run(*args):
    try:
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.returncode, done.stdout.decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        return 99, "hangs"


def first_difference(got, want):
    for i, (a, b) in enumerate(zip(got, want)):
        if a != b:
            return "frame %d is %s, should be %s" % (i + 1, a, b)
    return "%d frames, should be %d" % (len(got), len(want))


def one(tapedeck, path, work):
    """(frames, None), or (0, what is wrong), or (0, None) for a file without frames."""
    tape, out = work + "/tape", work + "/out"
    code, text = run(tapedeck, "import", path, "--data", tape, "--progress", "none")
    if code > 2:
        return 0, "import ends with %d: %s" % (code, text[-200:])
    want = frames.read(path)
    if not want:
        return 0, None
    if code != 0:
        return 0, "import: " + text[-200:]
    timeless = any(frame[0] is None for frame in want)	# simple packet blocks: whatever time we gave is right
    strip = (lambda list_: [frame[1:] for frame in list_]) if timeless else (lambda list_: list_)
    formats = ["pcapng"] + (["pcap"] if len({frame[3] for frame in want}) == 1 else [])
    for form in formats:
        code, text = run(tapedeck, "export", "--data", tape, "--format", form, "--output", out)
        if code != 0:
            return 0, "export as %s: %s" % (form, text[-200:])
        got = frames.read(out)
        if strip(got) != strip(want):
            return 0, "%s: %s" % (form, first_difference(strip(got), strip(want)))
    code, text = run(tapedeck, "check", "--data", tape)
    if code != 0:
        return 0, "check: " + text[-300:]
    return len(want), None


def main():
    tapedeck, folder, work = sys.argv[1:4]
    paths = sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names
                   if name.endswith((".pcap", ".pcapng", ".cap")))

    def task(item):
        number, path = item
        place = "%s/%d" % (work, number)
        os.mkdir(place)
        result = one(tapedeck, path, place)
        subprocess.run(["rm", "-rf", place], check=False)
        return path, result

    captures = total = empty = bad = 0
    with ThreadPoolExecutor(2) as pool:
        for path, (count, wrong) in pool.map(task, enumerate(paths)):
            if wrong:
                print("FAIL %s: %s" % (os.path.relpath(path, folder), wrong))
                bad += 1
            elif count:
                captures, total = captures + 1, total + count
            else:
                empty += 1
    print("%d captures, %d frames exported identical; %d hold no frame; %d failed" % (captures, total, empty, bad))
    sys.exit(1 if bad or not captures else 0)


main()
