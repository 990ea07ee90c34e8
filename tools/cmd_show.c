/* One flow or one call in full: show. */
#include <stdlib.h>

#include "base/clock.h"
#include "tools/tools.h"
#include "wire/proto.h"

#define SHOW_BYTES_MAX (64u << 20)

static int to_stdout(void *arg, struct view bytes)
{
	(void)arg;
	return tool_write(bytes) ? 0 : E_CANCELLED;
}

static int parse_id(const char *text, uint64_t *ret_id)
{
	char *end;

	*ret_id = strtoull(text, &end, 16);
	return *text && !*end && strlen(text) <= 16 ? 0 : E_USAGE;
}

static int print_json(struct wr *out)
{
	wr_u8(out, '\n');
	return tool_write(wr_view(out)) ? EXIT_DONE : EXIT_FAILED;
}

static int show_flow(struct tool *tool, struct store *store, uint64_t id)
{
	struct flow_row row;
	struct wr out;
	struct json json;
	uint8_t payload = 0;
	int code;

	if (query_flow(store, id, tool->arena, &row, &tool->err) < 0)
		return tool_fail(tool);
	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	query_row_json(table_get(TABLE_FLOWS), &row, NULL, 0, false, &json);
	if (query_payload_state(store, id, row.first_ns, row.end_ns + 1, &payload, NULL) >= 0)
		json_kcstr(&json, "payload", sym_name(SYMS_PAYLOAD, payload));
	json_object_end(&json);
	code = print_json(&out);
	wr_release(&out);
	return code;
}

static int show_raw(struct tool *tool, const struct query_bytes *bytes)
{
	const char *part = tool->set.raw;
	bool request = strcmp(part, "request") == 0;

	if (!request && strcmp(part, "response") != 0)
		return tool_usage(tool, "--raw %s: request or response", part);
	if (bytes->payload == PAYLOAD_expired)
		fprintf(stderr, "tapedeck show: the bytes have expired\n");
	if (request ? bytes->request_missing : bytes->response_missing)
		fprintf(stderr, "tapedeck show: %llu bytes are missing and shown as zeros\n",
			(unsigned long long)(request ? bytes->request_missing : bytes->response_missing));
	return tool_write(request ? bytes->request : bytes->response) ? EXIT_DONE : EXIT_FAILED;
}

static int show_call(struct tool *tool, struct store *store, uint64_t id)
{
	struct call_row row;
	struct query_bytes bytes = { 0 };
	const struct proto_ops *proto;
	struct wr out;
	struct json json;
	int code;

	if (query_call(store, id, tool->arena, &row, &tool->err) < 0 ||
	    query_call_bytes(store, &row, SHOW_BYTES_MAX, tool->arena, &bytes, &tool->err) < 0)
		return tool_fail(tool);
	if (*tool->set.raw)
		return show_raw(tool, &bytes);
	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	query_row_json(table_get(TABLE_CALLS), &row, NULL, 0, false, &json);
	json_kcstr(&json, "payload", sym_name(SYMS_PAYLOAD, bytes.payload));
	json_ku64(&json, "request_missing_bytes", bytes.request_missing);
	json_ku64(&json, "response_missing_bytes", bytes.response_missing);
	proto = proto_by_id(row.l7);
	if (proto && proto->detail)
		(void)proto->detail(bytes.request, bytes.response, SHOW_BYTES_MAX, &json);
	json_object_end(&json);
	code = print_json(&out);
	wr_release(&out);
	return code;
}

int cmd_show(struct tool *tool)
{
	struct store *store = NULL;
	bool call;
	char path[64];
	uint64_t id;
	int code;

	if (tool->set.args_count != 2 || parse_id(tool->set.args[1], &id) < 0)
		return tool_usage(tool, "say what: `show call ID` or `show flow ID`; an id is 16 hexadecimal digits");
	call = strcmp(tool->set.args[0], "call") == 0;
	if (!call && strcmp(tool->set.args[0], "flow") != 0)
		return tool_usage(tool, "\"%s\" is neither call nor flow", tool->set.args[0]);
	if (*tool->set.server) {
		struct client_param list[] = { { "raw", tool->set.raw } };

		snprintf(path, sizeof(path), "/api/v1/%ss/%016llx", tool->set.args[0], (unsigned long long)id);
		return client_get(tool, path, list, 1, to_stdout, NULL);
	}
	if (store_open(tool->set.data, &store, &tool->err) < 0)
		return tool_fail(tool);
	code = call ? show_call(tool, store, id) : show_flow(tool, store, id);
	store_close(store);
	return code;
}
