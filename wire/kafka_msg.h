/* Messages of the Kafka protocol: headers, bodies by their schema (kafka_api.def), a call as JSON. Pure. */
#ifndef WIRE_KAFKA_MSG_H
#define WIRE_KAFKA_MSG_H

#include "base/json.h"
#include "base/view.h"

#define KAFKA_LEN_MAX	(128u << 20)
#define KAFKA_CLIENT_ID_MAX 249
#define KAFKA_NAMED_MAX	24

struct kafka_api {
	uint8_t key;
	uint8_t last, flexible;	/* versions */
	const char *name, *request, *response;
};

const struct kafka_api *kafka_api(unsigned key);	/* NULL: unknown */

struct kafka_request {
	uint32_t len;		/* with the four bytes that tell it */
	uint16_t key, version;
	int32_t id;		/* correlation */
	struct view client_id;
	struct view body;	/* as much as is there, behind the header */
	const struct kafka_api *api;
};

enum kafka_head { KAFKA_NONE, KAFKA_CUT, KAFKA_HEAD };

/* bytes begin with the length. KAFKA_CUT: as far as they go they may be a request. */
enum kafka_head kafka_request(struct view bytes, struct kafka_request *ret_request);

/* What a body says in short; views point into it. */
struct kafka_facts {
	struct view topic, group, other, user, error_text;
	char topic_id[40];	/* when topics have numbers for names */
	struct view topic_uuid;	/* the same as it is: 16 bytes */
	int16_t error;		/* the first that is none of success */
	bool has_error;		/* an error code was read, 0 perhaps */
	bool no_answer;		/* acks = 0 */
	uint64_t records;
	bool has_records;	/* all were counted */
	unsigned named_count;	/* topics told with both: Metadata, CreateTopics */
	struct kafka_named {
		struct view name, uuid;
	} named[KAFKA_NAMED_MAX];
};

void kafka_facts(const struct kafka_api *api, unsigned version, bool response, struct view body, struct kafka_facts *facts);
/* The body of a response: behind the correlation id and, from a flexible version on, its tags. */
struct view kafka_response_body(const struct kafka_api *api, unsigned version, struct view bytes);
const char *kafka_error(int16_t code);	/* NULL: unknown */

/* As proto_ops.detail. */
int kafka_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
