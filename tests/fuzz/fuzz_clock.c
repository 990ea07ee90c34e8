/* Any text as a time and as a duration; a time that was read is written and read back the same. */
#include "base/clock.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	uint64_t ns = 0, again = 0, span = 0;
	char text[CLOCK_TEXT_LEN];

	if (clock_parse(view_make(at, len), 1700000000ull * NS_PER_SEC, &ns, NULL) == 0) {
		clock_format(ns, text);
		assert(clock_parse(view_str(text), 0, &again, NULL) == 0 && again == ns);
	}
	if (clock_parse_duration(view_make(at, len), &span, NULL) == 0) {
		char words[40];

		clock_format_duration(span, words, sizeof(words));
		assert(clock_parse_duration(view_str(words), &again, NULL) == 0);
	}
	return 0;
}
