#include "query/cursor.h"

#include "store/codec.h"

#define CURSOR_VERSION 1
#define CURSOR_BYTES                                                                               \
	33 /* version, flags, table | start 8, id 8, same 4 | query 4 | check 4, all little-endian */
#define CURSOR_TEXT_LEN 44

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/*
 *  0 version  1 table  2 flags  3-4 zero
 *  5 start_ns  13 id  21 same  25 hash of the query  29 hash of all before
 */
static void put(uint8_t *at, uint64_t value, size_t bytes)
{
	memcpy(at, &value, bytes);
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void head(const struct cursor_of *of, uint8_t bytes[CURSOR_BYTES])
{
	memset(bytes, 0, CURSOR_BYTES);
	bytes[0] = CURSOR_VERSION;
	bytes[1] = (uint8_t)of->table;
	bytes[2] = (uint8_t)(of->ascending | of->starts_within << 1);
	put(bytes + 25, codec_checksum(of->filter), 4);
}

struct view cursor_write(const struct cursor *cursor, const struct cursor_of *of,
			 struct arena *arena)
{
	uint8_t bytes[CURSOR_BYTES + 2];
	char *text = arena_alloc(arena, CURSOR_TEXT_LEN + 1);

	if (!text)
		return view_make(NULL, 0);
	head(of, bytes);
	put(bytes + 5, cursor->start_ns, 8);
	put(bytes + 13, cursor->id, 8);
	put(bytes + 21, cursor->same, 4);
	put(bytes + 29, codec_checksum(view_make(bytes, 29)), 4);
	for (size_t i = 0; i < CURSOR_TEXT_LEN / 4;
	     i++) { /* base64url, RFC 4648: 33 bytes need no padding */
		uint32_t three = (uint32_t)bytes[3 * i] << 16 | (uint32_t)bytes[3 * i + 1] << 8 |
				 bytes[3 * i + 2];

		for (size_t k = 0; k < 4; k++)
			text[4 * i + k] = letters[three >> (18 - 6 * k) & 63];
	}
	text[CURSOR_TEXT_LEN] = '\0';
	return view_make(text, CURSOR_TEXT_LEN);
}

int cursor_read(struct view text, const struct cursor_of *of, struct cursor *ret_cursor,
		struct err *err)
{
	uint8_t bytes[CURSOR_BYTES], want[CURSOR_BYTES];

	if (text.len != CURSOR_TEXT_LEN)
		return err_set(err, E_FORMAT,
			       "cursor of %zu characters: it has %d, taken from the answer before",
			       text.len, CURSOR_TEXT_LEN);
	for (size_t i = 0; i < CURSOR_TEXT_LEN / 4; i++) {
		uint32_t three = 0;

		for (size_t k = 0; k < 4; k++) {
			uint8_t c = text.at[4 * i + k];
			const char *letter = c ? strchr(letters, c) : NULL;

			if (!letter)
				return err_set(err, E_FORMAT,
					       "cursor: character %zu is none of A-Z a-z 0-9 - _",
					       4 * i + k);
			three = three << 6 | (uint32_t)(letter - letters);
		}
		bytes[3 * i] = (uint8_t)(three >> 16);
		bytes[3 * i + 1] = (uint8_t)(three >> 8);
		bytes[3 * i + 2] = (uint8_t)three;
	}
	if (get(bytes + 29, 4) != (uint32_t)codec_checksum(view_make(bytes, 29)) ||
	    bytes[0] != CURSOR_VERSION)
		return err_set(err, E_FORMAT, "cursor: it is not one that an answer gave");
	head(of, want);
	if (memcmp(bytes, want, 5) != 0 || memcmp(bytes + 25, want + 25, 4) != 0)
		return err_set(
			err, E_FORMAT,
			"cursor: it belongs to another query: table, filter and order must stay "
			"the same from page to page");
	*ret_cursor = (struct cursor){ get(bytes + 5, 8), get(bytes + 13, 8),
				       (uint32_t)get(bytes + 21, 4) };
	return 0;
}
