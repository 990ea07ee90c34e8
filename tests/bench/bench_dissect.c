/*
 * What dissection costs, protocol by protocol, on one core: made-up conversations cut into segments, through
 * stream_packet() as the tracker calls it, calls thrown away.
 *
 *   make && make build/release/bench_dissect && build/release/bench_dissect [NAME...]
 *
 * MB/s are bytes of the streams, both directions; calls/s count what came out. CPU seconds, the best of ROUNDS (5):
 * other load on the machine makes some rounds slower, none faster. OFF is the same bytes without any dissector; NO_OFF=1
 * leaves it out, for a profiler.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/wr.h"
#include "tests/tls_bytes.h"
#include "wire/stream.h"

#define SEGMENT_BYTES	1448
#define TALK_BYTES	((size_t)4 << 20)	/* of one connection, about */
#define SECONDS_MIN	0.15			/* of one round */

struct talk {
	struct wr bytes;
	struct packet *packet;
	uint8_t *dir;
	unsigned count, max;
	uint32_t next_seq[2];
	uint64_t now_ns;
	unsigned number;	/* of the exchange */
	bool datagrams;
	size_t *off;		/* of each packet's payload, while bytes may still move */
};

/* ---- saying something ---- */

static void packet_add(struct talk *talk, unsigned d, size_t off, size_t len)
{
	struct packet *p;

	if (talk->count == talk->max) {
		talk->max = talk->max ? talk->max * 2 : 4096;
		talk->packet = realloc(talk->packet, talk->max * sizeof(*talk->packet));
		talk->dir = realloc(talk->dir, talk->max);
		talk->off = realloc(talk->off, talk->max * sizeof(*talk->off));
		if (!talk->packet || !talk->dir || !talk->off)
			abort();
	}
	p = &talk->packet[talk->count];
	*p = (struct packet){
		.time_ns = talk->now_ns += 1000, .status = DECODE_OK, .proto = talk->datagrams ? PROTO_udp : PROTO_tcp,
		.has_ports = true, .has_tcp = !talk->datagrams, .segments = 1, .payload_len = (uint32_t)len,
		.payload = { NULL, len }, .flags = TCP_ACK | (len ? TCP_PSH : 0), .seq = talk->next_seq[d],
		.ack = talk->next_seq[!d],
	};
	talk->off[talk->count] = off;
	talk->dir[talk->count++] = (uint8_t)d;
	talk->next_seq[d] += (uint32_t)len;
}

static void put(struct talk *talk, unsigned d, const void *at, size_t len)
{
	size_t off = talk->bytes.len;

	wr_bytes(&talk->bytes, view_make(at, len));
	if (talk->bytes.bad)
		abort();
	for (size_t i = 0; i < len; i += SEGMENT_BYTES)
		packet_add(talk, d, off + i, len - i < SEGMENT_BYTES ? len - i : SEGMENT_BYTES);
}

static void say(struct talk *talk, unsigned d, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(struct talk *talk, unsigned d, const char *fmt, ...)
{
	char text[4096];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put(talk, d, text, (size_t)n);
}

/* Big-endian numbers, zero-terminated and counted texts in one go: 1 2 4 numbers, s text, z text and 0, S length and text. */
static size_t pack(uint8_t *to, const char *what, ...)
{
	uint8_t *at = to;
	va_list args;

	va_start(args, what);
	for (; *what; what++) {
		if (*what == '1' || *what == '2' || *what == '4') {
			unsigned value = va_arg(args, unsigned);

			for (int i = *what - '0'; i-- > 0;)
				*at++ = (uint8_t)(value >> 8 * i);
		} else {
			const char *text = va_arg(args, const char *);
			size_t len = strlen(text);

			if (*what == 'S')
				*at++ = (uint8_t)(len >> 8), *at++ = (uint8_t)len;
			memcpy(at, text, len + 1);
			at += len + (*what == 'z');
		}
	}
	va_end(args);
	return (size_t)(at - to);
}

static char body[1 << 16];

/* ---- conversations: one exchange each, the first after a beginning ---- */

#define HTTP_REQUEST \
	"GET /items/%u.json?page=%u HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n" \
	"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033%02x-01\r\nConnection: keep-alive\r\n\r\n"

static void http_sized(struct talk *talk, unsigned len)
{
	struct wr rsp;

	say(talk, 0, HTTP_REQUEST, talk->number, talk->number % 9, talk->number & 0xff);
	wr_init(&rsp, 0);
	wr_printf(&rsp, "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\nContent-Length: %u\r\n"
		  "Connection: keep-alive\r\n\r\n", len);
	wr_bytes(&rsp, view_make(body, len));
	put(talk, 1, rsp.at, rsp.len);
	wr_release(&rsp);
}

static void http_bodies(struct talk *talk)
{
	http_sized(talk, 16384);
}

static void http_small(struct talk *talk)
{
	http_sized(talk, 200);
}

static void http_chunked(struct talk *talk)
{
	struct wr rsp;

	say(talk, 0, HTTP_REQUEST, talk->number, talk->number % 9, talk->number & 0xff);
	wr_init(&rsp, 0);
	wr_str(&rsp, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 4; i++) {
		wr_str(&rsp, "1000\r\n");
		wr_bytes(&rsp, view_make(body, 4096));
		wr_str(&rsp, "\r\n");
	}
	wr_str(&rsp, "0\r\n\r\n");
	put(talk, 1, rsp.at, rsp.len);
	wr_release(&rsp);
}

static unsigned h2_frame(uint8_t *to, unsigned type, unsigned flags, unsigned stream, const void *payload, unsigned len)
{
	unsigned n = (unsigned)pack(to, "12114", len >> 16, len & 0xffff, type, flags, stream);

	memcpy(to + n, payload, len);
	return n + len;
}

static void http2_exchange(struct talk *talk)
{
	uint8_t out[1024], head[128];
	unsigned n = 0, len, stream = talk->number * 2 + 1;

	if (!talk->number) {
		n = (unsigned)pack(out, "s", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
		n += h2_frame(out + n, 4, 0, 0, "", 0);
	}
	len = (unsigned)pack(head, "111111", 0x82u, 0x86u, 0x41u, 12u, 0u, 0u) - 2;
	len += (unsigned)pack(head + len, "s11", "shop.example", 0x04u, 14u);
	len += (unsigned)snprintf((char *)head + len, 15, "/items/%07u", talk->number);
	n += h2_frame(out + n, 1, 5, stream, head, len);
	put(talk, 0, out, n);
	n = talk->number ? 0 : h2_frame(out, 4, 0, 0, "", 0);
	n += h2_frame(out + n, 1, 4, stream, "\x88", 1);
	n += h2_frame(out + n, 0, 1, stream, body, 200);
	put(talk, 1, out, n);
}

static void websocket_exchange(struct talk *talk)
{
	uint8_t out[256];

	if (!talk->number) {
		say(talk, 0, "GET /feed HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
		say(talk, 1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
	}
	put(talk, 1, out, pack(out, "11", 0x81u, 100u) + (size_t)snprintf((char *)out + 2, 101, "%.100s", body));
}

static void redis_command(struct talk *talk, struct wr *req, struct wr *rsp, unsigned i)
{
	unsigned key = talk->number * 16 + i;

	if (key % 4) {
		wr_printf(req, "*2\r\n$3\r\nGET\r\n$12\r\nuser:%07u\r\n", key % 10000000);
		wr_printf(rsp, "$100\r\n%.100s\r\n", body);
	} else {
		wr_printf(req, "*3\r\n$3\r\nSET\r\n$12\r\nuser:%07u\r\n$100\r\n%.100s\r\n", key % 10000000, body);
		wr_str(rsp, "+OK\r\n");
	}
}

static void redis_sized(struct talk *talk, unsigned depth)
{
	struct wr req, rsp;

	wr_init(&req, 0);
	wr_init(&rsp, 0);
	for (unsigned i = 0; i < depth; i++)
		redis_command(talk, &req, &rsp, i);
	put(talk, 0, req.at, req.len);
	put(talk, 1, rsp.at, rsp.len);
	wr_release(&req);
	wr_release(&rsp);
}

static void redis_one(struct talk *talk)
{
	redis_sized(talk, 1);
}

static void redis_pipelined(struct talk *talk)
{
	redis_sized(talk, 16);
}

static void pg_begin(struct talk *talk)
{
	uint8_t out[256];
	size_t len;

	if (talk->number)
		return;
	len = pack(out, "44zzzz1", 0u, 0x30000u, "user", "shop", "database", "shop", 0u);
	(void)pack(out, "4", (unsigned)len);
	out[4] = 0, out[5] = 3;		/* what pack() ended with a 0 */
	put(talk, 0, out, len);
	put(talk, 1, out, pack(out, "144141", 'R' + 0u, 8u, 0u, 'Z' + 0u, 5u, 'I' + 0u));
}

static size_t pg_rows(uint8_t *out)
{
	size_t n = pack(out, "142z424244", 'T' + 0u, 27u, 1u, "id", 0u, 0u, 23u, 4u, 0xffffffffu, 0u) - 2;

	out[n - 2] = out[n - 1] = 0;
	n += pack(out + n, "1424s", 'D' + 0u, 15u, 1u, 5u, "12345");
	n += pack(out + n, "14z", 'C' + 0u, 13u, "SELECT 1");
	return n + pack(out + n, "141", 'Z' + 0u, 5u, 'I' + 0u);
}

static void pg_simple(struct talk *talk)
{
	uint8_t out[512];
	size_t len;

	pg_begin(talk);
	len = (size_t)snprintf((char *)out + 5, 400, "SELECT id, name, price FROM items WHERE id = %u AND shop = 'a'", talk->number) + 1;
	(void)pack(out, "14", 'Q' + 0u, (unsigned)len + 4);
	out[5] = 'S';
	put(talk, 0, out, len + 5);
	put(talk, 1, out, pg_rows(out));
}

static void pg_extended(struct talk *talk)
{
	uint8_t out[512];
	const char *sql = "SELECT id FROM items WHERE id = $1 AND shop = $2";
	size_t n;

	pg_begin(talk);
	n = pack(out, "14zz2", 'P' + 0u, (unsigned)(4 + 1 + strlen(sql) + 1 + 2), "", sql, 0u);
	n += pack(out + n, "14zz2224s4s2", 'B' + 0u, 4u + 2 + 6 + 9 + 5 + 2, "", "", 0u, 2u, 0u, 5u, "12345", 1u, "a", 0u) - 0;
	n += pack(out + n, "14z4", 'E' + 0u, 9u, "", 0u);
	n += pack(out + n, "14", 'S' + 0u, 4u);
	put(talk, 0, out, n);
	n = pack(out, "1414", '1' + 0u, 4u, '2' + 0u, 4u);
	n += pg_rows(out + n);
	put(talk, 1, out, n);
}

static void mysql_query(struct talk *talk)
{
	static const char result[] =
		"\1\0\0\1\1" "\x1e\0\0\2\3def\4shop\1t\1t\1a\1a\x0c!\0\4\0\0\0\xfd\0\0\0\0\0" "\5\0\0\3\xfe\0\0\2\0" "\3\0\0\4\2v1"
		"\5\0\0\5\xfe\0\0\2\0";
	uint8_t out[256];
	unsigned len = (unsigned)snprintf((char *)out + 5, 200, "SELECT a FROM items WHERE id = %u AND shop = 'a'", talk->number) + 1;

	out[0] = (uint8_t)len, out[1] = out[2] = out[3] = 0, out[4] = 3;
	put(talk, 0, out, len + 4);
	put(talk, 1, result, sizeof(result) - 1);
}

static void memcached_get(struct talk *talk)
{
	say(talk, 0, "get session:%07u\r\n", talk->number % 10000000);
	say(talk, 1, "VALUE session:%07u 0 100\r\n%.100s\r\nEND\r\n", talk->number % 10000000, body);
}

static unsigned le32(uint8_t *to, unsigned value)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> 8 * i);
	return 4;
}

static void mongo_message(struct talk *talk, unsigned d, unsigned id, unsigned to, const char *doc, unsigned len)
{
	uint8_t out[512];
	unsigned n = le32(out, 16 + 4 + 1 + len);

	n += le32(out + n, id);
	n += le32(out + n, to);
	n += le32(out + n, 2013);
	n += le32(out + n, 0);
	out[n++] = 0;
	memcpy(out + n, doc, len);
	put(talk, d, out, n + len);
}

static void mongo_find(struct talk *talk)
{
	static const char find[] = "\x35\0\0\0\2find\0\6\0\0\0items\0\3filter\0\x0e\0\0\0\x10id\0\7\0\0\0\0\2$db\0\5\0\0\0shop\0";
	static const char reply[] = "\x11\0\0\0\1ok\0\0\0\0\0\0\0\xf0\x3f";
	char doc[sizeof(find) + 8];

	memcpy(doc, find, sizeof(find));
	doc[0] = (char)sizeof(find);
	mongo_message(talk, 0, talk->number * 2 + 1, 0, doc, sizeof(find));
	mongo_message(talk, 1, talk->number * 2 + 2, talk->number * 2 + 1, reply, 17);
}

static void kafka_produce(struct talk *talk)
{
	uint8_t out[2048];
	unsigned n = (unsigned)pack(out, "4224S2244S444", 0u, 0u, 3u, talk->number, "bench", 0xffffu, 1u, 30000u, 1u, "orders", 1u,
				    talk->number % 6, 1000u);

	memcpy(out + n, body, 1000);
	(void)pack(out, "4", n + 1000 - 4);
	out[4] = 0;
	put(talk, 0, out, n + 1000);
	n = (unsigned)pack(out, "444S4424444", 0u, talk->number, 1u, "orders", 1u, talk->number % 6, 0u, 0u, talk->number,
			   0xffffffffu, 0xffffffffu);
	n += (unsigned)pack(out + n, "4", 0u);
	(void)pack(out, "4", n - 4);
	out[4] = (uint8_t)(talk->number >> 24);
	put(talk, 1, out, n);
}

static void mqtt_publish(struct talk *talk)
{
	uint8_t out[256];
	unsigned n;

	if (!talk->number) {
		put(talk, 0, out, pack(out, "11S112S", 0x10u, 17u, "MQTT", 4u, 2u, 60u, "bench"));
		put(talk, 1, out, pack(out, "1111", 0x20u, 2u, 0u, 0u));
	}
	n = (unsigned)pack(out, "11S2", 0x32u, 119u, "sensors/bench/t", talk->number % 65000 + 1);
	memcpy(out + n, body, 100);
	put(talk, 0, out, n + 100);
	put(talk, 1, out, pack(out, "112", 0x40u, 2u, talk->number % 65000 + 1));
}

static void nats_publish(struct talk *talk)
{
	if (!talk->number) {
		say(talk, 1, "INFO {\"server_id\":\"a\",\"version\":\"2.9\",\"max_payload\":1048576}\r\n");
		say(talk, 0, "CONNECT {\"verbose\":true,\"name\":\"bench\"}\r\n");
		say(talk, 1, "+OK\r\n");
	}
	say(talk, 0, "PUB orders.%u 100\r\n%.100s\r\n", talk->number % 50, body);
	say(talk, 1, "+OK\r\n");
}

static void dns_query(struct talk *talk)
{
	uint8_t out[512], name[64];
	size_t len = (size_t)snprintf((char *)name, sizeof(name), "%chost%04u%cshop%cexample", 8, talk->number % 10000, 4, 7) + 1;
	size_t n = pack(out, "222222", talk->number & 0xffff, 0x0100u, 1u, 0u, 0u, 0u);

	memcpy(out + n, name, len);
	n += len;
	n += pack(out + n, "22", 1u, 1u);
	put(talk, 0, out, n);
	(void)pack(out, "2222", talk->number & 0xffff, 0x8180u, 1u, 1u);
	out[8] = out[9] = 0;
	n += pack(out + n, "222424", 0xc00cu, 1u, 1u, 300u, 4u, 0x0a000001u);
	put(talk, 1, out, n);
}

/* A connection's handshake, then data that nobody reads. */
static void tls_connection(struct talk *talk)
{
	if (!talk->number) {
		put(talk, 0, B_CH12, sizeof(B_CH12) - 1);
		put(talk, 1, B_SH12_FULL, sizeof(B_SH12_FULL) - 1);
		put(talk, 0, B_CKE B_CCS B_FIN12, sizeof(B_CKE B_CCS B_FIN12) - 1);
		put(talk, 1, B_CCS B_FIN12, sizeof(B_CCS B_FIN12) - 1);
	}
	for (unsigned i = 0; i < 200; i++) {
		put(talk, 0, B_DATA, sizeof(B_DATA) - 1);
		put(talk, 1, B_DATA, sizeof(B_DATA) - 1);
	}
}

static void nobody(struct talk *talk)
{
	say(talk, 0, "\x7f%u what nobody knows %.1000s", talk->number, body);
	say(talk, 1, "\x7e%u %.3000s", talk->number, body);
}

static const struct conversation {
	const char *name;
	uint16_t port;
	void (*exchange)(struct talk *talk);
	size_t bytes;		/* of a connection; 0: TALK_BYTES */
	bool datagrams;
	unsigned calls;		/* of an exchange; 0: any number */
} conversations[] = {
	{ "http, 16 KiB bodies", 80, http_bodies, 0, false, 1 },
	{ "http, 200 B bodies", 80, http_small, 0, false, 1 },
	{ "http, chunked 16 KiB", 80, http_chunked, 0, false, 1 },
	{ "http2, 200 B bodies", 80, http2_exchange, 0, false, 1 },
	{ "websocket, 100 B", 80, websocket_exchange, 0, false, 1 },
	{ "redis", 6379, redis_one, 0, false, 1 },
	{ "redis, 16 in a row", 6379, redis_pipelined, 0, false, 16 },
	{ "postgresql, simple", 5432, pg_simple, 0, false, 1 },
	{ "postgresql, extended", 5432, pg_extended, 0, false, 1 },
	{ "mysql", 3306, mysql_query, 0, false, 1 },
	{ "memcached", 11211, memcached_get, 0, false, 1 },
	{ "mongodb", 27017, mongo_find, 0, false, 1 },
	{ "kafka, 1 kB", 9092, kafka_produce, 0, false, 1 },
	{ "mqtt, 100 B", 1883, mqtt_publish, 0, false, 1 },
	{ "nats, 100 B", 4222, nats_publish, 0, false, 1 },
	{ "dns over udp", 53, dns_query, (size_t)256 << 10, true, 1 },
	{ "tls, 25 kB a connection", 443, tls_connection, 1, false, 0 },
	{ "not recognised", 7777, nobody, 0, false, 0 },
};

/* ---- running ---- */

static uint64_t calls;

static void count_call(void *arg, const struct call *call)
{
	(void)arg;
	(void)call;
	calls++;
}

static double cpu_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void talk_make(const struct conversation *conv, struct talk *talk)
{
	memset(talk, 0, sizeof(*talk));
	talk->next_seq[0] = 1000;
	talk->next_seq[1] = 5000;
	talk->now_ns = 1000000000;
	talk->datagrams = conv->datagrams;
	wr_init(&talk->bytes, 0);
	if (!conv->datagrams) {
		packet_add(talk, 0, 0, 0);
		packet_add(talk, 1, 0, 0);
		talk->packet[0].flags = TCP_SYN;
		talk->packet[1].flags = TCP_SYN | TCP_ACK;
		talk->packet[0].seq--;
		talk->packet[1].seq--;
	}
	do {
		conv->exchange(talk);
		talk->number++;
	} while (talk->bytes.len < (conv->bytes ? conv->bytes : TALK_BYTES));
	for (unsigned i = 0; i < talk->count; i++)
		talk->packet[i].payload.at = talk->bytes.at + talk->off[i];
}

/* CPU seconds of one connection. */
static double run(const struct conversation *conv, const struct talk *talk, bool off, uint64_t *ret_calls)
{
	struct stream_pool *streams = stream_pool_new(&(struct stream_pool_opts){ .dissect_off = off });
	struct call_pool *pool = call_pool_new(NULL);
	uint64_t next_id = 1;
	double start, used;
	unsigned n = 0;

	if (!streams || !pool)
		abort();
	calls = 0;
	start = cpu_seconds();
	do {
		struct call_sink sink = { .pool = pool, .next_id = &next_id, .emit = count_call };
		struct stream *stream = stream_new(streams, &sink, conv->datagrams ? PROTO_udp : PROTO_tcp, 40000, conv->port);

		for (unsigned i = 0; i < talk->count; i++)
			stream_packet(stream, talk->dir[i], &talk->packet[i]);
		stream_free(stream, CALL_END_closed);
		n++;
		used = cpu_seconds() - start;
	} while (used < SECONDS_MIN);
	*ret_calls = calls / n;
	stream_pool_free(streams);
	call_pool_free(pool);
	return used / n;
}

static void bench(const struct conversation *conv, unsigned rounds)
{
	double on = 1e9, off = 1e9;
	uint64_t got = 0, none;
	struct talk talk;

	talk_make(conv, &talk);
	for (unsigned i = 0; i < rounds; i++) {
		double s = run(conv, &talk, false, &got), t = getenv("NO_OFF") ? s : run(conv, &talk, true, &none);

		on = s < on ? s : on;
		off = t < off ? t : off;
	}
	printf("%-26s %9.0f %12.0f %9.0f %10.0f %10.0f%s\n", conv->name, (double)talk.bytes.len / on / 1e6, (double)got / on,
	       got ? on / (double)got * 1e9 : 0, (double)talk.count / on / 1e3, (double)talk.bytes.len / off / 1e6,
	       conv->calls && got < (uint64_t)conv->calls * talk.number ? "   calls are missing" : "");
	(void)fflush(stdout);
	wr_release(&talk.bytes);
	free(talk.packet);
	free(talk.dir);
	free(talk.off);
}

int main(int argc, char **argv)
{
	const char *text = getenv("ROUNDS"), *thing = "{\"id\":4711,\"name\":\"a thing\",\"price\":9.95},";
	unsigned rounds = text ? (unsigned)strtoul(text, NULL, 10) : 5;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = thing[i % strlen(thing)];
	printf("%-26s %9s %12s %9s %10s %10s\n", "dissection, one core", "MB/s", "calls/s", "ns/call", "k packets/s", "OFF MB/s");
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		bool wanted = argc < 2;

		for (int k = 1; k < argc; k++)
			wanted |= strncmp(argv[k], conversations[i].name, strlen(argv[k])) == 0;
		if (wanted)
			bench(&conversations[i], rounds ? rounds : 1);
	}
	return 0;
}
