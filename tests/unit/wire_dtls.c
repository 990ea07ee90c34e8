/* DTLS handshakes out of datagrams made here, as RFC 6347 and RFC 9147 lay them out, and out of a real capture. */
#include "base/json.h"
#include "tests/calls_truth.h"
#include "tests/random.h"
#include "wire/dtls_msg.h"
#include "wire/tls_msg.h"

#define RANDOM "\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
#define SNI "\0\0\0\x0e\0\x0c\0\0\x09" "a.example"
#define SUITES "\0\4\xc0\x2f\0\x9c\1\0"
/* Messages without their heads: version, random, session, cookie, suites, compression, extensions */
#define CH12 "\xfe\xfd" RANDOM "\0" "\0" SUITES "\0\x12" SNI
#define CH12_COOKIE "\xfe\xfd" RANDOM "\0" "\4cook" SUITES "\0\x12" SNI
#define CH10 "\xfe\xff" RANDOM "\0" "\0" SUITES "\0\x12" SNI
#define CH13 "\xfe\xfd" RANDOM "\0" "\0" "\0\2\x13\1\1\0" "\0\x1b" SNI "\0\x2b\0\5\4\xfe\xfc\xfe\xfd"
#define VERIFY "\xfe\xff\4cook"
#define SH12 "\xfe\xfd" RANDOM "\0\xc0\x2f\0" "\0\x09\0\x10\0\5\0\3\2h2"
#define SH10 "\xfe\xff" RANDOM "\0\0\x9c\0"
#define SH13 "\xfe\xfd" RANDOM "\0\x13\1\0" "\0\x10\0\x2b\0\2\xfe\xfc\0\x33\0\6\0\x1d\0\2kk"
#define HRR "\xfe\xfd" "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91" \
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c" "\0\x13\1\0" "\0\x0c\0\x2b\0\2\xfe\xfc\0\x33\0\2\0\x17"
#define UNIFIED(len) "\x2e\0\1\0" len

/* A datagram: records one behind the other, in a small language of its own. */
struct piece {
	uint8_t type, epoch;	/* type 0: the end; 255: bytes as they are, without a record's head */
	uint8_t message;	/* of handshake in clear */
	uint8_t seq;
	const char *at;		/* body of the message, or of the record */
	size_t len;
	size_t off, part;	/* of a fragment; part 0: all of it */
};
#define MSG(message, seq, body) { TLS_HANDSHAKE, 0, message, seq, body, sizeof(body) - 1, 0, 0 }
#define PART(message, seq, body, off, part) { TLS_HANDSHAKE, 0, message, seq, body, sizeof(body) - 1, off, part }
#define REC(type, epoch, body) { type, epoch, 0, 0, body, sizeof(body) - 1, 0, 0 }
#define RAW(body) { 255, 0, 0, 0, body, sizeof(body) - 1, 0, 0 }
#define CCS REC(TLS_CHANGE_CIPHER_SPEC, 0, "\1")
#define FIN REC(TLS_HANDSHAKE, 1, "0123456789012345678901234567890123456789")
#define APP REC(TLS_APPLICATION_DATA, 1, "01234567890123456789")
#define CKE MSG(16, 2, "keykey")
#define CERT MSG(TLS_CERTIFICATE, 2, "\0\0\0")
#define DONE MSG(TLS_SERVER_HELLO_DONE, 3, "")

static void u24(struct wr *out, size_t n)
{
	wr_u8(out, (uint8_t)(n >> 16));
	wr_u16be(out, (uint16_t)n);
}

static void put(struct wr *out, const struct piece *piece)
{
	bool clear = piece->type == TLS_HANDSHAKE && !piece->epoch;
	size_t part = piece->part ? piece->part : piece->len - piece->off;

	if (piece->type == 255) {
		wr_bytes(out, view_make(piece->at, piece->len));
		return;
	}
	wr_u8(out, piece->type);
	wr_u16be(out, DTLS_1_2);
	wr_u16be(out, piece->epoch);
	wr_bytes(out, view_make("\0\0\0\0\0\7", 6));
	wr_u16be(out, (uint16_t)(part + (clear ? 12 : 0)));
	if (clear) {
		wr_u8(out, piece->message);
		u24(out, piece->len);
		wr_u16be(out, piece->seq);
		u24(out, piece->off);
		u24(out, part);
	}
	wr_bytes(out, view_make(piece->at + piece->off, part));
}

struct step {
	char what;		/* '>' '<' a datagram, 't' a minute and more goes by; 0: the end */
	struct piece piece[4];
};

static const struct dialogue {
	const char *name;
	struct step step[8];
	const char *calls;
} dialogues[] = {
	{ "a cookie, then all of it", {
		{ '>', { MSG(1, 0, CH12) } }, { '<', { MSG(3, 0, VERIFY) } }, { '>', { MSG(1, 1, CH12_COOKIE) } },
		{ '<', { MSG(2, 1, SH12), CERT, DONE } }, { '>', { CKE, CCS, FIN } }, { '<', { CCS, FIN } }, { '>', { APP } },
	}, "DTLS 1.2 a.example - complete req=0+280 rsp=0+226 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, cookie\n" },
	{ "resumed, the server's answer twice", {
		{ '>', { MSG(1, 0, CH12) } }, { '<', { MSG(2, 0, SH12), CCS, FIN } }, { '<', { MSG(2, 0, SH12), CCS, FIN } },
		{ '>', { CCS, FIN } }, { '>', { APP } },
	}, "DTLS 1.2 a.example - complete req=0+89 rsp=0+141 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n" },
	{ "hellos in fragments, the last first, one of them twice", {
		{ '>', { PART(1, 0, CH12, 40, 24) } }, { '>', { PART(1, 0, CH12, 0, 20) } }, { '>', { PART(1, 0, CH12, 0, 20) } },
		{ '>', { PART(1, 0, CH12, 20, 20) } }, { '<', { PART(2, 0, SH12, 30, 0), CERT } }, { '<', { PART(2, 0, SH12, 0, 30), DONE } },
		{ '>', { CKE, CCS, FIN } }, { '<', { CCS, FIN } },
	}, "DTLS 1.2 a.example - complete req=0+282 rsp=0+219 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n" },
	{ "asked three times, and never answered", {
		{ '>', { MSG(1, 0, CH12) } }, { '>', { MSG(1, 0, CH12) } }, { '>', { MSG(1, 0, CH12) } }, { 't', { { 0 } } },
		{ '<', { MSG(2, 0, SH12) } },
	}, "DTLS 1.2 a.example - unanswered req=0+267 error=retries: 2\n" },
	{ "1.0", {
		{ '>', { MSG(1, 0, CH10) } }, { '<', { MSG(2, 0, SH10), CERT, DONE } }, { '>', { CKE, CCS, FIN } }, { '<', { CCS, FIN } },
	}, "DTLS 1.0 a.example - complete req=0+187 rsp=0+183 answers=TLS_RSA_WITH_AES_128_GCM_SHA256 error=DTLS 1.0 is obsolete\n" },
	{ "1.3", {
		{ '>', { MSG(1, 0, CH13) } }, { '<', { MSG(2, 0, SH13), RAW(UNIFIED("\x05") "12345"), RAW(UNIFIED("\x06") "123456") } },
		{ '>', { RAW("\x2a\0\1" "no length: up to the end of the datagram") } }, { '<', { RAW(UNIFIED("\x05") "12345") } },
	}, "DTLS 1.3 a.example - complete req=0+139 rsp=0+102 answers=TLS_AES_128_GCM_SHA256, x25519\n" },
	{ "1.3, the hello wanted otherwise", {
		{ '>', { MSG(1, 0, CH13) } }, { '<', { MSG(2, 0, HRR) } }, { '>', { MSG(1, 1, CH13) } },
		{ '<', { MSG(2, 1, SH13), RAW(UNIFIED("\x05") "12345") } }, { '>', { RAW(UNIFIED("\x05") "12345") } },
	}, "DTLS 1.3 a.example - complete req=0+202 rsp=0+168 answers=TLS_AES_128_GCM_SHA256, x25519, retried\n" },
	{ "no common ground; then another handshake on the same ports, behind other protocols", {
		{ '>', { MSG(1, 0, CH12) } }, { '<', { REC(TLS_ALERT, 0, "\2\x28") } },
		{ '>', { RAW("\0\1\0\0\x21\x12\xa4\x42" "stun it is.." ) } }, { '>', { MSG(1, 0, CH12) } },
		{ '<', { RAW("\x80\x60rtp, perhaps") } }, { '<', { MSG(2, 0, SH12), CCS, FIN } },
	}, "DTLS 1.2 a.example 40 complete req=0+89 rsp=0+15 error=alert handshake_failure of the server\n"
	   "DTLS 1.2 a.example - complete req=109+89 rsp=29+141 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n" },
	{ "the server alone", {
		{ '<', { MSG(2, 0, SH12), CERT, DONE } }, { '<', { CCS, FIN } }, { '<', { APP } },
	}, "DTLS 1.2 - - no_request rsp=0+194 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n" },
	{ "a piece of the hello comes when all is over: it is no hello of another handshake", {
		{ '>', { PART(1, 0, CH12, 0, 40) } }, { '<', { MSG(2, 0, SH12), CCS, FIN } }, { '>', { PART(1, 0, CH12, 40, 24) } },
		{ 't', { { 0 } } },
	}, "DTLS 1.2 - - complete req=0+65 rsp=0+141 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n" },
	{ "from the middle", { { '>', { APP } }, { '<', { APP, APP } }, { '>', { REC(TLS_ALERT, 1, "0123456789") } } }, "" },
};

static void run(struct kit *kit, const struct dialogue *d)
{
	struct wr datagram;

	kit_init(kit, NULL);
	kit_flow(kit, PROTO_udp, 40000, 4433);
	wr_init(&datagram, 0);
	for (const struct step *step = d->step; step < d->step + 8 && step->what; step++) {
		if (step->what == 't') {
			stream_tick(kit->stream, kit->now_ns += 61000000000ull);
			continue;
		}
		wr_reset(&datagram);
		for (const struct piece *piece = step->piece; piece < step->piece + 4 && piece->type; piece++)
			put(&datagram, piece);
		kit_datagram(kit, step->what == '<', wr_view(&datagram));
	}
	wr_release(&datagram);
}

TEST(dtls, tells_handshakes)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		run(&kit, d);
		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), d->calls) == 0, "%s:\n%s\nnot\n%s", d->name, (const char *)out.at, d->calls);
		CHECK_U64(stream_l7(kit.stream), L7_dtls);
		wr_release(&out);
		kit_release(&kit);
	}
}

TEST(dtls, sets_columns)
{
	const struct call_row *row;
	struct kit kit;

	run(&kit, &dialogues[0]);
	CHECK_U64(kit.count, 1);
	row = &kit.call[0].row;
	CHECK_U64(row->l7, L7_dtls);
	CHECK_VIEW(row->host, "a.example");
	CHECK_VIEW(row->version, "DTLS 1.2");
	CHECK(row->encrypted);
	CHECK_U64(row->status_class, CLASS_ok);
	/* what was answered is the first hello, which the server did not take yet */
	CHECK_U64(row->ttfb_ns, 1000000);
	CHECK_U64(row->latency_ns, 5000000);
	CHECK_U64(kit.sink.tls_done_ns, row->end_ns);
	kit_release(&kit);
}

static const char *show(struct view request, struct view response, struct wr *out)
{
	struct json json;

	wr_reset(out);
	json_init(&json, out, false);
	json_object(&json);
	CHECK_U64((uint64_t)proto_by_id(L7_dtls)->detail(request, response, 4000, &json), 0);
	json_object_end(&json);
	wr_u8(out, 0);
	return (const char *)out->at;
}

TEST(dtls, shows_handshakes_in_full)
{
	static const struct piece asked[] = { PART(1, 0, CH12, 20, 0), PART(1, 0, CH12, 0, 20), MSG(1, 1, CH12_COOKIE), CKE, CCS, FIN };
	static const struct piece answered[] = { MSG(3, 0, VERIFY), PART(2, 1, SH12, 0, 9), REC(TLS_ALERT, 1, "0123456789") };
	struct wr request, response, out;
	const char *text;

	wr_init(&request, 0);
	wr_init(&response, 0);
	wr_init(&out, 0);
	for (unsigned i = 0; i < 6; i++)
		put(&request, &asked[i]);
	for (unsigned i = 0; i < 3; i++)
		put(&response, &answered[i]);
	text = show(wr_view(&request), wr_view(&response), &out);
	CHECK(strstr(text, "{\"request\":{\"messages\":[{\"message\":\"client_hello\",\"bytes\":64,\"version\":\"DTLS 1.2\","
			   "\"server_name\":\"a.example\",\"suites\":[\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\","), "%s", text);
	CHECK(strstr(text, "\"ja4\":\"dd2d020100_"), "%s", text);
	CHECK(strstr(text, "{\"message\":\"client_hello\",\"bytes\":68,"), "%s", text);
	CHECK(strstr(text, "\"cookie_bytes\":4,\"extensions\":[0]"), "%s", text);
	CHECK(strstr(text, "{\"message\":\"client_key_exchange\",\"bytes\":6},{\"record\":\"change_cipher_spec\",\"bytes\":1},"
			   "{\"record\":\"encrypted handshake\",\"bytes\":40}]},"), "%s", text);
	CHECK(strstr(text, "\"response\":{\"messages\":[{\"message\":\"hello_verify_request\",\"bytes\":7,\"cookie_bytes\":4},"
			   "{\"message\":\"server_hello\",\"bytes\":49},{\"record\":\"encrypted\",\"bytes\":10}],\"truncated\":true}}"),
	      "%s", text);
	wr_release(&request);
	wr_release(&response);
	wr_release(&out);
}

TEST(dtls, is_not_seen_in_what_is_none)
{
	static const struct piece middle = APP;
	const struct proto_ops *ops = proto_by_id(L7_dtls);
	struct guess_hint hint = { .proto = PROTO_udp, .dst_port = 4433 };
	struct wr out;

	wr_init(&out, 0);
	put(&out, &middle);
	CHECK_U64(ops->guess(wr_view(&out), &hint), GUESS_MAYBE);
	CHECK_U64(ops->guess(view_sub(wr_view(&out), 0, out.len - 1), &hint), GUESS_NO);
	wr_u8(&out, 1);
	CHECK_U64(ops->guess(wr_view(&out), &hint), GUESS_NO);
	CHECK_U64(ops->guess(VIEW_LIT("\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\1\1"), &hint), GUESS_MAYBE);	/* no hello */
	CHECK_U64(ops->guess(VIEW_LIT("\x16\3\3\0\0\0\0\0\0\0\0\0\1\1"), &hint), GUESS_NO);
	CHECK_U64(ops->guess(VIEW_LIT("\x2e\0\1\0\1x"), &hint), GUESS_NO);
	CHECK_U64(ops->guess(VIEW_LIT(""), &hint), GUESS_NO);
	wr_release(&out);
}

/* Any bytes changed, cut anywhere: shown or not, never a read outside. */
TEST(dtls, bears_any_bytes)
{
	struct random random = random_new("dtls");
	struct wr datagram, out;

	wr_init(&datagram, 0);
	wr_init(&out, 0);
	for (unsigned i = 0; i < 3000; i++) {
		const struct dialogue *d = &dialogues[random_below(&random, sizeof(dialogues) / sizeof(dialogues[0]))];
		const struct step *step = &d->step[random_below(&random, 8)];
		struct kit kit;
		uint8_t *copy;
		size_t len;

		wr_reset(&datagram);
		for (unsigned k = 0; k < 4 && step->what && step->piece[k].type; k++)
			put(&datagram, &step->piece[k]);
		if (!datagram.len)
			continue;
		for (unsigned k = 0; k < 3; k++)
			datagram.at[random_below(&random, datagram.len)] = (uint8_t)random_below(&random, 256);
		len = 1 + random_below(&random, datagram.len);
		copy = mem_dup(datagram.at, len);	/* its own block: a read past it is seen */
		(void)show(view_make(copy, len), view_make(copy, len), &out);
		if (i % 16 == 0) {
			kit_init(&kit, NULL);
			kit_flow(&kit, PROTO_udp, 40000, 4433);
			kit_datagram(&kit, 0, view_make(copy, len));
			kit_datagram(&kit, 1, view_make(copy, len));
			kit_release(&kit);
		}
		mem_free(copy);
	}
	wr_release(&datagram);
	wr_release(&out);
}

/* ---- a real capture: tshark found two hellos, the second of which brings the cookie ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char hs[32], text[32];

	if (!truth_field(line, "hs", hs, sizeof(hs)))
		return;
	if (strcmp(hs, "1") == 0 && truth_field(line, "nciphers", text, sizeof(text)))
		truth_key(keys, "hello");
	else if (strcmp(hs, "2") == 0 && truth_field(line, "cipher", text, sizeof(text)))
		truth_key(keys, "chosen %s", tls_suite_name((uint16_t)strtoul(text, NULL, 16)));
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	ptrdiff_t comma = ROW_HAS(CALL, row, answers) ? view_find(row->answers, VIEW_LIT(",")) : -1;

	if (call->has_req)
		truth_key(keys, "hello");
	if (comma > 0)
		truth_key(keys, "chosen %.*s", (int)comma, (const char *)row->answers.at);
}

TEST(dtls_truth, calls_are_those_tshark_saw)
{
	static const char *const tls[] = { "dtls1_2.pcap", NULL }, *const mixed[] = { "arkime_synthetic.pcap", NULL };
	struct truth_test test = { .folder = "tls", .proto = "dtls", .l7 = L7_dtls, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, tls);

	CHECK_U64(score.expected, 3);
	CHECK_U64(score.found, 2);
	CHECK_U64(score.extra, 0);
	test.folder = "mixed";
	score = truth_run_all(&test, mixed);
	CHECK_U64(score.expected, 2);
	CHECK_U64(score.found, 2);
	CHECK_U64(score.extra, 0);
}
