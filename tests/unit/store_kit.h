/* What the tests of the store share: rows and packets made from a number, and looking at what came back. */
#ifndef TESTS_UNIT_STORE_KIT_H
#define TESTS_UNIT_STORE_KIT_H

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"
#include "tests/check.h"

#define KIT_HOUR 497000ull	/* 2026-09-12 */
#define KIT_START (KIT_HOUR * NS_PER_HOUR)
#define KIT_NOW (KIT_START + 10 * NS_PER_HOUR)

static inline uint64_t kit_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A process that does child, which writes a byte to out when it begins and never ends, killed wait_us after that. */
static inline void kit_kill_child(void (*child)(const char *dir, int out), const char *dir, long wait_us)
{
	const struct timespec wait = { .tv_nsec = wait_us * 1000 };
	struct pollfd ready;
	int out[2], status;
	pid_t pid;

	CHECK(pipe(out) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		child(dir, out[1]);
	(void)close(out[1]);
	ready = (struct pollfd){ .fd = out[0], .events = POLLIN };
	CHECK(poll(&ready, 1, 20000) == 1, "the child did not begin in 20 s");
	(void)nanosleep(&wait, NULL);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status), "the child ended by itself: %x", status);
	(void)close(out[0]);
}

/* Texts of the n-th row live in text. */
static inline struct flow_row kit_flow(uint64_t n, uint64_t start_ns, char text[64])
{
	struct flow_row row = { 0 };

	(void)snprintf(text, 64, "workload-%u", (unsigned)(n % 7));
	ROW_SET(FLOW, &row, id, schema_id(start_ns, n));
	ROW_SET(FLOW, &row, start_ns, start_ns);
	ROW_SET(FLOW, &row, end_ns, start_ns > UINT64_MAX - 1000 ? start_ns : start_ns + n % 1000);
	ROW_SET(FLOW, &row, first_ns, start_ns);
	ROW_SET(FLOW, &row, src_port, (uint16_t)(n * 7));
	ROW_SET(FLOW, &row, dst_port, (uint16_t)(n % 5 + 80));
	ROW_SET(FLOW, &row, src_ip, ip_from_v4((uint32_t)(0x0100000a + (n % 200 << 24))));
	ROW_SET(FLOW, &row, tx_bytes, n);
	if (n % 3)
		ROW_SET(FLOW, &row, dst_workload, view_str(text));
	return row;
}

static inline void kit_write_flows(struct store_writer *writer, uint64_t from, uint64_t count, uint64_t start_ns,
				   uint64_t step_ns)
{
	struct err err = { 0 };

	for (uint64_t n = from; n < from + count; n++) {
		char text[64];
		struct flow_row row = kit_flow(n, start_ns + n * step_ns, text);

		CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &row, 1, &err), err);
	}
}

static inline struct store_writer *kit_writer(const char *dir, const struct store_writer_opts *more)
{
	struct store_writer_opts opts = more ? *more : (struct store_writer_opts){ .seal_inline = true };
	struct store_writer *writer = NULL;
	struct err err = { 0 };

	if (!more || !more->group_gid)
		opts.group_gid = -1;
	CHECK_OK(store_writer_open(dir, &opts, &writer, &err), err);
	return writer;
}

static inline struct store *kit_store(const char *dir)
{
	struct store *store = NULL;
	struct err err = { 0 };

	CHECK_OK(store_open(dir, &store, &err), err);
	return store;
}

/* Check one flow row against kit_flow(tx_bytes); returns its number. */
static inline uint64_t kit_check_flow(const struct flow_row *row, uint64_t start_ns, uint64_t step_ns)
{
	uint64_t n = row->tx_bytes;
	char text[64];
	struct flow_row want = kit_flow(n, start_ns + n * step_ns, text);

	for (unsigned c = 0; c < FLOW_COLS; c++) {
		const struct col *col = &table_get(TABLE_FLOWS)->cols[c];
		uint64_t got_int = 0, want_int = 0;
		struct view got = { 0 }, expect = { 0 };
		bool got_is = row_get(col, row, &got_int, &got), want_is = row_get(col, &want, &want_int, &expect);

		CHECK(got_is == want_is && got_int == want_int && view_eq(got, expect),
		      "row %llu: column %s differs: %llu and %llu", (unsigned long long)n, col->name,
		      (unsigned long long)got_int, (unsigned long long)want_int);
	}
	return n;
}

/* Read every flow of the store; each of 0..count-1 at most once, marked in seen. Returns how many. */
static inline uint64_t kit_read_flows(const char *dir, uint64_t count, uint64_t start_ns, uint64_t step_ns,
				      uint8_t *seen)
{
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	struct err err = { 0 };
	struct arena arena;
	uint64_t total = 0;

	arena_init(&arena, 0);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		const struct store_part_info *info = store_view_part(view, part);
		uint64_t in_part = 0;

		for (size_t g = 0; g < store_rg_count(view, part, TABLE_FLOWS); g++) {
			struct rg_zone zone = { 0 };
			struct rg rg = { 0 };
			void *rows = NULL;

			CHECK_OK(store_rg_zone(view, part, TABLE_FLOWS, g, &zone, &err), err);
			CHECK_OK(store_rg_open(view, part, TABLE_FLOWS, g, &rg, &err), err);
			CHECK_U64(zone.rows, rg.zone.rows);
			CHECK_U64(zone.start_min, rg.zone.start_min);
			CHECK_U64(zone.end_max, rg.zone.end_max);
			arena_reset(&arena);
			CHECK_OK(rg_read_rows(&rg, &arena, &rows, &err), err);
			for (uint32_t i = 0; i < rg.zone.rows; i++) {
				const struct flow_row *row = (const struct flow_row *)rows + i;
				uint64_t n = kit_check_flow(row, start_ns, step_ns);

				CHECK(n < count && !seen[n], "row %llu is there twice or was never written",
				      (unsigned long long)n);
				CHECK_U64(row->start_ns / NS_PER_HOUR, info->hour);
				CHECK(row->start_ns >= info->start_min && row->end_ns <= info->end_max);
				seen[n] = 1;
				total++;
				in_part++;
			}
		}
		CHECK_U64(in_part, info->rows[TABLE_FLOWS]);
	}
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
	return total;
}

static inline uint64_t kit_check_flows(const char *dir, uint64_t count, uint64_t start_ns, uint64_t step_ns)
{
	uint8_t *seen = mem_zalloc(count + 1);
	uint64_t total = kit_read_flows(dir, count, start_ns, step_ns, seen);

	mem_free(seen);
	return total;
}

/* ---- check ---- */

static inline void kit_print_finding(const char *finding, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "finding: %s\n", finding);
}

static inline int kit_findings(const char *dir)
{
	struct err err = { 0 };
	int findings = store_check(dir, kit_print_finding, NULL, NULL, &err);

	CHECK_OK(findings, err);
	return findings;
}

/* ---- packets ---- */

/* The n-th frame of source: times go up by step_ns, flows repeat, bytes depend on n alone. Its bytes live in bytes. */
#define KIT_FRAME_MAX 1600
static inline struct packet_rec kit_packet(uint64_t n, uint64_t start_ns, uint64_t step_ns, uint8_t bytes[KIT_FRAME_MAX])
{
	size_t len = 60 + n * 37 % 1400;
	uint64_t state = n + 1;

	for (size_t i = 0; i < len; i++)	/* half of it compresses */
		bytes[i] = i % 16 < 8 ? (uint8_t)kit_random(&state) : (uint8_t)(i + n % 3);
	return (struct packet_rec){ .time_ns = start_ns + n * step_ns, .number = n + 1, .flow_id = n % 101 ? n % 101 + 1000 : 0,
				    .orig_len = (uint32_t)len + n % 2 * 100, .iface = (uint32_t)(n % 3), .link = 1,
				    .segments = 1, .dir = n % 2, .frame = view_make(bytes, len) };
}

/*
 * Write frames from..from+count-1 of source; a block every frames of them, and where the hour changes. Every other
 * block is given away.
 */
static inline void kit_write_packets(struct store_writer *writer, uint64_t source, uint64_t from, uint64_t count,
				     uint64_t start_ns, uint64_t step_ns, uint64_t frames)
{
	struct packet_block block;
	struct err err = { 0 };
	bool give = false;

	CHECK_RC(packet_block_init(&block, source), 0);
	for (uint64_t n = from; n < from + count; n++) {
		uint8_t bytes[KIT_FRAME_MAX];
		struct packet_rec rec = kit_packet(n, start_ns, step_ns, bytes);
		int rc = packet_block_add(&block, &rec);

		if (rc == E_RANGE || rc == E_LIMIT) {
			CHECK_OK(store_write_packets(writer, &block, &err), err);
			packet_block_reset(&block);
			rc = packet_block_add(&block, &rec);
		}
		CHECK_GE(rc, 0);
		if (rc == 1 || block.count == frames) {
			CHECK_OK(give ? store_take_packets(writer, &block, &err) :
					store_write_packets(writer, &block, &err), err);
			packet_block_reset(&block);
			give = !give;
		}
	}
	CHECK_OK(store_write_packets(writer, &block, &err), err);
	packet_block_release(&block);
}

/* Check a frame against kit_packet(number - 1). */
static inline void kit_check_packet(const struct packet_rec *rec, uint64_t start_ns, uint64_t step_ns)
{
	uint8_t bytes[KIT_FRAME_MAX];
	struct packet_rec want = kit_packet(rec->number - 1, start_ns, step_ns, bytes);

	CHECK(rec->time_ns == want.time_ns && rec->flow_id == want.flow_id && rec->orig_len == want.orig_len &&
	      rec->iface == want.iface && rec->link == want.link && rec->segments == want.segments &&
	      rec->dir == want.dir, "frame %llu differs", (unsigned long long)rec->number);
	CHECK(view_eq(rec->frame, want.frame), "bytes of frame %llu differ", (unsigned long long)rec->number);
}

/*
 * Read the packets of the whole store, of flow_id only unless it is 0: every
 * frame checked, numbers of one source ascending within a partition. Returns how many.
 */
static inline uint64_t kit_check_packets(const char *dir, uint64_t start_ns, uint64_t step_ns, uint64_t from_ns,
					 uint64_t to_ns, uint64_t flow_id)
{
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	struct err err = { 0 };
	uint64_t total = 0;

	CHECK_OK(store_view_open(store, from_ns, to_ns, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		struct store_packets *packets = NULL;
		uint64_t source, last[8] = { 0 }, last_ns = 0;
		struct packet_rec rec;
		int rc;

		CHECK_OK(store_packets_open(view, part, from_ns, to_ns, flow_id ? &flow_id : NULL, flow_id ? 1 : 0,
					    &packets, &err), err);
		while ((rc = store_packets_next(packets, &rec, &source, &err)) > 0) {
			kit_check_packet(&rec, start_ns, step_ns);
			CHECK(source < 8 && rec.number > last[source], "frame %llu behind %llu",
			      (unsigned long long)rec.number, (unsigned long long)last[source]);
			CHECK(rec.time_ns >= from_ns && rec.time_ns < to_ns && rec.time_ns >= last_ns);
			CHECK(!flow_id || rec.flow_id == flow_id);
			last[source] = rec.number;
			last_ns = rec.time_ns;
			total++;
		}
		CHECK_OK(rc, err);
		store_packets_close(packets);
	}
	store_view_close(view);
	store_close(store);
	return total;
}

struct kit_victims {
	struct store_victim list[256];
	size_t count;
};

static inline void kit_take_victim(const struct store_victim *victim, void *arg)
{
	struct kit_victims *victims = arg;

	victims->list[victims->count++] = *victim;
}

/* Plan retention at KIT_NOW, apply it, compare; returns what was done. */
static inline struct kit_victims kit_retain(const char *dir, const struct store_policy *policy)
{
	struct kit_victims done = { .count = 0 };
	struct store_plan plan = { 0 };
	struct store *store;
	struct err err = { 0 };
	struct arena arena;

	CHECK_OK(store_policy_set(dir, policy, &err), err);
	store = kit_store(dir);
	arena_init(&arena, 0);
	CHECK_OK(store_retention_plan(store, KIT_NOW, &arena, &plan, &err), err);
	CHECK_OK(store_retention_apply(dir, KIT_NOW, kit_take_victim, &done, &err), err);
	CHECK_U64(done.count, plan.victims_count);
	for (size_t i = 0; i < plan.victims_count; i++) {
		CHECK_STR(done.list[i].part.path, plan.victims[i].part.path);
		CHECK_STR(done.list[i].scope, plan.victims[i].scope);
		CHECK_U64(done.list[i].bytes, plan.victims[i].bytes);
		CHECK_U64(done.list[i].packets_only, plan.victims[i].packets_only);
		CHECK_STR(done.list[i].why, plan.victims[i].why);
	}
	CHECK_OK(store_retention_plan(store, KIT_NOW, &arena, &plan, &err), err);
	CHECK_U64(plan.victims_count, 0);	/* it is done */
	arena_release(&arena);
	store_close(store);
	return done;
}

#endif
