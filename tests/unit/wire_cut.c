/*
 * Where a segment ends means nothing: every flow of the real captures, cut at every
 * byte, gives the calls it gives uncut. And whatever part of a message a dissector
 * is asked about, it answers.
 */
#include "base/json.h"
#include "tests/wire_kit.h"

#define PACKETS_MAX	8192
#ifdef __SANITIZE_THREAD__
#define FLOW_BYTES_MAX	250	/* every access is looked at there, and nothing here has threads */
#define CUTS_MAX	25
#else
#define FLOW_BYTES_MAX	2500	/* what is longer is cut at some bytes only */
#define CUTS_MAX	250
#endif

struct sample {
	struct packet packet;
	unsigned dir, flow;
};

struct samples {
	struct sample *sample;
	unsigned count, flows;
	uint16_t *port;		/* of each flow: destination */
	struct kit_file file;
};

static void samples_read(struct samples *samples, const char *path)
{
	struct kit_flow *flows = mem_array(KIT_FLOWS_MAX, sizeof(*flows));
	struct kit_frame frame;
	struct kit kit;

	samples->sample = mem_array(PACKETS_MAX, sizeof(*samples->sample));
	samples->port = mem_array(KIT_FLOWS_MAX, sizeof(*samples->port));
	samples->count = samples->flows = 0;
	CHECK(flows && samples->sample && samples->port);
	CHECK(kit_file_open(&samples->file, path), "no %s", path);
	kit_init(&kit, &(struct stream_pool_opts){ .dissect_off = true });
	while (samples->count < PACKETS_MAX && kit_file_next(&samples->file, &frame)) {
		struct sample *s = &samples->sample[samples->count];
		struct kit_flow *flow;

		s->packet = (struct packet){ .time_ns = frame.time_ns, .frame = frame.bytes,
					     .orig_len = frame.orig_len, .link = frame.link, .segments = 1 };
		(void)decode_frame(&s->packet);
		if (!s->packet.ip_version || !s->packet.has_tcp)
			continue;
		flow = kit_find_flow(&kit, flows, &samples->flows, &s->packet, &s->dir);
		if (!flow)
			break;
		s->flow = (unsigned)(flow - flows);
		samples->port[s->flow] = flow->b_port;
		samples->count++;
	}
	for (unsigned i = 0; i < samples->flows; i++)
		stream_free(flows[i].stream, CALL_END_closed);
	kit_release(&kit);
	mem_free(flows);
}

static void samples_release(struct samples *samples)
{
	mem_free(samples->sample);
	mem_free(samples->port);
	mem_free((void *)(uintptr_t)samples->file.all.at);
}

/* One flow, with the packet that holds byte number cut of its payload in two there. */
static void run_cut(const struct samples *samples, unsigned flow, uint64_t cut, struct wr *ret_lines)
{
	struct kit kit;
	uint64_t before = 0;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, samples->port[flow]);
	for (unsigned i = 0; i < samples->count; i++) {
		const struct sample *s = &samples->sample[i];
		struct packet a = s->packet, b = s->packet;
		uint64_t len = s->packet.payload.len;

		if (s->flow != flow)
			continue;
		if (cut > before && cut < before + len) {
			size_t n = (size_t)(cut - before);

			a.payload.len = n;
			a.payload_len = (uint32_t)n;
			a.flags &= (uint16_t)~TCP_FIN;
			b.payload = view_sub(b.payload, n, b.payload.len);
			b.payload_len -= (uint32_t)n;
			b.flags &= (uint16_t)~TCP_SYN;
			b.seq += (uint32_t)n + !!(a.flags & TCP_SYN);
			stream_packet(kit.stream, s->dir, &a);
		}
		stream_packet(kit.stream, s->dir, &b);
		before += len;
	}
	kit_end(&kit, CALL_END_closed);
	(void)kit_lines(&kit, ret_lines);
	kit_release(&kit);
}

static void cut_flow(const char *path, const struct samples *samples, unsigned flow)
{
	struct wr want, got;
	uint64_t bytes = 0, step;

	for (unsigned i = 0; i < samples->count; i++)
		bytes += samples->sample[i].flow == flow ? samples->sample[i].packet.payload.len : 0;
	if (!bytes)
		return;
	step = bytes > FLOW_BYTES_MAX ? bytes / CUTS_MAX | 1 : 1;
	wr_init(&want, 0);
	wr_init(&got, 0);
	run_cut(samples, flow, 0, &want);
	if (want.len > 1) {	/* without any call there is nothing to compare */
		for (uint64_t cut = 1; cut < bytes; cut += step) {
			run_cut(samples, flow, cut, &got);
			CHECK(got.len == want.len && memcmp(got.at, want.at, got.len) == 0,
			      "%s, flow %u cut at byte %" PRIu64 ":\n%snot\n%s", path, flow, cut,
			      (const char *)got.at, (const char *)want.at);
		}
	}
	wr_release(&want);
	wr_release(&got);
}

TEST(cut, calls_do_not_depend_on_segments, .timeout = 120)
{
	static const char *const files[] = {
		"http/docker-http-upgrade.pcap", "http/entity_gap.pcap", "http/get-gzip.pcap",
		"http/http-500-head.pcap", "http/http-content-gzip.pcap", "http/http_asymmetric.pcapng",
		"http/smuggle-http-request.pcap", "http/v6-http.pcap", "dns/dns-tcp-multi.pcap",
		"tcp/tcp-fast-open.pcap", "tcp/miss_end_data.pcap", "websocket/reply-ping-coalesced.pcap",
		"http/pipelined-requests.pcap", "redis/pubsub.pcap", "redis/pipelining-example.pcap", "redis/redis-debug.pcap",
		"postgresql/pgsql.pcap", "postgresql/psql-create-insert-select-delete-drop.pcap",
		"postgresql/pgsql-cancel-request.pcap", "mysql/mysql-error.pcap", "mysql/mysql.pcap",
		"mysql/caching_sha2_password.pcap", "mysql/mysql-statement.pcap", "memcache/memcached.pcap",
		"mongodb/mongo.pcap", "cassandra/cassandra.pcap", "other/mssql_tds.pcap",
		"http2/http2-continuation.pcap", "http2/http2-range.pcap", "http2/free5gc.pcapng", "grpc/grpc.pcap",
		"amqp/amqp-error.pcap", "amqp/amqp1.pcap", "nats/nats-headers.pcap", "nats/nats-err.pcap",
		"ldap/ldap_invalid_credentials.pcap", "ldap/sasl-scram-sha-512.pcap", "ldap/ldap-starttls.pcap",
		"smtp/smtp-bdat-pipeline-8bitmime.pcap", "smtp/smtp-pipelining.pcap", "smtp/smtperr.pcap",
		"tls/smtp-starttls.pcap", "ssh/ssh1-ssh2-fingerprints.pcap", "ssh/server-pre-banner-data.pcap",
		"ssh/ssh_version_199.pcap", "other/ftp-ipv4.pcap", "other/pop3.pcapng",
	};
	const char *captures = check_need_captures();

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct samples samples;
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/%s", captures, files[i]);
		samples_read(&samples, path);
		for (unsigned flow = 0; flow < samples.flows; flow++)
			cut_flow(path, &samples, flow);
		samples_release(&samples);
	}
}

static void ask(const struct proto_ops *ops, struct view bytes, struct wr *out)
{
	uint8_t *copy = mem_dup(bytes.len ? bytes.at : (const uint8_t *)"", bytes.len ? bytes.len : 1);
	struct json json;

	CHECK(copy);
	for (unsigned udp = 0; udp < 2; udp++) {
		struct guess_hint hint = { .proto = udp ? PROTO_udp : PROTO_tcp, .src_port = 53, .dst_port = 80 };

		(void)ops->guess(view_make(copy, bytes.len), &hint);
	}
	wr_reset(out);
	json_init(&json, out, false);
	json_object(&json);
	CHECK_U64(ops->detail(view_make(copy, bytes.len / 2), view_make(copy, bytes.len), 100, &json), 0);
	json_object_end(&json);
	CHECK_NOT(out->bad);
	mem_free(copy);
}

TEST(cut, every_protocol_answers_to_every_piece, .timeout = 120)
{
	static const char *const files[] = {
		"http/get-gzip.pcap", "http/smuggle-http-request.pcap", "dns/dns-tcp-multi.pcap",
		"dns/malformed_dns.pcap", "dns/max-compression-depth.pcap", "dns/dynamic-update.pcap",
		"redis/pipelining-example.pcap", "smtp/smtp-pipelining.pcap", "tls/tls-split-client-hello.pcap",
		"http2/http2-continuation.pcap", "amqp/amqp-error.pcap",
		"nats/nats-headers.pcap",
	};
	const char *captures = check_need_captures();
	struct wr out;

	wr_init(&out, 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct kit_file file;
		struct kit_frame frame;
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/%s", captures, files[i]);
		CHECK(kit_file_open(&file, path), "no %s", path);
		for (unsigned n = 0; n < 12 && kit_file_next(&file, &frame); n++) {
			struct packet packet = { .frame = frame.bytes, .orig_len = frame.orig_len, .link = frame.link };

			(void)decode_frame(&packet);
			for (size_t len = 0; len <= packet.payload.len; len++)
				for (size_t j = 0; protos[j]; j++)
					ask(protos[j], view_sub(packet.payload, 0, len), &out);
		}
		mem_free((void *)(uintptr_t)file.all.at);
	}
	wr_release(&out);
}
