/* The health of real connections as rows: what comes of a whole import. */
#include "ingest/import.h"
#include "query/query.h"
#include "tests/ingest_kit.h"

static bool take_row(void *arg, const struct table *table, const void *row)
{
	(void)table;
	*(struct flow_row *)arg = *(const struct flow_row *)row;
	return false;
}

/* The one flow of a capture that filter names. */
static struct flow_row flow_of(const char *name, const char *filter)
{
	const char *captures = check_need_captures(), *dir = check_tmpdir(), *paths[1];
	struct import_opts import = { .paths = paths, .paths_count = 1, .data_dir = dir, .no_seal = true };
	struct query_opts opts = { .filter = view_str(filter) };
	struct query_rows rows = { .table = TABLE_FLOWS };
	struct import_totals totals;
	struct query_stats stats;
	struct flow_row row = { 0 };
	struct store *store = NULL;
	struct arena arena;
	struct view cursor;
	struct err err = { 0 };
	char path[1024];

	(void)snprintf(path, sizeof(path), "%s/%s", captures, name);
	paths[0] = path;
	CHECK_OK(import_run(&import, &totals, &err), err);
	arena_init(&arena, 0);
	CHECK_OK(store_open(dir, &store, &err), err);
	CHECK_OK(query_rows(store, &opts, &rows, take_row, &row, &arena, &stats, &cursor, &err), err);
	CHECK_U64(stats.rows_matched, 1);
	arena_release(&arena);
	store_close(store);
	check_fini();
	return row;
}

/* Times as they stand in the captures, read with another dissector. */
TEST(health, tells_the_times_of_tls)
{
	struct flow_row row = flow_of("tls/client-certificate.pcap", "tls");

	/* TLS 1.2: done with the server's Finished; the client speaks next */
	CHECK_U64(row.first_payload_ns, 1677601192639630000);
	CHECK_U64(row.tls_done_ns, 1677601197681201000);
	CHECK_U64(row.first_app_ns, 1677601197681456000);
	/* TLS 1.3: done with the client's Finished, after which this one said nothing */
	row = flow_of("tls/chrome-1250-tls-x25519-kyber.pcap", "tls");
	CHECK_U64(row.tls_done_ns, 1716310155445335000);
	CHECK_NOT(ROW_HAS(FLOW, &row, first_app_ns));
	/* without TLS the first payload is the application's */
	row = flow_of("tls/latest.pcapng", "port == 52939");
	CHECK_U64(row.first_app_ns, row.first_payload_ns);
	CHECK_NOT(ROW_HAS(FLOW, &row, tls_done_ns));
}

/* A segment that went three times in one frame is three, also when it is sent again. */
TEST(health, counts_super_packets_sent_again)
{
	static const struct kit_end client = { "10.0.0.1", 40000 }, server = { "10.0.0.2", 8080 };
	struct tkit kit_, *kit = &kit_;
	static char payload[3000];
	struct frame frame = { .link = 101, .segments = 3 };
	uint64_t rolled = 0;

	memset(payload, 'x', sizeof(payload));
	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	for (unsigned i = 0; i < 2; i++) {
		kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = client, .to = server, .flags = TCP_ACK, .seq = 1,
							      .payload = payload, .payload_len = sizeof(payload) });
		frame.time_ns = KIT_T0 + i * 300 * NS_PER_MS;
		frame.bytes = wr_view(&kit->frame);
		frame.orig_len = (uint32_t)kit->frame.len;
		CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	}
	tracker_end(kit->tracker);
	CHECK_U64(tkit_flow(kit, 0)->tx_packets, 6);
	CHECK_U64(tkit_flow(kit, 0)->tx_retransmits, 3);
	CHECK_U64(tkit_flow(kit, 0)->tx_timer_retransmits, 3);
	CHECK_U64(tkit_flow(kit, 0)->tx_retransmit_bytes, 3000);
	CHECK_U64(tkit_flow(kit, 0)->tx_goodput_bytes, 3000);
	for (size_t i = 0; i < TKIT_COUNT(kit, ROLLUPS); i++)
		rolled += TKIT_ROLLUP(kit, i)->tier == 1 ? TKIT_ROLLUP(kit, i)->retransmits : 0;
	CHECK_U64(rolled, 3);
	tkit_release(kit);
}

/* ---- ICMP errors ---- */

/* An ICMP message of `from` to the sender of the frame in quoted. */
static void icmp(struct tkit *kit, const char *from, uint8_t type, uint8_t code, uint16_t mtu, const struct wr *quoted,
		 const char *to)
{
	kit_ip_header(&kit->frame, 8 + 28, 1, from, to);
	wr_u8(&kit->frame, type);
	wr_u8(&kit->frame, code);
	wr_u32be(&kit->frame, 0);
	wr_u16be(&kit->frame, mtu);
	wr_bytes(&kit->frame, view_make(quoted->at, 28));
	tkit_frame(kit);
	kit->now_ns += NS_PER_MS;
}

TEST(health, tells_a_flow_of_errors_that_quote_it)
{
	static const struct kit_end client = { "10.0.0.1", 40000 }, server = { "10.0.0.2", 9999 },
				    stranger = { "10.0.0.3", 1 };
	struct tkit kit_, *kit = &kit_;
	struct wr sent;
	unsigned told = 0;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&sent, 0);
	kit_udp_frame(&kit->frame, client, server, VIEW_LIT("0123456789"));
	kit_udp_frame(&sent, client, server, VIEW_LIT("0123456789"));
	tkit_frame(kit);
	icmp(kit, "10.0.0.9", 3, 4, 1400, &sent, client.ip);
	icmp(kit, "10.0.0.9", 3, 4, 1300, &sent, client.ip);
	icmp(kit, "10.0.0.9", 11, 0, 0, &sent, client.ip);
	icmp(kit, server.ip, 3, 3, 0, &sent, client.ip);	/* refused */
	/* what quotes a flow that was never seen makes none */
	kit_udp_frame(&sent, stranger, server, VIEW_LIT("0123456789"));
	icmp(kit, "10.0.0.9", 3, 3, 0, &sent, stranger.ip);
	tracker_end(kit->tracker);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++) {
		const struct flow_row *row = tkit_flow(kit, i);
		struct ip from;

		if (row->proto != PROTO_udp) {
			CHECK_U64(row->proto, PROTO_icmp);
			CHECK_NOT(ROW_HAS(FLOW, row, icmp_type));
			continue;
		}
		told++;
		CHECK_U64(row->tx_packets, 1);
		CHECK_U64(row->rx_packets, 0);
		CHECK_U64(row->icmp_too_big, 2);
		CHECK_U64(row->icmp_time_exceeded, 1);
		CHECK_U64(row->icmp_unreachable, 1);
		CHECK_U64(row->icmp_other, 0);
		CHECK_U64(row->icmp_type, 3);
		CHECK_U64(row->icmp_code, 3);
		CHECK_U64(ip_parse(view_str(server.ip), &from, NULL), 0);
		CHECK(ip_eq(&row->icmp_from, &from));
		CHECK_U64(row->tx_path_mtu, 1300);
		CHECK_NOT(ROW_HAS(FLOW, row, rx_path_mtu));
	}
	CHECK_U64(told, 1);
	wr_release(&sent);
	tkit_release(kit);
}
