#include "ingest/import.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"
#include "tests/check.h"

/* "sum\tpackets\tN" of a truth file; false when tshark could not read the capture whole. */
static bool truth_packets(const char *captures, const char *name, uint64_t *ret_packets)
{
	char path[1024], line[4096];
	bool found = false, refused = false;
	FILE *in;

	(void)snprintf(path, sizeof(path), "%s/truth/%s.tsv", captures, name);
	in = fopen(path, "re");
	if (!in)
		return false;
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, "sum\tpackets\t", 12) == 0) {
			*ret_packets = strtoull(line + 12, NULL, 10);
			found = true;
		}
		/* Its words for a file it gave up on; one that is cut short it reads as far as we do. */
		refused = refused || strstr(line, "doesn't support. | (pcap:") || strstr(line, "damaged or corrupt");
	}
	(void)fclose(in);
	return found && !refused;
}

static unsigned import_folder(const char *captures, const char *folder)
{
	char path[1024], name[512];
	unsigned files = 0;
	struct dirent *entry;
	DIR *in;

	(void)snprintf(path, sizeof(path), "%s/%s", captures, folder);
	in = opendir(path);
	CHECK(in);
	while ((entry = readdir(in))) {
		struct import_totals totals;
		struct import_opts opts = { .paths_count = 1, .no_seal = true };
		const char *paths[1], *dir;
		struct err err = { 0 };
		uint64_t packets;
		int rc;

		if (!strstr(entry->d_name, ".pcap"))
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
		(void)snprintf(path, sizeof(path), "%s/%s", captures, name);
		paths[0] = path;
		opts.paths = paths;
		dir = check_tmpdir();
		opts.data_dir = dir;
		rc = import_run(&opts, &totals, &err);
		CHECK(rc >= 0, "%s: %s", name, err.text);
		if (truth_packets(captures, name, &packets))
			CHECK(totals.packets == packets, "%s: %" PRIu64 " packets, tshark has %" PRIu64, name,
			      totals.packets, packets);
		check_fini();
		files++;
	}
	(void)closedir(in);
	return files;
}

/* Every capture, as many packets as an independent reader finds in it. */
TEST(import, reads_every_capture, .timeout = 300)
{
	const char *captures = check_need_captures();
	unsigned files = 0;
	struct dirent *entry;
	DIR *in = captures ? opendir(captures) : NULL;

	CHECK(in);
	while ((entry = readdir(in)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && strcmp(entry->d_name, "truth") != 0)
			files += import_folder(captures, entry->d_name);
	(void)closedir(in);
	CHECK_GE(files, 250);
}

struct told {
	unsigned warnings;
	char words[256];
	uint64_t packets_max;
	bool stop;
};

static void on_warning(void *arg, const char *path, const char *text)
{
	struct told *told = arg;

	(void)path;
	told->warnings++;
	(void)snprintf(told->words, sizeof(told->words), "%s", text);
}

static bool on_progress(void *arg, const struct import_progress *progress)
{
	struct told *told = arg;

	told->packets_max = progress->packets;
	return !told->stop;
}

TEST(import, warns_of_a_file_that_is_cut_short)
{
	const char *captures = check_need_captures();
	struct import_totals totals;
	struct told told = { 0 };
	struct import_opts opts = { .paths_count = 2, .data_dir = check_tmpdir(), .warning = on_warning,
				    .progress = on_progress, .arg = &told, .no_seal = true };
	char cut[1024], whole[1024];
	const char *paths[2] = { cut, whole };
	struct err err = { 0 };

	(void)snprintf(cut, sizeof(cut), "%s/corrupt/http-fault-post.pcap", captures);
	(void)snprintf(whole, sizeof(whole), "%s/corrupt/truncated-header.pcap", captures);
	opts.paths = paths;
	CHECK_OK(import_run(&opts, &totals, &err), err);
	CHECK_U64(told.warnings, 1);
	CHECK(strstr(told.words, "record 26"), "%s", told.words);
	CHECK_U64(totals.files, 2);
	CHECK_U64(totals.files_cut, 1);
	CHECK_U64(totals.packets, 25 + 24);
}

TEST(import, refuses_what_is_no_capture)
{
	struct import_totals totals;
	const char *paths[1] = { "/proc/self/status" };
	struct import_opts opts = { .paths = paths, .paths_count = 1, .data_dir = check_tmpdir(), .no_seal = true };
	struct err err = { 0 };

	CHECK_RC(import_run(&opts, &totals, &err), E_FORMAT);
	CHECK(strstr(err.text, "/proc/self/status: not a pcap"), "%s", err.text);
	CHECK_U64(totals.packets, 0);
}

/* Ids of all rows of a table, in the order of the store. */
static size_t ids_of(const char *dir, enum table_id id, uint64_t *ids, size_t max)
{
	const struct table *table = table_get(id);
	struct store_view *view = NULL;
	struct store *store = NULL;
	struct err err = { 0 };
	size_t count = 0;

	CHECK_OK(store_open(dir, &store, &err), err);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		for (size_t n = 0; n < store_rg_count(view, part, id); n++) {
			struct arena arena;
			struct rg rg;
			void *rows;

			arena_init(&arena, 0);
			CHECK_OK(store_rg_open(view, part, id, n, &rg, &err), err);
			CHECK_OK(rg_read_rows(&rg, &arena, &rows, &err), err);
			for (uint32_t i = 0; i < rg.zone.rows && count < max; i++) {
				struct view none;

				CHECK(row_get(&table->cols[table->id_ord],
					      (const uint8_t *)rows + i * table->row_bytes, &ids[count], &none));
				count++;
			}
			arena_release(&arena);
		}
	}
	store_view_close(view);
	store_close(store);
	return count;
}

TEST(import, gives_the_same_ids_every_time)
{
	const char *captures = check_need_captures(), *dirs[2] = { check_tmpdir(), check_tmpdir() };
	static uint64_t ids[2][1000];
	size_t counts[2];
	char path[1024];
	const char *paths[1] = { path };

	(void)snprintf(path, sizeof(path), "%s/http/http1.pcap", captures);
	for (int i = 0; i < 2; i++) {
		struct import_opts opts = { .paths = paths, .paths_count = 1, .data_dir = dirs[i], .no_seal = true };
		struct import_totals totals;
		struct err err = { 0 };

		CHECK_OK(import_run(&opts, &totals, &err), err);
		counts[i] = ids_of(dirs[i], TABLE_CALLS, ids[i], 1000);
		CHECK_U64(counts[i], totals.call_rows);
	}
	CHECK_GT(counts[0], 10);
	CHECK_U64(counts[0], counts[1]);
	CHECK_U64(memcmp(ids[0], ids[1], counts[0] * sizeof(ids[0][0])), 0);
}

/* A pipe whose writer pauses, as tcpdump does on a quiet network: what came before the pause is there to be asked for. */
TEST(import, shows_what_a_pipe_has_brought_so_far)
{
	char pipe_path[300], bytes[16384];
	const char *paths[1] = { pipe_path };
	struct import_opts opts = { .paths = paths, .paths_count = 1, .data_dir = check_tmpdir() };
	int in = open("tests/golden/http-keepalive/input.pcap", O_RDONLY | O_CLOEXEC), out, status;
	ssize_t len = read(in, bytes, sizeof(bytes));
	struct err err = { 0 };
	uint64_t ids[100];
	size_t calls = 0;
	pid_t pid;

	CHECK_GT(len, 0);
	(void)snprintf(pipe_path, sizeof(pipe_path), "%s/pipe", check_tmpdir());
	CHECK_RC(mkfifo(pipe_path, 0600), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct import_totals totals;

		_exit(import_run(&opts, &totals, &err) < 0);
	}
	out = open(pipe_path, O_WRONLY | O_CLOEXEC);
	CHECK(write(out, bytes, (size_t)len) == len);
	for (int i = 0; i < 100 && !calls; i++) {
		struct store *store = NULL;

		(void)usleep(100000);
		if (store_open(opts.data_dir, &store, &err) < 0)
			continue;
		store_close(store);
		calls = ids_of(opts.data_dir, TABLE_CALLS, ids, 100);
	}
	CHECK_GT(calls, 0);
	CHECK_RC(close(out), 0);
	CHECK_RC(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	CHECK_RC(close(in), 0);
}

TEST(import, stops_when_told_and_keeps_what_it_has)
{
	const char *captures = check_need_captures();
	struct told told = { .stop = true };
	char path[1024];
	const char *paths[1] = { path };
	struct import_opts opts = { .paths = paths, .paths_count = 1, .data_dir = check_tmpdir(),
				    .progress = on_progress, .arg = &told, .no_seal = true };
	struct import_totals totals;
	static uint64_t ids[5000];
	struct err err = { 0 };

	(void)snprintf(path, sizeof(path), "%s/memcache/memcached-userdata.pcap", captures);
	CHECK_RC(import_run(&opts, &totals, &err), E_CANCELLED);
	CHECK_U64(totals.packets, 4096);
	CHECK_GT(ids_of(opts.data_dir, TABLE_FLOWS, ids, 5000), 0);
}
