/* An LDAP call in full. Passwords are not shown. */
#include "wire/dissect.h"
#include "wire/ldap_msg.h"
#include "wire/secret.h"

#define ENTRIES_MAX	100
#define VALUES_MAX	100
#define FILTER_TEXT_MAX	4096

struct show {
	struct json *json;
	size_t budget;
};

static void show_masked(struct show *s, const char *key, struct view value)
{
	if (value.len)
		json_kcstr(s->json, key, SECRET_MASK);
	else
		json_kcstr(s->json, key, "");
}

static bool is_secret(struct view attribute)
{
	static const char *const secrets[] = { "userPassword", "unicodePwd", "sambaNTPassword", "sambaLMPassword",
					       "authPassword", "krbPrincipalKey", "dBCSPwd", "supplementalCredentials" };

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (view_ieq(attribute, secrets[i]))
			return true;
	return false;
}

/* SET OF value */
static void show_values(struct show *s, struct view attribute, struct view set)
{
	struct ber_elem value;

	json_array(s->json);
	for (unsigned n = 0; ber_next(&set, &value); n++) {
		if (n == VALUES_MAX || !s->budget) {
			json_cstr(s->json, "...");
			break;
		}
		if (is_secret(attribute))
			json_cstr(s->json, SECRET_MASK);
		else
			show_bytes(s->json, value.body, &s->budget);
	}
	json_array_end(s->json);
}

/* SEQUENCE OF { type, SET OF value }, as a member "attributes" */
static void show_attributes(struct show *s, struct view list)
{
	struct ber_elem elem;

	json_key(s->json, "attributes");
	json_object(s->json);
	while (s->budget && ber_next(&list, &elem)) {
		struct view rest = elem.body, type, set = { NULL, 0 };

		if (!ber_take(&rest, BER_OCTETS, &type))
			break;
		if (ber_next(&rest, &elem))
			set = elem.body;
		json_keyv(s->json, type);
		show_values(s, type, set);
	}
	json_object_end(s->json);
}

static void show_modify(struct show *s, struct view body)
{
	static const char *const kinds[] = { "add", "delete", "replace", "increment" };
	struct ber_elem elem;
	struct view dn, list;

	if (!ber_take(&body, BER_OCTETS, &dn) || !ber_next(&body, &elem))
		return;
	list = elem.body;
	json_key(s->json, "changes");
	json_array(s->json);
	while (s->budget && ber_next(&list, &elem)) {
		struct view rest = elem.body, change, type, set = { NULL, 0 };
		int64_t kind;

		if (!ber_take_int(&rest, BER_ENUM, &kind) || !ber_next(&rest, &elem))
			break;
		change = elem.body;
		if (!ber_take(&change, BER_OCTETS, &type))
			break;
		if (ber_next(&change, &elem))
			set = elem.body;
		json_object(s->json);
		json_kcstr(s->json, "change", kind >= 0 && kind < 4 ? kinds[kind] : "?");
		json_kstr(s->json, "attribute", type);
		json_key(s->json, "values");
		show_values(s, type, set);
		json_object_end(s->json);
	}
	json_array_end(s->json);
}

static void show_search(struct show *s, struct view body)
{
	char text[FILTER_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct ldap_search search;
	struct ber_elem elem;

	if (!ldap_search(body, &search))
		return;
	json_kcstr(s->json, "scope", ldap_scope_name(search.scope));
	json_ku64(s->json, "deref_aliases", search.deref);
	json_ku64(s->json, "size_limit", search.size_limit);
	json_ku64(s->json, "time_limit", search.time_limit);
	json_kbool(s->json, "types_only", search.types_only);
	ldap_filter_text(search.filter, false, &txt);
	json_kstr(s->json, "filter", txt_view(&txt));
	json_key(s->json, "attributes");
	json_array(s->json);
	while (s->budget && ber_next(&search.attributes, &elem))
		show_bytes(s->json, elem.body, &s->budget);
	json_array_end(s->json);
}

static void show_bind(struct show *s, struct view body)
{
	struct ldap_bind bind;

	if (!ldap_bind(body, &bind))
		return;
	json_ku64(s->json, "version", bind.version);
	json_kcstr(s->json, "authentication", bind.sasl ? "sasl" : "simple");
	if (bind.sasl) {
		json_kstr(s->json, "mechanism", bind.mechanism);
		json_ku64(s->json, "credentials_bytes", bind.credentials.len);
	} else {
		show_masked(s, "password", bind.credentials);
	}
}

static void show_moddn(struct show *s, struct view body)
{
	struct view part;

	if (ber_take(&body, BER_OCTETS, &part) && ber_take(&body, BER_OCTETS, &part))
		json_kstr(s->json, "new_rdn", part);
	if (ber_take(&body, BER_BOOLEAN, &part))
		json_kbool(s->json, "delete_old_rdn", part.len && part.at[0]);
	if (ber_take(&body, 0x80, &part))
		json_kstr(s->json, "new_superior", part);
}

static void show_compare(struct show *s, struct view body)
{
	struct view part, attribute;

	if (!ber_take(&body, BER_OCTETS, &part) || !ber_take(&body, BER_SEQUENCE, &part) ||
	    !ber_take(&part, BER_OCTETS, &attribute))
		return;
	json_kstr(s->json, "attribute", attribute);
	if (!ber_take(&part, BER_OCTETS, &part))
		return;
	if (is_secret(attribute))
		show_masked(s, "value", part);
	else
		show_kbytes(s->json, "value", part, &s->budget);
}

static void show_controls(struct show *s, struct view controls)
{
	struct ber_elem elem;

	if (!controls.len)
		return;
	json_key(s->json, "controls");
	json_array(s->json);
	while (s->budget && ber_next(&controls, &elem)) {
		struct view rest = elem.body, oid, part;

		if (!ber_take(&rest, BER_OCTETS, &oid))
			break;
		json_object(s->json);
		show_kbytes(s->json, "oid", oid, &s->budget);
		if (ber_take(&rest, BER_BOOLEAN, &part))
			json_kbool(s->json, "critical", part.len && part.at[0]);
		if (ber_take(&rest, BER_OCTETS, &part))
			json_ku64(s->json, "value_bytes", part.len);
		json_object_end(s->json);
	}
	json_array_end(s->json);
}

static void show_request(struct show *s, const struct ldap_msg *msg)
{
	struct view body = msg->body, part;
	int64_t number;

	switch (msg->op) {
	case LDAP_BIND:
		show_bind(s, body);
		break;
	case LDAP_SEARCH:
		show_search(s, body);
		break;
	case LDAP_MODIFY:
		show_modify(s, body);
		break;
	case LDAP_ADD: {
		struct ber_elem list;

		if (ber_take(&body, BER_OCTETS, &part) && ber_next(&body, &list))
			show_attributes(s, list.body);
		break;
	}
	case LDAP_MODDN:
		show_moddn(s, body);
		break;
	case LDAP_COMPARE:
		show_compare(s, body);
		break;
	case LDAP_EXTENDED:
		if (ber_take(&body, 0x80, &part))
			show_kbytes(s->json, "oid", part, &s->budget);
		if (ber_take(&body, 0x81, &part))
			json_ku64(s->json, "value_bytes", part.len);
		break;
	case LDAP_ABANDON:
		if (ber_int(body, &number))
			json_ki64(s->json, "abandoned_message_id", number);
		break;
	default:
		break;
	}
}

static void show_dn(struct show *s, const struct ldap_msg *msg)
{
	struct view dn = ldap_dn(msg);

	if (dn.len || msg->op == LDAP_SEARCH || msg->op == LDAP_BIND)
		show_kbytes(s->json, msg->op == LDAP_SEARCH ? "base" : "dn", dn, &s->budget);
}

static void show_result(struct show *s, const struct ldap_msg *msg)
{
	struct ldap_result result;
	struct ber_elem elem;

	if (!ldap_result(msg->body, &result))
		return;
	json_ku64(s->json, "result_code", result.code);
	if (ldap_result_name(result.code))
		json_kcstr(s->json, "result", ldap_result_name(result.code));
	show_kbytes(s->json, "matched_dn", result.matched, &s->budget);
	show_kbytes(s->json, "diagnostic", result.text, &s->budget);
	while (s->budget && ber_next(&result.rest, &elem)) {
		if (elem.tag == 0xa3) {
			json_key(s->json, "referrals");
			json_array(s->json);
			for (struct ber_elem one; s->budget && ber_next(&elem.body, &one);)
				show_bytes(s->json, one.body, &s->budget);
			json_array_end(s->json);
		} else if (elem.tag == 0x87) {
			json_ku64(s->json, "server_credentials_bytes", elem.body.len);
		} else if (elem.tag == 0x8a) {
			show_kbytes(s->json, "oid", elem.body, &s->budget);
		} else if (elem.tag == 0x8b) {
			show_kbytes(s->json, "value", elem.body, &s->budget);
		}
	}
}

static struct view after(struct view bytes, const struct ldap_msg *msg)
{
	return view_sub(bytes, msg->len < bytes.len ? (size_t)msg->len : bytes.len, bytes.len);
}

static void show_entries(struct show *s, struct view bytes, uint32_t id)
{
	struct ldap_msg msg;
	struct ber_elem list;
	unsigned n = 0;

	json_key(s->json, "entries");
	json_array(s->json);
	for (; s->budget && n < ENTRIES_MAX && ldap_msg(bytes, &msg) > 0; bytes = after(bytes, &msg)) {
		struct view body = msg.body, dn;

		if (msg.id != id || msg.op != LDAP_ENTRY || !ber_take(&body, BER_OCTETS, &dn))
			continue;
		json_object(s->json);
		show_kbytes(s->json, "dn", dn, &s->budget);
		if (ber_next(&body, &list))
			show_attributes(s, list.body);
		json_object_end(s->json);
		n++;
	}
	json_array_end(s->json);
	if (!s->budget || n == ENTRIES_MAX)
		json_kbool(s->json, "truncated", true);
}

/*
 * A response is one message, for a search many. Between them may lie those of other
 * calls: only what has the id of the first counts.
 */
static void show_response(struct show *s, struct view bytes)
{
	struct ldap_msg first, msg;
	bool entries = false;

	if (ldap_msg(bytes, &first) <= 0)
		return;
	json_ku64(s->json, "message_id", first.id);
	for (struct view rest = bytes; ldap_msg(rest, &msg) > 0; rest = after(rest, &msg)) {
		if (msg.id != first.id)
			continue;
		if (msg.op == LDAP_ENTRY) {
			entries = true;
			continue;
		}
		if (msg.op == LDAP_REFERENCE || msg.op == LDAP_INTERMEDIATE)
			continue;
		json_kcstr(s->json, "operation", ldap_op_title(msg.op));
		show_result(s, &msg);
		show_controls(s, msg.controls);
		break;
	}
	if (entries)
		show_entries(s, bytes, first.id);
}

int ldap_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct show s = { .json = json, .budget = body_max };
	struct ldap_msg msg;

	if (request.len) {
		json_key(json, "request");
		json_object(json);
		if (ldap_msg(request, &msg) > 0) {
			json_ku64(json, "message_id", msg.id);
			json_kcstr(json, "operation", ldap_op_title(msg.op));
			show_dn(&s, &msg);
			show_request(&s, &msg);
			show_controls(&s, msg.controls);
		}
		json_object_end(json);
	}
	s.budget = body_max;
	if (response.len) {
		json_key(json, "response");
		json_object(json);
		show_response(&s, response);
		json_object_end(json);
	}
	return 0;
}
