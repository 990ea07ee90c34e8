/*
 * Any bytes as frames. An input that begins like a pcap file is read as one, so that
 * captures serve as seeds; else the first byte picks the link type, the second says
 * how much longer the frame was on the wire, the rest is the frame.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/rd.h"
#include "wire/decode.h"
#include "wire/fragment.h"
#include "wire/tcp.h"

static const uint16_t links[] = {
	LINK_ETHERNET, LINK_NULL, LINK_PPP, LINK_FDDI, LINK_RAW_BSD, LINK_RAW_BSD2, LINK_PPP_SERIAL,
	LINK_PPP_ETHER, LINK_RAW, LINK_HDLC, LINK_80211, LINK_LOOP, LINK_LINUX_SLL, LINK_RADIOTAP, LINK_IPV4,
	LINK_IPV6, LINK_NFLOG, LINK_LINUX_SLL2, 1000,
};

/* Datagrams of the input at hand: small, so that the budget is met. */
static struct fragments *fragments;

static void fragment_waited(void *arg, const struct packet *head, const void *note)
{
	(void)arg;
	(void)head;
	assert(*(const uint8_t *)note == 7);
}

static void fragment_broken(void *arg, enum fragment_end why, unsigned pieces, const struct packet *head,
			    const struct packet *prefix)
{
	(void)arg;
	(void)why;
	(void)head;
	assert(pieces > 0 && (!prefix || prefix->payload.len <= prefix->payload_len));
}

static void piece(const struct packet *packet)
{
	struct fragment_seen seen;
	uint8_t note = 7;

	if (fragments_add(fragments, packet, &seen) < 0)
		return;
	assert(!seen.whole || seen.whole->payload.len <= seen.whole->payload_len);
	if (!seen.head)
		(void)fragments_wait(fragments, &note, 1);
	fragments_tick(fragments, packet->time_ns);
}

/* conn sees all segments as one conversation, with its sides told apart by their ports. */
static void one(struct tcp_conn *conn, uint64_t time_ns, uint16_t link, struct view bytes, uint32_t orig_len)
{
	struct packet packet = { .time_ns = time_ns, .segments = 1, .link = link, .orig_len = orig_len };
	enum decode_status status;
	uint8_t *copy;

	/* a block of just this size, so that one byte too far is seen */
	copy = malloc(bytes.len ? bytes.len : 1);
	if (!copy)
		return;
	memcpy(copy, bytes.at, bytes.len);
	packet.frame = view_make(copy, bytes.len);
	status = decode_frame(&packet);
	assert(status == packet.status && (unsigned)status < DECODE_STATUS_COUNT);
	assert(packet.payload.at >= copy);
	assert(packet.payload.at + packet.payload.len <= copy + bytes.len);
	assert(packet.payload.len <= packet.payload_len);
	assert((uint64_t)packet.header_bytes + packet.payload_len <=
	       (orig_len > bytes.len ? orig_len : bytes.len));
	assert(packet.l3_off <= bytes.len && packet.l4_off <= bytes.len && packet.sack_blocks <= 4);
	if (packet.in_fragments)
		piece(&packet);
	assert(!packet.has_tcp || (packet.has_ports && packet.ip_version && status == DECODE_OK));
	if (packet.has_tcp) {
		unsigned dir = packet.sport < packet.dport;

		if (tcp_conn_reuses(conn, dir, &packet)) {
			tcp_conn_release(conn);
			tcp_conn_init(conn, conn->pool);
		}
		(void)tcp_conn_packet(conn, dir, &packet);
		assert(conn->completeness < 64);
		(void)tcp_conn_over(conn);
	}
	free(copy);
}

static void file(struct tcp_conn *conn, struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint16_t link;

	rd_skip(&rd, 20);
	link = (uint16_t)rd_u32le(&rd);
	for (;;) {
		uint32_t sec = rd_u32le(&rd), usec = rd_u32le(&rd);
		uint32_t len = rd_u32le(&rd), orig_len = rd_u32le(&rd);

		if (rd.bad || len > rd_left(&rd))
			break;
		one(conn, sec * 1000000000ull + usec * 1000ull, link, rd_bytes(&rd, len), orig_len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct fragments_opts opts = { .bytes_max = 64 << 10, .datagrams_max = 8,
				       .sink = { .waited = fragment_waited, .broken = fragment_broken } };
	struct tcp_pool *pool = tcp_pool_new();
	struct tcp_conn conn;

	fragments = fragments_new(&opts);
	if (!fragments || !pool)
		goto out;
	tcp_conn_init(&conn, pool);
	if (len > 24 && memcmp(at, "\xd4\xc3\xb2\xa1", 4) == 0)
		file(&conn, view_make(at, len));
	else if (len >= 2)
		one(&conn, 1, links[at[0] % (sizeof(links) / sizeof(links[0]))], view_make(at + 2, len - 2),
		    (uint32_t)(len - 2 + (at[1] & 0x80 ? at[1] * 16u : 0)));
	fragments_flush(fragments);
out:
	fragments_free(fragments);
	tcp_pool_free(pool);
	return 0;
}
