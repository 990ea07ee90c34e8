#include "store/chunk_hex.h"

#define DIGITS_MIN 16u	/* shorter ones may be words */

/* 16: no digit. */
static uint8_t digit_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return (uint8_t)(c - '0');
	return c >= 'a' && c <= 'f' ? (uint8_t)(c - 'a' + 10) : 16;
}

static bool is_hex(struct view text)
{
	uint8_t bad = 0;

	for (size_t i = 0; i < text.len; i++)
		bad |= digit_of(text.at[i]);
	return !(bad & 16);
}

size_t chunk_hex_bytes(const struct view *values, const uint32_t *codes, size_t count)
{
	size_t len = count ? values[codes ? codes[0] : 0].len : 0;

	if (len < DIGITS_MIN || len % 2 || len / 2 > CHUNK_HEX_BYTES_MAX)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct view text = values[codes ? codes[i] : i];

		if (text.len != len || !is_hex(text))
			return 0;
	}
	return len / 2;
}

bool chunk_hex_parse(struct view text, size_t bytes, uint8_t *to)
{
	if (text.len != 2 * bytes || !is_hex(text))
		return false;
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(digit_of(text.at[2 * i]) << 4 | digit_of(text.at[2 * i + 1]));
	return true;
}

void chunk_hex_put(const struct view *values, const uint32_t *codes, size_t count, size_t bytes, struct wr *out)
{
	uint8_t *to;

	wr_u8(out, (uint8_t)bytes);
	wr_varint(out, count);
	to = wr_space(out, count * bytes);
	for (size_t i = 0; to && i < count; i++)
		(void)chunk_hex_parse(values[codes ? codes[i] : i], bytes, to + i * bytes);
}

int chunk_hex_open(struct rd *rd, size_t values, struct chunk_hex *ret_hex, struct err *err)
{
	struct chunk_hex hex = { .bytes = rd_u8(rd) };
	uint64_t count = rd_varint(rd);

	if (rd->bad || hex.bytes == 0 || count < 1 || count > values)
		return err_set(err, E_CORRUPT, "%llu strings of %zu bytes for %zu values", (unsigned long long)count,
			       hex.bytes, values);
	hex.count = (size_t)count;
	hex.at = rd_bytes(rd, hex.count * hex.bytes).at;
	if (rd->bad)
		return err_set(err, E_CORRUPT, "cut short before %zu strings of %zu bytes", hex.count, hex.bytes);
	*ret_hex = hex;
	return 0;
}

void chunk_hex_text(const struct chunk_hex *hex, size_t i, uint8_t *to)
{
	const uint8_t *from = hex->at + i * hex->bytes;

	for (size_t k = 0; k < hex->bytes; k++) {
		unsigned high = from[k] >> 4, low = from[k] & 15;

		to[2 * k] = (uint8_t)('0' + high + (high > 9 ? 'a' - '0' - 10 : 0));
		to[2 * k + 1] = (uint8_t)('0' + low + (low > 9 ? 'a' - '0' - 10 : 0));
	}
}

int chunk_hex_texts(const struct chunk_hex *hex, const uint32_t *places, size_t count, struct arena *arena,
		    struct view **ret_texts, struct err *err)
{
	struct view *texts = arena_alloc(arena, count * sizeof(*texts));
	uint8_t *to = arena_alloc(arena, count * 2 * hex->bytes);

	if (!texts || !to)
		return err_set(err, E_NO_MEMORY, "no memory for %zu strings", count);
	for (size_t i = 0; i < count; i++, to += 2 * hex->bytes) {
		chunk_hex_text(hex, places ? places[i] : i, to);
		texts[i] = view_make(to, 2 * hex->bytes);
	}
	*ret_texts = texts;
	return 0;
}
