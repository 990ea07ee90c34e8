#include "base/wr.h"
#include "tests/check.h"
#include "wire/hpack.h"

/* A block as lines "name: value"; "!" where it could not be read. */
static const char *fields(struct hpack *hpack, struct view block, struct wr *out)
{
	struct hpack_field field;
	int rc;

	wr_reset(out);
	while ((rc = hpack_next(hpack, &block, true, &field)) == 1) {
		wr_bytes(out, field.name);
		wr_str(out, field.unknown ? "=" : ": ");
		wr_bytes(out, field.value);
		wr_u8(out, '\n');
	}
	if (rc < 0)
		wr_str(out, "!");
	wr_u8(out, 0);
	CHECK_NOT(out->bad);
	return (const char *)out->at;
}

#define CHECK_FIELDS(hpack, block, want) CHECK_STR(fields(&(hpack), VIEW_LIT(block), &out), want)

/* RFC 7541 C.4: requests with Huffman coding, on one connection. */
TEST(hpack, examples_of_the_rfc)
{
	struct hpack hpack = { .known = true };
	struct wr out;

	wr_init(&out, 0);
	CHECK_FIELDS(hpack, "\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
		     ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n");
	CHECK_FIELDS(hpack, "\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
		     ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n");
	CHECK_FIELDS(hpack, "\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
		     ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n");
	hpack_release(&hpack);
	CHECK_U64(hpack.used_bytes, 0);
	wr_release(&out);
}

/*
 * From the middle: whatever was in the table is a place-holder, and what came since
 * is found at its place, also when the table has overflowed.
 */
TEST(hpack, an_unknown_table_never_tells_a_wrong_field)
{
	struct hpack hpack = { .known = false };
	char block[64];
	struct wr out;

	wr_init(&out, 0);
	CHECK_FIELDS(hpack, "\x82\xbe\xff\x60", ":method: GET\n?=\n!");	/* 62, and 127 + 96 = 223: beyond the smallest table */
	CHECK_FIELDS(hpack, "\x82\xff\x60", ":method: GET\n?=\n");		/* that has made it wider */
	CHECK_FIELDS(hpack, "\x40\1a\1" "1", "a: 1\n");
	CHECK_FIELDS(hpack, "\xbe\xbf\x7f\0\1v", "a: 1\n?=\n?=v\n");	/* 63 as a name: unknown too, its value is not */
	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(block, sizeof(block), "%c%cn%c%c%c", 0x40, 1, 2, 'a' + i % 26, 'a' + i / 26 % 26);
		(void)fields(&hpack, view_make(block, 6), &out);
	}
	CHECK_FIELDS(hpack, "\xbe\xbf", "n: hk\nn: gk\n");
	hpack_lose(&hpack);
	CHECK_FIELDS(hpack, "\xbe", "?=\n");
	hpack_release(&hpack);
	wr_release(&out);
}

TEST(hpack, what_is_broken_is_said_so)
{
	static const struct view broken[] = {
		VIEW_LIT("\x80"), VIEW_LIT("\xbe"), VIEW_LIT("\x40\1a\3x"), VIEW_LIT("\xff\xff\xff\xff\xff\xff"),
		VIEW_LIT("\x3f\xe1\xff\xff\x0f"), VIEW_LIT("\x82\x20"), VIEW_LIT("\0\x81\xff\0"),
	};
	struct wr out;

	wr_init(&out, 0);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct hpack hpack = { .known = true };
		const char *text = fields(&hpack, broken[i], &out);

		CHECK(strchr(text, '!'), "block %zu: %s", i, text);
		CHECK_NOT(hpack.known);
		CHECK_FIELDS(hpack, "\x82", ":method: GET\n");
		hpack_release(&hpack);
		CHECK_U64(hpack.used_bytes, 0);
	}
	wr_release(&out);
}

/* A peer that fills tables of a megabyte gets half of one. */
TEST(hpack, memory_is_bounded)
{
	static uint8_t block[8192];
	struct hpack hpack = { .known = true };
	size_t most = 0;
	struct wr out;

	wr_init(&out, 0);
	(void)fields(&hpack, VIEW_LIT("\x3f\xe1\xff\x3f"), &out);	/* size of the table: 1 MiB */
	memcpy(block, "\x40\x7f\xc1\x3e", 4);				/* a name of 127 + 8001 bytes */
	memset(block + 4, 'n', 8128);
	block[4 + 8128] = 0;
	for (unsigned i = 0; i < 300; i++) {
		(void)fields(&hpack, view_make(block, 4 + 8128 + 1), &out);
		most = hpack.used_bytes > most ? hpack.used_bytes : most;
	}
	CHECK(most > 256 << 10 && most <= 512 << 10, "%zu bytes", most);
	hpack_release(&hpack);
	CHECK_U64(hpack.used_bytes, 0);
	wr_release(&out);
}

TEST(hpack, survives_every_allocation_that_fails)
{
	struct wr out;

	wr_init(&out, 0);
	CHECK(wr_reserve(&out, 4096));
	for (uint64_t n = 1; n < 12; n++) {
		struct hpack hpack = { .known = n % 2 };

		mem_fail_nth(n);
		(void)fields(&hpack, VIEW_LIT("\x82\x86\x84\x41\3a.b\x40\1a\1" "1"), &out);
		mem_fail_nth(0);
		CHECK_FIELDS(hpack, "\x82", ":method: GET\n");
		hpack_release(&hpack);
		CHECK_U64(hpack.used_bytes, 0);
	}
	wr_release(&out);
}

TEST(hpack, plausible_blocks)
{
	CHECK(hpack_plausible(VIEW_LIT("\x82\x86\x84\x41\3a.b")));
	CHECK(hpack_plausible(VIEW_LIT("\x3f\xe1\x1f\x82")));
	CHECK(hpack_plausible(VIEW_LIT("\0\1a\1b\xff\x20")));
	CHECK_NOT(hpack_plausible(VIEW_LIT("")));
	CHECK_NOT(hpack_plausible(VIEW_LIT("\x80")));
	CHECK_NOT(hpack_plausible(VIEW_LIT("\x82\x41\4a.b")));
	CHECK_NOT(hpack_plausible(VIEW_LIT("\x82\x20")));
	CHECK_NOT(hpack_plausible(VIEW_LIT("GET / HTTP/1.1\r\n")));
}
