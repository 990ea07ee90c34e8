"""Damage one file of a store at a time and ask everything.

usage: damage.py TAPEDECK WORK SEED SECONDS

No command may crash, hang or fail without words; `check` must call nothing sound whose answers have changed; and an
import into the damaged store must end with 0 or 1.
"""
import os
import random
import shutil
import struct
import subprocess
import sys
import time

COMMANDS = [["check"], ["query", "flows", "-n", "100000"], ["query", "calls", "-o", "ndjson", "-n", "100000"],
            ["query", "packets", "-n", "100000"], ["query", "events", "-n", "1000"], ["query", "entities"],
            ["query", "rollups", "-n", "10000"], ["export", "-o", "-"], ["stats", "--columns"], ["horizon"],
            ["top", "calls", "--by", "dst.workload", "--agg", "count,p99(latency)"], ["retention", "plan"],
            ["replay", "--speed", "0"]]
TOLD_OTHERWISE = ("check", "stats", "horizon", "retention")	# their answer is about the files themselves
KINDS = ["flip", "flip", "flip", "noise", "zeros", "cut", "grow", "empty", "gone"]


def capture(path, seconds):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for n in range(400):
            name = b"host%d.example" % (n % 13)
            labels = b"".join(bytes([len(x)]) + x for x in name.split(b".")) + b"\0"
            for answer in (0, 1):
                ends = (bytes((10, 0, 0, n % 5)), bytes((10, 0, 1, 1)))
                ports = (4000 + n % 5, 53)
                if answer:
                    ends, ports = ends[::-1], ports[::-1]
                data = struct.pack(">HHHHHH", n, 0x8183 if answer else 0x0100, 1, 0, 0, 0) + labels + b"\0\1\0\1"
                udp = struct.pack(">HHHH", *ports, 8 + len(data), 0) + data
                frame = b"\2" * 12 + b"\x08\0" + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                                                            *ends) + udp
                out.write(struct.pack("<IIII", seconds + n, answer * 900, len(frame), len(frame)) + frame)


def run(tapedeck, tape, command):
    try:
        done = subprocess.run([tapedeck] + command + ["--data", tape], stdin=subprocess.DEVNULL, timeout=30,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except subprocess.TimeoutExpired:
        return "hang", b"", b""
    return done.returncode, done.stdout, done.stderr


def damage(path, kind):
    size = os.path.getsize(path)
    at = random.randrange(size) if size else 0
    if kind == "gone":
        os.unlink(path)
    elif kind in ("empty", "cut"):
        os.truncate(path, 0 if kind == "empty" else at)
    elif kind == "grow":
        with open(path, "ab") as file:
            file.write(os.urandom(random.randrange(1, 5000)))
    elif size:
        with open(path, "r+b") as file:
            file.seek(at)
            old = file.read(1 if kind == "flip" else random.randrange(1, 4096))
            file.seek(at)
            if kind == "flip":
                file.write(bytes([old[0] ^ 1 << random.randrange(8)]))
            else:
                file.write(bytes(len(old)) if kind == "zeros" else random.randbytes(len(old)))
    return at


def main():
    tapedeck, work, seed, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    random.seed(seed)
    base, tape, more = work + "/base", work + "/tape", work + "/more.pcap"
    captures = [work + "/1.pcap", work + "/2.pcap"]
    for n, path in enumerate(captures):
        capture(path, 1700000000 + n * 7200)
    capture(more, 1700500000)
    subprocess.run([tapedeck, "import", "--progress", "none", "--data", base] + captures, check=True,
                   stderr=subprocess.DEVNULL)
    right = [run(tapedeck, base, command) for command in COMMANDS]
    assert all(answer[0] == 0 for answer in right), right
    files = sorted(os.path.relpath(os.path.join(at, name), base) for at, _, names in os.walk(base) for name in names)
    wrong, rounds, noticed = [], 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        shutil.rmtree(tape, ignore_errors=True)
        shutil.copytree(base, tape)
        name, kind = files[rounds % len(files)], random.choice(KINDS)
        what = "%s %s at %d" % (name, kind, damage(os.path.join(tape, name), kind))
        rounds += 1
        answers = [run(tapedeck, tape, command) for command in COMMANDS]
        answers.append(run(tapedeck, tape, ["import", "--progress", "none", more]))
        for command, (code, out, err) in zip(COMMANDS + [["import"]], answers):
            if code not in (0, 1, 2):
                wrong.append("%s: %s ends with %s: %r" % (what, command, code, err[-200:]))
            elif code and not (err.strip() or command == ["check"] and out.strip()):
                wrong.append("%s: %s fails without a word" % (what, command))
        changed = [command for command, got, want in zip(COMMANDS, answers, right)
                   if got[:2] != want[:2] and command[0] not in TOLD_OTHERWISE]
        if answers[0][0] == 0 and changed:
            wrong.append("%s: check calls it sound, and %s changed" % (what, changed))
        noticed += answers[0][0] != 0
    for line in wrong[:20]:
        print("FAIL:", line)
    print("seed %d: %d damaged stores, %d of them noticed by check" % (seed, rounds, noticed))
    sys.exit(bool(wrong) or not noticed)


main()
