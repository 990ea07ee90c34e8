/* Calls as command lines for curl; that curl does the same again is shown by scenario/rest-one.sh and live-http2.sh. */
#include "query/curl.h"
#include "tests/check.h"

#define DATA(len, flags, id) "\0\0" len "\0" flags "\0\0\0" id
#define HEADERS(len, flags, id) "\0\0" len "\1" flags "\0\0\0" id

static const struct line {
	uint8_t l7;
	bool encrypted;
	struct view request;
	const char *want;	/* of an error: its text */
	int rc;
} lines[] = {
	{ L7_http, false, VIEW_LIT("GET /a?b={1} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-None:\r\nConnection: close\r\n\r\n"),
	  "curl -g 'http://x/a?b={1}' \\\n  -H 'Accept: */*' \\\n  -H 'X-None;'\n", 0 },
	{ L7_graphql, true, VIEW_LIT("POST /q HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na'\\\n"),
	  "curl -g -X 'POST' 'https://x/q' \\\n  -H 'Content-Type:' \\\n  --data-raw $'a\\'\\\\\\012'\n", 0 },
	{ L7_http2, false, VIEW_LIT(HEADERS("\x0c", "\5", "\1") "\x82\x86\x04\5/./ab\x41\1x"),
	  "curl -g --path-as-is --http2-prior-knowledge 'http://x/./ab'\n", 0 },
	{ L7_http2, true, VIEW_LIT(HEADERS("\x13", "\4", "\3") "\x83\x87\x04\2/q\x41\1x\0\1a\1b\xbf\x0f\x0d\1" "4"
				   HEADERS("\4", "\5", "\5") "\x82\x86\x84\xbe" DATA("\2", "\0", "\3") "ab" DATA("\2", "\x1", "\3") "cd"),
	  "# 1 header fields are left out: their table was not seen from its beginning\n"
	  "curl -g --http2 -X 'POST' 'https://x/q' \\\n  -H 'a: b' \\\n  -H 'Content-Type:' \\\n  --data-raw 'abcd'\n", 0 },
	{ L7_grpc, false, VIEW_LIT(HEADERS("\x09", "\4", "\1") "\x83\x86\x04\2/q\x41\1x" DATA("\5", "\1", "\1") "\0\0\0\0\1"),
	  "printf '%b' '\\0000\\0000\\0000\\0000\\0001' | curl -g --http2-prior-knowledge -X 'POST' 'http://x/q' \\\n"
	  "  -H 'Content-Type:' \\\n  --data-binary @-\n", 0 },
	{ L7_http2, false, VIEW_LIT(HEADERS("\2", "\5", "\1") "\x82\xbe"), "the head of the request is not held", E_EXPIRED },
	{ L7_http2, false, VIEW_LIT("\0\0"), "the head of the request is not held", E_EXPIRED },
	{ L7_http, false, VIEW_LIT(""), "the head of the request is not held", E_EXPIRED },
	{ L7_sse, false, VIEW_LIT("data: a\n\n"), "an event is sent by the server: there is no request", E_UNSUPPORTED },
	{ L7_redis, false, VIEW_LIT("GET a\r\n"), "only HTTP calls can be written for curl, this one is redis", E_UNSUPPORTED },
};

TEST(curl, writes_lines)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const struct line *line = &lines[i];
		struct query_bytes bytes = { .request = line->request };
		struct call_row row = { .l7 = line->l7 };
		struct err err = { .code = 0 };
		struct wr out;

		wr_init(&out, 0);
		if (line->encrypted)
			ROW_SET(CALL, &row, encrypted, true);
		CHECK_I64(curl_line(&row, &bytes, &out, &err), line->rc);
		wr_u8(&out, 0);
		CHECK_STR(line->rc ? err.text : (const char *)out.at, line->want);
		wr_release(&out);
	}
}
