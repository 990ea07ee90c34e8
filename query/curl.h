/* A call of HTTP, of any version, as a command line for curl that sends its request again. Any thread. */
#ifndef QUERY_CURL_H
#define QUERY_CURL_H

#include "query/query.h"

/* bytes: with before. E_UNSUPPORTED: no call of HTTP; E_EXPIRED: its head is not held. out may have got something then. */
int curl_line(const struct call_row *call, const struct query_bytes *bytes, struct wr *out, struct err *err);

#endif
