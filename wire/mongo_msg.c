#include "wire/mongo_msg.h"

#include "base/rd.h"

const char *mongo_opcode(uint32_t opcode)
{
	switch (opcode) {
	case MONGO_REPLY: return "OP_REPLY";
	case MONGO_UPDATE: return "OP_UPDATE";
	case MONGO_INSERT: return "OP_INSERT";
	case MONGO_QUERY: return "OP_QUERY";
	case MONGO_GET_MORE: return "OP_GET_MORE";
	case MONGO_DELETE: return "OP_DELETE";
	case MONGO_KILL_CURSORS: return "OP_KILL_CURSORS";
	case MONGO_COMPRESSED: return "OP_COMPRESSED";
	case MONGO_MSG: return "OP_MSG";
	default: return NULL;
	}
}

const char *mongo_compressor(uint8_t id)
{
	static const char *const names[] = { "noop", "snappy", "zlib", "zstd" };

	return id < 4 ? names[id] : "unknown";
}

bool mongo_head(struct view bytes, struct mongo_msg *ret_msg)
{
	struct rd rd = rd_make(bytes);
	struct mongo_msg msg = { .len = rd_u32le(&rd) };

	msg.id = rd_u32le(&rd);
	msg.to = rd_u32le(&rd);
	msg.opcode = rd_u32le(&rd);
	if (rd.bad || msg.len < MONGO_HEAD_BYTES + 4 || msg.len > MONGO_LEN_MAX || !mongo_opcode(msg.opcode))
		return false;
	*ret_msg = msg;
	return true;
}

static struct view cstr(struct rd *rd)
{
	struct view rest = rd_rest(rd), text;
	const uint8_t *nul = rest.len ? memchr(rest.at, 0, rest.len) : NULL;

	text = view_sub(rest, 0, nul ? (size_t)(nul - rest.at) : 0);
	rd_skip(rd, text.len + 1);
	return text;
}

/* A document whose first element, as far as it is there, can be one. */
static bool is_document(struct view bytes, uint32_t room)
{
	uint32_t len = bson_len(bytes);
	struct bson_elem elem;
	struct view rest;

	if (bytes.len < 6)
		return bytes.len < 4 || len;
	if (!len || len > room)
		return false;
	if (len == 5)
		return bytes.at[4] == 0;
	if (!bson_open(bytes, &rest))
		return false;
	if (bson_next(&rest, &elem)) {
		for (size_t i = 0; i < elem.name.len; i++)
			if (elem.name.at[i] < ' ')
				return false;
		return true;
	}
	return bytes.len < 64;
}

/* "db.collection" */
static bool is_namespace(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] <= ' ' || text.at[i] == 0x7f)
			return false;
	return text.len > 2 && text.len < 256 && memchr(text.at + 1, '.', text.len - 1);
}

static bool read_sections(struct rd *rd, struct mongo_msg *msg)
{
	uint32_t room = msg->len - MONGO_HEAD_BYTES - 4;
	struct view rest;
	uint8_t kind;

	/* the body may stand behind the sequences, but no driver writes it there */
	rest = rd_rest(rd);
	if (!rest.len)
		return true;
	kind = rd_u8(rd);
	if (kind > 1 || room < 6)
		return false;
	if (kind == 1) {
		msg->sequences = rest;
		return true;
	}
	rest = rd_rest(rd);
	if (!is_document(rest, room - 1))
		return false;
	msg->body = view_sub(rest, 0, bson_len(rest));
	msg->sequences = view_sub(rest, msg->body.len, rest.len);
	if (msg->flags & MONGO_CHECKSUM && msg->sequences.len >= 4)
		msg->sequences.len -= 4;
	return true;
}

bool mongo_msg(struct view bytes, struct mongo_msg *ret_msg)
{
	struct mongo_msg msg;
	struct rd rd = rd_make(bytes);
	uint32_t room;

	if (!mongo_head(bytes, &msg))
		return false;
	bytes = view_sub(bytes, 0, msg.len);
	rd = rd_make(bytes);
	rd_skip(&rd, MONGO_HEAD_BYTES);
	switch (msg.opcode) {
	case MONGO_MSG:
		msg.flags = rd_u32le(&rd);
		if (msg.flags & ~(uint32_t)(MONGO_CHECKSUM | MONGO_MORE_TO_COME | MONGO_EXHAUST) || !read_sections(&rd, &msg))
			return false;
		break;
	case MONGO_REPLY:
		msg.flags = rd_u32le(&rd);
		msg.cursor = rd_u64le(&rd);
		rd_skip(&rd, 4);
		msg.returned = rd_u32le(&rd);
		if (msg.len < 36 || msg.flags & ~(uint32_t)15 || msg.returned > msg.len / 5)
			return false;
		if (msg.returned && !is_document(rd_rest(&rd), msg.len - 36))
			return false;
		msg.sequences = rd_rest(&rd);
		msg.body = view_sub(msg.sequences, 0, bson_len(msg.sequences));
		break;
	case MONGO_QUERY:
		msg.flags = rd_u32le(&rd);
		msg.collection = cstr(&rd);
		rd_skip(&rd, 8);
		room = msg.len - (uint32_t)rd_pos(&rd);
		if (msg.flags & ~(uint32_t)0xfe || !is_namespace(msg.collection) || rd.bad || !is_document(rd_rest(&rd), room))
			return false;
		msg.body = view_sub(rd_rest(&rd), 0, bson_len(rd_rest(&rd)));
		break;
	case MONGO_UPDATE:
	case MONGO_DELETE:
	case MONGO_GET_MORE:
	case MONGO_INSERT:
		rd_skip(&rd, 4);
		msg.collection = cstr(&rd);
		if (!is_namespace(msg.collection))
			return false;
		if (msg.opcode == MONGO_UPDATE || msg.opcode == MONGO_DELETE)
			rd_skip(&rd, 4);
		if (msg.opcode == MONGO_GET_MORE) {
			rd_skip(&rd, 4);
			msg.cursor = rd_u64le(&rd);
		} else {
			msg.sequences = rd_rest(&rd);
			msg.body = view_sub(msg.sequences, 0, bson_len(msg.sequences));
		}
		break;
	case MONGO_COMPRESSED:
		msg.compressed_opcode = rd_u32le(&rd);
		rd_skip(&rd, 4);
		msg.compressor = rd_u8(&rd);
		if (!mongo_opcode(msg.compressed_opcode) || msg.compressor > 3)
			return false;
		break;
	default:	/* OP_KILL_CURSORS */
		if (rd_u32le(&rd) != 0)
			return false;
		break;
	}
	*ret_msg = msg;
	return true;
}

/* ---- showing ---- */

struct show {
	struct json *json;
	size_t budget;
	bool cut;
};

static void show_documents(struct show *s, struct view bytes)
{
	json_array(s->json);
	while (bytes.len && s->budget) {
		uint32_t len = bson_len(bytes);

		if (!len)
			break;
		s->cut |= !bson_show(view_sub(bytes, 0, len), false, 0, &s->budget, s->json);
		bytes = view_sub(bytes, len, bytes.len);
	}
	s->cut |= bytes.len > 0;
	json_array_end(s->json);
}

static void show_sequences(struct show *s, struct view bytes)
{
	json_key(s->json, "sequences");
	json_object(s->json);
	while (bytes.len > 5 && bytes.at[0] == 1) {
		struct rd rd = rd_make(view_sub(bytes, 1, bytes.len));
		uint32_t len = rd_u32le(&rd);
		struct view name = cstr(&rd);

		if (rd.bad || len < 5 + name.len)
			break;
		json_keyv(s->json, name);
		show_documents(s, view_sub(rd_rest(&rd), 0, len - 5 - name.len));
		bytes = view_sub(bytes, 1 + (size_t)len, bytes.len);
	}
	json_object_end(s->json);
}

static void show_message(struct show *s, const struct mongo_msg *msg)
{
	json_kcstr(s->json, "opcode", mongo_opcode(msg->opcode));
	json_ku64(s->json, "request_id", msg->id);
	if (msg->to)
		json_ku64(s->json, "response_to", msg->to);
	json_ku64(s->json, "flags", msg->flags);
	if (msg->collection.len)
		json_kstr(s->json, "collection", msg->collection);
	if (msg->opcode == MONGO_COMPRESSED) {
		json_kcstr(s->json, "compressor", mongo_compressor(msg->compressor));
		json_kcstr(s->json, "compressed_opcode", mongo_opcode(msg->compressed_opcode));
		return;
	}
	if (msg->opcode == MONGO_REPLY || msg->opcode == MONGO_INSERT || msg->opcode == MONGO_UPDATE ||
	    msg->opcode == MONGO_DELETE) {
		json_key(s->json, "documents");
		show_documents(s, msg->sequences);
		return;
	}
	if (msg->body.len) {
		json_key(s->json, "body");
		s->cut |= !bson_show(msg->body, false, 0, &s->budget, s->json);
	}
	if (msg->sequences.len)
		show_sequences(s, msg->sequences);
}

int mongo_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned side = 0; side < 2; side++) {
		struct view bytes = side ? response : request;
		struct show s = { .json = json, .budget = body_max };
		struct mongo_msg msg;

		if (!bytes.len)
			continue;
		json_key(json, side ? "response" : "request");
		json_object(json);
		if (mongo_msg(bytes, &msg))
			show_message(&s, &msg);
		else
			s.cut = true;
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}
