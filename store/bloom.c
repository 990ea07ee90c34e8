#include "store/bloom.h"

#include <assert.h>

#include "base/mem.h"
#include "base/rd.h"
#include "store/codec.h"
#include "store/envelope.h"

#define WHAT "bloom filter"
#define MAGIC ENVELOPE_MAGIC('T', 'D', 'B', 'F')
#define VERSION 1
#define HEADER_BYTES (ENVELOPE_BYTES + 8)
#define BITS_PER_KEY 11		/* 1 % needs 10.5 in this layout, 9.6 in the classic one */
#define WORDS 8			/* of 32 bits: a block; each key sets one bit in each */
#define BLOCK_BYTES (WORDS * 4)
#define PAGE_BYTES 4096u	/* with a checksum each: a look-up need not hash everything */
#define PAGE_BLOCKS (PAGE_BYTES / BLOCK_BYTES)
#define BLOCKS_MAX (1u << 24)	/* 512 MiB; more keys than 4 * 10^8 are beyond a partition */

struct bloom {
	uint32_t blocks;
	uint32_t words[][WORDS];
};

struct bloom *bloom_new(size_t keys)
{
	size_t blocks = keys / (BLOCK_BYTES * 8 / BITS_PER_KEY) + 1;
	struct bloom *bloom;

	if (blocks > BLOCKS_MAX)
		blocks = BLOCKS_MAX;
	bloom = mem_zalloc(sizeof(*bloom) + blocks * BLOCK_BYTES);
	if (bloom)
		bloom->blocks = (uint32_t)blocks;
	return bloom;
}

void bloom_free(struct bloom *bloom)
{
	mem_free(bloom);
}

/* Where a key is: stored, so never to change. The multipliers are those of Parquet's filter. */
static uint32_t block_of(uint64_t hash, uint32_t blocks)
{
	return (uint32_t)((hash >> 32) * blocks >> 32);
}

static uint32_t bit_of(uint64_t hash, unsigned word)
{
	static const uint32_t odd[WORDS] = { 0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
					     0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u };

	return 1u << ((uint32_t)hash * odd[word] >> 27);
}

void bloom_add(struct bloom *bloom, struct view key)
{
	uint64_t hash = codec_checksum(key);
	uint32_t *words = bloom->words[block_of(hash, bloom->blocks)];

	for (unsigned i = 0; i < WORDS; i++)
		words[i] |= bit_of(hash, i);
}

static uint32_t pages_of(uint32_t blocks)
{
	return (blocks + PAGE_BLOCKS - 1) / PAGE_BLOCKS;
}

int bloom_write(const struct bloom *bloom, struct wr *out, struct err *err)
{
	struct view bytes = view_make(bloom->words, (size_t)bloom->blocks * BLOCK_BYTES);
	size_t start = envelope_begin(out, MAGIC, VERSION, 0, 0), checked;
	int rc;

	wr_u32le(out, bloom->blocks);
	wr_u32le(out, pages_of(bloom->blocks));
	for (size_t at = 0; at < bytes.len; at += PAGE_BYTES)
		wr_u64le(out, codec_checksum(view_sub(bytes, at, PAGE_BYTES)));
	checked = out->len - start;
	wr_bytes(out, bytes);
	rc = envelope_end(out, start, checked, err);
	if (rc < 0)
		out->len = start;
	return rc;
}

struct opened {
	uint32_t blocks, pages;
	struct view sums, bytes;
};

static int bloom_open(struct view stored, struct opened *opened, struct err *err)
{
	struct envelope envelope;
	struct rd rd;
	int rc = envelope_open(stored, WHAT, MAGIC, VERSION, 0, &envelope, err);

	if (rc < 0)
		return rc;
	rd = rd_make(stored);
	rd_skip(&rd, ENVELOPE_BYTES);
	opened->blocks = rd_u32le(&rd);
	opened->pages = rd_u32le(&rd);
	if (rd.bad || opened->blocks < 1 || opened->blocks > BLOCKS_MAX ||
	    opened->pages != pages_of(opened->blocks))
		return err_set(err, E_CORRUPT, WHAT ": %u blocks in %u pages", opened->blocks, opened->pages);
	opened->sums = rd_bytes(&rd, (size_t)opened->pages * sizeof(uint64_t));
	opened->bytes = rd_bytes(&rd, (size_t)opened->blocks * BLOCK_BYTES);
	if (rd.bad || rd_left(&rd))
		return err_set(err, E_CORRUPT, WHAT ": %zu bytes for %u blocks", stored.len, opened->blocks);
	return envelope_check(stored, WHAT, HEADER_BYTES + opened->sums.len, err);
}

static int page_check(const struct opened *opened, uint32_t page, struct err *err)
{
	struct rd rd = rd_make(view_sub(opened->sums, (size_t)page * sizeof(uint64_t), sizeof(uint64_t)));

	if (codec_checksum(view_sub(opened->bytes, (size_t)page * PAGE_BYTES, PAGE_BYTES)) != rd_u64le(&rd))
		return err_set(err, E_CORRUPT, WHAT ": checksum of page %u of %u", page, opened->pages);
	return 0;
}

int bloom_may_have(struct view stored, struct view key, struct err *err)
{
	uint64_t hash = codec_checksum(key);
	struct opened opened;
	uint32_t block;
	struct rd rd;
	int rc = bloom_open(stored, &opened, err);

	if (rc < 0)
		return rc;
	block = block_of(hash, opened.blocks);
	rc = page_check(&opened, block / PAGE_BLOCKS, err);
	if (rc < 0)
		return rc;
	rd = rd_make(view_sub(opened.bytes, (size_t)block * BLOCK_BYTES, BLOCK_BYTES));
	for (unsigned i = 0; i < WORDS; i++)
		if (!(rd_u32le(&rd) & bit_of(hash, i)))
			return 0;
	return 1;
}

int bloom_verify(struct view stored, struct err *err)
{
	struct opened opened;
	int rc = bloom_open(stored, &opened, err);

	for (uint32_t page = 0; rc == 0 && page < opened.pages; page++)
		rc = page_check(&opened, page, err);
	return rc;
}

struct view bloom_head(struct view stored)
{
	return view_sub(stored, 0, HEADER_BYTES + sizeof(uint64_t) * pages_of((uint32_t)(stored.len / BLOCK_BYTES)));
}

struct view bloom_page(struct view stored, struct view key)
{
	struct opened opened;
	uint32_t block;

	if (bloom_open(stored, &opened, NULL) < 0)
		return view_make(NULL, 0);
	block = block_of(codec_checksum(key), opened.blocks);
	return view_sub(opened.bytes, (size_t)(block / PAGE_BLOCKS) * PAGE_BYTES, PAGE_BYTES);
}
