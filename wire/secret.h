/*
 * The one rule for credentials, of every protocol. What proves who somebody is (a password, a
 * token, a key, the answer to a challenge) reaches no column of a row and no detail: there
 * SECRET_MASK stands for it, whatever its length. Who it is, how he proves it (mechanism, scheme)
 * and that he does, is shown. The exact bytes (raw=, as=curl, exported packets) are what was sent.
 *
 * Cookies are shown: what a request did hangs on them too often.
 */
#ifndef WIRE_SECRET_H
#define WIRE_SECRET_H

#include "base/json.h"

#define SECRET_MASK "(masked)"

/* Does an option or an entry of a table by that name hold one? */
bool secret_name(struct view name);
/* "name" and "value" of a header of HTTP, gRPC, SIP and their like, as members of the open object. */
void secret_show_header(struct json *json, struct view name, struct view value);

#endif
