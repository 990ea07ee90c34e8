/* A row group packed harder: its chunks stay what they are, their zstd frames are made anew. */
#include "store/rg_format.h"

/* The chunk behind out, packed at level where that is shorter than it is now. */
static int chunk_repack(const struct rg *rg, struct rg_entry *entry, int level, struct arena *arena, struct wr *out,
			struct err *err)
{
	size_t at = out->len;
	struct view plain;
	uint8_t *again;
	int rc;

	arena_reset(arena);
	rc = rg_chunk_load(rg, entry, RG_CHUNK_BYTES_MAX, arena, &plain, err);
	/* What was not worth packing is read without unpacking: that stays. */
	if (rc == 0 && entry->codec == CODEC_ZSTD)
		rc = codec_pack(CODEC_ZSTD, level, plain, out, err);
	if (rc < 0)
		return rc;
	if (out->len == at || out->len - at >= entry->stored_len) {
		out->len = at;
		wr_bytes(out, view_sub(rg->blob, entry->offset, entry->stored_len));
		return out->bad ? err_set(err, E_NO_MEMORY, "out of memory") : 0;
	}
	/* The old one is about to go: trust nothing. */
	again = arena_alloc(arena, plain.len);
	if (!again)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rc = codec_unpack(CODEC_ZSTD, view_make(out->at + at, out->len - at), again, plain.len, err);
	if (rc == 0 && memcmp(again, plain.at, plain.len) != 0)
		rc = err_set(err, E_INTERNAL, "%zu bytes packed at level %d come back different", plain.len, level);
	return rc;
}

int rg_repack(struct view blob, int level, struct arena *arena, struct wr *out, struct err *err)
{
	size_t start = out->len, head, at;
	struct rg rg;
	int rc = rg_open(blob, &rg, err);

	if (rc < 0)
		return rc;
	head = RG_HEADER_BYTES + (size_t)rg.cols * RG_ENTRY_BYTES;
	wr_bytes(out, view_sub(blob, 0, head));
	for (uint32_t i = 0; i < rg.cols && rc == 0 && !out->bad; i++) {
		struct rg_entry entry = rg_entry_at(&rg, i);

		if (entry.stored_len == 0)
			continue;
		at = out->len;
		rc = chunk_repack(&rg, &entry, level, arena, out, err);
		if (rc < 0) {
			(void)err_prefix(err, "row group: entry %u, column %u", i, entry.col_id);
			break;
		}
		if (out->len - start > blob.len) {	/* no chunk has grown: two say that they are the same bytes */
			rc = err_set(err, E_CORRUPT, "row group: entry %u, column %u: chunks overlap", i, entry.col_id);
			break;
		}
		entry.offset = (uint32_t)(at - start);
		entry.stored_len = (uint32_t)(out->len - at);
		entry.checksum = codec_checksum(view_make(out->at + at, out->len - at));
		rg_entry_put(out->at + start + RG_HEADER_BYTES + (size_t)i * RG_ENTRY_BYTES, &entry);
	}
	if (rc == 0)
		rc = out->bad ? err_set(err, E_NO_MEMORY, "row group: out of memory") : envelope_end(out, start, head, err);
	if (rc < 0)
		out->len = start;
	return rc;
}
