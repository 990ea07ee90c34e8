/*
 * Captures as they come from a bad place: begun late, cut off, with packets lost, doubled or in another order. Whatever is
 * left of them crashes nothing, leaks nothing, leaves no call open - and invents no call.
 *
 * Invented is a call the whole capture does not have. Of TCP: its request begins with another byte than any request of the
 * same protocol and direction there (or inside one, where a request is made of several messages and the first of them is
 * lost), or the same for its response; gRPC counts as HTTP/2, and what HTTP/1 carries as HTTP/1. Crossed is one that is
 * complete and joins a request and a response of different calls there. Of UDP: it begins with another datagram than any call of the same protocol there, and is not called like one either
 * (a repeated question, whose first is lost), and is no handshake whose first datagrams are lost, the only one of its flow.
 *
 * MANGLE_SECONDS=n takes all captures, and repeats with new random numbers until then: `make check-mangle`.
 * MANGLE_ONLY=part of a path takes those captures alone.
 */
#include <ftw.h>
#include <time.h>

#include "base/hash.h"
#include "tests/random.h"
#include "tests/wire_kit.h"

#define PACKETS_MAX	40000
#define KNOWN_MAX	32768
#define TOLD_MAX	4	/* of a capture */
#define POSITIONS_MAX	64	/* cuts tried in a flow with more packets */

struct sample {
	struct packet packet;
	unsigned dir;
	int next;		/* of its flow; -1: the last */
};

struct flow {
	uint8_t proto;
	uint16_t port[2];
	int first, last;
	unsigned packets;
};

/* A call of the whole capture, or of a mangled one. */
struct known {
	uint16_t l7;
	uint8_t req_dir, end;
	bool has_req, has_rsp;
	uint32_t req_seq, rsp_seq, req_len, rsp_len;
	uint64_t name;		/* of method and target */
	uint64_t start_ns, rsp_ns, end_ns;
};

struct bench {
	const char *path;
	struct call_pool *calls;
	struct stream_pool *streams;
	struct sample *sample;
	struct flow *flow;
	struct known *known, *got;
	unsigned samples, flows, knowns, gots;
	unsigned flow_at;
	uint64_t next_id;
	struct packet *order;	/* what is left of a flow, in the order it comes in */
	uint8_t *order_dir;
	struct random random;
	unsigned captures, variants, checked, invented, crossed, told;
	const char *how;
	unsigned by_l7[256][2];	/* invented, crossed */
};

static struct bench bench;

/* ---- a flow through a stream ---- */

/* What a call is called after its bodies or header fields, which may be lost, is the protocol that carries it. */
static uint16_t family(uint16_t l7)
{
	switch (l7) {
	case L7_grpc: return L7_http2;
	case L7_graphql:
	case L7_sse:
	case L7_grpc_web: return L7_http;
	default: return l7;
	}
}

static void note(void *arg, const struct call *call)
{
	struct bench *b = arg;
	struct known *to;
	const struct call_row *row = &call->row;

	if (b->gots == KNOWN_MAX)
		return;
	to = &b->got[b->gots++];
	*to = (struct known){
		.l7 = family((uint16_t)row->l7), .req_dir = call->req_dir, .end = (uint8_t)row->end_reason,
		.has_req = call->has_req, .has_rsp = call->has_rsp, .req_seq = (uint32_t)row->req_seq,
		.rsp_seq = (uint32_t)row->rsp_seq, .req_len = (uint32_t)row->req_bytes, .rsp_len = (uint32_t)row->rsp_bytes,
		.start_ns = row->start_ns, .rsp_ns = row->rsp_first_ns, .end_ns = row->end_ns,
	};
	/* calls of several streams on one connection lie between each other */
	if (ROW_HAS(CALL, row, req_span_bytes))
		to->req_len = (uint32_t)row->req_span_bytes;
	if (ROW_HAS(CALL, row, rsp_span_bytes))
		to->rsp_len = (uint32_t)row->rsp_span_bytes;
	if (ROW_HAS(CALL, row, method))
		to->name = hash_bytes(row->method.at, row->method.len, 1);
	if (ROW_HAS(CALL, row, target))
		to->name = hash_bytes(row->target.at, row->target.len, to->name);
}

static void run(struct bench *b, unsigned count)
{
	const struct flow *flow = &b->flow[b->flow_at];
	struct call_sink sink = { .pool = b->calls, .next_id = &b->next_id, .emit = note, .arg = b };
	struct stream *stream = stream_new(b->streams, &sink, flow->proto, flow->port[0], flow->port[1]);
	struct stream_stats stats;

	CHECK(stream);
	b->gots = 0;
	for (unsigned i = 0; i < count; i++)
		stream_packet(stream, b->order_dir[i], &b->order[i]);
	stream_free(stream, CALL_END_capture_end);
	CHECK(sink.open_calls == 0, "%s flow %u: %s", b->path, b->flow_at, b->how);
	CHECK_U64(call_pool_open(b->calls), 0);
	stream_pool_stats(b->streams, &stats);
	CHECK_U64(stats.held_bytes, 0);
}

/* ---- is it invented? ---- */

/* Requests and responses made of several messages, whose first may be lost. */
static bool in_pieces(uint16_t l7)
{
	return l7 == L7_postgresql || l7 == L7_amqp || l7 == L7_smtp || l7 == L7_ftp || l7 == L7_tls || l7 == L7_ssh ||
	       l7 == L7_tds || l7 == L7_http2 || l7 == L7_websocket || l7 == L7_ldap || l7 == L7_pop3;
}

/* What answers something that is lost is a message of its own there: a close, an acknowledgement, an error. */
static bool stands_alone(uint16_t l7)
{
	return l7 == L7_websocket || l7 == L7_amqp || l7 == L7_nats;
}

static bool begins(uint32_t seq, uint32_t len, uint32_t at, uint16_t l7)
{
	return at == seq || (in_pieces(l7) && at - seq < len);
}

static bool same_datagram(const struct known *known, const struct known *got, bool only)
{
	if (known->name == got->name || known->start_ns == got->start_ns || (known->rsp_ns && known->rsp_ns == got->start_ns))
		return true;
	/* one of several answers, whose request is lost; a handshake whose beginning is lost */
	return (!got->has_req || (only && got->l7 == L7_dtls)) && got->start_ns >= known->start_ns && got->start_ns <= known->end_ns;
}

/* What is wrong with it; NULL: nothing. *from: where to begin to look, as calls come in much the same order. */
static const char *wrong(const struct bench *b, const struct known *got, bool stream, unsigned *from)
{
	bool req = !got->has_req, rsp = !got->has_rsp, pair = got->end != CALL_END_complete;

	for (unsigned n = 0, first = *from; n < b->knowns; n++) {
		unsigned i = (first + n) % b->knowns;
		const struct known *known = &b->known[i];
		bool same_req, same_rsp;

		if (known->l7 != got->l7)
			continue;
		if (!stream) {
			if (!same_datagram(known, got, b->gots == 1))
				continue;
			*from = i;
			return NULL;
		}
		if (stands_alone(got->l7) && known->has_rsp && got->has_req && known->rsp_seq == got->req_seq)
			return NULL;
		same_req = known->has_req && known->req_dir == got->req_dir && begins(known->req_seq, known->req_len, got->req_seq, got->l7);
		same_rsp = known->has_rsp && begins(known->rsp_seq, known->rsp_len, got->rsp_seq, got->l7);
		req |= same_req;
		rsp |= same_rsp;
		/* asked before the connection was HTTP/2, or by the server itself: complete, and no request of its own */
		pair |= same_rsp && (same_req || (!got->has_req && !known->has_req && known->end == got->end));
		if (same_req || same_rsp)
			*from = i;
		if (req && rsp && pair)
			return NULL;
	}
	return !stream ? "call" : !req ? "request" : !rsp ? "response" : "pair";
}

static void judge(struct bench *b)
{
	bool stream = b->flow[b->flow_at].proto == PROTO_tcp;
	unsigned from = 0;

	b->variants++;
	for (unsigned i = 0; i < b->gots; i++) {
		const struct known *got = &b->got[i];
		const char *what = wrong(b, got, stream, &from);

		b->checked++;
		if (!what)
			continue;
		if (strcmp(what, "pair") == 0)
			b->crossed++;
		else
			b->invented++;
		b->by_l7[got->l7 & 255][strcmp(what, "pair") == 0]++;
		if (b->told++ < TOLD_MAX)
			printf("  %s flow %u (ports %u %u), %s: %s %s is not there: request %u+%u, response %u+%u, %s\n", b->path,
			       b->flow_at, b->flow[b->flow_at].port[0], b->flow[b->flow_at].port[1], b->how,
			       sym_name(SYMS_L7, got->l7), what, got->req_seq, got->req_len, got->rsp_seq, got->rsp_len,
			       sym_name(SYMS_CALL_END, got->end));
	}
}

/* ---- ways to mangle ---- */

static unsigned whole(struct bench *b)
{
	unsigned n = 0;

	for (int i = b->flow[b->flow_at].first; i >= 0; i = b->sample[i].next) {
		b->order[n] = b->sample[i].packet;
		b->order_dir[n++] = (uint8_t)b->sample[i].dir;
	}
	return n;
}

static void drop_front(struct bench *b, unsigned count, unsigned n)
{
	memmove(b->order, b->order + n, (count - n) * sizeof(b->order[0]));
	memmove(b->order_dir, b->order_dir + n, count - n);
}

/* The capture begins with packet n, and one that ends before it. */
static void cut_at(struct bench *b, unsigned n)
{
	unsigned count = whole(b);

	b->how = "cut off";
	run(b, n);
	judge(b);
	drop_front(b, count, n);
	b->how = "begun late";
	run(b, count - n);
	judge(b);
}

/* Packet n is cut short at each of its bytes, as a snap length does, with and without the rest of the flow. */
static void cut_bytes(struct bench *b, unsigned n)
{
	unsigned count = whole(b);
	struct view payload = b->order[n].payload;
	size_t step = payload.len > 256 ? payload.len / 128 : 1;

	b->how = "a packet cut short";
	for (size_t len = 0; len < payload.len; len += step) {
		b->order[n].payload = view_sub(payload, 0, len);
		run(b, len & 1 ? count : n + 1);
		judge(b);
	}
}

/* One packet in so many is lost, doubled, or comes before its forerunner. */
static void at_random(struct bench *b, unsigned one_in)
{
	unsigned count = whole(b), kept = 0;
	unsigned kinds = (unsigned)random_below(&b->random, 7) + 1;

	b->how = kinds == 1 ? "packets lost" : kinds == 2 ? "packets swapped" : kinds == 4 ? "packets doubled" : "mangled";
	for (unsigned i = 0; i < count; i++) {
		if (kinds & 1 && random_below(&b->random, one_in) == 0)
			continue;
		b->order[kept] = b->order[i];
		b->order_dir[kept++] = b->order_dir[i];
	}
	for (unsigned i = 1; kinds & 2 && i < kept; i++) {
		struct packet packet = b->order[i];
		uint8_t dir = b->order_dir[i];

		if (random_below(&b->random, one_in))
			continue;
		b->order[i] = b->order[i - 1];
		b->order_dir[i] = b->order_dir[i - 1];
		b->order[i - 1] = packet;
		b->order_dir[i - 1] = dir;
	}
	for (unsigned i = 1; kinds & 4 && i < kept; i++)
		if (random_below(&b->random, one_in) == 0) {
			unsigned from = i - 1 - (unsigned)random_below(&b->random, i < 8 ? i : 8);

			b->order[i] = b->order[from];	/* and what was here is lost */
			b->order_dir[i] = b->order_dir[from];
		}
	run(b, kept);
	judge(b);
}

static void mangle_flow(struct bench *b, unsigned rounds)
{
	unsigned count = b->flow[b->flow_at].packets, step = count > POSITIONS_MAX ? count / POSITIONS_MAX : 1;

	b->how = "whole";
	run(b, whole(b));
	memcpy(b->known, b->got, b->gots * sizeof(b->got[0]));
	b->knowns = b->gots;
	if (!b->knowns || b->knowns == KNOWN_MAX)
		return;		/* still: nothing must come of nothing */
	for (unsigned n = (unsigned)random_below(&b->random, step); n < count; n += step)
		cut_at(b, n);
	for (unsigned i = 0; i < 2 && i < rounds; i++)
		cut_bytes(b, (unsigned)random_below(&b->random, count));
	for (unsigned i = 0; i < rounds; i++)
		at_random(b, 2 + (unsigned)random_below(&b->random, 30));
}

/* ---- captures ---- */

static void add_packet(struct bench *b, struct kit_flow *flows, unsigned *count, struct kit *kit, const struct packet *packet)
{
	struct sample *s = &b->sample[b->samples];
	struct kit_flow *at = kit_find_flow(kit, flows, count, packet, &s->dir);
	struct flow *flow;

	if (!at)
		return;
	flow = &b->flow[at - flows];
	if (b->flows <= (unsigned)(at - flows)) {
		b->flows = (unsigned)(at - flows) + 1;
		*flow = (struct flow){ .proto = packet->proto, .port = { at->a_port, at->b_port }, .first = (int)b->samples };
	} else {
		b->sample[flow->last].next = (int)b->samples;
	}
	s->packet = *packet;
	s->next = -1;
	flow->last = (int)b->samples++;
	flow->packets++;
}

static bool read_capture(struct bench *b, struct kit_file *file)
{
	struct kit_flow *flows = mem_array(KIT_FLOWS_MAX, sizeof(*flows));
	unsigned count = 0;
	struct kit_frame frame;
	struct kit kit;

	b->samples = b->flows = 0;
	CHECK(flows);
	if (!kit_file_open(file, b->path))
		return false;
	kit_init(&kit, &(struct stream_pool_opts){ .dissect_off = true });
	while (b->samples < PACKETS_MAX && kit_file_next(file, &frame)) {
		struct packet packet = { .time_ns = frame.time_ns, .frame = frame.bytes, .orig_len = frame.orig_len,
					 .link = frame.link, .segments = 1 };

		(void)decode_frame(&packet);
		if (packet.ip_version && packet.has_ports && (packet.proto == PROTO_tcp || packet.proto == PROTO_udp))
			add_packet(b, flows, &count, &kit, &packet);
	}
	for (unsigned i = 0; i < count; i++)
		stream_free(flows[i].stream, CALL_END_closed);
	kit_release(&kit);
	mem_free(flows);
	return true;
}

static void mangle_capture(struct bench *b, const char *path, unsigned rounds, unsigned flows_max)
{
	struct kit_file file;

	b->path = path;
	if (!read_capture(b, &file))
		return;
	b->captures++;
	b->told = 0;
	for (unsigned i = 0; i < b->flows; i++) {
		/* of many flows some, each time others */
		if (b->flows > flows_max && random_below(&b->random, b->flows) >= flows_max)
			continue;
		b->flow_at = i;
		mangle_flow(b, rounds);
	}
	mem_free((void *)(uintptr_t)file.all.at);
}

static time_t until;

static int one_capture(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const char *only = getenv("MANGLE_ONLY");

	(void)ftw;
	if (kind == FTW_F && (!only || strstr(path, only)) && st->st_size < 4 << 20 && !strstr(path, "/truth/") && (strstr(path, ".pcap") || strstr(path, ".cap")))
		mangle_capture(&bench, path, 8, 12);
	return time(NULL) > until && bench.captures > 300;
}

TEST(mangle, invents_no_call, .timeout = 1800)
{
	static const char *const files[] = {
		"http/pipelined-requests.pcap", "http/http_chunk.pcap", "http/get-gzip.pcap", "dns/dns-tcp-multi.pcap",
		"dns/rrsig.pcap", "redis/redis-debug.pcap", "postgresql/pgsql.pcap", "mysql/mysql.pcap", "mongodb/mongo.pcap",
		"memcache/memcached-userdata.pcap", "kafka/mixed-with-unsupported.pcap", "mqtt/mqtt_synthetic.pcap",
		"amqp/amqp-error.pcap", "ldap/ldap_invalid_credentials.pcap", "smtp/smtp-pipelining.pcap", "tls/hrr.pcap", "tls/dtls1_2.pcap",
		"websocket/basic_websockets.pcap", "cassandra/cassandra.pcap", "other/mssql_tds.pcap", "ssh/single-conn.pcap",
		"http2/http2-continuation.pcap", "grpc/grpc.pcap", "nats/nats.pcap", "other/sip.pcap", "other/ftp-ipv4.pcap",
	};
	const char *captures = check_need_captures(), *seconds = getenv("MANGLE_SECONDS");
	struct bench *b = &bench;

	memset(b, 0, sizeof(*b));
	b->random = random_new("mangle");
	b->calls = call_pool_new(NULL);
	b->streams = stream_pool_new(NULL);
	b->sample = mem_array(PACKETS_MAX, sizeof(*b->sample));
	b->order = mem_array(PACKETS_MAX, sizeof(*b->order));
	b->order_dir = mem_array(PACKETS_MAX, 1);
	b->flow = mem_array(KIT_FLOWS_MAX, sizeof(*b->flow));
	b->known = mem_array(KNOWN_MAX, sizeof(*b->known));
	b->got = mem_array(KNOWN_MAX, sizeof(*b->got));
	CHECK(b->calls && b->streams && b->sample && b->order && b->order_dir && b->flow && b->known && b->got);
	if (seconds) {
		until = time(NULL) + (time_t)strtol(seconds, NULL, 10);
		do
			CHECK_GE(nftw(captures, one_capture, 16, FTW_PHYS), 0);
		while (time(NULL) < until);
	} else {
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			char path[512];

			(void)snprintf(path, sizeof(path), "%s/%s", captures, files[i]);
			mangle_capture(b, path, 6, 4);
		}
	}
	printf("mangle: %u captures, %u variants, %u calls looked at, %u invented, %u crossed\n", b->captures, b->variants,
	       b->checked, b->invented, b->crossed);
	for (unsigned i = 0; i < 256; i++)
		if (b->by_l7[i][0] + b->by_l7[i][1])
			printf("mangle: %s: %u invented, %u crossed\n", sym_name(SYMS_L7, (uint8_t)i), b->by_l7[i][0], b->by_l7[i][1]);
	(void)fflush(stdout);
	CHECK_GE(b->checked, 1);
	/* of all captures, which no one has looked at one by one, few: messages begun late that look like others */
	CHECK_GE(seconds ? b->checked / 10000 : 0, b->invented);
	/* where several requests are under way and one is lost, nothing on the wire tells whose the next answer is */
	CHECK_GE(b->checked / 5000 + 3, b->crossed);
	mem_free(b->sample);
	mem_free(b->order);
	mem_free(b->order_dir);
	mem_free(b->flow);
	mem_free(b->known);
	mem_free(b->got);
	call_pool_free(b->calls);
	stream_pool_free(b->streams);
}
