/* DHCPv4 (RFC 2131, BOOTP RFC 951) and DHCPv6 (RFC 8415) messages: head, options, and a call as JSON. Pure. */
#ifndef WIRE_DHCP_MSG_H
#define WIRE_DHCP_MSG_H

#include "base/ip.h"
#include "base/json.h"
#include "wire/txt.h"

#define DHCP4_FIXED_BYTES	236	/* before the cookie */

enum {
	DHCP4_DISCOVER = 1, DHCP4_OFFER = 2, DHCP4_REQUEST = 3, DHCP4_DECLINE = 4, DHCP4_ACK = 5, DHCP4_NAK = 6,
	DHCP4_RELEASE = 7, DHCP4_INFORM = 8, DHCP4_FORCERENEW = 9, DHCP4_LEASEQUERY = 10, DHCP4_LEASEUNASSIGNED = 11,
	DHCP4_LEASEUNKNOWN = 12, DHCP4_LEASEACTIVE = 13,
};
enum {
	DHCP6_SOLICIT = 1, DHCP6_ADVERTISE = 2, DHCP6_REPLY = 7, DHCP6_RECONFIGURE = 10, DHCP6_RELAY = 12,
	DHCP6_RELAY_REPLY = 13, DHCP6_LEASEQUERY_REPLY = 15,
};
enum {
	OPT4_HOST_NAME = 12, OPT4_REQUESTED = 50, OPT4_OVERLOAD = 52, OPT4_TYPE = 53, OPT4_SERVER = 54,
	OPT4_MESSAGE = 56, OPT4_VENDOR_CLASS = 60,
};
enum {
	OPT6_CLIENT = 1, OPT6_IA_NA = 3, OPT6_IA_TA = 4, OPT6_ADDRESS = 5, OPT6_RELAY_MESSAGE = 9, OPT6_STATUS = 13,
	OPT6_IA_PD = 25, OPT6_PREFIX = 26, OPT6_FQDN = 39,
};

struct dhcp4 {
	struct view all;
	uint8_t op, type;		/* type 0: BOOTP */
	uint32_t xid;
	uint16_t secs, flags;
	uint8_t hops;
	struct view client, yours, server, gateway;	/* addresses, four bytes each */
	struct view hardware;		/* the client's */
	struct view options[3];		/* behind the cookie, and where they overflow to: file, sname */
};

struct dhcp_opt {
	uint16_t code;
	struct view value;
};

/* False: too short, or neither request nor reply. */
bool dhcp4_msg(struct view bytes, struct dhcp4 *ret_msg);
/* Does the cookie say that it is DHCP beyond doubt? */
bool dhcp4_has_cookie(struct view bytes);
/* The next option; *list and *rest are zeroed at first. False at the end. */
bool dhcp4_next(const struct dhcp4 *msg, unsigned *list, struct view *rest, struct dhcp_opt *ret_opt);
bool dhcp4_find(const struct dhcp4 *msg, uint8_t code, struct view *ret_value);
void dhcp4_type_text(const struct dhcp4 *msg, struct txt *txt);	/* "DISCOVER", "BOOTREQUEST", "TYPE106" */

struct dhcp6 {
	uint8_t type;
	uint32_t xid;
	struct view options;
	bool relayed;			/* it came within relay messages */
};

/* The innermost message of those that relays have wrapped. False: no message. */
bool dhcp6_msg(struct view bytes, struct dhcp6 *ret_msg);
bool dhcp6_next(struct view *rest, struct dhcp_opt *ret_opt);
bool dhcp6_find(struct view options, uint16_t code, struct view *ret_value);
bool dhcp6_whole(struct view options);	/* they fill what there is */
void dhcp6_type_text(uint8_t type, struct txt *txt);
/* The options within an identity association; false: it is none. */
bool dhcp6_association(const struct dhcp_opt *opt, struct view *ret_options);
const char *dhcp6_status_name(unsigned code);	/* NULL: unknown */

void dhcp_ip4_text(struct view bytes, struct txt *txt);
void dhcp_ip6_text(struct view bytes, struct txt *txt);
void dhcp_mac_text(struct view bytes, struct txt *txt);		/* "00:11:22:33:44:55" */
void dhcp_duid_text(struct view duid, struct txt *txt);		/* the MAC in it, else hexadecimal */
void dhcp_name_text(struct view *rest, struct txt *txt);	/* a name of DNS without pointers; *rest moves on */

/* As proto_ops.detail. */
int dhcp_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
