#include "store/rg_predict.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

static unsigned terms_of(unsigned formula)
{
	switch (formula) {
	case PREDICT_SHARE:
		return 3;
	case PREDICT_SQUARES:
		return 4;
	case PREDICT_CHAIN:
		return 2;
	}
	return 0;
}

void predict_put(const struct predict *predict, struct wr *out)
{
	wr_u8(out, predict->formula);
	wr_u8(out, predict->count);
	for (unsigned i = 0; i < predict->count; i++) {
		const struct predict_term *term = &predict->terms[i];

		wr_u16le(out, term->col_id);
		if (predict->formula != PREDICT_SUM)
			continue;
		wr_u8(out, term->down);
		wr_u8(out, term->up);
		wr_svarint(out, term->factor);
	}
	wr_svarint(out, (int64_t)predict->bias);
}

int predict_get(struct rd *rd, struct predict *ret_predict, struct err *err)
{
	struct predict predict = { 0 };

	predict.formula = rd_u8(rd);
	predict.count = rd_u8(rd);
	if (rd->bad || predict.formula < PREDICT_SUM || predict.formula > PREDICT_CHAIN || predict.count < 1 ||
	    predict.count > PREDICT_TERMS_MAX ||
	    (predict.formula != PREDICT_SUM && predict.count != terms_of(predict.formula)))
		return err_set(err, E_CORRUPT, "formula %u of %u columns", predict.formula, predict.count);
	for (unsigned i = 0; i < predict.count; i++) {
		struct predict_term *term = &predict.terms[i];

		term->col_id = rd_u16le(rd);
		if (predict.formula != PREDICT_SUM)
			continue;
		term->down = rd_u8(rd);
		term->up = rd_u8(rd);
		term->factor = rd_svarint(rd);
		if (term->down > 63 || term->up > 63)
			return err_set(err, E_CORRUPT, "column %u, shifted by %u and %u", term->col_id, term->down,
				       term->up);
	}
	predict.bias = (uint64_t)rd_svarint(rd);
	if (rd->bad)
		return err_set(err, E_CORRUPT, "formula %u is cut short", predict.formula);
	*ret_predict = predict;
	return 0;
}

int predict_get_ref(struct rd *rd, struct predict *ret_predict, struct err *err)
{
	struct predict predict = { .formula = PREDICT_SUM, .count = 1, .terms = { { .factor = 1 } } };
	struct predict_term *term = &predict.terms[0];

	term->col_id = rd_u16le(rd);
	term->down = rd_u8(rd);
	term->up = rd_u8(rd);
	if (rd->bad || term->down > 63 || term->up > 63)
		return err_set(err, E_CORRUPT, "differences to column %u, shifted by %u and %u", term->col_id,
			       term->down, term->up);
	*ret_predict = predict;
	return 0;
}

/* ---- formulas: sign 1 adds, UINT64_MAX (-1) subtracts; all modulo 2^64 ---- */

static void sum_add(const struct predict_term *term, const uint64_t *column, size_t count, uint64_t sign,
		    uint64_t *values)
{
	uint64_t factor = (uint64_t)term->factor * sign;
	unsigned down = term->down, up = term->up;

	if (down || up)
		for (size_t i = 0; i < count; i++)
			values[i] += (column[i] >> down << up) * factor;
	else
		for (size_t i = 0; i < count; i++)
			values[i] += column[i] * factor;
}

static void share_add(const uint64_t *const columns[], size_t count, uint64_t sign, uint64_t *values)
{
	for (size_t i = 0; i < count; i++)
		values[i] += sign * (columns[2][i] + (columns[0][i] - 1) * columns[1][i]);
}

/* The largest, the smallest, and the others as if they were equal: exact for up to three. */
static uint64_t squares(uint64_t n, uint64_t min, uint64_t max, uint64_t sum)
{
	unsigned __int128 all = (unsigned __int128)max * max;

	if (n >= 2)
		all += (unsigned __int128)min * min;
	if (n >= 3) {
		uint64_t rest = sum - min - max;

		all += (unsigned __int128)rest * rest / (n - 2);
	}
	all += 500000;
	/* Of what fits 64 bits the shorter division. */
	return all >> 64 ? (uint64_t)(all / 1000000) : (uint64_t)all / 1000000;
}

static void squares_add(const uint64_t *const columns[], size_t count, uint64_t sign, uint64_t *values)
{
	for (size_t i = 0; i < count; i++)
		values[i] += sign * squares(columns[0][i], columns[1][i], columns[2][i], columns[3][i]);
}

/* The row before of each key: its value and step together. */
struct chain {
	struct chain_slot {
		uint64_t key, next;	/* next: what it foretells */
		bool used;
	} *slots;
	size_t mask;
};

static int chain_init(struct chain *chain, size_t count)
{
	size_t slots = 64;

	while (slots < 2 * count)
		slots *= 2;
	chain->slots = mem_array(slots, sizeof(*chain->slots));
	chain->mask = slots - 1;
	return chain->slots ? 0 : E_NO_MEMORY;
}

static struct chain_slot *chain_find(const struct chain *chain, uint64_t key)
{
	size_t at = hash_u64(key) & chain->mask;

	while (chain->slots[at].used && chain->slots[at].key != key)
		at = (at + 1) & chain->mask;
	return &chain->slots[at];
}

/* Sequence numbers: 32 bits that wrap. */
static void chain_step(struct chain_slot *slot, uint64_t key, uint64_t value, uint64_t step)
{
	*slot = (struct chain_slot){ .key = key, .next = (value + step) & UINT32_MAX, .used = true };
}

static int chain_add(const struct predict *predict, const uint64_t *const columns[], const uint64_t *valid,
		     size_t count, uint64_t *values)
{
	struct chain chain;

	if (chain_init(&chain, count) < 0)
		return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		struct chain_slot *slot;

		if (valid && !(valid[i / 64] >> (i % 64) & 1))
			continue;
		slot = chain_find(&chain, columns[0][i]);
		values[i] += slot->next + predict->bias;	/* 0 where it is free */
		chain_step(slot, columns[0][i], values[i], columns[1][i]);
	}
	mem_free(chain.slots);
	return 0;
}

static int chain_subtract(const struct predict *predict, const uint64_t *const columns[], size_t count,
			  const uint64_t *values, uint64_t *differences)
{
	struct chain chain;

	if (chain_init(&chain, count) < 0)
		return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		struct chain_slot *slot = chain_find(&chain, columns[0][i]);

		differences[i] = values[i] - slot->next - predict->bias;
		chain_step(slot, columns[0][i], values[i], columns[1][i]);
	}
	mem_free(chain.slots);
	return 0;
}

static void terms_add(const struct predict *predict, const uint64_t *const columns[], size_t count, uint64_t sign,
		      uint64_t *values)
{
	switch ((enum predict_formula)predict->formula) {
	case PREDICT_SUM:
		for (unsigned i = 0; i < predict->count; i++)
			sum_add(&predict->terms[i], columns[i], count, sign, values);
		return;
	case PREDICT_SHARE:
		share_add(columns, count, sign, values);
		return;
	case PREDICT_SQUARES:
		squares_add(columns, count, sign, values);
		return;
	case PREDICT_CHAIN:
	case PREDICT_NONE:
		break;
	}
	assert(!"a formula of its own");
}

int predict_add(const struct predict *predict, const uint64_t *const columns[], const uint64_t *valid, size_t count,
		uint64_t *values)
{
	if (predict->formula == PREDICT_CHAIN)
		return chain_add(predict, columns, valid, count, values);
	terms_add(predict, columns, count, 1, values);
	if (predict->bias)
		for (size_t i = 0; i < count; i++)
			values[i] += predict->bias;
	return 0;
}

int predict_subtract(const struct predict *predict, const uint64_t *const columns[], size_t count,
		     const uint64_t *values, uint64_t *ret_differences)
{
	if (predict->formula == PREDICT_CHAIN)
		return chain_subtract(predict, columns, count, values, ret_differences);
	for (size_t i = 0; i < count; i++)
		ret_differences[i] = values[i] - predict->bias;
	terms_add(predict, columns, count, UINT64_MAX, ret_differences);
	return 0;
}

/* ---- what is tried ---- */

#define T(column, factor) { column, factor }
#define TERMS(...) (uint8_t)(sizeof((const int16_t[][2]){ __VA_ARGS__ }) / (2 * sizeof(int16_t)))
#define PREDICT(table_, column, formula_, ...) \
	{ TABLE_##table_, PREDICT_##formula_, column, TERMS(__VA_ARGS__), { __VA_ARGS__ } },
#define MAP(...)
static const struct predict_hint predict_hints[] = {
#include "store/predict.def"
};
#undef PREDICT
#undef MAP

#define PREDICT(...)
#define MAP(table_, column, from_) { TABLE_##table_, column, from_ },
static const struct map_hint map_hints[] = {
#include "store/predict.def"
};
#undef PREDICT
#undef MAP

const struct predict_hint *predict_hint(size_t i)
{
	return i < sizeof(predict_hints) / sizeof(predict_hints[0]) ? &predict_hints[i] : NULL;
}

const struct map_hint *map_hint(size_t i)
{
	return i < sizeof(map_hints) / sizeof(map_hints[0]) ? &map_hints[i] : NULL;
}
