/*
 * Real captures against tshark's answers: $CAPTURES/truth says what each TCP stream was. Prints a
 * table of equal / compared per field, and holds the rates that were reached. Classic pcap only.
 * TRUTH_SHOW=field lists the streams that differ in it.
 */
#include <ftw.h>

#include "base/hash.h"
#include "base/rd.h"
#include "tests/check.h"
#include "wire/fragment.h"
#include "wire/tcp.h"

#define STREAMS_MAX 8192
#define BUCKETS 16384

struct stream_row {
	struct ip ip[2];
	uint16_t port[2];
	uint32_t occurrence;		/* n-th connection of these four, as truth lists them */
	int next;			/* in its bucket */
	uint8_t proto;			/* 6 or 17 */
	uint64_t packets[2], payload[2];
	unsigned fast[2], spurious[2];
	struct tcp_conn conn;
};

struct table {
	struct fragments *fragments;
	struct tcp_pool *tcp;
	struct stream_row *rows;
	int count;
	int buckets[BUCKETS];
};

enum field {
	F_PACKETS, F_PAYLOAD, F_COMPLETENESS, F_HANDSHAKE, F_RETX_OOO, F_RETX, F_OOO, F_FAST, F_SPUR, F_RETX_BYTES,
	F_LOST, F_ACKLOST, F_ZWIN, F_WINFULL, F_ZPROBE, F_DUPACK, F_KEEPALIVE, F_RST, F_FIN, F_RTT, F_RTT_MIN, F_UDP, F_COUNT
};
static const char *const field_names[F_COUNT] = {
	"packets", "payload", "completeness", "handshake", "retx+ooo", "retx", "ooo", "fast", "spur", "retx bytes",
	"lost", "acklost", "zwin", "winfull", "zprobe", "dupack", "keepalive", "rst", "fin", "rtt_seen", "rtt_min", "udp packets",
};
/* Streams where tshark counts any at all: equality of zeros would hide a field that never counts. */
static struct score {
	unsigned compared, equal, busy, busy_equal;
} scores[F_COUNT];
static unsigned files, frames, frames_ok, streams_missing[2], streams_expected[2];	/* TCP, UDP */
static unsigned statuses[DECODE_STATUS_COUNT];

/* ---- our side ---- */

static struct stream_row *row_of(struct table *table, const struct packet *packet, unsigned *ret_dir)
{
	bool swap = memcmp(packet->src.b, packet->dst.b, 16) > 0 ||
		    (ip_eq(&packet->src, &packet->dst) && packet->sport > packet->dport);
	const struct ip *low = swap ? &packet->dst : &packet->src, *high = swap ? &packet->src : &packet->dst;
	uint16_t low_port = swap ? packet->dport : packet->sport, high_port = swap ? packet->sport : packet->dport;
	uint64_t hash = hash_bytes(low, 16, hash_bytes(high, 16, (uint64_t)packet->proto << 32 | (uint64_t)low_port << 16 | high_port));
	int *bucket = &table->buckets[hash % BUCKETS], i;
	struct stream_row *row;
	uint32_t occurrence = 0;

	for (i = *bucket; i >= 0; i = table->rows[i].next) {
		row = &table->rows[i];
		unsigned dir = !(ip_eq(&row->ip[0], &packet->src) && row->port[0] == packet->sport);

		if (!(row->proto == packet->proto && ip_eq(&row->ip[dir], &packet->src) && row->port[dir] == packet->sport &&
		      ip_eq(&row->ip[!dir], &packet->dst) && row->port[!dir] == packet->dport))
			continue;
		if (packet->has_tcp && tcp_conn_reuses(&row->conn, dir, packet)) {
			occurrence = row->occurrence + 1;
			break;
		}
		*ret_dir = dir;
		return row;
	}
	CHECK_LT(table->count, STREAMS_MAX);
	row = &table->rows[table->count];
	memset(row, 0, sizeof(*row));
	row->proto = packet->proto;
	row->ip[0] = packet->src;
	row->ip[1] = packet->dst;
	row->port[0] = packet->sport;
	row->port[1] = packet->dport;
	row->occurrence = occurrence;
	tcp_conn_init(&row->conn, table->tcp);
	row->next = *bucket;
	*bucket = table->count++;
	*ret_dir = 0;
	return row;
}

/* tshark counts a fragmented datagram as one packet, at its last fragment. */
static void frame(struct table *table, struct packet *packet)
{
	struct fragment_seen seen;
	struct stream_row *row;
	unsigned dir;

	frames++;
	statuses[decode_frame(packet)]++;
	frames_ok += packet->status == DECODE_OK;
	if (packet->in_fragments) {
		fragments_tick(table->fragments, packet->time_ns);
		if (fragments_add(table->fragments, packet, &seen) < 0 || !seen.whole)
			return;
		*packet = *seen.whole;
	}
	if (!packet->has_tcp && !(packet->has_ports && packet->proto == 17))
		return;
	row = row_of(table, packet, &dir);
	row->packets[dir]++;
	row->payload[dir] += packet->payload_len;
	if (packet->has_tcp) {
		unsigned bits = tcp_conn_packet(&row->conn, dir, packet);

		row->fast[dir] += (bits & TCP_SEG_FAST) != 0;
		row->spurious[dir] += (bits & TCP_SEG_SPURIOUS) != 0;
	}
}

static uint32_t u32(struct rd *rd, bool big)
{
	return big ? rd_u32be(rd) : rd_u32le(rd);
}

/* False when it is no classic pcap file. */
static bool read_pcap(struct view bytes, struct table *table)
{
	struct rd rd = rd_make(bytes);
	uint32_t magic = rd_u32le(&rd);
	bool big = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	bool nano = magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
	uint16_t link, minor;

	if (!big && !nano && magic != 0xa1b2c3d4)
		return false;
	rd_skip(&rd, 2);
	minor = big ? rd_u16be(&rd) : rd_u16le(&rd);
	rd_skip(&rd, 12);
	link = (uint16_t)u32(&rd, big);
	for (;;) {
		struct packet packet = { .link = link, .segments = 1 };
		uint64_t sec = u32(&rd, big), frac = u32(&rd, big);
		uint32_t len = u32(&rd, big);

		packet.orig_len = u32(&rd, big);
		/* before version 2.3 the two lengths stood the other way round */
		if (minor < 3) {
			uint32_t other = len;

			len = packet.orig_len;
			packet.orig_len = other;
		}
		packet.time_ns = sec * 1000000000ull + (nano ? frac : frac * 1000);
		packet.frame = rd_bytes(&rd, len);
		if (rd.bad)
			break;
		frame(table, &packet);
	}
	return true;
}

/* ---- tshark's side ---- */

struct truth {
	bool tcp;			/* else UDP: ends and packets only */
	struct ip ip[2];
	uint16_t port[2];
	uint64_t packets[2], payload[2], retx_bytes[2];
	unsigned completeness;
	bool has_irtt;
	uint64_t irtt_ns;
	unsigned rtt_count;
	uint64_t rtt_min_ns, rtt_max_ns;
	unsigned event[32][2];
};
enum { EV_RETX, EV_FAST, EV_SPUR, EV_OOO, EV_LOST, EV_ACKLOST, EV_ZWIN, EV_WINFULL, EV_ZPROBE, EV_DUPACK, EV_KA, EV_RST,
       EV_FIN, EV_COUNT };
static const char *const event_names[EV_COUNT] = { "retx", "fast", "spur", "ooo", "lost", "acklost", "zwin", "winfull",
						   "zprobe", "dupack", "ka", "rst", "fin" };

/* The digits a text begins with. */
static uint64_t number(const char *text)
{
	uint64_t value = 0;

	(void)view_u64(view_make(text, strspn(text, "0123456789")), UINT64_MAX, &value);
	return value;
}

/* "0.020000000": nanoseconds stand behind the point. */
static uint64_t seconds(const char *text)
{
	const char *dot = text + strspn(text, "0123456789");

	return number(text) * 1000000000ull + (*dot == '.' ? number(dot + 1) : 0);
}

static bool parse_truth(char *line, struct truth *ret_truth)
{
	struct truth t = { .tcp = line[0] == 't' };
	char *columns[20], *save = NULL, *word;
	unsigned n = 0, e;

	for (word = strtok_r(line, "\t\n", &save); word && n < 20; word = strtok_r(NULL, "\t\n", &save))
		columns[n++] = word;
	if (n < (t.tcp ? 20 : 12) || ip_parse(view_str(columns[2]), &t.ip[0], NULL) < 0 ||
	    ip_parse(view_str(columns[4]), &t.ip[1], NULL) < 0)
		return false;
	t.port[0] = (uint16_t)number(columns[3]);
	t.port[1] = (uint16_t)number(columns[5]);
	t.packets[0] = number(columns[6]);
	if (!t.tcp) {
		t.packets[1] = number(columns[8]);
		*ret_truth = t;
		return true;
	}
	t.payload[0] = number(columns[8]);
	t.retx_bytes[0] = number(columns[9]);
	t.packets[1] = number(columns[10]);
	t.payload[1] = number(columns[12]);
	t.retx_bytes[1] = number(columns[13]);
	t.completeness = (unsigned)number(columns[16]);
	t.has_irtt = columns[17][0] != '-';
	if (t.has_irtt)
		t.irtt_ns = seconds(columns[17]);
	t.rtt_count = (unsigned)number(columns[18]);
	word = strchr(columns[18], '/');
	if (word) {	/* n/min/mean/max */
		t.rtt_min_ns = seconds(word + 1);
		t.rtt_max_ns = seconds(strrchr(word, '/') + 1);
	}
	for (word = strtok_r(columns[19], " ", &save); word; word = strtok_r(NULL, " ", &save))
		for (e = 0; e < EV_COUNT; e++) {
			size_t len = strlen(event_names[e]);
			char *plus = strchr(word, '+');

			if (plus && strncmp(word, event_names[e], len) == 0 && word[len] == '=') {
				t.event[e][0] = (unsigned)number(word + len + 1);
				t.event[e][1] = (unsigned)number(plus + 1);
			}
		}
	*ret_truth = t;
	return true;
}

/* ---- comparing ---- */

/* tshark sets bit 4 for a RST-ACK or any lone ACK too; ours needs the SYN-ACK before it. */
static unsigned our_completeness(unsigned theirs)
{
	return theirs & 2 ? theirs : theirs & ~4u;
}

static const char *shown;

static void score(enum field field, const char *file, const struct truth *t, uint64_t got, uint64_t want, bool busy)
{
	bool equal = got == want;

	scores[field].compared++;
	scores[field].equal += equal;
	scores[field].busy += busy;
	scores[field].busy_equal += busy && equal;
	if (!equal && shown && strcmp(shown, field_names[field]) == 0) {
		char a[IP_TEXT_LEN], b[IP_TEXT_LEN];

		ip_format(&t->ip[0], a);
		ip_format(&t->ip[1], b);
		printf("  %s: %s:%u %s:%u: %" PRIu64 ", tshark %" PRIu64 "\n", file, a, t->port[0], b, t->port[1],
		       got, want);
	}
}

static void score_pair(enum field field, const char *file, const struct truth *t, uint32_t got_a, uint32_t got_b,
		       const unsigned want[2])
{
	score(field, file, t, (uint64_t)got_a << 32 | got_b, (uint64_t)want[0] << 32 | want[1],
	      want[0] || want[1] || got_a || got_b);
}

static void compare(const char *file, const struct truth *t, const struct stream_row *row)
{
	const struct tcp_conn *conn = &row->conn;
	const struct tcp_dir *tx = &conn->dir[0], *rx = &conn->dir[1];
	const struct tcp_trouble *a = tcp_trouble(tx), *b = tcp_trouble(rx);
	unsigned both[2] = { t->event[EV_RETX][0] + t->event[EV_OOO][0],
			     t->event[EV_RETX][1] + t->event[EV_OOO][1] };

	if (!t->tcp) {
		score(F_UDP, file, t, row->packets[0] << 32 | row->packets[1],
		      t->packets[0] << 32 | t->packets[1], true);
		return;
	}
	score(F_PACKETS, file, t, row->packets[0] << 32 | row->packets[1], t->packets[0] << 32 | t->packets[1], true);
	score(F_PAYLOAD, file, t, row->payload[0] << 32 | row->payload[1], t->payload[0] << 32 | t->payload[1],
	      t->payload[0] || t->payload[1]);
	/* 0: tshark has no opinion, of a connection of which it saw a single packet */
	if (t->completeness)
		score(F_COMPLETENESS, file, t, conn->completeness, our_completeness(t->completeness), true);
	/*
	 * tshark takes a RST for the ACK, of a repeated SYN the last, and looks on for a later ACK
	 * when a coarse clock makes it 0: none of that is the handshake's time.
	 */
	if (t->has_irtt && (t->completeness & 7) == 7 && !conn->ambiguous && conn->ack_ns != conn->syn_ns)
		score(F_HANDSHAKE, file, t, conn->ack_ns ? conn->ack_ns - conn->syn_ns : 0, t->irtt_ns, true);
	score_pair(F_RETX_OOO, file, t, a->retransmits + a->out_of_order, b->retransmits + b->out_of_order, both);
	score_pair(F_RETX, file, t, a->retransmits, b->retransmits, t->event[EV_RETX]);
	score_pair(F_OOO, file, t, a->out_of_order, b->out_of_order, t->event[EV_OOO]);
	score_pair(F_FAST, file, t, row->fast[0], row->fast[1], t->event[EV_FAST]);
	score_pair(F_SPUR, file, t, row->spurious[0], row->spurious[1], t->event[EV_SPUR]);
	score(F_RETX_BYTES, file, t, a->retransmit_bytes << 32 | b->retransmit_bytes, t->retx_bytes[0] << 32 | t->retx_bytes[1],
	      t->retx_bytes[0] || t->retx_bytes[1]);
	score_pair(F_LOST, file, t, a->gaps, b->gaps, t->event[EV_LOST]);
	score_pair(F_ACKLOST, file, t, a->unseen_acks, b->unseen_acks, t->event[EV_ACKLOST]);
	score_pair(F_WINFULL, file, t, a->window_fulls, b->window_fulls, t->event[EV_WINFULL]);
	score_pair(F_ZPROBE, file, t, a->window_probes, b->window_probes, t->event[EV_ZPROBE]);
	score_pair(F_ZWIN, file, t, a->zero_windows, b->zero_windows, t->event[EV_ZWIN]);
	score_pair(F_DUPACK, file, t, a->dup_acks, b->dup_acks, t->event[EV_DUPACK]);
	score_pair(F_KEEPALIVE, file, t, a->keepalives, b->keepalives, t->event[EV_KA]);
	score_pair(F_RST, file, t, tx->resets, rx->resets, t->event[EV_RST]);
	score_pair(F_FIN, file, t, tx->fins, rx->fins, t->event[EV_FIN]);
	/* tshark times every segment incl. SYN and FIN, we time one in flight: only whether there is any */
	if ((tx->goodput_bytes || rx->goodput_bytes) && (conn->completeness & 7) == 7 && t->rtt_count > 4)
		score(F_RTT, file, t, conn->rtt_samples > 0, t->rtt_count > 0, true);
	/* an ACK of several segments: tshark times the last of them, we the first: never less, and within what it saw */
	if (conn->rtt_samples && t->rtt_count)
		score(F_RTT_MIN, file, t, conn->rtt_min_ns >= t->rtt_min_ns && conn->rtt_min_ns <= t->rtt_max_ns, 1, true);
}

static bool same_ends(const struct stream_row *row, const struct truth *t)
{
	return (row->proto == 6) == t->tcp && ip_eq(&row->ip[0], &t->ip[0]) && ip_eq(&row->ip[1], &t->ip[1]) && row->port[0] == t->port[0] &&
	       row->port[1] == t->port[1];
}

/* Truth lists streams in the order of their first packet, as our table does. */
static void compare_file(const char *file, FILE *in, struct table *table)
{
	bool *used = calloc((size_t)table->count + 1, 1);
	char *line = NULL;
	size_t cap = 0;
	struct truth t;
	int i;

	while (getline(&line, &cap, in) > 0) {
		if ((strncmp(line, "tcp\t", 4) != 0 && strncmp(line, "udp\t", 4) != 0) || !parse_truth(line, &t))
			continue;
		streams_expected[!t.tcp]++;
		for (i = 0; i < table->count; i++)
			if (!used[i] && same_ends(&table->rows[i], &t))
				break;
		if (i == table->count) {
			streams_missing[!t.tcp]++;
			if (shown && strcmp(shown, "missing") == 0)
				printf("  %s: no %s stream of ports %u %u\n", file, t.tcp ? "TCP" : "UDP",
				       t.port[0], t.port[1]);
			continue;
		}
		used[i] = true;
		compare(file, &t, &table->rows[i]);
	}
	free(line);
	free(used);
}

static struct table table;
static size_t captures_len;

static void fragment_waited(void *arg, const struct packet *head, const void *note)
{
	(void)arg;
	(void)head;
	(void)note;
}

static void fragment_broken(void *arg, enum fragment_end why, unsigned pieces, const struct packet *head,
			    const struct packet *prefix)
{
	(void)arg;
	(void)why;
	(void)pieces;
	(void)head;
	(void)prefix;
}

static int one_capture(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const char *name = path + captures_len + 1;
	char truth_path[1024];
	struct view bytes = { 0 };
	uint8_t *at = NULL;
	FILE *in;

	(void)ftw;
	if (kind != FTW_F || strncmp(name, "truth/", 6) == 0)
		return 0;
	(void)snprintf(truth_path, sizeof(truth_path), "%.*s/truth/%s.tsv", (int)captures_len, path, name);
	in = fopen(path, "rb");
	CHECK(in != NULL);
	at = malloc((size_t)st->st_size + 1);
	bytes = view_make(at, fread(at, 1, (size_t)st->st_size, in));
	(void)fclose(in);
	table.count = 0;
	table.fragments = fragments_new(&(struct fragments_opts){ .sink = { fragment_waited, fragment_broken, NULL } });
	table.tcp = tcp_pool_new();
	CHECK(table.fragments != NULL && table.tcp != NULL);
	memset(table.buckets, -1, sizeof(table.buckets));
	in = fopen(truth_path, "r");
	if (in && read_pcap(bytes, &table)) {
		files++;
		compare_file(name, in, &table);
	}
	if (in)
		(void)fclose(in);
	fragments_free(table.fragments);
	tcp_pool_free(table.tcp);
	free(at);
	return 0;
}

/*
 * What was reached, a little below: per mille of all streams, and of those
 * where either side counts any. The rest: of "acklost" tshark counts each ACK beyond what was captured until
 * the next segment, we each number once, so it has no floor; payload already seen and sent again in other pieces within a round trip is a retransmission to us, out of order to tshark.
 */
static const struct {
	enum field field;
	unsigned all, busy;
} floors[] = {
	{ F_PACKETS, 999, 999 },   { F_PAYLOAD, 999, 998 },   { F_COMPLETENESS, 999, 999 },
	{ F_HANDSHAKE, 998, 998 }, { F_RETX_OOO, 999, 992 },  { F_RETX, 997, 970 },
	{ F_OOO, 998, 740 },	   { F_FAST, 1000, 1000 },    { F_SPUR, 999, 890 },
	{ F_RETX_BYTES, 997, 770 }, { F_LOST, 999, 970 },     { F_ZWIN, 1000, 1000 },
	{ F_WINFULL, 1000, 1000 }, { F_ZPROBE, 1000, 1000 },  { F_DUPACK, 1000, 1000 },
	{ F_KEEPALIVE, 1000, 1000 }, { F_RST, 1000, 1000 },   { F_FIN, 1000, 1000 },
	{ F_RTT, 992, 992 },	   { F_RTT_MIN, 968, 968 },   { F_UDP, 998, 998 },
};

TEST(tcp, agrees_with_tshark_on_real_captures, .timeout = 60)
{
	const char *folder = check_need_captures();
	unsigned i;

	shown = getenv("TRUTH_SHOW");
	captures_len = strlen(folder);
	table.rows = calloc(STREAMS_MAX, sizeof(table.rows[0]));
	CHECK(table.rows != NULL);
	CHECK_EQ(nftw(folder, one_capture, 16, FTW_PHYS), 0);
	free(table.rows);
	table.rows = NULL;
	if (files == 0)
		SKIP("no captures with truth files");
	printf("tcp truth: %u files, %u frames, %u decoded; not found: %u of %u TCP streams, %u of %u UDP\n",
	       files, frames, frames_ok, streams_missing[0], streams_expected[0], streams_missing[1],
	       streams_expected[1]);
	for (i = 0; i < DECODE_STATUS_COUNT; i++)
		if (statuses[i])
			printf("tcp truth: decode %-14s %u\n", decode_status_name(i), statuses[i]);
	for (i = 0; i < F_COUNT; i++)
		printf("tcp truth: %-12s %5u of %5u equal (%.2f %%); where there is any: %u of %u (%.1f %%)\n",
		       field_names[i], scores[i].equal, scores[i].compared,
		       scores[i].compared ? 100.0 * scores[i].equal / scores[i].compared : 0, scores[i].busy_equal,
		       scores[i].busy, scores[i].busy ? 100.0 * scores[i].busy_equal / scores[i].busy : 0);
	(void)fflush(stdout);
	CHECK(frames_ok * 1000ull >= frames * 997ull);
	CHECK(streams_missing[0] * 1000ull <= streams_expected[0]);
	/* the carriers of tunnels are streams to tshark, to us the flow inside is */
	CHECK(streams_missing[1] * 100ull <= streams_expected[1] * 3ull);
	for (i = 0; i < sizeof(floors) / sizeof(floors[0]); i++) {
		const struct score *s = &scores[floors[i].field];

		CHECK(s->equal * 1000ull >= (uint64_t)floors[i].all * s->compared, "%s", field_names[floors[i].field]);
		CHECK(s->busy_equal * 1000ull >= (uint64_t)floors[i].busy * s->busy, "%s",
		      field_names[floors[i].field]);
	}
}
