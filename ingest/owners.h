/*
 * Sockets and their owners, by cookie and by address: who is at the local end.
 * Bounded: when full, the socket longest unheard of is forgotten, closed ones
 * first. One thread.
 */
#ifndef INGEST_OWNERS_H
#define INGEST_OWNERS_H

#include "ingest/enrich.h"
#include "ingest/source.h"

struct sock_tuple {
	struct ip local, remote;
	uint16_t lport, rport;
	uint8_t proto;
	uint32_t netns;
};

struct owned_sock {
	uint64_t cookie;
	struct sock_tuple tuple;
	bool has_tuple, accepted, existing, closed;
	struct party *party;		/* held; NULL while unknown */
};

struct owners;

/* socks_max 0 = 131,072. NULL: out of memory. enrich is borrowed and gives the parties back. */
struct owners *owners_new(struct enrich *enrich, size_t socks_max);
void owners_free(struct owners *owners);
/*
 * Take notice of a SOCK_OPEN or SOCK_OWNER event. Returns the socket (borrowed, valid until the next
 * call that changes the table), NULL when memory is out.
 */
const struct owned_sock *owners_open(struct owners *owners, const struct sock_event *event);
/* The socket is closed: kept for late packets until room is needed. */
void owners_closed(struct owners *owners, uint64_t cookie);
/* NULL when unknown. netns 0 in the table or in the question fits any. */
const struct owned_sock *owners_by_cookie(const struct owners *owners, uint64_t cookie);
const struct owned_sock *owners_by_tuple(const struct owners *owners, const struct sock_tuple *tuple);
size_t owners_count(const struct owners *owners);

#endif
