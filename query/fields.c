/* Lists of columns as users write them, and the completeness of an answer as JSON. */
#include "query/names.h"
#include "query/query.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

static int field_add(const struct table *table, struct view name, size_t at, uint16_t *fields,
		     size_t *count, struct err *err)
{
	struct name_cols cols;
	char near[160];
	int rc;

	if (name.len == 0) {
		rc = err_set(err, E_SYNTAX, "fields, at byte %zu: a name is missing", at);
	} else if (!name_resolve(table, name, &cols)) {
		name_nearest(table, name, false, near, sizeof(near));
		rc = err_set(err, E_UNKNOWN_NAME,
			     "fields, at byte %zu: the table %s has no field `%.*s`%s%s", at,
			     table->name, TEXT(name), *near ? "; nearest: " : "", near);
	} else {
		for (size_t i = 0; i < cols.count; i++)
			fields[(*count)++] = cols.cols[i]->ordinal;
		return 0;
	}
	if (err && err->code == rc)
		err->position = at;
	return rc;
}

int query_fields(const struct table *table, struct view text, struct arena *arena,
		 uint16_t **ret_fields, size_t *ret_count, struct err *err)
{
	size_t count = 0, commas = 0, at = 0;
	uint16_t *fields;

	if (view_trim(text).len == 0) {
		*ret_fields = NULL;
		*ret_count = 0;
		return 0;
	}
	for (size_t i = 0; i < text.len; i++)
		commas += text.at[i] == ',';
	fields = arena_array(arena, NAME_SIDES_MAX * (commas + 1), sizeof(*fields));
	if (!fields)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i <= text.len; i++) {
		struct view name;
		int rc;

		if (i < text.len && text.at[i] != ',')
			continue;
		while (at < i && (text.at[at] == ' ' || text.at[at] == '\t'))
			at++;
		name = view_trim(view_sub(text, at, i - at));
		rc = field_add(table, name, at, fields, &count, err);
		if (rc < 0)
			return rc;
		at = i + 1;
	}
	*ret_fields = fields;
	*ret_count = count;
	return 0;
}

static void instant(struct json *json, const char *key, uint64_t ns, uint64_t none)
{
	if (ns == none)
		json_knull(json, key);
	else
		json_ku64(json, key, ns);
}

static void step_begin(struct json *json, const char *name)
{
	json_object(json);
	json_kcstr(json, "step", name);
}

static void step_skips(struct json *json, const char *name, uint64_t groups, uint64_t skipped, uint64_t bytes)
{
	step_begin(json, name);
	json_ku64(json, "row_groups", groups);
	json_ku64(json, "skipped", skipped);
	json_ku64(json, "bytes_skipped", bytes);
	json_object_end(json);
}

/* In the order of the plan; what a step lets through is what the next one looks at. */
static void explain_steps(const struct query_stats *stats, struct json *json)
{
	uint64_t left = stats->row_groups;

	json_key(json, "steps");
	json_array(json);
	step_begin(json, "hours");
	json_ku64(json, "partitions", stats->partitions);
	json_ku64(json, "skipped", stats->partitions_skipped);
	json_object_end(json);
	step_skips(json, "bitmaps", left, stats->row_groups_skipped_index, stats->bytes_skipped_index);
	left -= stats->row_groups_skipped_index;
	step_skips(json, "zones", left, stats->row_groups_skipped_zone, stats->bytes_skipped_zone);
	left -= stats->row_groups_skipped_zone;
	step_skips(json, "blooms", left, stats->row_groups_skipped_bloom, stats->bytes_skipped_bloom);
	step_begin(json, "columns");
	json_ku64(json, "row_groups", stats->row_groups_read);
	json_ku64(json, "damaged", stats->damaged_row_groups);
	json_ku64(json, "bytes_stored", stats->bytes_stored);
	json_ku64(json, "bytes_decoded", stats->bytes_read);
	json_object_end(json);
	step_begin(json, "rows");
	json_ku64(json, "scanned", stats->rows_scanned);
	json_ku64(json, "matched", stats->rows_matched);
	json_object_end(json);
	json_array_end(json);
}

bool query_expired(const struct query_stats *stats, const struct query_opts *opts)
{
	return stats->payload_expired || stats->tier_expired ||
	       (stats->oldest_ns != UINT64_MAX && opts->from_ns && opts->from_ns < stats->oldest_ns);
}

void query_stats_json(const struct query_stats *stats, const struct query_opts *opts,
		      struct json *json)
{
	json_key(json, "completeness");
	json_object(json);
	json_ku64(json, "from_ns", opts->from_ns);
	instant(json, "to_ns", opts->to_ns, 0);
	instant(json, "oldest_ns", stats->oldest_ns, UINT64_MAX);
	instant(json, "newest_ns", stats->newest_ns, 0);
	json_kbool(json, "expired", query_expired(stats, opts));
	json_kbool(json, "truncated", stats->truncated);
	json_ku64(json, "damaged_row_groups", stats->damaged_row_groups);
	json_key(json, "gaps");
	json_array(json);
	for (size_t i = 0; i < stats->gaps_count; i++) {
		const struct store_gap *gap = &stats->gaps[i];

		json_object(json);
		json_ku64(json, "from_ns", gap->from_ns);
		json_ku64(json, "to_ns", gap->to_ns);
		json_key(json, "source");
		json_printf(json, "%016llx", (unsigned long long)gap->source);
		json_ku64(json, "packets", gap->packets);
		json_ku64(json, "bytes", gap->bytes);
		json_kcstr(json, "reason", gap->reason);
		json_object_end(json);
	}
	json_array_end(json);
	json_object_end(json);
	json_key(json, "stats");
	json_object(json);
	json_ku64(json, "rows_scanned", stats->rows_scanned);
	json_ku64(json, "rows_matched", stats->rows_matched);
	json_ku64(json, "bytes_read", stats->bytes_read);
	json_ku64(json, "partitions", stats->partitions);
	json_ku64(json, "took_ns", stats->took_ns);
	json_object_end(json);
	if (!opts->explain)
		return;
	json_key(json, "explain");
	json_object(json);
	json_ku64(json, "partitions", stats->partitions);
	json_ku64(json, "partitions_skipped", stats->partitions_skipped);
	json_ku64(json, "row_groups", stats->row_groups);
	json_ku64(json, "row_groups_skipped_zone", stats->row_groups_skipped_zone);
	json_ku64(json, "row_groups_skipped_index", stats->row_groups_skipped_index);
	json_ku64(json, "row_groups_skipped_bloom", stats->row_groups_skipped_bloom);
	json_ku64(json, "rows_scanned", stats->rows_scanned);
	json_ku64(json, "rows_matched", stats->rows_matched);
	json_ku64(json, "bytes_read", stats->bytes_read);
	json_ku64(json, "took_ns", stats->took_ns);
	explain_steps(stats, json);
	json_object_end(json);
}
