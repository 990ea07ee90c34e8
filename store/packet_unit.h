/*
 * Payload of packets.seg, in units of at most 32 KiB plain: each compressed and
 * checksummed by itself, so that a reader takes the few he needs. Blocks say
 * which bytes of which units their frames are made of, and several may say the
 * same ones. FORMAT.md, "Payload unit".
 */
#ifndef STORE_PACKET_UNIT_H
#define STORE_PACKET_UNIT_H

#include "base/wr.h"
#include "store/codec.h"

#define PACKET_UNIT_BITS 15
#define PACKET_UNIT_BYTES (1u << PACKET_UNIT_BITS)	/* plain */
#define PACKET_UNIT_BITS_1 14	/* as they were at first, */
#define PACKET_UNIT_BYTES_1 (1u << PACKET_UNIT_BITS_1)
#define PACKET_MUST_UNITS 1	/* must_know, of a block and of a unit: unless this says that there are longer ones */

/*
 * Append a unit. level 0 = default. *raw: whether the one before it did not pack: then a piece is tried first,
 * for encrypted bytes come in long runs; becomes what this one did.
 */
int packet_unit_write(uint64_t number, struct view plain, int level, bool *raw, struct wr *out, struct err *err);
/* Into plain, PACKET_UNIT_BYTES of room. E_CORRUPT, also when it is another unit. */
int packet_unit_read(struct view stored, uint64_t number, uint8_t *plain, size_t *ret_len, struct err *err);
/* Bytes of the unit that begins at rest.at, to walk a file. E_CORRUPT when none does. */
int packet_unit_length(struct view rest, size_t *ret_bytes);

/*
 * A directory tells where the units of a window lie, one behind the other: u64 number of the first, u64 its
 * offset, varint stored bytes of each. unit_bytes: those, u32 each.
 */
void packet_directory_write(uint64_t first_number, uint64_t offset, struct view unit_bytes, struct wr *out);

/* ---- units of one file, as read, the last ones kept. One thread, and those of its crew. ---- */
struct packet_units;
struct crew;
/* path is borrowed; at most 64 MiB are kept. */
int packet_units_new(int fd, const char *path, size_t keep_bytes, struct packet_units **ret_units, struct err *err);
void packet_units_free(struct packet_units *units);	/* takes NULL */
/* Directories in the order of their windows; units have no gap in their numbers, and lie within file_bytes. */
int packet_units_learn(struct packet_units *units, struct view directory, uint64_t file_bytes, struct err *err);
/* Its plain bytes, valid until the next call. E_CORRUPT, E_IO, E_NO_MEMORY. */
int packet_units_get(struct packet_units *units, uint64_t number, struct view *ret_plain, struct err *err);
static inline int packet_unit_copy(struct view plain, uint64_t number, uint32_t offset, size_t len, uint8_t *to,
				   struct err *err)
{
	if (offset > plain.len || len > plain.len - offset)
		return err_set(err, E_CORRUPT, "bytes %u..+%zu of the %zu of unit %llu", offset, len, plain.len,
			       (unsigned long long)number);
	memcpy(to, plain.at + offset, len);
	return 0;
}

/* Who helps to take; NULL: nobody. */
void packet_units_crew(struct packet_units *units, struct crew *crew);
/*
 * Pieces of units, each unit once: all are asked of the disk at a time, and unpacked side by side. The first few
 * calls keep none of them: who reads a flow of a block or two would pay more for the memory than it gains.
 */
struct packet_take {
	uint32_t offset, len;
	uint8_t *to;
};
struct packet_run {		/* of one unit */
	uint64_t number;
	struct packet_take *takes;
	size_t count;
};
int packet_units_take(struct packet_units *units, const struct packet_run *runs, size_t count, struct err *err);

#endif
