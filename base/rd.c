#include "base/rd.h"

uint64_t rd_varint(struct rd *rd)
{
	const uint8_t *at = rd->at;
	uint64_t v = 0;

	if (rd->bad)
		return 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (at == rd->end)
			break;
		byte = *at++;
		if (shift == 63 && byte > 1)	/* the tenth byte has room for one bit */
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			rd->at = at;
			return v;
		}
	}
	rd->bad = true;
	return 0;
}

int64_t rd_svarint(struct rd *rd)
{
	uint64_t v = rd_varint(rd);

	return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

struct view rd_bytes(struct rd *rd, size_t bytes)
{
	struct view v;

	if (!rd_need(rd, bytes))
		return view_make(NULL, 0);
	v = view_make(rd->at, bytes);
	if (bytes)
		rd->at += bytes;
	return v;
}

struct view rd_vbytes(struct rd *rd)
{
	const uint8_t *before = rd->at;
	uint64_t bytes = rd_varint(rd);
	struct view v = rd_bytes(rd, bytes);

	if (rd->bad)
		rd->at = before;	/* a failed read moves nothing */
	return v;
}

void rd_skip(struct rd *rd, size_t bytes)
{
	if (rd_need(rd, bytes) && bytes)
		rd->at += bytes;
}
