/* Live traffic into a store: record. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "ingest/recorder.h"
#include "schema/event.h"
#include "tools/tools.h"

#define EXCLUDE_MAX 64

struct recording {
	struct tool *tool;
	uint64_t end_mono_ns;	/* 0: until a signal */
	uint32_t exclude[EXCLUDE_MAX];
};

int tool_store_group(const struct tool *tool)
{
	const struct passwd *user;

	if (geteuid() != 0)
		return -1;
	user = *tool->set.user ? getpwnam(tool->set.user) : NULL;
	if (!user)
		user = getpwnam("tapedeck");
	if (!user)
		user = getpwnam("nobody");
	return user ? (int)user->pw_gid : -1;
}

int tool_tracker_opts(struct tool *tool, struct tracker_opts *ret_opts)
{
	const struct settings *set = &tool->set;
	struct tracker_opts opts = { .flows_max = set->flows_max, .active_ns = set->active_timeout,
				     .stream_bytes_max = set->stream_bytes };

	/* A capture file has timeouts of its own unless the user says otherwise. */
	if (set->given[PARAM_ID_idle_timeout])
		opts.tcp_idle_ns = set->idle_timeout;
	if (set->given[PARAM_ID_udp_timeout])
		opts.udp_idle_ns = set->udp_timeout;
	if (protocols_parse(view_str(set->protocols), &opts.protocols, &tool->err) < 0) {
		(void)err_prefix(&tool->err, "--protocols (%s)", set->from_where[PARAM_ID_protocols]);
		return tool_fail(tool);
	}
	*ret_opts = opts;
	return EXIT_DONE;
}

static int parse_excluded(struct tool *tool, struct recording *recording, struct live_opts *live)
{
	struct view left = view_str(tool->set.exclude_pid);

	while (left.len) {
		ptrdiff_t comma = view_find(left, VIEW_LIT(","));
		struct view one = view_trim(comma < 0 ? left : view_sub(left, 0, (size_t)comma));
		uint64_t pid;

		if (view_u64(one, UINT32_MAX, &pid) < 0 || live->exclude_count == EXCLUDE_MAX)
			return tool_usage(tool, "--exclude-pid %s: at most %d process ids with commas between",
					  tool->set.exclude_pid, EXCLUDE_MAX);
		recording->exclude[live->exclude_count++] = (uint32_t)pid;
		left = comma < 0 ? (struct view){ 0 } : view_sub(left, (size_t)comma + 1, left.len);
	}
	live->exclude_pids = recording->exclude;
	return 0;
}

static void on_ready(void *arg)
{
	struct recording *recording = arg;

	fprintf(stderr, "recording into %s\n", recording->tool->set.data);
}

static bool on_alive(void *arg)
{
	const struct recording *recording = arg;

	return !recording->end_mono_ns || clock_mono_ns() < recording->end_mono_ns;
}

int cmd_record(struct tool *tool)
{
	struct recording recording = { .tool = tool };
	struct recorder_opts opts = {
		.data_dir = tool->set.data,
		.node = *tool->set.node ? tool->set.node : NULL,
		.live = { .snaplen = (uint32_t)tool->set.snaplen, .ring_bytes = tool->set.ring_bytes },
		.zstd_level = (int)tool->set.zstd_level,
		.group_gid = tool_store_group(tool),
		.ready = on_ready,
		.alive = on_alive,
		.arg = &recording,
	};
	int rc;

	if (tool->set.args_count)
		return tool_usage(tool, "it takes no argument \"%s\"", tool->set.args[0]);
	if (tool->set.snaplen < 64 || tool->set.snaplen > RING_SNAPLEN_MAX)
		return tool_usage(tool, "--snaplen %llu: 64 to %u bytes", (unsigned long long)tool->set.snaplen, RING_SNAPLEN_MAX);
	if (tool->set.zstd_level > 22)
		return tool_usage(tool, "--zstd-level %llu: 1 to 22", (unsigned long long)tool->set.zstd_level);
	rc = tool_tracker_opts(tool, &opts.tracker);
	if (rc)
		return rc;
	opts.tracker.early_ns = tool->set.first_report;
	opts.live.second = strcmp(tool->set.second_view, "full") == 0 ? RING_SECOND_FULL :
			   strcmp(tool->set.second_view, "count") == 0 ? RING_SECOND_COUNT : RING_SECOND_HEADERS;
	if (opts.live.second == RING_SECOND_HEADERS && strcmp(tool->set.second_view, "headers") != 0)
		return tool_usage(tool, "--second-view %s: headers, full or count", tool->set.second_view);
	rc = parse_excluded(tool, &recording, &opts.live);
	if (rc)
		return rc;
	if (tool->set.duration)
		recording.end_mono_ns = clock_mono_ns() + tool->set.duration;
	return recorder_run(&opts, &tool->err) < 0 ? tool_fail(tool) : EXIT_DONE;
}
