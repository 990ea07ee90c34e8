#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/websocket_msg.h"

#define STEPS_MAX 12
#define UPGRADE \
	"GET /chat/17?a=b HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCHING \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
#define HTTP_CALL "GET /chat/17?a=b 101 complete req=0+88 rsp=0+123 body=0\n"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "text both ways; a server that speaks with the upgrade", {
		TALK('>', UPGRADE), TALK('<', SWITCHING "\x81\x05hello"),
		TALK('>', "\x81\x85\x01\x02\x03\x04" "igohn"),
		TALK('<', "\x82\x7e\x00\x80" "0123456789012345678901234567890123456789012345678901234567890123"
			  "0123456789012345678901234567890123456789012345678901234567890123"),
	}, HTTP_CALL
	   "text /chat/17?a=b - oneway req=123+7\n"
	   "text /chat/17?a=b - oneway req=88+11\n"
	   "binary /chat/17?a=b - oneway req=130+132\n", false },
	{ "fragments with a ping between them, and its pong", {
		TALK('>', UPGRADE), TALK('<', SWITCHING), TALK('<', "\x01\x03" "abc\x89\x02hi\x00\x01" "d"),
		TALK('>', "\x8a\x82\x00\x00\x00\x00hi"), TALK('<', "\x80\x00"),
	}, HTTP_CALL
	   "ping /chat/17?a=b - complete req=128+4 rsp=88+8 body=2\n"
	   "text /chat/17?a=b - oneway req=123+14\n", false },
	{ "close with a code, answered", {
		TALK('>', UPGRADE), TALK('<', SWITCHING), TALK('<', "\x88\x05\x03\xf3" "bad"),
		TALK('>', "\x88\x82\x00\x00\x00\x00\x03\xf3"),
	}, HTTP_CALL
	   "close /chat/17?a=b 1011 complete req=123+7 rsp=88+8 body=2 error=bad\n", false },
	{ "a ping nobody answers, a message cut short", {
		TALK('>', UPGRADE), TALK('<', SWITCHING), TALK('<', "\x89\x00\x81\x0a" "abc"), TALK('f', ""),
	}, HTTP_CALL
	   "text /chat/17?a=b - closed req=125+5\n"
	   "ping /chat/17?a=b - unanswered req=123+2\n", false },
	{ "a hole; frames again with the next segment", {
		TALK('>', UPGRADE), TALK('<', SWITCHING), TALK('<', "\x81\x14" "0123456789"), TALK('x', "0123456789\x81"),
		TALK('<', "\x05" "lost?"), TALK('<', "\x81\x09" "found.it!"), TALK('f', ""),
	}, HTTP_CALL
	   "text /chat/17?a=b - gap req=123+22 missing=10\n"
	   "text /chat/17?a=b - oneway req=152+11\n", true },
	{ "from the middle", {
		TALK('<', "\x81\x0c{\"tick\":123}"), TALK('>', "\x81\x88\x00\x00\x00\x00{\"a\": 1}"),
	}, "text - - oneway req=0+14\n"
	   "text - - oneway req=0+14\n", true },
};

TEST(websocket, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 4999);
		if (!d->uncut)
			talk_cut(4999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(websocket, tells_who_sent_and_where_to)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 4);
	CHECK_U64(kit.call[1].req_dir, 1);
	CHECK_U64(kit.call[2].req_dir, 0);
	CHECK_VIEW(kit.call[2].row.host, "ws.example");
	CHECK_VIEW(kit.call[2].row.target_template, "/chat/{id}");
	CHECK_U64(kit.call[3].row.req_body_bytes, 128);
	CHECK_U64(kit.call[3].row.l7, L7_websocket);
	kit_release(&kit);
}

static const struct shown {
	const char *name;
	struct view bytes;
	const char *json;
} shown[] = {
	{ "masked fragments", VIEW_LIT("\x01\x83\x01\x02\x03\x04" "`ah\x89\x00\x80\x81\x01\x02\x03\x04" "e"),
	  "{\"request\":{\"opcode\":\"text\",\"frames\":2,\"masked\":true,\"body\":\"ackd\"}}" },
	{ "close", VIEW_LIT("\x88\x06\x03\xe8" "done"),
	  "{\"request\":{\"opcode\":\"close\",\"frames\":1,\"masked\":false,\"code\":1000,\"code_text\":\"Normal Closure\","
	  "\"body\":\"done\"}}" },
	/* RFC 7692 7.2.3.1: "Hello"; and 7.2.3.2: the second of two, which needs the first */
	{ "compressed", VIEW_LIT("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
	  "{\"request\":{\"opcode\":\"text\",\"frames\":1,\"masked\":false,\"compressed\":true,\"body\":\"Hello\"}}" },
	{ "compressed with context", VIEW_LIT("\xc1\x05\xf2\x00\x11\x00\x00"),
	  "{\"request\":{\"opcode\":\"text\",\"frames\":1,\"masked\":false,\"compressed\":true,"
	  "\"note\":\"not whole without the messages before it\",\"body\":\"H\",\"truncated\":true}}" },
	{ "cut short", VIEW_LIT("\x81\x0a" "abc"),
	  "{\"request\":{\"opcode\":\"text\",\"frames\":1,\"masked\":false,\"body\":\"abc\",\"truncated\":true}}" },
};

TEST(websocket, shows_messages)
{
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		struct json json;
		struct wr out;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_RC(websocket_detail(shown[i].bytes, view_make("", 0), 4096, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		CHECK(strcmp((const char *)out.at, shown[i].json) == 0, "%s: %s", shown[i].name, (const char *)out.at);
		wr_release(&out);
	}
}

/* tshark gives a line a frame; a message, and a ping or close with its answer, is one call here. */
static unsigned closes;

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char text[16];
	uint64_t op;

	CHECK(truth_field(line, "op", text, sizeof(text)));
	CHECK_RC(view_u64(view_str(text), UINT8_MAX, &op), 0);
	if (op == WS_CONTINUATION || op == WS_PONG)
		return;
	if (op == WS_CLOSE && closes++ % 2)
		return;		/* in each of the captures every close is answered */
	truth_key(keys, "%s", websocket_opcode((uint8_t)op));
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	truth_key(keys, "%.*s", (int)call->row.method.len, (const char *)call->row.method.at);
}

TEST(websocket, finds_what_others_find)
{
	static const char *const files[] = {
		"basic_websockets.pcap", "example_websocket.pcap", "fragmented-http-reply.pcap",
		"reply-ping-coalesced.pcap", "two-binary-fragments.pcap", "websocket.pcap", NULL,
	};
	const struct truth_test test = {
		.folder = "websocket", .proto = "websocket", .l7 = L7_websocket, .expect = expect, .got = got,
	};
	struct truth_score score = truth_run_all(&test, files);

	CHECK_U64(score.found, score.expected);
	CHECK_U64(score.extra, 0);
}
