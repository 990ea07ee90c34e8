"""A capture with known contents, for the tests of REST and Grafana: rest_capture.py FILE [CALLS]

CALLS (default 300) HTTP calls, one a second from 2026-01-02T03:00:00Z on, each on a connection of its own from
10.0.0.1 (even) or 10.0.0.2 (odd) to 10.0.1.1:8080: GET /items/N, host shop.example. Every 10th is answered 500, every
10th after the 3rd 404, else 200 with a body of 100 + N bytes. The answer comes 1 ms after the request, 100 ms
for every 20th. Call 7 is a POST with a JSON body that holds quotes and a line end. And as many DNS queries.
"""
import struct
import sys

BASE = 1767322800  # 2026-01-02T03:00:00Z


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def ip(src, dst, proto, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, proto, 0, src, dst)
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def addr(text):
    return bytes(int(part) for part in text.split("."))


def tcp(src, sport, dst, dport, seq, ack, flags, data=b""):
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 65535, 0, 0)
    pseudo = src + dst + struct.pack("!BBH", 0, 6, len(head) + len(data))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:]
    return ip(src, dst, 6, head + data)


def udp(src, sport, dst, dport, data):
    return ip(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data)


def connection(emit, at, src, sport, dst, dport, request, response, delay):
    s, d, ms = 1000, 5000, 1000000
    emit(at, tcp(src, sport, dst, dport, s, 0, 2))
    emit(at + ms, tcp(dst, dport, src, sport, d, s + 1, 18))
    emit(at + 2 * ms, tcp(src, sport, dst, dport, s + 1, d + 1, 16))
    emit(at + 3 * ms, tcp(src, sport, dst, dport, s + 1, d + 1, 24, request))
    s += 1 + len(request)
    emit(at + 3 * ms + delay, tcp(dst, dport, src, sport, d + 1, s, 24, response))
    d += 1 + len(response)
    emit(at + 4 * ms + delay, tcp(src, sport, dst, dport, s, d, 17))
    emit(at + 5 * ms + delay, tcp(dst, dport, src, sport, d, s + 1, 17))
    emit(at + 6 * ms + delay, tcp(src, sport, dst, dport, s + 1, d + 1, 16))


def call(emit, n):
    at = BASE * 10**9 + n * 10**9
    src = addr("10.0.0.2" if n % 2 else "10.0.0.1")
    status, reason = (500, "Internal Server Error") if n % 10 == 0 else (404, "Not Found") if n % 10 == 3 else (200, "OK")
    body = (b"%d " % n).ljust(100 + n, b"x")
    answer = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, reason.encode(), len(body))
    if n == 7:
        sent = b"{\"it's\": \"a\nbody\"}"
        request = b"POST /items/7 HTTP/1.1\r\nHost: shop.example\r\nX-Who: o'hara\r\nContent-Length: %d\r\n\r\n" % len(sent) + sent
    else:
        request = b"GET /items/%d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: maker\r\n\r\n" % n
    connection(emit, at, src, 20000 + n, addr("10.0.1.1"), 8080, request, answer + body, 100000000 if n % 20 == 0 else 1000000)
    query = struct.pack("!HHHHHH", n, 0x100, 1, 0, 0, 0) + b"\x04shop\x07example\0\0\x01\0\x01"
    reply = struct.pack("!HHHHHH", n, 0x8180, 1, 1, 0, 0) + query[12:] + b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\x01\x01"
    emit(at + 500000000, udp(src, 30000 + n, addr("10.0.1.53"), 53, query))
    emit(at + 502000000, udp(addr("10.0.1.53"), 53, src, 30000 + n, reply))


def main():
    frames = []
    for n in range(int(sys.argv[2]) if len(sys.argv) > 2 else 300):
        call(lambda at, frame: frames.append((at, frame)), n)
    frames.sort(key=lambda frame: frame[0])
    with open(sys.argv[1], "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 65535, 1))
        for at, frame in frames:
            out.write(struct.pack("<IIII", at // 10**9, at % 10**9, len(frame), len(frame)) + frame)


main()
