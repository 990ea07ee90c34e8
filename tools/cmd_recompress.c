/* Cold partitions packed again by hand; the recorder does it by itself when the policy says so. */
#include <inttypes.h>

#include "base/clock.h"
#include "tools/tools.h"

struct seen {
	struct json *json;	/* NULL: text */
	bool dry_run;
	uint64_t parts, bytes;
};

static int interrupted(void *arg)
{
	(void)arg;
	return tool_interrupted ? E_CANCELLED : 0;
}

static void part_done(const struct store_part_info *part, uint64_t bytes_after, void *arg)
{
	struct seen *seen = arg;
	char before[32], after[32];

	seen->parts++;
	seen->bytes += part->data_bytes;
	if (seen->json) {
		json_object(seen->json);
		json_kcstr(seen->json, "partition", part->path);
		json_ku64(seen->json, "bytes_before", part->data_bytes);
		if (!seen->dry_run)
			json_ku64(seen->json, "bytes_after", bytes_after);
		json_object_end(seen->json);
	} else if (seen->dry_run) {
		printf("  %-28s %10s\n", part->path, tool_bytes(part->data_bytes, before));
	} else if (bytes_after == part->data_bytes) {
		printf("  %-28s %10s  stays as it is\n", part->path, tool_bytes(part->data_bytes, before));
	} else {
		printf("  %-28s %10s -> %10s  %.1f %% less\n", part->path, tool_bytes(part->data_bytes, before),
		       tool_bytes(bytes_after, after),
		       100.0 - 100.0 * (double)bytes_after / (double)part->data_bytes);
		fflush(stdout);
	}
}

static void totals(const struct seen *seen, const struct store_repacked *total)
{
	char before[32], after[32];

	if (seen->json) {
		json_ku64(seen->json, "partitions", seen->dry_run ? seen->parts : total->parts);
		json_ku64(seen->json, "left", total->left);
		json_ku64(seen->json, "bytes_before", seen->dry_run ? seen->bytes : total->bytes_before);
		if (!seen->dry_run)
			json_ku64(seen->json, "bytes_after", total->bytes_after);
	} else if (seen->dry_run) {
		printf("%" PRIu64 " would be packed again, %s\n", seen->parts, tool_bytes(seen->bytes, before));
	} else {
		printf("%" PRIu64 " packed again, from %s to %s; %" PRIu64 " left as they were\n", total->parts,
		       tool_bytes(total->bytes_before, before), tool_bytes(total->bytes_after, after), total->left);
	}
}

int cmd_recompress(struct tool *tool)
{
	struct store_recompress_opts opts = { .now_ns = tool->set.now_ns, .age_ns = tool->set.older, .dry_run = tool->set.dry_run,
					      .step = interrupted, .done = part_done, .level = (int)tool->set.level };
	struct seen seen = { .dry_run = tool->set.dry_run };
	struct store_repacked total = { 0 };
	struct store_policy policy;
	struct store *store = NULL;
	struct json json;
	bool as_json;
	struct wr out;
	int rc, code = tool_wants_json(tool, &as_json);

	if (code != EXIT_DONE)
		return code;
	if (tool->set.level && (tool->set.level < STORE_COLD_LEVEL_MIN || tool->set.level > STORE_COLD_LEVEL_MAX))
		return tool_usage(tool, "--level %" PRIu64 ": %d to %d, or 0", tool->set.level, STORE_COLD_LEVEL_MIN,
				  STORE_COLD_LEVEL_MAX);
	rc = store_open(tool->set.data, &store, &tool->err);
	if (rc == 0)
		rc = store_policy_get(store, &policy, &tool->err);
	store_close(store);
	if (rc < 0)
		return tool_fail(tool);
	if (!tool->set.given[PARAM_ID_older])
		opts.age_ns = policy.cold_age_ns;
	wr_init(&out, 0);
	json_init(&json, &out, true);
	opts.arg = &seen;
	if (as_json) {
		seen.json = &json;
		json_object(&json);
		json_key(&json, "parts");
		json_array(&json);
	}
	tool_catch_signals();
	rc = store_recompress(tool->set.data, &opts, &total, &tool->err);
	if (as_json)
		json_array_end(&json);
	totals(&seen, &total);
	if (as_json) {
		json_kbool(&json, "complete", rc == 0);
		json_object_end(&json);
		wr_u8(&out, '\n');
		(void)tool_write(wr_view(&out));
	}
	wr_release(&out);
	return rc == E_CANCELLED ? EXIT_FAILED : rc < 0 ? tool_fail(tool) : EXIT_DONE;
}
