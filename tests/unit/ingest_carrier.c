/* Which network a flow is of, and what carried it: VLANs and tunnels through the tracker. */
#include "ingest/import.h"
#include "query/query.h"
#include "tests/ingest_kit.h"

static const struct kit_end client = { "10.0.0.1", 40000 }, server = { "10.0.0.2", 8080 };

/* ---- kit: the frame in kit->frame, in a carrier ---- */

static void hex(struct wr *wr, const char *text)
{
	for (unsigned hi = 16; *text; text++) {
		unsigned digit = *text >= 'a' ? (unsigned)(*text - 'a' + 10) : (unsigned)(*text - '0');

		if (*text == ' ')
			continue;
		if (hi < 16)
			wr_u8(wr, (uint8_t)(hi << 4 | digit));
		hi = hi < 16 ? 16 : digit;
	}
}

struct carried {
	unsigned vlan, inner_vlan;	/* 0: no tag */
	const char *from, *to;		/* of a tunnel, NULL: none */
	uint16_t port;			/* it comes from, 0: IP in IP */
	uint16_t to_port;		/* 4789 VXLAN, 2152 GTP-U */
	uint32_t id;
};

static void send_in(struct tkit *kit, const struct carried *in)
{
	struct frame frame = { .time_ns = kit->now_ns, .link = 1, .segments = 1, .at = FRAME_WIRE };
	size_t inner = kit->frame.len;
	struct wr wr, ip;

	wr_init(&wr, 0);
	wr_init(&ip, 0);
	hex(&wr, "020000000001020000000002");
	if (in->vlan)
		hex(&wr, "8100"), wr_u16be(&wr, (uint16_t)in->vlan);
	if (in->inner_vlan)
		hex(&wr, "8100"), wr_u16be(&wr, (uint16_t)in->inner_vlan);
	hex(&wr, "0800");
	if (in->from && !in->port) {
		kit_ip_header(&ip, inner, 4, in->from, in->to);
		wr_bytes(&wr, wr_view(&ip));
	} else if (in->from) {
		bool gtp = in->to_port == 2152;

		kit_ip_header(&ip, 8 + 8 + (gtp ? 0 : 14) + inner, 17, in->from, in->to);
		wr_bytes(&wr, wr_view(&ip));
		wr_u16be(&wr, in->port);
		wr_u16be(&wr, in->to_port);
		wr_u16be(&wr, (uint16_t)(16 + (gtp ? 0 : 14) + inner));
		wr_u16be(&wr, 0);
		if (gtp) {
			hex(&wr, "30ff");
			wr_u16be(&wr, (uint16_t)inner);
			wr_u32be(&wr, in->id);
		} else {
			hex(&wr, "08000000");
			wr_u32be(&wr, in->id << 8);
			hex(&wr, "020000000003 020000000004 0800");
		}
	}
	wr_bytes(&wr, wr_view(&kit->frame));
	frame.bytes = wr_view(&wr);
	frame.orig_len = (uint32_t)wr.len;
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	kit->now_ns += NS_PER_MS;
	wr_release(&wr);
	wr_release(&ip);
}

static void segment_in(struct tkit *kit, const struct carried *in, const struct kit_tcp *tcp)
{
	kit_tcp_frame(&kit->frame, tcp);
	send_in(kit, in);
}

static const char *const responses[] = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
					 "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno" };

/* Step of an HTTP exchange that n of them do at once, in carriers there[i] and back[i]. Sequence numbers overlap. */
static void exchange(struct tkit *kit, const struct carried *there, const struct carried *back, unsigned n)
{
	char request[64];

	for (unsigned step = 0; step < 6; step++) {
		for (unsigned i = 0; i < n; i++) {
			uint32_t seq = 100 + i, ack = 500 + i, asked, answered;
			struct kit_tcp tx = { .from = client, .to = server, .seq = seq + 1, .ack = ack + 1, .flags = TCP_ACK };
			struct kit_tcp rx = { .from = server, .to = client, .seq = ack + 1, .flags = TCP_ACK };

			(void)snprintf(request, sizeof(request), "GET /%u HTTP/1.1\r\nHost: x\r\n\r\n", i);
			asked = seq + 1 + (uint32_t)strlen(request);
			answered = ack + 1 + (uint32_t)strlen(responses[i % 2]);
			switch (step) {
			case 0:
				tx.seq = seq, tx.ack = 0, tx.flags = TCP_SYN;
				break;
			case 1:
				rx.seq = ack, rx.ack = seq + 1, rx.flags |= TCP_SYN;
				break;
			case 2:
				tx.payload = request;
				break;
			case 3:
				rx.ack = asked, rx.payload = responses[i % 2];
				break;
			case 4:
				tx.seq = asked, tx.ack = answered, tx.flags |= TCP_FIN;
				break;
			case 5:
				rx.seq = answered, rx.ack = asked + 1, rx.flags |= TCP_FIN;
				break;
			}
			segment_in(kit, step % 2 ? &back[i] : &there[i], step % 2 ? &rx : &tx);
		}
	}
	tracker_end(kit->tracker);
}

static const struct flow_row *only_flow(const struct tkit *kit)
{
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	CHECK_U64(tkit_call(kit, 0)->status, 200);
	CHECK_U64(tkit_flow(kit, 0)->tx_packets, 3);
	CHECK_U64(tkit_flow(kit, 0)->rx_packets, 3);
	return tkit_flow(kit, 0);
}

static void check_ip(const struct ip *ip, const char *want)
{
	char text[IP_TEXT_LEN];

	ip_format(ip, text);
	CHECK_STR(text, want);
}

/* ---- networks ---- */

/* Two tenants with the same addresses and ports at the same time, sequence numbers within one window. */
TEST(carrier, tells_tenants_apart)
{
	static const struct carried there[] = { { .from = "192.0.2.1", .to = "192.0.2.2", .port = 50001, .to_port = 4789, .id = 5 },
						{ .from = "192.0.2.1", .to = "192.0.2.2", .port = 50001, .to_port = 4789, .id = 6 } },
				    back[] = { { .from = "192.0.2.2", .to = "192.0.2.1", .port = 50002, .to_port = 4789, .id = 5 },
					       { .from = "192.0.2.2", .to = "192.0.2.1", .port = 50002, .to_port = 4789, .id = 6 } };
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	exchange(kit, there, back, 2);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct flow_row *row = tkit_flow(kit, i);
		const struct call_row *call = tkit_call(kit, i);
		char path[8];

		CHECK_U64(row->tunnel, TUNNEL_vxlan);
		CHECK_U64(row->tunnel_id, 5 + i);
		CHECK_NOT(ROW_HAS(FLOW, row, rx_tunnel_id));
		CHECK_NOT(ROW_HAS(FLOW, row, vlan));
		check_ip(&row->tunnel_src_ip, "192.0.2.1");
		check_ip(&row->tunnel_dst_ip, "192.0.2.2");
		CHECK_U64(row->tunnel_src_port, 50001);
		CHECK_U64(row->tunnel_dst_port, 4789);
		CHECK_U64(row->rx_tunnel_src_port, 50002);
		CHECK_U64(row->rx_tunnel_dst_port, 4789);
		CHECK_U64(row->tx_packets, 3);
		CHECK_U64(row->rx_packets, 3);
		CHECK_U64(row->completeness, 31);
		CHECK_U64(row->tx_retransmits + row->rx_retransmits + row->tx_out_of_order + row->rx_out_of_order, 0);
		(void)snprintf(path, sizeof(path), "/%u", i);
		CHECK_VIEW(call->target, path);
		CHECK_U64(call->status, i ? 404 : 200);
		CHECK_U64(call->flow_id, row->id);
	}
	tkit_release(kit);
}

/* Routed between two networks, each side's packets are in the other side's one: asymmetrical IRB. */
TEST(carrier, takes_both_sides_of_an_asymmetrical_route_for_one_flow)
{
	static const struct carried there = { .from = "192.0.2.1", .to = "192.0.2.2", .port = 50001, .to_port = 4789, .id = 10 },
				    back = { .from = "192.0.2.2", .to = "192.0.2.1", .port = 50002, .to_port = 4789, .id = 11 };
	static const struct carried tagged = { .vlan = 7 }, bare = { 0 };
	struct tkit kit_, *kit = &kit_;
	const struct flow_row *row;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	exchange(kit, &there, &back, 1);
	row = only_flow(kit);
	CHECK_U64(row->tunnel_id, 10);
	CHECK_U64(row->rx_tunnel_id, 11);
	tkit_release(kit);
	/* a mirror that leaves out the tag in one direction */
	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	exchange(kit, &tagged, &bare, 1);
	row = only_flow(kit);
	CHECK_U64(row->vlan, 7);
	CHECK(ROW_HAS(FLOW, row, rx_vlan));
	CHECK_U64(row->rx_vlan, 0);
	tkit_release(kit);
	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	exchange(kit, &bare, &tagged, 1);
	row = only_flow(kit);
	CHECK(ROW_HAS(FLOW, row, vlan));
	CHECK_U64(row->vlan, 0);
	CHECK_U64(row->rx_vlan, 7);
	tkit_release(kit);
}

/* The answer goes to who asked in its network, not to the newest that waits. */
TEST(carrier, prefers_the_flow_whose_other_side_is_in_the_same_network)
{
	static const struct carried there[] = { { .vlan = 1 }, { .vlan = 2 }, { .vlan = 3, .inner_vlan = 9 } };
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	exchange(kit, there, there, 3);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 3);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		CHECK_U64(row->vlan, i + 1);
		CHECK_EQ(ROW_HAS(FLOW, row, inner_vlan), i == 2);
		CHECK_NOT(ROW_HAS(FLOW, row, rx_vlan));
		CHECK_NOT(ROW_HAS(FLOW, row, tunnel));
		CHECK_U64(row->completeness, 31);
		CHECK_U64(row->tx_packets, 3);
		CHECK_U64(row->rx_packets, 3);
	}
	CHECK_U64(tkit_flow(kit, 2)->inner_vlan, 9);
	tkit_release(kit);
}

/* A handover: other tunnel, other base station, the same connection. The last one is told. */
TEST(carrier, follows_a_flow_from_tunnel_to_tunnel)
{
	static const struct carried cells[] = {
		{ .from = "192.0.2.1", .to = "192.0.2.9", .port = 2152, .to_port = 2152, .id = 100 },
		{ .vlan = 4, .from = "192.0.2.2", .to = "192.0.2.9", .port = 2152, .to_port = 2152, .id = 101 } };
	static const struct carried core = { .from = "192.0.2.9", .to = "192.0.2.1", .port = 2152, .to_port = 2152, .id = 900 };
	struct tkit kit_, *kit = &kit_;
	const struct flow_row *row;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	segment_in(kit, &cells[0], &(struct kit_tcp){ client, server, TCP_SYN, 100, 0, NULL, 0 });
	segment_in(kit, &core, &(struct kit_tcp){ server, client, TCP_SYN | TCP_ACK, 500, 101, NULL, 0 });
	segment_in(kit, &cells[0], &(struct kit_tcp){ client, server, TCP_ACK, 101, 501, "abc", 0 });
	segment_in(kit, &cells[1], &(struct kit_tcp){ client, server, TCP_ACK, 104, 501, "def", 0 });
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	row = tkit_flow(kit, 0);
	CHECK_U64(row->tunnel, TUNNEL_gtp);
	CHECK_U64(row->tunnel_id, 101);
	CHECK_U64(row->rx_tunnel_id, 900);
	CHECK_U64(row->vlan, 4);
	check_ip(&row->tunnel_src_ip, "192.0.2.2");
	CHECK_U64(row->tunnel_src_port, 2152);
	CHECK_NOT(ROW_HAS(FLOW, row, rx_tunnel_src_port));
	CHECK_U64(row->tx_goodput_bytes, 6);
	tkit_release(kit);
}

/* A load balancer hands requests on in a tunnel, answers go straight to the client. */
TEST(carrier, knows_a_tunnel_of_one_direction)
{
	static const struct carried in = { .from = "192.0.2.1", .to = "192.0.2.2" }, bare = { 0 };
	struct tkit kit_, *kit = &kit_;
	const struct flow_row *row;

	for (unsigned turn = 0; turn < 2; turn++) {
		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		exchange(kit, turn ? &bare : &in, turn ? &in : &bare, 1);
		row = only_flow(kit);
		CHECK_U64(row->tunnel, TUNNEL_ipip);
		CHECK_NOT(ROW_HAS(FLOW, row, tunnel_id));
		CHECK_NOT(ROW_HAS(FLOW, row, tunnel_src_port));
		CHECK_NOT(ROW_HAS(FLOW, row, vlan));
		/* the end on the source's side is the source's, whoever was heard */
		check_ip(&row->tunnel_src_ip, turn ? "192.0.2.2" : "192.0.2.1");
		tkit_release(kit);
	}
}

/* Ids are free to choose: what shares one chain must stay short, and nothing is lost. */
TEST(carrier, bounds_the_networks_of_one_pair_of_ends)
{
	enum { FLOOD = 5000 };
	struct tkit kit_, *kit = &kit_;
	uint64_t packets = 0;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	for (unsigned i = 0; i < FLOOD; i++) {
		kit_udp_frame(&kit->frame, client, server, VIEW_LIT("x"));
		send_in(kit, &(struct carried){ .from = "192.0.2.1", .to = "192.0.2.2", .port = 9, .to_port = 4789, .id = i });
	}
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 64);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++)
		packets += tkit_flow(kit, i)->tx_packets;
	CHECK_U64(packets, FLOOD);
	tkit_release(kit);
}

/* ---- what quotes, and what is in pieces ---- */

TEST(carrier, gives_an_icmp_error_to_the_flow_of_its_network)
{
	struct tkit kit_, *kit = &kit_;
	unsigned told = 0;
	struct wr sent;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&sent, 0);
	kit_udp_frame(&sent, client, server, VIEW_LIT("0123456789"));
	for (unsigned vlan = 10; vlan < 14; vlan++) {
		wr_reset(&kit->frame);
		wr_bytes(&kit->frame, wr_view(&sent));
		send_in(kit, &(struct carried){ .vlan = vlan });
	}
	for (unsigned vlan = 11; vlan < 21; vlan += 9) {	/* 20: a router's own network; somebody must be told */
		kit_ip_header(&kit->frame, 8 + 28, 1, "10.0.0.9", client.ip);
		hex(&kit->frame, "0301 0000 00000000");
		wr_bytes(&kit->frame, view_make(sent.at, 28));
		send_in(kit, &(struct carried){ .vlan = vlan });
	}
	tracker_end(kit->tracker);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		if (row->proto != PROTO_udp || !ROW_HAS(FLOW, row, icmp_unreachable))
			continue;
		told += row->icmp_unreachable;
		CHECK(row->vlan == 11 || told <= 2);
	}
	CHECK_U64(told, 2);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++)
		if (tkit_flow(kit, i)->vlan == 11 && tkit_flow(kit, i)->proto == PROTO_udp)
			CHECK(ROW_HAS(FLOW, tkit_flow(kit, i), icmp_unreachable));
	wr_release(&sent);
	tkit_release(kit);
}

/* Two tenants send fragments with the same addresses and identifier at once: no datagram is made of both. */
TEST(carrier, puts_fragments_together_by_network)
{
	struct tkit kit_, *kit = &kit_;
	struct wr datagram;
	char payload[64];

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&datagram, 0);
	for (unsigned piece = 0; piece < 2; piece++) {
		for (unsigned tenant = 0; tenant < 2; tenant++) {
			size_t from = piece ? 24 : 0, to = piece ? 8 + sizeof(payload) : 24;
			struct carried in = { .from = "192.0.2.1", .to = "192.0.2.2", .port = 9, .to_port = 4789, .id = tenant };

			memset(payload, 'a' + (int)tenant, sizeof(payload));
			kit_udp_frame(&datagram, (struct kit_end){ client.ip, (uint16_t)(20000 + tenant) }, server,
				      view_make(payload, sizeof(payload)));
			wr_reset(&kit->frame);
			wr_bytes(&kit->frame, view_make(datagram.at, 20));
			wr_bytes(&kit->frame, view_make(datagram.at + 20 + from, to - from));
			kit->frame.at[3] = (uint8_t)(20 + to - from);
			kit->frame.at[5] = 7;
			kit->frame.at[6] = piece ? 0 : 0x20;
			kit->frame.at[7] = (uint8_t)(from / 8);
			send_in(kit, &in);
		}
	}
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		CHECK_U64(row->src_port, 20000 + row->tunnel_id);
		CHECK_U64(row->tunnel, TUNNEL_vxlan);
		CHECK_U64(row->tx_packets, 2);
		CHECK_U64(row->tx_fragments, 2);
		CHECK_U64(row->broken_datagrams, 0);
		CHECK_U64(row->fragment_overlaps, 0);
		CHECK_U64(row->tx_goodput_bytes, sizeof(payload));
	}
	wr_release(&datagram);
	tkit_release(kit);
}

/* ---- real ones, as asked for ---- */

static bool add_packets(void *arg, const struct table *table, const void *at)
{
	const struct flow_row *row = at;

	(void)table;
	*(uint64_t *)arg += row->tx_packets + row->rx_packets;
	return true;
}

static bool count(void *arg, const struct table *table, const void *at)
{
	(void)table;
	(void)at;
	++*(uint64_t *)arg;
	return true;
}

/* Counts as `tshark -Y` gives them; of GTP-U two more frames are second fragments, which tshark shows whole. */
TEST(carrier, of_real_flows_can_be_asked_for)
{
	static const struct {
		const char *file, *filter, *packets_filter;	/* of flows; of packets, NULL: the same */
		uint64_t packets;
	} cases[] = {
		{ "vxlan.pcap", "vni == 1111", NULL, 127 },
		{ "vxlan.pcap", "vxlan && vlan == 5 && tunnel.src.ip == 192.168.22.4 && tunnel.dst.port == 4789",
		  "vxlan && vlan.id == 5", 127 },
		{ "vxlan.pcap", "vxlan.vni == 1112 || geneve", NULL, 0 },
		{ "tcpdump-geneve.pcap", "geneve && tunnel.id in (10, 11)", NULL, 39 },
		{ "gtp1_gn_normal_incl_fragmentation.pcap", "gtp.teid == 0x8c61be36 && rx_tunnel.id == 0xb2b7", "", 108 },
		{ "vlan-qinqinq.pcap", "vlan == 30 && vlan.inner == 10", NULL, 14 },
		{ "mixed-vlan-mpls.pcap", "mpls.label == 29", "", 11 },
		{ "mixed-vlan-mpls.pcap", "vlan.id == 4093", NULL, 14 },
		{ "4in6.pcap", "tunnel == ipip && tunnel.src.ip == 2002:4637:d5d3::4637:d5d3", NULL, 1 },
	};
	const char *captures = check_need_captures(), *dir = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool again = i && strcmp(cases[i].file, cases[i - 1].file) == 0;
		struct import_opts import = { .paths_count = 1 };
		const char *paths[1];
		struct query_opts opts = { .filter = view_str(cases[i].filter) };
		struct query_rows flows = { .table = TABLE_FLOWS }, packets = { .table = TABLE_PACKETS, .limit = 1000 };
		struct import_totals totals;
		struct query_stats stats;
		uint64_t in_flows = 0, seen = 0;
		struct store *store = NULL;
		struct arena arena;
		struct view cursor;
		struct err err = { 0 };
		char path[1024];

		(void)snprintf(path, sizeof(path), "%s/link/%s", captures, cases[i].file);
		if (!again) {
			paths[0] = path;
			import.paths = paths;
			import.data_dir = dir = check_tmpdir();
			import.no_seal = i % 2;
			CHECK_OK(import_run(&import, &totals, &err), err);
		}
		arena_init(&arena, 0);
		CHECK_OK(store_open(dir, &store, &err), err);
		CHECK_OK(query_rows(store, &opts, &flows, add_packets, &in_flows, &arena, &stats, &cursor, &err), err);
		CHECK_EQ(in_flows, cases[i].packets, "%s: %llu packets of flows with %s", cases[i].file,
			 (unsigned long long)in_flows, cases[i].filter);
		if (!cases[i].packets_filter || *cases[i].packets_filter) {
			if (cases[i].packets_filter)
				opts.filter = view_str(cases[i].packets_filter);
			CHECK_OK(query_rows(store, &opts, &packets, count, &seen, &arena, &stats, &cursor, &err), err);
			CHECK_EQ(seen, cases[i].packets, "%s: %llu packets with %s", cases[i].file,
				 (unsigned long long)seen, cases[i].filter);
		}
		arena_release(&arena);
		store_close(store);
	}
}
