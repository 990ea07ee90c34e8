#include "wire/kafka_msg.h"

#include <stdio.h>

#include "base/rd.h"

#define TAGS_MAX	64	/* of one struct */
#define BATCH_HEAD_BYTES 61	/* message format 2 */
#define MESSAGE_HEAD_BYTES 12	/* offset and size, before it */

static const struct kafka_api apis[] = {
#define API(key, name, last, flexible, request, response) [key] = { key, last, flexible, #name, request, response },
#include "wire/kafka_api.def"
#undef API
};

const struct kafka_api *kafka_api(unsigned key)
{
	return key < sizeof(apis) / sizeof(apis[0]) && apis[key].name ? &apis[key] : NULL;
}

static const char *const errors[] = {
	"NONE", "OFFSET_OUT_OF_RANGE", "CORRUPT_MESSAGE", "UNKNOWN_TOPIC_OR_PARTITION", "INVALID_FETCH_SIZE",
	"LEADER_NOT_AVAILABLE", "NOT_LEADER_OR_FOLLOWER", "REQUEST_TIMED_OUT", "BROKER_NOT_AVAILABLE",
	"REPLICA_NOT_AVAILABLE", "MESSAGE_TOO_LARGE", "STALE_CONTROLLER_EPOCH", "OFFSET_METADATA_TOO_LARGE",
	"NETWORK_EXCEPTION", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR",
	"INVALID_TOPIC_EXCEPTION", "RECORD_LIST_TOO_LARGE", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
	"INVALID_REQUIRED_ACKS", "ILLEGAL_GENERATION", "INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID",
	"UNKNOWN_MEMBER_ID", "INVALID_SESSION_TIMEOUT", "REBALANCE_IN_PROGRESS", "INVALID_COMMIT_OFFSET_SIZE",
	"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "INVALID_TIMESTAMP",
	"UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE", "UNSUPPORTED_VERSION", "TOPIC_ALREADY_EXISTS",
	"INVALID_PARTITIONS", "INVALID_REPLICATION_FACTOR", "INVALID_REPLICA_ASSIGNMENT", "INVALID_CONFIG",
	"NOT_CONTROLLER", "INVALID_REQUEST", "UNSUPPORTED_FOR_MESSAGE_FORMAT", "POLICY_VIOLATION",
	"OUT_OF_ORDER_SEQUENCE_NUMBER", "DUPLICATE_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "INVALID_TXN_STATE",
	"INVALID_PRODUCER_ID_MAPPING", "INVALID_TRANSACTION_TIMEOUT", "CONCURRENT_TRANSACTIONS",
	"TRANSACTION_COORDINATOR_FENCED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "SECURITY_DISABLED",
	"OPERATION_NOT_ATTEMPTED", "KAFKA_STORAGE_ERROR", "LOG_DIR_NOT_FOUND", "SASL_AUTHENTICATION_FAILED",
	"UNKNOWN_PRODUCER_ID", "REASSIGNMENT_IN_PROGRESS", "DELEGATION_TOKEN_AUTH_DISABLED", "DELEGATION_TOKEN_NOT_FOUND",
	"DELEGATION_TOKEN_OWNER_MISMATCH", "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
	"DELEGATION_TOKEN_EXPIRED", "INVALID_PRINCIPAL_TYPE", "NON_EMPTY_GROUP", "GROUP_ID_NOT_FOUND",
	"FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH", "LISTENER_NOT_FOUND", "TOPIC_DELETION_DISABLED",
	"FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "UNSUPPORTED_COMPRESSION_TYPE", "STALE_BROKER_EPOCH",
	"OFFSET_NOT_AVAILABLE", "MEMBER_ID_REQUIRED", "PREFERRED_LEADER_NOT_AVAILABLE", "GROUP_MAX_SIZE_REACHED",
	"FENCED_INSTANCE_ID", "ELIGIBLE_LEADERS_NOT_AVAILABLE", "ELECTION_NOT_NEEDED", "NO_REASSIGNMENT_IN_PROGRESS",
	"GROUP_SUBSCRIBED_TO_TOPIC", "INVALID_RECORD", "UNSTABLE_OFFSET_COMMIT", "THROTTLING_QUOTA_EXCEEDED",
	"PRODUCER_FENCED", "RESOURCE_NOT_FOUND", "DUPLICATE_RESOURCE", "UNACCEPTABLE_CREDENTIAL", "INCONSISTENT_VOTER_SET",
	"INVALID_UPDATE_VERSION", "FEATURE_UPDATE_FAILED", "PRINCIPAL_DESERIALIZATION_FAILURE", "SNAPSHOT_NOT_FOUND",
	"POSITION_OUT_OF_RANGE", "UNKNOWN_TOPIC_ID", "DUPLICATE_BROKER_REGISTRATION", "BROKER_ID_NOT_REGISTERED",
	"INCONSISTENT_TOPIC_ID", "INCONSISTENT_CLUSTER_ID", "TRANSACTIONAL_ID_NOT_FOUND", "FETCH_SESSION_TOPIC_ID_ERROR",
	"INELIGIBLE_REPLICA", "NEW_LEADER_ELECTED", "OFFSET_MOVED_TO_TIERED_STORAGE", "FENCED_MEMBER_EPOCH",
	"UNRELEASED_INSTANCE_ID", "UNSUPPORTED_ASSIGNOR", "STALE_MEMBER_EPOCH", "MISMATCHED_ENDPOINT_TYPE",
	"UNSUPPORTED_ENDPOINT_TYPE", "UNKNOWN_CONTROLLER_ID", "UNKNOWN_SUBSCRIPTION_ID", "TELEMETRY_TOO_LARGE",
	"INVALID_REGISTRATION", "TRANSACTION_ABORTABLE",
};

const char *kafka_error(int16_t code)
{
	if (code == -1)
		return "UNKNOWN_SERVER_ERROR";
	return code >= 0 && (size_t)code < sizeof(errors) / sizeof(errors[0]) ? errors[code] : NULL;
}

/* ---- headers ---- */

static void skip_tags(struct rd *rd)
{
	uint64_t count = rd_varint(rd);

	if (count > TAGS_MAX)
		rd->bad = true;
	while (count-- && !rd->bad) {
		(void)rd_varint(rd);
		(void)rd_vbytes(rd);
	}
}

enum kafka_head kafka_request(struct view bytes, struct kafka_request *ret_request)
{
	struct kafka_request r = { .len = 0 };
	struct rd rd = rd_make(bytes);
	uint32_t len = rd_u32be(&rd);
	int16_t client_len;

	if (bytes.len >= 1 && bytes.at[0] > 8)
		return KAFKA_NONE;
	if (rd.bad)
		return KAFKA_CUT;
	if (len < 10 || len > KAFKA_LEN_MAX)
		return KAFKA_NONE;
	r.len = len + 4;
	rd = rd_make(view_sub(bytes, 4, len));
	r.key = rd_u16be(&rd);
	if (!rd.bad)
		r.api = kafka_api(r.key);
	if (!rd.bad && !r.api)
		return KAFKA_NONE;
	r.version = rd_u16be(&rd);
	/* a client may ask with a version yet to come, and is told so */
	if (!rd.bad && r.version > r.api->last + 8)
		return KAFKA_NONE;
	r.id = (int32_t)rd_u32be(&rd);
	client_len = (int16_t)rd_u16be(&rd);
	if (rd.bad)
		return KAFKA_CUT;
	if (client_len < -1 || client_len > KAFKA_CLIENT_ID_MAX || (uint32_t)(client_len > 0 ? client_len : 0) > len - 10)
		return KAFKA_NONE;
	if (client_len > 0) {
		size_t there = rd_left(&rd) < (size_t)client_len ? rd_left(&rd) : (size_t)client_len;

		r.client_id = rd_bytes(&rd, there);
		for (size_t i = 0; i < there; i++)
			if (r.client_id.at[i] < ' ' || r.client_id.at[i] == 0x7f)
				return KAFKA_NONE;
		if (there < (size_t)client_len)
			return KAFKA_CUT;
	}
	if (r.version >= r.api->flexible) {
		if (len > rd_pos(&rd) && !rd_left(&rd))
			return KAFKA_CUT;
		skip_tags(&rd);
	}
	if (rd.bad)
		return KAFKA_NONE;
	r.body = rd_rest(&rd);
	*ret_request = r;
	return KAFKA_HEAD;
}

struct view kafka_response_body(const struct kafka_api *api, unsigned version, struct view bytes)
{
	struct rd rd = rd_make(bytes);

	rd_skip(&rd, 8);
	if (version >= api->flexible && api->key != 18)	/* a client must read ApiVersions whatever the broker speaks */
		skip_tags(&rd);
	return rd_rest(&rd);
}

/* ---- bodies: a schema and the bytes are walked together ---- */

struct walk {
	struct rd rd;
	unsigned version;
	bool flexible;
	struct kafka_facts *facts;	/* NULL: not wanted */
	struct json *json;		/* NULL: not wanted */
	struct view name;		/* the topic told last */
	size_t left;			/* bytes of values still to be shown */
	bool cut;
};

struct field {
	struct view name;
	char type, of;
	bool here;		/* in this version */
	bool has_body;		/* "(" follows */
};

static unsigned number(const char **at)
{
	unsigned n = 0;

	while (**at >= '0' && **at <= '9')
		n = n * 10 + (unsigned)(*(*at)++ - '0');
	return n;
}

/* False at the end of a struct. */
static bool field_next(const struct walk *w, const char **at, struct field *f)
{
	unsigned from = 0, to = 99;
	const char *start;

	while (**at == ' ')
		(*at)++;
	if (!**at || **at == ')')
		return false;
	start = *at;
	while (**at != '.')
		(*at)++;
	f->name = view_make(start, (size_t)(*at - start));
	(*at)++;
	f->type = *(*at)++;
	f->of = 0;
	if (f->type == 'A')
		f->of = *(*at)++;
	if (**at >= '0' && **at <= '9') {
		from = number(at);
		if (**at == '-') {
			(*at)++;
			to = number(at);
		} else {
			(*at)++;
		}
	}
	f->has_body = **at == '(';
	if (f->has_body)
		(*at)++;
	f->here = w->version >= from && w->version <= to;
	return true;
}

/* Behind the ")" of the struct that at is in. */
static const char *behind(const char *at)
{
	for (unsigned depth = 1; depth; at++)
		depth += (*at == '(') - (*at == ')');
	return at;
}

/* -1: null. */
static int64_t length(struct walk *w, bool wide)
{
	if (w->flexible)
		return (int64_t)(rd_varint(&w->rd) & UINT32_MAX) - 1;
	return wide ? (int32_t)rd_u32be(&w->rd) : (int16_t)rd_u16be(&w->rd);
}

static void uuid_text(struct view bytes, char text[40])
{
	size_t len = 0;

	for (size_t i = 0; i < bytes.len; i++)
		len += (size_t)snprintf(text + len, 40 - len, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					bytes.at[i]);
}

static void show_text(struct walk *w, struct view text)
{
	struct view shown = view_sub(text, 0, w->left);

	w->cut |= shown.len < text.len;
	w->left -= shown.len;
	json_str(w->json, shown);
}

/* Records of one uncompressed batch of format 2. */
static void show_records(struct walk *w, struct view batch, uint32_t count)
{
	struct rd rd = rd_make(view_sub(batch, BATCH_HEAD_BYTES, batch.len));

	json_key(w->json, "records");
	json_array(w->json);
	for (uint32_t i = 0; i < count && !rd.bad && w->left; i++) {
		int64_t len = rd_svarint(&rd), key_len, value_len;
		struct rd record;
		struct view key = { NULL, 0 }, value = { NULL, 0 };

		if (len < 0)
			break;
		record = rd_make(rd_bytes(&rd, (size_t)len));
		if (rd.bad)
			break;
		(void)rd_u8(&record);
		(void)rd_svarint(&record);
		(void)rd_svarint(&record);
		key_len = rd_svarint(&record);
		if (key_len > 0)
			key = rd_bytes(&record, (size_t)key_len);
		value_len = rd_svarint(&record);
		if (value_len > 0)
			value = rd_bytes(&record, (size_t)value_len);
		if (record.bad)
			break;
		json_object(w->json);
		if (key_len >= 0) {
			json_key(w->json, "key");
			show_text(w, key);
		}
		json_key(w->json, "value");
		if (value_len >= 0)
			show_text(w, value);
		else
			json_null(w->json);
		json_object_end(w->json);
	}
	json_array_end(w->json);
}

static void show_batch(struct walk *w, struct view batch, uint32_t count)
{
	static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };
	struct rd rd = rd_make(batch);
	uint16_t attributes;

	json_object(w->json);
	json_ku64(w->json, "base_offset", rd_u64be(&rd));
	rd_skip(&rd, 13);
	attributes = rd_u16be(&rd);
	json_ku64(w->json, "count", count);
	json_kcstr(w->json, "compression", (attributes & 7) < 5 ? codecs[attributes & 7] : "unknown");
	rd_skip(&rd, 4);
	json_ku64(w->json, "first_timestamp_ms", rd_u64be(&rd));
	rd_skip(&rd, 8);
	json_ki64(w->json, "producer_id", (int64_t)rd_u64be(&rd));
	if (!(attributes & 7))
		show_records(w, batch, count);
	json_object_end(w->json);
}

/* Batches (format 2) and messages of old; the last of a fetch may be cut short. */
static void records(struct walk *w)
{
	int64_t len = w->flexible ? length(w, true) : (int32_t)rd_u32be(&w->rd);
	size_t there = rd_left(&w->rd);
	uint64_t count = 0;
	struct view all;

	if (w->json)
		json_array(w->json);
	if (len > 0 && !w->rd.bad) {
		all = rd_bytes(&w->rd, (uint64_t)len < there ? (size_t)len : there);
		while (all.len > MESSAGE_HEAD_BYTES + 5) {
			struct rd rd = rd_make(all);
			uint32_t size, n = 1;
			struct view batch;
			uint8_t magic;

			rd_skip(&rd, 8);
			size = rd_u32be(&rd);
			rd_skip(&rd, 4);
			magic = rd_u8(&rd);
			batch = view_sub(all, 0, (size_t)size + MESSAGE_HEAD_BYTES);
			if (magic >= 2) {
				rd = rd_make(view_sub(batch, BATCH_HEAD_BYTES - 4, 4));
				n = rd_u32be(&rd);
				if (rd.bad)
					break;
				if (w->json)
					show_batch(w, batch, n);
			} else if (w->json) {
				json_object(w->json);
				json_ku64(w->json, "magic", magic);
				json_ku64(w->json, "bytes", size);
				json_object_end(w->json);
			}
			count += n;
			all = view_sub(all, batch.len, all.len);
		}
		w->rd.bad |= there < (uint64_t)len;
	}
	if (w->json)
		json_array_end(w->json);
	if (w->facts)
		w->facts->records += count;
	if (w->facts && len > 0)
		w->facts->has_records = true;
}

/* PLAIN: authzid NUL authcid NUL password. SCRAM: n,,n=user,r=nonce. */
static struct view sasl_user(struct view token)
{
	const uint8_t *nul = token.len ? memchr(token.at, 0, token.len) : NULL, *end;
	ptrdiff_t at;

	if (nul) {
		token = view_sub(token, (size_t)(nul - token.at) + 1, token.len);
		end = token.len ? memchr(token.at, 0, token.len) : NULL;
		return end ? view_make(token.at, (size_t)(end - token.at)) : view_make("", 0);
	}
	at = view_find(token, VIEW_LIT(",n="));
	if (at < 0 || !view_starts(token, "n,"))
		return view_make("", 0);
	token = view_sub(token, (size_t)at + 3, token.len);
	end = memchr(token.at, ',', token.len);
	return end ? view_make(token.at, (size_t)(end - token.at)) : view_make("", 0);
}

static void text_value(struct walk *w, char type)
{
	bool wide = type == 'y' || type == 'p';
	int64_t len = length(w, wide);
	struct view text = { NULL, 0 };

	if (len > 0)
		text = rd_bytes(&w->rd, (size_t)len);
	if (w->facts && !w->rd.bad) {
		struct kafka_facts *facts = w->facts;

		if (type == 't')
			w->name = text;
		if (type == 't' && !facts->topic.len)
			facts->topic = text;
		else if (type == 'g' && !facts->group.len)
			facts->group = text;
		else if (type == 'k' && !facts->other.len)
			facts->other = text;
		else if (type == 'm' && !facts->error_text.len)
			facts->error_text = text;
		else if (type == 'p')
			facts->user = sasl_user(text);
	}
	if (!w->json)
		return;
	if (len < 0 || w->rd.bad)
		json_null(w->json);
	else if (wide)
		json_printf(w->json, "%zu bytes", text.len);
	else
		show_text(w, text);
}

static void value(struct walk *w, char type, struct view name)
{
	char text[40] = "";
	struct view id;
	int64_t n = 0;

	switch (type) {
	case 'b':
	case 'B':
		n = (int8_t)rd_u8(&w->rd);
		break;
	case 'h':
	case 'e':
		n = (int16_t)rd_u16be(&w->rd);
		break;
	case 'i':
		n = (int32_t)rd_u32be(&w->rd);
		break;
	case 'l':
		n = (int64_t)rd_u64be(&w->rd);
		break;
	case 'u':
	case 'T':
		id = rd_bytes(&w->rd, 16);
		uuid_text(id, text);
		if (type == 'T' && w->facts && !w->rd.bad && !w->facts->topic_id[0]) {
			memcpy(w->facts->topic_id, text, sizeof(text));
			w->facts->topic_uuid = id;
		}
		if (type == 'u' && w->facts && !w->rd.bad && w->name.len && view_is(name, "topic_id")) {
			if (w->facts->named_count < KAFKA_NAMED_MAX)
				w->facts->named[w->facts->named_count++] = (struct kafka_named){ w->name, id };
			w->name.len = 0;
		}
		if (w->json)
			json_cstr(w->json, text);
		return;
	case 'r':
		records(w);
		return;
	default:
		text_value(w, type);
		return;
	}
	if (w->facts && !w->rd.bad && type == 'e') {
		w->facts->has_error = true;
		if (!w->facts->error)
			w->facts->error = (int16_t)n;
	}
	if (w->facts && !w->rd.bad && n == 0 && view_is(name, "acks"))
		w->facts->no_answer = true;
	if (!w->json)
		return;
	if (w->rd.bad)
		json_null(w->json);
	else if (type == 'B')
		json_bool(w->json, n != 0);
	else if (type == 'e' && kafka_error((int16_t)n))
		json_cstr(w->json, kafka_error((int16_t)n));
	else
		json_i64(w->json, n);
}

/* Recursion is as deep as the schema. */
static void fields(struct walk *w, const char **at, bool whole)
{
	struct field f;

	while (!w->rd.bad && field_next(w, at, &f)) {
		const char *inner = *at;
		int64_t count;

		if (!f.here) {
			if (f.has_body)
				*at = behind(inner);
			continue;
		}
		if (w->json)
			json_keyv(w->json, f.name);
		if (f.type != 'a' && f.type != 'A') {
			value(w, f.type, f.name);
			continue;
		}
		count = length(w, true);
		if (w->json && count >= 0)
			json_array(w->json);
		else if (w->json)
			json_null(w->json);
		for (int64_t i = 0; i < count && !w->rd.bad && (!w->json || w->left); i++) {
			size_t before = rd_left(&w->rd);

			if (f.type == 'A') {
				value(w, f.of, f.name);
			} else {
				*at = inner;
				if (w->json)
					json_object(w->json);
				fields(w, at, true);
				if (w->json)
					json_object_end(w->json);
			}
			if (rd_left(&w->rd) == before)
				w->rd.bad = true;	/* an element of no bytes: the count is not to be believed */
		}
		if (w->json && count >= 0)
			json_array_end(w->json);
		if (f.type == 'a')
			*at = behind(inner);
	}
	if (whole && w->flexible && !w->rd.bad)
		skip_tags(&w->rd);
}

void kafka_facts(const struct kafka_api *api, unsigned version, bool response, struct view body, struct kafka_facts *facts)
{
	struct walk w = { .rd = rd_make(body), .version = version, .flexible = version >= api->flexible, .facts = facts };
	const char *at = response ? api->response : api->request;

	memset(facts, 0, offsetof(struct kafka_facts, named));
	if (version > api->last)
		return;
	fields(&w, &at, false);
	if (w.rd.bad)
		facts->has_records = false;
}

static void show_body(const struct kafka_api *api, unsigned version, bool response, struct view body, size_t max,
		      struct json *json)
{
	struct walk w = { .rd = rd_make(body), .version = version, .flexible = version >= api->flexible, .json = json,
			  .left = max };
	const char *at = response ? api->response : api->request;

	json_key(json, "body");
	if (version > api->last) {
		json_null(json);
		return;
	}
	json_object(json);
	fields(&w, &at, false);
	json_object_end(json);
	if (w.cut || !w.left || w.rd.bad)
		json_kbool(json, "truncated", true);
}

int kafka_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct kafka_request r = { .api = NULL };
	struct rd rd = rd_make(response);

	if (request.len && kafka_request(request, &r) == KAFKA_HEAD) {
		json_key(json, "request");
		json_object(json);
		json_kcstr(json, "api", r.api->name);
		json_ku64(json, "api_key", r.key);
		json_ku64(json, "api_version", r.version);
		json_ki64(json, "correlation_id", r.id);
		json_kstr(json, "client_id", r.client_id);
		show_body(r.api, r.version, false, r.body, body_max, json);
		json_object_end(json);
	}
	if (response.len >= 8) {
		json_key(json, "response");
		json_object(json);
		(void)rd_u32be(&rd);
		json_ki64(json, "correlation_id", (int32_t)rd_u32be(&rd));
		if (r.api)
			show_body(r.api, r.version, true, kafka_response_body(r.api, r.version, response), body_max, json);
		json_object_end(json);
	}
	return 0;
}
