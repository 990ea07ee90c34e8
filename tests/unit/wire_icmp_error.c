#include "wire/icmp_error.h"

#include "tests/check.h"

static bool error_of(const char *hex, struct icmp_error *ret_error)
{
	static uint8_t bytes[256];
	struct packet packet = { .link = LINK_RAW, .segments = 1 };
	size_t len = 0;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		bytes[len++] = (uint8_t)((hex[0] % 32 + 9) % 25 * 16 + (hex[1] % 32 + 9) % 25);
		hex++;
	}
	packet.frame = view_make(bytes, len);
	packet.orig_len = (uint32_t)len;
	(void)decode_frame(&packet);
	return icmp_error(&packet, ret_error);
}

/* a router of 10.0.0.9 to 10.0.0.1; the quoted packet went from 10.0.0.1 to 10.0.0.2 */
#define OUTER "4500 0038 0000 0000 40 01 0000 0a000009 0a000001 "
#define UDP "4500 0100 0007 0000 40 11 0000 0a000001 0a000002 1234 0035 00ec 0000"
#define TCP "4500 05dc 0007 4000 40 06 0000 0a000001 0a000002 9c40 0050 00000001"

TEST(icmp_error, names_the_quoted_flow)
{
	struct icmp_error error;

	CHECK(error_of(OUTER "03 03 0000 00000000 " UDP, &error));
	CHECK_EQ(error.kind, ICMP_UNREACHABLE);
	CHECK_U64(error.code, 3);
	CHECK_U64(error.quoted.sport, 0x1234);
	CHECK_U64(error.quoted.dport, 53);
	CHECK_U64(error.quoted.proto, 17);
	CHECK_U64(error.mtu, 0);
	/* eight bytes of TCP are the ports and a sequence number */
	CHECK(error_of(OUTER "03 04 0000 00000578 " TCP, &error));
	CHECK_EQ(error.kind, ICMP_TOO_BIG);
	CHECK_U64(error.mtu, 1400);
	CHECK_U64(error.quoted.dport, 80);
	CHECK(error_of(OUTER "0b 00 0000 00000000 " TCP, &error));
	CHECK_EQ(error.kind, ICMP_TIME_EXCEEDED);
	CHECK(error_of(OUTER "05 01 0000 0a000003 " TCP, &error));
	CHECK_EQ(error.kind, ICMP_OTHER);
	/* no errors: echo, a quotation without ports, one that is no packet, none at all */
	CHECK_NOT(error_of(OUTER "08 00 0000 00010001 " TCP, &error));
	CHECK_NOT(error_of(OUTER "03 03 0000 00000000 4500 0100 0007 0000 40 11 0000 0a000001 0a000002 12 34", &error));
	CHECK_NOT(error_of(OUTER "03 03 0000 00000000 ffff ffff ffff ffff", &error));
	CHECK_NOT(error_of(OUTER "03 03 0000 00000000", &error));
}
