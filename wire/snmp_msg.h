/* SNMP messages (RFC 1157, 3416, 3412, 3414): envelope, PDU, variables, and a call as JSON. Pure. */
#ifndef WIRE_SNMP_MSG_H
#define WIRE_SNMP_MSG_H

#include "base/json.h"
#include "wire/ber.h"

/* Tags of the PDUs. */
enum {
	SNMP_GET = 0xa0, SNMP_GETNEXT = 0xa1, SNMP_RESPONSE = 0xa2, SNMP_SET = 0xa3, SNMP_TRAP1 = 0xa4,
	SNMP_GETBULK = 0xa5, SNMP_INFORM = 0xa6, SNMP_TRAP2 = 0xa7, SNMP_REPORT = 0xa8,
};

struct snmp_msg {
	uint8_t version;		/* 1, 2 (2c), 3 */
	bool encrypted;			/* there is no PDU to see */
	bool authenticated, reportable;	/* version 3 */
	uint32_t msg_id;		/* version 3 */
	struct view user, engine, context;	/* version 3 */
	uint8_t pdu;			/* tag; 0 where it is encrypted */
	int64_t request_id, error_status, error_index;	/* of GETBULK: non-repeaters, max-repetitions */
	struct view variables;		/* list of variable bindings; its end may be missing */
	/* SNMP_TRAP1 */
	struct view enterprise, agent;
	int64_t generic, specific;
};

/* False: no message. */
bool snmp_msg(struct view bytes, struct snmp_msg *ret_msg);
/* The next variable of *rest: its name's and value's contents. */
bool snmp_next(struct view *rest, struct view *ret_oid, struct ber_elem *ret_value);
void snmp_value_text(const struct ber_elem *value, struct txt *txt);
const char *snmp_pdu_name(uint8_t pdu);		/* "getbulk"; NULL: none of them */
const char *snmp_error_name(int64_t status);	/* "noSuchName"; NULL: unknown */
const char *snmp_version_name(uint8_t version);	/* "2c" */
/* What a report counts (RFC 3414 5): "unknownUserNames"; NULL: something else. */
const char *snmp_report_name(struct view oid);

/* As proto_ops.detail. */
int snmp_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
