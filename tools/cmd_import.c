/* Capture files into a store: import. */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/import.h"
#include "tools/tools.h"

struct show {
	bool bar, plain, json;
	uint64_t next_ns;	/* plain and json: not before this */
	bool drawn;
};

static void print_bar(const struct import_progress *at)
{
	char done[32], total[32], left[32] = "";
	double seconds = (double)at->elapsed_ns / 1e9;
	double rate = seconds > 0 ? (double)at->packets / seconds : 0;

	if (at->bytes_total && at->bytes && at->bytes < at->bytes_total)
		clock_format_duration((uint64_t)((double)at->elapsed_ns * (double)(at->bytes_total - at->bytes) /
						 (double)at->bytes), left, sizeof(left));
	fprintf(stderr, "\r\033[K%s%3.0f %%  %s of %s  %" PRIu64 " packets  %.0f packets/s%s%s",
		at->sealing ? "sealing  " : "", at->bytes_total ? 100.0 * (double)at->bytes / (double)at->bytes_total : 0.0,
		tool_bytes(at->bytes, done), at->bytes_total ? tool_bytes(at->bytes_total, total) : "a pipe", at->packets,
		rate, *left ? "  left " : "", left);
}

static bool on_progress(void *arg, const struct import_progress *at)
{
	struct show *show = arg;

	if (show->bar) {
		print_bar(at);
		show->drawn = true;
	} else if ((show->plain || show->json) && at->elapsed_ns >= show->next_ns) {
		show->next_ns = at->elapsed_ns + NS_PER_SEC;
		fprintf(stderr, show->json ? "{\"bytes\":%" PRIu64 ",\"bytes_total\":%" PRIu64 ",\"packets\":%" PRIu64
					     ",\"elapsed_ns\":%" PRIu64 ",\"sealing\":%s}\n" :
					     "progress bytes=%" PRIu64 " bytes_total=%" PRIu64 " packets=%" PRIu64
					     " elapsed_ns=%" PRIu64 " sealing=%s\n",
			at->bytes, at->bytes_total, at->packets, at->elapsed_ns, at->sealing ? "true" : "false");
	}
	return !atomic_load(&tool_interrupted);
}

static void on_warning(void *arg, const char *path, const char *text)
{
	struct show *show = arg;

	if (show->drawn)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "tapedeck import: %s: %s\n", path, text);
}

static void print_totals(const struct import_totals *totals)
{
	char bytes[32], from[CLOCK_TEXT_LEN], to[CLOCK_TEXT_LEN];
	double seconds = (double)(totals->read_ns + totals->seal_ns) / 1e9;

	fprintf(stderr, "%" PRIu64 " packets, %s, %" PRIu64 " flow rows, %" PRIu64 " calls in %.2f s (%.0f packets/s)\n",
		totals->packets, tool_bytes(totals->captured_bytes, bytes), totals->flow_rows, totals->call_rows, seconds,
		seconds > 0 ? (double)totals->packets / seconds : 0);
	if (totals->first_ns <= totals->last_ns) {
		clock_format(totals->first_ns, from);
		clock_format(totals->last_ns, to);
		fprintf(stderr, "from %s to %s\n", from, to);
	}
	for (int i = 1; i < DECODE_STATUS_COUNT; i++)
		if (totals->undecoded[i])
			fprintf(stderr, "%" PRIu64 " not decoded: %s\n", totals->undecoded[i],
				decode_status_text((enum decode_status)i));
}

int tool_import(struct tool *tool, const char *const *paths, size_t count)
{
	const char *when = tool->set.progress;
	struct show show = { .plain = strcmp(when, "plain") == 0, .json = strcmp(when, "json") == 0 };
	struct import_totals totals = { 0 };
	struct import_opts opts = {
		.paths = paths, .paths_count = count, .data_dir = tool->set.data,
		.zstd_level = (int)tool->set.zstd_level,
		.group_gid = tool_store_group(tool), .load_bytes_max = tool->set.load_bytes,
		.progress = on_progress, .warning = on_warning, .arg = &show,
	};
	int rc;

	if (tool->set.zstd_level > 22)
		return tool_usage(tool, "--zstd-level %" PRIu64 ": 1 to 22", tool->set.zstd_level);
	show.bar = strcmp(when, "auto") == 0 && isatty(STDERR_FILENO);
	if (!show.bar && !show.plain && !show.json && strcmp(when, "auto") != 0 && strcmp(when, "none") != 0)
		return tool_usage(tool, "--progress %s: auto, plain, json or none", when);
	rc = tool_tracker_opts(tool, &opts.tracker);
	if (rc)
		return rc;
	log_set_level(LOG_WARN);
	tool_catch_signals();
	rc = import_run(&opts, &totals, &tool->err);
	if (show.drawn)
		fputs("\r\033[K", stderr);
	if (rc >= 0)
		print_totals(&totals);
	else if (totals.packets)
		fprintf(stderr, "%" PRIu64 " packets were read before it failed; what was committed of them is kept\n",
			totals.packets);
	return rc < 0 ? tool_fail(tool) : EXIT_DONE;
}

int cmd_import(struct tool *tool)
{
	if (tool->set.args_count == 0)
		return tool_usage(tool, "say which files; - is standard input");
	return tool_import(tool, tool->set.args, tool->set.args_count);
}
