/*
 * What a filter rules out before a row group is opened: by the bitmap indexes of
 * a sealed partition, by zones (the begin of its rows), and by the bloom filters. Each answer errs towards "may
 * hold a match".
 */
#include "base/clock.h"
#include "query/filter_node.h"

#define LOOKUPS_MAX	 256	/* beyond it, scanning costs less than gathering bitmaps */
#define INDEX_VALUES_MAX 200000 /* walked to find those that a pattern or network fits */
#define BLOOM_VALUES_MAX 64
#define BLOOM_WANTED_MAX 4	/* values of a leaf whose bits are read ahead */

/* ---- bitmap indexes ---- */

struct prune {
	struct store_view *view;
	size_t part;
	enum table_id table;
	struct err *err;
	const struct col *start;
};

/* *bitmap |= row groups with value. 1: the index cannot tell. */
static int lookup_or(const struct prune *prune, const struct col *col, struct view value,
		     struct bitmap **bitmap)
{
	struct bitmap *found = NULL;
	int rc = store_index_lookup(prune->view, prune->part, prune->table, col, value, &found,
				    prune->err);

	if (rc < 0)
		return rc;
	if (!found)
		return 1;
	if (*bitmap) {
		bitmap_or(*bitmap, found);
		bitmap_free(found);
	} else {
		*bitmap = found;
	}
	return 0;
}

static struct view int_key(uint64_t value, uint8_t key[8])
{
	memcpy(key, &value, 8); /* little-endian machines only: base/rd.h asserts it */
	return view_make(key, 8);
}

/* The values of a leaf when they are few enough to be looked up one by one. */
static uint64_t point_count(const struct filter_node *node)
{
	uint64_t count = 0;

	if (node->kind == FILTER_TEXT)
		return node->op == OP_EQ ? node->texts_count : UINT64_MAX;
	for (size_t i = 0; node->kind == FILTER_IPS && i < node->ip_spans_count; i++) {
		if (!ip_eq(&node->ip_spans[i].from, &node->ip_spans[i].to))
			return UINT64_MAX;
		count++;
	}
	for (size_t i = 0; node->kind == FILTER_INTS && i < node->spans_count; i++) {
		uint64_t width = node->spans[i].to - node->spans[i].from;

		if (width >= LOOKUPS_MAX || count > LOOKUPS_MAX)
			return UINT64_MAX;
		count += width + 1;
	}
	return count;
}

static int points_or(const struct prune *prune, const struct filter_node *node,
		     const struct col *col, struct bitmap **bitmap)
{
	uint8_t key[8];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < node->texts_count; i++)
		rc = lookup_or(prune, col, node->texts[i], bitmap);
	for (size_t i = 0; rc == 0 && i < node->ip_spans_count; i++)
		rc = lookup_or(prune, col, view_make(node->ip_spans[i].from.b, sizeof(struct ip)),
			       bitmap);
	for (size_t i = 0; rc == 0 && i < node->spans_count; i++)
		for (uint64_t v = node->spans[i].from; rc == 0; v++) {
			rc = lookup_or(prune, col, int_key(v, key), bitmap);
			if (v == node->spans[i].to)
				break;
		}
	return rc;
}

struct walk {
	const struct prune *prune;
	const struct filter_node *node;
	const struct col *col;
	struct bitmap **bitmap;
	size_t seen, found;
	int rc;
};

static bool walk_value(struct view value, void *arg)
{
	struct walk *walk = arg;
	uint64_t number = 0;
	int fits;

	if (++walk->seen > INDEX_VALUES_MAX) {
		walk->rc = 1;
		return false;
	}
	if (walk->node->kind == FILTER_INTS) {
		memcpy(&number, value.at, value.len < 8 ? value.len : 8);
		fits = filter_spans_have(walk->node, number);
	} else if (walk->node->kind == FILTER_IPS) {
		fits = filter_ip_spans_have(walk->node, value);
	} else {
		fits = filter_text_fits(walk->node, value, walk->prune->err);
	}
	if (fits < 0) {
		walk->rc = fits;
		return false;
	}
	if (fits && ++walk->found > LOOKUPS_MAX)
		walk->rc = 1;
	else if (fits)
		walk->rc = lookup_or(walk->prune, walk->col, value, walk->bitmap);
	return walk->rc == 0;
}

static int walk_or(const struct prune *prune, const struct filter_node *node, const struct col *col,
		   struct bitmap **bitmap)
{
	struct walk walk = { .prune = prune, .node = node, .col = col, .bitmap = bitmap };
	struct err why = { 0 };
	int rc = store_index_values(prune->view, prune->part, prune->table, col, walk_value, &walk,
				    &why);

	if (walk.rc)
		return walk.rc;
	return rc < 0 ? 1 : 0; /* no index of values here (hot): scan */
}

/* ---- zones: what a condition on the begin leaves, also amid an OR ---- */

static bool spans_meet(const struct filter_node *node, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < node->spans_count; i++)
		if (node->spans[i].from <= to && node->spans[i].to >= from)
			return true;
	return false;
}

/* An unreadable zone may hold anything: whoever opens the row group counts the damage. */
static int zones_or(const struct prune *prune, const struct filter_node *node, struct bitmap *bitmap)
{
	size_t count = store_rg_count(prune->view, prune->part, prune->table);
	int rc = 0;

	for (size_t rg = 0; rc == 0 && rg < count; rg++) {
		struct rg_zone zone;

		rc = store_rg_zone(prune->view, prune->part, prune->table, rg, &zone, prune->err);
		if (rc == E_CORRUPT || (rc == 0 && spans_meet(node, zone.start_min, zone.start_max)))
			rc = bitmap_add(bitmap, (uint32_t)rg);
	}
	return rc;
}

static int start_groups(const struct prune *prune, const struct filter_node *node,
			struct bitmap **ret_bitmap)
{
	uint64_t from = store_view_part(prune->view, prune->part)->hour * NS_PER_HOUR;
	uint64_t to = from + (NS_PER_HOUR - 1);
	struct bitmap *bitmap;
	int rc = 0;

	for (size_t i = 0; i < node->spans_count; i++)
		if (node->spans[i].from <= from && node->spans[i].to >= to)
			return 0; /* the whole hour fits */
	bitmap = bitmap_new();
	if (!bitmap)
		return err_set(prune->err, E_NO_MEMORY, "filter: out of memory");
	if (spans_meet(node, from, to))
		rc = zones_or(prune, node, bitmap);
	if (rc < 0) {
		bitmap_free(bitmap);
		return rc;
	}
	*ret_bitmap = bitmap;
	return 0;
}

static int leaf_groups(const struct prune *prune, const struct filter_node *node,
		       struct bitmap **ret_bitmap)
{
	struct bitmap *bitmap = NULL;
	int rc = 0;

	if (node->kind == FILTER_INTS && node->cols_count == 1 && node->cols[0] == prune->start)
		return start_groups(prune, node, ret_bitmap);
	for (size_t i = 0; rc == 0 && i < node->cols_count; i++) {
		if (node->cols[i]->index != INDEX_BITMAP)
			rc = 1;
		else if (point_count(node) <= LOOKUPS_MAX)
			rc = points_or(prune, node, node->cols[i], &bitmap);
		else
			rc = walk_or(prune, node, node->cols[i], &bitmap);
	}
	if (rc == 0 && !bitmap) { /* no value fits: no row group */
		bitmap = bitmap_new();
		rc = bitmap ? 0 : err_set(prune->err, E_NO_MEMORY, "filter: out of memory");
	}
	if (rc != 0) {
		bitmap_free(bitmap);
		return rc < 0 ? rc : 0;
	}
	*ret_bitmap = bitmap;
	return 0;
}

static int node_groups(const struct prune *prune, const struct filter_node *node,
		       struct bitmap **ret_bitmap);

static int list_groups(const struct prune *prune, const struct filter_node *node,
		       struct bitmap **ret_bitmap)
{
	struct bitmap *all = NULL;
	int rc = 0;

	for (size_t i = 0; i < node->kids_count; i++) {
		struct bitmap *one = NULL;

		rc = node_groups(prune, node->kids[i], &one);
		if (rc < 0)
			break;
		if (!one && node->kind == FILTER_AND)
			continue;
		if (!one) { /* one branch of an OR may be anywhere */
			bitmap_free(all);
			return 0;
		}
		if (!all) {
			all = one;
			continue;
		}
		if (node->kind == FILTER_AND)
			bitmap_and(all, one);
		else
			bitmap_or(all, one);
		bitmap_free(one);
	}
	if (rc < 0) {
		bitmap_free(all);
		return rc;
	}
	*ret_bitmap = all;
	return 0;
}

static int node_groups(const struct prune *prune, const struct filter_node *node,
		       struct bitmap **ret_bitmap)
{
	*ret_bitmap = NULL;
	switch (node->kind) {
	case FILTER_AND:
	case FILTER_OR: return list_groups(prune, node, ret_bitmap);
	case FILTER_INTS:
	case FILTER_IPS:
	case FILTER_TEXT: return leaf_groups(prune, node, ret_bitmap);
	default: return 0;
	}
}

int filter_row_groups(const struct filter *filter, struct store_view *view, size_t part,
		      enum table_id table, struct bitmap **ret_bitmap, struct err *err)
{
	struct prune prune = { view, part, table, err, &filter->table->cols[filter->table->start_ord] };

	return node_groups(&prune, filter->root, ret_bitmap);
}

/* ---- bloom filters ---- */

static int leaf_bloom(const struct prune *prune, const struct filter_node *node, size_t rg)
{
	uint8_t key[8];
	int rc = 0;

	if (point_count(node) > BLOOM_VALUES_MAX)
		return 1;
	for (size_t i = 0; i < node->cols_count; i++)
		if (node->cols[i]->index != INDEX_BLOOM)
			return 1;
	for (size_t c = 0; c < node->cols_count; c++) {
		const struct col *col = node->cols[c];

		for (size_t i = 0; rc == 0 && i < node->texts_count; i++)
			rc = store_bloom_may_have(prune->view, prune->part, prune->table, rg, col,
						  node->texts[i], prune->err);
		for (size_t i = 0; rc == 0 && i < node->spans_count; i++)
			for (uint64_t v = node->spans[i].from; rc == 0; v++) {
				rc = store_bloom_may_have(prune->view, prune->part, prune->table,
							  rg, col, int_key(v, key), prune->err);
				if (v == node->spans[i].to)
					break;
			}
	}
	return rc;
}

static int node_bloom(const struct prune *prune, const struct filter_node *node, size_t rg)
{
	switch (node->kind) {
	case FILTER_AND:
	case FILTER_OR:
		for (size_t i = 0; i < node->kids_count; i++) {
			int rc = node_bloom(prune, node->kids[i], rg);

			if (rc < 0 || rc == (node->kind == FILTER_OR))
				return rc;
		}
		return node->kind == FILTER_AND;
	case FILTER_INTS:
	case FILTER_TEXT: return leaf_bloom(prune, node, rg);
	default: return 1;
	}
}

int filter_bloom(const struct filter *filter, struct store_view *view, size_t part,
		 enum table_id table, size_t rg, struct err *err)
{
	struct prune prune = { view, part, table, err, &filter->table->cols[filter->table->start_ord] };

	return node_bloom(&prune, filter->root, rg);
}

static void node_want(const struct prune *prune, const struct filter_node *node, size_t rg, bool bits)
{
	uint8_t key[8];

	for (size_t i = 0; i < node->kids_count; i++)
		node_want(prune, node->kids[i], rg, bits);
	if ((node->kind != FILTER_INTS && node->kind != FILTER_TEXT) || point_count(node) > BLOOM_WANTED_MAX)
		return;
	for (size_t c = 0; c < node->cols_count; c++) {
		const struct col *col = node->cols[c];

		if (col->index != INDEX_BLOOM)
			return;
		for (size_t i = 0; i < node->texts_count; i++)
			store_bloom_want(prune->view, prune->part, prune->table, rg, col, node->texts[i], bits);
		for (size_t i = 0; i < node->spans_count; i++)
			store_bloom_want(prune->view, prune->part, prune->table, rg, col,
					 int_key(node->spans[i].from, key), bits);
	}
}

void filter_bloom_want(const struct filter *filter, struct store_view *view, size_t part,
		       enum table_id table, size_t rg, bool bits)
{
	struct prune prune = { view, part, table, NULL, NULL };

	node_want(&prune, filter->root, rg, bits);
}
