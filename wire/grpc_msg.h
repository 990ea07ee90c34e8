/*
 * gRPC over HTTP/2 and gRPC-Web (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and
 * PROTOCOL-WEB.md): the messages in a body, and how a call ended.
 */
#ifndef WIRE_GRPC_MSG_H
#define WIRE_GRPC_MSG_H

#include "wire/proto.h"

#define GRPC_STATUS_NONE	-1
#define GRPC_HEAD_BYTES		5	/* flags, length */
#define GRPC_MESSAGE_MAX	512

enum grpc_kind { GRPC_NO, GRPC_H2, GRPC_WEB, GRPC_WEB_TEXT };

/* By content-type. */
enum grpc_kind grpc_kind(struct view content_type);
/* GRPC_NO where calls of that kind are switched off. */
enum grpc_kind grpc_wanted(const struct call_sink *sink, enum grpc_kind kind);

/* Where a body is in its messages; zeroed at its start. */
struct grpc_walk {
	uint64_t left;		/* of the message at hand, in bytes of the body */
	uint64_t bytes;		/* of all messages begun, heads not counted */
	uint32_t count;		/* messages begun */
	uint8_t head[GRPC_HEAD_BYTES], have;
	uint8_t quad[4], quad_have;	/* base64 */
	bool text;		/* base64, in pieces that may each end in padding */
	bool in_trailers;	/* gRPC-Web: the message at hand is the trailers */
	uint8_t *trailers;	/* memory of the call */
	uint32_t trailers_have, trailers_cap;
};

/* So many of the bytes to come need not be shown. */
uint64_t grpc_walk_blind(const struct grpc_walk *walk);
void grpc_walk_pass(struct grpc_walk *walk, uint64_t bytes);
/* call may be NULL: then trailers are not kept. True when the trailers are whole. */
bool grpc_walk_bytes(struct grpc_walk *walk, struct view bytes, struct call_sink *sink, struct call *call);
/* Base64, pieces with padding one behind the other. Fills at most cap (192 or so) bytes; *ret_used: of in. */
size_t grpc_unbase64(struct view in, uint8_t *out, size_t cap, size_t *ret_used);
/* Lines "name: value" as in HTTP/1. */
struct view grpc_walk_trailers(const struct grpc_walk *walk);

/* "OK"; NULL: no such code. */
const char *grpc_status_name(uint64_t code);
/* As OpenTelemetry has it for servers; what it calls no error of the server's is the client's. */
uint8_t grpc_status_class(uint64_t code);
/* What a client takes an HTTP status without grpc-status for (doc/http-grpc-status-mapping.md). */
uint8_t grpc_status_of_http(unsigned status);
/* "%20" and the like undone. Returns the length. */
size_t grpc_percent(struct view in, char *text, size_t cap);

/* status and its words, class, error of a call, from the values of grpc-status and grpc-message (may be empty). */
void grpc_set_status(struct call_sink *sink, struct call *call, struct view status, struct view message);
/* The same where the response ended without grpc-status; http_status 0: not known. */
void grpc_set_missing(struct call_sink *sink, struct call *call, unsigned http_status);
/* The same from gRPC-Web's trailers. False: no status in them. */
bool grpc_set_trailers(struct call_sink *sink, struct call *call, struct view trailers);
/* method and target of the call become the RPC's, l7 gRPC's. target: in the row. */
void grpc_set_request(struct call *call, enum grpc_kind kind);

#endif
