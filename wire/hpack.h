/*
 * The one door to libnghttp2: HPACK (RFC 7541), the compressed header fields of
 * one direction of an HTTP/2 connection.
 *
 * Fields refer to a table that grows with the connection. Where its beginning was
 * not seen, or bytes in between were lost, the table is filled with place-holders
 * of the smallest size an entry can have: whatever index the sender uses then
 * finds either the entry it means, seen since, or a place-holder, never another one.
 */
#ifndef WIRE_HPACK_H
#define WIRE_HPACK_H

#include "wire/proto.h"

#define HPACK_CLASSES 16

/* Zeroed is a valid start: nothing taken, table unknown. Must not move while in use. */
struct hpack {
	struct call_sink *sink;	/* memory comes from here; set it before each use. NULL: from the heap */
	void *inflater;
	void *mem[5];		/* the library's struct of allocation functions */
	bool known;		/* set it where the connection's beginning was seen */
	bool in_block;
	uint8_t wider;		/* how often a place-holder was missing */
	size_t used_bytes;
	struct hpack_chunk *chunks;
	struct hpack_free *free[HPACK_CLASSES];
	uint8_t *bump;		/* the rest of the newest chunk */
	size_t bump_bytes;
};

struct hpack_field {
	struct view name, value;	/* until the next call */
	bool unknown;			/* a place-holder: nothing is known of it but that it was there */
};

/*
 * The next field of *block, which moves behind it. last: the block ends with these
 * bytes. 1: a field, 0: all taken. E_FORMAT, E_NO_MEMORY: the rest of the block
 * cannot be read, and the table is unknown from here on.
 */
int hpack_next(struct hpack *hpack, struct view *block, bool last, struct hpack_field *ret_field);
/* Bytes were lost: what the table holds is unknown. */
void hpack_lose(struct hpack *hpack);
/* Gives all memory back. */
void hpack_release(struct hpack *hpack);

/* Do bytes look like one whole header block? Structure only: nothing is decoded. */
bool hpack_plausible(struct view block);

#endif
