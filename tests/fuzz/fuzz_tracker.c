/*
 * Any capture file through the whole of ingest but the store: every frame is kept, every flow is
 * reported, what the rows say of packets adds up, and nothing stays open.
 */
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/source_file.h"
#include "ingest/tracker.h"

static void check_rows(const struct batch *batch, uint64_t frames, uint64_t undecoded)
{
	const struct flow_row *rows = (const struct flow_row *)batch->rows[TABLE_FLOWS].at;
	uint64_t packets = 0, closed = 0;

	for (size_t i = 0; i < batch->rows[TABLE_FLOWS].count; i++) {
		assert(rows[i].start_ns <= rows[i].end_ns && rows[i].id);
		packets += rows[i].tx_packets + rows[i].rx_packets;
		closed += rows[i].state == STATE_closed;
	}
	assert(packets <= frames && packets + undecoded >= frames);
	assert(closed <= packets || packets == 0);
	assert(batch->packets == frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	static struct batch *batch;	/* kept: its memory is used again */
	struct counters counters = { 0 };
	struct tracker_opts opts = { .source = 1, .flows_max = 16, .rollup_edges_max = 4, .counters = &counters,
				     .stream_bytes_max = 1 << 20 };
	struct source_file *file = NULL;
	struct tracker *tracker = NULL;
	struct frame frame;
	char path[64];
	int fd = memfd_create("fuzz", MFD_CLOEXEC), rc;

	if (fd < 0 || (len && write(fd, at, len) != (ssize_t)len))
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = source_file_open(path, &file, NULL);
	(void)close(fd);
	if (rc < 0)
		return 0;
	if (!batch)
		batch = batch_new();
	if (!batch || tracker_new(&opts, &tracker, NULL) < 0)
		goto out;
	tracker_set_batch(tracker, batch);
	while (source_file_next(file, &frame, NULL) > 0)
		assert(tracker_frame(tracker, &frame) == 0);
	tracker_end(tracker);
	tracker_gauges(tracker);
	assert(counter_get(&counters, COUNTER_flows_open) == 0);
	assert(counter_get(&counters, COUNTER_calls_open) == 0);
	check_rows(batch, counter_get(&counters, COUNTER_frames_total),
		   counter_get(&counters, COUNTER_frames_undecoded_total));
	batch_reset(batch);
out:
	tracker_free(tracker);
	source_file_close(file);
	return 0;
}
