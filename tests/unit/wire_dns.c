#include "base/json.h"
#include "tests/wire_kit.h"
#include "wire/dns_msg.h"

#define FLAGS_QUERY	0x0100
#define FLAGS_OK	0x8180
#define FLAGS_NXDOMAIN	0x8183

/* "www.example.com" as labels. */
static void put_name(struct wr *wr, const char *name)
{
	while (*name && strcmp(name, ".") != 0) {
		size_t n = strcspn(name, ".");

		wr_u8(wr, (uint8_t)n);
		wr_bytes(wr, view_make(name, n));
		name += n;
		name += *name == '.';
	}
	wr_u8(wr, 0);
}

static void put_header(struct wr *wr, uint16_t id, uint16_t flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
	wr_u16be(wr, id);
	wr_u16be(wr, flags);
	wr_u16be(wr, (uint16_t)qd);
	wr_u16be(wr, (uint16_t)an);
	wr_u16be(wr, (uint16_t)ns);
	wr_u16be(wr, (uint16_t)ar);
}

static void put_question(struct wr *wr, const char *name, uint16_t type)
{
	put_name(wr, name);
	wr_u16be(wr, type);
	wr_u16be(wr, 1);
}

/* A record whose name is the question's. */
static void put_record(struct wr *wr, uint16_t type, const void *data, size_t len)
{
	wr_u16be(wr, 0xc00c);
	wr_u16be(wr, type);
	wr_u16be(wr, 1);
	wr_u32be(wr, 300);
	wr_u16be(wr, (uint16_t)len);
	wr_bytes(wr, view_make(data, len));
}

static void make_query(struct wr *wr, uint16_t id, const char *name, uint16_t type)
{
	wr_reset(wr);
	put_header(wr, id, FLAGS_QUERY, 1, 0, 0, 0);
	put_question(wr, name, type);
}

static void make_answer(struct wr *wr, uint16_t id, uint16_t flags, const char *name, uint16_t type, const void *data,
			size_t len)
{
	wr_reset(wr);
	put_header(wr, id, flags, 1, data ? 1 : 0, 0, 0);
	put_question(wr, name, type);
	if (data)
		put_record(wr, type, data, len);
}

static const uint8_t addr[] = { 192, 0, 2, 7 };

TEST(dns, pairs_by_id_name_and_type)
{
	struct kit kit;
	struct wr m;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	kit_flow(&kit, PROTO_udp, 40000, 53);
	make_query(&m, 7, "www.example.com", DNS_A);
	kit_datagram(&kit, 0, wr_view(&m));
	make_query(&m, 7, "www.example.com", DNS_AAAA);		/* some resolvers use one id for both */
	kit_datagram(&kit, 0, wr_view(&m));
	make_query(&m, 8, "no.example.com", DNS_A);
	kit_datagram(&kit, 0, wr_view(&m));
	make_answer(&m, 8, FLAGS_NXDOMAIN, "no.example.com", DNS_A, NULL, 0);
	kit_datagram(&kit, 1, wr_view(&m));
	make_answer(&m, 7, FLAGS_OK, "WWW.eXample.com", DNS_AAAA, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	kit_datagram(&kit, 1, wr_view(&m));
	make_answer(&m, 7, FLAGS_OK, "www.example.com", DNS_A, addr, 4);
	kit_datagram(&kit, 1, wr_view(&m));
	make_answer(&m, 9, 0x8182, "who.asked", DNS_MX, NULL, 0);
	kit_datagram(&kit, 1, wr_view(&m));
	CHECK_LINES(&kit,
		    "A no.example.com 3 complete req=66+32 rsp=0+32\n"
		    "AAAA www.example.com 0 complete req=33+33 rsp=32+61 answers=2001:db8::1\n"
		    "A www.example.com 0 complete req=0+33 rsp=93+49 answers=192.0.2.7\n"
		    "MX who.asked 2 no_request rsp=142+27\n");
	CHECK_VIEW(kit.call[0].row.status_text, "NXDOMAIN");
	CHECK_U64(kit.call[0].row.status_class, CLASS_client_error);
	CHECK_U64(kit.call[1].row.status_class, CLASS_ok);
	CHECK_U64(kit.call[3].row.status_class, CLASS_server_error);
	CHECK_U64(kit.call[0].row.latency_ns, 1000000);
	CHECK_NOT(ROW_HAS(CALL, &kit.call[0].row, req_seq));
	wr_release(&m);
	kit_release(&kit);
}

TEST(dns, retries_and_times_out)
{
	struct kit kit;
	struct wr m;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	kit_flow(&kit, PROTO_udp, 40000, 53);
	make_query(&m, 1, "slow.example", DNS_A);
	kit_datagram(&kit, 0, wr_view(&m));	/* at 1.001 s */
	kit.now_ns += 2000000000;
	kit_datagram(&kit, 0, wr_view(&m));
	kit.now_ns += 2000000000;
	kit_datagram(&kit, 0, wr_view(&m));
	make_answer(&m, 1, FLAGS_OK, "slow.example", DNS_A, addr, 4);
	kit_datagram(&kit, 1, wr_view(&m));
	CHECK_LINES(&kit, "A slow.example 0 complete req=0+30 rsp=0+46 answers=192.0.2.7 error=retries: 2\n");
	CHECK_U64(kit.call[0].row.latency_ns, 4003000000);
	CHECK_U64(kit.call[0].row.ttfb_ns, 1000000);

	make_query(&m, 2, "dead.example", DNS_A);
	kit_datagram(&kit, 0, wr_view(&m));
	stream_tick(kit.stream, kit.now_ns + 4999999999);
	CHECK_U64(kit.count, 1);
	stream_tick(kit.stream, kit.now_ns + 5000000000);
	CHECK_U64(kit.count, 2);
	CHECK_U64(kit.call[1].row.end_reason, CALL_END_unanswered);
	CHECK_U64(kit.call[1].row.end_ns, kit.now_ns + 5000000000);
	CHECK_U64(kit.call[1].row.status_class, CLASS_none);
	CHECK_NOT(ROW_HAS(CALL, &kit.call[1].row, latency_ns));

	/* and without ticks, by the next message */
	kit_datagram(&kit, 0, wr_view(&m));
	kit.now_ns += 6000000000;
	make_query(&m, 3, "next.example", DNS_A);
	kit_datagram(&kit, 0, wr_view(&m));
	CHECK_U64(kit.count, 3);
	CHECK_VIEW(kit.call[2].row.target, "dead.example");
	kit_end(&kit, CALL_END_closed);
	CHECK_U64(kit.call[3].row.end_reason, CALL_END_unanswered);
	wr_release(&m);
	kit_release(&kit);
}

TEST(dns, bounds_what_waits)
{
	struct kit kit;
	struct wr m;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	kit_flow(&kit, PROTO_udp, 40000, 53);
	for (unsigned i = 0; i < 2000; i++) {
		make_query(&m, (uint16_t)i, "flood.example", DNS_A);
		kit.now_ns -= 1000000;
		kit_datagram(&kit, 0, wr_view(&m));
	}
	CHECK_U64(kit.sink.open_calls, 1024);
	CHECK_U64(kit.count, 976);
	CHECK_U64(kit.call[0].row.end_reason, CALL_END_evicted);
	wr_release(&m);
	kit_release(&kit);
}

static void put_framed(struct wr *stream, const struct wr *m)
{
	wr_u16be(stream, (uint16_t)m->len);
	wr_bytes(stream, wr_view(m));
}

TEST(dns, reads_tcp_in_any_pieces)
{
	for (size_t piece = 1; piece < 80; piece++) {
		struct kit kit;
		struct wr m, c2s, s2c;

		kit_init(&kit, NULL);
		wr_init(&m, 0);
		wr_init(&c2s, 0);
		wr_init(&s2c, 0);
		make_query(&m, 1, "a.example", DNS_A);
		put_framed(&c2s, &m);
		make_query(&m, 2, "b.example", DNS_TXT);
		put_framed(&c2s, &m);
		make_answer(&m, 2, FLAGS_OK, "b.example", DNS_TXT, "\x03one\x05t\"w,o", 10);
		put_framed(&s2c, &m);
		make_answer(&m, 1, FLAGS_OK, "a.example", DNS_A, addr, 4);
		put_framed(&s2c, &m);
		kit_flow(&kit, PROTO_tcp, 40000, 53);
		kit_handshake(&kit);
		for (size_t at = 0; at < c2s.len; at += piece)
			kit_sendv(&kit, 0, view_sub(wr_view(&c2s), at, piece));
		for (size_t at = 0; at < s2c.len; at += piece)
			kit_sendv(&kit, 1, view_sub(wr_view(&s2c), at, piece));
		CHECK_LINES(&kit,
			    "TXT b.example 0 complete req=29+29 rsp=0+51 answers=\"one\" \"t\\\"w,o\"\n"
			    "A a.example 0 complete req=0+29 rsp=51+45 answers=192.0.2.7\n");
		wr_release(&m);
		wr_release(&c2s);
		wr_release(&s2c);
		kit_release(&kit);
	}
}

TEST(dns, a_hole_in_tcp_is_passed)
{
	struct kit kit;
	struct wr m, framed;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	wr_init(&framed, 0);
	kit_flow(&kit, PROTO_tcp, 40000, 53);
	kit_handshake(&kit);
	for (unsigned i = 0; i < 4; i++) {
		make_query(&m, (uint16_t)i, "a.example", DNS_A);
		wr_reset(&framed);
		put_framed(&framed, &m);
		if (i == 1)
			kit.sent[0] += framed.len;	/* not captured */
		else
			kit_sendv(&kit, 0, wr_view(&framed));
		make_answer(&m, (uint16_t)i, FLAGS_OK, "a.example", DNS_A, addr, 4);
		wr_reset(&framed);
		put_framed(&framed, &m);
		kit_sendv(&kit, 1, wr_view(&framed));
	}
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit,
		    "A a.example 0 complete req=0+29 rsp=0+45 answers=192.0.2.7\n"
		    "A a.example 0 no_request rsp=45+45 answers=192.0.2.7\n"
		    "A a.example 0 complete req=58+29 rsp=90+45 answers=192.0.2.7\n"
		    "A a.example 0 complete req=87+29 rsp=135+45 answers=192.0.2.7\n");
	wr_release(&m);
	wr_release(&framed);
	kit_release(&kit);
}

TEST(dns, a_zone_transfer_is_one_call)
{
	struct kit kit;
	struct wr m, framed, soa;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	wr_init(&framed, 0);
	wr_init(&soa, 0);
	put_name(&soa, "ns.z");
	put_name(&soa, "admin.z");
	for (unsigned i = 0; i < 5; i++)
		wr_u32be(&soa, i);
	kit_flow(&kit, PROTO_tcp, 40000, 53);
	kit_handshake(&kit);
	make_query(&m, 5, "z", DNS_AXFR);
	put_framed(&framed, &m);
	kit_sendv(&kit, 0, wr_view(&framed));
	for (unsigned i = 0; i < 3; i++) {
		wr_reset(&m);
		put_header(&m, 5, FLAGS_OK, 1, 1, 0, 0);
		put_question(&m, "z", DNS_AXFR);
		if (i == 1)
			put_record(&m, DNS_A, addr, 4);
		else
			put_record(&m, DNS_SOA, soa.at, soa.len);
		wr_reset(&framed);
		put_framed(&framed, &m);
		CHECK_U64(kit.count, 0);
		kit_sendv(&kit, 1, wr_view(&framed));
	}
	CHECK_LINES(&kit, "AXFR z 0 complete req=0+21 rsp=0+173 answers=ns.z admin.z 0 1 2 3 4\n");
	wr_release(&m);
	wr_release(&framed);
	wr_release(&soa);
	kit_release(&kit);
}

TEST(dns, multicast_messages_are_calls_of_their_own)
{
	struct kit kit;
	struct wr m;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	kit_flow(&kit, PROTO_udp, 5353, 5353);
	make_query(&m, 0, "_ipp._tcp.local", DNS_PTR);
	kit_datagram(&kit, 0, wr_view(&m));
	make_answer(&m, 0, 0x8400, "_ipp._tcp.local", DNS_PTR, "\x01p\xc0\x0c", 4);
	kit_datagram(&kit, 0, wr_view(&m));
	CHECK_LINES(&kit,
		    "PTR _ipp._tcp.local - oneway req=0+33\n"
		    "PTR _ipp._tcp.local 0 oneway rsp=33+49 answers=p._ipp._tcp.local\n");
	wr_release(&m);
	kit_release(&kit);
}

/* Cut by a snap length: behind the header the id tells a repetition, before its end nothing is known. */
TEST(dns, what_was_cut_off_is_not_made_up)
{
	static const char query[] = "\1\2\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";

	for (size_t len = 1; len < sizeof(query) - 1; len++) {
		struct packet packet = { .status = DECODE_OK, .proto = PROTO_udp, .segments = 1, .has_ports = true,
					 .payload = view_make(query, len), .payload_len = sizeof(query) - 1 };
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_udp, 40000, 53);
		kit_datagram(&kit, 0, view_make(query, sizeof(query) - 1));
		packet.time_ns = kit.now_ns += 1000000;
		stream_packet(kit.stream, 0, &packet);
		kit_end(&kit, CALL_END_unanswered);
		CHECK_U64(kit.count, 1);
		CHECK_VIEW(kit.call[0].row.target, "a");
		if (len >= 12)
			CHECK_VIEW(kit.call[0].row.error, "retries: 1");
		kit_release(&kit);
	}
}

TEST(dns, malformed_messages_say_where)
{
	struct kit kit;
	struct wr m;

	kit_init(&kit, NULL);
	wr_init(&m, 0);
	kit_flow(&kit, PROTO_udp, 40000, 53);
	kit_datagram(&kit, 0, VIEW_LIT("\1\2\1"));
	make_answer(&m, 4, FLAGS_OK, "loop.example", DNS_A, addr, 4);
	m.at[30] = 0xc0;	/* the record's name points to itself */
	m.at[31] = 30;
	kit_datagram(&kit, 1, wr_view(&m));
	make_answer(&m, 5, FLAGS_OK, "cut.example", DNS_A, addr, 4);
	m.len -= 2;
	kit_datagram(&kit, 1, wr_view(&m));
	make_answer(&m, 6, 0x8380, "tc.example", DNS_A, NULL, 0);
	kit_datagram(&kit, 1, wr_view(&m));
	CHECK_LINES(&kit,
		    "- - - oneway req=0+3 error=malformed query: shorter than a header at byte 0 of 3\n"
		    "A loop.example 0 no_request rsp=0+46 error=malformed response: bad name at byte 30 of 46\n"
		    "A cut.example 0 no_request rsp=46+43 error=malformed response: cut short at byte 29 of 43\n"
		    "A tc.example 0 no_request rsp=89+28 error=response truncated (TC)\n");
	wr_release(&m);
	kit_release(&kit);
}

static void data_text(uint16_t type, const void *data, size_t len, char *text, size_t cap)
{
	struct txt txt = { .at = text, .cap = cap - 1 };
	struct dns_msg msg;
	struct dns_iter iter;
	struct dns_rr rr;
	struct wr m;

	wr_init(&m, 0);
	make_answer(&m, 1, FLAGS_OK, "q.example", type, data, len);
	CHECK(dns_msg_parse(wr_view(&m), &msg));
	dns_iter_init(&iter, &msg);
	CHECK_U64(dns_iter_next(&iter, &rr), 1);
	CHECK_U64(dns_iter_next(&iter, &rr), 1);
	dns_data_text(&msg, &rr, &txt);
	text[txt.len] = '\0';
	CHECK_U64(dns_iter_next(&iter, &rr), 0);
	wr_release(&m);
}

TEST(dns, writes_records_as_zone_files_do)
{
	static const struct {
		uint16_t type;
		struct view data;
		const char *want;
	} cases[] = {
		{ DNS_A, { (const uint8_t *)"\x7f\0\0\x01", 4 }, "127.0.0.1" },
		{ DNS_A, { (const uint8_t *)"\x7f\0\0", 3 }, "\\# 3 7f0000" },
		{ DNS_CNAME, { (const uint8_t *)"\x01" "a\xc0\x0c", 4 }, "a.q.example" },
		{ DNS_NS, { (const uint8_t *)"\0", 1 }, "." },
		{ DNS_CNAME, { (const uint8_t *)"\x04" "a.b\\\0", 6 }, "a\\.b\\\\" },
		{ DNS_CNAME, { (const uint8_t *)"\x02\x07 \0", 4 }, "\\007\\032" },
		{ DNS_MX, { (const uint8_t *)"\0\x0a\x02mx\xc0\x0c", 7 }, "10 mx.q.example" },
		{ DNS_SRV, { (const uint8_t *)"\0\x01\0\x02\x01\xbb\x01s\0", 9 }, "1 2 443 s" },
		{ DNS_TXT, { (const uint8_t *)"\x02hi\0\x03" "a\x01\"", 8 }, "\"hi\" \"\" \"a\\001\\\"\"" },
		{ DNS_CAA, { (const uint8_t *)"\0\x05issue" "ca.example", 17 }, "0 issue \"ca.example\"" },
		{ DNS_CAA, { (const uint8_t *)"\0\x05iss", 5 }, "\\# 5 0005697373" },
		{ DNS_HTTPS, { (const uint8_t *)"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x04\0\x04\xc0\0\x02\x01", 21 },
		  "1 . alpn=h2|h3 ipv4hint=192.0.2.1" },
		{ 46, { (const uint8_t *)"\x12\x34", 2 }, "\\# 2 1234" },
		{ 10, { (const uint8_t *)"", 0 }, "\\# 0" },
	};
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		data_text(cases[i].type, cases[i].data.at, cases[i].data.len, text, sizeof(text));
		CHECK_STR(text, cases[i].want);
	}
}

TEST(dns, names_end_and_are_bounded)
{
	uint8_t deep[600];
	char text[DNS_NAME_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	size_t next;

	/* labels of 63 until 255 octets are passed */
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 64 ? 0xff : 63;
	CHECK_NOT(dns_name(view_make(deep, sizeof(deep)), 0, &txt, &next));
	deep[192] = 61;
	deep[254] = 0;
	txt.len = 0;
	CHECK(dns_name(view_make(deep, sizeof(deep)), 0, &txt, &next));
	CHECK_U64(next, 255);
	CHECK_U64(txt.len, 250 * 4 + 3);	/* each octet as \255 */
	CHECK_NOT(txt.cut);
	/* a staircase of pointers, each to the one before */
	deep[0] = 1;
	deep[1] = 'a';
	deep[2] = 0;
	for (size_t i = 3; i + 1 < 400; i += 2) {
		deep[i] = (uint8_t)(0xc0 | (i == 3 ? 0 : i - 2) >> 8);
		deep[i + 1] = (uint8_t)(i == 3 ? 0 : i - 2);
	}
	txt.len = 0;
	CHECK(dns_name(view_make(deep, sizeof(deep)), 397, &txt, &next));
	CHECK_VIEW(view_make(text, txt.len), "a");
	deep[3] = 0xc0;
	deep[4] = 5;	/* forward */
	CHECK_NOT(dns_name(view_make(deep, sizeof(deep)), 397, &txt, &next));
	CHECK_NOT(dns_name(view_make(deep, 3), 7, &txt, &next));
}

TEST(dns, guesses_strictly_on_odd_ports)
{
	const struct proto_ops *dns = proto_by_id(L7_dns);
	struct guess_hint odd = { .proto = PROTO_udp, .src_port = 4000, .dst_port = 4001 };
	struct guess_hint usual = { .proto = PROTO_udp, .src_port = 4000, .dst_port = 53 };
	struct wr m;

	wr_init(&m, 0);
	make_query(&m, 1, "a.example", DNS_A);
	CHECK_U64(dns->guess(wr_view(&m), &odd), GUESS_MAYBE);
	CHECK_U64(dns->guess(wr_view(&m), &usual), GUESS_YES);
	wr_u8(&m, 0);
	CHECK_U64(dns->guess(wr_view(&m), &odd), GUESS_NO);
	m.at[4] = 1;		/* 257 questions */
	CHECK_U64(dns->guess(wr_view(&m), &odd), GUESS_NO);
	CHECK_U64(dns->guess(wr_view(&m), &usual), GUESS_YES);
	make_query(&m, 1, "EJFAFGDGCOEHEPEPEHEMEFCOEDEPENAA", 32);
	odd.dst_port = 137;
	CHECK_U64(dns->guess(wr_view(&m), &odd), GUESS_NO);
	odd.proto = usual.proto = PROTO_tcp;
	CHECK_U64(dns->guess(VIEW_LIT("\0"), &odd), GUESS_NO);
	CHECK_U64(dns->guess(VIEW_LIT("\0"), &usual), GUESS_MORE);
	CHECK_U64(dns->guess(VIEW_LIT("\0\x05hello"), &usual), GUESS_NO);
	wr_release(&m);
}

TEST(dns, shows_a_call_in_full)
{
	struct wr m, out, framed;
	struct json json;
	struct json_doc *doc;
	const struct json_val *response, *answer, *edns;
	struct err err = { .code = 0 };

	wr_init(&m, 0);
	wr_init(&out, 0);
	wr_init(&framed, 0);
	wr_reset(&m);
	put_header(&m, 77, FLAGS_OK | DNS_AD, 1, 1, 0, 1);
	put_question(&m, "a.example", DNS_A);
	put_record(&m, DNS_A, addr, 4);
	wr_u8(&m, 0);			/* OPT: root, type, size, rcode+version+DO, options */
	wr_u16be(&m, DNS_OPT);
	wr_u16be(&m, 1232);
	wr_u32be(&m, 0x8000);
	wr_u16be(&m, 11);
	wr_bytes(&m, view_make("\0\x08\0\x07\0\x01\x18\0\x0a\x01\x02", 11));
	put_framed(&framed, &m);	/* as over TCP */
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64(proto_by_id(L7_dns)->detail(VIEW_LIT("\1\2"), wr_view(&framed), 1000, &json), 0);
	json_object_end(&json);
	CHECK_OK(json_parse(wr_view(&out), &doc, &err), err);
	response = json_get(json_root(doc), "response");
	CHECK_I64(json_get_i64(json_get(response, "id"), 0), 77);
	CHECK(json_get_bool(json_get(json_get(response, "flags"), "ad"), false));
	answer = json_at(json_get(response, "answers"), 0);
	CHECK_VIEW(json_get_str(json_get(answer, "name"), view_str("")), "a.example");
	CHECK_VIEW(json_get_str(json_get(answer, "data"), view_str("")), "192.0.2.7");
	CHECK_I64(json_get_i64(json_get(answer, "ttl"), 0), 300);
	CHECK_U64(json_count(json_get(response, "additional")), 0);
	edns = json_get(response, "edns");
	CHECK_I64(json_get_i64(json_get(edns, "udp_size"), 0), 1232);
	CHECK(json_get_bool(json_get(edns, "do"), false));
	CHECK_VIEW(json_get_str(json_get(json_at(json_get(edns, "options"), 0), "data"), view_str("")),
		   "10.1.2.0/24 scope 0");
	CHECK(json_get(json_get(json_root(doc), "request"), "malformed") != NULL);
	json_doc_free(doc);
	wr_release(&m);
	wr_release(&out);
	wr_release(&framed);
}

/*
 * Messages that tshark 4.0 found (truth/dns/FILE.tsv: dns, mdns and llmnr), each
 * counted here as a query, one of its retries, or a response.
 */
TEST(dns, finds_the_messages_of_real_captures, .timeout = 60)
{
	static const struct {
		const char *file;
		unsigned messages;
	} truth[] = {
		{ "DnsPackets.pcap", 464 }, { "dns-corrupt.pcap", 2 }, { "dns-edns-ecs.pcap", 85 },
		{ "dns-tcp-multi.pcap", 4 }, { "dns-wiresharkrepo.pcap", 38 }, { "dns_exfiltration.pcap", 300 },
		{ "dynamic-update.pcap", 4 }, { "malformed_dns.pcap", 6 }, { "max-compression-depth.pcap", 1 },
		{ "mdns.pcap", 18 }, { "rrsig.pcap", 7 },
	};
	const char *captures = check_need_captures();

	for (size_t i = 0; i < sizeof(truth) / sizeof(truth[0]); i++) {
		unsigned messages = 0;
		struct kit kit;
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/dns/%s", captures, truth[i].file);
		kit_init(&kit, NULL);
		CHECK(kit_run_file(&kit, path), "no %s", path);
		for (unsigned j = 0; j < kit.count; j++) {
			const struct kit_call *call = &kit.call[j];

			messages += call->has_req + call->has_rsp;
			if (ROW_HAS(CALL, &call->row, error) && view_starts(call->row.error, "retries: "))
				messages += call->row.error.at[9] - '0';
		}
		printf("dns truth: %-30s %4u of %4u messages\n", truth[i].file, messages, truth[i].messages);
		CHECK_U64(messages, truth[i].messages);
		kit_release(&kit);
	}
}
