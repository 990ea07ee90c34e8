/*
 * BER (X.690) as LDAP and SNMP use it: one-octet tags and definite lengths.
 * Pure; every length is a claim and is cut to what is there.
 */
#ifndef WIRE_BER_H
#define WIRE_BER_H

#include "wire/txt.h"

enum {
	BER_BOOLEAN = 1, BER_INTEGER = 2, BER_OCTETS = 4, BER_NULL = 5, BER_OID = 6, BER_ENUM = 10,
	BER_SEQUENCE = 0x30, BER_SET = 0x31,
};
#define BER_LEN_MAX ((uint64_t)1 << 30)	/* nobody means more; as an SNMP or LDAP message neither */

struct ber_elem {
	uint8_t tag;
	bool cut;		/* it is longer than what there is */
	struct view body;
};

/* Length of tag and length octets; 0: more bytes are needed to tell, -1: nothing of ours. */
int ber_head(struct view bytes, uint8_t *ret_tag, uint64_t *ret_len);
/* The next element of *rest, which moves behind it. False at the end, or where no element is. */
bool ber_next(struct view *rest, struct ber_elem *ret_elem);
/* The same, if it has this tag and is there whole; else *rest stays. */
bool ber_take(struct view *rest, uint8_t tag, struct view *ret_body);
/* An integer or enumeration of at most eight octets, tag and all. */
bool ber_take_int(struct view *rest, uint8_t tag, int64_t *ret_value);
/* Contents of an integer, of an object identifier ("1.3.6.1"); false: no such thing. */
bool ber_int(struct view body, int64_t *ret_value);
bool ber_oid(struct view body, struct txt *txt);

#endif
