/* The whole recorder on this kernel: two processes talk over a loopback of their own, rows are read back. */
#include "ingest/recorder.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "store/store.h"
#include "tests/ingest_kit.h"

#define PORT 18099
#define STEPS_MAX 50	/* seconds */

static const char asked[] = "GET /kit HTTP/1.1\r\nHost: kit\r\n\r\n";
static const char answered[] = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

static struct sockaddr_in loopback(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int own_network(void)
{
	struct ifreq ifreq = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, rc;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rc = ioctl(fd, SIOCSIFFLAGS, &ifreq);
	(void)close(fd);
	return rc;
}

/*
 * Tells by the pipe that it listens, then answers one request and tells that it is through. Stays until hold
 * ends: /proc is asked about a process when its first packet is drained.
 */
static void serve(int ready, int hold)
{
	struct sockaddr_in address = loopback();
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	char text[256];

	(void)prctl(PR_SET_NAME, "kit-server");
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 8) < 0)
		_exit(1);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	fd = accept(listener, NULL, NULL);
	if (fd < 0 || read(fd, text, sizeof(text)) <= 0 || write(fd, answered, sizeof(answered) - 1) < 0)
		_exit(1);
	(void)read(fd, text, sizeof(text));	/* until the client closes */
	(void)close(fd);
	(void)!write(ready, "x", 1);
	(void)!read(hold, text, 1);
	_exit(0);
}

static void ask(int ready, int hold)
{
	struct sockaddr_in address = loopback();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[256];

	(void)prctl(PR_SET_NAME, "kit-client");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    write(fd, asked, sizeof(asked) - 1) < 0 || read(fd, text, sizeof(text)) <= 0)
		_exit(1);
	(void)close(fd);
	(void)!write(ready, "x", 1);
	(void)!read(hold, text, 1);
	_exit(0);
}

struct story {
	pid_t server, client;
	int steps, words, pipe[2], hold[2];
	int steps_after;	/* both were through */
	bool began;
};

static void on_ready(void *arg)
{
	((struct story *)arg)->began = true;
}

/* Words of server and client that have come by now. */
static void listen_to(struct story *story)
{
	char byte;

	while (read(story->pipe[0], &byte, 1) == 1)
		story->words++;
}

static pid_t start(struct story *story, void (*run)(int ready, int hold))
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)close(story->hold[1]);
		run(story->pipe[1], story->hold[0]);
	}
	return pid;
}

/*
 * A step a second, however slow the machine: the server, the client when the server listens, and when both are through
 * two more, so that they are looked up while they are there.
 */
static bool on_alive(void *arg)
{
	struct story *story = arg;

	listen_to(story);
	if (!story->server)
		story->server = start(story, serve);
	else if (!story->client && story->words == 1)
		story->client = start(story, ask);
	else if (story->words == 3)
		story->steps_after++;
	return story->steps_after < 2 && story->steps++ < STEPS_MAX;
}

/* Both ended well. */
static bool story_over(struct story *story)
{
	pid_t pids[] = { story->server, story->client };
	bool good = story->began && story->words == 3;

	(void)close(story->hold[1]);
	for (size_t i = 0; i < 2; i++) {
		int status = 0;

		if (pids[i] <= 0)
			continue;
		if (!good)	/* it may wait for a peer that does not come */
			(void)kill(pids[i], SIGKILL);
		good = waitpid(pids[i], &status, 0) == pids[i] && status == 0 && good;
	}
	return good;
}

/* The recorder hears the whole machine: rows of others are left out, however many they are. */
static bool is_ours(enum table_id id, const void *row)
{
	const struct event_row *event = row;

	if (id == TABLE_FLOWS)
		return ROW_HAS(FLOW, (const struct flow_row *)row, dst_port) && ((const struct flow_row *)row)->dst_port == PORT;
	if (id == TABLE_CALLS)
		return ROW_HAS(CALL, (const struct call_row *)row, dst_port) && ((const struct call_row *)row)->dst_port == PORT;
	return event->kind == EVENT_capture_start || event->kind == EVENT_capture_end ||
	       (ROW_HAS(EVENT_ROW, event, dst_port) && event->dst_port == PORT);
}

static size_t read_table(struct store_view *view, enum table_id id, struct arena *arena, void *rows, size_t max)
{
	size_t row_bytes = table_get(id)->row_bytes, count = 0;
	struct err err = { 0 };

	for (size_t part = 0; part < store_view_parts(view); part++) {
		for (size_t n = 0; n < store_rg_count(view, part, id); n++) {
			struct rg rg;
			void *some;

			CHECK_OK(store_rg_open(view, part, id, n, &rg, &err), err);
			CHECK_OK(rg_read_rows(&rg, arena, &some, &err), err);
			for (uint32_t i = 0; i < rg.zone.rows && count < max; i++)
				if (is_ours(id, (uint8_t *)some + i * row_bytes))
					memcpy((uint8_t *)rows + count++ * row_bytes, (uint8_t *)some + i * row_bytes,
					       row_bytes);
		}
	}
	return count;
}

#define ROWS_MAX 2000

TEST(recorder, records_both_ends_of_a_call, .timeout = 120)
{
	static struct flow_row flows[ROWS_MAX];
	static struct call_row calls[ROWS_MAX];
	static struct event_row events[ROWS_MAX];
	struct story story = { 0 };
	struct recorder_opts opts = { .data_dir = check_tmpdir(), .node = "kit-node", .group_gid = -1,
				      .live = { .ring_bytes = 16 << 20 }, .ready = on_ready, .alive = on_alive,
				      .arg = &story };
	unsigned ours = 0, views = 0, kinds = 0;
	struct store_view *view = NULL;
	struct store *store = NULL;
	struct err err = { 0 };
	struct arena arena;
	struct view status;
	size_t count;
	int rc;

	if (own_network() < 0)
		SKIP("a network namespace of our own is not permitted");
	CHECK(pipe2(story.pipe, O_NONBLOCK) == 0 && pipe(story.hold) == 0);
	rc = recorder_run(&opts, &err);
	if (rc == E_PERMISSION || rc == E_UNSUPPORTED)
		SKIP("cannot capture here: %s", err.text);
	CHECK_OK(rc, err);
	CHECK(story_over(&story), "server and client: %d of 3 words in %d seconds", story.words, story.steps);

	arena_init(&arena, 0);
	CHECK_OK(store_open(opts.data_dir, &store, &err), err);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	count = read_table(view, TABLE_FLOWS, &arena, flows, ROWS_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct flow_row *row = &flows[i];

		if (!ROW_HAS(FLOW, row, dst_port) || row->dst_port != PORT)
			continue;
		views |= row->view;
		CHECK_U64(row->state, STATE_closed);
		CHECK_U64(row->completeness & 31, 31);
		CHECK_U64(row->src_pid, (uint32_t)story.client);
		CHECK_VIEW(row->src_comm, "kit-client");
		CHECK_U64(row->dst_pid, (uint32_t)story.server);
		CHECK_VIEW(row->dst_comm, "kit-server");
		CHECK(row->src_exe.len && view_eq(row->src_exe, row->dst_exe));
		CHECK_VIEW(row->src_node, "kit-node");
		CHECK_U64(row->tx_goodput_bytes, sizeof(asked) - 1);
		CHECK_U64(row->rx_goodput_bytes, sizeof(answered) - 1);
		CHECK_U64(row->tx_lost_packets, 0);
	}
	CHECK_U64(views, VIEW_first | VIEW_second);
	count = read_table(view, TABLE_CALLS, &arena, calls, ROWS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!ROW_HAS(CALL, &calls[i], dst_port) || calls[i].dst_port != PORT)
			continue;
		ours++;
		CHECK_U64(calls[i].status, 503);
		CHECK_U64(calls[i].status_class, CLASS_server_error);
		CHECK_VIEW(calls[i].target, "/kit");
		CHECK_VIEW(calls[i].src_comm, "kit-client");
		CHECK_VIEW(calls[i].dst_comm, "kit-server");
	}
	CHECK_U64(ours, 1);
	count = read_table(view, TABLE_EVENTS, &arena, events, ROWS_MAX);
	for (size_t i = 0; i < count; i++)
		kinds |= 1u << events[i].kind;
	CHECK(kinds & 1u << EVENT_capture_start && kinds & 1u << EVENT_capture_end);
	CHECK(kinds & 1u << EVENT_connect && kinds & 1u << EVENT_accept && kinds & 1u << EVENT_close);
	CHECK_OK(store_status(store, "recorder", &arena, &status, &err), err);
	CHECK_GE(view_find(status, VIEW_LIT("\"probes\":[{")), 0);
	CHECK_GE(view_find(status, VIEW_LIT("\"node\":\"kit-node\"")), 0);
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
	(void)close(story.pipe[0]);
	(void)close(story.pipe[1]);
	(void)close(story.hold[0]);
}
