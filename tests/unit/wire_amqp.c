#include "tests/calls_truth.h"
#include "tests/tls_bytes.h"

#define STEPS_MAX 14

/* Frames of 0-9-1: type, channel, length, payload, end. */
#define F(type, ch, len, payload) type "\0" ch "\0\0\0" len payload "\xce"
#define M(ch, len, payload) F("\1", ch, len, payload)
#define H(ch, len, payload) F("\2", ch, len, payload)
#define B(ch, len, payload) F("\3", ch, len, payload)

#define HEADER "AMQP\0\0\x9\1"
#define START M("\0", "\x17", "\0\xa\0\xa\0\x9\0\0\0\0\0\0\0\5PLAIN\0\0\0\0")
#define START_OK M("\0", "\x40", "\0\xa\0\xb" "\0\0\0\x21" "\7productS\0\0\0\4pika\7versionS\0\0\0\3" "1.2" \
		   "\5PLAIN\0\0\0\7\0bob\0pw\5en_US")
#define TUNE M("\0", "\xc", "\0\xa\0\x1e\7\xff\0\2\0\0\0\x3c")
#define TUNE_OK M("\0", "\xc", "\0\xa\0\x1f\7\xff\0\2\0\0\0\x3c")
#define OPEN M("\0", "\x8", "\0\xa\0\x28\1/\0\0")
#define OPEN_OK M("\0", "\5", "\0\xa\0\x29\0")
#define CH_OPEN(ch) M(ch, "\5", "\0\x14\0\xa\0")
#define CH_OPEN_OK(ch) M(ch, "\x8", "\0\x14\0\xb\0\0\0\0")
#define PUB(ch) M(ch, "\xd", "\0\x3c\0\x28\0\0\2ex\2rk\0")
#define HEAD(ch, n) H(ch, "\xe", "\0\x3c\0\0\0\0\0\0\0\0\0" n "\0\0")
#define CONFIRM(ch) M(ch, "\5", "\0\x55\0\xa\0")
#define CONFIRM_OK(ch) M(ch, "\4", "\0\x55\0\xb")
#define ACK(ch, tag, multiple) M(ch, "\xd", "\0\x3c\0\x50\0\0\0\0\0\0\0" tag multiple)
#define NACK(ch, tag, flags) M(ch, "\xd", "\0\x3c\0\x78\0\0\0\0\0\0\0" tag flags)
#define REJECT(ch, tag, flags) M(ch, "\xd", "\0\x3c\0\x5a\0\0\0\0\0\0\0" tag flags)
#define CONSUME(ch, flags) M(ch, "\xf", "\0\x3c\0\x14\0\0\1q\1c" flags "\0\0\0\0")
#define CONSUME_OK(ch) M(ch, "\6", "\0\x3c\0\x15\1c")
#define DELIVER(ch, tag) M(ch, "\x15", "\0\x3c\0\x3c\1c\0\0\0\0\0\0\0" tag "\0\2ex\2rk")

/* Frames of 1.0: length, where the body begins, type, channel, body. */
#define A(ch, len, body) "\0\0\0" len "\2\0\0" ch body
#define S(len, body) "\0\0\0" len "\2\1\0\0" body

#define HEADER_SASL "AMQP\3\1\0\0"
#define HEADER_10 "AMQP\0\1\0\0"
#define MECHANISMS S("\x15", "\0\x53\x40\xc0\x8\1\xa3\5PLAIN")
#define INIT S("\x1e", "\0\x53\x41\xc0\x11\2\xa3\5PLAIN\xa0\7\0bob\0pw")
#define OUTCOME(code) S("\x10", "\0\x53\x44\xc0\3\1\x50" code)
#define OPEN10 A("\0", "\x14", "\0\x53\x10\xc0\7\2\xa1\1c\xa1\1h")
#define BEGIN(ch) A(ch, "\x14", "\0\x53\x11\xc0\7\4\x40\x43\x52\x8\x52\x8")
#define BEGIN_TO(ch, remote) A(ch, "\x16", "\0\x53\x11\xc0\x9\4\x60\0" remote "\x43\x52\x8\x52\x8")
#define ATTACH_SEND(ch) A(ch, "\x22", "\0\x53\x12\xc0\x15\7\xa1\1L\x43\x42\x40\x40\0\x53\x28\x45\0\x53\x29\xc0\4\1\xa1\1q")
#define ATTACH_BACK(ch) A(ch, "\x23", "\0\x53\x12\xc0\x16\7\xa1\1L\x52\7\x41\x40\x40\0\x53\x28\x45\0\x53\x29\xc0\4\1\xa1\1q")
#define TRANSFER(ch, id, settled, more) \
	A(ch, "\x1e", "\0\x53\x14\xc0\xa\6\x43\x52" id "\xa0\1t\x43" settled more "\0\x53\x75\xa0\2hi")
#define TRANSFER_ON(ch, more) A(ch, "\x1a", "\0\x53\x14\xc0\7\6\x43\x40\x40\x40\x40" more "\0\x53\x75\xa0\1!")
#define WHY "\0\x53\x1d\xc0\x0c\2\xa3\4" "cond\xa1\3why"
#define ACCEPT(ch, first, last) A(ch, "\x18", "\0\x53\x15\xc0\x0b\5\x41\x52" first "\x52" last "\x41\0\x53\x24\x45")
#define REJECT10(ch, id) A(ch, "\x2a", "\0\x53\x15\xc0\x1d\5\x41\x52" id "\x40\x41\0\x53\x25\xc0\x12\1" WHY)
#define DETACH(ch) A(ch, "\x10", "\0\x53\x16\xc0\3\2\x43\x41")
#define DETACH_BACK(ch) A(ch, "\x11", "\0\x53\x16\xc0\4\2\x52\7\x41")
#define END10(ch) A(ch, "\xc", "\0\x53\x17\x45")
#define CLOSE10 A("\0", "\xc", "\0\x53\x18\x45")
#define CLOSE_WHY A("\0", "\x1f", "\0\x53\x18\xc0\x12\1" WHY)

static const struct dialogue {
	const char *name;
	uint16_t port;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "a connection begins, on any port", 7000, {
		TALK('>', HEADER), TALK('<', START), TALK('>', START_OK), TALK('<', TUNE), TALK('>', TUNE_OK OPEN),
		TALK('<', OPEN_OK), TALK('>', CH_OPEN("\1")), TALK('<', CH_OPEN_OK("\1")),
	}, "Protocol-Header - - oneway req=0+8\n"
	   "Connection.Start - - complete req=0+31 rsp=8+72\n"
	   "Connection.Tune - - complete req=31+20 rsp=80+20\n"
	   "Connection.Open / - complete req=100+16 rsp=51+13\n"
	   "Channel.Open - - complete req=116+13 rsp=64+16\n", false },
	{ "a version the server does not speak", 5672, {
		TALK('>', "AMQP\0\1\0\0"), TALK('<', HEADER), TALK('f', ""),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8 error=the server speaks 0-9-1\n", false },
	{ "TLS comes", 5672, {
		TALK('>', "AMQP\2\1\0\0"), TALK('<', "AMQP\2\1\0\0"), TALK('>', B_CH12), TALK('<', B_SH12_RESUMED B_CCS B_FIN12),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8\n"
	   "TLS 1.2 a.example - complete req=8+118 rsp=8+109 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n", false },
	{ "TLS comes, and the client does not wait", 5672, {
		TALK('>', "AMQP\2\1\0\0" B_CH12), TALK('<', "AMQP\2\1\0\0"), TALK('<', B_SH12_RESUMED B_CCS B_FIN12),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8\n"
	   "TLS 1.2 a.example - complete req=8+118 rsp=8+109 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2, resumed\n", false },
	{ "publications without confirms, frames of two channels mixed", 5672, {
		TALK('>', HEADER), TALK('<', START), TALK('>', PUB("\1") PUB("\2") HEAD("\1", "\5") B("\1", "\2", "he")
							       HEAD("\2", "\0") B("\1", "\3", "llo")),
	}, "Protocol-Header - - oneway req=0+8\n"
	   "Basic.Publish ex:rk - oneway req=29+75\n"
	   "Basic.Publish ex:rk - oneway req=8+107\n"
	   "Connection.Start - - unanswered req=0+31\n", false },
	{ "confirms: one, several at once, refused", 5672, {
		TALK('>', CH_OPEN("\1") CONFIRM("\1")), TALK('<', CH_OPEN_OK("\1") CONFIRM_OK("\1")),
		TALK('>', PUB("\1") HEAD("\1", "\1") B("\1", "\1", "a")), TALK('<', ACK("\1", "\1", "\0")),
		TALK('>', PUB("\1") HEAD("\1", "\0") PUB("\1") HEAD("\1", "\0") PUB("\1") HEAD("\1", "\0")),
		TALK('<', NACK("\1", "\4", "\0") ACK("\1", "\3", "\1")),
	}, "Channel.Open - - complete req=0+13 rsp=0+16\n"
	   "Confirm.Select - - complete req=13+13 rsp=16+12\n"
	   "Basic.Publish ex:rk - complete req=26+52 rsp=28+21\n"
	   "Basic.Publish ex:rk - complete req=164+43 rsp=49+21 error=refused by the broker\n"
	   "Basic.Publish ex:rk - complete req=78+43 rsp=70+21\n"
	   "Basic.Publish ex:rk - complete req=121+43 rsp=70+21\n", false },
	{ "a message nobody took is returned, and confirmed", 5672, {
		TALK('>', CONFIRM("\1")), TALK('<', CONFIRM_OK("\1")), TALK('>', PUB("\1") HEAD("\1", "\0")),
		TALK('<', M("\1", "\x15", "\0\x3c\0\x32\1\x38\x8NO_ROUTE\2ex\2rk") HEAD("\1", "\0") ACK("\1", "\1", "\0")),
	}, "Confirm.Select - - complete req=0+13 rsp=0+12\n"
	   "Basic.Return ex:rk 312 oneway req=12+51 error=NO_ROUTE\n"
	   "Basic.Publish ex:rk 312 complete req=13+43 rsp=63+21 error=NO_ROUTE\n", false },
	{ "a consumer that settles, out of order", 5672, {
		TALK('>', CONSUME("\1", "\0")), TALK('<', CONSUME_OK("\1") DELIVER("\1", "\1") HEAD("\1", "\0") DELIVER("\1", "\2")
								HEAD("\1", "\0") DELIVER("\1", "\3") HEAD("\1", "\0")),
		TALK('>', ACK("\1", "\2", "\0") REJECT("\1", "\1", "\1")),
	}, "Basic.Consume q - complete req=0+23 rsp=0+14\n"
	   "Basic.Deliver ex:rk - complete req=65+51 rsp=23+21\n"
	   "Basic.Deliver ex:rk - complete req=14+51 rsp=44+21 error=rejected by the consumer, to be queued again\n"
	   "Basic.Deliver ex:rk - unanswered req=116+51\n", false },
	{ "a consumer that settles nothing", 5672, {
		TALK('>', CONSUME("\1", "\2")), TALK('<', CONSUME_OK("\1") DELIVER("\1", "\1") HEAD("\1", "\1") B("\1", "\1", "x")),
	}, "Basic.Consume q - complete req=0+23 rsp=0+14\n"
	   "Basic.Deliver ex:rk - oneway req=14+60\n", false },
	{ "messages fetched", 5672, {
		TALK('>', M("\1", "\x9", "\0\x3c\0\x46\0\0\1q\0")),
		TALK('<', M("\1", "\x17", "\0\x3c\0\x47\0\0\0\0\0\0\0\7\0\2ex\2rk\0\0\0\1") HEAD("\1", "\2") B("\1", "\2", "hi")),
		TALK('>', ACK("\1", "\7", "\0") M("\1", "\x9", "\0\x3c\0\x46\0\0\1q\0")),
		TALK('<', M("\1", "\5", "\0\x3c\0\x48\0")),
	}, "Basic.Get q - complete req=0+17 rsp=0+63 body=2\n"
	   "Basic.Ack - - oneway req=17+21\n"
	   "Basic.Get q - complete req=38+17 rsp=63+13\n", false },
	{ "a channel is closed over a method", 5672, {
		TALK('>', CH_OPEN("\1")), TALK('<', CH_OPEN_OK("\1")),
		TALK('>', M("\1", "\xf", "\0\x28\0\xa\0\0\1e\1t\0\0\0\0\0") M("\1", "\xd", "\0\x32\0\xa\0\0\1q\0\0\0\0\0")),
		TALK('<', M("\1", "\xf", "\0\x14\0\x28\1\x96\4oops\0\x28\0\xa")), TALK('>', M("\1", "\4", "\0\x14\0\x29")),
		TALK('>', CH_OPEN("\1")), TALK('<', CH_OPEN_OK("\1")),
	}, "Channel.Open - - complete req=0+13 rsp=0+16\n"
	   "Exchange.Declare e 406 complete req=13+23 rsp=16+23 error=oops\n"
	   "Queue.Declare q - unanswered req=36+21\n"
	   "Channel.Close - 406 complete req=16+23 rsp=57+12 error=oops\n"
	   "Channel.Open - - complete req=69+13 rsp=39+16\n", false },
	{ "methods without an answer, and a heartbeat", 5672, {
		TALK('>', M("\1", "\xd", "\0\x32\0\xa\0\0\1q\x10\0\0\0\0") F("\x8", "\0", "\0", "")),
	}, "Queue.Declare q - oneway req=0+21\n", false },
	{ "seen from the middle: confirms are learnt, deliveries taken as they are", 5672, {
		TALK('>', PUB("\1") HEAD("\1", "\0")), TALK('<', ACK("\1", "\x63", "\0")),
		TALK('>', PUB("\1") HEAD("\1", "\0")), TALK('<', ACK("\1", "\x64", "\0")),
		TALK('>', PUB("\1") HEAD("\1", "\0") PUB("\1") HEAD("\1", "\0")), TALK('<', ACK("\1", "\x66", "\1")),
		TALK('<', DELIVER("\2", "\x9") HEAD("\2", "\0")),
	}, "Basic.Publish ex:rk - oneway req=0+43\n"
	   "Basic.Ack - - no_request rsp=0+21\n"
	   "Basic.Publish ex:rk - complete req=43+43 rsp=21+21\n"
	   "Basic.Publish ex:rk - complete req=86+43 rsp=42+21\n"
	   "Basic.Publish ex:rk - complete req=129+43 rsp=42+21\n"
	   "Basic.Deliver ex:rk - oneway req=63+51\n", false },
	{ "1.0: SASL, then a session and a link, on any port", 7000, {
		TALK('>', HEADER_SASL), TALK('<', HEADER_SASL MECHANISMS), TALK('>', INIT), TALK('<', OUTCOME("\0")),
		TALK('>', HEADER_10 OPEN10 BEGIN("\0") ATTACH_SEND("\0")), TALK('<', HEADER_10 OPEN10 BEGIN_TO("\5", "\0")
										ATTACH_BACK("\5") A("\0", "\x8", "")),
		TALK('>', DETACH("\0")), TALK('<', DETACH_BACK("\5")), TALK('>', END10("\0")), TALK('<', END10("\5")),
		TALK('<', CLOSE_WHY), TALK('>', CLOSE10),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8\n"
	   "sasl-mechanisms - - oneway req=8+21\n"
	   "sasl-init PLAIN 0 complete req=8+30 rsp=29+16\n"
	   "Protocol-Header - - complete req=38+8 rsp=45+8\n"
	   "open h - complete req=46+20 rsp=53+20\n"
	   "begin - - complete req=66+20 rsp=73+22\n"
	   "attach q - complete req=86+34 rsp=95+35\n"
	   "detach q - complete req=120+16 rsp=138+17\n"
	   "end - - complete req=136+12 rsp=155+12\n"
	   "close - - complete req=167+31 rsp=148+12 error=why\n", false },
	{ "1.0: a login refused", 5672, {
		TALK('>', HEADER_SASL), TALK('<', HEADER_SASL MECHANISMS), TALK('>', INIT), TALK('<', OUTCOME("\1")), TALK('f', ""),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8\n"
	   "sasl-mechanisms - - oneway req=8+21\n"
	   "sasl-init PLAIN 1 complete req=8+30 rsp=29+16 error=authentication failed\n", false },
	{ "1.0: transfers settled in ranges, out of order, before they are sent, and in pieces", 5672, {
		TALK('>', HEADER_10 BEGIN("\0") ATTACH_SEND("\0")), TALK('<', HEADER_10 BEGIN_TO("\5", "\0") ATTACH_BACK("\5")),
		TALK('>', TRANSFER("\0", "\0", "\x42", "\x42") TRANSFER("\0", "\1", "\x42", "\x42") TRANSFER("\0", "\2", "\x42", "\x42")),
		TALK('<', REJECT10("\5", "\1") ACCEPT("\5", "\0", "\2")), TALK('>', TRANSFER("\0", "\3", "\x41", "\x42")),
		TALK('>', TRANSFER("\0", "\4", "\x42", "\x41") TRANSFER_ON("\0", "\x41") TRANSFER_ON("\0", "\x42")),
		TALK('<', ACCEPT("\5", "\4", "\4")), TALK('>', TRANSFER("\0", "\5", "\x42", "\x42")),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8\n"
	   "begin - - complete req=8+20 rsp=8+22\n"
	   "attach q - complete req=28+34 rsp=30+35\n"
	   "transfer q - complete req=92+30 rsp=65+42 error=why\n"
	   "transfer q - complete req=62+30 rsp=107+24\n"
	   "transfer q - complete req=122+30 rsp=107+24\n"
	   "transfer q - oneway req=152+30\n"
	   "transfer q - complete req=182+82 rsp=131+24\n"
	   "transfer q - unanswered req=264+30\n", false },
	{ "1.0 from the middle", 5672, {
		TALK('>', TRANSFER("\0", "\7", "\x42", "\x42")), TALK('<', ACCEPT("\0", "\6", "\7")), TALK('<', ACCEPT("\0", "\x9", "\x9")),
	}, "transfer - - complete req=0+30 rsp=0+24\n"
	   "disposition - - no_request rsp=24+24\n", false },
	{ "1.0: a hole in a message", 5672, {
		TALK('>', HEADER_10 BEGIN("\0") ATTACH_SEND("\0")), TALK('<', HEADER_10 BEGIN_TO("\5", "\0") ATTACH_BACK("\5")),
		TALK('>', TRANSFER("\0", "\4", "\x42", "\x41")), TALK('X', TRANSFER_ON("\0", "\x41")),
		TALK('>', TRANSFER_ON("\0", "\x42") TRANSFER("\0", "\5", "\x42", "\x42")), TALK('<', ACCEPT("\5", "\4", "\5")),
	}, "Protocol-Header - - complete req=0+8 rsp=0+8\n"
	   "begin - - complete req=8+20 rsp=8+22\n"
	   "attach q - complete req=28+34 rsp=30+35\n"
	   "transfer q - gap req=62+30\n"
	   "transfer q - complete req=144+30 rsp=65+24\n", true },
	{ "a hole among the answers", 5672, {
		TALK('>', CH_OPEN("\1")), TALK('x', CH_OPEN_OK("\1")), TALK('>', CH_OPEN("\2")), TALK('<', CH_OPEN_OK("\2")),
		TALK('>', CH_OPEN("\3")), TALK('<', CH_OPEN_OK("\3")),
	}, "Channel.Open - - gap req=0+13\n"
	   "Channel.Open - - gap req=13+13\n"
	   "Channel.Open-Ok - - no_request rsp=16+16\n"
	   "Channel.Open - - complete req=26+13 rsp=32+16\n", true },
	{ "a hole among the publications", 5672, {
		TALK('>', CONFIRM("\1")), TALK('<', CONFIRM_OK("\1")), TALK('X', PUB("\1") HEAD("\1", "\0")),
		TALK('<', ACK("\1", "\1", "\0")), TALK('>', PUB("\1") HEAD("\1", "\0")), TALK('<', ACK("\1", "\2", "\0")),
	}, "Confirm.Select - - complete req=0+13 rsp=0+12\n"
	   "Basic.Ack - - no_request rsp=12+21\n"
	   "Basic.Publish ex:rk - complete req=56+43 rsp=33+21\n", true },
};

TEST(amqp, reads_dialogues)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		talk_run(&kit, d->port, d->step, STEPS_MAX);
		wr_init(&out, 0);
		if (strcmp(kit_lines(&kit, &out), d->calls) != 0) {
			printf("%s:\n%s\nnot\n%s\n", d->name, (const char *)out.at, d->calls);
			wrong++;
		}
		wr_release(&out);
		kit_release(&kit);
	}
	CHECK_U64(wrong, 0);
}

TEST(amqp, cuts_do_not_matter)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		if (!dialogues[i].uncut)
			talk_cut(dialogues[i].port, dialogues[i].step, STEPS_MAX, dialogues[i].calls);
}

TEST(amqp, fills_the_columns)
{
	static const struct talk_step steps[] = {
		TALK('>', HEADER), TALK('<', START), TALK('>', START_OK), TALK('>', OPEN), TALK('<', OPEN_OK),
		TALK('>', CONSUME("\1", "\0")), TALK('<', CONSUME_OK("\1") DELIVER("\1", "\1")
			H("\1", "\x61", "\0\x3c\0\0\0\0\0\0\0\0\0\3\x20\0" "\0\0\0\x4f" "\1nI\0\0\0\7" "\x0btraceparentS\0\0\0\x37"
			  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") B("\1", "\3", "abc")),
		TALK('>', ACK("\1", "\1", "\0") M("\1", "\x0d", "\0\x3c\0\x28\0\0\0\4job7\0") HEAD("\1", "\0")), { 0, NULL, 0 },
	};
	const struct call_row *row;
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 5672, steps, 9);
	CHECK_U64(kit.count, 6);
	row = &kit.call[1].row;
	CHECK_VIEW(row->method, "Connection.Start");
	CHECK_VIEW(row->user, "bob");
	CHECK_VIEW(row->user_agent, "pika/1.2");
	CHECK_VIEW(row->status_text, "Start-Ok");
	CHECK_U64(kit.call[1].req_dir, 1);
	row = &kit.call[4].row;
	CHECK_VIEW(row->method, "Basic.Deliver");
	CHECK_VIEW(row->queue, "q");
	CHECK_VIEW(row->topic, "ex:rk");
	CHECK_VIEW(row->db, "/");
	CHECK_VIEW(row->version, "0-9-1");
	CHECK_VIEW(row->trace_id, "0af7651916cd43dd8448eb211c80319c");
	CHECK_VIEW(row->status_text, "Ack");
	CHECK_U64(row->req_body_bytes, 3);
	CHECK_U64(row->status_class, CLASS_ok);
	CHECK_U64(kit.call[4].req_dir, 1);
	row = &kit.call[5].row;
	CHECK_VIEW(row->topic, "job7");
	CHECK_VIEW(row->queue, "job7");
	CHECK_VIEW(row->target_template, "job{id}");
	CHECK_U64(row->req_body_bytes, 0);
	kit_release(&kit);
}

/* What nobody answers does not fill the recorder: the oldest is given up. */
TEST(amqp, pending_messages_are_bounded)
{
	static const char deliver[] = DELIVER("\1", "\1") HEAD("\1", "\0");
	unsigned evicted = 0;
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 5672);
	kit_handshake(&kit);
	for (unsigned i = 0; i < 1100; i++)
		kit_sendv(&kit, 1, view_make(deliver, sizeof(deliver) - 1));
	CHECK_U64(kit.sink.open_calls, 1024);
	kit_end(&kit, CALL_END_closed);
	CHECK_U64(kit.count, 1100);
	for (unsigned i = 0; i < kit.count; i++)
		evicted += kit.call[i].row.end_reason == CALL_END_evicted;
	CHECK_U64(evicted, 76);
	kit_release(&kit);
}

TEST(amqp, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "AMQQ\0\0\x9\1"), TALK('>', "AMQP\7\0\x9\1"), TALK('>', "\1\0\1\0\0\0\4\0\x99\0\xa\xce"),
		TALK('>', "\1\0\1\0\0\0\5\0\x14\0\xa\0\xcd"),	/* no end */
		TALK('>', "\1\0\1\0\0\0\6\0\x14\0\xa\0\0\xce"),	/* more than its arguments */
		TALK('>', "\1\0\0\0\0\0\5\0\x14\0\xa\0\xce"),	/* no channel */
		TALK('>', "\3\0\1\0\0\0\1x\xce"), TALK('>', "\4\0\1\0\0\0\1x\xce"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_amqp, "case %zu", i);
		kit_release(&kit);
	}
}

static void check_detail(struct view request, struct view response, size_t body_max, const char *want)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)proto_by_id(L7_amqp)->detail(request, response, body_max, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(amqp, shows_calls_in_full)
{
	static const char pub[] = PUB("\1") B("\2", "\1", "?")
		H("\1", "\x26", "\0\x3c\0\0\0\0\0\0\0\0\0\5\xb0\0\4" "text" "\0\0\0\xe\1nI\0\0\0\7\1sS\0\0\0\0\2")
		B("\1", "\2", "he") B("\1", "\3", "llo");
	static const char start[] = START_OK;

	check_detail(view_make(pub, sizeof(pub) - 1), view_make(ACK("\1", "\1", "\0"), 21), 4,
		     "{\"request\":{\"channel\":1,\"method\":\"Basic.Publish\",\"arguments\":{\"ticket\":0,\"exchange\":\"ex\","
		     "\"routing_key\":\"rk\",\"mandatory\":false,\"immediate\":false},\"properties\":{\"content_type\":\"text\","
		     "\"headers\":{\"n\":7,\"s\":\"\"},\"delivery_mode\":2},\"body_bytes\":5,\"body\":\"hell\",\"truncated\":true},"
		     "\"response\":{\"channel\":1,\"method\":\"Basic.Ack\",\"arguments\":{\"delivery_tag\":1,\"multiple\":false}}}");
	/* a password is not shown */
	check_detail(view_make(NULL, 0), view_make(start, sizeof(start) - 1), 100,
		     "{\"response\":{\"channel\":0,\"method\":\"Connection.Start-Ok\",\"arguments\":{\"client_properties\":"
		     "{\"product\":\"pika\",\"version\":\"1.2\"},\"mechanism\":\"PLAIN\",\"response\":{\"user\":\"bob\","
		     "\"secret\":\"(masked)\",\"bytes\":7},\"locale\":\"en_US\"}}}");
}

TEST(amqp, shows_calls_of_10_in_full)
{
	static const char transfer[] = A("\0", "\x3e", "\0\x53\x14\xc0\xa\6\x43\x52\4\xa0\1t\x43\x42\x41"
		"\0\x53\x73\xc0\6\3\x40\x40\xa1\1q" "\0\x53\x74\xc1\x0d\4\xa1\1a\x71\xff\xff\xff\xff\xa1\1b\x41"
		"\0\x53\x75\xa0\5hello") TRANSFER_ON("\1", "\x42") TRANSFER_ON("\0", "\x42");
	static const char accept[] = ACCEPT("\5", "\4", "\4"), reject[] = REJECT10("\5", "\4"), init[] = INIT;

	check_detail(view_make(transfer, sizeof(transfer) - 1), view_make(accept, sizeof(accept) - 1), 100,
		     "{\"request\":{\"channel\":0,\"performative\":\"transfer\",\"fields\":{\"handle\":0,\"delivery_id\":4,"
		     "\"delivery_tag\":\"t\",\"message_format\":0,\"settled\":false,\"more\":true},\"message\":{\"properties\":"
		     "{\"type\":\"properties\",\"to\":\"q\"},\"application_properties\":{\"a\":-1,\"b\":true},\"body\":\"hello!\"}},"
		     "\"response\":{\"channel\":5,\"performative\":\"disposition\",\"fields\":{\"role\":true,\"first\":4,\"last\":4,"
		     "\"settled\":true,\"state\":{\"type\":\"accepted\"}}}}");
	check_detail(view_make(init, sizeof(init) - 1), view_make(reject, sizeof(reject) - 1), 100,
		     "{\"request\":{\"channel\":0,\"performative\":\"sasl-init\",\"fields\":{\"mechanism\":\"PLAIN\","
		     "\"initial_response\":{\"user\":\"bob\",\"secret\":\"(masked)\",\"bytes\":7}}},\"response\":{\"channel\":5,"
		     "\"performative\":\"disposition\",\"fields\":{\"role\":true,\"first\":4,\"settled\":true,\"state\":{\"type\":"
		     "\"rejected\",\"error\":{\"type\":\"error\",\"condition\":\"cond\",\"description\":\"why\"}}}}}");
}

/* ---- captures ---- */

static const struct {
	unsigned class, method;
	const char *name;
	bool answer;
} names[] = {
	{ 10, 10, "Connection.Start", false }, { 10, 11, "Start-Ok", true }, { 10, 30, "Connection.Tune", false },
	{ 10, 31, "Tune-Ok", true }, { 10, 40, "Connection.Open", false }, { 10, 41, "Open-Ok", true },
	{ 10, 50, "Connection.Close", false }, { 10, 51, "Close-Ok", true }, { 20, 10, "Channel.Open", false },
	{ 20, 11, "Open-Ok", true }, { 20, 40, "Channel.Close", false }, { 20, 41, "Close-Ok", true },
	{ 40, 10, "Exchange.Declare", false }, { 40, 11, "Declare-Ok", true }, { 50, 10, "Queue.Declare", false },
	{ 50, 11, "Declare-Ok", true }, { 50, 20, "Queue.Bind", false }, { 50, 21, "Bind-Ok", true },
	{ 60, 20, "Basic.Consume", false }, { 60, 21, "Consume-Ok", true }, { 60, 40, "Basic.Publish", false },
	{ 60, 50, "Basic.Return", false }, { 60, 60, "Basic.Deliver", false }, { 60, 80, "Ack", true },
};

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char type[16], class[16], method[16], exchange[64] = "", key[64] = "";

	if (truth_field(line, "proto", type, sizeof(type)))
		truth_key(keys, "header");
	if (!truth_field(line, "type", type, sizeof(type)) || type[0] != '1')
		return;
	CHECK(truth_field(line, "class", class, sizeof(class)) && truth_field(line, "method", method, sizeof(method)));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].class != strtoul(class, NULL, 10) || names[i].method != strtoul(method, NULL, 10))
			continue;
		if (names[i].answer) {
			truth_key(keys, "answer %s", names[i].name);
			return;
		}
		(void)truth_field(line, "exchange", exchange, sizeof(exchange));
		(void)truth_field(line, "rkey", key, sizeof(key));
		if (names[i].class == 60 && names[i].method != 20)
			truth_key(keys, "%s %s:%s", names[i].name, exchange, key);
		else if (truth_field(line, "queue", key, sizeof(key)))
			truth_key(keys, "%s %s", names[i].name, key);
		else
			truth_key(keys, "%s %s", names[i].name, exchange);
		return;
	}
	truth_key(keys, "unknown %s.%s", class, method);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	bool target = ROW_HAS(CALL, row, target) && !view_is(row->method, "Connection.Open");

	if (view_is(row->method, "Protocol-Header"))
		truth_key(keys, "header");
	else if (call->has_req)
		truth_key(keys, "%.*s %.*s", (int)row->method.len, (const char *)row->method.at,
			  target ? (int)row->target.len : 0, target ? (const char *)row->target.at : "");
	if (call->has_rsp && ROW_HAS(CALL, row, status_text))
		truth_key(keys, "answer %.*s", (int)row->status_text.len, (const char *)row->status_text.at);
}

TEST(amqp_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "amqp-error.pcap", "amqp.pcap", "amqp1.pcap", NULL };
	const struct truth_test test = { .folder = "amqp", .proto = "amqp", .l7 = L7_amqp, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 119);
	CHECK_GE(score.found, 119);
	CHECK_LE(score.extra, 0);
}
