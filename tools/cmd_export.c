/* Packets out: export. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/crew.h"
#include "tools/tools.h"

struct target {
	int fd;			/* -1: not opened yet */
	const char *name;
	uint64_t bytes;
	struct err *err;	/* of the tool, for what fails while a server sends */
};

/* Only with the first bytes: a mistake in the filter must not empty the file of an earlier export. */
static int target_open(struct target *target, struct err *err)
{
	if (target->fd >= 0)
		return 0;
	target->fd = open(target->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return target->fd < 0 ? err_errno(err, errno, "%s", target->name) : 0;
}

static int target_write(void *arg, struct view bytes, struct err *err)
{
	struct target *target = arg;
	int rc = target_open(target, err);

	if (rc < 0)
		return rc;
	target->bytes += bytes.len;
	while (bytes.len) {
		ssize_t n = write(target->fd, bytes.at, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			return err_set(err, E_CANCELLED, "%s: nobody reads any more", target->name);
		if (n < 0)
			return err_errno(err, errno, "%s", target->name);
		bytes = view_sub(bytes, (size_t)n, bytes.len);
	}
	return 0;
}

static int remote_write(void *arg, struct view bytes)
{
	return target_write(arg, bytes, ((struct target *)arg)->err);
}

static int export_remote(struct tool *tool, struct target *target)
{
	struct client_param list[] = {
		{ "filter", tool->set.filter }, { "from", tool->set.text[PARAM_ID_from] },
		{ "to", tool->set.text[PARAM_ID_to] }, { "format", tool->set.format }, { "bpf", tool->set.bpf },
	};

	return client_get(tool, "/api/v1/export", list, sizeof(list) / sizeof(list[0]), remote_write, target);
}

/* An export takes all it can get, next to a recorder that must not wait: of processor and disk it takes what others leave. */
static void give_way(void)
{
	(void)setpriority(PRIO_PROCESS, 0, 10);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
}

int cmd_export(struct tool *tool)
{
	struct query_opts opts = tool_query_opts(tool);
	struct query_export what = { .packet_filter = view_str(tool->set.bpf) };
	struct query_export_totals totals = { 0 };
	struct query_stats stats = { 0 };
	struct target target = { .fd = STDOUT_FILENO, .name = "standard output", .err = &tool->err };
	struct store *store = NULL;
	bool to_file = *tool->set.output && strcmp(tool->set.output, "-") != 0;
	int code;

	if (strcmp(tool->set.format, "pcap") != 0 && strcmp(tool->set.format, "pcapng") != 0)
		return tool_usage(tool, "--format %s: pcap or pcapng", tool->set.format);
	what.format = strcmp(tool->set.format, "pcap") == 0 ? EXPORT_PCAP : EXPORT_PCAPNG;
	if (!to_file && isatty(STDOUT_FILENO))
		return tool_usage(tool, "packets do not belong on a terminal: --output FILE, or | tshark -r -");
	if (to_file) {
		target.name = tool->set.output;
		target.fd = -1;
	}
	tool_catch_signals();
	give_way();
	if (!*tool->set.server)
		opts.crew = tool_crew(tool);
	if (*tool->set.server) {
		code = export_remote(tool, &target);
	} else if (store_open(tool->set.data, &store, &tool->err) < 0 ||
		   query_export(store, &opts, &what, target_write, &target, &totals, &stats, &tool->err) < 0) {
		code = tool->err.code == E_CANCELLED && !atomic_load(&tool_interrupted) ? EXIT_DONE : tool_fail(tool);
	} else {
		if (to_file)
			fprintf(stderr, "%" PRIu64 " packets of %" PRIu64 " flows, %" PRIu64 " bytes\n", totals.packets,
				totals.flows, target.bytes);
		code = tool_query_end(tool, &opts, &stats, totals.packets);
	}
	if (to_file && target.fd >= 0 && close(target.fd) < 0 && code == EXIT_DONE) {
		(void)err_errno(&tool->err, errno, "%s", tool->set.output);
		code = tool_fail(tool);
	}
	crew_free(opts.crew);
	store_close(store);
	return code;
}
