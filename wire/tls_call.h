/* What handshakes of TLS and of DTLS say in the row of their call. call may be NULL everywhere. */
#ifndef WIRE_TLS_CALL_H
#define WIRE_TLS_CALL_H

#include "wire/dissect.h"
#include "wire/tls_msg.h"

#define TLS_ALPN_MAX 32

/* What both sides have come to so far; zeroed at start. */
struct tls_agreed {
	bool chosen;		/* a ServerHello was seen */
	bool retry, cookie, resumed;
	uint8_t alpn_len;
	uint16_t version, suite, group;
	char alpn[TLS_ALPN_MAX];
};

void tls_call_offer(struct call_sink *sink, struct call *call, const struct tls_hello *hello);
void tls_call_choose(struct call_sink *sink, struct call *call, const struct tls_hello *hello, struct tls_agreed *agreed);
/* The columns of what was agreed on; once. */
void tls_call_answers(struct call_sink *sink, struct call *call, const struct tls_agreed *agreed);
/* An alert in clear. True: it ends the handshake, tls_call_refused() follows. */
bool tls_call_alert(struct call_sink *sink, struct call *call, uint8_t level, uint8_t alert, bool client);
/* One side, client or server, did not like what it saw. */
void tls_call_refused(struct call *call, bool client);

#endif
