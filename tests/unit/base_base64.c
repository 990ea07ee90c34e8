#include "base/base64.h"
#include "tests/check.h"

/* RFC 4648, 10, and what is cut, padded otherwise, or of the other alphabet. */
TEST(base64, reads_and_writes)
{
	static const struct {
		const char *plain, *text;
	} vectors[] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfb\xef", "//777w==" },
	};
	uint8_t out[32];
	size_t used;

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct view plain = view_str(vectors[i].plain), text = view_str(vectors[i].text);

		CHECK_U64(BASE64_LEN(plain.len), text.len);
		base64_write(plain, out);
		CHECK(view_eq(view_make(out, text.len), text), "%s", vectors[i].text);
		CHECK_U64(base64_read(text, out, sizeof(out), &used), plain.len);
		CHECK(view_eq(view_make(out, plain.len), plain), "%s", vectors[i].text);
		CHECK_U64(used, view_find(text, view_str("=")) < 0 ? text.len : (size_t)view_find(text, view_str("=")));
	}
	CHECK_U64(base64_read(VIEW_LIT("__--"), out, sizeof(out), &used), 3);
	CHECK(view_eq(view_make(out, 3), VIEW_LIT("\xff\xff\xbe")));
	CHECK_U64(base64_read(VIEW_LIT("Zm9v Zm9v"), out, sizeof(out), &used), 3);
	CHECK_U64(used, 4);
	CHECK_U64(base64_read(VIEW_LIT("Zm9vYmFy"), out, 4, &used), 4);
	CHECK_U64(used, 6);
	CHECK_U64(base64_read(VIEW_LIT("Z"), out, sizeof(out), &used), 0);
	for (unsigned c = 0; c < 256; c++)
		CHECK_U64(base64_digit((uint8_t)c) >= 0, c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_", (int)c));
}
