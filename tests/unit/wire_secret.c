/* secret.h holds for every protocol: what is shown of a call says who, and how he proves it, and never with what. */
#include "tests/check.h"
#include "wire/proto.h"
#include "wire/secret.h"

#define H2_HEADERS(len) "\0\0" len "\1\5\0\0\0\1"
#define SASL_PLAIN "\0bob\0hunter2"

static const struct shown {
	uint8_t l7;
	struct view request;
	const char *want;	/* a part of what is shown */
} cases[] = {
	{ L7_http, VIEW_LIT("GET / HTTP/1.1\r\nAuthorization: Bearer hunter2\r\n\r\n"), "\"Authorization\",\"value\":\"Bearer (masked)\"" },
	{ L7_http, VIEW_LIT("GET / HTTP/1.1\r\nauthorization: hunter2\r\n\r\n"), "\"value\":\"(masked)\"" },
	{ L7_http, VIEW_LIT("GET / HTTP/1.1\r\nX-API-Key: hunter2\r\nCookie: a=b\r\n\r\n"),
	  "\"value\":\"(masked)\"},{\"name\":\"Cookie\",\"value\":\"a=b\"" },
	{ L7_http, VIEW_LIT("GET / HTTP/1.1\r\nProxy-Authorization: Basic\r\n hunter2\r\n\r\n"), "\"value\":\"Basic (masked)\"" },
	{ L7_http, VIEW_LIT("GET / HTTP/1.1\r\nAuthorization: Digest username=\"b,o\", realm=r, Response=\"hunter2\",qop=auth\r\n\r\n"),
	  "\"value\":\"Digest username=\\\"b,o\\\", realm=r, Response=(masked), qop=auth\"" },
	{ L7_http, VIEW_LIT("GET / HTTP/1.1\r\nAuthorization:\r\n\r\n"), "\"value\":\"\"" },
	{ L7_http2, VIEW_LIT(H2_HEADERS("\x13") "\x82\x86\x84\x0f\x08\x0d" "Basic hunter2"), "\"authorization\",\"value\":\"Basic (masked)\"" },
	{ L7_grpc, VIEW_LIT(H2_HEADERS("\x16") "\x83\x86\x84\0\x09" "x-api-key\x07" "hunter2"), "\"x-api-key\",\"value\":\"(masked)\"" },
	{ L7_sip, VIEW_LIT("REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"
			   "Authorization: Digest username=\"bob\",response=\"hunter2\"\r\n\r\n"),
	  "\"value\":\"Digest username=\\\"bob\\\", response=(masked)\"" },
	{ L7_nats, VIEW_LIT("CONNECT {\"user\":\"u\",\"pass\":\"hunter2\"}\r\n"), "\"pass\":\"(masked)\"" },
	{ L7_nats, VIEW_LIT("HPUB a 31 31\r\nNATS/1.0\r\nX-API-Key:hunter2\r\n\r\n\r\n"), "\"value\":\"(masked)\"" },
	{ L7_redis, VIEW_LIT("*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n"), "[\"AUTH\",\"(masked)\"]" },
	{ L7_redis, VIEW_LIT("auth bob hunter2\r\n"), "[\"auth\",\"bob\",\"(masked)\"]" },
	{ L7_redis, VIEW_LIT("hello 3 auth bob hunter2 setname me\r\n"), "[\"hello\",\"3\",\"auth\",\"bob\",\"(masked)\",\"setname\",\"me\"]" },
	{ L7_redis, VIEW_LIT("migrate h 1 k 0 5 AUTH hunter2 KEYS a\r\n"), "\"5\",\"AUTH\",\"(masked)\",\"KEYS\",\"a\"]" },
	{ L7_redis, VIEW_LIT("migrate h 1 k 0 5 AUTH2 auth hunter2\r\n"), "\"AUTH2\",\"auth\",\"(masked)\"]" },
	{ L7_redis, VIEW_LIT("acl setuser bob on >hunter2 ~*\r\n"), "[\"acl\",\"setuser\",\"bob\",\"on\",\"(masked)\",\"~*\"]" },
	{ L7_redis, VIEW_LIT("config set requirepass hunter2 timeout 5\r\n"), "\"requirepass\",\"(masked)\",\"timeout\",\"5\"]" },
	{ L7_redis, VIEW_LIT("set auth value\r\n"), "[\"set\",\"auth\",\"value\"]" },
	{ L7_memcached, VIEW_LIT("\x80\x21\0\5\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0" "PLAIN" SASL_PLAIN), "\"key\":\"PLAIN\",\"body\":\"(masked)\"" },
	{ L7_mongodb, VIEW_LIT("\x53\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\0\x3e\0\0\0\x10saslStart\0\1\0\0\0\2mechanism\0\6\0\0\0PLAIN\0"
			       "\5payload\0\7\0\0\0\0hunter2\0"), "\"mechanism\":\"PLAIN\",\"payload\":\"(masked)\"" },
	{ L7_postgresql, VIEW_LIT("p\0\0\0\x0chunter2\0"), "Password" },
	{ L7_smtp, VIEW_LIT("AUTH PLAIN hunter2\r\n"), "\"(masked)\"" },
	{ L7_pop3, VIEW_LIT("PASS hunter2\r\n"), "\"(masked)\"" },
	{ L7_ftp, VIEW_LIT("PASS hunter2\r\n"), "\"(masked)\"" },
	{ L7_imap, VIEW_LIT("a LOGIN bob hunter2\r\n"), "\"(masked)\"" },
	{ L7_ldap, VIEW_LIT("\x30\x13\2\1\1\x60\x0e\2\1\3\4\0\x80\7hunter2"), "\"password\":\"(masked)\"" },
	{ L7_mqtt, VIEW_LIT("\x10\x1a\0\4MQTT\4\xc2\0\x3c\0\0\0\3bob\0\7hunter2"), "\"password\":true" },
	{ L7_snmp, VIEW_LIT("\x30\x1d\2\1\0\4\7hunter2\xa0\x0f\2\1\1\2\1\0\2\1\0\x30\4\x30\2\6\0"), "\"community\":\"(masked)\"" },
};

TEST(secret, is_not_shown)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		struct wr out;
		const char *text;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_U64((uint64_t)proto_by_id(cases[i].l7)->detail(cases[i].request, view_make("", 0), 4000, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		text = (const char *)out.at;
		CHECK(strstr(text, cases[i].want), "%zu: %s, without %s", i, text, cases[i].want);
		CHECK_NOT(strstr(text, "hunter2"), "%zu: %s", i, text);
		wr_release(&out);
	}
}
