"""Frames of a pcap or pcapng file: (time in ns, captured length, wire length, link type, SHA-1).

An independent reader: it shares no code with the one it checks. It ends quietly where the file is cut short or
cannot be understood, and finds nothing in what is no capture at all.
"""
import hashlib
import struct


def pcap(data, emit):
    order, unit = {b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
                   b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1)}[data[:4]]
    if len(data) < 24:
        return
    major, minor = struct.unpack(order + "2H", data[4:8])
    link = struct.unpack(order + "I", data[20:24])[0] & 0xffff
    at = 24
    while at + 16 <= len(data):
        sec, frac, cap, orig = struct.unpack(order + "4I", data[at:at + 16])
        at += 16
        if (major, minor) < (2, 3):	# the two lengths stood the other way round then
            cap, orig = orig, cap
        if cap > 16 << 20 or at + cap > len(data):
            return
        emit(sec * 10**9 + frac * unit, cap, orig, link, data[at:at + cap])
        at += cap


def options(order, data):
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack(order + "2H", data[at:at + 4])
        if code == 0:
            return
        yield code, data[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def ticks(resolution, offset, value):
    if resolution & 0x80:
        return offset * 10**9 + (value * 10**9 >> (resolution & 0x7f))
    return offset * 10**9 + (value * 10**(9 - resolution) if resolution <= 9 else value // 10**(resolution - 9))


def pcapng(data, emit):
    at, order, ifaces = 0, "<", []
    while at + 12 <= len(data):
        if data[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            ifaces = []
            if struct.unpack(order + "H", data[at + 12:at + 14])[0] != 1:
                return
        kind, length = struct.unpack(order + "2I", data[at:at + 8])
        if length < 12 or length % 4 or at + length > len(data):
            return
        body = data[at + 8:at + length - 4]
        if kind == 1:
            link, snap = struct.unpack(order + "HxxI", body[:8])
            iface = [link, 6, 0, snap]
            for code, value in options(order, body[8:]):
                if code == 9 and value:
                    iface[1] = value[0]
                elif code == 14 and len(value) == 8:
                    iface[2] = struct.unpack(order + "q", value)[0]
            ifaces.append(iface)
        elif kind in (6, 2):
            if kind == 6:
                number, high, low, cap, orig = struct.unpack(order + "5I", body[:20])
            else:
                number, _, high, low, cap, orig = struct.unpack(order + "2H4I", body[:20])
            if number >= len(ifaces) or 20 + cap > len(body):
                return
            link, resolution, offset, _ = ifaces[number]
            emit(ticks(resolution, offset, high << 32 | low), cap, orig, link, body[20:20 + cap])
        elif kind == 3 and ifaces:
            orig = struct.unpack(order + "I", body[:4])[0]
            cap = min(orig, ifaces[0][3] or orig, len(body) - 4)
            emit(None, cap, orig, ifaces[0][0], body[4:4 + cap])
        at += length


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    found = []

    def emit(ns, cap, orig, link, frame):
        found.append((ns, cap, orig, link, hashlib.sha1(frame).hexdigest()))

    if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"):
        pcap(data, emit)
    elif data[:4] == b"\x0a\x0d\x0d\x0a":
        pcapng(data, emit)
    return found
