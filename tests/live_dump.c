/*
 * Live capture as JSON lines, for the scenarios: one line a frame (without its
 * bytes, with its addresses and ports) or event, "ready" when everything is
 * attached, and the status as the last line. Ends on SIGINT or SIGTERM.
 *
 * usage: live_dump [--ring BYTES] [--snaplen BYTES] [--second-full 0|1] [--exclude PID]... [--stall MS] [--pcap FILE]
 * --stall leaves the rings alone for so long after "ready".
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/wr.h"
#include "ingest/live.h"

#define EXCLUDES_MAX 16

static volatile sig_atomic_t stopped;

struct dump {
	struct wr out;
	struct json json;
	FILE *pcap;
};

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static void flush(struct dump *dump)
{
	wr_u8(&dump->out, '\n');
	if (dump->out.bad || fwrite(dump->out.at, 1, dump->out.len, stdout) != dump->out.len)
		exit(1);
	wr_reset(&dump->out);
}

static void line_begin(struct dump *dump, const char *what)
{
	json_init(&dump->json, &dump->out, false);
	json_object(&dump->json);
	json_kcstr(&dump->json, "what", what);
}

static void line_end(struct dump *dump)
{
	json_object_end(&dump->json);
	flush(dump);
}

static void put_ip(struct dump *dump, const char *key, const struct ip *ip)
{
	char text[IP_TEXT_LEN];

	(void)ip_format(ip, text);
	json_kcstr(&dump->json, key, text);
}

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_header(struct dump *dump, struct view bytes)
{
	struct ip src, dst;
	size_t ip_len;
	uint8_t proto;

	if (bytes.len < 20)
		return;
	if (bytes.at[0] >> 4 == 4) {
		uint32_t v4;

		memcpy(&v4, bytes.at + 12, 4);
		src = ip_from_v4(v4);
		memcpy(&v4, bytes.at + 16, 4);
		dst = ip_from_v4(v4);
		ip_len = (bytes.at[0] & 15u) * 4u;
		proto = bytes.at[9];
	} else {
		if (bytes.len < 40)
			return;
		memcpy(src.b, bytes.at + 8, 16);
		memcpy(dst.b, bytes.at + 24, 16);
		ip_len = 40;
		proto = bytes.at[6];
	}
	put_ip(dump, "src", &src);
	put_ip(dump, "dst", &dst);
	json_ku64(&dump->json, "proto", proto);
	if ((proto != 6 && proto != 17) || bytes.len < ip_len + 8)
		return;
	json_ku64(&dump->json, "sport", be16(bytes.at + ip_len));
	json_ku64(&dump->json, "dport", be16(bytes.at + ip_len + 2));
	if (proto == 6 && bytes.len >= ip_len + 20)
		json_ku64(&dump->json, "flags", bytes.at[ip_len + 13]);
}

static void put_pcap(struct dump *dump, const struct frame *frame)
{
	struct { uint32_t s, ns, cap, len; } head = {
		(uint32_t)(frame->time_ns / NS_PER_SEC), (uint32_t)(frame->time_ns % NS_PER_SEC),
		(uint32_t)frame->bytes.len, frame->orig_len,
	};

	if (fwrite(&head, sizeof(head), 1, dump->pcap) != 1 ||
	    fwrite(frame->bytes.at, 1, frame->bytes.len, dump->pcap) != frame->bytes.len)
		exit(1);
}

static void on_frame(void *arg, const struct frame *frame)
{
	struct dump *dump = arg;

	line_begin(dump, "frame");
	json_ku64(&dump->json, "time_ns", frame->time_ns);
	json_kcstr(&dump->json, "at", frame->at == FRAME_EGRESS ? "egress" : "ingress");
	json_ku64(&dump->json, "cookie", frame->cookie);
	json_ku64(&dump->json, "netns", frame->netns);
	json_ku64(&dump->json, "len", frame->orig_len);
	json_ku64(&dump->json, "cap", frame->bytes.len);
	json_ku64(&dump->json, "segments", frame->segments);
	json_kbool(&dump->json, "second", frame->second);
	if (frame->lost_before) {
		json_ku64(&dump->json, "lost_before", frame->lost_before);
		json_ku64(&dump->json, "lost_before_bytes", frame->lost_before_bytes);
	}
	if (frame->has_sk_tuple) {
		put_ip(dump, "sk_local", &frame->sk_local);
		put_ip(dump, "sk_remote", &frame->sk_remote);
		json_ku64(&dump->json, "sk_lport", frame->sk_lport);
		json_ku64(&dump->json, "sk_rport", frame->sk_rport);
	}
	put_header(dump, frame->bytes);
	line_end(dump);
	if (dump->pcap)
		put_pcap(dump, frame);
}

static const char *kind_name(enum sock_event_kind kind)
{
	static const char *const names[] = {
		[SOCK_OPEN] = "open", [SOCK_OWNER] = "owner", [SOCK_CONNECT_FAILED] = "connect_failed",
		[SOCK_CLOSE] = "close", [SOCK_RETRANSMIT] = "retransmit", [SOCK_RESET_SENT] = "reset_sent",
		[SOCK_RESET_RECEIVED] = "reset_received", [PROC_EXEC] = "exec", [PROC_EXIT] = "exit",
		[SOURCE_LOST] = "lost",
	};

	return names[kind];
}

static const char *class_name(uint32_t class)
{
	static const char *const names[] = { "other", "fast", "timeout", "tlp", "syn" };

	return class < sizeof(names) / sizeof(names[0]) ? names[class] : "?";
}

static void on_sock(void *arg, const struct sock_event *event)
{
	struct dump *dump = arg;

	bool unheard = event->kind == SOURCE_LOST && event->reason >= SOURCE_LOST_EVENTS;

	line_begin(dump, unheard ? "unheard" : kind_name(event->kind));
	json_ku64(&dump->json, "time_ns", event->time_ns);
	json_ku64(&dump->json, "cookie", event->cookie);
	json_ku64(&dump->json, "proto", event->proto);
	json_kbool(&dump->json, "accepted", event->accepted);
	json_kbool(&dump->json, "existing", event->existing);
	if (event->has_tuple) {
		put_ip(dump, "local", &event->local);
		put_ip(dump, "remote", &event->remote);
		json_ku64(&dump->json, "lport", event->lport);
		json_ku64(&dump->json, "rport", event->rport);
	}
	json_ku64(&dump->json, "pid", event->owner.pid);
	json_ku64(&dump->json, "uid", event->owner.uid);
	json_ku64(&dump->json, "pid_start_ns", event->owner.pid_start_ns);
	json_ku64(&dump->json, "cgroup", event->owner.cgroup);
	json_ku64(&dump->json, "netns", event->owner.netns);
	json_kcstr(&dump->json, "comm", event->owner.comm);
	if (event->kind == SOCK_RETRANSMIT && event->total_retrans)
		json_ku64(&dump->json, "total_retrans", event->total_retrans);
	if (event->kind == SOCK_RETRANSMIT)
		json_kcstr(&dump->json, "class", class_name(event->reason));
	json_ku64(&dump->json, "value", event->value);
	json_ku64(&dump->json, "value2", event->value2);
	if (event->has_tcp) {
		json_ku64(&dump->json, "bytes_acked", event->bytes_acked);
		json_ku64(&dump->json, "bytes_received", event->bytes_received);
		json_ku64(&dump->json, "total_retrans", event->total_retrans);
		json_ku64(&dump->json, "srtt_us", event->srtt_us);
		json_ku64(&dump->json, "mdev_us", event->mdev_us);
		json_ku64(&dump->json, "min_rtt_us", event->min_rtt_us);
	}
	line_end(dump);
}

static void drain_all(struct live *live, const struct source_sink *sink)
{
	struct err err = { 0 };
	int got;

	do {
		got = live_drain(live, sink, 100000, &err);
		if (got < 0) {
			fprintf(stderr, "%s\n", err.text);
			exit(1);
		}
	} while (live_more(live));
}

static FILE *pcap_open(const char *path)
{
	static const uint32_t head[6] = { 0xa1b23c4d, 2 | 4 << 16, 0, 0, 262144, 101 };
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(head, sizeof(head), 1, file) != 1) {
		perror(path);
		exit(1);
	}
	return file;
}

int main(int argc, char **argv)
{
	uint32_t excludes[EXCLUDES_MAX];
	struct live_opts opts = { .exclude_pids = excludes };
	struct dump dump = { 0 };
	struct source_sink sink = { on_frame, on_sock, &dump };
	struct sigaction action = { .sa_handler = stop };
	struct live *live;
	struct err err = { 0 };
	unsigned stall_ms = 0;
	int rc;

	for (int i = 1; i + 1 < argc; i += 2) {
		unsigned long value = strtoul(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--ring") == 0)
			opts.ring_bytes = value;
		else if (strcmp(argv[i], "--snaplen") == 0)
			opts.snaplen = (uint32_t)value;
		else if (strcmp(argv[i], "--second-full") == 0)
			opts.second = value ? RING_SECOND_FULL : RING_SECOND_HEADERS;
		else if (strcmp(argv[i], "--stall") == 0)
			stall_ms = (unsigned)value;
		else if (strcmp(argv[i], "--pcap") == 0)
			dump.pcap = pcap_open(argv[i + 1]);
		else if (strcmp(argv[i], "--exclude") == 0 && opts.exclude_count < EXCLUDES_MAX)
			excludes[opts.exclude_count++] = (uint32_t)value;
	}
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	wr_init(&dump.out, 0);
	rc = live_open(&opts, &live, &err);
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", err_name(rc), err.text);
		return rc == E_PERMISSION || rc == E_UNSUPPORTED ? 77 : 1;
	}
	line_begin(&dump, "ready");
	line_end(&dump);
	(void)fflush(stdout);
	while (stall_ms && !stopped)
		stall_ms -= usleep(1000) == 0;
	while (!stopped) {
		drain_all(live, &sink);
		(void)fflush(stdout);
		(void)usleep(5000);
	}
	/* What is younger than the hold, and the once-a-second counters. */
	for (int i = 0; i < 3; i++) {
		(void)usleep(600000);
		drain_all(live, &sink);
	}
	line_begin(&dump, "status");
	live_status(live, &dump.json);
	line_end(&dump);
	(void)fflush(stdout);
	if (dump.pcap)
		(void)fclose(dump.pcap);
	live_close(live);
	wr_release(&dump.out);
	return 0;
}
