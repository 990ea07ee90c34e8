#include "tests/wire_kit.h"
#include "wire/protocols.h"

/* ---- the list ---- */

static void check_list(const char *list, const char *want)
{
	struct protocols set, again;
	struct wr text;
	struct err err = { 0 };

	wr_init(&text, 0);
	CHECK(protocols_parse(view_str(list), &set, &err) == 0, "%s: %s", list, err.text);
	protocols_text(&set, &text);
	wr_u8(&text, 0);
	CHECK_STR((const char *)text.at, want);
	CHECK_U64(protocols_parse(view_str(want), &again, NULL), 0);
	CHECK(memcmp(&set, &again, sizeof(set)) == 0, "%s is not %s", want, list);
	wr_release(&text);
}

TEST(protocols, lists_say_which)
{
	check_list("all", "all");
	check_list("none", "none");
	check_list("http,dns", "dns,http");
	check_list(" HTTP , Dns ", "dns,http");
	check_list("-kafka", "-kafka");
	check_list("-kafka,-quic", "-kafka,-quic");
	check_list("all,-kafka", "-kafka");
	check_list("-all", "none");
	check_list("http,-http", "none");
	check_list("none,dns", "dns");
	check_list("dns,all", "all");
	check_list("http2,grpc-web", "grpc_web,http2");
	/* what it carries goes with it */
	check_list("-http", "-http");
	check_list("-http,-http2", "-graphql,-grpc,-grpc_web,-http,-http2,-sse");
	check_list("http", "http");
}

TEST(protocols, lists_that_are_wrong_say_why)
{
	static const struct {
		const char *list, *words;
	} cases[] = {
		{ "", "a name is missing" }, { "dns,", "a name is missing" }, { ",dns", "a name is missing" }, { "-", "a name is missing" },
		{ "htp", "\"htp\"; did you mean ftp, http, ntp?" }, { "postgres", "did you mean postgresql?" }, { "-kafak", "did you mean kafka?" },
		{ "dns,no-such-one", "there are all, none, amqp, " }, { "grpc", "read out of http2, which is off: say grpc,http2" },
		{ "dns,sse", "say dns,sse,http" }, { "--dns", "\"-dns\"" },
		{ "averyveryveryveryverylongnamethatisnone", "no protocol is called" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct protocols set = { .off = { 7 } };
		struct err err = { 0 };

		CHECK(protocols_parse(view_str(cases[i].list), &set, &err) == E_USAGE, "\"%s\"", cases[i].list);
		CHECK(strstr(err.text, cases[i].words), "\"%s\": %s", cases[i].list, err.text);
		CHECK_U64(set.off[0], 7);	/* untouched */
	}
}

/* ---- what streams make of it ---- */

static void kit_init_protocols(struct kit *kit, const char *list)
{
	struct call_pool_opts opts = { 0 };

	kit_init(kit, NULL);
	call_pool_free(kit->calls);
	CHECK_U64(protocols_parse(view_str(list), &opts.protocols, NULL), 0);
	kit->calls = call_pool_new(&opts);
	CHECK(kit->calls);
	kit->sink.pool = kit->calls;
}

static uint64_t flows_off(const struct kit *kit)
{
	struct stream_stats stats;

	stream_pool_stats(kit->streams, &stats);
	return stats.switched_off;
}

#define GET "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define UPGRADE "GET /w HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n\r\n"
#define SWITCHING "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n"
#define QUERY "{\"query\":\"query A { a }\"}"
#define GRAPH "POST /q HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n" QUERY
#define OK "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
#define EVENTS "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
#define NAME "\1\2\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"

TEST(protocols, one_that_is_off_gives_no_calls)
{
	struct kit kit;

	kit_init_protocols(&kit, "-http");
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET);
	kit_send(&kit, 1, OK);
	CHECK_U64(flows_off(&kit), 1);
	CHECK_U64(stream_l7(kit.stream), L7_none);
	kit_send(&kit, 0, GET);
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "");
	CHECK_U64(flows_off(&kit), 1);	/* counted once */
	/* of datagrams too; the others go on */
	kit_flow(&kit, PROTO_udp, 40000, 53);
	kit_datagram(&kit, 0, view_make(NAME, sizeof(NAME) - 1));
	kit_end(&kit, CALL_END_unanswered);
	CHECK_U64(kit.count, 1);
	kit_release(&kit);
	kit_init_protocols(&kit, "-dns");
	kit_flow(&kit, PROTO_udp, 40000, 53);
	kit_datagram(&kit, 0, view_make(NAME, sizeof(NAME) - 1));
	kit_end(&kit, CALL_END_unanswered);
	CHECK_U64(kit.count, 0);
	CHECK_U64(flows_off(&kit), 1);
	kit_release(&kit);
}

/* A greeting that names no protocol on FTP's port is SMTP by its first command: FTP must not have it instead. */
TEST(protocols, nobody_takes_the_bytes_of_one_that_is_off)
{
	struct kit kit;

	kit_init_protocols(&kit, "-smtp");
	kit_flow(&kit, PROTO_tcp, 40000, 2121);
	kit_handshake(&kit);
	kit_send(&kit, 1, "220 mx ESMTP\r\n");
	kit_send(&kit, 0, "EHLO me\r\n");
	kit_send(&kit, 1, "250 mx\r\n");
	kit_send(&kit, 0, "QUIT\r\n");
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "");
	CHECK_U64(flows_off(&kit), 1);
	kit_release(&kit);
}

TEST(protocols, what_one_hands_over_to_may_be_off)
{
	struct kit kit;

	kit_init_protocols(&kit, "-websocket");
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, UPGRADE);
	kit_send(&kit, 1, SWITCHING "\x81\x05hello");
	kit_send(&kit, 1, "\x81\x05hello");
	kit_end(&kit, CALL_END_closed);
	CHECK_U64(kit.count, 1);
	CHECK_U64(kit.call[0].row.l7, L7_http);
	CHECK_U64(flows_off(&kit), 1);
	kit_release(&kit);
}

/* Calls that are read out of another's stay the other's. */
TEST(protocols, what_is_carried_may_be_off)
{
	for (unsigned off = 0; off < 2; off++) {
		struct kit kit;

		kit_init_protocols(&kit, off ? "-graphql,-sse" : "all");
		kit_flow(&kit, PROTO_tcp, 40000, 80);
		kit_handshake(&kit);
		kit_send(&kit, 0, GRAPH);
		kit_send(&kit, 1, OK);
		kit_send(&kit, 0, GET);
		kit_send(&kit, 1, EVENTS);
		kit_end(&kit, CALL_END_closed);
		CHECK_U64(kit.count, off ? 2 : 3);
		CHECK_U64(kit.call[0].row.l7, off ? L7_http : L7_graphql);
		CHECK_VIEW(kit.call[0].row.method, off ? "POST" : "query");
		CHECK_U64(kit.call[1].row.l7, off ? L7_http : L7_sse);
		CHECK_U64(flows_off(&kit), 0);
		kit_release(&kit);
	}
}

TEST(protocols, an_rpc_may_be_an_http2_call)
{
#define H2_OPEN "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define H2_RPC "\0\0\x23\1\5\0\0\0\1\x83\x86\x04\x07/p.S/Do\x41\3a.b\x0f\x10\x10" "application/grpc"
	for (unsigned off = 0; off < 2; off++) {
		struct kit kit;

		kit_init_protocols(&kit, off ? "-grpc" : "all");
		kit_flow(&kit, PROTO_tcp, 40000, 80);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(H2_OPEN H2_RPC, sizeof(H2_OPEN H2_RPC) - 1));
		kit_end(&kit, CALL_END_closed);
		CHECK_U64(kit.count, 1);
		CHECK_U64(kit.call[0].row.l7, off ? L7_http2 : L7_grpc);
		CHECK_VIEW(kit.call[0].row.method, off ? "POST" : "Do");
		kit_release(&kit);
	}
}
