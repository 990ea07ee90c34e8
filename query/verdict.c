#include "query/verdict.h"

#include <assert.h>
#include <math.h>

#define PPM		1000000u
#define DEGRADED_PPM	10000u	/* 1 % */
#define SEVERE_PPM	50000u	/* 5 % */
#define RTT_SAMPLES_MIN 5u	/* fewer tell of no spread */
#define BLOAT_FACTOR	10u
#define CONGESTED_FACTOR 2u
#define WINDOW_FULL_MIN 3u
#define TLS_FACTOR	4u
#define INPUTS_MAX	12

/* ---- formulas: false for null. Inputs are not null. ---- */

static bool ppm(uint64_t part, uint64_t whole, uint64_t *ret_value)
{
	if (!whole)
		return false;
	*ret_value = (uint64_t)((double)part * PPM / (double)whole + 0.5);
	return true;
}

static bool between(uint64_t from_ns, uint64_t to_ns, uint64_t *ret_value)
{
	if (to_ns < from_ns)	/* clocks of captures step back */
		return false;
	*ret_value = to_ns - from_ns;
	return true;
}

static bool derive_tx_retransmit_ppm(const struct flow_row *row, uint64_t *ret_value)
{
	return ppm(row->tx_retransmits, row->tx_packets, ret_value);
}

static bool derive_rx_retransmit_ppm(const struct flow_row *row, uint64_t *ret_value)
{
	return ppm(row->rx_retransmits, row->rx_packets, ret_value);
}

static bool derive_retransmit_ppm(const struct flow_row *row, uint64_t *ret_value)
{
	return ppm((uint64_t)row->tx_retransmits + row->rx_retransmits, row->tx_packets + row->rx_packets, ret_value);
}

static bool derive_verdict(const struct flow_row *row, uint64_t *ret_value)
{
	uint64_t rate;

	if (!derive_retransmit_ppm(row, &rate))
		return false;
	*ret_value = rate < DEGRADED_PPM ? VERDICT_healthy : rate < SEVERE_PPM ? VERDICT_degraded : VERDICT_severe;
	return true;
}

static bool derive_receiver_bound(const struct flow_row *row, uint64_t *ret_value)
{
	*ret_value = row->tx_zero_windows || row->rx_zero_windows || row->tx_window_probes || row->rx_window_probes;
	return true;
}

static bool derive_window_bound(const struct flow_row *row, uint64_t *ret_value)
{
	uint64_t full = (uint64_t)row->tx_window_full + row->rx_window_full;

	*ret_value = full >= WINDOW_FULL_MIN && 4ull * ((uint64_t)row->tx_zero_windows + row->rx_zero_windows) <= full;
	return true;
}

static bool derive_rtt_avg_ns(const struct flow_row *row, uint64_t *ret_value)
{
	if (!row->rtt_samples)
		return false;
	*ret_value = row->rtt_sum_ns / row->rtt_samples;
	return true;
}

static bool derive_jitter_ns(const struct flow_row *row, uint64_t *ret_value)
{
	double n = row->rtt_samples, mean_us = (double)row->rtt_sum_ns / 1e3 / n, variance;

	if (!row->rtt_samples)
		return false;
	/* the squares are rounded to whole ones: a little below zero is zero */
	variance = (double)row->rtt_sum_squares / n - mean_us * mean_us;
	*ret_value = variance > 0 ? (uint64_t)(sqrt(variance) * 1e3 + 0.5) : 0;
	return true;
}

static bool spread(const struct flow_row *row, uint64_t *ret_avg_ns)
{
	uint64_t jitter_ns;

	return row->rtt_samples >= RTT_SAMPLES_MIN && derive_rtt_avg_ns(row, ret_avg_ns) &&
	       derive_jitter_ns(row, &jitter_ns) && 2 * jitter_ns > *ret_avg_ns;
}

static bool derive_bufferbloat(const struct flow_row *row, uint64_t *ret_value)
{
	uint64_t avg_ns;

	*ret_value = spread(row, &avg_ns) && row->rtt_max_ns / BLOAT_FACTOR >= row->rtt_min_ns;
	return true;
}

static bool derive_congestion(const struct flow_row *row, uint64_t *ret_value)
{
	uint64_t avg_ns;

	*ret_value = spread(row, &avg_ns) && avg_ns / CONGESTED_FACTOR >= row->rtt_min_ns;
	return true;
}

static bool derive_tls_overhead(const struct flow_row *row, uint64_t *ret_value)
{
	uint64_t took_ns;

	if (!between(row->syn_ns, row->tls_done_ns, &took_ns))
		return false;
	*ret_value = took_ns / TLS_FACTOR > row->handshake_ns;
	return true;
}

static bool derive_connection_ns(const struct flow_row *row, uint64_t *ret_value)
{
	return between(row->syn_ns, row->first_payload_ns, ret_value);
}

static bool derive_tls_ns(const struct flow_row *row, uint64_t *ret_value)
{
	return between(row->first_payload_ns, row->tls_done_ns, ret_value);
}

static bool derive_ttfb_ns(const struct flow_row *row, uint64_t *ret_value)
{
	return between(row->syn_ns, row->first_response_ns, ret_value);
}

static bool average(uint64_t sum, uint64_t count, uint64_t *ret_value)
{
	if (!count)
		return false;
	*ret_value = sum / count;
	return true;
}

static bool derive_tx_window_avg_bytes(const struct flow_row *row, uint64_t *ret_value)
{
	return average(row->tx_window_sum_bytes, row->tx_window_samples, ret_value);
}

static bool derive_rx_window_avg_bytes(const struct flow_row *row, uint64_t *ret_value)
{
	return average(row->rx_window_sum_bytes, row->rx_window_samples, ret_value);
}

/* A whole datagram may count in a later report than its fragments: then there is no waste. */
static bool waste(uint64_t bytes, uint64_t goodput, uint64_t *ret_value)
{
	return ppm(bytes > goodput ? bytes - goodput : 0, bytes, ret_value);
}

static bool derive_tx_waste_ppm(const struct flow_row *row, uint64_t *ret_value)
{
	return waste(row->tx_bytes, row->tx_goodput_bytes, ret_value);
}

static bool derive_rx_waste_ppm(const struct flow_row *row, uint64_t *ret_value)
{
	return waste(row->rx_bytes, row->rx_goodput_bytes, ret_value);
}

static bool derive_bottleneck(const struct flow_row *row, uint64_t *ret_value)
{
	uint64_t verdict = VERDICT_healthy, receiver = 0, window = 0, congested = 0, bloat = 0;

	if (!(row->completeness & 8))
		return false;
	(void)derive_verdict(row, &verdict);
	(void)derive_receiver_bound(row, &receiver);
	(void)derive_window_bound(row, &window);
	if (ROW_HAS(FLOW, row, rtt_samples) && ROW_HAS(FLOW, row, rtt_sum_squares)) {
		(void)derive_congestion(row, &congested);
		(void)derive_bufferbloat(row, &bloat);
	}
	*ret_value = receiver ? BOTTLENECK_receiver :
		     verdict != VERDICT_healthy || congested || bloat ? BOTTLENECK_network :
		     window ? BOTTLENECK_window : BOTTLENECK_application;
	return true;
}

/* ---- the table ---- */

struct derived {
	uint16_t ordinal;
	bool (*derive)(const struct flow_row *row, uint64_t *ret_value);
	uint16_t inputs[INPUTS_MAX];
	uint8_t inputs_count;
};

static const struct derived table[] = {
#define DERIVE(name, ...)                                                                          \
	{ FLOW_##name, derive_##name, { __VA_ARGS__ }, sizeof((uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t) },
#include "query/verdict.def"
#undef DERIVE
};

#define DERIVED_COUNT (sizeof(table) / sizeof(table[0]))

/* Of a connection that had no round trips measured the rest still tells where it hung. */
static const uint16_t bottleneck_more[] = { FLOW_rtt_samples, FLOW_rtt_min_ns, FLOW_rtt_max_ns, FLOW_rtt_sum_ns,
					    FLOW_rtt_sum_squares };

static const struct derived *derived_of(const struct col *col)
{
	for (size_t i = 0; i < DERIVED_COUNT; i++)
		if (table[i].ordinal == col->ordinal)
			return &table[i];
	return NULL;
}

static bool derive(const struct derived *derived, const struct flow_row *row, uint64_t *ret_value)
{
	for (size_t i = 0; i < derived->inputs_count; i++)
		if (!row_has(row->has, derived->inputs[i]) &&
		    table_get(TABLE_FLOWS)->cols[derived->inputs[i]].presence == PRESENCE_OPT)
			return false;
	return derived->derive(row, ret_value);
}

void verdict_row(struct flow_row *row)
{
	const struct col *cols = table_get(TABLE_FLOWS)->cols;

	for (size_t i = 0; i < DERIVED_COUNT; i++) {
		uint64_t value;

		row_unmark(row->has, table[i].ordinal);
		if (derive(&table[i], row, &value))
			(void)row_put(&cols[table[i].ordinal], row, value, (struct view){ 0 });
	}
}

/* ---- a row group ---- */

struct input {
	const struct col *col;
	struct rg_ints ints;
};

static int inputs_load(struct columns *columns, const struct derived *derived, struct input *inputs, size_t *ret_count,
		       struct err *err)
{
	const struct col *cols = table_get(TABLE_FLOWS)->cols;
	size_t more = derived->ordinal == FLOW_bottleneck ? sizeof(bottleneck_more) / sizeof(bottleneck_more[0]) : 0;
	size_t count = derived->inputs_count + more;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		inputs[i].col = &cols[i < derived->inputs_count ? derived->inputs[i] :
								  bottleneck_more[i - derived->inputs_count]];
		rc = columns_ints(columns, inputs[i].col, &inputs[i].ints, err);
	}
	*ret_count = count;
	return rc;
}

int verdict_ints(struct columns *columns, const struct col *col, struct rg_ints *ret_ints, struct err *err)
{
	const struct derived *derived = derived_of(col);
	struct input inputs[INPUTS_MAX + sizeof(bottleneck_more) / sizeof(bottleneck_more[0])];
	uint64_t *values = arena_array(columns->arena, columns->rows + 1ul, sizeof(*values));
	uint64_t *valid = arena_array(columns->arena, columns_words(columns) + 1, sizeof(*valid));
	size_t count;
	int rc;

	assert(derived && columns->rg->table->id == TABLE_FLOWS);
	if (!values || !valid)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rc = inputs_load(columns, derived, inputs, &count, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < columns->rows; i++) {
		struct flow_row row;	/* but for the inputs it is not looked at */

		if (!rg_valid(columns->only, i))
			continue;
		memset(row.has, 0, sizeof(row.has));
		for (size_t k = 0; k < count; k++)
			if (rg_valid(inputs[k].ints.valid, i))
				(void)row_put(inputs[k].col, &row, inputs[k].ints.values[i], (struct view){ 0 });
		if (derive(derived, &row, &values[i]))
			row_mark(valid, i);
	}
	*ret_ints = (struct rg_ints){ values, valid };
	return 0;
}
