/* SIP messages (RFC 3261) and session descriptions (RFC 8866). Pure. */
#ifndef WIRE_SIP_MSG_H
#define WIRE_SIP_MSG_H

#include "base/json.h"

struct sip_msg {
	bool request;
	struct view method;	/* of the request line, or of CSeq */
	struct view uri;
	uint16_t status;
	struct view reason;
	struct view fields;	/* the header lines */
	struct view branch;	/* of the topmost Via */
	struct view call_id, cseq;	/* cseq: the number */
	struct view from, to;	/* addresses, without names and parameters */
	struct view user_agent;	/* User-Agent, else Server */
	struct view content_type;
	bool has_length;
	uint64_t length;
	uint64_t key;		/* of the transaction */
};

/* Is this a start line? */
bool sip_start(struct view line);
/* Some byte of bytes, which hold no whole line yet, cannot be of a start line. */
bool sip_may_start(struct view bytes);
/* head: one message's bytes up to its empty line, or as much as there is. */
bool sip_parse(struct view head, struct sip_msg *ret_msg);
/* The long name of a header's compact form; else the name itself. */
struct view sip_header_name(struct view name);
/* sip:alice@example.com:5060;x=y becomes sip:{id}@example.com:5060. Returns its length. */
size_t sip_template(struct view uri, char *text, size_t cap);
struct view sip_uri_host(struct view uri);

/* As proto_ops.detail. */
int sip_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
