/* One thing by its id: a flow, its streams, a call in full. */
#include <stdio.h>

#include "base/clock.h"
#include "query/api.h"
#include "query/curl.h"

#define STREAM_BYTES	 65536u
#define STREAM_BYTES_MAX (16u << 20)
#define CALL_BYTES_MAX	 (16u << 20)
#define BODY_BYTES	 65536u

static int find_flow(struct serve *serve, struct http_request *req, struct store **ret_store,
		     struct flow_row *ret_flow, struct err *err)
{
	struct query_opts opts;
	uint64_t id;
	int rc = api_id(req, 0, &id, err);

	if (rc >= 0)
		rc = api_opts(serve, req, 0, &opts, err);
	if (rc >= 0)
		rc = serve_store(serve, ret_store, err);
	if (rc >= 0)
		rc = query_flow(*ret_store, id, &req->arena, ret_flow, err);
	return rc;
}

int api_flow(void *ctx, struct http_request *req, struct err *err)
{
	const struct table *table = table_get(TABLE_FLOWS);
	struct flow_row flow;
	struct store *store;
	struct json json;
	uint8_t payload;
	int rc = find_flow(ctx, req, &store, &flow, err);

	if (rc >= 0)
		rc = query_flow_payload(store, &flow, &payload, err);
	if (rc < 0)
		return rc;
	req->rows = 1;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_object(&json);
	query_row_json(table, &flow, NULL, 0, false, &json);
	json_kcstr(&json, "payload", sym_name(SYMS_PAYLOAD, payload));
	json_object_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

/* ---- streams ---- */

/* 16 bytes a line: offset, hexadecimal, characters. */
static int hex_dump(struct http_request *req, struct view bytes, uint64_t offset, struct err *err)
{
	struct wr *out = http_out(req);

	for (size_t at = 0; at < bytes.len; at += 16) {
		struct view line = view_sub(bytes, at, 16);

		wr_printf(out, "%08llx ", (unsigned long long)(offset + at));
		for (size_t i = 0; i < 16; i++) {
			if (i < line.len)
				wr_printf(out, "%s%02x", i == 8 ? "  " : " ", line.at[i]);
			else
				wr_str(out, i == 8 ? "    " : "   ");
		}
		wr_str(out, "  |");
		for (size_t i = 0; i < line.len; i++)
			wr_u8(out, line.at[i] >= ' ' && line.at[i] < 0x7f ? line.at[i] : '.');
		wr_str(out, "|\n");
		if (out->len >= HTTP_PUMP_BYTES) {
			int rc = http_pump(req, err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static void hex_text(struct json *json, const char *key, struct view bytes)
{
	static const char digits[] = "0123456789abcdef";

	json_key(json, key);
	/* Nothing in it needs an escape: written as it is. */
	json_raw(json, VIEW_LIT("\""));
	for (size_t i = 0; i < bytes.len; i++) {
		wr_u8(json->out, (uint8_t)digits[bytes.at[i] >> 4]);
		wr_u8(json->out, (uint8_t)digits[bytes.at[i] & 15]);
	}
	wr_u8(json->out, '"');
}

static void stream_json(struct http_request *req, uint64_t flow_id, unsigned dir, uint64_t offset,
			struct view bytes, uint64_t missing)
{
	struct json json;

	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_object(&json);
	api_json_id(&json, "flow.id", flow_id);
	json_kcstr(&json, "dir", sym_name(SYMS_DIR, dir));
	json_ku64(&json, "offset", offset);
	json_ku64(&json, "bytes", bytes.len);
	json_ku64(&json, "missing_bytes", missing);
	hex_text(&json, "hex", bytes);
	json_kstr(&json, "text", bytes);
	json_object_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
}

int api_flow_stream(void *ctx, struct http_request *req, struct err *err)
{
	struct flow_row flow;
	struct store *store;
	struct view bytes;
	uint64_t offset, limit, missing = 0;
	unsigned dir, as;
	int rc = find_flow(ctx, req, &store, &flow, err);

	if (rc >= 0)
		rc = http_param_word(req, "dir", "tx rx", &dir, err);
	if (rc >= 0)
		rc = http_param_word(req, "as", "json raw hex", &as, err);
	if (rc >= 0)
		rc = http_param_u64(req, "offset", 0, UINT64_MAX >> 1, &offset, err);
	if (rc >= 0)
		rc = http_param_u64(req, "limit", STREAM_BYTES, STREAM_BYTES_MAX, &limit, err);
	if (rc >= 0)
		rc = query_flow_stream(store, &flow, dir, offset, (size_t)limit, &req->arena,
				       &bytes, &missing, err);
	if (rc < 0)
		return rc;
	http_header(req, "X-Missing-Bytes", "%llu", (unsigned long long)missing);
	if (as == 0) {
		stream_json(req, flow.id, dir, offset, bytes, missing);
	} else if (as == 1) {
		http_type(req, "application/octet-stream");
		wr_bytes(http_out(req), bytes);
	} else {
		http_type(req, "text/plain; charset=utf-8");
		rc = hex_dump(req, bytes, offset, err);
	}
	return rc;
}

/* ---- calls ---- */

static void call_json(struct http_request *req, const struct call_row *call,
		      const struct query_bytes *bytes, size_t body_max)
{
	struct json json;

	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_object(&json);
	query_call_json(call, bytes, body_max, &json);
	json_object_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
}

/* The bytes are gone, the row is not: since when there are bytes. */
static int say_expired(struct store *store, uint64_t id, struct err *err)
{
	struct store_horizon horizon;
	char since[CLOCK_TEXT_LEN] = "never";
	int rc = store_horizon(store, &horizon, err);

	if (rc < 0)
		return rc;
	if (horizon.oldest_ns[TABLE_PACKETS] != UINT64_MAX)
		clock_format(horizon.oldest_ns[TABLE_PACKETS], since);
	return err_set(err, E_EXPIRED, "retention has dropped the bytes of call %016llx; its row is held, packets are held since %s",
		       (unsigned long long)id, since);
}

int api_call(void *ctx, struct http_request *req, struct err *err)
{
	struct query_bytes bytes = { 0 };
	struct query_opts opts;
	struct call_row call;
	struct store *store;
	uint64_t id, body_max;
	unsigned raw = 0, as;
	int rc = api_id(req, 0, &id, err);

	if (rc >= 0 && http_param(req, "raw").len)
		rc = http_param_word(req, "raw", "request response", &raw, err);
	if (rc >= 0)
		rc = http_param_word(req, "as", "json curl", &as, err);
	if (rc >= 0)
		rc = http_param_u64(req, "body_max", BODY_BYTES, CALL_BYTES_MAX, &body_max, err);
	if (rc >= 0)
		rc = api_opts(ctx, req, 0, &opts, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc >= 0)
		rc = query_call(store, id, &req->arena, &call, err);
	if (rc >= 0)
		rc = query_call_bytes(store, &call, CALL_BYTES_MAX, &req->arena, &bytes, err);
	if (rc < 0)
		return rc;
	req->rows = 1;
	if (http_param(req, "raw").len) {
		struct view part = raw ? bytes.response : bytes.request;
		uint64_t missing = raw ? bytes.response_missing : bytes.request_missing;

		if (bytes.payload == PAYLOAD_expired && missing >= part.len)
			return say_expired(store, id, err);
		http_type(req, "application/octet-stream");
		http_header(
			req, "X-Missing-Bytes", "%llu",
			(unsigned long long)(raw ? bytes.response_missing : bytes.request_missing));
		wr_bytes(http_out(req), raw ? bytes.response : bytes.request);
		return 0;
	}
	rc = query_call_before(store, &call, &req->arena, &bytes, err);
	if (rc == 0 && as == 1) {
		http_type(req, "text/plain; charset=utf-8");
		return curl_line(&call, &bytes, http_out(req), err);
	}
	if (rc == 0)
		call_json(req, &call, &bytes, (size_t)body_max);
	return rc;
}
