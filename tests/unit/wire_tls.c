#include "base/json.h"
#include "tests/calls_truth.h"
#include "tests/random.h"
#include "tests/tls_bytes.h"
#include "wire/tls_msg.h"
#include "wire/tls_show.h"

#define STEPS_MAX 12

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "TLS 1.2 in full", {
		TALK('>', B_CH12), TALK('<', B_SH12_FULL), TALK('>', B_CKE B_CCS B_FIN12), TALK('<', B_CCS B_FIN12),
		TALK('>', B_DATA), TALK('<', B_DATA),
	}, "TLS 1.2 a.example - complete req=0+186 rsp=0+133 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n", false },
	{ "TLS 1.2 resumed", {
		TALK('>', B_CH12), TALK('<', B_SH12_RESUMED B_CCS B_FIN12), TALK('>', B_CCS B_FIN12 B_DATA), TALK('<', B_DATA),
	}, "TLS 1.2 a.example - complete req=0+118 rsp=0+109 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n", false },
	{ "a hello in three records", {
		TALK('>', B_CH12_SPLIT), TALK('<', B_SH12_RESUMED B_CCS B_FIN12),
	}, "TLS 1.2 a.example - complete req=0+128 rsp=0+109 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n", false },
	{ "TLS 1.0 and RC4", {
		TALK('>', B_CH10), TALK('<', B_SH10), TALK('>', B_CKE B_CCS B_FIN12), TALK('<', B_CCS B_FIN12),
	}, "TLS 1.0 a.example - complete req=0+138 rsp=0+102 answers=TLS_RSA_WITH_RC4_128_SHA "
	   "error=TLS 1.0 is obsolete; weak cipher suite: RC4\n", false },
	{ "TLS 1.3", {
		TALK('>', B_CH13), TALK('<', B_SH13 B_CCS B_DATA B_DATA), TALK('>', B_CCS B_DATA B_DATA), TALK('<', B_DATA),
	}, "TLS 1.3 a.example - complete req=0+129 rsp=0+207 answers=TLS_AES_128_GCM_SHA256, x25519\n", false },
	{ "TLS 1.3 resumed", {
		TALK('>', B_CH13), TALK('<', B_SH13_PSK B_CCS B_DATA), TALK('>', B_CCS B_DATA), TALK('<', B_DATA),
	}, "TLS 1.3 a.example - complete req=0+129 rsp=0+148 answers=TLS_AES_128_GCM_SHA256, x25519, resumed\n", false },
	{ "HelloRetryRequest", {
		TALK('>', B_CH13), TALK('<', B_HRR B_CCS), TALK('>', B_CCS B_CH13), TALK('<', B_SH13 B_DATA), TALK('>', B_DATA),
	}, "TLS 1.3 a.example - complete req=0+252 rsp=0+203 answers=TLS_AES_128_GCM_SHA256, x25519, retried\n", false },
	{ "the client does not like what it saw", {
		TALK('>', B_CH13), TALK('<', B_SH13 B_CCS B_DATA), TALK('>', B_CCS B_ALERT13), { 'F', NULL, 0 },
	}, "TLS 1.3 a.example - complete req=0+129 rsp=0+142 answers=TLS_AES_128_GCM_SHA256, x25519 "
	   "error=encrypted alert of the client\n", false },
	{ "no common ground", {
		TALK('>', B_CH12), TALK('<', B_FATAL40), { 'f', NULL, 0 },
	}, "TLS 1.2 a.example 40 complete req=0+118 rsp=0+7 error=alert handshake_failure of the server\n", false },
	{ "a certificate of nobody known, behind a warning", {
		TALK('>', B_CH12), TALK('<', B_WARN112 B_SH12_FULL), TALK('>', B_FATAL48),
	}, "TLS 1.2 a.example 48 complete req=0+125 rsp=0+89 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2 "
	   "error=warning unrecognized_name of the server; alert unknown_ca of the client\n", false },
	{ "no answer", {
		TALK('>', B_CH12), { 'f', NULL, 0 },
	}, "TLS 1.2 a.example - unanswered req=0+118\n", false },
	{ "the server alone was captured", {
		TALK('<', B_SH12_FULL), TALK('<', B_CCS B_FIN12), TALK('<', B_DATA),
	}, "TLS 1.2 - - no_request rsp=0+133 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n", false },
	{ "a piece was not captured", {
		TALK('>', B_CH12), TALK('<', B_SH12_RESUMED), TALK('x', B_CCS), TALK('<', B_FIN12 B_DATA), TALK('>', B_DATA),
	}, "TLS 1.2 a.example - gap req=0+118 rsp=0+58 missing=6 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n", true },
	{ "SSL 2.0", {
		TALK('>', B_V2_CH), TALK('<', B_V2_SH), TALK('>', "\x80\x05opaque bytes follow"),
	}, "SSL 2.0 - - complete req=0+30 rsp=0+21 error=SSL 2.0 is obsolete\n", false },
	{ "the hello of SSL 2.0, and TLS", {
		TALK('>', B_V2_CH10), TALK('<', B_SH10), TALK('>', B_CKE B_CCS B_FIN12), TALK('<', B_CCS B_FIN12),
	}, "TLS 1.0 - - complete req=0+101 rsp=0+102 answers=TLS_RSA_WITH_RC4_128_SHA "
	   "error=TLS 1.0 is obsolete; weak cipher suite: RC4\n", false },
	{ "from the middle", {
		TALK('>', B_DATA), TALK('<', B_DATA B_DATA), TALK('>', B_CH12),
	}, "", false },
};

TEST(tls, tells_handshakes)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		wr_init(&out, 0);
		talk_run(&kit, 443, d->step, STEPS_MAX);
		CHECK(strcmp(kit_lines(&kit, &out), d->calls) == 0, "%s:\n%s\nnot\n%s", d->name, (const char *)out.at, d->calls);
		wr_release(&out);
		kit_release(&kit);
		if (!d->uncut)
			talk_cut(443, d->step, STEPS_MAX, d->calls);
	}
}

TEST(tls, sets_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	row = &kit.call[0].row;
	talk_run(&kit, 8443, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 1);
	CHECK_VIEW(row->host, "a.example");
	CHECK_VIEW(row->target_template, "a.example");
	CHECK_VIEW(row->version, "TLS 1.2");
	CHECK(row->encrypted);
	CHECK_U64(row->status_class, CLASS_ok);
	CHECK(ROW_HAS(CALL, row, latency_ns) && row->latency_ns == row->end_ns - row->start_ns);
	/* it is the hello that is answered, not what the client says later */
	CHECK(row->ttfb_ns > 0 && row->req_last_ns < row->rsp_first_ns);
	kit_release(&kit);
	kit_init(&kit, NULL);
	row = &kit.call[0].row;
	talk_run(&kit, 443, dialogues[8].step, STEPS_MAX);
	CHECK_VIEW(row->status_text, "handshake_failure");
	CHECK_U64(row->status_class, CLASS_client_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	row = &kit.call[0].row;
	talk_run(&kit, 443, dialogues[9].step, STEPS_MAX);
	CHECK_U64(row->status_class, CLASS_server_error);
	kit_release(&kit);
}

TEST(tls, is_not_seen_in_what_is_none)
{
	static const struct guess_hint hint = { .proto = PROTO_tcp, .src_port = 40000, .dst_port = 443 };
	struct random random = { .state = 7 };
	uint8_t bytes[256];
	struct view all = view_make(bytes, sizeof(bytes));

	for (unsigned i = 0; i < 200000; i++) {
		for (size_t k = 0; k < sizeof(bytes); k += 8) {
			uint64_t v = random_u64(&random);

			memcpy(bytes + k, &v, 8);
		}
		CHECK_U64(proto_by_id(L7_tls)->guess(all, &hint), GUESS_NO);
	}
	CHECK_U64(proto_by_id(L7_tls)->guess(VIEW_LIT("\x16\x03\x01 no record at all"), &hint), GUESS_NO);
	CHECK_U64(proto_by_id(L7_tls)->guess(VIEW_LIT("GET / HTTP/1.1\r\n\r\n"), &hint), GUESS_NO);
	CHECK_U64(proto_by_id(L7_tls)->guess(VIEW_LIT(B_CH12), &(struct guess_hint){ .proto = PROTO_udp }), GUESS_NO);
	CHECK_U64(proto_by_id(L7_tls)->guess(VIEW_LIT("\x16\x03"), &hint), GUESS_MORE);
}

static const char *show(struct view request, struct view response, struct wr *out)
{
	struct json json;

	wr_reset(out);
	json_init(&json, out, false);
	json_object(&json);
	CHECK_U64((uint64_t)tls_detail(request, response, 1000, &json), 0);
	json_object_end(&json);
	wr_u8(out, 0);
	return (const char *)out->at;
}

TEST(tls, shows_handshakes_in_full)
{
	struct wr out;
	const char *text;

	wr_init(&out, 0);
	text = show(VIEW_LIT(B_CH12 B_CKE B_CCS B_FIN12), VIEW_LIT(B_SH12_CERT B_FATAL40), &out);
	CHECK(strstr(text, "\"server_name\":\"a.example\",\"alpn\":[\"h2\",\"http/1.1\"],"
			   "\"suites\":[\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\",\"TLS_RSA_WITH_AES_128_GCM_SHA256\"],"
			   "\"groups\":[\"GREASE\",\"x25519\",\"secp256r1\"]"), "%s", text);
	CHECK(strstr(text, "\"ja3\":\"9d31fa3997616d8afb8bd25da4a5842b\","
			   "\"ja3_text\":\"771,49199-156,0-10-11-13-16,29-23,0\""), "%s", text);
	CHECK(strstr(text, "\"ja4\":\"t12d0205h2_08dfa304a768_876bcc86782c\""), "%s", text);
	CHECK(strstr(text, "{\"message\":\"client_key_exchange\",\"bytes\":8},{\"record\":\"change_cipher_spec\",\"bytes\":1},"
			   "{\"record\":\"encrypted handshake\",\"bytes\":40}]}"), "%s", text);
	CHECK(strstr(text, "\"serial\":\"1234\",\"subject\":\"C=NL, O=Example, CN=a.example\","
			   "\"issuer\":\"C=NL, O=Example, CN=a.example\",\"not_before\":\"2026-11-23T00:37:20Z\","
			   "\"not_after\":\"2036-11-20T00:37:20Z\",\"names\":[\"a.example\",\"192.0.2.1\"]"), "%s", text);
	CHECK(strstr(text, "{\"record\":\"alert\",\"bytes\":2,\"level\":\"fatal\",\"alert\":40,\"name\":\"handshake_failure\"}"),
	      "%s", text);
	CHECK_NOT(strstr(text, "truncated"));
	/* cut anywhere, it says so, or shows what is there */
	for (size_t i = 1; i < sizeof(B_SH12_CERT); i++)
		(void)show(view_sub(VIEW_LIT(B_V2_CH), 0, i), view_sub(VIEW_LIT(B_SH12_CERT), 0, i), &out);
	CHECK(strstr(show(view_make("", 0), view_sub(VIEW_LIT(B_SH12_CERT), 0, 300), &out), "\"truncated\":true"));
	wr_release(&out);
}

TEST(tls, names_weak_suites)
{
	CHECK_STR(tls_suite_weakness(0x0005), "RC4");
	CHECK_STR(tls_suite_weakness(0x000a), "3DES");
	CHECK_STR(tls_suite_weakness(0x0009), "DES");
	CHECK_STR(tls_suite_weakness(0x0002), "no encryption");
	CHECK(!tls_suite_weakness(0xc02f) && !tls_suite_weakness(0x1301) && !tls_suite_weakness(0xfefe));
}

/* ---- captures ---- */

static const char *const files[] = {
	"chrome-1250-tls-x25519-kyber.pcap", "client-certificate.pcap", "hrr.pcap", "latest.pcapng", "smtp-starttls.pcap",
	"ssl-v2.pcap", "tls-fragmented-handshake.pcap", "tls-split-client-hello.pcap", "tls13-ech.pcap",
	"tls_1.2_unidirectional_server.pcapng", "tls_ciphers.pcap", "tls_with_huge_ch.pcapng", NULL,
};

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char hs[32], cipher[32], sni[128] = "";

	if (!truth_field(line, "hs", hs, sizeof(hs)))
		return;
	if (strcmp(hs, "1") == 0) {
		(void)truth_field(line, "sni", sni, sizeof(sni));
		truth_key(keys, "hello %s", sni);
	} else if (strncmp(hs, "2", 1) == 0 && (hs[1] == 0 || hs[1] == ',') && truth_field(line, "cipher", cipher, sizeof(cipher))) {
		const char *name = tls_suite_name((uint16_t)strtoul(cipher, NULL, 16));

		truth_key(keys, "chosen %s", name ? name : cipher);
	}
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;

	if (call->has_req)
		truth_key(keys, "hello %.*s", ROW_HAS(CALL, row, host) ? (int)row->host.len : 0,
			  ROW_HAS(CALL, row, host) ? (const char *)row->host.at : "");
	if (ROW_HAS(CALL, row, answers)) {
		ptrdiff_t comma = view_find(row->answers, VIEW_LIT(","));

		truth_key(keys, "chosen %.*s", (int)(comma < 0 ? (ptrdiff_t)row->answers.len : comma), (const char *)row->answers.at);
	}
}

TEST(tls_truth, calls_are_those_tshark_saw)
{
	const struct truth_test test = { .folder = "tls", .proto = "tls", .l7 = L7_tls, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	/* not found: the second hello behind a HelloRetryRequest, which is no call of its own, and what STARTTLS begins */
	CHECK_GE(score.expected, 93);
	CHECK_GE(score.found, 90);
	CHECK_U64(score.extra, 0);
}

/* tshark's JA3 of each hello that lies in one packet. */
TEST(tls_truth, fingerprints_are_those_of_tshark)
{
	const char *captures = check_need_captures();
	unsigned same = 0, other = 0;

	for (unsigned i = 0; files[i]; i++) {
		char path[512], line[4096], ja3[64];
		struct kit_file file;
		struct kit_frame frame;
		unsigned long number = 0, want;
		FILE *truth;

		(void)snprintf(path, sizeof(path), "%s/truth/tls/%s.tsv", captures, files[i]);
		truth = fopen(path, "r");
		CHECK(truth, "%s", path);
		(void)snprintf(path, sizeof(path), "%s/tls/%s", captures, files[i]);
		CHECK(kit_file_open(&file, path), "%s", path);
		while (fgets(line, sizeof(line), truth)) {
			const char *at = strstr(line, "\tja3=");
			struct packet packet = { .segments = 1 };
			struct wr out;

			if (!at || sscanf(line, "tls\t%lu", &want) != 1 || want <= number)
				continue;
			(void)snprintf(ja3, sizeof(ja3), "\"ja3\":\"%.32s\"", at + 5);
			while (number < want && kit_file_next(&file, &frame))
				number++;
			packet.frame = frame.bytes;
			packet.orig_len = frame.orig_len;
			packet.link = frame.link;
			(void)decode_frame(&packet);
			if (packet.payload.len < 6 || packet.payload.at[0] != TLS_HANDSHAKE || packet.payload.at[5] != TLS_CLIENT_HELLO)
				continue;
			wr_init(&out, 0);
			if (strstr(show(packet.payload, view_make("", 0), &out), ja3))
				same++;
			else
				other++;
			wr_release(&out);
		}
		(void)fclose(truth);
		mem_free((void *)(uintptr_t)file.all.at);
	}
	CHECK_GE(same, 40);
	CHECK_U64(other, 0);
}
