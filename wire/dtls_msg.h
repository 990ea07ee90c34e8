/* Records and handshake fragments of DTLS (RFC 6347, RFC 9147). Pure. */
#ifndef WIRE_DTLS_MSG_H
#define WIRE_DTLS_MSG_H

#include "base/json.h"
#include "base/view.h"

#define DTLS_HELLO_BYTES_MAX	((size_t)16 << 10)
#define DTLS_CID		25	/* content type of RFC 9146: its true one is encrypted */

struct dtls_record {
	uint8_t type;		/* TLS_... */
	uint16_t version, epoch;
	bool encrypted;		/* as its epoch or its form says */
	bool unified;		/* the short form of DTLS 1.3, always encrypted: type and version are not told */
	struct view body;
	bool cut;		/* fewer bytes are there than it has */
};
/* The record that *rest begins with; *rest moves behind it. False: none, or none left. */
bool dtls_record_next(struct view *rest, struct dtls_record *ret_record);

struct dtls_fragment {
	uint8_t type;
	uint32_t len;		/* of the whole message */
	uint16_t seq;		/* of the message */
	uint32_t off;		/* of the fragment in it */
	struct view bytes;	/* may be cut */
};
/* The next fragment in the body of a handshake record in clear. */
bool dtls_fragment_next(struct view *body, struct dtls_fragment *ret_fragment);

/* As proto_ops.detail, out of the handshake's datagrams one behind the other. */
int dtls_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
