#include "ingest/source_file.h"

#include "tests/ingest_kit.h"

struct result {
	int open_rc, next_rc;
	unsigned frames;
	uint64_t orig, captured, last_ns;
	uint32_t last_iface;
	uint16_t last_link;
	char warning[256];
	struct err err;
};

static void read_all(struct view bytes, struct result *result)
{
	struct source_file *file = NULL;
	struct kit_file in;
	struct frame frame;

	memset(result, 0, sizeof(*result));
	kit_file_open(&in, bytes);
	result->open_rc = source_file_open(in.path, &file, &result->err);
	kit_file_close(&in);
	if (result->open_rc < 0)
		return;
	while ((result->next_rc = source_file_next(file, &frame, &result->err)) > 0) {
		result->frames++;
		result->orig += frame.orig_len;
		result->captured += frame.bytes.len;
		result->last_ns = frame.time_ns;
		result->last_iface = frame.iface;
		result->last_link = frame.link;
	}
	if (source_file_warning(file))
		(void)snprintf(result->warning, sizeof(result->warning), "%s", source_file_warning(file));
	source_file_close(file);
}

/* ---- writing files ---- */

static void put16(struct wr *wr, bool big, uint16_t v)
{
	big ? wr_u16be(wr, v) : wr_u16le(wr, v);
}

static void put32(struct wr *wr, bool big, uint32_t v)
{
	big ? wr_u32be(wr, v) : wr_u32le(wr, v);
}

static void pcap_head(struct wr *wr, bool big, uint32_t magic, uint16_t minor, uint32_t link)
{
	put32(wr, big, magic);
	put16(wr, big, 2);
	put16(wr, big, minor);
	put32(wr, big, 0);
	put32(wr, big, 0);
	put32(wr, big, 65535);
	put32(wr, big, link);
}

static void pcap_record(struct wr *wr, bool big, uint32_t sec, uint32_t frac, uint32_t captured, uint32_t original)
{
	put32(wr, big, sec);
	put32(wr, big, frac);
	put32(wr, big, captured);
	put32(wr, big, original);
	for (uint32_t i = 0; i < captured; i++)
		wr_u8(wr, (uint8_t)i);
}

static void ng_block(struct wr *wr, bool big, uint32_t type, struct view body)
{
	uint32_t padded = ((uint32_t)body.len + 3) & ~3u;

	put32(wr, big, type);
	put32(wr, big, padded + 12);
	wr_bytes(wr, body);
	for (size_t i = body.len; i < padded; i++)
		wr_u8(wr, 0);
	put32(wr, big, padded + 12);
}

static void ng_section(struct wr *wr, bool big, uint16_t major)
{
	struct wr body;

	wr_init(&body, 0);
	put32(&body, big, 0x1a2b3c4d);
	put16(&body, big, major);
	put16(&body, big, 0);
	put32(&body, big, UINT32_MAX);
	put32(&body, big, UINT32_MAX);
	ng_block(wr, big, 0x0a0d0d0a, wr_view(&body));
	wr_release(&body);
}

struct ng_iface_spec {
	uint16_t link;
	int tsresol;		/* -1: no option */
	int64_t tsoffset;
	const char *name;
	uint32_t snaplen;
};

static void ng_iface(struct wr *wr, bool big, struct ng_iface_spec spec)
{
	struct wr body;

	wr_init(&body, 0);
	put16(&body, big, spec.link);
	put16(&body, big, 0);
	put32(&body, big, spec.snaplen);
	if (spec.name) {
		put16(&body, big, 2);
		put16(&body, big, (uint16_t)strlen(spec.name));
		wr_str(&body, spec.name);
		while (body.len % 4)
			wr_u8(&body, 0);
	}
	if (spec.tsresol >= 0) {
		put16(&body, big, 9);
		put16(&body, big, 1);
		wr_u8(&body, (uint8_t)spec.tsresol);
		wr_u8(&body, 0);
		wr_u8(&body, 0);
		wr_u8(&body, 0);
	}
	if (spec.tsoffset) {
		put16(&body, big, 14);
		put16(&body, big, 8);
		big ? wr_u64be(&body, (uint64_t)spec.tsoffset) : wr_u64le(&body, (uint64_t)spec.tsoffset);
	}
	put32(&body, big, 0);
	ng_block(wr, big, 1, wr_view(&body));
	wr_release(&body);
}

static void ng_packet(struct wr *wr, bool big, uint32_t iface, uint64_t ticks, uint32_t captured, uint32_t original)
{
	struct wr body;

	wr_init(&body, 0);
	put32(&body, big, iface);
	put32(&body, big, (uint32_t)(ticks >> 32));
	put32(&body, big, (uint32_t)ticks);
	put32(&body, big, captured);
	put32(&body, big, original);
	for (uint32_t i = 0; i < captured; i++)
		wr_u8(&body, (uint8_t)i);
	ng_block(wr, big, 6, wr_view(&body));
	wr_release(&body);
}

/* ---- pcap ---- */

TEST(source_file, reads_pcap_in_both_orders_and_resolutions)
{
	static const struct {
		bool big;
		uint32_t magic;
		uint64_t want_ns;
	} cases[] = {
		{ false, 0xa1b2c3d4, 5000007000 }, { true, 0xa1b2c3d4, 5000007000 },
		{ false, 0xa1b23c4d, 5000000007 }, { true, 0xa1b23c4d, 5000000007 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result;
		struct wr wr;

		wr_init(&wr, 0);
		pcap_head(&wr, cases[i].big, cases[i].magic, 4, 113);
		pcap_record(&wr, cases[i].big, 5, 7, 10, 60);
		read_all(wr_view(&wr), &result);
		CHECK_OK(result.open_rc, result.err);
		CHECK_U64(result.frames, 1);
		CHECK_U64(result.last_ns, cases[i].want_ns);
		CHECK_U64(result.orig, 60);
		CHECK_U64(result.captured, 10);
		CHECK_U64(result.last_link, 113);
		CHECK_STR(result.warning, "");
		wr_release(&wr);
	}
}

TEST(source_file, swaps_the_lengths_of_pcap_2_2)
{
	struct result result;
	struct wr wr;

	wr_init(&wr, 0);
	pcap_head(&wr, false, 0xa1b2c3d4, 2, 1);
	wr_u32le(&wr, 1);
	wr_u32le(&wr, 0);
	wr_u32le(&wr, 9);	/* original first */
	wr_u32le(&wr, 4);
	wr_u32le(&wr, 0);
	read_all(wr_view(&wr), &result);
	CHECK_U64(result.frames, 1);
	CHECK_U64(result.orig, 9);
	CHECK_U64(result.captured, 4);
	wr_release(&wr);
}

/* Whatever is cut off, what came before is handed over, and the words say so. */
TEST(source_file, keeps_what_is_before_any_cut_of_a_pcap)
{
	struct result result;
	struct wr wr;

	wr_init(&wr, 0);
	pcap_head(&wr, false, 0xa1b2c3d4, 4, 1);
	for (uint32_t i = 0; i < 3; i++)
		pcap_record(&wr, false, i, 0, 8, 8);
	for (size_t len = 0; len <= wr.len; len++) {
		unsigned whole = len < 24 ? 0 : (unsigned)((len - 24) / 24);

		read_all(view_make(wr.at, len), &result);
		if (len < 24) {
			CHECK_RC(result.open_rc, E_FORMAT);
			continue;
		}
		CHECK_OK(result.open_rc, result.err);
		CHECK_I64(result.next_rc, 0);
		CHECK_U64(result.frames, whole);
		CHECK((result.warning[0] == '\0') == ((len - 24) % 24 == 0), "%zu bytes: '%s'", len, result.warning);
	}
	wr_release(&wr);
}

TEST(source_file, ends_at_a_length_that_cannot_be)
{
	struct result result;
	struct wr wr;

	wr_init(&wr, 0);
	pcap_head(&wr, false, 0xa1b2c3d4, 4, 1);
	pcap_record(&wr, false, 1, 0, 8, 8);
	wr_u32le(&wr, 2);
	wr_u32le(&wr, 0);
	wr_u32le(&wr, 0xfffffff0);
	wr_u32le(&wr, 8);
	read_all(wr_view(&wr), &result);
	CHECK_U64(result.frames, 1);
	CHECK(strstr(result.warning, "record 2 at offset 48 claims 4294967280"), "'%s'", result.warning);
	wr_release(&wr);
}

/* ---- pcapng ---- */

static void ng_two_sections(struct wr *wr)
{
	ng_section(wr, false, 1);
	ng_iface(wr, false, (struct ng_iface_spec){ .link = 1, .tsresol = 9, .name = "eth0" });
	ng_iface(wr, false, (struct ng_iface_spec){ .link = 101, .tsresol = -1 });
	ng_packet(wr, false, 1, 5000007, 5, 60);
	ng_section(wr, true, 1);
	ng_iface(wr, true, (struct ng_iface_spec){ .link = 113, .tsresol = 0x80 | 10, .tsoffset = 100 });
	ng_packet(wr, true, 0, 5 * 1024 + 512, 6, 6);
}

TEST(source_file, reads_pcapng_sections_of_both_orders)
{
	struct source_file *file = NULL;
	struct err err = { 0 };
	struct frame frame;
	struct kit_file in;
	struct wr wr;

	wr_init(&wr, 0);
	ng_two_sections(&wr);
	kit_file_open(&in, wr_view(&wr));
	CHECK_OK(source_file_open(in.path, &file, &err), err);
	CHECK_I64(source_file_next(file, &frame, &err), 1);
	CHECK_U64(frame.time_ns, 5000007000);
	CHECK_U64(frame.iface, 1);
	CHECK_U64(frame.link, 101);
	CHECK_U64(frame.bytes.len, 5);
	CHECK_I64(source_file_next(file, &frame, &err), 1);
	CHECK_U64(frame.time_ns, 105500000000);	/* in 2^-10 s, and 100 s later */
	CHECK_U64(frame.iface, 2);
	CHECK_U64(frame.link, 113);
	CHECK_I64(source_file_next(file, &frame, &err), 0);
	CHECK_NULL(source_file_warning(file));
	CHECK_U64(source_file_ifaces(file), 3);
	CHECK_STR(source_file_iface(file, 0)->name, "eth0");
	CHECK_U64(source_file_iface(file, 0)->tsresol, 9);
	source_file_close(file);
	kit_file_close(&in);
	wr_release(&wr);
}

TEST(source_file, keeps_what_is_before_any_cut_of_a_pcapng)
{
	struct result result;
	size_t first_end, second_end;
	struct wr wr;

	wr_init(&wr, 0);
	ng_section(&wr, false, 1);
	ng_iface(&wr, false, (struct ng_iface_spec){ .link = 1, .tsresol = 6 });
	ng_packet(&wr, false, 0, 1, 5, 5);
	first_end = wr.len;
	ng_packet(&wr, false, 0, 2, 7, 7);
	second_end = wr.len;
	for (size_t len = 0; len <= wr.len; len++) {
		read_all(view_make(wr.at, len), &result);
		if (len < 4) {
			CHECK_RC(result.open_rc, E_FORMAT);
			continue;
		}
		CHECK_OK(result.open_rc, result.err);
		CHECK_I64(result.next_rc, 0);
		CHECK_U64(result.frames, len >= second_end ? 2 : len >= first_end ? 1 : 0);
	}
	wr_release(&wr);
}

static void check_warning(struct wr *wr, unsigned frames, const char *words)
{
	struct result result;

	read_all(wr_view(wr), &result);
	CHECK_OK(result.open_rc, result.err);
	CHECK_U64(result.frames, frames);
	CHECK(strstr(result.warning, words), "'%s' lacks '%s'", result.warning, words);
	wr_reset(wr);
	ng_section(wr, false, 1);
	ng_iface(wr, false, (struct ng_iface_spec){ .link = 1, .tsresol = 6 });
	ng_packet(wr, false, 0, 1, 5, 5);
}

/* One lie each: every field of a block that a writer can get wrong. */
TEST(source_file, tells_where_a_pcapng_lies)
{
	struct wr wr;
	size_t at;

	wr_init(&wr, 0);
	ng_section(&wr, false, 1);
	ng_packet(&wr, false, 0, 1, 5, 5);
	check_warning(&wr, 0, "names interface 0, the section has 0");
	ng_packet(&wr, false, 7, 1, 5, 5);
	check_warning(&wr, 1, "names interface 7, the section has 1");
	at = wr.len;
	ng_packet(&wr, false, 0, 1, 5, 5);
	wr_patch_u32le(&wr, at + 20, 9999);	/* captured length */
	check_warning(&wr, 1, "claims 9999 captured bytes, its block has 8");
	at = wr.len;
	ng_packet(&wr, false, 0, 1, 5, 5);
	wr_patch_u32le(&wr, wr.len - 4, 16);	/* trailing length */
	check_warning(&wr, 1, "length 40 before, 16 after it");
	at = wr.len;
	ng_packet(&wr, false, 0, 1, 5, 5);
	wr_patch_u32le(&wr, at + 4, 8);		/* leading length */
	check_warning(&wr, 1, "claims 8 bytes");
	at = wr.len;
	ng_packet(&wr, false, 0, 1, 5, 5);
	wr_patch_u32le(&wr, at + 4, 0xffffff00);
	check_warning(&wr, 1, "claims 4294967040 bytes");
	ng_section(&wr, false, 3);
	check_warning(&wr, 1, "has version 3.0");
	ng_block(&wr, false, 6, VIEW_LIT("short"));
	check_warning(&wr, 1, "too short: 8 bytes");
	wr_release(&wr);
}

TEST(source_file, reads_simple_packets_and_skips_other_blocks)
{
	struct result result;
	struct wr wr;

	wr_init(&wr, 0);
	ng_section(&wr, false, 1);
	ng_iface(&wr, false, (struct ng_iface_spec){ .link = 1, .tsresol = 6, .snaplen = 4 });
	ng_block(&wr, false, 5, VIEW_LIT("statistics.."));
	ng_block(&wr, false, 0x0a, VIEW_LIT("secrets."));
	ng_packet(&wr, false, 0, 7000000, 2, 2);
	ng_block(&wr, false, 3, view_make("\x40\0\0\0abcd", 8));	/* 64 bytes, 4 kept */
	read_all(wr_view(&wr), &result);
	CHECK_OK(result.open_rc, result.err);
	CHECK_U64(result.frames, 2);
	CHECK_U64(result.orig, 66);
	CHECK_U64(result.captured, 6);
	CHECK_U64(result.last_ns, 7000000000);	/* it has no time: that of the one before */
	CHECK_STR(result.warning, "");
	wr_release(&wr);
}

/* ---- what is no capture ---- */

TEST(source_file, says_what_a_stranger_looks_like)
{
	struct result result;

	read_all((struct view){ 0 }, &result);
	CHECK_RC(result.open_rc, E_FORMAT);
	CHECK(strstr(result.err.text, "empty"), "%s", result.err.text);
	read_all(VIEW_LIT("\x1f\x8b\x08\0\0\0\0\0"), &result);
	CHECK_RC(result.open_rc, E_FORMAT);
	CHECK(strstr(result.err.text, "gzip"), "%s", result.err.text);
	read_all(VIEW_LIT("hello, world, I am a text"), &result);
	CHECK_RC(result.open_rc, E_FORMAT);
	CHECK(strstr(result.err.text, "text"), "%s", result.err.text);
	CHECK_RC(source_file_open("/nonexistent/x.pcap", &(struct source_file *){ NULL }, NULL), E_NOT_FOUND);
}
