/* The input is a list of reads followed by the bytes they read; a cursor never leaves its input. */
#include "base/rd.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	size_t ops = len / 4;
	struct rd rd = rd_make(view_make(at + ops, len - ops));

	for (size_t i = 0; i < ops; i++) {
		size_t before = rd_pos(&rd);
		bool was_bad = rd.bad;

		switch (at[i] % 10) {
		case 0: (void)rd_u8(&rd); break;
		case 1: (void)rd_u16be(&rd); break;
		case 2: (void)rd_u24be(&rd); break;
		case 3: (void)rd_u32le(&rd); break;
		case 4: (void)rd_u64le(&rd); break;
		case 5: (void)rd_varint(&rd); break;
		case 6: (void)rd_svarint(&rd); break;
		case 7: (void)rd_bytes(&rd, at[i] / 10); break;
		case 8: rd_skip(&rd, at[i] / 10); break;
		default: (void)rd_vbytes(&rd); break;
		}
		assert(rd.at >= rd.start && rd.at <= rd.end && rd_pos(&rd) >= before);
		assert(!rd.bad || rd_pos(&rd) == before);
		assert(rd.bad || !was_bad);
	}
	return 0;
}
