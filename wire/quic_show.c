#include "wire/quic_show.h"

#include "base/hex.h"
#include "wire/quic_msg.h"
#include "wire/tls_show.h"

#define HELLO_BYTES_MAX 8192u

static void show_id(struct json *json, const char *key, struct view id)
{
	char text[2 * QUIC_CID_MAX];

	json_kstr(json, key, view_make(text, hex_write(id, text)));
}

static void show_version(struct json *json, const char *key, uint32_t version)
{
	char name[24];

	(void)quic_version_name(version, name);
	if (key)
		json_kcstr(json, key, name);
	else
		json_cstr(json, name);
}

/* Handshake bytes of one side; frames come in any order. */
struct hello {
	uint8_t bytes[HELLO_BYTES_MAX];
	bool have[HELLO_BYTES_MAX];
};

static void show_frames(struct json *json, struct view frames, struct hello *hello)
{
	struct quic_frame frame;

	json_key(json, "frames");
	json_array(json);
	while (quic_frame_next(&frames, &frame)) {
		json_object(json);
		json_kcstr(json, "type", quic_frame_name(frame.type));
		if (frame.type == QUIC_CRYPTO) {
			json_ku64(json, "offset", frame.off);
			json_ku64(json, "bytes", frame.data.len);
			for (size_t i = 0; i < frame.data.len && frame.off + i < HELLO_BYTES_MAX; i++) {
				hello->bytes[frame.off + i] = frame.data.at[i];
				hello->have[frame.off + i] = true;
			}
		} else if (frame.type == QUIC_CLOSE) {
			json_ku64(json, "error", frame.error);
			json_kcstr(json, "error_text", quic_error_name(frame.error));
			json_kstr(json, "reason", frame.data);
		}
		json_object_end(json);
	}
	json_array_end(json);
}

static void show_packet(struct json *json, const struct quic_packet *packet, const struct quic_keys *keys, struct hello *hello)
{
	uint8_t plain[QUIC_PLAIN_MAX];
	struct view frames;
	uint64_t number;

	json_object(json);
	json_kcstr(json, "type", quic_type_name(packet->type));
	json_ku64(json, "bytes", packet->bytes.len);
	if (packet->type != QUIC_SHORT) {
		if (packet->type != QUIC_NEGOTIATION)
			show_version(json, "version", packet->version);
		show_id(json, "destination_id", packet->dcid);
		show_id(json, "source_id", packet->scid);
	}
	if (packet->token.len)
		json_ku64(json, "token_bytes", packet->token.len);
	if (packet->type == QUIC_NEGOTIATION) {
		json_key(json, "versions");
		json_array(json);
		for (size_t i = 0; i + 4 <= packet->versions.len; i += 4)
			show_version(json, NULL, (uint32_t)packet->versions.at[i] << 24 | (uint32_t)packet->versions.at[i + 1] << 16 |
				     (uint32_t)packet->versions.at[i + 2] << 8 | packet->versions.at[i + 3]);
		json_array_end(json);
	}
	if (packet->type == QUIC_INITIAL && keys && quic_open(keys, packet, plain, &number, &frames)) {
		json_ku64(json, "number", number);
		show_frames(json, frames, hello);
	} else if (packet->type != QUIC_NEGOTIATION && packet->type != QUIC_RETRY) {
		json_kbool(json, "encrypted", true);
	}
	json_object_end(json);
}

static int show_side(const char *key, struct view bytes, const struct quic_keys *keys, struct hello *hello, struct json *json)
{
	struct quic_packet packet;
	struct quic_chlo chlo;
	size_t have = 0;

	memset(hello, 0, sizeof(*hello));
	json_key(json, key);
	json_object(json);
	if (quic_chlo(bytes, &chlo)) {
		show_version(json, "version", chlo.version);
		json_kstr(json, "server_name", chlo.sni);
		json_kstr(json, "user_agent", chlo.user_agent);
		json_object_end(json);
		return 0;
	}
	json_key(json, "packets");
	json_array(json);
	while (quic_packet_next(&bytes, &packet))
		show_packet(json, &packet, keys, hello);
	json_array_end(json);
	while (have < HELLO_BYTES_MAX && hello->have[have])
		have++;
	if (have)
		tls_show_quic(json, view_make(hello->bytes, have));
	json_object_end(json);
	return 0;
}

int quic_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct view rest = request;
	struct quic_packet packet;
	struct quic_keys keys[2];
	struct hello hello;
	bool keyed = quic_packet_next(&rest, &packet) && packet.type == QUIC_INITIAL &&
		     quic_initial_keys(packet.version, packet.dcid, keys);
	int rc = 0;

	(void)body_max;
	if (request.len)
		rc = show_side("request", request, keyed ? &keys[0] : NULL, &hello, json);
	if (rc == 0 && response.len)
		rc = show_side("response", response, keyed ? &keys[1] : NULL, &hello, json);
	return rc;
}
