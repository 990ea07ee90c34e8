#include "wire/snmp_msg.h"

#include "base/rd.h"
#include "wire/dissect.h"
#include "wire/secret.h"

#define VALUE_TEXT_MAX 512

enum { VERSION_1 = 0, VERSION_2C = 1, VERSION_3 = 3 };
enum { FLAG_AUTH = 1, FLAG_PRIV = 2, FLAG_REPORTABLE = 4 };
enum { IP_ADDRESS = 0x40, COUNTER32 = 0x41, GAUGE32 = 0x42, TIME_TICKS = 0x43, OPAQUE = 0x44, COUNTER64 = 0x46,
       NO_SUCH_OBJECT = 0x80, NO_SUCH_INSTANCE = 0x81, END_OF_VIEW = 0x82 };

/* Generic trap and what belongs to it. */
static bool read_trap(struct view body, struct snmp_msg *msg)
{
	struct view ticks;

	return ber_take(&body, BER_OID, &msg->enterprise) && ber_take(&body, IP_ADDRESS, &msg->agent) &&
	       ber_take_int(&body, BER_INTEGER, &msg->generic) && ber_take_int(&body, BER_INTEGER, &msg->specific) &&
	       ber_take(&body, TIME_TICKS, &ticks);
}

/* A PDU at the head of rest. */
static bool read_pdu(struct view rest, struct snmp_msg *msg)
{
	struct ber_elem pdu, list;

	if (!ber_next(&rest, &pdu) || pdu.tag < SNMP_GET || pdu.tag > SNMP_REPORT)
		return false;
	msg->pdu = pdu.tag;
	if (pdu.tag == SNMP_TRAP1) {
		struct ber_elem skip;

		if (!read_trap(pdu.body, msg))
			return false;
		for (unsigned i = 0; i < 5; i++)
			(void)ber_next(&pdu.body, &skip);
	} else if (!ber_take_int(&pdu.body, BER_INTEGER, &msg->request_id) ||
		   !ber_take_int(&pdu.body, BER_INTEGER, &msg->error_status) ||
		   !ber_take_int(&pdu.body, BER_INTEGER, &msg->error_index)) {
		return false;
	}
	if (!ber_next(&pdu.body, &list) || list.tag != BER_SEQUENCE)
		return false;
	msg->variables = list.body;
	return true;
}

static bool read_v3(struct view rest, struct snmp_msg *msg)
{
	struct view header, flags, security, inner;
	int64_t id, size, model, boots, time;
	struct ber_elem data;

	if (!ber_take(&rest, BER_SEQUENCE, &header) || !ber_take_int(&header, BER_INTEGER, &id) ||
	    !ber_take_int(&header, BER_INTEGER, &size) || !ber_take(&header, BER_OCTETS, &flags) || flags.len != 1 ||
	    !ber_take_int(&header, BER_INTEGER, &model) || !ber_take(&rest, BER_OCTETS, &security))
		return false;
	msg->msg_id = (uint32_t)id;
	msg->authenticated = flags.at[0] & FLAG_AUTH;
	msg->reportable = flags.at[0] & FLAG_REPORTABLE;
	/* the user-based model (RFC 3414 2.4); of others nothing is known */
	if (model == 3 && ber_take(&security, BER_SEQUENCE, &inner)) {
		if (!ber_take(&inner, BER_OCTETS, &msg->engine) || !ber_take_int(&inner, BER_INTEGER, &boots) ||
		    !ber_take_int(&inner, BER_INTEGER, &time) || !ber_take(&inner, BER_OCTETS, &msg->user))
			return false;
	}
	if (!ber_next(&rest, &data))
		return false;
	if (data.tag == BER_OCTETS && flags.at[0] & FLAG_PRIV) {
		msg->encrypted = true;
		return true;
	}
	if (data.tag != BER_SEQUENCE || !ber_take(&data.body, BER_OCTETS, &inner) ||
	    !ber_take(&data.body, BER_OCTETS, &msg->context))
		return false;
	return read_pdu(data.body, msg);
}

bool snmp_msg(struct view bytes, struct snmp_msg *ret_msg)
{
	struct snmp_msg msg = { .version = 0 };
	struct ber_elem all;
	struct view community;
	int64_t version;

	if (!ber_next(&bytes, &all) || all.tag != BER_SEQUENCE || !ber_take_int(&all.body, BER_INTEGER, &version))
		return false;
	if (version == VERSION_3) {
		msg.version = 3;
		if (!read_v3(all.body, &msg))
			return false;
	} else if (version == VERSION_1 || version == VERSION_2C) {
		msg.version = (uint8_t)(version + 1);
		if (!ber_take(&all.body, BER_OCTETS, &community) || !read_pdu(all.body, &msg))
			return false;
	} else {
		return false;
	}
	*ret_msg = msg;
	return true;
}

bool snmp_next(struct view *rest, struct view *ret_oid, struct ber_elem *ret_value)
{
	struct view after = *rest, pair;

	if (!ber_take(&after, BER_SEQUENCE, &pair) || !ber_take(&pair, BER_OID, ret_oid) || !ber_next(&pair, ret_value))
		return false;
	*rest = after;
	return true;
}

const char *snmp_pdu_name(uint8_t pdu)
{
	static const char *const names[] = { "get", "getnext", "response", "set", "trap", "getbulk", "inform", "trap", "report" };

	return pdu >= SNMP_GET && pdu <= SNMP_REPORT ? names[pdu - SNMP_GET] : NULL;
}

const char *snmp_error_name(int64_t status)
{
	static const char *const names[] = {
		"noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType", "wrongLength",
		"wrongEncoding", "wrongValue", "noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed",
		"undoFailed", "authorizationError", "notWritable", "inconsistentName",
	};

	return status >= 0 && status < (int64_t)(sizeof(names) / sizeof(names[0])) ? names[status] : NULL;
}

const char *snmp_version_name(uint8_t version)
{
	return version == 1 ? "1" : version == 2 ? "2c" : "3";
}

const char *snmp_report_name(struct view oid)
{
	static const char *const names[] = { "unsupportedSecLevels", "notInTimeWindows", "unknownUserNames",
					     "unknownEngineIDs", "wrongDigests", "decryptionErrors" };
	static const uint8_t prefix[] = { 0x2b, 6, 1, 6, 3, 15, 1, 1 };		/* usmStats */

	if (oid.len < sizeof(prefix) + 1 || memcmp(oid.at, prefix, sizeof(prefix)) != 0)
		return NULL;
	return oid.at[sizeof(prefix)] >= 1 && oid.at[sizeof(prefix)] <= 6 ? names[oid.at[sizeof(prefix)] - 1] : NULL;
}

void snmp_value_text(const struct ber_elem *value, struct txt *txt)
{
	struct view body = value->body;
	int64_t number;

	switch (value->tag) {
	case BER_INTEGER:
		if (ber_int(body, &number))
			txt_printf(txt, "%lld", (long long)number);
		break;
	case COUNTER32:
	case GAUGE32:
	case TIME_TICKS:
	case COUNTER64:
		if (ber_int(body, &number))
			txt_printf(txt, "%llu", (unsigned long long)number);
		break;
	case BER_OID:
		(void)ber_oid(body, txt);
		break;
	case IP_ADDRESS:
		if (body.len == 4)
			txt_printf(txt, "%u.%u.%u.%u", body.at[0], body.at[1], body.at[2], body.at[3]);
		break;
	case BER_NULL:
		break;
	case NO_SUCH_OBJECT:
		txt_str(txt, "noSuchObject");
		break;
	case NO_SUCH_INSTANCE:
		txt_str(txt, "noSuchInstance");
		break;
	case END_OF_VIEW:
		txt_str(txt, "endOfMibView");
		break;
	default:
		if (txt_is_text(body)) {
			txt_put(txt, body);
		} else {
			txt_str(txt, "0x");
			txt_hex(txt, body);
		}
		break;
	}
}

/* ---- a call in full ---- */

static const char *type_name(uint8_t tag)
{
	switch (tag) {
	case BER_INTEGER:
		return "integer";
	case BER_OCTETS:
		return "octets";
	case BER_NULL:
		return "null";
	case BER_OID:
		return "oid";
	case IP_ADDRESS:
		return "address";
	case COUNTER32:
		return "counter32";
	case GAUGE32:
		return "gauge32";
	case TIME_TICKS:
		return "timeticks";
	case OPAQUE:
		return "opaque";
	case COUNTER64:
		return "counter64";
	default:
		return "exception";
	}
}

static void show_variables(struct view rest, size_t *budget, struct json *json)
{
	char text[VALUE_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct ber_elem value;
	struct view oid;

	json_key(json, "variables");
	json_array(json);
	while (*budget && snmp_next(&rest, &oid, &value)) {
		json_object(json);
		txt.len = 0;
		txt.cut = false;
		(void)ber_oid(oid, &txt);
		json_kstr(json, "oid", txt_view(&txt));
		*budget -= txt.len < *budget ? txt.len : *budget;
		json_kcstr(json, "type", type_name(value.tag));
		txt.len = 0;
		txt.cut = false;
		snmp_value_text(&value, &txt);
		json_kstr(json, "value", view_sub(txt_view(&txt), 0, *budget));
		*budget -= txt.len < *budget ? txt.len : *budget;
		json_object_end(json);
	}
	json_array_end(json);
	if (!*budget)
		json_kbool(json, "truncated", true);
}

static void show_pdu(const struct snmp_msg *msg, size_t budget, struct json *json)
{
	char text[VALUE_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	json_kcstr(json, "pdu", snmp_pdu_name(msg->pdu));
	if (msg->pdu == SNMP_TRAP1) {
		(void)ber_oid(msg->enterprise, &txt);
		json_kstr(json, "enterprise", txt_view(&txt));
		txt.len = 0;
		snmp_value_text(&(struct ber_elem){ .tag = IP_ADDRESS, .body = msg->agent }, &txt);
		json_kstr(json, "agent", txt_view(&txt));
		json_ki64(json, "generic", msg->generic);
		json_ki64(json, "specific", msg->specific);
	} else {
		json_ki64(json, "request_id", msg->request_id);
		if (msg->pdu == SNMP_GETBULK) {
			json_ki64(json, "non_repeaters", msg->error_status);
			json_ki64(json, "max_repetitions", msg->error_index);
		} else {
			json_ki64(json, "error_status", msg->error_status);
			if (snmp_error_name(msg->error_status))
				json_kcstr(json, "error", snmp_error_name(msg->error_status));
			json_ki64(json, "error_index", msg->error_index);
		}
	}
	show_variables(msg->variables, &budget, json);
}

static void show_message(const char *key, struct view bytes, size_t budget, struct json *json)
{
	char hex[64];
	struct txt txt = { .at = hex, .cap = sizeof(hex) };
	struct snmp_msg msg;

	json_key(json, key);
	json_object(json);
	if (snmp_msg(bytes, &msg)) {
		json_kcstr(json, "version", snmp_version_name(msg.version));
		if (msg.version < 3) {
			json_kcstr(json, "community", SECRET_MASK);
		} else {
			json_ku64(json, "msg_id", msg.msg_id);
			show_kbytes(json, "user", msg.user, &budget);
			txt_hex(&txt, msg.engine);
			json_kstr(json, "engine", txt_view(&txt));
			json_kbool(json, "authenticated", msg.authenticated);
			json_kbool(json, "encrypted", msg.encrypted);
			json_kbool(json, "reportable", msg.reportable);
			show_kbytes(json, "context", msg.context, &budget);
		}
		if (msg.pdu)
			show_pdu(&msg, budget, json);
	}
	json_object_end(json);
}

int snmp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_message("request", request, body_max, json);
	if (response.len)
		show_message("response", response, body_max, json);
	return 0;
}
