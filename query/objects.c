/* Answers that are one JSON object, in REST and on the command line: the store about itself, one call in full. */
#include "base/clock.h"
#include "query/query.h"
#include "wire/proto.h"

static void put_time(struct json *json, const char *key, uint64_t ns)
{
	char text[CLOCK_TEXT_LEN];

	if (ns == 0 || ns == UINT64_MAX) {
		json_knull(json, key);
		return;
	}
	clock_format(ns, text);
	json_kcstr(json, key, text);
}

static void put_gaps(struct json *json, const struct store_gap *gaps, size_t count)
{
	json_key(json, "gaps");
	json_array(json);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		put_time(json, "from", gaps[i].from_ns);
		put_time(json, "to", gaps[i].to_ns);
		json_kcstr(json, "reason", gaps[i].reason);
		json_ku64(json, "packets", gaps[i].packets);
		json_ku64(json, "bytes", gaps[i].bytes);
		json_object_end(json);
	}
	json_array_end(json);
}

int query_horizon_json(struct store *store, uint64_t from_ns, uint64_t to_ns, struct arena *arena,
		       struct json *json, struct err *err)
{
	struct store_horizon horizon;
	struct store_gap *gaps;
	size_t count;
	int rc = store_horizon(store, &horizon, err);

	if (rc >= 0)
		rc = store_gaps(store, from_ns, to_ns ? to_ns : UINT64_MAX, arena, &gaps, &count,
				err);
	if (rc < 0)
		return rc;
	json_key(json, "oldest");
	json_object(json);
	for (int t = 1; t <= TABLE_MAX; t++)
		put_time(json, table_get((enum table_id)t)->name, horizon.oldest_ns[t]);
	json_object_end(json);
	put_time(json, "newest", horizon.newest_ns);
	put_time(json, "last_commit", horizon.last_commit_ns);
	json_kbool(json, "recorder_running", horizon.writer_alive);
	json_ku64(json, "data_bytes", horizon.data_bytes);
	json_ku64(json, "packet_bytes", horizon.packet_bytes);
	json_ku64(json, "partitions", horizon.parts);
	put_gaps(json, gaps, count);
	return 0;
}

static void put_part(struct json *json, const struct store_part_info *part)
{
	json_object(json);
	json_kcstr(json, "path", part->path);
	json_kbool(json, "sealed", part->sealed);
	json_kbool(json, "has_packets", part->has_packets);
	json_kbool(json, "pinned", part->pinned);
	put_time(json, "from", part->start_min);
	put_time(json, "to", part->end_max);
	for (int t = 1; t <= TABLE_MAX; t++)
		if (t != TABLE_PACKETS)
			json_ku64(json, table_get((enum table_id)t)->name, part->rows[t]);
	json_ku64(json, "packets", part->packets);
	json_ku64(json, "data_bytes", part->data_bytes);
	json_ku64(json, "packet_bytes", part->packet_bytes);
	json_ku64(json, "captured_bytes", part->packet_plain_bytes);
	json_object_end(json);
}

int query_status_json(struct store *store, struct arena *arena, struct json *json, struct err *err)
{
	struct store_horizon horizon;
	struct store_view *view;
	struct view text;
	struct store_repacked repacked;
	uint64_t cold_parts, cold_bytes;
	int rc = store_horizon(store, &horizon, err);

	if (rc >= 0)
		rc = store_repacked(store, clock_now_ns(), &repacked, &cold_parts, &cold_bytes, err);
	if (rc >= 0)
		rc = store_view_open(store, 0, UINT64_MAX, &view, err);
	if (rc < 0)
		return rc;
	json_key(json, "recorder");
	if (store_status(store, "recorder", arena, &text, NULL) >= 0 && text.len)
		json_raw(json, text);
	else
		json_null(json);
	json_kbool(json, "recorder_running", horizon.writer_alive);
	put_time(json, "last_commit", horizon.last_commit_ns);
	json_key(json, "store");
	json_object(json);
	json_ku64(json, "data_bytes", horizon.data_bytes);
	json_ku64(json, "packet_bytes", horizon.packet_bytes);
	json_key(json, "repacked");
	json_object(json);
	json_ku64(json, "partitions", repacked.parts);
	json_ku64(json, "left", repacked.left);
	json_ku64(json, "bytes_before", repacked.bytes_before);
	json_ku64(json, "bytes_after", repacked.bytes_after);
	json_ku64(json, "cold_partitions", cold_parts);
	json_ku64(json, "cold_bytes", cold_bytes);
	json_object_end(json);
	json_key(json, "partitions");
	json_array(json);
	for (size_t i = 0; i < store_view_parts(view); i++)
		put_part(json, store_view_part(view, i));
	json_array_end(json);
	json_object_end(json);
	store_view_close(view);
	return 0;
}

void query_call_json(const struct call_row *call, const struct query_bytes *bytes, size_t body_max,
		     struct json *json)
{
	const struct proto_ops *proto = proto_by_id(call->l7);

	query_row_json(table_get(TABLE_CALLS), call, NULL, 0, false, json);
	if (proto && proto->before_bytes)
		(void)proto->detail_after(&bytes->before, bytes->request, bytes->response, body_max, json);
	else if (proto && proto->detail)
		(void)proto->detail(bytes->request, bytes->response, body_max, json);
	json_key(json, "payload");
	json_object(json);
	json_kcstr(json, "state", sym_name(SYMS_PAYLOAD, bytes->payload));
	json_ku64(json, "request_bytes", bytes->request.len);
	json_ku64(json, "request_missing_bytes", bytes->request_missing);
	json_ku64(json, "response_bytes", bytes->response.len);
	json_ku64(json, "response_missing_bytes", bytes->response_missing);
	json_object_end(json);
}
