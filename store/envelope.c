#include "store/envelope.h"

#include <assert.h>

#include "base/rd.h"
#include "store/codec.h"

#define MUST_KNOW_AT 6
#define LENGTH_AT 12
#define CHECKSUM_AT 16

size_t envelope_begin(struct wr *out, uint32_t magic, uint16_t version, uint16_t must_know, uint32_t may_skip)
{
	size_t start = out->len;

	wr_u32le(out, magic);
	wr_u16le(out, version);
	wr_u16le(out, must_know);
	wr_u32le(out, may_skip);
	wr_u32le(out, 0);	/* length */
	wr_u64le(out, 0);	/* checksum */
	return start;
}

/* Before and behind the checksum field: a changed bit changes exactly one of the two sums. */
uint64_t envelope_sum(struct view checked)
{
	return codec_checksum(view_sub(checked, 0, CHECKSUM_AT)) ^
	       codec_checksum(view_sub(checked, ENVELOPE_BYTES, SIZE_MAX));
}

void envelope_must_know(struct wr *out, size_t start, uint16_t must_know)
{
	uint16_t bits;

	if (out->bad)
		return;
	memcpy(&bits, out->at + start + MUST_KNOW_AT, sizeof(bits));
	bits |= must_know;
	memcpy(out->at + start + MUST_KNOW_AT, &bits, sizeof(bits));
}

int envelope_end(struct wr *out, size_t start, size_t checked_bytes, struct err *err)
{
	return envelope_end_before(out, start, checked_bytes, 0, err);
}

int envelope_end_before(struct wr *out, size_t start, size_t checked_bytes, size_t behind_bytes, struct err *err)
{
	size_t len;

	if (out->bad)
		return err_set(err, E_NO_MEMORY, "no memory for what is to be stored");
	len = out->len - start;
	assert(checked_bytes >= ENVELOPE_BYTES && checked_bytes <= len);
	len += behind_bytes;
	if (len > UINT32_MAX)
		return err_set(err, E_LIMIT, "%zu bytes do not fit one stored thing", len);
	wr_patch_u32le(out, start + LENGTH_AT, (uint32_t)len);
	wr_patch_u64le(out, start + CHECKSUM_AT, envelope_sum(view_make(out->at + start, checked_bytes)));
	return 0;
}

int envelope_open(struct view stored, const char *what, uint32_t magic, uint16_t version_max, uint16_t must_known,
		  struct envelope *ret_envelope, struct err *err)
{
	struct rd rd = rd_make(stored);
	uint32_t found = rd_u32le(&rd);
	struct envelope envelope;
	uint32_t length;

	envelope.version = rd_u16le(&rd);
	envelope.must_know = rd_u16le(&rd);
	envelope.may_skip = rd_u32le(&rd);
	length = rd_u32le(&rd);
	rd_skip(&rd, sizeof(uint64_t));
	if (rd.bad)
		return err_set(err, E_CORRUPT, "%s: cut short at %zu of %d header bytes", what, stored.len,
			       ENVELOPE_BYTES);
	if (found != magic)
		return err_set(err, E_CORRUPT, "%s: magic %08x instead of %08x", what, found, magic);
	if (envelope.version < 1 || envelope.version > version_max)
		return err_set(err, E_UNSUPPORTED, "%s: version %u, this program reads 1..%u", what,
			       envelope.version, version_max);
	if (envelope.must_know & ~must_known)
		return err_set(err, E_UNSUPPORTED, "%s: needs features %#x that this program does not know",
			       what, (unsigned)(envelope.must_know & ~must_known));
	if (length != stored.len)
		return err_set(err, E_CORRUPT, "%s: %zu bytes, its header says %u", what, stored.len, length);
	*ret_envelope = envelope;
	return 0;
}

int envelope_length(struct view rest, uint32_t magic, size_t *ret_length)
{
	struct rd rd = rd_make(rest);
	uint32_t found = rd_u32le(&rd), length;

	rd_skip(&rd, LENGTH_AT - sizeof(found));
	length = rd_u32le(&rd);
	if (rd.bad || found != magic || length < ENVELOPE_BYTES)
		return E_CORRUPT;
	*ret_length = length;
	return 0;
}

int envelope_check(struct view stored, const char *what, size_t checked_bytes, struct err *err)
{
	struct rd rd = rd_make(view_sub(stored, CHECKSUM_AT, sizeof(uint64_t)));
	uint64_t expected = rd_u64le(&rd), found;

	assert(checked_bytes >= ENVELOPE_BYTES);
	if (rd.bad || checked_bytes > stored.len)
		return err_set(err, E_CORRUPT, "%s: cut short at %zu of %zu bytes", what, stored.len,
			       checked_bytes);
	found = envelope_sum(view_sub(stored, 0, checked_bytes));
	if (found != expected)
		return err_set(err, E_CORRUPT, "%s: checksum %016llx of %zu bytes instead of %016llx", what,
			       (unsigned long long)found, checked_bytes, (unsigned long long)expected);
	return 0;
}
