#include "store/packet_pack.h"

#include "base/lock.h"
#include "base/mem.h"
#include "store/packet_block2.h"

struct scratch {
	struct packet_block2 block;
	struct scratch *next;
};

struct packet_packer {
	int zstd_level;
	struct lock lock;
	struct cond turned;
	size_t turn;			/* guarded by lock: whose payload is looked up next */
	struct scratch *scratches;	/* guarded by lock; not in use */
	struct packet_dedup *dedup;	/* of who has the turn */
	uint64_t next_unit;		/* while there is none */
};

static uint64_t refused;

uint64_t packet_pack_refused(void)
{
	return __atomic_load_n(&refused, __ATOMIC_RELAXED);
}

void packet_packed_init(struct packet_packed *packed)
{
	*packed = (struct packet_packed){ .rc = 0 };
	wr_init(&packed->block, 0);
	wr_init(&packed->units, 0);
	wr_init(&packed->unit_bytes, 0);
}

void packet_packed_release(struct packet_packed *packed)
{
	wr_release(&packed->block);
	wr_release(&packed->units);
	wr_release(&packed->unit_bytes);
}

int packet_packer_new(int zstd_level, struct packet_packer **ret_packer)
{
	struct packet_packer *packer = mem_zalloc(sizeof(*packer));

	if (!packer)
		return E_NO_MEMORY;
	packer->zstd_level = zstd_level;
	lock_init(&packer->lock);
	cond_init(&packer->turned);
	*ret_packer = packer;
	return 0;
}

void packet_packer_free(struct packet_packer *packer)
{
	if (!packer)
		return;
	packet_packer_forget(packer);
	cond_release(&packer->turned);
	lock_release(&packer->lock);
	mem_free(packer);
}

void packet_packer_begin(struct packet_packer *packer)
{
	packer->turn = 0;
}

void packet_packer_forget(struct packet_packer *packer)
{
	if (packer->dedup)
		packer->next_unit = packet_dedup_next(packer->dedup);
	packet_dedup_free(packer->dedup);
	packer->dedup = NULL;
	while (packer->scratches) {
		struct scratch *scratch = packer->scratches;

		packer->scratches = scratch->next;
		packet_block2_release(&scratch->block);
		mem_free(scratch);
	}
}

static struct scratch *scratch_take(struct packet_packer *packer)
{
	struct scratch *scratch;

	lock_take(&packer->lock);
	scratch = packer->scratches;
	if (scratch)
		packer->scratches = scratch->next;
	lock_drop(&packer->lock);
	if (scratch)
		return scratch;
	scratch = mem_zalloc(sizeof(*scratch));
	if (scratch)
		packet_block2_init(&scratch->block);
	return scratch;
}

static void scratch_give(struct packet_packer *packer, struct scratch *scratch)
{
	lock_take(&packer->lock);
	scratch->next = packer->scratches;
	packer->scratches = scratch;
	lock_drop(&packer->lock);
}

/* Wait until all blocks before had theirs, and pass it on. A block that has nothing to look up takes it, too. */
static void turn_take(struct packet_packer *packer, size_t step)
{
	lock_take(&packer->lock);
	while (packer->turn != step)
		(void)cond_wait(&packer->turned, &packer->lock, 0);
	lock_drop(&packer->lock);
}

static void turn_pass(struct packet_packer *packer)
{
	lock_take(&packer->lock);
	packer->turn++;
	cond_wake_all(&packer->turned);
	lock_drop(&packer->lock);
}

static int dedup(struct packet_packer *packer, struct packet_block2 *block, struct err *err)
{
	if (!packer->dedup && packet_dedup_new(packer->next_unit, &packer->dedup) < 0)
		return err_set(err, E_NO_MEMORY, "packets: no memory to remember payload");
	return packet_block2_dedup(block, packer->dedup, err);
}

static int pack_version_1(const struct packet_packer *packer, uint64_t source, const struct packet_rec *recs,
			  uint32_t count, struct packet_packed *packed)
{
	struct packet_block block;
	int rc = packet_block_init(&block, source);

	for (uint32_t i = 0; i < count && rc >= 0; i++) {
		rc = packet_block_add(&block, &recs[i]);
		if (rc < 0)
			(void)err_set(&packed->err, rc, "packets: frame %llu not added: %s",
				      (unsigned long long)recs[i].number, err_text(rc));
	}
	if (rc >= 0)
		rc = packet_block_write(&block, NULL, CODEC_ZSTD, packer->zstd_level, &packed->block, &packed->err);
	packet_block_release(&block);
	return rc < 0 ? rc : 0;
}

static struct block_entry entry_make(const struct packet_block2 *block)
{
	return (struct block_entry){
		.count = block->count,
		.plain_bytes = block->plain_bytes,
		.source = block->source,
		.time_min = block->time_min,
		.time_max = block->time_max,
		.number_min = block->number_min,
		.number_max = block->number_max,
	};
}

void packet_packer_pack(struct packet_packer *packer, size_t step, uint64_t source, const struct packet_rec *recs,
			uint32_t count, struct packet_packed *packed)
{
	struct scratch *scratch = scratch_take(packer);
	int rc;

	wr_reset(&packed->block);
	wr_reset(&packed->units);
	wr_reset(&packed->unit_bytes);
	err_clear(&packed->err);
	rc = scratch ? packet_block2_take(&scratch->block, source, recs, count, &packed->err)
		     : err_set(&packed->err, E_NO_MEMORY, "packets: out of memory");
	turn_take(packer, step);
	if (rc == 0)
		rc = dedup(packer, &scratch->block, &packed->err);
	turn_pass(packer);
	if (scratch)
		packed->entry = entry_make(&scratch->block);
	if (rc == 0) {
		rc = packet_block2_pack(&scratch->block, packer->zstd_level, &packed->block, &packed->units,
					&packed->unit_bytes, &packed->err);
	} else if (rc == E_UNSUPPORTED || rc == E_INTERNAL) {
		if (rc == E_INTERNAL)
			(void)__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
		err_clear(&packed->err);
		rc = pack_version_1(packer, source, recs, count, packed);
	}
	packed->rc = rc;
	if (scratch)
		scratch_give(packer, scratch);
}
