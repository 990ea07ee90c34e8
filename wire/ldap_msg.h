/* LDAP messages (RFC 4511): what is in one, filters and names as text. Pure. */
#ifndef WIRE_LDAP_MSG_H
#define WIRE_LDAP_MSG_H

#include "base/json.h"
#include "wire/ber.h"

/* Tags of the operations. */
enum {
	LDAP_BIND = 0x60, LDAP_BIND_RSP = 0x61, LDAP_UNBIND = 0x42, LDAP_SEARCH = 0x63, LDAP_ENTRY = 0x64,
	LDAP_DONE = 0x65, LDAP_MODIFY = 0x66, LDAP_MODIFY_RSP = 0x67, LDAP_ADD = 0x68, LDAP_ADD_RSP = 0x69,
	LDAP_DELETE = 0x4a, LDAP_DELETE_RSP = 0x6b, LDAP_MODDN = 0x6c, LDAP_MODDN_RSP = 0x6d, LDAP_COMPARE = 0x6e,
	LDAP_COMPARE_RSP = 0x6f, LDAP_ABANDON = 0x50, LDAP_REFERENCE = 0x73, LDAP_EXTENDED = 0x77,
	LDAP_EXTENDED_RSP = 0x78, LDAP_INTERMEDIATE = 0x79,
};
enum { LDAP_SUCCESS = 0, LDAP_BIND_IN_PROGRESS = 14 };
#define LDAP_OID_STARTTLS "1.3.6.1.4.1.1466.20037"

struct ldap_msg {
	uint64_t len;		/* of all of it */
	uint32_t id;
	uint8_t op;
	bool response;
	struct view body;	/* of the operation, as far as it is there */
	struct view controls;
};

/* 1: a message, of which the end may be missing; 0: too few bytes to tell; -1: none. */
int ldap_msg(struct view bytes, struct ldap_msg *ret_msg);
/* A message that is beyond doubt: the operation has what the RFC says it has. */
bool ldap_sure(struct view bytes);
const char *ldap_op_name(uint8_t op);		/* "search", of request and response alike */
const char *ldap_op_title(uint8_t op);		/* "searchResDone" */

struct ldap_result {
	uint32_t code;
	struct view matched, text;
	struct view rest;	/* what the kind of response adds */
};
bool ldap_result(struct view body, struct ldap_result *ret_result);
const char *ldap_result_name(uint32_t code);	/* NULL: unknown */

struct ldap_bind {
	uint32_t version;
	struct view name;
	bool sasl;
	struct view mechanism, credentials;	/* simple: the password */
};
bool ldap_bind(struct view body, struct ldap_bind *ret_bind);
/* Whom a SASL mechanism with readable messages logs in (PLAIN, SCRAM, NTLM); nothing where it is not told. */
void ldap_sasl_user(const struct ldap_bind *bind, struct txt *txt);

struct ldap_search {
	struct view base;
	uint32_t scope, deref, size_limit, time_limit;
	bool types_only;
	struct view filter;	/* BER; may be cut short */
	struct view attributes;
};
bool ldap_search(struct view body, struct ldap_search *ret_search);
const char *ldap_scope_name(uint32_t scope);	/* as in a URL: base, one, sub */

/* The DN an operation is about; empty: none. */
struct view ldap_dn(const struct ldap_msg *msg);
/* A filter as RFC 4515 writes it. fold: values as ?, but those of objectClass. */
void ldap_filter_text(struct view filter, bool fold, struct txt *txt);
/* A DN without the value of its first component, where that names one entry of many. */
void ldap_dn_fold(struct view dn, struct txt *txt);

/*
 * What is in a buffer of a SASL security layer (RFC 4422 3.7) that signs and does not
 * seal: a Kerberos token (RFC 4121 4.2.6.2) or one of NTLM. False: sealed, or another.
 */
bool ldap_sasl_open(struct view token, struct view *ret_inner);

/* As proto_ops.detail. */
int ldap_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
