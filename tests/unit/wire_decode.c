/* Frames byte by byte: each link layer once, and each field that can lie. */
#include "schema/schema.h"
#include "tests/check.h"
#include "wire/decode.h"

/* A frame under construction. */
struct frame {
	uint8_t at[512];
	size_t len;
};

static void add(struct frame *frame, const char *hex)
{
	int hi = -1;

	for (; *hex; hex++) {
		int digit = *hex >= '0' && *hex <= '9' ? *hex - '0' : *hex >= 'a' && *hex <= 'f' ? *hex - 'a' + 10 : -1;

		if (digit < 0)
			continue;
		if (hi < 0) {
			hi = digit;
		} else {
			frame->at[frame->len++] = (uint8_t)(hi << 4 | digit);
			hi = -1;
		}
	}
	CHECK(hi < 0 && frame->len <= sizeof(frame->at));
}

#define ETH	"020000000001 020000000002 "
/* 10.0.0.1:4660 -> 10.0.0.2:80, 40 bytes of headers, 4 of payload */
#define IP4_TCP	"4500 002c 1234 4000 40 06 0000 0a000001 0a000002 "
#define TCP	"1234 0050 00000001 00000002 50 18 2000 0000 0000 "
#define DATA	"61626364"
#define IP4_UDP	"4500 0020 1234 4000 40 11 0000 0a000001 0a000002 "
#define UDP	"1234 0035 000c 0000 "
#define IP6_TCP "60000000 0018 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002 "

/* Decode hex as a frame of that link type, exactly as long as captured (+ more on the wire). */
static struct packet decode_more(uint16_t link, const char *hex, uint32_t more)
{
	static struct frame frames[8];	/* the last few packets stay readable */
	static unsigned turn;
	struct frame *frame = &frames[turn++ % 8];
	struct packet packet;

	/* whatever was there before must not shine through */
	memset(&packet, 0xa5, sizeof(packet));
	memset(frame, 0, sizeof(*frame));
	add(frame, hex);
	packet.link = link;
	packet.segments = 1;
	packet.frame = view_make(frame->at, frame->len);
	packet.orig_len = (uint32_t)frame->len + more;
	CHECK_EQ(decode_frame(&packet), packet.status);
	return packet;
}

static struct packet decode(uint16_t link, const char *hex)
{
	return decode_more(link, hex, 0);
}

static void check_flow(const struct packet *packet, uint32_t header_bytes)
{
	char text[IP_TEXT_LEN];

	CHECK_EQ(packet->status, DECODE_OK, "link %u, headers %u: %s", packet->link, header_bytes,
		 decode_status_name(packet->status));
	CHECK(packet->has_ports && packet->has_tcp && !packet->fragment);
	CHECK_U64(packet->ip_version, 4);
	CHECK_U64(packet->proto, 6);
	CHECK_U64(packet->ttl, 64);
	CHECK_U64(packet->ip_id, 0x1234);
	ip_format(&packet->src, text);
	CHECK_STR(text, "10.0.0.1");
	ip_format(&packet->dst, text);
	CHECK_STR(text, "10.0.0.2");
	CHECK_U64(packet->sport, 4660);
	CHECK_U64(packet->dport, 80);
	CHECK_U64(packet->header_bytes, header_bytes);
	CHECK_U64(packet->l3_off, header_bytes - 40);
	CHECK_U64(packet->l4_off, header_bytes - 20);
	CHECK_U64(packet->payload_len, 4);
	CHECK_VIEW(packet->payload, "abcd");
	CHECK_U64(packet->seq, 1);
	CHECK_U64(packet->ack, 2);
	CHECK_U64(packet->flags, TCP_ACK | TCP_PSH);
	CHECK_U64(packet->window, 0x2000);
	CHECK_U64(packet->mss, 0);
	CHECK(!packet->has_ts && !packet->sack_permitted && packet->sack_blocks == 0 && packet->wscale == 0);
}

TEST(decode, knows_link_layers)
{
	static const struct {
		uint16_t link;
		const char *header;
		uint32_t bytes;
	} cases[] = {
		{ LINK_ETHERNET, ETH "0800", 14 },
		{ LINK_ETHERNET, ETH "8100 0007 0800", 18 },
		{ LINK_ETHERNET, ETH "88a8 2007 8100 0008 0800", 22 },
		{ LINK_ETHERNET, ETH "8100 0007 8100 0008 8100 0009 0800", 26 },
		{ LINK_ETHERNET, ETH "0034 aaaa03 000000 0800", 22 },
		{ LINK_ETHERNET, ETH "002f 060603", 17 },
		{ LINK_ETHERNET, ETH "8847 00001000 0000213f", 22 },
		{ LINK_ETHERNET, ETH "8847 0000013f 00000000 " ETH "0800", 36 },
		{ LINK_ETHERNET, ETH "8864 11000001 002e 0021", 22 },
		{ LINK_ETHERNET, ETH "8926 00000000 0800", 20 },
		{ LINK_ETHERNET, ETH "88e7 00000001 " ETH "0800", 32 },
		{ LINK_NULL, "02000000", 4 },
		{ LINK_NULL, "00000002", 4 },
		{ LINK_LOOP, "00000002", 4 },
		{ LINK_RAW, "", 0 },
		{ LINK_RAW_BSD, "", 0 },
		{ LINK_RAW_BSD2, "", 0 },
		{ LINK_IPV4, "", 0 },
		{ LINK_LINUX_SLL, "0000 0001 0006 0200000000010000 0800", 16 },
		{ LINK_LINUX_SLL, "0000 0001 0006 0200000000010000 8100 0007 0800", 20 },
		{ LINK_LINUX_SLL2, "0800 0000 00000003 0001 00 06 0200000000010000", 20 },
		{ LINK_PPP, "ff03 0021", 4 },
		{ LINK_PPP, "0021", 2 },
		{ LINK_PPP, "21", 1 },
		{ LINK_PPP, "0f00 0800", 4 },
		{ LINK_PPP_SERIAL, "ff03 0021", 4 },
		{ LINK_PPP_ETHER, "11000001 002e 0021", 8 },
		{ LINK_HDLC, "0f00 0800", 4 },
		{ LINK_FDDI, "50" ETH "aaaa03 000000 0800", 21 },
		{ LINK_80211, "0801 0000" ETH "020000000003 1000 aaaa03 000000 0800", 32 },
		{ LINK_80211, "8803 0000" ETH "020000000003 1000 020000000004 0000 aaaa03 000000 0800", 40 },
		{ LINK_RADIOTAP, "0000 0900 00000000 00 0801 0000" ETH "020000000003 1000 aaaa03 000000 0800", 41 },
		{ LINK_NFLOG, "0200 0001 0600 0a00 00000000 3000 0900", 16 },
	};
	char hex[512];
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(hex, sizeof(hex), "%s%s", cases[i].header, IP4_TCP TCP DATA);
		struct packet packet = decode(cases[i].link, hex);

		check_flow(&packet, cases[i].bytes + 40);
		CHECK_U64(packet.outer_l3_off, 0);
	}
	CHECK_U64(decode(LINK_ETHERNET, ETH "88a8 2007 8100 0008 0800" IP4_TCP TCP DATA).carrier.vlan, 7);
}

TEST(decode, gives_the_inner_flow_of_tunnels)
{
	static const struct {
		const char *header;
		uint32_t bytes;
	} cases[] = {
		{ "4500 0040 0001 0000 40 04 0000 c0000201 c0000202", 20 },	/* IP in IP */
		{ "60000000 002c 04 40 20010db8000000000000000000000001 20010db8000000000000000000000002", 40 },
		{ "4500 0044 0001 0000 40 2f 0000 c0000201 c0000202 0000 0800", 24 },
		{ "4500 0060 0001 0000 40 2f 0000 c0000201 c0000202 b000 6558 00000000 00000007 00000001" ETH "0800", 50 },
		{ "4500 0056 0001 0000 40 2f 0000 c0000201 c0000202 3001 880b 0030 0001 00000001 ff03 0021", 36 },
		{ "4500 0066 0001 0000 40 2f 0000 c0000201 c0000202 1000 88be 00000001 1000000100000000" ETH "0800", 50 },
		{ "4500 0062 0001 0000 40 11 0000 c0000201 c0000202 c000 12b5 004e 0000 08000000 00000700" ETH "0800", 50 },
		{ "4500 0056 0001 0000 40 11 0000 c0000201 c0000202 c000 12b6 0040 0000 0c000001 00000700", 36 },
		{ "4500 0066 0001 0000 40 11 0000 c0000201 c0000202 c000 17c1 0052 0000 0100 6558 00000700 01020304" ETH
		  "0800", 54 },
		{ "4500 0050 0001 0000 40 11 0000 c0000201 c0000202 0868 0868 003c 0000 30ff 002c 00000001", 36 },
		{ "4500 0058 0001 0000 40 11 0000 c0000201 c0000202 0868 0868 0044 0000 34ff 0034 00000001 00000085"
		  "01000000", 44 },
		{ "4500 0052 0001 0000 40 11 0000 c0000201 c0000202 06a5 06a5 003e 0000 0002 00010001 ff03 0021", 38 },
		{ "4500 0044 0001 0000 40 89 0000 c0000201 c0000202 0000113f", 24 },
		{ "4500 0060 0001 0000 40 61 0000 c0000201 c0000202 3000" ETH "0800", 36 },
	};
	char hex[512];
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(hex, sizeof(hex), "%s%s%s", ETH "0800", cases[i].header, IP4_TCP TCP DATA);
		if (cases[i].header[0] == '6')
			memcpy(strstr(hex, "0800"), "86dd", 4);
		struct packet packet = decode(LINK_ETHERNET, hex);

		check_flow(&packet, 14 + cases[i].bytes + 40);
		CHECK_U64(packet.outer_l3_off, 14);
	}
}

#define OUTER(total, proto) "4500 " total " 0001 0000 40 " proto " 0000 c0000201 c0000202 "

TEST(decode, tells_the_carrier)
{
	static const struct {
		const char *header;
		uint8_t tunnel;
		bool has_id;
		uint32_t id;
		uint16_t dport, vlan, inner_vlan;
	} cases[] = {
		{ "0800" OUTER("0040", "04"), TUNNEL_ipip, false, 0, 0, 0, 0 },
		{ "0800" OUTER("0044", "2f") "0000 0800", TUNNEL_gre, false, 0, 0, 0, 0 },
		{ "0800" OUTER("0060", "2f") "b000 6558 00000000 01020307 00000001" ETH "0800", TUNNEL_gre, true, 0x01020307, 0,
		  0, 0 },
		/* PPTP: the upper half of the key is a length, which changes with every packet */
		{ "0800" OUTER("0056", "2f") "3001 880b 0030 0005 00000001 ff03 0021", TUNNEL_gre, true, 5, 0, 0, 0 },
		{ "0800" OUTER("0066", "2f") "1000 88be 00000001 1064f8e100000000" ETH "0800", TUNNEL_erspan, true, 0xe1, 0, 0,
		  0 },
		{ "0800" OUTER("0052", "2f") "0000 88be" ETH "0800", TUNNEL_erspan, false, 0, 0, 0, 0 },
		{ "8100 0064 0800" OUTER("0066", "11") "c000 12b5 0052 0000 08000000 00000700" ETH "8100 000a 0800", TUNNEL_vxlan,
		  true, 7, 4789, 100, 10 },
		{ "0800" OUTER("0066", "11") "c000 17c1 0052 0000 0100 6558 ffffff00 01020304" ETH "0800", TUNNEL_geneve, true,
		  0xffffff, 6081, 0, 0 },
		{ "0800" OUTER("0050", "11") "0868 0868 003c 0000 30ff 002c fffffffe", TUNNEL_gtp, true, 0xfffffffe, 2152, 0, 0 },
		{ "0800" OUTER("0052", "11") "06a5 06a5 003e 0000 0002 00010009 ff03 0021", TUNNEL_l2tp, true, 0x10009, 1701, 0,
		  0 },
		{ "0800" OUTER("0044", "89") "0001013f", TUNNEL_mpls, true, 0x10, 0, 0, 0 },
		{ "0800" OUTER("004c", "11") "c000 19eb 0038 0000 0001013f", TUNNEL_mpls, true, 0x10, 6635, 0, 0 },
		{ "0800" OUTER("0060", "61") "3000" ETH "8100 0009 0800", TUNNEL_etherip, false, 0, 0, 9, 0 },
		{ "88a8 2007 8100 0008 8100 0009 0800", 0, false, 0, 0, 7, 9 },
		{ "8100 2000 0800", 0, false, 0, 0, 0, 0 },	/* a priority alone */
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char hex[512];
		struct packet packet;

		(void)snprintf(hex, sizeof(hex), "%s%s%s", ETH, cases[i].header, IP4_TCP TCP DATA);
		packet = decode(LINK_ETHERNET, hex);
		CHECK_EQ(packet.status, DECODE_OK, "case %u", i);
		CHECK_EQ(packet.dport, 80, "case %u", i);
		CHECK_EQ(packet.carrier.tunnel, cases[i].tunnel, "case %u", i);
		CHECK_EQ(packet.carrier.has_id, cases[i].has_id, "case %u", i);
		if (cases[i].has_id)
			CHECK_EQ(packet.carrier.id, cases[i].id, "case %u", i);
		CHECK_EQ(packet.carrier.vlan, cases[i].vlan, "case %u", i);
		CHECK_EQ(packet.carrier.inner_vlan, cases[i].inner_vlan, "case %u", i);
		if (cases[i].tunnel) {
			char text[IP_TEXT_LEN];

			ip_format(&packet.carrier.src, text);
			CHECK_STR(text, "192.0.2.1");
			ip_format(&packet.carrier.dst, text);
			CHECK_STR(text, "192.0.2.2");
			CHECK_EQ(packet.carrier.dport, cases[i].dport, "case %u", i);
		}
	}
	CHECK_U64(decode(LINK_ETHERNET, ETH "8847 00001000 0000213f" IP4_TCP TCP DATA).carrier.mpls, 2);
}

static uint64_t segment_of(const char *header)
{
	char hex[512];

	(void)snprintf(hex, sizeof(hex), "%s%s%s", ETH, header, IP4_TCP TCP DATA);
	return decode(LINK_ETHERNET, hex).carrier.segment;
}

/* Which packets may be of one flow, and which may not. */
TEST(decode, tells_networks_apart)
{
	static const struct {
		const char *one, *other;
		bool same;
	} cases[] = {
		{ "0800", "8100 2000 0800", true },
		{ "0800", "8100 0007 0800", false },
		{ "8100 0007 0800", "8100 6007 0800", true },
		{ "8100 0007 0800", "8100 0008 0800", false },
		{ "8100 0007 8100 0008 0800", "8100 0008 8100 0007 0800", false },
		{ "8100 0007 8100 0008 0800", "8100 0007 0800", false },
		/* VXLAN: the network by its id, whoever carries it; a tag inside divides it again */
		{ "0800" OUTER("0062", "11") "c000 12b5 004e 0000 08000000 00000700" ETH "0800",
		  "8100 0064 0800" OUTER("0062", "11") "c111 12b5 004e 0000 08000000 00000700" ETH "0800", true },
		{ "0800" OUTER("0062", "11") "c000 12b5 004e 0000 08000000 00000700" ETH "0800",
		  "0800" OUTER("0062", "11") "c000 12b5 004e 0000 08000000 00000800" ETH "0800", false },
		{ "0800" OUTER("0066", "11") "c000 12b5 0052 0000 08000000 00000700" ETH "8100 000a 0800",
		  "0800" OUTER("0062", "11") "c000 12b5 004e 0000 08000000 00000700" ETH "0800", false },
		/* the same number in another kind of tunnel */
		{ "0800" OUTER("0062", "11") "c000 12b5 004e 0000 08000000 00000700" ETH "0800",
		  "0800" OUTER("0062", "11") "c000 17c1 004e 0000 0000 6558 00000700" ETH "0800", false },
		/* a key; none: the network the tunnel is in */
		{ "0800" OUTER("0048", "2f") "2000 0800 00000001", "0800" OUTER("0048", "2f") "2000 0800 00000002", false },
		{ "0800" OUTER("0044", "2f") "0000 0800", "0800", true },
		{ "8100 0007 0800" OUTER("0040", "04"), "8100 0007 0800", true },
		/* a handover: another base station, another TEID, another VLAN */
		{ "8100 0007 0800" OUTER("0050", "11") "0868 0868 003c 0000 30ff 002c 00000001",
		  "8100 0008 0800" OUTER("0050", "11") "0868 0868 003c 0000 30ff 002c 00000002", true },
		/* two mirror sessions */
		{ "8100 0007 0800" OUTER("0066", "2f") "1000 88be 00000001 1064f8e100000000" ETH "0800",
		  "0800" OUTER("0066", "2f") "1000 88be 00000001 1064f8e200000000" ETH "0800", true },
		/* labels change with the path */
		{ "8847 00001000 0000213f", "8847 0000313f", true },
		/* backbone tag, then the service */
		{ "88a8 0007 88e7 00000001 " ETH "0800", "88a8 0008 88e7 00000001 " ETH "0800", true },
		{ "88e7 00000001 " ETH "0800", "88e7 00000002 " ETH "0800", false },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_EQ(segment_of(cases[i].one) == segment_of(cases[i].other), cases[i].same, "case %u", i);
}

TEST(decode, keeps_the_carrier_of_an_empty_tunnel)
{
	/* VXLAN with ARP inside, and a client that just happens to own port 4789 */
	static const char *const cases[] = {
		"4500 0040 0001 0000 40 11 0000 c0000201 c0000202 c000 12b5 002c 0000 08000000 00000700" ETH
		"0806 0001080006040001 01020304",
		"4500 0040 0001 0000 40 11 0000 c0000201 c0000202 0035 12b5 002c 0000 08000000 00000700" ETH
		"0800 f5ffffffffffffffffffffff",
	};
	unsigned i;

	for (i = 0; i < 2; i++) {
		char hex[512];

		(void)snprintf(hex, sizeof(hex), "%s%s", ETH "0800", cases[i]);
		struct packet packet = decode(LINK_ETHERNET, hex);
		char text[IP_TEXT_LEN];

		CHECK_EQ(packet.status, DECODE_OK);
		CHECK(packet.has_ports && !packet.has_tcp);
		CHECK_U64(packet.proto, 17);
		CHECK_U64(packet.dport, 4789);
		CHECK_U64(packet.payload_len, 34);
		CHECK_U64(packet.header_bytes, 14 + 28);
		CHECK_U64(packet.carrier.tunnel, 0);
		CHECK_U64(packet.carrier.segment, 0);
		ip_format(&packet.src, text);
		CHECK_STR(text, "192.0.2.1");
	}
	struct packet gre = decode(LINK_RAW, "4500 0018 0001 0000 40 2f 0000 c0000201 c0000202 0000 0000");

	CHECK_EQ(gre.status, DECODE_l4_unknown);
	CHECK_U64(gre.proto, 47);
	CHECK(!gre.has_ports);
}

TEST(decode, reads_ipv6_with_extension_headers)
{
	struct packet packet = decode(LINK_ETHERNET, ETH "86dd" IP6_TCP TCP DATA);
	char text[IP_TEXT_LEN];

	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_U64(packet.ip_version, 6);
	ip_format(&packet.dst, text);
	CHECK_STR(text, "2001:db8::2");
	CHECK_U64(packet.payload_len, 4);
	CHECK_U64(packet.header_bytes, 14 + 40 + 20);
	/* hop by hop, routing, destination options; then an authentication header */
	packet = decode(LINK_RAW, "60000000 0050 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
			"2b00 010400000000 3c00 000000000000 3301 0104000000000104 00000000 0000"
			"0604 0000 00000001 00000001 000000000000000000000000" TCP DATA);
	CHECK_EQ(packet.status, DECODE_OK, "%s", decode_status_name(packet.status));
	CHECK_U64(packet.sport, 0x1234);
	CHECK_U64(packet.header_bytes, 40 + 8 + 8 + 16 + 24 + 20);
	CHECK_VIEW(packet.payload, "abcd");
	/* a first fragment has ports, a later one has not, an atomic one is whole */
	packet = decode(LINK_RAW, "60000000 0020 2c 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
			"0600 0001 11223344" TCP DATA);
	CHECK_EQ(packet.status, DECODE_OK);
	CHECK(packet.fragment && packet.has_tcp && packet.ip_id == 0x11223344);
	packet = decode(LINK_RAW, "60000000 0020 2c 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
			"0600 0008 11223344" TCP DATA);
	CHECK_EQ(packet.status, DECODE_fragment);
	CHECK(packet.fragment && !packet.has_ports && packet.proto == 6);
	packet = decode(LINK_RAW, "60000000 0020 2c 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
			"0600 0000 11223344" TCP DATA);
	CHECK(packet.status == DECODE_OK && !packet.fragment);
}

TEST(decode, bounds_the_walk)
{
	static struct frame frame;
	struct packet packet = { .link = LINK_RAW, .segments = 1 };
	unsigned i;

	add(&frame, "60000000 0190 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002");
	for (i = 0; i < 50; i++)
		add(&frame, "0000010400000000");
	packet.frame = view_make(frame.at, frame.len);
	CHECK_EQ(decode_frame(&packet), DECODE_depth);
	CHECK_U64(packet.ip_version, 6);
	memset(&frame, 0, sizeof(frame));
	add(&frame, ETH);
	for (i = 0; i < 100; i++)
		add(&frame, "81000001");
	packet.link = LINK_ETHERNET;
	packet.frame = view_make(frame.at, frame.len);
	CHECK_EQ(decode_frame(&packet), DECODE_depth);
	CHECK_U64(packet.ip_version, 0);
}

TEST(decode, leaves_padding_out_of_the_payload)
{
	struct packet packet = decode(LINK_ETHERNET, ETH "0800" IP4_TCP TCP DATA "0000 0000");

	check_flow(&packet, 54);
	packet = decode(LINK_ETHERNET, ETH "0800" IP4_UDP UDP DATA "00000000000000000000");
	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_VIEW(packet.payload, "abcd");
	CHECK_U64(packet.payload_len, 4);
}

TEST(decode, tells_captured_from_wire_length)
{
	/* the snaplen cut 2 of the 4 payload bytes, and 4 of padding behind them */
	struct packet packet = decode_more(LINK_ETHERNET, ETH "0800" IP4_TCP TCP "6162", 6);

	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_VIEW(packet.payload, "ab");
	CHECK_U64(packet.payload_len, 4);
	CHECK_U64(packet.header_bytes, 54);
	/* cut within the TCP options: the header counts in full */
	packet = decode_more(LINK_RAW, "4500 0040 1234 4000 40 06 0000 0a000001 0a000002"
			     "1234 0050 00000001 00000002 80 10 2000 0000 0000 0204", 24);
	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_U64(packet.header_bytes, 52);
	CHECK_U64(packet.payload.len, 0);
	CHECK_U64(packet.payload_len, 12);
	/* only the ports are left */
	packet = decode_more(LINK_RAW, IP4_TCP "1234 0050", 20);
	CHECK_EQ(packet.status, DECODE_l4_cut);
	CHECK(packet.has_ports && !packet.has_tcp && packet.dport == 80);
	packet = decode_more(LINK_RAW, "4500 002c 1234", 60);
	CHECK_EQ(packet.status, DECODE_ip_cut);
	packet = decode_more(LINK_ETHERNET, "0200", 60);
	CHECK_EQ(packet.status, DECODE_link_cut);
	packet = decode(LINK_ETHERNET, "");
	CHECK_EQ(packet.status, DECODE_link_cut);
	/* a super-packet: IP length 0, the frame's own length counts */
	packet = decode_more(LINK_ETHERNET, ETH "0800 4500 0000 1234 4000 40 06 0000 0a000001 0a000002" TCP DATA, 65532);
	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_U64(packet.payload_len, 65536);
	CHECK_VIEW(packet.payload, "abcd");
}

TEST(decode, refuses_headers_that_lie)
{
	static const struct {
		const char *hex;
		enum decode_status status;
	} cases[] = {
		{ "5500 002c 1234 4000 40 06 0000 0a000001 0a000002" TCP DATA, DECODE_bad_ip_header },
		{ "4400 002c 1234 4000 40 06 0000 0a000001 0a000002" TCP DATA, DECODE_bad_ip_header },
		{ "4500 0013 1234 4000 40 06 0000 0a000001 0a000002" TCP DATA, DECODE_bad_ip_header },
		{ "4f00 002c 1234 4000 40 06 0000 0a000001 0a000002" TCP DATA, DECODE_bad_ip_header },
		{ "0000", DECODE_bad_ip_header },
		{ IP4_TCP "1234 0050 00000001 00000002 40 18 2000 0000 0000" DATA, DECODE_bad_l4_header },
		{ IP4_TCP "1234 0050 00000001 00000002 f0 18 2000 0000 0000" DATA, DECODE_bad_l4_header },
		{ "4500 0020 1234 4000 40 06 0000 0a000001 0a000002" TCP DATA, DECODE_bad_l4_header },
		{ IP4_UDP "1234 0035 0007 0000" DATA, DECODE_bad_l4_header },
		{ "4500 0018 1234 4000 40 11 0000 0a000001 0a000002 1234 0035", DECODE_bad_l4_header },
		{ "4500 0020 1234 4000 40 fd 0000 0a000001 0a000002" UDP DATA, DECODE_l4_unknown },
		{ "4500 0020 1234 2001 40 11 0000 0a000001 0a000002" UDP DATA, DECODE_fragment },
		{ "60000000 0004 3b 40 20010db8000000000000000000000001 20010db8000000000000000000000002" DATA,
		  DECODE_l4_unknown },
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet packet = decode(LINK_RAW, cases[i].hex);

		CHECK_EQ(packet.status, cases[i].status, "case %u: %s", i, decode_status_name(packet.status));
		CHECK(!packet.has_tcp);
	}
	CHECK_EQ(decode(147, "00").status, DECODE_link_unknown);
	CHECK_EQ(decode(60000, "00").status, DECODE_link_unknown);
	CHECK_EQ(decode(LINK_ETHERNET, ETH "0806 0001").status, DECODE_not_ip);
	CHECK_EQ(decode(LINK_ETHERNET, ETH "0026 424203").status, DECODE_not_ip);
	/* an UDP length beyond the IP packet: what is there counts */
	struct packet packet = decode(LINK_RAW, IP4_UDP "1234 0035 ffff 0000" DATA);

	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_U64(packet.payload_len, 4);
}

TEST(decode, knows_fragments)
{
	struct packet packet = decode(LINK_RAW, "4500 0020 1234 2000 40 11 0000 0a000001 0a000002" UDP DATA);

	CHECK_EQ(packet.status, DECODE_OK);
	CHECK(packet.fragment && packet.has_ports && packet.dport == 53);
	packet = decode(LINK_RAW, "4500 0020 1234 0001 40 11 0000 0a000001 0a000002" UDP DATA);
	CHECK_EQ(packet.status, DECODE_fragment);
	CHECK(packet.fragment && !packet.has_ports);
	CHECK_U64(packet.payload_len, 12);
}

TEST(decode, reads_tcp_options)
{
	/* MSS 1460, SACK permitted, timestamps, nop, window scale 7 */
	struct packet packet = decode(LINK_RAW, "4500 003c 1234 4000 40 06 0000 0a000001 0a000002"
				      "1234 0050 00000001 00000000 a0 02 2000 0000 0000"
				      "020405b4 0402 080a 0000000a 0000000b 01 030307");

	CHECK_EQ(packet.status, DECODE_OK);
	CHECK_U64(packet.flags, TCP_SYN);
	CHECK_U64(packet.mss, 1460);
	CHECK_U64(packet.wscale, 8);
	CHECK(packet.sack_permitted && packet.has_ts);
	CHECK_U64(packet.ts_val, 10);
	CHECK_U64(packet.ts_ecr, 11);
	/* the usual: nop nop timestamp; then nop nop SACK of two blocks */
	packet = decode(LINK_RAW, "4500 0048 1234 4000 40 06 0000 0a000001 0a000002"
			"1234 0050 00000001 00000000 d0 10 2000 0000 0000"
			"0101080a 00000001 00000002 0101 0512 00000010 00000020 00000030 00000040");
	CHECK_EQ(packet.status, DECODE_OK);
	CHECK(packet.has_ts && packet.ts_val == 1 && packet.ts_ecr == 2);
	CHECK_U64(packet.sack_blocks, 2);
	CHECK_U64(packet.sack[1][0], 0x30);
	CHECK_U64(packet.sack[1][1], 0x40);
	/* end of options: what is behind is none */
	packet = decode(LINK_RAW, "4500 0030 1234 4000 40 06 0000 0a000001 0a000002"
			"1234 0050 00000001 00000000 70 02 2000 0000 0000 00 020405b4 000000");
	CHECK(packet.status == DECODE_OK && packet.mss == 0);
}

TEST(decode, tolerates_option_lengths_that_lie)
{
	static const char *const options[] = { "020405b4 08ff0000", "020405b4 0800 0000", "020405b4 0801 0000",
					       "020405b4 010101 08", "020405b4 05220000" };
	unsigned i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		char hex[256];

		(void)snprintf(hex, sizeof(hex), "%s%s%s", "4500 0034 1234 4000 40 06 0000 0a000001 0a000002"
			       "1234 0050 00000001 00000000 70 02 2000 0000 0000", options[i], DATA);
		struct packet packet = decode(LINK_RAW, hex);

		CHECK_EQ(packet.status, DECODE_OK);
		CHECK(packet.has_tcp && !packet.has_ts && packet.sack_blocks == 0);
		CHECK_U64(packet.mss, 1460);
		CHECK_VIEW(packet.payload, "abcd");
	}
}

TEST(decode, keys_icmp_by_identifier_or_kind)
{
	struct packet echo = decode(LINK_RAW, "4500 0020 1234 4000 40 01 0000 0a000001 0a000002 0800 0000 0777 0001" DATA);
	struct packet reply = decode(LINK_RAW, "4500 0020 1234 4000 40 01 0000 0a000002 0a000001 0000 0000 0777 0001" DATA);
	struct packet gone = decode(LINK_RAW, "4500 0020 1234 4000 40 01 0000 0a000002 0a000001 0301 0000 0000 0000" DATA);
	struct packet echo6 = decode(LINK_RAW, "60000000 0008 3a 40 20010db8000000000000000000000001"
				     "20010db8000000000000000000000002 8000 0000 0777 0001");

	CHECK(echo.status == DECODE_OK && echo.has_ports && echo.sport == 0x777 && echo.dport == 0x777);
	CHECK(reply.sport == 0x777 && reply.dport == 0x777);
	CHECK(echo6.status == DECODE_OK && echo6.sport == 0x777 && echo6.proto == 58);
	CHECK(gone.status == DECODE_OK && gone.sport == 0x301 && gone.dport == 0x301);
	/* the payload is the message: type, code and sequence number are in it */
	CHECK_U64(echo.payload_len, 12);
	CHECK_U64(echo.payload.at[0], 8);
	CHECK_EQ(decode(LINK_RAW, "4500 0016 1234 4000 40 01 0000 0a000001 0a000002 0800").status,
		 DECODE_bad_l4_header);
}

TEST(decode, reads_sctp_and_udp_lite)
{
	struct packet sctp = decode(LINK_RAW, "4500 0024 1234 4000 40 84 0000 0a000001 0a000002 1234 0b59 00000001 00000000"
				    "0b00 0004");	/* COOKIE ACK */
	struct packet bad = decode(LINK_RAW, "4500 0024 1234 4000 40 84 0000 0a000001 0a000002 1234 0b59 00000001 00000000" DATA);
	struct packet cut = decode_more(LINK_RAW, "4500 0040 1234 4000 40 84 0000 0a000001 0a000002 1234 0b59 00000001 00000000"
					"0003 0020", 28);
	struct packet lite = decode(LINK_RAW, "4500 0020 1234 4000 40 88 0000 0a000001 0a000002 1234 0035 0008 0000" DATA);

	CHECK(sctp.status == DECODE_OK && sctp.has_ports && sctp.dport == 2905);
	CHECK_U64(sctp.payload_len, 4);
	CHECK(bad.status == DECODE_bad_chunk && bad.has_ports && bad.dport == 2905);
	CHECK_VIEW(bad.payload, "abcd");
	CHECK(cut.status == DECODE_OK && cut.payload.len == 4 && cut.payload_len == 32);
	CHECK(lite.status == DECODE_OK && lite.has_ports && lite.dport == 53);
	CHECK_VIEW(lite.payload, "abcd");
}

TEST(decode, survives_every_cut)
{
	static struct frame frame;
	size_t len;

	add(&frame, ETH "88a8 2007 8100 0008 0800 4500 0062 0001 0000 40 11 0000 c0000201 c0000202 c000 12b5 004e 0000"
		    "08000000 00000700" ETH "0800" IP4_TCP TCP DATA);
	for (len = 0; len <= frame.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);
		struct packet packet = { .link = LINK_ETHERNET, .segments = 1, .orig_len = (uint32_t)frame.len };

		CHECK(copy != NULL);
		memcpy(copy, frame.at, len);
		packet.frame = view_make(copy, len);
		(void)decode_frame(&packet);
		CHECK(packet.payload.at >= copy && packet.payload.at + packet.payload.len <= copy + len);
		CHECK_EQ(packet.header_bytes + packet.payload_len <= frame.len, true);
		free(copy);
	}
}

TEST(decode, names_every_status)
{
	int i;

	for (i = 0; i < DECODE_STATUS_COUNT; i++) {
		CHECK(decode_status_name((enum decode_status)i)[0] != 0);
		CHECK(decode_status_text((enum decode_status)i)[0] != 0);
	}
	CHECK_STR(decode_status_name((enum decode_status)999), "unknown");
	CHECK_STR(decode_status_name(DECODE_bad_ip_header), "bad_ip_header");
}
