/* What wire/tcp.c has of wire/tcp_pool.c. Nobody else includes it. */
#ifndef WIRE_TCP_POOL_H
#define WIRE_TCP_POOL_H

#include "wire/tcp.h"

/* A direction's first trouble. When memory is out, one that nobody reads. */
struct tcp_trouble *tcp_trouble_make(struct tcp_pool *pool, struct tcp_dir *dir);

static inline struct tcp_trouble *tcp_trouble_of(struct tcp_conn *conn, struct tcp_dir *dir)
{
	return __builtin_expect(dir->trouble != NULL, 0) ? dir->trouble : tcp_trouble_make(conn->pool, dir);
}

#endif
