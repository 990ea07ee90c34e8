/* Retention: the plan is what is done, pins hold, checks find what is damaged. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/store_kit.h"

#define HOURS 6u

/* Six sealed hours of flows and packets, and one hot hour. */
static const char *make_store(void)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_flows(writer, 0, HOURS * 60, KIT_START, 60 * NS_PER_SEC);
	kit_write_packets(writer, 1, 0, HOURS * 360, KIT_START, 10 * NS_PER_SEC, 100);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	writer = kit_writer(dir, NULL);
	kit_write_flows(writer, HOURS * 60, 10, KIT_START, 60 * NS_PER_SEC);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	return dir;
}

TEST(store_retention, by_age_payload_before_metadata)
{
	const struct store_policy policy = { .packet_age_ns = 6 * NS_PER_HOUR, .data_age_ns = 8 * NS_PER_HOUR };
	const char *dir = make_store();
	struct kit_victims done = kit_retain(dir, &policy);
	struct store_packets *packets = NULL;
	struct store_horizon horizon;
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };

	/* Hours end at 1..6; now is 10: metadata goes of 1 and 2, payload of 3 and 4. */
	CHECK_U64(done.count, 4);
	CHECK(done.list[0].packets_only && done.list[0].part.hour == KIT_HOUR + 2);
	CHECK_STR(done.list[0].why, "payload older than 6h");
	CHECK(done.list[1].packets_only && done.list[1].part.hour == KIT_HOUR + 3);
	CHECK(!done.list[2].packets_only && done.list[2].part.hour == KIT_HOUR);
	CHECK_STR(done.list[3].why, "metadata older than 8h");
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 5);
	CHECK_NOT(store_view_part(view, 0)->has_packets);
	CHECK(store_view_part(view, 2)->has_packets);
	CHECK_RC(store_packets_open(view, 0, 0, UINT64_MAX, NULL, 0, &packets, &err), E_EXPIRED);
	err_clear(&err);
	CHECK_OK(store_horizon(store, &horizon, &err), err);
	CHECK_U64(horizon.oldest_ns[TABLE_FLOWS], KIT_START + 2 * NS_PER_HOUR);
	CHECK_U64(horizon.oldest_ns[TABLE_PACKETS], KIT_START + 4 * NS_PER_HOUR);
	store_view_close(view);
	store_close(store);
	CHECK_U64(kit_findings(dir), 0);
}

/* An age is that of the newest observation, not of the end of its hour, nor of the rollups' bucket. */
TEST(store_retention, age_of_the_newest_observation)
{
	const struct store_policy policy = { .data_age_ns = 15 * NS_PER_MIN };
	const uint64_t newest_ns = KIT_START + 10 * NS_PER_MIN;
	struct rollup_row rollup = { .start_ns = newest_ns, .end_ns = newest_ns + NS_PER_MIN };
	struct entity_row entity = { .id = 1, .start_ns = KIT_START, .end_ns = KIT_START + 9 * NS_PER_HOUR };
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_plan plan = { 0 };
	struct flow_row flow;
	struct store_horizon horizon;
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };
	struct arena arena;
	char text[64];

	flow = kit_flow(0, newest_ns - NS_PER_SEC, text);
	flow.end_ns = newest_ns;
	CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &flow, 1, &err), err);
	CHECK_OK(store_write_rows(writer, TABLE_ROLLUPS, &rollup, 1, &err), err);
	CHECK_OK(store_write_rows(writer, TABLE_ENTITIES, &entity, 1, &err), err);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	store = kit_store(dir);
	arena_init(&arena, 0);
	CHECK_OK(store_horizon(store, &horizon, &err), err);
	CHECK_U64(horizon.newest_ns, newest_ns);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_part(view, 0)->start_min, newest_ns - NS_PER_SEC);
	CHECK_U64(store_view_part(view, 0)->end_max, newest_ns);
	CHECK_OK(store_retention_plan(store, newest_ns + 15 * NS_PER_MIN, &arena, &plan, &err), err);
	CHECK_U64(plan.victims_count, 0);
	CHECK_OK(store_retention_plan(store, newest_ns + 15 * NS_PER_MIN + 1, &arena, &plan, &err), err);
	CHECK_U64(plan.victims_count, 1);
	store_view_close(view);
	arena_release(&arena);
	store_close(store);
}

TEST(store_retention, takes_no_more_than_the_limit_asks_for)
{
	const char *dir = make_store();
	struct store_policy policy = { 0 };
	struct store_horizon before, after;
	struct store *store = kit_store(dir);
	struct kit_victims done;
	struct err err = { 0 };

	CHECK_OK(store_horizon(store, &before, &err), err);
	CHECK_U64(kit_retain(dir, &policy).count, 0);	/* no limits */
	policy.packet_bytes = before.packet_bytes - 1;
	done = kit_retain(dir, &policy);
	CHECK_U64(done.count, 1);
	CHECK(done.list[0].packets_only && done.list[0].part.hour == KIT_HOUR);
	policy = (struct store_policy){ .data_bytes = before.data_bytes - 1 };
	done = kit_retain(dir, &policy);
	CHECK_U64(done.count, 1);
	CHECK(!done.list[0].packets_only && done.list[0].part.hour == KIT_HOUR);
	policy = (struct store_policy){ .total_bytes = 1 };
	done = kit_retain(dir, &policy);
	CHECK_U64(done.count, 5);	/* all payload and all metadata: one victim a partition */
	CHECK_OK(store_horizon(store, &after, &err), err);
	CHECK_U64(after.parts, 1);	/* the hot one is never a victim */
	CHECK_U64(after.packet_bytes, 0);
	store_close(store);
	CHECK_U64(kit_findings(dir), 0);
}

TEST(store_retention, full_file_system)
{
	const struct store_policy policy = { .free_bytes = UINT64_MAX };
	const char *dir = make_store();

	CHECK_U64(kit_retain(dir, &policy).count, HOURS);
}

TEST(store_retention, leaves_events)
{
	const struct store_policy policy = { .packet_age_ns = 8 * NS_PER_HOUR };
	const char *dir = make_store();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_view *view = NULL;
	struct event_row *rows = NULL;
	struct store *store;
	struct err err = { 0 };
	struct arena arena;
	struct rg rg;

	/* By another process while the recorder runs; the recorder's next tick writes the rows. */
	CHECK_U64(kit_retain(dir, &policy).count, 2);
	CHECK_OK(store_tick(writer, KIT_NOW, &err), err);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_OK(store_tick(writer, KIT_NOW, &err), err);	/* and once only */
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	store = kit_store(dir);
	arena_init(&arena, 0);
	CHECK_OK(store_view_open(store, KIT_NOW, KIT_NOW + 1, &view, &err), err);
	CHECK_U64(store_view_parts(view), 1);
	CHECK_U64(store_view_part(view, 0)->rows[TABLE_EVENTS], 2);
	CHECK_OK(store_rg_open(view, 0, TABLE_EVENTS, 0, &rg, &err), err);
	CHECK_OK(rg_read_rows(&rg, &arena, (void **)&rows, &err), err);
	CHECK_U64(rows[0].kind, EVENT_retention);
	CHECK_VIEW(rows[0].reason, "payload");
	CHECK_VIEW(rows[0].text, "parts/2026-09-12T08.0: payload older than 8h");
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
}

TEST(store_retention, pins_hold)
{
	const struct store_policy policy = { .data_age_ns = 1, .packet_age_ns = 1 };
	const char *dir = make_store();
	struct store_writer *writer;
	struct store_pin *pins = NULL;
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };
	struct arena arena;
	size_t count = 0;
	char path[600];

	CHECK_OK(store_pin(dir, "case-7", KIT_START + NS_PER_HOUR, KIT_START + 3 * NS_PER_HOUR, &err), err);
	CHECK_RC(store_pin(dir, "case-7", KIT_START, KIT_START + 1, NULL), E_EXISTS);
	CHECK_RC(store_pin(dir, "case-8", KIT_NOW, KIT_NOW + 1, NULL), E_NOT_FOUND);
	CHECK_RC(store_pin(dir, "../evil", KIT_START, KIT_NOW, NULL), E_FORMAT);
	CHECK_RC(store_unpin(dir, "case-9", NULL), E_NOT_FOUND);
	/* The hot hour is pinned too, and linked when it is sealed. */
	CHECK_OK(store_pin(dir, "hot", KIT_START + HOURS * NS_PER_HOUR, KIT_NOW, &err), err);
	CHECK_U64(kit_retain(dir, &policy).count, HOURS - 2);
	writer = kit_writer(dir, NULL);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_retain(dir, &policy).count, 0);
	(void)snprintf(path, sizeof(path), "%s/snap/hot/2026-09-12T14.0/MANIFEST", dir);
	CHECK(access(path, R_OK) == 0);
	(void)snprintf(path, sizeof(path), "%s/snap/case-7/2026-09-12T09.0/packets.seg", dir);
	CHECK(access(path, R_OK) == 0);
	store = kit_store(dir);
	arena_init(&arena, 0);
	CHECK_OK(store_pins(store, &arena, &pins, &count, &err), err);
	CHECK_U64(count, 2);
	CHECK_STR(pins[0].name, "case-7");
	CHECK_GT(pins[0].bytes, 100000);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 3);
	CHECK(store_view_part(view, 0)->pinned);
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
	CHECK_U64(kit_findings(dir), 0);
	CHECK_OK(store_unpin(dir, "case-7", &err), err);
	CHECK(access(path, R_OK) < 0);
	CHECK_U64(kit_retain(dir, &policy).count, 2);
}

/* A view that is open keeps what retention drops; one opened before and not yet touched is told. */
TEST(store_retention, open_views)
{
	const struct store_policy policy = { .data_age_ns = 1 };
	const char *dir = make_store();
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	struct err err = { 0 };
	struct rg rg;

	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_OK(store_rg_open(view, 0, TABLE_FLOWS, 0, &rg, &err), err);
	CHECK_U64(kit_retain(dir, &policy).count, HOURS);
	CHECK_OK(rg_verify(&rg, &err), err);
	CHECK_RC(store_rg_open(view, 1, TABLE_FLOWS, 0, &rg, &err), E_EXPIRED);
	store_view_close(view);
	store_close(store);
}

static void flip(const char *dir, const char *file, double where)
{
	char path[600];
	struct stat st;
	uint8_t byte;
	off_t at;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	at = (off_t)((double)(st.st_size - 1) * where);
	CHECK(pread(fd, &byte, 1, at) == 1);
	byte ^= 0x10;
	CHECK(pwrite(fd, &byte, 1, at) == 1);
	(void)close(fd);
}

TEST(store_check, finds_a_flipped_bit_anywhere)
{
	static const char *const files[] = { "data.seg", "packets.seg", "MANIFEST" };
	const char *dir = make_store();
	struct store_check_totals totals = { 0 };
	struct err err = { 0 };
	uint64_t random = 7;

	CHECK_RC(store_check(dir, NULL, NULL, &totals, &err), 0);
	CHECK_U64(totals.rows, HOURS * 60 + 10);
	CHECK_U64(totals.packets, HOURS * 360);
	CHECK_U64(totals.parts, HOURS + 1);
	CHECK_GT(totals.blocks, HOURS - 1);
	for (unsigned i = 0; i < 24; i++) {
		double where = (double)(kit_random(&random) % 10000) / 10000;
		char file[100];

		(void)snprintf(file, sizeof(file), "parts/2026-09-12T%02u.0/%s", 8 + i % HOURS, files[i % 3]);
		flip(dir, file, where);
		CHECK(store_check(dir, NULL, NULL, NULL, &err) > 0, "%s at %g", file, where);
		flip(dir, file, where);
		CHECK_RC(store_check(dir, NULL, NULL, NULL, &err), 0);
	}
}

TEST(store_check, finds_files_that_are_gone_or_strange)
{
	const char *dir = make_store();
	struct err err = { 0 };
	char path[600], away[600];

	(void)snprintf(path, sizeof(path), "%s/parts/2026-09-12T08.0/packets.seg", dir);
	(void)snprintf(away, sizeof(away), "%s/away", dir);
	CHECK(rename(path, away) == 0);
	CHECK_RC(store_check(dir, kit_print_finding, NULL, NULL, &err), 1);
	CHECK(rename(away, path) == 0);
	CHECK(truncate(path, 10) == 0);
	CHECK_RC(store_check(dir, kit_print_finding, NULL, NULL, &err), 1);
	(void)snprintf(path, sizeof(path), "%s/parts/2026-09-12T09.0/data.seg", dir);
	CHECK(truncate(path, 8192) == 0);
	CHECK_RC(store_check(dir, kit_print_finding, NULL, NULL, &err), 2);
	(void)snprintf(path, sizeof(path), "%s/parts/2026-09-12T23.5", dir);
	CHECK(mkdir(path, 0750) == 0);
	CHECK_RC(store_check(dir, kit_print_finding, NULL, NULL, &err), 3);
}

TEST(store_check, finds_damage_in_a_hot_log)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_packets(writer, 1, 0, 100, KIT_START, NS_PER_SEC, 100);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	flip(dir, "hot/2026-09-12T08.0/packets.log", 0.5);
	CHECK_RC(store_check(dir, kit_print_finding, NULL, NULL, &err), 1);
}
