#include "store/packet_frame.h"

#include "tests/check.h"
#include "tests/random.h"

#define IP_BYTES 20u
#define SEGMENT_BYTES_MAX 300u

/* RFC 1071, two bytes at a time. */
static uint16_t sum_slowly(const uint8_t *segment, uint32_t len, const uint8_t *ip, uint8_t proto, size_t sum_at)
{
	uint64_t sum = proto + len;

	for (unsigned i = 12; i < 20; i += 2)
		sum += be16(ip + i);
	for (uint32_t i = 0; i < len; i++)
		if (i != sum_at && i != sum_at + 1)
			sum += (uint64_t)segment[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

TEST(packet_frame, sums_segments_of_any_length_and_place)
{
	struct random random = random_new("packet_frame");
	uint8_t room[8 + IP_BYTES + SEGMENT_BYTES_MAX];

	for (uint32_t len = 20; len < SEGMENT_BYTES_MAX; len++) {
		uint8_t *frame = room + len % 8, *ip = frame, *segment = ip + IP_BYTES, got[2];
		uint16_t sum;

		for (size_t i = 0; i < sizeof(room); i++)	/* with all ones, for the carries */
			room[i] = random_below(&random, 2) ? 0xff : (uint8_t)random_u64(&random);
		put_be16(ip + 2, (uint16_t)(IP_BYTES + len));
		CHECK(frame_sum_make(KIND_IP4_TCP, SUM_RIGHT, frame, 0, IP_BYTES + len, &sum));
		memcpy(got, &sum, 2);
		CHECK_U64(be16(got), sum_slowly(segment, len, ip, 6, 16));
		CHECK(frame_sum_make(KIND_IP4_UDP, SUM_RIGHT, frame, 0, IP_BYTES + len, &sum));
		memcpy(got, &sum, 2);
		sum = sum_slowly(segment, len, ip, 17, 6);
		CHECK_U64(be16(got), sum ? sum : 0xffff);
		CHECK(!frame_sum_make(KIND_IP4_TCP, SUM_RIGHT, frame, 0, IP_BYTES + len - 1, &sum));
	}
}
