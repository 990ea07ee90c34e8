#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/ssh_msg.h"

#define STEPS_MAX 12

#define B_KEX_C \
	"\000\000\000\364\010\024\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\000\000" \
	"\0008ext-info-c,curve25519-sha256,diffie-hellman-group14-sha1\000\000\000\023ssh-ed25519,ssh-rsa" \
	"\000\000\000!aes128-ctr,aes256-gcm@openssh.com\000\000\000\026aes256-gcm@openssh.com\000\000\000" \
	"\026hmac-sha2-256,hmac-md5\000\000\000\015hmac-sha2-256\000\000\000\004none\000\000\000\004none" \
	"\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"
#define B_KEX_S \
	"\000\000\000\314\005\024\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\000\000" \
	"\000-diffie-hellman-group14-sha1,curve25519-sha256\000\000\000\007ssh-rsa\000\000\000!aes256-gcm" \
	"@openssh.com,aes128-ctr\000\000\000\026aes256-gcm@openssh.com\000\000\000\010hmac-md5\000\000" \
	"\000\010hmac-md5\000\000\000\011none,zlib\000\000\000\004none\000\000\000\000\000\000\000\000" \
	"\000\000\000\000\000\000\000\000\000\000"
#define B_KEX_OTHER \
	"\000\000\000\204\006\024\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\000\000" \
	"\000\012ext-info-s\000\000\000\007ssh-rsa\000\000\000\012aes128-ctr\000\000\000\012aes128-ctr" \
	"\000\000\000\011hmac-sha1\000\000\000\011hmac-sha1\000\000\000\004none\000\000\000\004none\000" \
	"\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"
#define B_INIT \
	"\000\000\000,\006\036\000\000\000 eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\000\000\000\000\000\000"
#define B_REPLY \
	"\000\000\000t\012\037\000\000\000dkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
	"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\000\000\000\000\000\000\000\000\000\000"
#define B_NEWKEYS \
	"\000\000\000\014\012\025\000\000\000\000\000\000\000\000\000\000"
#define B_BYE \
	"\000\000\000$\007\001\000\000\000\003\000\000\000\017no matching kex\000\000\000\000\000\000\000" \
	"\000\000\000\000"

#define B_C "SSH-2.0-OpenSSH_9.7 test\r\n"
#define B_S "SSH-2.0-dropbear_2022.83\r\n"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "a handshake", {
		TALK('<', B_S), TALK('>', B_C B_KEX_C), TALK('<', B_KEX_S), TALK('>', B_INIT), TALK('<', B_REPLY B_NEWKEYS "\1\2\3"),
		TALK('>', B_NEWKEYS "\377\376\375\374encrypted"), TALK('<', "encrypted"),
	}, "handshake - - complete req=0+338 rsp=0+370 answers=curve25519-sha256, ssh-rsa, aes128-ctr, hmac-md5"
	   " error=weak host_key ssh-rsa: SHA-1; weak mac_client_to_server hmac-md5: MD5\n", false },
	{ "text before the banner, and nothing in common", {
		TALK('<', "welcome\r\nSSH is here\r\n" B_S B_KEX_OTHER), TALK('>', B_C B_KEX_C), TALK('<', B_BYE), TALK('f', ""), TALK('F', ""),
	}, "handshake - 3 complete req=0+274 rsp=0+224 answers=, ssh-rsa, aes128-ctr,  error=no kex in common; "
	   "weak host_key ssh-rsa: SHA-1; no cipher_server_to_client in common; no mac_client_to_server in common; "
	   "no mac_server_to_client in common; disconnected by the server: KEY_EXCHANGE_FAILED, no matching kex\n", false },
	{ "banners only", {
		TALK('>', B_C), TALK('<', B_S), TALK('F', ""), TALK('f', ""),
	}, "handshake - - closed req=0+26 rsp=0+26\n", false },
	{ "no answer", {
		TALK('>', B_C), TALK('F', ""),
	}, "handshake - - unanswered req=0+26\n", false },
	{ "SSH 1", {
		TALK('<', "SSH-1.5-old\n"), TALK('>', "SSH-1.99-both\n"), TALK('<', "\0\0\1\10whatever"),
	}, "handshake - - complete req=0+14 rsp=0+12 error=SSH 1 is obsolete\n", false },
	{ "a hole", {
		TALK('<', B_S), TALK('>', B_C), TALK('X', B_KEX_C), TALK('<', B_KEX_S), TALK('>', B_INIT), TALK('F', ""), TALK('f', ""),
	}, "handshake - - gap req=0+26 rsp=0+234 missing=248\n", true },
};

TEST(ssh, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 22);
		if (!d->uncut)
			talk_cut(22, d->step, STEPS_MAX, d->calls);
	}
}

TEST(ssh, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step, STEPS_MAX);
	CHECK_VIEW(kit.call[0].row.user_agent, "OpenSSH_9.7 test");
	CHECK_VIEW(kit.call[0].row.status_text, "dropbear_2022.83");
	CHECK_VIEW(kit.call[0].row.version, "2.0");
	CHECK_U64(kit.call[0].row.status_class, CLASS_ok);
	CHECK_U64(kit.call[0].req_dir, 0);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 22, dialogues[1].step, STEPS_MAX);
	CHECK_U64(kit.call[0].row.status_class, CLASS_client_error);
	kit_release(&kit);
}

static const char *show(struct view request, struct view response, struct wr *out)
{
	struct json json;

	wr_reset(out);
	json_init(&json, out, false);
	json_object(&json);
	CHECK_U64((uint64_t)ssh_detail(request, response, 1000, &json), 0);
	json_object_end(&json);
	wr_u8(out, 0);
	return (const char *)out->at;
}

TEST(ssh, shows_calls_in_full)
{
	const char *text;
	struct wr out;

	wr_init(&out, 0);
	text = show(VIEW_LIT(B_C B_KEX_C B_NEWKEYS), VIEW_LIT("hello\r\n" B_S B_KEX_S B_BYE), &out);
	CHECK(strstr(text, "{\"request\":{\"banner\":\"SSH-2.0-OpenSSH_9.7 test\",\"version\":\"2.0\",\"software\":\"OpenSSH_9.7 test\","
			   "\"messages\":[{\"number\":20,\"message\":\"kexinit\",\"bytes\":244,"
			   "\"hassh\":\"86c39ec2ac1173cc781dc51d3ece2704\","), "%s", text);
	CHECK(strstr(text, "\"hassh_text\":\"ext-info-c,curve25519-sha256,diffie-hellman-group14-sha1;aes128-ctr,aes256-gcm@openssh.com;"
			   "hmac-sha2-256,hmac-md5;none\",\"kex\":[\"ext-info-c\",\"curve25519-sha256\","), "%s", text);
	CHECK(strstr(text, "\"response\":{\"text\":[\"hello\"],\"banner\":"), "%s", text);
	CHECK(strstr(text, "\"hassh_server\":\"8fb86b9c37d8028518fc03d4368d0fdd\""), "%s", text);
	CHECK(strstr(text, "\"reason\":3,\"reason_name\":\"KEY_EXCHANGE_FAILED\",\"description\":\"no matching kex\""), "%s", text);
	CHECK(strstr(text, "\"chosen\":{\"kex\":\"curve25519-sha256\",\"host_key\":\"ssh-rsa\",\"cipher_client_to_server\":\"aes128-ctr\","
			   "\"cipher_server_to_client\":\"aes256-gcm@openssh.com\",\"mac_client_to_server\":\"hmac-md5\","
			   "\"mac_server_to_client\":\"implicit\",\"compression_client_to_server\":\"none\","
			   "\"compression_server_to_client\":\"none\"}}"), "%s", text);
	for (size_t i = 0; i < sizeof(B_C B_KEX_C); i++)
		(void)show(view_sub(VIEW_LIT(B_C B_KEX_C), 0, i), view_sub(VIEW_LIT(B_S B_KEX_S), 0, i), &out);
	wr_release(&out);
}

TEST(ssh, is_not_seen_in_what_is_none)
{
	static const char *const others[] = { "SSH", "SSH-3.0-x\r\n", "SSH2\r\n", "hello\r\nSSX-2.0\r\n", "ssh-2.0-x\r\n" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 22);
		kit_handshake(&kit);
		kit_send(&kit, 1, others[i]);
		kit_send(&kit, 0, others[i]);
		CHECK(stream_l7(kit.stream) != L7_ssh, "%s", others[i]);
		kit_release(&kit);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char banner[256], *at = banner + 4;

	if (!truth_field(line, "banner", banner, sizeof(banner)))
		return;
	at += strcspn(at, "-");
	at += strspn(at, "-");
	truth_key(keys, "%s", at);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;

	if (ROW_HAS(CALL, row, user_agent))
		truth_key(keys, "%.*s", (int)row->user_agent.len, (const char *)row->user_agent.at);
	if (ROW_HAS(CALL, row, status_text))
		truth_key(keys, "%.*s", (int)row->status_text.len, (const char *)row->status_text.at);
}

static const char *const files[] = {
	"server-pre-banner-data.pcap", "single-conn.pcap", "ssh-banner-only.pcap", "ssh.pcapng", "ssh1-ssh2-fingerprints.pcap",
	"ssh_version_199.pcap", NULL,
};

TEST(ssh_truth, banners_are_those_tshark_saw)
{
	const struct truth_test test = { .folder = "ssh", .proto = "ssh", .l7 = L7_ssh, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	/* extra: a server's banner behind other text, and a connection on port 2222 */
	CHECK_GE(score.expected, 11);
	CHECK_GE(score.found, 11);
	CHECK_LE(score.extra, 3);
}

/* HASSH of the proposals that came in one segment. */
TEST(ssh_truth, fingerprints_are_those_of_tshark)
{
	const char *captures = check_need_captures();
	unsigned same = 0, other = 0;

	for (unsigned i = 0; files[i]; i++) {
		char path[512], line[4096];
		struct kit_file file;
		struct kit_frame frame;
		unsigned long number = 0, want;
		FILE *truth;

		(void)snprintf(path, sizeof(path), "%s/truth/ssh/%s.tsv", captures, files[i]);
		truth = fopen(path, "r");
		CHECK(truth, "%s", path);
		(void)snprintf(path, sizeof(path), "%s/ssh/%s", captures, files[i]);
		CHECK(kit_file_open(&file, path), "%s", path);
		while (fgets(line, sizeof(line), truth)) {
			const char *at = strstr(line, "\thassh");
			struct packet packet = { .segments = 1 };
			char text[SSH_HASSH_TEXT_MAX], hex[MD5_HEX_LEN + 1];
			struct ssh_kexinit kexinit;
			struct view hashed;

			if (!at || sscanf(line, "ssh\t%lu", &want) != 1 || want <= number)
				continue;
			while (number < want && kit_file_next(&file, &frame))
				number++;
			packet.frame = frame.bytes;
			packet.orig_len = frame.orig_len;
			packet.link = frame.link;
			(void)decode_frame(&packet);
			if (packet.payload.len < 6 || !ssh_kexinit(view_sub(packet.payload, 5, packet.payload.len), &kexinit))
				continue;
			CHECK(ssh_hassh(&kexinit, at[6] == 's', hex, &hashed, text));
			if (strncmp(strchr(at, '=') + 1, hex, MD5_HEX_LEN) == 0)
				same++;
			else
				other++;
		}
		(void)fclose(truth);
		mem_free((void *)(uintptr_t)file.all.at);
	}
	CHECK_GE(same, 5);
	CHECK_U64(other, 0);
}
