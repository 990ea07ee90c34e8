/* A DTLS handshake in full: records in order, messages put together from their fragments at the place of the first. */
#include "base/err.h"
#include "base/mem.h"
#include "wire/dtls_msg.h"
#include "wire/stream.h"
#include "wire/tls_msg.h"
#include "wire/tls_show.h"

#define MESSAGES_MAX	32	/* of one side */

struct message {
	uint16_t seq;
	uint8_t type;
	bool shown;
	struct assembly all;
};

struct side {
	struct message message[MESSAGES_MAX];
	unsigned count;
	size_t bytes;		/* of all messages */
	int rc;
};

static struct message *find(struct side *side, const struct dtls_fragment *fragment)
{
	for (unsigned i = 0; i < side->count; i++)
		if (side->message[i].seq == fragment->seq && side->message[i].type == fragment->type &&
		    side->message[i].all.len == fragment->len)
			return &side->message[i];
	return NULL;
}

static void add(struct side *side, const struct dtls_fragment *fragment)
{
	struct message *message = find(side, fragment);

	if (!message) {
		if (side->count == MESSAGES_MAX || side->bytes + fragment->len > TLS_MESSAGE_BYTES_MAX)
			return;
		message = &side->message[side->count];
		message->all = (struct assembly){ .len = fragment->len, .at = mem_array((size_t)fragment->len + 1, 1),
						  .mask = mem_array(fragment->len / 8 + 1, 1) };
		message->seq = fragment->seq;
		message->type = fragment->type;
		side->bytes += fragment->len;
		side->count++;
		if (!message->all.at || !message->all.mask)
			side->rc = E_NO_MEMORY;
	}
	if (side->rc == 0)
		assembly_add(&message->all, fragment->off, fragment->bytes);
}

static void show_record(const struct dtls_record *record, struct json *json)
{
	struct tls_record plain = { .type = record->type, .version = record->version, .len = (uint16_t)record->body.len };

	if (record->encrypted && record->type == TLS_ALERT)
		plain.type = TLS_APPLICATION_DATA;	/* what it says cannot be read */
	if (record->unified || record->type > TLS_APPLICATION_DATA)
		plain.type = TLS_APPLICATION_DATA;
	tls_show_record(json, &plain, record->body);
}

/* Returns whether all was there. */
static bool walk(struct side *side, struct view bytes, struct json *json)
{
	struct dtls_record record;
	bool whole = true;

	while (side->rc == 0 && dtls_record_next(&bytes, &record)) {
		struct dtls_fragment fragment;

		whole &= !record.cut;
		if (record.encrypted || record.type != TLS_HANDSHAKE) {
			if (json)
				show_record(&record, json);
			continue;
		}
		while (side->rc == 0 && dtls_fragment_next(&record.body, &fragment)) {
			struct message *message;

			if (!json) {
				add(side, &fragment);
				continue;
			}
			message = find(side, &fragment);
			if (!message || message->shown)
				continue;
			message->shown = true;
			tls_show_message(json, message->type, view_make(message->all.at, message->all.len),
					 message->all.have == message->all.len);
			whole &= message->all.have == message->all.len;
		}
	}
	return whole && !bytes.len;
}

static int show_side(const char *key, struct view bytes, struct json *json)
{
	struct side *side = mem_zalloc(sizeof(*side));
	bool whole;
	int rc;

	if (!side)
		return E_NO_MEMORY;
	(void)walk(side, bytes, NULL);
	json_key(json, key);
	json_object(json);
	json_key(json, "messages");
	json_array(json);
	whole = walk(side, bytes, json);
	json_array_end(json);
	if (!whole)
		json_kbool(json, "truncated", true);
	json_object_end(json);
	rc = side->rc;
	for (unsigned i = 0; i < side->count; i++) {
		mem_free(side->message[i].all.at);
		mem_free(side->message[i].all.mask);
	}
	mem_free(side);
	return rc;
}

int dtls_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	int rc = 0;

	(void)body_max;		/* a handshake has no body */
	if (request.len)
		rc = show_side("request", request, json);
	if (response.len && rc == 0)
		rc = show_side("response", response, json);
	return rc;
}
