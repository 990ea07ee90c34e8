/* A TLS handshake in full, and a certificate. */
#ifndef WIRE_TLS_SHOW_H
#define WIRE_TLS_SHOW_H

#include "base/json.h"

/* As proto_ops.detail. */
int tls_detail(struct view request, struct view response, size_t body_max, struct json *json);
/* Members of the open object out of handshake messages that came without records, as in QUIC. */
void tls_show_quic(struct json *json, struct view messages);
/* For DTLS: an object for one message, the body of which may not be whole; one for a record that holds none. */
void tls_show_message(struct json *json, uint8_t type, struct view body, bool whole);
struct tls_record;
void tls_show_record(struct json *json, const struct tls_record *record, struct view body);
/* Members of the open object out of an X.509 certificate in DER: subject, issuer, names, validity. */
void x509_show(struct view der, struct json *json);

#endif
