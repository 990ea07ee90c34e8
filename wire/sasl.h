/* SASL exchanges (RFC 4422) of text protocols: who logs in. The secrets stay where they are. Pure. */
#ifndef WIRE_SASL_H
#define WIRE_SASL_H

#include "base/view.h"

#define SASL_USER_MAX 128

/*
 * The user that the client's response number step (from 0, the initial one included) of a
 * mechanism names, in base64: copied to user. 0: none, or not in this one.
 */
size_t sasl_user(struct view mechanism, unsigned step, struct view line, char user[SASL_USER_MAX]);

#endif
