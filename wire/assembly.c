#include "wire/stream.h"

static void mark_one(struct assembly *assembly, size_t i, uint8_t byte)
{
	uint8_t bit = (uint8_t)(1u << (i % 8));

	if (assembly->mask[i / 8] & bit)
		return;		/* first copy wins, as in the stream */
	assembly->mask[i / 8] |= bit;
	assembly->at[i] = byte;
	assembly->have++;
}

/* Bytes [from, from + len) of the range; eight at a time where none of the eight is present. */
static void put(struct assembly *assembly, size_t from, const uint8_t *at, size_t len)
{
	size_t i = 0;

	for (; i < len && (from + i) % 8; i++)
		mark_one(assembly, from + i, at[i]);
	for (; len - i >= 8; i += 8) {
		uint8_t *mask = &assembly->mask[(from + i) / 8];

		if (*mask == 0) {
			memcpy(assembly->at + from + i, at + i, 8);
			*mask = 0xff;
			assembly->have += 8;
		} else if (*mask != 0xff) {
			for (size_t j = 0; j < 8; j++)
				mark_one(assembly, from + i + j, at[i + j]);
		}
	}
	for (; i < len; i++)
		mark_one(assembly, from + i, at[i]);
}

void assembly_add(struct assembly *assembly, uint32_t seq, struct view payload)
{
	uint32_t ahead = seq - assembly->seq;	/* modulo 2^32 */

	if (!payload.len || !assembly->len)
		return;
	if (ahead < assembly->len) {
		size_t room = assembly->len - ahead;

		put(assembly, ahead, payload.at, payload.len < room ? payload.len : room);
		return;
	}
	ahead = assembly->seq - seq;		/* it begins before the range */
	if (ahead < payload.len) {
		size_t left = payload.len - ahead;

		put(assembly, 0, payload.at + ahead, left < assembly->len ? left : assembly->len);
	}
}
