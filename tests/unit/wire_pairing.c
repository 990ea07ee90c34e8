/*
 * Protocols that answer in order, in captures that lost something: an answer is its request's or nobody's. A call
 * paired with another's answer would be a wrong latency and a wrong error, and nothing would tell.
 */
#include "tests/wire_kit.h"

#define STEPS_MAX 20
#define SEEN_ALL (-1)

#define PING	"\1\0\0\0\x0e"
#define OK_	"\7\0\0\1\0\0\0\2\0\0\0"
#define SELECT_	"\x0a\0\0\0\3SELECT 12"
#define ONE_ROW	"\1\0\0\1\1" "\x17\0\0\2\3def\0\0\0\1" "1\0\x0c\x3f\0\1\0\0\0\x08\x81\0\0\0\0" "\2\0\0\3\1" "1" "\7\0\0\4\xfe\0\0\2\0\0\0"

struct step {
	char who;		/* '>' client, '<' server; 'X', 'x': the same, and the capture lost it; 0: the end */
	struct view bytes;
	int acked;		/* bytes of the other side its sender had received; SEEN_ALL */
	unsigned after_ms;
};

#define SAY(who, text) { who, { (const uint8_t *)(text), sizeof(text) - 1 }, SEEN_ALL, 1 }
#define SAY_ACK(who, text, acked) { who, { (const uint8_t *)(text), sizeof(text) - 1 }, acked, 1 }
#define SAY_LATE(who, text) { who, { (const uint8_t *)(text), sizeof(text) - 1 }, SEEN_ALL, 400 }

static const struct pairing {
	const char *name;
	uint16_t port;
	bool midway;
	struct step step[STEPS_MAX];
	const char *calls;
} pairings[] = {
	/* The capture begins behind the first of two commands; its answer was sent before the second one had arrived. */
	{ "POP3 begun late", 110, true, {
		SAY_ACK('>', "QUIT\r\n", 0), SAY_ACK('<', "-ERR no CAPA\r\n", 0), SAY_ACK('<', "+OK bye\r\n", 6),
	}, "- - - no_request rsp=0+14 error=no CAPA\n"
	   "QUIT - - complete req=0+6 rsp=14+9\n" },
	{ "SMTP: an answer to something lost crosses the next command", 25, true, {
		SAY_ACK('>', "MAIL FROM:<a@b>\r\n", 0), SAY_ACK('<', "250 reset\r\n", 0), SAY_ACK('<', "550 no\r\n", 17),
	}, "- - 250 no_request rsp=0+11\n"
	   "MAIL a@b 550 complete req=0+17 rsp=11+8 error=no\n" },
	{ "memcached begun late", 11211, true, {
		SAY_ACK('>', "get b\r\n", 0), SAY_ACK('<', "VALUE a 0 1\r\nx\r\nEND\r\n", 0), SAY_ACK('<', "END\r\n", 7),
	}, "- a - no_request rsp=0+21 body=1\n"
	   "get b - complete req=0+7 rsp=21+5\n" },
	{ "MySQL begun late", 3306, true, {
		SAY_ACK('>', SELECT_, 0), SAY_ACK('<', OK_, 0), SAY_ACK('<', ONE_ROW, 14),
	}, "- - - no_request rsp=0+11\n"
	   "SELECT SELECT 12 - complete req=0+14 rsp=11+49 body=2\n" },
	/* Of several commands under way one is lost: whose the answers are that follow nobody can tell, until all are there. */
	{ "SMTP, a pipelined command lost", 25, false, {
		SAY('<', "220 mx ESMTP\r\n"), SAY('>', "EHLO me\r\n"), SAY('<', "250 mx\r\n"), SAY('>', "MAIL FROM:<a@b>\r\n"),
		SAY('X', "RCPT TO:<c@d>\r\n"), SAY('>', "RCPT TO:<e@f>\r\n"), SAY('<', "250 a\r\n550 c\r\n250 e\r\n"),
		SAY_LATE('>', "NOOP\r\n"), SAY('<', "250 noop\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "MAIL a@b 250 complete req=9+17 rsp=22+7\n"
	   "RCPT e@f - gap req=41+15\n"
	   "- - 550 no_request rsp=29+7 error=c\n"
	   "- - 250 no_request rsp=36+7\n"
	   "NOOP - 250 complete req=56+6 rsp=43+10\n" },
	{ "POP3, a pipelined command lost", 110, false, {
		SAY('<', "+OK POP3\r\n"), SAY('>', "STAT\r\n"), SAY('<', "+OK 1 2\r\n"), SAY('>', "DELE 1\r\n"), SAY('X', "DELE 2\r\n"),
		SAY('>', "DELE 3\r\n"), SAY('<', "+OK 1\r\n-ERR 2\r\n+OK 3\r\n"), SAY_LATE('>', "QUIT\r\n"), SAY('<', "+OK bye\r\n"),
	}, "GREETING - - oneway rsp=0+10\n"
	   "STAT - - complete req=0+6 rsp=10+9 answers=1 2\n"
	   "DELE 1 - complete req=6+8 rsp=19+7\n"
	   "DELE 3 - gap req=22+8\n"
	   "- - - no_request rsp=26+8 error=2\n"
	   "- - - no_request rsp=34+7\n"
	   "QUIT - - complete req=30+6 rsp=41+9\n" },
	{ "memcached, a pipelined command lost", 11211, false, {
		SAY('>', "get a\r\n"), SAY('<', "END\r\n"), SAY('X', "get b\r\n"), SAY('>', "get c\r\nget d\r\n"),
		SAY('<', "VALUE b 0 1\r\nx\r\nEND\r\nEND\r\nEND\r\n"), SAY_LATE('>', "get e\r\n"), SAY('<', "END\r\n"),
	}, "get a - complete req=0+7 rsp=0+5\n"
	   "get c - gap req=14+7\n"
	   "get d - gap req=21+7\n"
	   "- b - no_request rsp=5+21 body=1\n"
	   "- - - no_request rsp=26+5\n"
	   "- - - no_request rsp=31+5\n"
	   "get e - complete req=28+7 rsp=36+5\n" },
	{ "SMTP, the first of two answers lost", 25, false, {
		SAY('<', "220 mx ESMTP\r\n"), SAY('>', "EHLO me\r\n"), SAY('<', "250 mx\r\n"),
		SAY('>', "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), SAY('x', "250 a\r\n"), SAY('<', "550 c\r\n"),
		SAY_LATE('>', "RSET\r\n"), SAY_LATE('<', "250 reset\r\n"), SAY('>', "NOOP\r\n"), SAY('<', "250 noop\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "MAIL a@b - gap req=9+17 missing=7\n"
	   "RCPT c@d - gap req=26+15\n"
	   "- - 550 no_request rsp=29+7 error=c\n"
	   "RSET - 250 complete req=41+6 rsp=36+11\n"
	   "NOOP - 250 complete req=47+6 rsp=47+10\n" },
	/* Both sides lost something: a request in the middle had its answer in the second half of a hole. */
	{ "MySQL, holes of both sides", 3306, true, {
		SAY('>', SELECT_), SAY('<', ONE_ROW), SAY('>', PING), SAY('x', OK_), SAY('X', PING), SAY('x', OK_), SAY('>', SELECT_),
		SAY('x', ONE_ROW), SAY('>', PING), SAY('<', OK_), SAY_LATE('>', PING), SAY('<', OK_), SAY_LATE('>', PING), SAY('<', OK_),
		SAY_LATE('>', PING), SAY('<', OK_),
	}, "SELECT SELECT 12 - complete req=0+14 rsp=0+49 body=2\n"
	   "PING - - gap req=14+5 missing=22\n"
	   "SELECT SELECT 12 - gap req=24+14 missing=49\n"
	   "PING - - complete req=38+5 rsp=120+11\n"
	   "PING - - complete req=43+5 rsp=131+11\n"
	   "PING - - complete req=48+5 rsp=142+11\n"
	   "PING - - complete req=53+5 rsp=153+11\n" },
};

static void play(struct kit *kit, const struct pairing *p)
{
	kit->stream = stream_new(kit->streams, &kit->sink, PROTO_tcp, 40000, p->port);
	CHECK(kit->stream);
	if (!p->midway)
		kit_handshake(kit);
	for (const struct step *step = p->step; step->who; step++) {
		unsigned dir = step->who == '<' || step->who == 'x';
		uint64_t acked = step->acked == SEEN_ALL ? kit->sent[!dir] : (uint64_t)step->acked;

		kit->now_ns += step->after_ms * 1000000ull;
		if (step->who == '>' || step->who == '<')
			kit_segment(kit, dir, kit->sent[dir], step->bytes, step->bytes.len, TCP_ACK | TCP_PSH, acked);
		kit->sent[dir] += step->bytes.len;
	}
	kit_fin(kit, 0);
	kit_fin(kit, 1);
}

TEST(pairing, an_answer_is_its_request_s_or_nobody_s)
{
	for (size_t i = 0; i < sizeof(pairings) / sizeof(pairings[0]); i++) {
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		play(&kit, &pairings[i]);
		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), pairings[i].calls) == 0, "%s:\n%s\nnot\n%s", pairings[i].name,
		      (const char *)out.at, pairings[i].calls);
		wr_release(&out);
		kit_release(&kit);
	}
}
