/*
 * The main job: record and serve as two processes under a third that restarts
 * what crashes. They share nothing but the data directory.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "query/serve.h"
#include "tools/tools.h"

#define RESTART_NS (2 * NS_PER_SEC)	/* between a crash and the next try */
#define FIRST_NS (5 * NS_PER_SEC)	/* who ends sooner than this after the first start will not do better later */

static void on_ready(const char *address, void *arg)
{
	const struct tool *tool = arg;
	const char *host = address + strlen("http://");
	bool file = *tool->set.capture;	/* its times are its own */

	printf("\nTapedeck serves %s from %s\n\n"
	       "  curl -s '%s/api/v1/calls?limit=5&format=table'\n"
	       "  curl -s '%s/api/v1/flows?filter=tcp&limit=3%s'\n"
	       "  curl -s '%s/api/v1/export?format=pcapng%s' | tshark -r -\n\n"
	       "Grafana: a JSON data source with the URL %s/grafana. Ctrl-C stops it.\n",
	       address, tool->set.data, host, host, file ? "" : "&from=-5m", host, file ? "" : "&from=-1m", address);
	fflush(stdout);
}

struct child {
	const char *name;
	int (*run)(struct tool *tool);
	pid_t pid;		/* 0: not running */
	uint64_t started_ns;	/* monotonic */
	uint64_t again_ns;	/* start it then; 0 = running */
	bool restarted;
};

static int run_serve(struct tool *tool)
{
	struct serve_opts opts = tool_serve_opts(tool);

	opts.on_ready = on_ready;
	opts.on_ready_arg = tool;
	return serve_run(&opts, &tool->err) < 0 ? tool_fail(tool) : EXIT_DONE;
}

static int start(struct tool *tool, struct child *child)
{
	fflush(NULL);
	child->started_ns = clock_mono_ns();
	child->again_ns = 0;
	child->pid = fork();
	if (child->pid < 0) {
		child->pid = 0;
		return err_errno(&tool->err, errno, "start %s", child->name);
	}
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		prctl(PR_SET_NAME, child->run == cmd_record ? "tapedeck-record" : "tapedeck-serve");
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		_exit((child->run(tool) & 0xff) | (fflush(stdout) ? 1 : 0));
	}
	return 0;
}

/* A child ended. True: it cannot work at all, stop everything. */
static bool ended(struct child *child, int status)
{
	bool early = !child->restarted && clock_mono_ns() - child->started_ns < FIRST_NS;

	child->pid = 0;
	if (WIFEXITED(status) && early)
		return true;
	if (WIFSIGNALED(status))
		log_warn("%s ended signal=%d, starting it again", child->name, WTERMSIG(status));
	else
		log_warn("%s ended code=%d, starting it again", child->name, WEXITSTATUS(status));
	child->restarted = true;
	child->again_ns = clock_mono_ns() + RESTART_NS;
	return false;
}

static void stop(struct child *children, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (children[i].pid)
			kill(children[i].pid, SIGTERM);
	for (size_t i = 0; i < count; i++)
		while (children[i].pid && waitpid(children[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
}

static int supervise(struct tool *tool, struct child *children, size_t count)
{
	int code = EXIT_DONE, status;

	while (!atomic_load(&tool_interrupted)) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		for (size_t i = 0; i < count; i++) {
			struct child *child = &children[i];

			if (pid > 0 && child->pid == pid && ended(child, status)) {
				code = WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
				goto out;
			}
			if (!child->pid && child->again_ns && clock_mono_ns() >= child->again_ns &&
			    start(tool, child) < 0) {
				code = tool_fail(tool);
				goto out;
			}
		}
		if (pid <= 0)
			usleep(50000);
	}
out:
	stop(children, count);
	return code;
}

/* serve may be the first of the two to look for the data directory. */
static int make_data(struct tool *tool)
{
	int gid = tool_store_group(tool);

	if (mkdir(tool->set.data, 0750) < 0)
		return errno == EEXIST ? 0 : err_errno(&tool->err, errno, "data directory %s", tool->set.data);
	if (gid >= 0 && chown(tool->set.data, (uid_t)-1, (gid_t)gid) < 0)
		return err_errno(&tool->err, errno, "data directory %s", tool->set.data);
	return 0;
}

static int run_capture(struct tool *tool)
{
	int code = tool_import(tool, &tool->set.capture, 1);

	return code == EXIT_DONE ? run_serve(tool) : code;
}

int cmd_run(struct tool *tool)
{
	struct child children[] = { { .name = "record", .run = cmd_record }, { .name = "serve", .run = run_serve } };
	int code;

	if (tool->set.args_count)
		return tool_usage(tool, "it takes no argument \"%s\"", tool->set.args[0]);
	if (*tool->set.capture)
		return run_capture(tool);
	if (make_data(tool) < 0)
		return tool_fail(tool);
	tool_catch_signals();
	for (size_t i = 0; i < 2; i++) {
		if (start(tool, &children[i]) < 0) {
			code = tool_fail(tool);
			stop(children, 2);
			return code;
		}
	}
	code = supervise(tool, children, 2);
	if (code != EXIT_DONE && !atomic_load(&tool_interrupted))
		fprintf(stderr, "To look at a capture file instead: make run CAPTURE=file.pcapng\n");
	return code;
}
