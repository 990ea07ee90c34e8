/* An SSH handshake in full. */
#include "wire/lines.h"
#include "wire/ssh_msg.h"

#define MESSAGES_MAX 100

struct show {
	struct json *json;
	bool server;
	struct ssh_kexinit kexinit;
	bool has_kexinit;
};

static void show_names(struct json *json, const char *key, struct view list)
{
	json_key(json, key);
	json_array(json);
	while (list.len) {
		const uint8_t *comma = memchr(list.at, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.at) : list.len;

		json_str(json, view_sub(list, 0, len));
		list = view_sub(list, len + 1, list.len);
	}
	json_array_end(json);
}

static void show_kexinit(struct show *s, struct view payload)
{
	char text[SSH_HASSH_TEXT_MAX], hex[MD5_HEX_LEN + 1];
	struct view hashed;

	if (!ssh_kexinit(payload, &s->kexinit))
		return;
	s->has_kexinit = true;
	if (ssh_hassh(&s->kexinit, s->server, hex, &hashed, text)) {
		json_kcstr(s->json, s->server ? "hassh_server" : "hassh", hex);
		json_kstr(s->json, s->server ? "hassh_server_text" : "hassh_text", hashed);
	}
	for (unsigned i = 0; i < SSH_LISTS; i++)
		if (i < SSH_LANGUAGE_OUT || s->kexinit.list[i].len)
			show_names(s->json, ssh_list_name((enum ssh_list)i), s->kexinit.list[i]);
	json_kbool(s->json, "first_packet_follows", s->kexinit.guess_follows);
}

/* Banner and lines before it; false: they are not whole. */
static bool show_lines(struct show *s, struct view *bytes)
{
	struct ssh_banner banner;
	struct view line;
	bool text = false;

	while (line_next(bytes, &line)) {
		if (!ssh_banner(line, &banner)) {
			if (!text) {
				json_key(s->json, "text");
				json_array(s->json);
			}
			text = true;
			json_str(s->json, line);
			continue;
		}
		if (text)
			json_array_end(s->json);
		json_kstr(s->json, "banner", line);
		json_kstr(s->json, "version", banner.version);
		json_kstr(s->json, "software", banner.software);
		return banner.v2;
	}
	if (text)
		json_array_end(s->json);
	return false;
}

static struct view show_packet(struct show *s, struct view bytes)
{
	struct view payload;
	uint32_t len, reason;
	uint8_t padding;
	const char *name;

	if (bytes.len < SSH_HEAD_BYTES)
		return view_make("", 0);
	len = (uint32_t)bytes.at[0] << 24 | (uint32_t)bytes.at[1] << 16 | (uint32_t)bytes.at[2] << 8 | bytes.at[3];
	padding = bytes.at[4];
	if (len > SSH_PACKET_MAX || len < padding + 2u)
		return view_make("", 0);
	payload = view_sub(bytes, 5, len - padding - 1);
	name = ssh_msg_name(payload.at[0]);
	json_object(s->json);
	json_ku64(s->json, "number", payload.at[0]);
	json_kcstr(s->json, "message", name);
	json_ku64(s->json, "bytes", len);
	if (payload.at[0] == SSH_KEXINIT)
		show_kexinit(s, payload);
	if (payload.at[0] == SSH_DISCONNECT && ssh_disconnect(payload, &reason, &payload)) {
		json_ku64(s->json, "reason", reason);
		json_kcstr(s->json, "reason_name", ssh_reason(reason));
		json_kstr(s->json, "description", payload);
	}
	json_object_end(s->json);
	return view_sub(bytes, (size_t)len + 4, bytes.len);
}

static void show_side(struct show *s, struct view bytes)
{
	json_key(s->json, s->server ? "response" : "request");
	json_object(s->json);
	if (show_lines(s, &bytes) && bytes.len) {
		json_key(s->json, "messages");
		json_array(s->json);
		for (unsigned i = 0; i < MESSAGES_MAX && bytes.len; i++)
			bytes = show_packet(s, bytes);
		json_array_end(s->json);
	}
	json_object_end(s->json);
}

int ssh_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct show client = { .json = json }, server = { .json = json, .server = true };

	(void)body_max;		/* names only, and SSH_PACKET_MAX bounds them */
	if (request.len)
		show_side(&client, request);
	if (response.len)
		show_side(&server, response);
	if (client.has_kexinit && server.has_kexinit) {
		json_key(json, "chosen");
		json_object(json);
		for (unsigned i = 0; i < SSH_LANGUAGE_OUT; i++) {
			struct view cipher = ssh_chosen(&client.kexinit, &server.kexinit, i == SSH_MAC_OUT ? SSH_CIPHER_OUT : SSH_CIPHER_IN);
			struct view name = ssh_chosen(&client.kexinit, &server.kexinit, (enum ssh_list)i);

			if ((i == SSH_MAC_OUT || i == SSH_MAC_IN) && ssh_cipher_aead(cipher))
				name = VIEW_LIT("implicit");
			if (name.len)
				json_kstr(json, ssh_list_name((enum ssh_list)i), name);
			else
				json_knull(json, ssh_list_name((enum ssh_list)i));
		}
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}
