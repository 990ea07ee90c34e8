#include "wire/ldap_msg.h"

#include "base/rd.h"

#define FILTER_DEPTH_MAX 16

/* Sorted by nothing: looked up by tag, a dozen and a half of them. */
static const struct op {
	uint8_t tag;
	bool response;
	const char *name, *title;
} ops[] = {
	{ LDAP_BIND, false, "bind", "bindRequest" },
	{ LDAP_BIND_RSP, true, "bind", "bindResponse" },
	{ LDAP_UNBIND, false, "unbind", "unbindRequest" },
	{ LDAP_SEARCH, false, "search", "searchRequest" },
	{ LDAP_ENTRY, true, "search", "searchResEntry" },
	{ LDAP_DONE, true, "search", "searchResDone" },
	{ LDAP_REFERENCE, true, "search", "searchResRef" },
	{ LDAP_MODIFY, false, "modify", "modifyRequest" },
	{ LDAP_MODIFY_RSP, true, "modify", "modifyResponse" },
	{ LDAP_ADD, false, "add", "addRequest" },
	{ LDAP_ADD_RSP, true, "add", "addResponse" },
	{ LDAP_DELETE, false, "delete", "delRequest" },
	{ LDAP_DELETE_RSP, true, "delete", "delResponse" },
	{ LDAP_MODDN, false, "modifyDN", "modDNRequest" },
	{ LDAP_MODDN_RSP, true, "modifyDN", "modDNResponse" },
	{ LDAP_COMPARE, false, "compare", "compareRequest" },
	{ LDAP_COMPARE_RSP, true, "compare", "compareResponse" },
	{ LDAP_ABANDON, false, "abandon", "abandonRequest" },
	{ LDAP_EXTENDED, false, "extended", "extendedReq" },
	{ LDAP_EXTENDED_RSP, true, "extended", "extendedResp" },
	{ LDAP_INTERMEDIATE, true, "intermediate", "intermediateResponse" },
};

static const struct op *op_of(uint8_t tag)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ops[i].tag == tag)
			return &ops[i];
	return NULL;
}

const char *ldap_op_name(uint8_t tag)
{
	const struct op *op = op_of(tag);

	return op ? op->name : NULL;
}

const char *ldap_op_title(uint8_t tag)
{
	const struct op *op = op_of(tag);

	return op ? op->title : NULL;
}

int ldap_msg(struct view bytes, struct ldap_msg *ret_msg)
{
	struct ldap_msg msg = { .len = 0 };
	const struct op *op;
	struct ber_elem elem;
	struct view rest;
	uint64_t len;
	int64_t id;
	uint8_t tag;
	int head = ber_head(bytes, &tag, &len);

	if (bytes.len && bytes.at[0] != BER_SEQUENCE)
		return -1;
	if (head <= 0)
		return head;
	if (len < 5)
		return -1;
	msg.len = (uint64_t)head + len;
	rest = view_sub(bytes, (size_t)head, (size_t)len);
	if (rest.len && rest.at[0] != BER_INTEGER)
		return -1;
	if (rest.len > 1 && (rest.at[1] < 1 || rest.at[1] > 4))
		return -1;
	if (rest.len < 2 || rest.len < 2 + (size_t)rest.at[1])
		return rest.len < len ? 0 : -1;
	if (!ber_take_int(&rest, BER_INTEGER, &id) || id < 0)
		return -1;
	if (rest.len && !op_of(rest.at[0]))
		return -1;
	if (!ber_next(&rest, &elem))
		return bytes.len < msg.len && rest.len < 6 ? 0 : -1;
	op = op_of(elem.tag);
	msg.id = (uint32_t)id;
	msg.op = elem.tag;
	msg.response = op->response;
	msg.body = elem.body;
	if (elem.cut && bytes.len >= msg.len)
		return -1;		/* it reaches beyond the message */
	if (!ber_next(&rest, &elem)) {
		if (rest.len && bytes.len >= msg.len)
			return -1;
	} else if (elem.tag == 0xa0) {
		msg.controls = elem.body;
	}
	*ret_msg = msg;
	return 1;
}

bool ldap_result(struct view body, struct ldap_result *ret_result)
{
	int64_t code;

	if (!ber_take_int(&body, BER_ENUM, &code) || code < 0 || code > 0xffff ||
	    !ber_take(&body, BER_OCTETS, &ret_result->matched) || !ber_take(&body, BER_OCTETS, &ret_result->text))
		return false;
	ret_result->code = (uint32_t)code;
	ret_result->rest = body;
	return true;
}

const char *ldap_result_name(uint32_t code)
{
	static const char *const names[] = {
		[0] = "success", [1] = "operationsError", [2] = "protocolError", [3] = "timeLimitExceeded",
		[4] = "sizeLimitExceeded", [5] = "compareFalse", [6] = "compareTrue", [7] = "authMethodNotSupported",
		[8] = "strongerAuthRequired", [10] = "referral", [11] = "adminLimitExceeded",
		[12] = "unavailableCriticalExtension", [13] = "confidentialityRequired", [14] = "saslBindInProgress",
		[16] = "noSuchAttribute", [17] = "undefinedAttributeType", [18] = "inappropriateMatching",
		[19] = "constraintViolation", [20] = "attributeOrValueExists", [21] = "invalidAttributeSyntax",
		[32] = "noSuchObject", [33] = "aliasProblem", [34] = "invalidDNSyntax",
		[36] = "aliasDereferencingProblem", [48] = "inappropriateAuthentication", [49] = "invalidCredentials",
		[50] = "insufficientAccessRights", [51] = "busy", [52] = "unavailable", [53] = "unwillingToPerform",
		[54] = "loopDetect", [64] = "namingViolation", [65] = "objectClassViolation", [66] = "notAllowedOnNonLeaf",
		[67] = "notAllowedOnRDN", [68] = "entryAlreadyExists", [69] = "objectClassModsProhibited",
		[71] = "affectsMultipleDSAs", [80] = "other", [118] = "canceled", [119] = "noSuchOperation",
		[120] = "tooLate", [121] = "cannotCancel", [122] = "assertionFailed", [123] = "authorizationDenied",
	};

	return code < sizeof(names) / sizeof(names[0]) ? names[code] : NULL;
}

bool ldap_bind(struct view body, struct ldap_bind *ret_bind)
{
	struct ldap_bind bind = { .version = 0 };
	struct ber_elem auth;
	int64_t version;

	if (!ber_take_int(&body, BER_INTEGER, &version) || version < 1 || version > 127 ||
	    !ber_take(&body, BER_OCTETS, &bind.name) || !ber_next(&body, &auth))
		return false;
	bind.version = (uint32_t)version;
	if (auth.tag == 0xa3) {
		struct view rest = auth.body;
		struct ber_elem credentials;

		bind.sasl = true;
		if (!ber_take(&rest, BER_OCTETS, &bind.mechanism))
			return false;
		if (ber_next(&rest, &credentials) && credentials.tag == BER_OCTETS)
			bind.credentials = credentials.body;
	} else if ((auth.tag & 0xe0) == 0x80) {	/* 0: simple; 9 to 11: Active Directory's own */
		bind.credentials = auth.body;
	} else {
		return false;
	}
	*ret_bind = bind;
	return true;
}

/* UTF-16LE, of which only what is ASCII is sure to be right here. */
static void wide_text(struct view bytes, struct txt *txt)
{
	for (size_t i = 0; i + 1 < bytes.len; i += 2) {
		uint8_t c = bytes.at[i + 1] || bytes.at[i] < ' ' || bytes.at[i] > '~' ? '?' : bytes.at[i];

		txt_put(txt, view_make(&c, 1));
	}
}

/* A field of an NTLM message (MS-NLMP 2.2.1.3): length, room, offset. */
static struct view ntlm_field(struct view message, size_t at)
{
	struct rd rd = rd_make(view_sub(message, at, 8));
	size_t len = rd_u16le(&rd), off;

	(void)rd_u16le(&rd);
	off = rd_u32le(&rd);
	return rd.bad ? view_make("", 0) : view_sub(message, off, len);
}

static struct view cut_at(struct view text, const char *end, size_t end_len)
{
	ptrdiff_t at = view_find(text, view_make(end, end_len));

	return at < 0 ? text : view_sub(text, 0, (size_t)at);
}

void ldap_sasl_user(const struct ldap_bind *bind, struct txt *txt)
{
	struct view rest = bind->credentials;
	ptrdiff_t at;

	at = view_find(rest, VIEW_LIT("NTLMSSP\0\3\0\0"));
	if (at >= 0) {
		rest = view_sub(rest, (size_t)at, rest.len);
		wide_text(ntlm_field(rest, 28), txt);
		txt_str(txt, txt->len ? "\\" : "");
		wide_text(ntlm_field(rest, 36), txt);
	} else if (view_is(bind->mechanism, "PLAIN")) {	/* [authzid] NUL authcid NUL password */
		at = view_find(rest, VIEW_LIT("\0"));
		if (at >= 0)
			txt_put(txt, cut_at(view_sub(rest, (size_t)at + 1, rest.len), "", 1));
	} else if (view_starts(bind->mechanism, "SCRAM-")) {	/* gs2-header n=user,r=nonce (RFC 5802 7) */
		at = view_find(rest, VIEW_LIT(",n="));
		if (at >= 0)
			txt_put(txt, cut_at(view_sub(rest, (size_t)at + 3, rest.len), ",", 1));
	}
}

bool ldap_search(struct view body, struct ldap_search *ret_search)
{
	struct ldap_search search = { .scope = 0 };
	int64_t scope, deref, size, time;
	struct ber_elem attributes;
	struct view types;
	uint64_t len;
	uint8_t tag;
	int head;

	if (!ber_take(&body, BER_OCTETS, &search.base) || !ber_take_int(&body, BER_ENUM, &scope) ||
	    !ber_take_int(&body, BER_ENUM, &deref) || !ber_take_int(&body, BER_INTEGER, &size) ||
	    !ber_take_int(&body, BER_INTEGER, &time) || !ber_take(&body, BER_BOOLEAN, &types) || types.len != 1)
		return false;
	if (scope < 0 || scope > 3 || deref < 0 || deref > 3 || size < 0 || time < 0)
		return false;
	head = ber_head(body, &tag, &len);
	if (head <= 0 || tag < 0x80 || (tag & 0x1f) > 9)
		return false;
	search.scope = (uint32_t)scope;
	search.deref = (uint32_t)deref;
	search.size_limit = (uint32_t)size;
	search.time_limit = (uint32_t)time;
	search.types_only = types.at[0] != 0;
	search.filter = view_sub(body, 0, (size_t)head + (size_t)len);
	body = view_sub(body, (size_t)head + (size_t)len, body.len);
	if (ber_next(&body, &attributes) && attributes.tag == BER_SEQUENCE)
		search.attributes = attributes.body;
	*ret_search = search;
	return true;
}

const char *ldap_scope_name(uint32_t scope)
{
	static const char *const names[] = { "base", "one", "sub", "children" };

	return scope < 4 ? names[scope] : "?";
}

struct view ldap_dn(const struct ldap_msg *msg)
{
	struct view body = msg->body, dn = { NULL, 0 };
	struct ldap_bind bind;

	switch (msg->op) {
	case LDAP_BIND:
		return ldap_bind(body, &bind) ? bind.name : dn;
	case LDAP_DELETE:
		return body;
	case LDAP_SEARCH:
	case LDAP_ENTRY:
	case LDAP_MODIFY:
	case LDAP_ADD:
	case LDAP_MODDN:
	case LDAP_COMPARE:
		(void)ber_take(&body, BER_OCTETS, &dn);
		return dn;
	default:
		return dn;
	}
}

bool ldap_sure(struct view bytes)
{
	struct ldap_msg msg;
	struct ldap_bind bind;
	struct ldap_search search;
	struct ldap_result result;
	struct view body, part;

	if (ldap_msg(bytes, &msg) <= 0)
		return false;
	body = msg.body;
	switch (msg.op) {
	case LDAP_BIND:
		return ldap_bind(body, &bind) && bind.version >= 2 && bind.version <= 3;
	case LDAP_SEARCH:
		return ldap_search(body, &search);
	case LDAP_ENTRY:
	case LDAP_MODIFY:
	case LDAP_ADD:
		return ber_take(&body, BER_OCTETS, &part) && body.len && body.at[0] == BER_SEQUENCE;
	case LDAP_DELETE:
		return msg.len <= bytes.len && txt_is_text(body) && view_find(body, VIEW_LIT("=")) > 0;
	case LDAP_COMPARE:
		return ber_take(&body, BER_OCTETS, &part) && ber_take(&body, BER_SEQUENCE, &part);
	case LDAP_MODDN:
		return ber_take(&body, BER_OCTETS, &part) && ber_take(&body, BER_OCTETS, &part) &&
		       ber_take(&body, BER_BOOLEAN, &part);
	case LDAP_REFERENCE:
		return ber_take(&body, BER_OCTETS, &part) && view_starts(part, "ldap");
	case LDAP_EXTENDED:
		return ber_take(&body, 0x80, &part) && part.len && part.at[0] >= '0' && part.at[0] <= '2';
	case LDAP_BIND_RSP:
	case LDAP_DONE:
	case LDAP_MODIFY_RSP:
	case LDAP_ADD_RSP:
	case LDAP_DELETE_RSP:
	case LDAP_MODDN_RSP:
	case LDAP_COMPARE_RSP:
	case LDAP_EXTENDED_RSP:
		return ldap_result(body, &result);
	default:
		return false;	/* unbind, abandon, intermediate: too little in them */
	}
}

bool ldap_sasl_open(struct view token, struct view *ret_inner)
{
	struct rd rd = rd_make(token);
	unsigned kind = rd_u16be(&rd), flags = rd_u8(&rd), checksum, rotated;
	struct ldap_msg msg;
	struct view inner;

	(void)rd_u8(&rd);
	if (kind == 0x0504) {
		checksum = rd_u16be(&rd);
		rotated = rd_u16be(&rd);
		rd_skip(&rd, 8);
		if (rd.bad || flags & 2 || checksum > rd_left(&rd) || (rotated && rotated != checksum))
			return false;
		inner = view_sub(rd_rest(&rd), rotated, rd_left(&rd) - checksum);
	} else if (kind == 0x0100) {
		rd_skip(&rd, 12);
		inner = rd_rest(&rd);
	} else {
		return false;
	}
	if (ldap_msg(inner, &msg) <= 0)
		return false;
	*ret_inner = inner;
	return true;
}

/* ---- texts ---- */

/* A value within a filter (RFC 4515 3): what means something is written \xx. */
static void value_text(struct view value, struct txt *txt)
{
	for (size_t i = 0; i < value.len && !txt->cut; i++) {
		uint8_t c = value.at[i];

		if (c < ' ' || c == '*' || c == '(' || c == ')' || c == '\\' || c == 127)
			txt_printf(txt, "\\%02x", c);
		else
			txt_put(txt, view_make(&value.at[i], 1));
	}
}

static void put_value(struct view attribute, struct view value, bool fold, struct txt *txt)
{
	if (fold && !view_ieq(attribute, "objectClass") && !view_ieq(attribute, "objectCategory"))
		txt_str(txt, "?");
	else
		value_text(value, txt);
}

static void substrings_text(struct view attribute, struct view parts, bool fold, struct txt *txt)
{
	struct ber_elem part;
	bool star = false;

	while (!txt->cut && ber_next(&parts, &part)) {
		if (part.tag != 0x80 && !star)
			txt_str(txt, "*");
		put_value(attribute, part.body, fold, txt);
		star = part.tag != 0x82;
		if (star)
			txt_str(txt, "*");
	}
}

/* attribute[:dn][:rule]:=value */
static void extensible_text(struct view body, bool fold, struct txt *txt)
{
	struct view rule = { NULL, 0 }, type = { NULL, 0 }, value = { NULL, 0 };
	struct ber_elem elem;
	bool dn = false;

	while (ber_next(&body, &elem)) {
		switch (elem.tag) {
		case 0x81:
			rule = elem.body;
			break;
		case 0x82:
			type = elem.body;
			break;
		case 0x83:
			value = elem.body;
			break;
		case 0x84:
			dn = elem.body.len && elem.body.at[0];
			break;
		default:
			break;
		}
	}
	txt_put(txt, type);
	if (dn)
		txt_str(txt, ":dn");
	if (rule.len) {
		txt_str(txt, ":");
		txt_put(txt, rule);
	}
	txt_str(txt, ":=");
	put_value(type, value, fold, txt);
}

static void filter_text(const struct ber_elem *filter, unsigned depth, bool fold, struct txt *txt)
{
	static const char *const relations[] = { [3] = "=", [5] = ">=", [6] = "<=", [8] = "~=" };
	unsigned kind = filter->tag & 0x1f;
	struct view rest = filter->body, attribute;
	struct ber_elem elem;

	txt_str(txt, "(");
	switch (kind) {
	case 0:
	case 1:
	case 2:
		txt_str(txt, kind == 0 ? "&" : kind == 1 ? "|" : "!");
		if (depth == FILTER_DEPTH_MAX) {
			txt_str(txt, "...");
			break;
		}
		while (!txt->cut && ber_next(&rest, &elem))
			filter_text(&elem, depth + 1, fold, txt);
		break;
	case 7:
		txt_put(txt, rest);
		txt_str(txt, "=*");
		break;
	case 9:
		extensible_text(rest, fold, txt);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 8:
		if (!ber_take(&rest, BER_OCTETS, &attribute) || !ber_next(&rest, &elem))
			break;
		txt_put(txt, attribute);
		txt_str(txt, kind == 4 ? "=" : relations[kind]);
		if (kind == 4)
			substrings_text(attribute, elem.body, fold, txt);
		else
			put_value(attribute, elem.body, fold, txt);
		break;
	default:
		break;
	}
	txt_str(txt, ")");
}

void ldap_filter_text(struct view filter, bool fold, struct txt *txt)
{
	struct ber_elem elem;

	if (ber_next(&filter, &elem))
		filter_text(&elem, 0, fold, txt);
}

void ldap_dn_fold(struct view dn, struct txt *txt)
{
	static const char *const structure[] = { "dc", "ou", "o", "c", "l", "st" };
	size_t equals = 0, end = 0;
	struct view type;

	while (equals < dn.len && dn.at[equals] != '=')
		equals++;
	for (end = equals; end < dn.len && dn.at[end] != ','; end++)
		end += dn.at[end] == '\\' && end + 1 < dn.len;
	if (equals == dn.len) {
		txt_str(txt, dn.len ? "?" : "");	/* Active Directory takes user@domain, DOMAIN\user */
		return;
	}
	type = view_sub(dn, 0, equals);
	for (size_t i = 0; i < sizeof(structure) / sizeof(structure[0]); i++) {
		if (view_ieq(type, structure[i]) || end >= dn.len) {
			txt_put(txt, dn);
			return;
		}
	}
	txt_put(txt, type);
	txt_str(txt, "=?");
	txt_put(txt, view_sub(dn, end, dn.len));
}
