/*
 * DNS messages (RFC 1035, EDNS RFC 6891, SVCB RFC 9460): header, questions,
 * records, and records as text. Pure; every offset and length in a message is a
 * claim and is checked.
 */
#ifndef WIRE_DNS_MSG_H
#define WIRE_DNS_MSG_H

#include "wire/txt.h"

#define DNS_HEADER_BYTES	12
#define DNS_NAME_TEXT_MAX	1024	/* 255 octets, each at most \DDD */

enum { DNS_QR = 0x8000, DNS_AA = 0x400, DNS_TC = 0x200, DNS_RD = 0x100, DNS_RA = 0x80, DNS_AD = 0x20, DNS_CD = 0x10 };
enum { DNS_OPCODE_QUERY = 0, DNS_OPCODE_NOTIFY = 4, DNS_OPCODE_UPDATE = 5 };
enum {
	DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28,
	DNS_SRV = 33, DNS_DNAME = 39, DNS_OPT = 41, DNS_SVCB = 64, DNS_HTTPS = 65, DNS_SPF = 99, DNS_IXFR = 251,
	DNS_AXFR = 252, DNS_CAA = 257,
};
enum dns_section { DNS_QUESTIONS, DNS_ANSWERS, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

struct dns_msg {
	struct view all;
	uint16_t id, flags;
	uint16_t counts[DNS_SECTIONS];
};

/* A question or a record. */
struct dns_rr {
	enum dns_section section;
	size_t name_off;
	uint16_t type, class;
	uint32_t ttl;
	size_t data_off;
	struct view data;
};

/* Walks questions and records in order. */
struct dns_iter {
	const struct dns_msg *msg;
	size_t off;
	enum dns_section section;
	uint32_t index;		/* within the section */
	const char *problem;	/* NULL while the message is well formed */
};

/* False: shorter than a header. */
bool dns_msg_parse(struct view bytes, struct dns_msg *ret_msg);
void dns_iter_init(struct dns_iter *iter, const struct dns_msg *msg);
/* 1 item, 0 end, -1 malformed (iter->problem, at iter->off). */
int dns_iter_next(struct dns_iter *iter, struct dns_rr *ret_rr);

/*
 * The name at off as text, without the last dot ("." for the root); *ret_next is
 * behind it. False: cut short, a pointer that does not go backwards, over 255 octets.
 * txt may be NULL.
 */
bool dns_name(struct view all, size_t off, struct txt *txt, size_t *ret_next);
/* A record's data as in a zone file, unknown types as in RFC 3597. */
void dns_data_text(const struct dns_msg *msg, const struct dns_rr *rr, struct txt *txt);

/* "AAAA", "TYPE1234"; "IN"; "QUERY"; "NXDOMAIN", "RCODE77". */
void dns_type_text(uint16_t type, struct txt *txt);
void dns_class_text(uint16_t class, struct txt *txt);
const char *dns_opcode_name(unsigned opcode);	/* NULL: unknown */
void dns_rcode_text(unsigned rcode, struct txt *txt);

#endif
