/* Rows in, commit, rows out: hot partitions, recovery, readers in other processes. */
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/store_kit.h"

TEST(store_rows, come_back_after_commit)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_flows(writer, 0, 1000, KIT_START, NS_PER_SEC);
	CHECK_GT(store_pending_bytes(writer), 0);
	CHECK_U64(kit_check_flows(dir, 2000, KIT_START, NS_PER_SEC), 0);	/* nothing before the commit */
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_U64(store_pending_bytes(writer), 0);
	CHECK_U64(kit_check_flows(dir, 2000, KIT_START, NS_PER_SEC), 1000);
	kit_write_flows(writer, 1000, 1000, KIT_START, NS_PER_SEC);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_U64(kit_check_flows(dir, 2000, KIT_START, NS_PER_SEC), 2000);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(dir, 2000, KIT_START, NS_PER_SEC), 2000);
}

TEST(store_rows, go_to_the_hour_they_began_in)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store *store;
	struct store_view *view = NULL;
	struct err err = { 0 };

	kit_write_flows(writer, 0, 300, KIT_START, 60 * NS_PER_SEC);	/* five hours */
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(dir, 300, KIT_START, 60 * NS_PER_SEC), 300);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, KIT_START + NS_PER_HOUR, KIT_START + 2 * NS_PER_HOUR, &view, &err), err);
	CHECK_U64(store_view_parts(view), 1);
	CHECK_U64(store_view_part(view, 0)->hour, KIT_HOUR + 1);
	CHECK_STR(store_view_part(view, 0)->path, "hot/2026-09-12T09.0");
	store_view_close(view);
	store_close(store);
}

TEST(store_rows, of_any_time)
{
	const uint64_t times[] = { 0, 1, NS_PER_HOUR - 1, NS_PER_HOUR, KIT_START, UINT64_MAX / 2, UINT64_MAX - 1,
				   UINT64_MAX, 5, KIT_START - 1 };
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .seal_inline = true, .hot_partitions_max = 2, .group_gid = -1 };
	struct store_writer *writer = kit_writer(dir, &opts);
	struct store *store;
	struct store_view *view = NULL;
	struct err err = { 0 };
	uint64_t rows = 0;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
			char text[64];
			struct flow_row row = kit_flow(i, times[i], text);

			CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &row, 1, &err), err);
		}
		CHECK_OK(store_commit(writer, &err), err);
	}
	CHECK_OK(store_writer_close(writer, false, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		if (part)
			CHECK_GE(store_view_part(view, part)->hour, store_view_part(view, part - 1)->hour);
		rows += store_view_part(view, part)->rows[TABLE_FLOWS];
	}
	CHECK_U64(rows, 30);
	store_view_close(view);
	CHECK_OK(store_view_open(store, UINT64_MAX, UINT64_MAX, &view, &err), err);
	CHECK_GE(store_view_parts(view), 1);
	CHECK_U64(store_view_part(view, 0)->hour, UINT64_MAX / NS_PER_HOUR);
	store_view_close(view);
	CHECK_OK(store_view_open(store, 0, 1, &view, &err), err);
	CHECK_GE(store_view_parts(view), 1);
	CHECK_U64(store_view_part(view, 0)->hour, 0);
	store_view_close(view);
	store_close(store);
}

TEST(store_rows, more_than_a_group_holds_in_one_commit)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_flows(writer, 0, RG_ROWS_MAX + 1000, KIT_START, NS_PER_MS);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_U64(kit_check_flows(dir, RG_ROWS_MAX + 1000, KIT_START, NS_PER_MS), RG_ROWS_MAX + 1000);
	CHECK_OK(store_writer_close(writer, false, &err), err);
}

/* A map that is too small grows under the transaction, and the partition rolls over. */
TEST(store_rows, outgrow_the_map)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .map_bytes = 1u << 16, .seal_inline = true, .group_gid = -1 };
	struct store_writer *writer = kit_writer(dir, &opts);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };

	for (unsigned i = 0; i < 3; i++) {
		kit_write_flows(writer, i * 60000, 60000, KIT_START, NS_PER_MS);
		CHECK_OK(store_commit(writer, &err), err);
	}
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_GT(store_view_parts(view), 1);
	CHECK(store_view_part(view, 0)->sealed);
	store_view_close(view);
	store_close(store);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(dir, 180000, KIT_START, NS_PER_MS), 180000);
	CHECK_U64(kit_findings(dir), 0);
}

TEST(store_rows, grow_with_a_renewed_view)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	struct err err = { 0 };

	kit_write_flows(writer, 0, 10, KIT_START, NS_PER_SEC);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	kit_write_flows(writer, 10, 10, KIT_START, NS_PER_SEC);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_U64(store_rg_count(view, 0, TABLE_FLOWS), 1);	/* a snapshot */
	CHECK_OK(store_view_renew(view, &err), err);
	CHECK_U64(store_rg_count(view, 0, TABLE_FLOWS), 2);
	CHECK_U64(store_view_part(view, 0)->rows[TABLE_FLOWS], 20);
	store_view_close(view);
	store_close(store);
	CHECK_OK(store_writer_close(writer, false, &err), err);
}

/* A reader that is another process, is told of a commit through a pipe and must see its rows. */
TEST(store_rows, are_seen_by_another_process)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer;
	struct err err = { 0 };
	int told[2], status;
	char byte = 0;
	pid_t pid;

	CHECK(pipe(told) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)close(told[1]);
		for (int i = 1; i <= 3; i++) {
			if (read(told[0], &byte, 1) != 1)
				_exit(2);
			if (kit_check_flows(dir, 300, KIT_START, NS_PER_SEC) < (uint64_t)i * 100)
				_exit(3);
		}
		_exit(0);
	}
	(void)close(told[0]);
	writer = kit_writer(dir, NULL);
	for (unsigned i = 0; i < 3; i++) {
		kit_write_flows(writer, i * 100, 100, KIT_START, NS_PER_SEC);
		CHECK_OK(store_commit(writer, &err), err);
		CHECK(write(told[1], &byte, 1) == 1);
	}
	(void)close(told[1]);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the reader ended with %d", status);
	CHECK_OK(store_writer_close(writer, false, &err), err);
}

TEST(store_rows, second_writer_is_told_the_name_of_the_first)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .name = "record pid 42", .group_gid = -1 };
	struct store_writer *writer = kit_writer(dir, &opts), *second = NULL;
	struct store_horizon horizon = { 0 };
	struct store *store = kit_store(dir);
	struct err err = { 0 };

	CHECK_RC(store_writer_open(dir, &opts, &second, &err), E_BUSY);
	CHECK(strstr(err.text, "record pid 42"), "%s", err.text);
	CHECK_NULL(second);
	err_clear(&err);
	CHECK_OK(store_horizon(store, &horizon, &err), err);
	CHECK(horizon.writer_alive);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_OK(store_horizon(store, &horizon, &err), err);
	CHECK_NOT(horizon.writer_alive);
	CHECK_OK(store_writer_open(dir, &opts, &second, &err), err);
	CHECK_OK(store_writer_close(second, false, &err), err);
	store_close(store);
}

TEST(store_rows, gaps_are_events_and_entries)
{
	const struct store_gap gap = { .from_ns = KIT_START + 5, .to_ns = KIT_START + 50, .source = 7, .packets = 12,
				       .bytes = 900, .reason = "ring_full" };
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	struct store_gap *gaps = NULL;
	struct event_row *rows = NULL;
	struct err err = { 0 };
	struct arena arena;
	size_t count = 0;
	struct rg rg;

	arena_init(&arena, 0);
	CHECK_OK(store_write_gap(writer, &gap, &err), err);
	CHECK_OK(store_write_gap(writer, &gap, &err), err);	/* two at one instant */
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_OK(store_gaps(store, KIT_START + 49, KIT_START + 60, &arena, &gaps, &count, &err), err);
	CHECK_U64(count, 2);
	CHECK_U64(gaps[0].packets, 12);
	CHECK_STR(gaps[1].reason, "ring_full");
	CHECK_OK(store_gaps(store, KIT_START + 50, KIT_START + 60, &arena, &gaps, &count, &err), err);
	CHECK_U64(count, 0);
	CHECK_OK(store_gaps(store, 0, KIT_START + 5, &arena, &gaps, &count, &err), err);
	CHECK_U64(count, 0);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_OK(store_rg_open(view, 0, TABLE_EVENTS, 0, &rg, &err), err);
	CHECK_OK(rg_read_rows(&rg, &arena, (void **)&rows, &err), err);
	CHECK_U64(rg.zone.rows, 2);
	CHECK_U64(rows[0].kind, EVENT_gap);
	CHECK_U64(rows[0].value, 12);
	CHECK_VIEW(rows[0].reason, "ring_full");
	store_view_close(view);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	store_close(store);
	arena_release(&arena);
}

TEST(store_rows, status_texts_grow_and_shrink)
{
	const size_t sizes[] = { 10, 5000, 0, 960, 961, 100000, 3 };
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store *store = kit_store(dir);
	char *text = mem_alloc(100000);
	struct view got = { 0 };
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t b = 0; b < sizes[i]; b++)
			text[b] = (char)('a' + (b * 7 + i) % 26);
		CHECK_OK(store_write_status(writer, "record", view_make("old", 3), &err), err);
		CHECK_OK(store_write_status(writer, "record", view_make(text, sizes[i]), &err), err);
		CHECK_OK(store_write_status(writer, "recorder", VIEW_LIT("x"), &err), err);
		CHECK_OK(store_commit(writer, &err), err);
		CHECK_OK(store_status(store, "record", &arena, &got, &err), err);
		CHECK(view_eq(got, view_make(text, sizes[i])), "%zu bytes", sizes[i]);
	}
	CHECK_RC(store_status(store, "rec", &arena, &got, NULL), E_NOT_FOUND);
	CHECK_RC(store_write_status(writer, "", got, NULL), E_LIMIT);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	store_close(store);
	arena_release(&arena);
	mem_free(text);
}

TEST(store_rows, no_store_is_said_in_words)
{
	const char *dir = check_tmpdir();
	struct store *store = NULL;
	struct err err = { 0 };

	CHECK_RC(store_open(dir, &store, &err), E_NOT_FOUND);
	CHECK(strstr(err.text, "holds no store"), "%s", err.text);
}

TEST(store_rows, group_may_read)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .group_gid = (int)getgid() };
	char path[600];
	struct store_writer *writer;
	struct err err = { 0 };
	struct stat st;

	(void)umask(0);
	(void)snprintf(path, sizeof(path), "%s/store", dir);
	CHECK_OK(store_writer_open(path, &opts, &writer, &err), err);
	kit_write_flows(writer, 0, 1, KIT_START, 1);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0750);
	(void)snprintf(path, sizeof(path), "%s/store/catalog/data.mdb", dir);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640, "%o", st.st_mode);
	(void)snprintf(path, sizeof(path), "%s/store/catalog/lock.mdb", dir);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0660, "%o", st.st_mode);
	(void)snprintf(path, sizeof(path), "%s/store/hot/2026-09-12T08.0/packets.log", dir);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640, "%o", st.st_mode);
}

/* Reading needs the group and nothing else; without it the error says so. */
TEST(store_rows, unprivileged_reader)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .group_gid = 54321, .seal_inline = true };
	struct store_writer *writer = NULL;
	struct err err = { 0 };
	char path[600];
	int status;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK(chmod(dir, 0755) == 0);
	(void)snprintf(path, sizeof(path), "%s/store", dir);
	CHECK_OK(store_writer_open(path, &opts, &writer, &err), err);
	kit_write_flows(writer, 0, 100, KIT_START, 60 * NS_PER_SEC);	/* hot and sealed */
	kit_write_packets(writer, 1, 0, 100, KIT_START, 60 * NS_PER_SEC, 10);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	writer = NULL;
	CHECK_OK(store_writer_open(path, &opts, &writer, &err), err);
	kit_write_flows(writer, 100, 100, KIT_START, 60 * NS_PER_SEC);
	CHECK_OK(store_commit(writer, &err), err);
	for (unsigned in_group = 0; in_group < 2; in_group++) {
		gid_t gid = in_group ? 54321 : 54322;
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			struct store *store = NULL;

			if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(54321) < 0)
				_exit(9);
			if (!in_group)
				_exit(store_open(path, &store, &err) == E_PERMISSION ? 0 : 8);
			if (kit_check_flows(path, 200, KIT_START, 60 * NS_PER_SEC) != 200)
				_exit(7);
			if (kit_check_packets(path, KIT_START, 60 * NS_PER_SEC, 0, UINT64_MAX, 0) != 100)
				_exit(6);
			if (store_pin(path, "mine", 0, 1000, &err) == E_PERMISSION)
				_exit(0);
			(void)fprintf(stderr, "%s\n", err.text);
			_exit(5);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "in the group: %u, status %x", in_group, status);
	}
	CHECK_OK(store_writer_close(writer, false, &err), err);
}
