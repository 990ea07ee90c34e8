/* Any text as a filter of any table: an error with a place in the text, or an answer for a row. */
#include "base/clock.h"
#include "query/filter.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	static const union {
		struct flow_row flow;
		struct call_row call;
		struct packet_row packet;
		struct event_row event;
		struct entity_row entity;
		struct rollup_row rollup;
	} empty;
	struct filter *filter = NULL;
	struct err err = { 0 };
	uint64_t from_ns, to_ns;
	int rc;

	if (len == 0)
		return 0;
	rc = filter_new(table_get(1 + at[0] % TABLE_MAX), view_make(at + 1, len - 1),
			1767322985 * NS_PER_SEC, &filter, &err);
	if (rc < 0) {
		assert(err.code == rc && err.text[0] && err.position < len);
		return 0;
	}
	rc = filter_row(filter, &empty, &err);
	assert(rc == 0 || rc == 1 || err.code == rc);
	filter_start_range(filter, &from_ns, &to_ns);
	filter_free(filter);
	return 0;
}
