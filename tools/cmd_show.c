/* One flow or one call in full: show. */
#include <stdlib.h>

#include "base/clock.h"
#include "tools/tools.h"

#define SHOW_BYTES_MAX (64u << 20)
#define SHOW_REMOTE_BODY_MAX "16777216"	/* what the server gives at most */

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
	if (query_flow_payload(store, &row, &payload, NULL) >= 0)
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
	struct wr out;
	struct json json;
	int code;

	if (query_call(store, id, tool->arena, &row, &tool->err) < 0 ||
	    query_call_bytes(store, &row, SHOW_BYTES_MAX, tool->arena, &bytes, &tool->err) < 0)
		return tool_fail(tool);
	if (*tool->set.raw)
		return show_raw(tool, &bytes);
	if (query_call_before(store, &row, tool->arena, &bytes, &tool->err) < 0)
		return tool_fail(tool);
	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	query_call_json(&row, &bytes, SHOW_BYTES_MAX, &json);
	json_object_end(&json);
	code = print_json(&out);
	wr_release(&out);
	return code;
}

static int collect(void *arg, struct view bytes)
{
	wr_bytes(arg, bytes);
	return ((struct wr *)arg)->bad ? E_NO_MEMORY : 0;
}

/* Printed as if it had been read here: without the envelope, for people. */
static int show_remote(struct tool *tool, bool call, uint64_t id)
{
	struct client_param list[] = { { "raw", tool->set.raw },
				       { "body_max", call && !*tool->set.raw ? SHOW_REMOTE_BODY_MAX : NULL } };
	struct json_doc *doc = NULL;
	struct wr in, out;
	struct json json;
	char path[64];
	int code;

	snprintf(path, sizeof(path), "/api/v1/%s/%016llx", call ? "calls" : "flows", (unsigned long long)id);
	if (*tool->set.raw)
		return client_get(tool, path, list, 2, to_stdout, NULL);
	wr_init(&in, 0);
	wr_init(&out, 0);
	code = client_get(tool, path, list, 2, collect, &in);
	if (code == EXIT_DONE && json_parse(wr_view(&in), &doc, &tool->err) < 0)
		code = tool_fail(tool);
	if (code == EXIT_DONE) {
		json_init(&json, &out, true);
		json_val(&json, json_get(json_root(doc), "data"));
		code = print_json(&out);
	}
	json_doc_free(doc);
	wr_release(&out);
	wr_release(&in);
	return code;
}

int cmd_show(struct tool *tool)
{
	struct store *store = NULL;
	bool call;
	uint64_t id;
	int code;

	if (tool->set.args_count != 2 || parse_id(tool->set.args[1], &id) < 0)
		return tool_usage(tool, "say what: `show call ID` or `show flow ID`; an id is 16 hexadecimal digits");
	call = strcmp(tool->set.args[0], "call") == 0;
	if (!call && strcmp(tool->set.args[0], "flow") != 0)
		return tool_usage(tool, "\"%s\" is neither call nor flow", tool->set.args[0]);
	if (*tool->set.raw && !call)
		return tool_usage(tool, "--raw is for calls; the bytes of a flow: tapedeck export --filter 'id == \"%s\"'",
				  tool->set.args[1]);
	if (*tool->set.raw && strcmp(tool->set.raw, "request") != 0 && strcmp(tool->set.raw, "response") != 0)
		return tool_usage(tool, "--raw %s: request or response", tool->set.raw);
	if (*tool->set.server)
		return show_remote(tool, call, id);
	if (store_open(tool->set.data, &store, &tool->err) < 0)
		return tool_fail(tool);
	code = call ? show_call(tool, store, id) : show_flow(tool, store, id);
	store_close(store);
	return code;
}
