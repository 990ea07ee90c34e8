#include "ingest/rollup.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/hist.h"

#define OPEN_MAX 8		/* buckets open at a time in a tier; the oldest is written when another is needed */
#define GRACE_NS (2 * NS_PER_SEC)
#define NONE UINT32_MAX

struct cell {
	struct rollup_edge edge;
	uint64_t hash;
	uint32_t next;
	struct rollup_counts counts;
	struct hist *hists[ROLLUP_TIMES];
};

struct bucket {
	uint64_t start_ns;	/* UINT64_MAX: not in use */
	struct cell *cells;
	size_t cells_count, cells_cap;
	uint32_t *heads;	/* heads_mask + 1 chains */
	uint32_t heads_mask;
	struct arena texts;
	uint64_t opened;	/* which of the buckets opened so far it is, from 1 */
};

struct tier {
	uint32_t seconds;
	struct bucket buckets[OPEN_MAX];
};

struct rollup {
	struct tier tiers[ROLLUP_TIERS_COUNT];
	size_t edges_max;
	uint64_t opened;	/* buckets so far */
	struct counters *counters;
	struct hist **spare;	/* histograms to use again */
	size_t spare_count, spare_cap;
	struct wr bytes;
};

struct rollup *rollup_new(size_t edges_max, struct counters *counters)
{
	static const uint32_t seconds[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;
	struct rollup *rollup = mem_zalloc(sizeof(*rollup));

	if (!rollup)
		return NULL;
	rollup->edges_max = edges_max ? edges_max : 10000;
	rollup->counters = counters;
	wr_init(&rollup->bytes, 0);
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++) {
		rollup->tiers[t].seconds = seconds[t];
		for (int i = 0; i < OPEN_MAX; i++)
			rollup->tiers[t].buckets[i].start_ns = UINT64_MAX;
	}
	return rollup;
}

static void bucket_release(struct bucket *bucket)
{
	for (size_t i = 0; i < bucket->cells_count; i++)
		for (int h = 0; h < ROLLUP_TIMES; h++)
			hist_free(bucket->cells[i].hists[h]);
	mem_free(bucket->cells);
	mem_free(bucket->heads);
	arena_release(&bucket->texts);
}

void rollup_free(struct rollup *rollup)
{
	if (!rollup)
		return;
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		for (int i = 0; i < OPEN_MAX; i++)
			bucket_release(&rollup->tiers[t].buckets[i]);
	for (size_t i = 0; i < rollup->spare_count; i++)
		hist_free(rollup->spare[i]);
	mem_free(rollup->spare);
	wr_release(&rollup->bytes);
	mem_free(rollup);
}

/* ---- edges ---- */

static uint64_t edge_hash(const struct rollup_edge *edge)
{
	const struct view *texts = &edge->src_workload;
	uint64_t h = edge->dst_port | (uint64_t)edge->proto << 16 | (uint64_t)edge->l7 << 24 |
		     (uint64_t)edge->has_port << 32;

	for (int i = 0; i < 7; i++)
		h = hash_bytes(texts[i].at, texts[i].len, h);
	return h;
}
_Static_assert(offsetof(struct rollup_edge, dst_port) == 7 * sizeof(struct view), "seven texts come first");

static bool edge_eq(const struct rollup_edge *a, const struct rollup_edge *b)
{
	const struct view *x = &a->src_workload, *y = &b->src_workload;

	if (a->dst_port != b->dst_port || a->has_port != b->has_port || a->proto != b->proto || a->l7 != b->l7)
		return false;
	for (int i = 0; i < 7; i++)
		if (!view_eq(x[i], y[i]))
			return false;
	return true;
}

static bool grow_heads(struct bucket *bucket)
{
	size_t count = bucket->heads ? ((size_t)bucket->heads_mask + 1) * 4 : 64;
	uint32_t *heads = mem_array(count, sizeof(*heads));

	if (!heads)
		return bucket->heads != NULL;	/* longer chains will do */
	memset(heads, 0xff, count * sizeof(*heads));
	mem_free(bucket->heads);
	bucket->heads = heads;
	bucket->heads_mask = (uint32_t)count - 1;
	for (size_t i = 0; i < bucket->cells_count; i++) {
		uint32_t *head = &heads[bucket->cells[i].hash & bucket->heads_mask];

		bucket->cells[i].next = *head;
		*head = (uint32_t)i;
	}
	return true;
}

static struct cell *cell_find(const struct bucket *bucket, const struct rollup_edge *edge, uint64_t hash)
{
	uint32_t i = bucket->heads ? bucket->heads[hash & bucket->heads_mask] : NONE;

	for (; i != NONE; i = bucket->cells[i].next)
		if (bucket->cells[i].hash == hash && edge_eq(&bucket->cells[i].edge, edge))
			return &bucket->cells[i];
	return NULL;
}

static struct cell *cell_new(struct bucket *bucket, const struct rollup_edge *edge, uint64_t hash)
{
	struct view *texts;
	struct cell *cell;
	uint32_t *head;

	if ((!bucket->heads || bucket->cells_count > bucket->heads_mask) && !grow_heads(bucket))
		return NULL;
	if (mem_grow((void **)&bucket->cells, &bucket->cells_cap, bucket->cells_count, sizeof(*cell)) < 0)
		return NULL;
	cell = &bucket->cells[bucket->cells_count];
	memset(cell, 0, sizeof(*cell));
	cell->edge = *edge;
	cell->hash = hash;
	texts = &cell->edge.src_workload;
	for (int i = 0; i < 7; i++) {
		if (!texts[i].len)
			continue;
		texts[i] = arena_copy(&bucket->texts, texts[i]);
		if (!texts[i].at)
			return NULL;
	}
	head = &bucket->heads[hash & bucket->heads_mask];
	cell->next = *head;
	*head = (uint32_t)bucket->cells_count++;
	return cell;
}

/* The edge's cell; that of the folded edge once the bucket has its number of edges. */
static struct cell *cell_get(struct rollup *rollup, struct bucket *bucket, const struct rollup_edge *edge,
			     bool *ret_folded)
{
	uint64_t hash = edge_hash(edge);
	struct cell *cell = cell_find(bucket, edge, hash);
	struct rollup_edge folded;

	if (cell)
		return cell;
	if (bucket->cells_count < rollup->edges_max)
		return cell_new(bucket, edge, hash);
	*ret_folded = true;
	folded = (struct rollup_edge){ .src_workload = VIEW_LIT("other"), .dst_workload = VIEW_LIT("other"),
				       .proto = edge->proto, .l7 = edge->l7 };
	if (rollup->counters)
		counter_add(rollup->counters, COUNTER_rollup_folded_total, 1);
	hash = edge_hash(&folded);
	cell = cell_find(bucket, &folded, hash);
	return cell ? cell : cell_new(bucket, &folded, hash);
}

/* ---- histograms ---- */

static struct hist *hist_take(struct rollup *rollup)
{
	if (rollup->spare_count)
		return rollup->spare[--rollup->spare_count];
	return hist_new();
}

static void hist_give(struct rollup *rollup, struct hist *hist)
{
	if (mem_grow((void **)&rollup->spare, &rollup->spare_cap, rollup->spare_count, sizeof(hist)) < 0) {
		hist_free(hist);
		return;
	}
	hist_reset(hist);
	rollup->spare[rollup->spare_count++] = hist;
}

static void add_times(struct rollup *rollup, struct hist **hists, const struct rollup_times *times)
{
	for (int h = 0; h < ROLLUP_TIMES; h++) {
		if (!times->has[h])
			continue;
		if (!hists[h])
			hists[h] = hist_take(rollup);
		if (hists[h])
			(void)hist_add(hists[h], times->ns[h], 1);	/* out of memory: the cell's counts stay right */
	}
}

/* ---- buckets ---- */

static void add_counts(struct rollup_counts *to, const struct rollup_counts *from)
{
	uint64_t *a = &to->flows;
	const uint64_t *b = &from->flows;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*a); i++)
		a[i] += b[i];
}

static struct view hist_text(struct rollup *rollup, struct batch *batch, const struct hist *hist)
{
	wr_reset(&rollup->bytes);
	hist_write(hist, &rollup->bytes);
	return rollup->bytes.bad ? (struct view){ 0 } : batch_text(batch, wr_view(&rollup->bytes));
}

#define SET_TEXT(row, member, text)					\
	do {								\
		if ((text).len)						\
			ROW_SET(ROLLUP, row, member, batch_text(batch, text)); \
	} while (0)
#define SET_HIST(row, member, hist)					\
	do {								\
		struct view hist_bytes_ = (hist) ? hist_text(rollup, batch, hist) : (struct view){ 0 }; \
		if (hist_bytes_.len)					\
			ROW_SET(ROLLUP, row, member, hist_bytes_);	\
	} while (0)

static void write_cell(struct rollup *rollup, struct batch *batch, uint64_t start_ns, uint32_t seconds,
		       const struct cell *cell)
{
	const struct rollup_edge *edge = &cell->edge;
	const struct rollup_counts *counts = &cell->counts;
	struct rollup_row *row = batch_row(batch, TABLE_ROLLUPS);

	if (!row)
		return;
	row->start_ns = start_ns;
	row->end_ns = start_ns + seconds * NS_PER_SEC;
	row->tier = seconds;
	SET_TEXT(row, src_workload, edge->src_workload);
	SET_TEXT(row, src_namespace, edge->src_namespace);
	SET_TEXT(row, src_node, edge->src_node);
	SET_TEXT(row, dst_workload, edge->dst_workload);
	SET_TEXT(row, dst_namespace, edge->dst_namespace);
	SET_TEXT(row, dst_node, edge->dst_node);
	SET_TEXT(row, dst_service, edge->dst_service);
	if (edge->has_port)
		ROW_SET(ROLLUP, row, dst_port, edge->dst_port);
	ROW_SET(ROLLUP, row, proto, edge->proto);
	ROW_SET(ROLLUP, row, l7, edge->l7);
	row->flows = counts->flows;
	row->flows_failed = counts->flows_failed;
	row->tx_packets = counts->tx_packets;
	row->rx_packets = counts->rx_packets;
	row->tx_bytes = counts->tx_bytes;
	row->rx_bytes = counts->rx_bytes;
	row->retransmits = counts->retransmits;
	row->resets = counts->resets;
	row->calls = counts->calls;
	row->client_errors = counts->client_errors;
	row->server_errors = counts->server_errors;
	row->unanswered = counts->unanswered;
	SET_HIST(row, latency, cell->hists[ROLLUP_LATENCY]);
	SET_HIST(row, ttfb, cell->hists[ROLLUP_TTFB]);
	SET_HIST(row, handshake, cell->hists[ROLLUP_HANDSHAKE]);
	SET_HIST(row, syn_rtt, cell->hists[ROLLUP_SYN_RTT]);
}

static struct bucket *bucket_get(struct rollup *rollup, struct batch *batch, unsigned t, uint64_t time_ns);

/* Write a bucket's rows, and add them to the longer bucket around it. */
static void close_bucket(struct rollup *rollup, struct batch *batch, unsigned t, struct bucket *bucket)
{
	struct bucket *around = NULL;

	if (t + 1 < ROLLUP_TIERS_COUNT && bucket->cells_count)
		around = bucket_get(rollup, batch, t + 1, bucket->start_ns);
	for (size_t i = 0; i < bucket->cells_count; i++) {
		struct cell *cell = &bucket->cells[i];
		bool folded;
		struct cell *sum = around ? cell_get(rollup, around, &cell->edge, &folded) : NULL;

		write_cell(rollup, batch, bucket->start_ns, rollup->tiers[t].seconds, cell);
		if (sum)
			add_counts(&sum->counts, &cell->counts);
		for (int h = 0; h < ROLLUP_TIMES; h++) {
			if (!cell->hists[h])
				continue;
			if (sum && !sum->hists[h]) {	/* its first: moves there as it is */
				sum->hists[h] = cell->hists[h];
				continue;
			}
			if (sum)
				(void)hist_merge(sum->hists[h], cell->hists[h]);
			hist_give(rollup, cell->hists[h]);
		}
	}
	bucket->cells_count = 0;
	if (bucket->heads)
		memset(bucket->heads, 0xff, ((size_t)bucket->heads_mask + 1) * sizeof(uint32_t));
	arena_reset(&bucket->texts);
	bucket->start_ns = UINT64_MAX;
}

static struct bucket *bucket_get(struct rollup *rollup, struct batch *batch, unsigned t, uint64_t time_ns)
{
	struct tier *tier = &rollup->tiers[t];
	uint64_t start_ns = time_ns - time_ns % (tier->seconds * NS_PER_SEC);
	struct bucket *free_one = NULL, *oldest = NULL;

	for (int i = 0; i < OPEN_MAX; i++) {
		struct bucket *bucket = &tier->buckets[i];

		if (bucket->start_ns == start_ns)
			return bucket;
		if (bucket->start_ns == UINT64_MAX)
			free_one = bucket;
		else if (!oldest || bucket->start_ns < oldest->start_ns)
			oldest = bucket;
	}
	if (!free_one) {
		close_bucket(rollup, batch, t, oldest);
		free_one = oldest;
	}
	free_one->start_ns = start_ns;
	free_one->opened = ++rollup->opened;
	return free_one;
}

static void add(struct rollup *rollup, struct cell *cell, const struct rollup_counts *counts,
		const struct rollup_times *times)
{
	add_counts(&cell->counts, counts);
	if (times)
		add_times(rollup, cell->hists, times);
}

void rollup_add(struct rollup *rollup, struct batch *batch, uint64_t time_ns, const struct rollup_edge *edge,
		const struct rollup_counts *counts, const struct rollup_times *times, struct rollup_place *ret_place)
{
	struct bucket *bucket = bucket_get(rollup, batch, 0, time_ns);
	bool folded = false;
	struct cell *cell = cell_get(rollup, bucket, edge, &folded);

	if (!cell)
		return;
	add(rollup, cell, counts, times);
	if (ret_place && !folded)	/* those folded are counted, each time */
		*ret_place = (struct rollup_place){ .opened = bucket->opened, .bucket = (uint32_t)(bucket - rollup->tiers[0].buckets),
						    .cell = (uint32_t)(cell - bucket->cells) };
}

bool rollup_add_at(struct rollup *rollup, uint64_t time_ns, const struct rollup_place *place,
		   const struct rollup_counts *counts, const struct rollup_times *times)
{
	struct bucket *bucket = &rollup->tiers[0].buckets[place->bucket];

	/* One that was closed has no start, and another number when it is used again. */
	if (bucket->opened != place->opened || time_ns < bucket->start_ns ||
	    time_ns - bucket->start_ns >= rollup->tiers[0].seconds * NS_PER_SEC)
		return false;
	add(rollup, &bucket->cells[place->cell], counts, times);
	return true;
}

void rollup_tick(struct rollup *rollup, struct batch *batch, uint64_t now_ns)
{
	for (unsigned t = 0; t < ROLLUP_TIERS_COUNT; t++) {
		struct tier *tier = &rollup->tiers[t];
		/* A minute's last ten seconds are closed in this same round, before it. */
		uint64_t age_ns = tier->seconds * NS_PER_SEC + GRACE_NS;

		for (int i = 0; i < OPEN_MAX; i++)
			if (tier->buckets[i].start_ns != UINT64_MAX && now_ns >= age_ns &&
			    tier->buckets[i].start_ns <= now_ns - age_ns)
				close_bucket(rollup, batch, t, &tier->buckets[i]);
	}
}

void rollup_flush(struct rollup *rollup, struct batch *batch)
{
	for (unsigned t = 0; t < ROLLUP_TIERS_COUNT; t++)
		for (int i = 0; i < OPEN_MAX; i++)
			if (rollup->tiers[t].buckets[i].start_ns != UINT64_MAX)
				close_bucket(rollup, batch, t, &rollup->tiers[t].buckets[i]);
}
