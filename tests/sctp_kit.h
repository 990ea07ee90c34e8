/* Packets of SCTP and messages of Diameter, made by hand. */
#ifndef TESTS_SCTP_KIT_H
#define TESTS_SCTP_KIT_H

#include "base/wr.h"
#include "tests/check.h"
#include "wire/sctp.h"

#define SCTP_LAST	1
#define SCTP_FIRST	2
#define SCTP_UNORDERED	4
#define SCTP_ALONE	(SCTP_FIRST | SCTP_LAST)

static inline void sctp_put(struct wr *wr, uint8_t type, uint8_t flags, struct view value)
{
	wr_u8(wr, type);
	wr_u8(wr, flags);
	wr_u16be(wr, (uint16_t)(4 + value.len));
	if (value.len)
		wr_bytes(wr, value);
	for (size_t i = value.len; i % 4; i++)
		wr_u8(wr, 0);
}

static inline void sctp_put_data(struct wr *wr, uint8_t flags, uint32_t tsn, uint16_t stream, uint16_t message,
				 uint32_t ppid, struct view bytes)
{
	struct wr value;

	wr_init(&value, 0);
	wr_u32be(&value, tsn);
	wr_u16be(&value, stream);
	wr_u16be(&value, message);
	wr_u32be(&value, ppid);
	wr_bytes(&value, bytes);
	sctp_put(wr, SCTP_DATA, flags, wr_view(&value));
	wr_release(&value);
}

/* I-DATA; last: payload protocol of the first piece, place of any other. */
static inline void sctp_put_i_data(struct wr *wr, uint8_t flags, uint32_t tsn, uint16_t stream, uint32_t message,
				   uint32_t last, struct view bytes)
{
	struct wr value;

	wr_init(&value, 0);
	wr_u32be(&value, tsn);
	wr_u16be(&value, stream);
	wr_u16be(&value, 0);
	wr_u32be(&value, message);
	wr_u32be(&value, last);
	wr_bytes(&value, bytes);
	sctp_put(wr, SCTP_I_DATA, flags, wr_view(&value));
	wr_release(&value);
}

static inline void sctp_put_init(struct wr *wr, uint8_t type, uint32_t tag, uint32_t tsn)
{
	struct wr value;

	wr_init(&value, 0);
	wr_u32be(&value, tag);
	wr_u32be(&value, 65536);
	wr_u16be(&value, 10);
	wr_u16be(&value, 10);
	wr_u32be(&value, tsn);
	sctp_put(wr, type, 0, wr_view(&value));
	wr_release(&value);
}

/* SACK without gaps, SHUTDOWN, FORWARD TSN: they begin with a TSN. */
static inline void sctp_put_tsn(struct wr *wr, uint8_t type, uint32_t tsn)
{
	struct wr value;

	wr_init(&value, 0);
	wr_u32be(&value, tsn);
	if (type == SCTP_SACK) {
		wr_u32be(&value, 65536);
		wr_u32be(&value, 0);
	}
	sctp_put(wr, type, 0, wr_view(&value));
	wr_release(&value);
}

static inline void diameter_avp(struct wr *wr, uint32_t code, struct view value)
{
	wr_u32be(wr, code);
	wr_u32be(wr, 0x40000000u | (uint32_t)(8 + value.len));
	wr_bytes(wr, value);
	for (size_t i = value.len; i % 4; i++)
		wr_u8(wr, 0);
}

/* A Credit-Control request, or its answer, of 52 bytes and fill more, rounded up to four. */
static inline void diameter_put(struct wr *wr, bool request, uint32_t id, size_t fill)
{
	static const uint8_t success[4] = { 0, 0, 0x07, 0xd1 };
	size_t start = wr->len;
	char text[2000];

	CHECK_LT(fill, sizeof(text));
	memset(text, 'f', sizeof(text));
	wr_u32be(wr, 0);
	wr_u32be(wr, (request ? 0xc0000000u : 0x40000000u) | 272);
	wr_u32be(wr, 4);
	wr_u32be(wr, id);
	wr_u32be(wr, id);
	diameter_avp(wr, 263, VIEW_LIT("c.ex;1"));
	if (request)
		diameter_avp(wr, 264, VIEW_LIT("c.ex"));
	else
		diameter_avp(wr, 268, view_make(success, 4));
	if (fill)
		diameter_avp(wr, 33, view_make(text, fill));
	CHECK_NOT(wr->bad);
	wr->at[start] = 1;
	wr->at[start + 1] = 0;
	wr->at[start + 2] = (uint8_t)((wr->len - start) >> 8);
	wr->at[start + 3] = (uint8_t)(wr->len - start);
}

#endif
