/*
 * Evaluation. A leaf works on one column at a time: numbers by comparing with
 * spans, texts by asking each entry of the dictionary once and then looking at the
 * codes; a column that nobody else asks for as it is stored, else decoded. AND narrows the rows of interest, so that the
 * dear conditions, which come last, are not even decoded when nothing is left.
 */
#include "query/filter_node.h"

bool filter_uses(const struct filter *filter, const struct col *col)
{
	return row_has(filter->uses, col->ordinal);
}

bool filter_is_all(const struct filter *filter)
{
	return filter->root->kind == FILTER_ALL;
}

/* ---- the range of start_ns it allows ---- */

static void start_range(const struct filter_node *node, const struct col *start, uint64_t *from,
			uint64_t *to)
{
	if (node->kind == FILTER_AND) {
		for (size_t i = 0; i < node->kids_count; i++)
			start_range(node->kids[i], start, from, to);
	} else if (node->kind == FILTER_INTS && node->cols_count == 1 && node->cols[0] == start) {
		const struct chunk_span *spans = node->spans;
		uint64_t last;

		if (node->spans_count == 0) { /* nothing can be so */
			*to = *from;
			return;
		}
		last = spans[node->spans_count - 1].to;
		if (spans[0].from > *from)
			*from = spans[0].from;
		if (last < UINT64_MAX && last + 1 < *to)
			*to = last + 1;
	}
}

void filter_start_range(const struct filter *filter, uint64_t *ret_from_ns, uint64_t *ret_to_ns)
{
	uint64_t from = 0, to = UINT64_MAX;

	start_range(filter->root, &filter->table->cols[filter->table->start_ord], &from, &to);
	*ret_from_ns = from;
	*ret_to_ns = to;
}

static bool node_ids(const struct filter_node *node, const struct col *col, uint64_t *ids,
		     size_t cap, size_t *ret_count)
{
	size_t count = 0;

	for (size_t i = 0; node->kind == FILTER_AND && i < node->kids_count; i++)
		if (node_ids(node->kids[i], col, ids, cap, ret_count))
			return true;
	if (node->kind != FILTER_INTS || node->cols_count != 1 || node->cols[0] != col)
		return false;
	for (size_t i = 0; i < node->spans_count; i++) {
		if (node->spans[i].to - node->spans[i].from >= cap - count)
			return false;
		for (uint64_t v = node->spans[i].from;; v++) {
			ids[count++] = v;
			if (v == node->spans[i].to)
				break;
		}
	}
	*ret_count = count;
	return true;
}

bool filter_ids(const struct filter *filter, const struct col *col, uint64_t *ids, size_t cap,
		size_t *ret_count)
{
	return node_ids(filter->root, col, ids, cap, ret_count);
}

/* ---- one value ---- */

bool filter_spans_have(const struct filter_node *node, uint64_t value)
{
	size_t low = 0, high = node->spans_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (node->spans[mid].to < value)
			low = mid + 1;
		else
			high = mid;
	}
	return low < node->spans_count && node->spans[low].from <= value;
}

bool filter_ip_spans_have(const struct filter_node *node, struct view ip)
{
	size_t low = 0, high = node->ip_spans_count;

	if (ip.len != sizeof(struct ip))
		return false;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (memcmp(node->ip_spans[mid].to.b, ip.at, ip.len) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < node->ip_spans_count && memcmp(node->ip_spans[low].from.b, ip.at, ip.len) <= 0;
}

static bool texts_have(const struct filter_node *node, struct view text)
{
	size_t low = 0, high = node->texts_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = view_cmp(node->texts[mid], text);

		if (order == 0)
			return true;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool order_fits(enum filter_op op, int order)
{
	switch (op) {
	case OP_LT: return order < 0;
	case OP_LE: return order <= 0;
	case OP_GT: return order > 0;
	case OP_GE: return order >= 0;
	case OP_NE: return order != 0;
	default: return order == 0;
	}
}

int filter_text_fits(const struct filter_node *node, struct view text, struct err *err)
{
	struct view want = node->texts_count ? node->texts[0] : view_make(NULL, 0);

	switch (node->op) {
	case OP_EQ:
	case OP_IN: return texts_have(node, text);
	case OP_CONTAINS: return view_find(text, want) >= 0;
	case OP_STARTS: return text.len >= want.len && view_eq(view_sub(text, 0, want.len), want);
	case OP_ENDS:
		return text.len >= want.len &&
		       view_eq(view_sub(text, text.len - want.len, want.len), want);
	case OP_MATCHES: return regex_match(node->regex, text, err);
	default: return order_fits(node->op, view_cmp(text, want));
	}
}

static int bytes_fit(const struct filter_node *node, struct view value, struct err *err)
{
	return node->kind == FILTER_IPS ? filter_ip_spans_have(node, value)
					: filter_text_fits(node, value, err);
}

/* bytes_fit as rg_match_bytes asks it. */
static int text_fits(const void *arg, struct view text, struct err *err)
{
	return bytes_fit(arg, text, err);
}

/* ---- vectors ---- */

static bool any_bit(const uint64_t *bits, size_t words)
{
	uint64_t any = 0;

	for (size_t i = 0; i < words; i++)
		any |= bits[i];
	return any != 0;
}

static uint64_t *bits_new(struct columns *columns, struct err *err)
{
	uint64_t *bits = arena_array(columns->arena, columns_words(columns) + 1, sizeof(*bits));

	if (!bits)
		(void)err_set(err, E_NO_MEMORY, "filter: out of memory");
	return bits;
}

/* values[i] in [from, to], 64 at a time. */
static uint64_t span_word(const uint64_t *values, unsigned count, uint64_t from, uint64_t width)
{
	uint64_t word = 0;

	for (unsigned i = 0; i < count; i++)
		word |= (uint64_t)(values[i] - from <= width) << i;
	return word;
}

/* What passes of a column, as it is stored, to the hits. 1; 0: it has to be decoded. */
static int stored_or(const struct filter_node *node, const struct col *col, struct columns *columns,
		     const uint64_t *want, uint64_t *hits, struct err *err)
{
	bool equal = node->kind == FILTER_TEXT && (node->op == OP_EQ || node->op == OP_IN);
	struct rg_wanted texts = { text_fits, node, equal ? node->texts : NULL, node->texts_count };
	uint64_t *bits = bits_new(columns, err);
	int rc = !bits ? E_NO_MEMORY
		 : node->kind == FILTER_INTS
			 ? columns_match_ints(columns, col, node->spans, node->spans_count, bits, err)
			 : columns_match_bytes(columns, col, &texts, bits, err);

	for (size_t w = 0; rc == 1 && w < columns_words(columns); w++)
		hits[w] |= bits[w] & want[w];
	return rc;
}

static int ints_or(const struct filter_node *node, const struct col *col, struct columns *columns,
		   const uint64_t *want, uint64_t *hits, struct err *err)
{
	struct rg_ints ints;
	int rc = stored_or(node, col, columns, want, hits, err);

	if (rc == 0)
		rc = columns_ints(columns, col, &ints, err);
	else if (rc == 1)
		return 0;
	if (rc < 0)
		return rc;
	for (uint32_t row = 0, w = 0; row < columns->rows; row += 64, w++) {
		unsigned count = columns->rows - row < 64 ? columns->rows - row : 64;
		uint64_t word = 0;

		if (!want[w] || (ints.valid && !ints.valid[w]))
			continue;
		if (node->spans_count <= 4) {
			for (size_t s = 0; s < node->spans_count; s++)
				word |= span_word(ints.values + row, count, node->spans[s].from,
						  node->spans[s].to - node->spans[s].from);
		} else {
			for (unsigned i = 0; i < count; i++)
				word |= (uint64_t)filter_spans_have(node, ints.values[row + i])
					<< i;
		}
		hits[w] |= ints.valid ? word & ints.valid[w] : word;
	}
	return 0;
}

/* Without codes the dictionary is the column: only rows of interest are asked. */
static int plain_or(const struct filter_node *node, const struct rg_bytes *bytes,
		    const struct columns *columns, const uint64_t *want, uint64_t *hits,
		    struct err *err)
{
	for (size_t w = 0; w < columns_words(columns); w++) {
		uint64_t left = bytes->valid ? want[w] & bytes->valid[w] : want[w];

		for (; left; left &= left - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(left);
			int rc = bytes_fit(node, bytes->dict[64 * w + bit], err);

			if (rc < 0)
				return rc;
			hits[w] |= (uint64_t)rc << bit;
		}
	}
	return 0;
}

/* fits[codes[i]], a bit each: eight bytes, each 0 or 1, become bits by one multiplication. */
static uint64_t codes_word(const uint32_t *codes, unsigned count, const uint8_t *fits, uint32_t none)
{
	uint64_t word = 0;
	unsigned i = 0;

	for (; i + 8 <= count; i += 8) {
		uint64_t eight = 0;

		for (unsigned k = 0; k < 8; k++) {
			uint32_t code = codes[i + k];

			eight |= (uint64_t)fits[code < none ? code : none] << 8 * k;
		}
		word |= (eight * 0x0102040810204080ull >> 56) << i;
	}
	for (; i < count; i++)
		word |= (uint64_t)fits[codes[i] < none ? codes[i] : none] << i;
	return word;
}

static int bytes_or(const struct filter_node *node, const struct col *col, struct columns *columns,
		    const uint64_t *want, uint64_t *hits, struct err *err)
{
	struct rg_bytes bytes;
	uint8_t *fits;
	int rc = stored_or(node, col, columns, want, hits, err);

	if (rc == 1)
		return 0;
	if (rc == 0)
		rc = columns_bytes(columns, col, &bytes, err);
	if (rc < 0)
		return rc;
	if (!bytes.codes)
		return plain_or(node, &bytes, columns, want, hits, err);
	/* One more entry, never true: null rows have any code. */
	fits = arena_array(columns->arena, (size_t)bytes.dict_count + 1, 1);
	if (!fits)
		return err_set(err, E_NO_MEMORY, "filter: out of memory");
	for (uint32_t i = 0; i < bytes.dict_count; i++) {
		rc = bytes_fit(node, bytes.dict[i], err);
		if (rc < 0)
			return rc;
		fits[i] = (uint8_t)rc;
	}
	for (uint32_t row = 0, w = 0; row < columns->rows; row += 64, w++) {
		unsigned count = columns->rows - row < 64 ? columns->rows - row : 64;
		uint64_t word;

		if (!want[w])
			continue;
		word = codes_word(bytes.codes + row, count, fits, bytes.dict_count);
		hits[w] |= bytes.valid ? word & bytes.valid[w] : word;
	}
	return 0;
}

static int has_or(const struct col *col, struct columns *columns, uint64_t *hits, struct err *err)
{
	const uint64_t *valid;
	int rc;

	if (types[col->type].phys == PHYS_INT) {
		struct rg_ints ints;

		rc = columns_ints(columns, col, &ints, err);
		valid = rc < 0 ? NULL : ints.valid;
	} else {
		struct rg_bytes bytes;

		rc = columns_bytes(columns, col, &bytes, err);
		valid = rc < 0 ? NULL : bytes.valid;
	}
	if (rc < 0)
		return rc;
	for (size_t w = 0; w < columns_words(columns); w++)
		hits[w] |= valid ? valid[w] : UINT64_MAX;
	return 0;
}

static int cols_eval(const struct filter_node *node, struct columns *columns, uint64_t *bits,
		     struct err *err)
{
	bool ints = types[node->cols[0]->type].phys == PHYS_INT;
	struct rg_ints a, b;
	struct rg_bytes x, y;
	int rc = ints ? columns_ints(columns, node->cols[0], &a, err)
		      : columns_bytes(columns, node->cols[0], &x, err);

	if (rc == 0)
		rc = ints ? columns_ints(columns, node->cols[1], &b, err)
			  : columns_bytes(columns, node->cols[1], &y, err);
	if (rc < 0)
		return rc;
	for (size_t w = 0; w < columns_words(columns); w++) {
		uint64_t left = bits[w], hits = 0;
		const uint64_t *one = ints ? a.valid : x.valid, *two = ints ? b.valid : y.valid;

		left &= one ? one[w] : UINT64_MAX;
		left &= two ? two[w] : UINT64_MAX;
		for (; left; left &= left - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(left);
			uint32_t row = (uint32_t)(64 * w + bit);
			int order = ints ? (a.values[row] > b.values[row]) -
						    (a.values[row] < b.values[row])
					 : view_cmp(columns_text(&x, row), columns_text(&y, row));

			hits |= (uint64_t)order_fits(node->op, order) << bit;
		}
		bits[w] = hits;
	}
	return 0;
}

static int leaf_eval(const struct filter_node *node, struct columns *columns, uint64_t *bits,
		     struct err *err)
{
	uint64_t *hits = bits_new(columns, err);
	int rc = hits ? 0 : E_NO_MEMORY;

	for (size_t i = 0; rc == 0 && i < node->cols_count; i++) {
		if (node->kind == FILTER_HAS)
			rc = has_or(node->cols[i], columns, hits, err);
		else if (node->kind == FILTER_INTS)
			rc = ints_or(node, node->cols[i], columns, bits, hits, err);
		else
			rc = bytes_or(node, node->cols[i], columns, bits, hits, err);
	}
	for (size_t w = 0; rc == 0 && w < columns_words(columns); w++)
		bits[w] &= hits[w];
	return rc;
}

static int node_eval(const struct filter_node *node, struct columns *columns, uint64_t *bits,
		     struct err *err);

static int or_eval(const struct filter_node *node, struct columns *columns, uint64_t *bits,
		   struct err *err)
{
	size_t words = columns_words(columns);
	uint64_t *hits = bits_new(columns, err), *part = bits_new(columns, err);

	if (!hits || !part)
		return E_NO_MEMORY;
	for (size_t i = 0; i < node->kids_count; i++) {
		int rc;

		for (size_t w = 0; w < words; w++)
			part[w] = bits[w] &
				  ~hits[w]; /* a row that one condition took needs no other */
		if (!any_bit(part, words))
			break;
		rc = node_eval(node->kids[i], columns, part, err);
		if (rc < 0)
			return rc;
		for (size_t w = 0; w < words; w++)
			hits[w] |= part[w];
	}
	for (size_t w = 0; w < words; w++)
		bits[w] &= hits[w];
	return 0;
}

static int not_eval(const struct filter_node *node, struct columns *columns, uint64_t *bits,
		    struct err *err)
{
	size_t words = columns_words(columns);
	uint64_t *part = bits_new(columns, err);
	int rc;

	if (!part)
		return E_NO_MEMORY;
	memcpy(part, bits, words * sizeof(*part));
	rc = node_eval(node->kids[0], columns, part, err);
	for (size_t w = 0; rc == 0 && w < words; w++)
		bits[w] &= ~part[w];
	return rc;
}

static int node_eval(const struct filter_node *node, struct columns *columns, uint64_t *bits,
		     struct err *err)
{
	int rc = 0;

	switch (node->kind) {
	case FILTER_ALL: return 0;
	case FILTER_AND:
		for (size_t i = 0; rc == 0 && i < node->kids_count; i++) {
			if (!any_bit(bits, columns_words(columns)))
				return 0;
			rc = node_eval(node->kids[i], columns, bits, err);
		}
		return rc;
	case FILTER_OR: return or_eval(node, columns, bits, err);
	case FILTER_NOT: return not_eval(node, columns, bits, err);
	case FILTER_COLS: return cols_eval(node, columns, bits, err);
	default: return leaf_eval(node, columns, bits, err);
	}
}

int filter_eval(const struct filter *filter, struct columns *columns, uint64_t *bits,
		struct err *err)
{
	return node_eval(filter->root, columns, bits, err);
}

/* ---- one row ---- */

static int leaf_row(const struct filter_node *node, const void *row, struct err *err)
{
	for (size_t i = 0; i < node->cols_count; i++) {
		uint64_t value = 0;
		struct view bytes = { 0 };
		int rc;

		if (!row_get(node->cols[i], row, &value, &bytes))
			continue;
		if (node->kind == FILTER_HAS)
			rc = 1;
		else if (node->kind == FILTER_INTS)
			rc = filter_spans_have(node, value);
		else
			rc = bytes_fit(node, bytes, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int cols_row(const struct filter_node *node, const void *row)
{
	bool ints = types[node->cols[0]->type].phys == PHYS_INT;
	struct view x = { 0 }, y = { 0 };
	uint64_t a = 0, b = 0;

	if (!row_get(node->cols[0], row, &a, &x) || !row_get(node->cols[1], row, &b, &y))
		return 0;
	return order_fits(node->op, ints ? (a > b) - (a < b) : view_cmp(x, y));
}

static int node_row(const struct filter_node *node, const void *row, struct err *err)
{
	int rc;

	switch (node->kind) {
	case FILTER_ALL: return 1;
	case FILTER_AND:
	case FILTER_OR:
		for (size_t i = 0; i < node->kids_count; i++) {
			rc = node_row(node->kids[i], row, err);
			if (rc < 0 || rc == (node->kind == FILTER_OR))
				return rc;
		}
		return node->kind == FILTER_AND;
	case FILTER_NOT: rc = node_row(node->kids[0], row, err); return rc < 0 ? rc : !rc;
	case FILTER_COLS: return cols_row(node, row);
	default: return leaf_row(node, row, err);
	}
}

int filter_row(const struct filter *filter, const void *row, struct err *err)
{
	return node_row(filter->root, row, err);
}
