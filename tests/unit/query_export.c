#include <dirent.h>

#include "ingest/import.h"
#include "tests/query_store.h"

/* ---- a file in, a file out ---- */

static int to_wr(void *arg, struct view bytes, struct err *err)
{
	struct wr *wr = arg;

	wr_bytes(wr, bytes);
	return wr->bad ? err_set(err, E_NO_MEMORY, "out of memory") : 0;
}

static void read_file(const char *path, struct wr *wr)
{
	FILE *in = fopen(path, "re");
	uint8_t bytes[65536];
	size_t len;

	CHECK(in, "%s", path);
	wr_reset(wr);
	while ((len = fread(bytes, 1, sizeof(bytes), in)) > 0)
		wr_bytes(wr, view_make(bytes, len));
	(void)fclose(in);
}

static uint32_t u32_at(const struct wr *wr, size_t at, bool swap)
{
	uint32_t v;

	memcpy(&v, wr->at + at, 4);
	return swap ? __builtin_bswap32(v) : v;
}

/*
 * Record headers and bytes of two pcap files, whatever their byte order. The
 * input may be cut short, or damaged from some record on: count says how many were read.
 */
static void same_records(const char *name, const struct wr *in, const struct wr *out,
			 uint64_t count)
{
	uint32_t magic = u32_at(in, 0, false);
	bool swap = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	bool nanos = u32_at(in, 0, swap) == 0xa1b23c4d;
	/* Before version 2.3 the two lengths stood the other way round. */
	size_t swapped = (u32_at(in, 4, swap) >> (swap ? 0 : 16) & 0xffff) < 3 ? 1 : 0;
	size_t a = 24, b = 24;

	CHECK(u32_at(out, 0, false) == (nanos ? 0xa1b23c4d : 0xa1b2c3d4), "%s: precision", name);
	CHECK(u32_at(out, 20, false) == (u32_at(in, 20, swap) & 0xffff), "%s: link type", name);
	for (uint64_t n = 1; n <= count; n++) {
		uint32_t len = u32_at(in, a + (swapped ? 12 : 8), swap);

		CHECK(b + 16 + len <= out->len, "%s: the output ends before record %" PRIu64, name,
		      n);
		for (size_t word = 0; word < 4; word++) {
			uint32_t want =
				u32_at(in, a + 4 * (word < 2 ? word : word ^ swapped), swap);
			uint32_t fraction = u32_at(in, a + 4, swap),
				 unit = nanos ? 1000000000 : 1000000;

			/* A damaged file's fraction may be more than a second: the same instant is written. */
			if (word == 0)
				want += fraction / unit;
			else if (word == 1)
				want %= unit;
			CHECK(want == u32_at(out, b + 4 * word, false),
			      "%s: record %" PRIu64 ", word %zu", name, n, word);
		}
		CHECK(memcmp(in->at + a + 16, out->at + b + 16, len) == 0,
		      "%s: bytes of record %" PRIu64, name, n);
		a += 16 + len;
		b += 16 + len;
	}
	CHECK(b == out->len, "%s: %zu bytes more", name, out->len - b);
}

static void export_all(const char *dir, enum export_format format, struct view filter,
		       struct wr *out, struct query_export_totals *totals, int want)
{
	struct query_opts opts = { .filter = filter };
	struct query_export what = { .format = format };
	struct query_stats stats;
	struct store *store;
	struct err err = { 0 };
	int rc;

	wr_reset(out);
	CHECK_OK(store_open(dir, &store, &err), err);
	rc = query_export(store, &opts, &what, to_wr, out, totals, &stats, &err);
	CHECK(rc == want || (want == 0 && rc == E_UNSUPPORTED), "%s: %s", err_name(rc), err.text);
	if (rc < 0)
		wr_reset(out);
	store_close(store);
}

/* True when the file was a pcap with one link type and came back the same. */
static bool round_trip(const char *path, const char *name, bool seal)
{
	const char *paths[] = { path };
	struct import_opts import = {
		.paths = paths, .paths_count = 1, .data_dir = check_tmpdir(), .no_seal = !seal
	};
	struct query_export_totals totals = { 0 };
	struct import_totals imported;
	struct wr in, out;
	struct err err = { 0 };
	bool pcap = false;
	uint32_t magic;

	wr_init(&in, 0);
	wr_init(&out, 0);
	read_file(path, &in);
	if (in.len >= 24 && import_run(&import, &imported, &err) >= 0) {
		magic = u32_at(&in, 0, false);
		pcap = magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1 || magic == 0xa1b23c4d ||
		       magic == 0x4d3cb2a1;
		export_all(import.data_dir, EXPORT_PCAP, (struct view){ 0 }, &out, &totals, 0);
		if (pcap && out.len) {
			CHECK(totals.packets == imported.packets,
			      "%s: %" PRIu64 " of %" PRIu64 " packets", name, totals.packets,
			      imported.packets);
			same_records(name, &in, &out, imported.packets);
		}
		pcap = pcap && out.len;
		export_all(import.data_dir, EXPORT_PCAPNG, (struct view){ 0 }, &out, &totals, 0);
		CHECK(totals.packets == imported.packets,
		      "%s: pcapng: %" PRIu64 " of %" PRIu64 " packets", name, totals.packets,
		      imported.packets);
	}
	wr_release(&in);
	wr_release(&out);
	check_fini();
	return pcap;
}

TEST(export, gives_every_capture_back, .timeout = 300)
{
	const char *captures = check_need_captures();
	DIR *top = captures ? opendir(captures) : NULL;
	struct dirent *folder, *entry;
	unsigned same = 0;

	CHECK(top);
	while ((folder = readdir(top))) {
		char path[1024], name[2048];
		DIR *in;

		if (folder->d_type != DT_DIR || folder->d_name[0] == '.' ||
		    strcmp(folder->d_name, "truth") == 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", captures, folder->d_name);
		in = opendir(path);
		CHECK(in);
		while ((entry = readdir(in))) {
			if (!strstr(entry->d_name, ".pcap"))
				continue;
			(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
			same += round_trip(name, entry->d_name, same % 3 == 0);
		}
		(void)closedir(in);
	}
	(void)closedir(top);
	CHECK(same >= 150, "only %u captures are pcap", same);
}

/* ---- frames made here ---- */

struct frame_spec {
	uint64_t time_ns, flow_id, source;
	uint16_t link;
	uint8_t byte;
};

static void write_frames(struct fixture *fixture, const struct frame_spec *specs, size_t count)
{
	struct packet_block block;
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++) {
		uint8_t bytes[100];
		struct packet_rec rec = { .time_ns = specs[i].time_ns,
					  .number = i + 1,
					  .flow_id = specs[i].flow_id,
					  .orig_len = 120,
					  .link = specs[i].link,
					  .segments = 1,
					  .frame = view_make(bytes, 60 + i % 40) };

		memset(bytes, specs[i].byte, sizeof(bytes));
		CHECK_EQ(packet_block_init(&block, specs[i].source), 0);
		CHECK_EQ(packet_block_add(&block, &rec), 0);
		CHECK_OK(store_write_packets(fixture->writer, &block, &err), err);
		packet_block_release(&block);
	}
	CHECK_OK(store_commit(fixture->writer, &err), err);
}

static int export_some(struct fixture *fixture, const struct query_opts *opts,
		       const struct query_export *what, struct wr *out,
		       struct query_export_totals *totals, struct err *err)
{
	struct query_stats stats;

	wr_reset(out);
	return query_export(fixture->store, opts, what, to_wr, out, totals, &stats, err);
}

/* The first byte of each frame of a pcap, as text. */
static void first_bytes(const struct wr *out, char *text)
{
	for (size_t at = 24; at < out->len; at += 16 + u32_at(out, at + 8, false))
		*text++ = (char)out->at[at + 16];
	*text = '\0';
}

TEST(export, keeps_the_order_of_capture_where_time_jumps)
{
	/* Numbers are the order; times go to and fro over hours, and a year. */
	static const struct frame_spec specs[] = {
		{ T0 + NS_PER_HOUR - 1, 1, 5, 1, 'a' }, { T0 + NS_PER_HOUR + 1, 1, 5, 1, 'b' },
		{ T0 + NS_PER_HOUR - 5, 1, 5, 1, 'c' }, { T0 - 365 * NS_PER_DAY, 2, 5, 1, 'd' },
		{ T0 + 5 * NS_PER_HOUR, 2, 5, 1, 'e' }, { T0, 0, 5, 1, 'f' },
		{ T0 + 2 * NS_PER_HOUR, 1, 5, 1, 'g' },
	};
	struct query_opts opts = { 0 };
	struct query_export what = { .format = EXPORT_PCAP };
	struct query_export_totals totals;
	struct fixture fixture;
	struct err err = { 0 };
	char text[32];
	struct wr out;

	wr_init(&out, 0);
	fixture_open(&fixture);
	write_frames(&fixture, specs, sizeof(specs) / sizeof(specs[0]));
	for (unsigned sealed = 0; sealed < 2; sealed++) {
		CHECK_OK(export_some(&fixture, &opts, &what, &out, &totals, &err), err);
		first_bytes(&out, text);
		CHECK_STR(text, "abcdefg");
		CHECK(u32_at(&out, 0, false) == 0xa1b23c4d, "a time has nanoseconds");
		CHECK_U64(totals.packets, 7);
		CHECK_U64(totals.flows, 2);
		fixture_seal(&fixture);
	}
	opts.from_ns = T0;
	opts.to_ns = T0 + 2 * NS_PER_HOUR;
	CHECK_OK(export_some(&fixture, &opts, &what, &out, &totals, &err), err);
	first_bytes(&out, text);
	CHECK_STR(text, "abcf");
	fixture_close(&fixture);
	wr_release(&out);
}

static void write_two_flows(struct fixture *fixture)
{
	struct flow_row flows[2] = {
		{ .id = 11, .start_ns = T0, .end_ns = T0 + NS_PER_SEC, .view = VIEW_first },
		{ .id = 22, .start_ns = T0, .end_ns = T0 + NS_PER_SEC, .view = VIEW_first },
	};
	struct call_row call = { .id = 7, .start_ns = T0 + 300, .end_ns = T0 + 400, .flow_id = 22 };
	static const struct frame_spec specs[] = {
		{ T0 + 100, 11, 1, 1, 'a' }, { T0 + 200, 22, 1, 1, 'b' },
		{ T0 + 300, 22, 1, 1, 'c' }, { T0 + 400, 22, 1, 1, 'd' },
		{ T0 + 500, 22, 1, 1, 'e' }, { T0 + 600, 0, 1, 1, 'f' },
		{ T0 + 700, 11, 1, 1, 'g' },
	};

	ROW_SET(FLOW, &flows[0], dst_port, 80);
	ROW_SET(FLOW, &flows[1], dst_port, 443);
	ROW_SET(FLOW, &flows[1], src_pid, 4711);
	ROW_SET(FLOW, &flows[1], src_comm, VIEW_LIT("curl"));
	ROW_SET(CALL, &call, method, VIEW_LIT("GET"));
	fixture_write(fixture, TABLE_FLOWS, flows, 2);
	fixture_write(fixture, TABLE_CALLS, &call, 1);
	write_frames(fixture, specs, sizeof(specs) / sizeof(specs[0]));
}

TEST(export, holds_exactly_what_matches)
{
	static const struct {
		const char *filter, *calls, *want;
		uint64_t flows;
	} cases[] = {
		{ "", "", "abcdefg", 2 },
		{ "dst.port == 80", "", "ag", 1 },
		{ "port in {80 443}", "", "abcdeg", 2 },
		{ "dst.port == 81", "", "", 0 },
		{ "", "method == GET", "cd", 1 },
		{ "dst.port == 80", "method == GET", "", 0 },
		{ "pid == 4711", "", "bcde", 1 },
	};
	struct query_export what = { .format = EXPORT_PCAP };
	struct query_export_totals totals;
	struct query_opts opts = { .from_ns = T0 };
	struct fixture fixture;
	struct err err = { 0 };
	char text[32];
	struct wr out;

	wr_init(&out, 0);
	fixture_open(&fixture);
	write_two_flows(&fixture);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		opts.filter = view_str(cases[i].filter);
		what.calls_filter = view_str(cases[i].calls);
		CHECK_OK(export_some(&fixture, &opts, &what, &out, &totals, &err), err);
		first_bytes(&out, text);
		CHECK_STR(text, cases[i].want);
		CHECK_U64(totals.flows, cases[i].flows);
	}
	fixture_close(&fixture);
	wr_release(&out);
}

TEST(export, names_the_process_once_a_flow)
{
	struct query_export what = { .format = EXPORT_PCAPNG };
	struct query_export_totals totals;
	struct query_opts opts = { .from_ns = T0 };
	struct fixture fixture;
	struct err err = { 0 };
	ptrdiff_t at;
	struct wr out;

	wr_init(&out, 0);
	fixture_open(&fixture);
	write_two_flows(&fixture);
	CHECK_OK(export_some(&fixture, &opts, &what, &out, &totals, &err), err);
	at = view_find(wr_view(&out), VIEW_LIT("flow 0000000000000016; src: curl pid 4711"));
	CHECK(at > 0);
	CHECK(view_find(view_sub(wr_view(&out), (size_t)at + 1, out.len),
			VIEW_LIT("flow 0000000000000016")) < 0);
	CHECK(view_find(wr_view(&out), VIEW_LIT("flow 000000000000000b")) > 0);
	/* Every block's length stands at both of its ends, and they lead to the end. */
	for (size_t pos = 0; pos < out.len;) {
		uint32_t len = u32_at(&out, pos + 4, false);

		CHECK(len >= 12 && len % 4 == 0 && pos + len <= out.len, "block at %zu", pos);
		CHECK_EQ(u32_at(&out, pos + len - 4, false), len);
		pos += len;
	}
	fixture_close(&fixture);
	wr_release(&out);
}

TEST(export, refuses_two_link_types_in_one_pcap)
{
	static const struct frame_spec specs[] = { { T0, 1, 1, 1, 'a' },
						   { T0 + 1000, 1, 2, 101, 'b' } };
	struct query_export what = { .format = EXPORT_PCAP };
	struct query_export_totals totals;
	struct query_opts opts = { 0 };
	struct fixture fixture;
	struct err err = { 0 };
	struct wr out;

	wr_init(&out, 0);
	fixture_open(&fixture);
	write_frames(&fixture, specs, 2);
	CHECK_EQ(export_some(&fixture, &opts, &what, &out, &totals, &err), E_UNSUPPORTED);
	CHECK(strstr(err.text, "1, 101") && strstr(err.text, "pcapng"), "%s", err.text);
	CHECK_EQ(out.len, 0);
	err_clear(&err);
	what.packet_filter = VIEW_LIT("less 1000");
	opts.to_ns = T0 + 500;
	CHECK_OK(export_some(&fixture, &opts, &what, &out, &totals, &err), err);
	CHECK_U64(totals.packets, 1);
	CHECK(u32_at(&out, 0, false) == 0xa1b2c3d4, "no time needs more than microseconds");
	what.packet_filter = VIEW_LIT("greater 1000");
	CHECK_OK(export_some(&fixture, &opts, &what, &out, &totals, &err), err);
	CHECK_U64(totals.packets, 0);
	what.packet_filter = VIEW_LIT("tcp prot 80");
	CHECK_EQ(export_some(&fixture, &opts, &what, &out, &totals, &err), E_SYNTAX);
	fixture_close(&fixture);
	wr_release(&out);
}

static int stop_writing(void *arg, struct view bytes, struct err *err)
{
	(void)arg;
	(void)bytes;
	return err_set(err, E_CANCELLED, "the client went away");
}

TEST(export, stops_with_its_reader)
{
	static const struct frame_spec specs[] = { { T0, 1, 1, 1, 'a' } };
	struct query_export what = { .format = EXPORT_PCAPNG };
	struct query_export_totals totals;
	struct query_opts opts = { 0 };
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };

	fixture_open(&fixture);
	write_frames(&fixture, specs, 1);
	CHECK_EQ(query_export(fixture.store, &opts, &what, stop_writing, NULL, &totals, &stats,
			      &err),
		 E_CANCELLED);
	CHECK_STR(err.text, "the client went away");
	fixture_close(&fixture);
}
