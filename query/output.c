#include "query/output.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

static const struct {
	const char *name, *type;
} formats[] = {
	[OUTPUT_TABLE] = { "table", "text/plain; charset=utf-8" },
	[OUTPUT_WIDE] = { "wide", "text/plain; charset=utf-8" },
	[OUTPUT_JSON] = { "json", "application/json" },
	[OUTPUT_NDJSON] = { "ndjson", "application/x-ndjson" },
	[OUTPUT_CSV] = { "csv", "text/csv; charset=utf-8" },
};

#define WIDTH_ROWS 256		/* rows looked at before the widths of a table are settled */
#define CELL_MAX 60		/* characters of a cell in a table; wide shows all */

struct output {
	struct output_opts opts;
	struct wr *out;
	struct json json;
	bool begun;
	/* tables: cells of the first rows, then the widths */
	struct wr cells;		/* NUL-separated texts, row after row */
	size_t cell_rows;
	unsigned *widths;
	size_t columns;
	bool settled;
	bool *right;			/* numbers are set to the right */
};

int output_format_parse(struct view name, enum output_format *ret_format, struct err *err)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (view_is(name, formats[i].name)) {
			*ret_format = (enum output_format)i;
			return 0;
		}
	}
	return err_set(err, E_UNKNOWN_NAME, "\"%.*s\" is none of table, wide, json, ndjson, csv",
		       (int)(name.len > 40 ? 40 : name.len), (const char *)name.at);
}

const char *output_content_type(enum output_format format)
{
	return formats[format].type;
}

static const uint16_t flow_short[] = { FLOW_start_ns, FLOW_proto, FLOW_src_ip, FLOW_src_port, FLOW_src_comm, FLOW_dst_ip,
				       FLOW_dst_port, FLOW_dst_comm, FLOW_l7, FLOW_state, FLOW_tx_bytes, FLOW_rx_bytes,
				       FLOW_handshake_ns, FLOW_id };
static const uint16_t flow_wide[] = {
	FLOW_start_ns, FLOW_end_ns, FLOW_proto, FLOW_vantage, FLOW_view, FLOW_src_ip, FLOW_src_port, FLOW_src_comm,
	FLOW_src_pid, FLOW_dst_ip, FLOW_dst_port, FLOW_dst_comm, FLOW_dst_pid, FLOW_l7, FLOW_state, FLOW_end_reason,
	FLOW_completeness, FLOW_tx_packets, FLOW_rx_packets, FLOW_tx_bytes, FLOW_rx_bytes, FLOW_tx_retransmits,
	FLOW_rx_retransmits, FLOW_syn_rtt_ns, FLOW_handshake_ns, FLOW_id };
static const uint16_t call_short[] = { CALL_start_ns, CALL_l7, CALL_src_workload, CALL_dst_workload, CALL_dst_port,
				       CALL_method, CALL_target, CALL_status, CALL_status_text, CALL_latency_ns, CALL_id };
static const uint16_t call_wide[] = {
	CALL_start_ns, CALL_l7, CALL_src_ip, CALL_src_port, CALL_src_comm, CALL_src_pid, CALL_dst_ip, CALL_dst_port,
	CALL_dst_comm, CALL_dst_pid, CALL_method, CALL_host, CALL_target, CALL_status, CALL_status_text, CALL_end_reason,
	CALL_error, CALL_latency_ns, CALL_ttfb_ns, CALL_req_bytes, CALL_rsp_bytes, CALL_answers, CALL_id };
static const uint16_t packet_short[] = { PACKET_number, PACKET_start_ns, PACKET_src_ip, PACKET_src_port, PACKET_dst_ip,
					 PACKET_dst_port, PACKET_proto, PACKET_len, PACKET_tcp_flags, PACKET_tcp_seq,
					 PACKET_tcp_ack, PACKET_payload_bytes, PACKET_flow_id };
static const uint16_t event_short[] = { EVENT_ROW_start_ns, EVENT_ROW_kind, EVENT_ROW_reason, EVENT_ROW_value,
					EVENT_ROW_src_ip, EVENT_ROW_src_port, EVENT_ROW_dst_ip, EVENT_ROW_dst_port,
					EVENT_ROW_pid, EVENT_ROW_comm, EVENT_ROW_text };
static const uint16_t entity_short[] = { ENTITY_ROW_start_ns, ENTITY_ROW_end_ns, ENTITY_ROW_kind, ENTITY_ROW_name,
					 ENTITY_ROW_parent, ENTITY_ROW_pid, ENTITY_ROW_exe, ENTITY_ROW_text };
static const uint16_t rollup_short[] = { ROLLUP_start_ns, ROLLUP_tier, ROLLUP_src_workload, ROLLUP_dst_workload,
					 ROLLUP_dst_port, ROLLUP_l7, ROLLUP_flows, ROLLUP_tx_bytes, ROLLUP_rx_bytes,
					 ROLLUP_calls, ROLLUP_server_errors };

const uint16_t *output_default_fields(enum table_id table, bool wide, size_t *ret_count)
{
#define PICK(list)						\
	do {							\
		*ret_count = sizeof(list) / sizeof((list)[0]);	\
		return list;					\
	} while (0)
	switch (table) {
	case TABLE_FLOWS:
		if (wide)
			PICK(flow_wide);
		PICK(flow_short);
	case TABLE_CALLS:
		if (wide)
			PICK(call_wide);
		PICK(call_short);
	case TABLE_PACKETS:
		PICK(packet_short);
	case TABLE_EVENTS:
		PICK(event_short);
	case TABLE_ENTITIES:
		PICK(entity_short);
	case TABLE_ROLLUPS:
		PICK(rollup_short);
	}
	*ret_count = 0;
	return NULL;
#undef PICK
}

/* ------------------------------------------------------------------- values */

static void hist_json(struct view bytes, struct json *json)
{
	struct hist *hist = hist_new();

	if (!hist || hist_merge_bytes(hist, bytes, NULL) < 0) {
		json_null(json);
	} else {
		json_object(json);
		json_ku64(json, "count", hist_count(hist));
		json_ku64(json, "sum", hist_sum(hist));
		json_ku64(json, "min", hist_min(hist));
		json_ku64(json, "max", hist_max(hist));
		json_kf64(json, "p50", hist_quantile(hist, 0.5));
		json_kf64(json, "p99", hist_quantile(hist, 0.99));
		json_object_end(json);
	}
	hist_free(hist);
}

static void value_json(const struct col *col, uint64_t value, struct view bytes, struct json *json)
{
	char text[IP_TEXT_LEN];
	const char *name;

	switch (col->type) {
	case TYPE_IP:
		ip_format((const struct ip *)bytes.at, text);
		json_cstr(json, text);
		return;
	case TYPE_STR:
		json_str(json, bytes);
		return;
	case TYPE_HIST:
		hist_json(bytes, json);
		return;
	case TYPE_BOOL:
		json_bool(json, value);
		return;
	case TYPE_ID:
		json_printf(json, "%016llx", (unsigned long long)value);
		return;
	default:
		break;
	}
	name = types[col->type].syms == SYMS_NONE ? NULL : sym_name(types[col->type].syms, value);
	if (name)
		json_cstr(json, name);
	else
		json_u64(json, value);
}

static void one_json(const struct col *col, const void *row, bool nulls, struct json *json)
{
	uint64_t value = 0;
	struct view bytes = { 0 };

	if (row_get(col, row, &value, &bytes)) {
		json_key(json, col->key);
		value_json(col, value, bytes, json);
	} else if (nulls) {
		json_knull(json, col->key);
	}
}

void query_row_json(const struct table *table, const void *row, const uint16_t *fields, size_t fields_count, bool nulls,
		    struct json *json)
{
	uint64_t start_ns = 0;
	struct view none;
	char text[CLOCK_TEXT_LEN];

	if (!fields) {
		if (row_get(&table->cols[table->start_ord], row, &start_ns, &none)) {
			clock_format(start_ns, text);
			json_kcstr(json, "time", text);
		}
		for (size_t i = 0; i < table->cols_count; i++)
			one_json(&table->cols[i], row, nulls, json);
		return;
	}
	for (size_t i = 0; i < fields_count; i++)
		one_json(&table->cols[fields[i]], row, nulls, json);
}

static void number_text(const struct col *col, uint64_t value, bool human, struct wr *wr)
{
	const char *name = types[col->type].syms == SYMS_NONE ? NULL : sym_name(types[col->type].syms, value);
	char text[64];

	if (name) {
		wr_str(wr, name);
	} else if (col->type == TYPE_ID) {
		wr_printf(wr, "%016llx", (unsigned long long)value);
	} else if (col->type == TYPE_BOOL) {
		wr_str(wr, value ? "true" : "false");
	} else if (col->unit == UNIT_TIME && human) {
		clock_format(value, text);
		wr_bytes(wr, view_make(text, 23));	/* milliseconds */
		wr_u8(wr, 'Z');
	} else if (col->unit == UNIT_DURATION && human) {
		clock_format_duration(value, text, sizeof(text));
		wr_str(wr, text);
	} else {
		wr_printf(wr, "%llu", (unsigned long long)value);
	}
}

static void bytes_text(const struct col *col, struct view bytes, struct wr *wr)
{
	char text[IP_TEXT_LEN];
	struct hist *hist;

	if (col->type == TYPE_IP) {
		ip_format((const struct ip *)bytes.at, text);
		wr_str(wr, text);
	} else if (col->type == TYPE_HIST) {
		hist = hist_new();
		if (hist && hist_merge_bytes(hist, bytes, NULL) >= 0)
			wr_printf(wr, "n=%llu p50=%.0f p99=%.0f", (unsigned long long)hist_count(hist),
				  hist_quantile(hist, 0.5), hist_quantile(hist, 0.99));
		hist_free(hist);
	} else {
		wr_bytes(wr, bytes);
	}
}

void query_value_text(const struct col *col, const void *row, bool human, struct wr *wr)
{
	uint64_t value = 0;
	struct view bytes = { 0 };

	if (!row_get(col, row, &value, &bytes))
		return;
	if (types[col->type].phys == PHYS_BYTES)
		bytes_text(col, bytes, wr);
	else
		number_text(col, value, human, wr);
}

/* ------------------------------------------------------------------- tables */

/* Characters a terminal shows: continuation bytes of UTF-8 count nothing. */
static unsigned text_width(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += ((uint8_t)*text & 0xc0) != 0x80;
	return width;
}

static void cell_add(struct output *output, struct view text)
{
	size_t len = output->opts.format == OUTPUT_WIDE || text.len <= CELL_MAX ? text.len : CELL_MAX;

	if (len == 0)
		wr_u8(&output->cells, '-');
	for (size_t i = 0; i < len; i++)	/* nothing on the wire may move the cursor */
		wr_u8(&output->cells, text.at[i] < 0x20 || text.at[i] == 0x7f ? '.' : text.at[i]);
	if (len < text.len)
		wr_str(&output->cells, "\xe2\x80\xa6");
	wr_u8(&output->cells, 0);
}

static void cells_print(struct output *output, const char *at, const char *end)
{
	for (size_t column = 0; at < end;) {
		unsigned width = text_width(at), want = output->widths[column];
		bool last = column + 1 == output->columns;

		if (output->right[column] && want > width)
			wr_printf(output->out, "%*s", (int)(want - width), "");
		wr_str(output->out, at);
		if (!output->right[column] && want > width && !last)
			wr_printf(output->out, "%*s", (int)(want - width), "");
		wr_str(output->out, last ? "\n" : "  ");
		at += strlen(at) + 1;
		column = last ? 0 : column + 1;
	}
}

static void header_name(const struct output *output, const char *name, size_t column)
{
	unsigned width = text_width(name), want = output->widths[column];
	bool last = column + 1 == output->columns;
	int pad = want > width ? (int)(want - width) : 0;

	if (output->right[column])
		wr_printf(output->out, "%*s", pad, "");
	wr_str(output->out, name);
	if (!output->right[column] && !last)
		wr_printf(output->out, "%*s", pad, "");
	wr_str(output->out, last ? "" : "  ");
}

static void cells_settle(struct output *output, const char *const *names)
{
	const char *at = (const char *)output->cells.at, *end = at + output->cells.len;

	if (output->cells.bad)
		return;
	for (size_t i = 0; !output->settled && i < output->columns; i++)
		output->widths[i] = output->opts.no_headers ? 0 : text_width(names[i]);
	for (size_t column = 0; !output->settled && at && at < end; column = (column + 1) % output->columns) {
		unsigned width = text_width(at);

		if (width > output->widths[column])
			output->widths[column] = width;
		at += strlen(at) + 1;
	}
	if (!output->settled && !output->opts.no_headers) {
		if (output->opts.color)
			wr_str(output->out, "\033[1m");
		for (size_t i = 0; i < output->columns; i++)
			header_name(output, names[i], i);
		wr_str(output->out, output->opts.color ? "\033[0m\n" : "\n");
	}
	output->settled = true;
	if (output->cells.len)
		cells_print(output, (const char *)output->cells.at, end);
	wr_reset(&output->cells);
	output->cell_rows = 0;
}

static int columns_set(struct output *output, size_t count)
{
	output->columns = count;
	output->widths = mem_array(count + 1, sizeof(*output->widths));
	output->right = mem_array(count + 1, sizeof(*output->right));
	return output->widths && output->right ? 0 : E_NO_MEMORY;
}

static void field_names(const struct output *output, const char **names)
{
	const struct table *table = table_get(output->opts.table);

	for (size_t i = 0; i < output->opts.fields_count; i++)
		names[i] = table->cols[output->opts.fields[i]].key;
}

static void table_settle(struct output *output)
{
	const char *names[64 * SCHEMA_HAS_WORDS];

	field_names(output, names);
	cells_settle(output, names);
}

static void table_row(struct output *output, const struct table *table, const void *row)
{
	struct wr text;

	wr_init(&text, 0);
	for (size_t i = 0; i < output->opts.fields_count; i++) {
		wr_reset(&text);
		query_value_text(&table->cols[output->opts.fields[i]], row, true, &text);
		cell_add(output, wr_view(&text));
	}
	wr_release(&text);
	if (++output->cell_rows >= WIDTH_ROWS || output->settled)
		table_settle(output);
}

/* ---------------------------------------------------------------------- CSV */

static void csv_text(struct wr *out, struct view text)
{
	bool quote = text.len == 0;

	for (size_t i = 0; i < text.len && !quote; i++)
		quote = text.at[i] == '"' || text.at[i] == ',' || text.at[i] == '\n' || text.at[i] == '\r';
	if (!quote) {
		wr_bytes(out, text);
		return;
	}
	wr_u8(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"')
			wr_u8(out, '"');
		wr_u8(out, text.at[i]);
	}
	wr_u8(out, '"');
}

/* Null is nothing between the commas, an empty text is "". */
static void csv_row(struct output *output, const struct table *table, const void *row)
{
	struct wr text;

	wr_init(&text, 0);
	for (size_t i = 0; i < output->opts.fields_count; i++) {
		const struct col *col = &table->cols[output->opts.fields[i]];
		uint64_t value;
		struct view bytes;

		if (i)
			wr_u8(output->out, ',');
		if (!row_get(col, row, &value, &bytes))
			continue;
		wr_reset(&text);
		query_value_text(col, row, false, &text);
		csv_text(output->out, wr_view(&text));
	}
	wr_u8(output->out, '\n');
	wr_release(&text);
}

static void csv_header(struct output *output, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i)
			wr_u8(output->out, ',');
		csv_text(output->out, view_str(names[i]));
	}
	wr_u8(output->out, '\n');
}

/* ---------------------------------------------------------------------- rows */

static int output_prepare(struct output *output)
{
	const struct table *table = table_get(output->opts.table);
	bool tabular = output->opts.format == OUTPUT_TABLE || output->opts.format == OUTPUT_WIDE;
	static uint16_t every[64 * SCHEMA_HAS_WORDS];
	static bool every_made;

	if (!output->opts.fields && tabular) {
		output->opts.fields = output_default_fields(output->opts.table, output->opts.format == OUTPUT_WIDE,
							    &output->opts.fields_count);
	} else if (!output->opts.fields && output->opts.format == OUTPUT_CSV && table) {
		for (size_t i = 0; !__atomic_load_n(&every_made, __ATOMIC_ACQUIRE) && i < 64 * SCHEMA_HAS_WORDS; i++)
			every[i] = (uint16_t)i;	/* any thread writes the same numbers */
		__atomic_store_n(&every_made, true, __ATOMIC_RELEASE);
		output->opts.fields = every;
		output->opts.fields_count = table->cols_count;
	}
	if (!tabular || !table)
		return 0;
	if (columns_set(output, output->opts.fields_count) < 0)
		return E_NO_MEMORY;
	for (size_t i = 0; i < output->opts.fields_count; i++) {
		const struct col *col = &table->cols[output->opts.fields[i]];

		output->right[i] = types[col->type].phys == PHYS_INT && types[col->type].syms == SYMS_NONE &&
				   col->type != TYPE_ID && col->unit != UNIT_TIME;
	}
	return 0;
}

struct output *output_new(const struct output_opts *opts, struct wr *out)
{
	struct output *output = mem_zalloc(sizeof(*output));

	if (!output)
		return NULL;
	output->opts = *opts;
	output->out = out;
	wr_init(&output->cells, 0);
	json_init(&output->json, out, false);
	if (output_prepare(output) < 0) {
		output_free(output);
		return NULL;
	}
	return output;
}

void output_free(struct output *output)
{
	if (!output)
		return;
	wr_release(&output->cells);
	mem_free(output->widths);
	mem_free(output->right);
	mem_free(output);
}

static void begin(struct output *output)
{
	const char *names[64 * SCHEMA_HAS_WORDS];

	if (output->begun)
		return;
	output->begun = true;
	if (output->opts.format == OUTPUT_JSON) {
		json_object(&output->json);
		json_key(&output->json, "data");
		json_array(&output->json);
	} else if (output->opts.format == OUTPUT_CSV && !output->opts.no_headers && output->opts.table) {
		field_names(output, names);
		csv_header(output, names, output->opts.fields_count);
	}
}

void output_row(struct output *output, const struct table *table, const void *row)
{
	struct json line;

	begin(output);
	switch (output->opts.format) {
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		table_row(output, table, row);
		break;
	case OUTPUT_CSV:
		csv_row(output, table, row);
		break;
	case OUTPUT_JSON:
		wr_u8(output->out, '\n');
		json_object(&output->json);
		query_row_json(table, row, output->opts.fields, output->opts.fields_count, false, &output->json);
		json_object_end(&output->json);
		break;
	case OUTPUT_NDJSON:
		json_init(&line, output->out, false);
		json_object(&line);
		query_row_json(table, row, output->opts.fields, output->opts.fields_count, false, &line);
		json_object_end(&line);
		wr_u8(output->out, '\n');
		break;
	}
}

void output_end(struct output *output, const struct query_opts *opts, const struct query_stats *stats,
		struct view cursor)
{
	begin(output);
	if (output->opts.format == OUTPUT_TABLE || output->opts.format == OUTPUT_WIDE) {
		table_settle(output);
		return;
	}
	if (output->opts.format != OUTPUT_JSON)
		return;
	json_array_end(&output->json);
	query_stats_json(stats, opts, &output->json);
	if (cursor.len)
		json_kstr(&output->json, "next", cursor);
	else
		json_knull(&output->json, "next");
	json_object_end(&output->json);
	wr_u8(output->out, '\n');
}

/* -------------------------------------------------------------------- groups */

/* Groups come by bucket: its members are made once. */
struct bucket_text {
	uint64_t ns;
	char text[CLOCK_TEXT_LEN];
	char members[CLOCK_TEXT_LEN + 64];
	size_t members_len;
};

static void bucket_json(uint64_t bucket_ns, struct bucket_text *bucket, struct json *json)
{
	if (bucket_ns != bucket->ns || !*bucket->text) {
		bucket->ns = bucket_ns;
		clock_format(bucket->ns, bucket->text);
		bucket->members_len =
			(size_t)snprintf(bucket->members, sizeof(bucket->members), "\"time\":\"%s\",\"time_ms\":%llu",
					 bucket->text, (unsigned long long)(bucket_ns / NS_PER_MS));
	}
	if (json->pretty) {
		json_kcstr(json, "time", bucket->text);
		json_ku64(json, "time_ms", bucket_ns / NS_PER_MS);
	} else {
		json_raw_members(json, view_make(bucket->members, bucket->members_len));
	}
}

/* Percentiles are middles of buckets, of which many groups have the same: their digits are worked out once. */
#define NUMBERS 1024u	/* a power of two */
#define NUMBERS_FROM 256u	/* groups */
struct numbers {
	struct number {
		double value;
		size_t len;	/* 0: free */
		char text[JSON_F64_LEN];
	} slots[NUMBERS];
};

static void number_json(double value, struct numbers *numbers, struct json *json)
{
	struct number *number;
	uint64_t bits;

	if (!numbers || value == floor(value)) {	/* whole ones take no time */
		json_f64(json, value);
		return;
	}
	memcpy(&bits, &value, sizeof(bits));
	number = &numbers->slots[hash_u64(bits) % NUMBERS];
	if (!number->len || memcmp(&number->value, &value, sizeof(value)) != 0) {
		number->value = value;
		number->len = json_f64_text(value, number->text);
	}
	json_raw(json, view_make(number->text, number->len));
}

static void group_json(const struct query_groups *groups, const struct query_group *group, bool bucketed,
		       struct bucket_text *bucket, struct numbers *numbers, struct json *json)
{
	json_object(json);
	if (bucketed)
		bucket_json(group->bucket_ns, bucket, json);
	for (size_t i = 0; i < groups->keys_count; i++) {
		if (group->keys[i].at)
			json_kstr(json, groups->key_names[i], group->keys[i]);
		else
			json_knull(json, groups->key_names[i]);
	}
	for (size_t i = 0; i < groups->values_count; i++) {
		json_key(json, groups->value_names[i]);
		number_json(group->values[i], numbers, json);
	}
	json_object_end(json);
}

static void group_value_text(const struct query_groups *groups, size_t i, double value, bool human, struct wr *wr)
{
	char text[64];

	if (isnan(value))
		return;
	if (human && groups->value_units[i] == UNIT_DURATION && value >= 0) {
		clock_format_duration((uint64_t)value, text, sizeof(text));
		wr_str(wr, text);
	} else if (value == floor(value) && fabs(value) < 1e15) {
		wr_printf(wr, "%.0f", value);
	} else {
		wr_printf(wr, human ? "%.4g" : "%.17g", value);
	}
}

static void group_cells(struct output *output, const struct query_groups *groups, const struct query_group *group,
			bool bucketed, bool csv)
{
	struct wr text;
	char time[CLOCK_TEXT_LEN];
	size_t columns = bucketed + groups->keys_count + groups->values_count;

	wr_init(&text, 0);
	for (size_t c = 0; c < columns; c++) {
		size_t i = c - bucketed;

		wr_reset(&text);
		if (bucketed && c == 0) {
			clock_format(group->bucket_ns, time);
			wr_str(&text, time);
		} else if (i < groups->keys_count) {
			wr_bytes(&text, group->keys[i]);
		} else {
			group_value_text(groups, i - groups->keys_count, group->values[i - groups->keys_count], !csv, &text);
		}
		if (!csv) {
			cell_add(output, wr_view(&text));
		} else {
			if (c)
				wr_u8(output->out, ',');
			if (text.len)
				csv_text(output->out, wr_view(&text));
		}
	}
	if (csv)
		wr_u8(output->out, '\n');
	wr_release(&text);
}

static int groups_tabular(struct output *output, const struct query_groups *groups, bool bucketed)
{
	size_t columns = bucketed + groups->keys_count + groups->values_count;
	const char **names = mem_array(columns + 1, sizeof(*names));
	bool csv = output->opts.format == OUTPUT_CSV;
	int rc = names ? 0 : E_NO_MEMORY;

	mem_free(output->widths);
	mem_free(output->right);
	output->widths = NULL;
	output->right = NULL;
	if (rc == 0)
		rc = columns_set(output, columns);
	for (size_t c = 0; rc == 0 && c < columns; c++) {
		size_t i = c - bucketed;

		if (bucketed && c == 0)
			names[c] = "time";
		else
			names[c] = i < groups->keys_count ? groups->key_names[i] : groups->value_names[i - groups->keys_count];
		output->right[c] = c >= bucketed + groups->keys_count;
	}
	if (rc == 0 && csv && !output->opts.no_headers)
		csv_header(output, names, columns);
	for (size_t g = 0; rc == 0 && g < groups->count; g++)
		group_cells(output, groups, &groups->groups[g], bucketed, csv);
	if (rc == 0 && !csv)
		cells_settle(output, names);
	mem_free(names);
	return rc;
}

void output_groups(struct output *output, const struct query_opts *opts, const struct query_groups *groups,
		   bool bucketed, const struct query_stats *stats)
{
	/* without memory for it, each is worked out anew */
	struct numbers *numbers = groups->count < NUMBERS_FROM ? NULL : mem_zalloc(sizeof(*numbers));
	struct bucket_text bucket = { 0 };

	if (output->opts.format != OUTPUT_JSON && output->opts.format != OUTPUT_NDJSON) {
		if (groups_tabular(output, groups, bucketed) < 0)
			output->out->bad = true;
		goto out;
	}
	if (output->opts.format == OUTPUT_JSON) {
		output->opts.table = 0;
		begin(output);
	}
	for (size_t g = 0; g < groups->count; g++) {
		if (output->opts.format == OUTPUT_JSON) {
			group_json(groups, &groups->groups[g], bucketed, &bucket, numbers, &output->json);
		} else {
			struct json line;

			json_init(&line, output->out, false);
			group_json(groups, &groups->groups[g], bucketed, &bucket, numbers, &line);
			wr_u8(output->out, '\n');
		}
	}
	if (output->opts.format != OUTPUT_JSON)
		goto out;
	json_array_end(&output->json);
	json_ku64(&output->json, "tier", groups->tier);
	query_stats_json(stats, opts, &output->json);
	json_object_end(&output->json);
	wr_u8(output->out, '\n');
out:
	mem_free(numbers);
}
