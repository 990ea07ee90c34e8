#include "wire/tls_call.h"

#include <stdio.h>

#define NAME_MAX_BYTES	256
#define ALERT_INTERNAL_ERROR 80

static void set_version(struct call_sink *sink, struct call *call, uint16_t version, bool offered)
{
	const char *name = tls_version_name(version);
	char number[16];

	(void)snprintf(number, sizeof(number), "0x%04x", version);
	CALL_TEXT(sink, call, method, view_str(name ? name : number), sizeof(number));
	if (offered)
		CALL_TEXT(sink, call, version, view_str(name ? name : number), sizeof(number));
}

void tls_call_offer(struct call_sink *sink, struct call *call, const struct tls_hello *hello)
{
	if (!call)
		return;
	set_version(sink, call, hello->version, true);
	CALL_TEXT(sink, call, target, hello->sni, NAME_MAX_BYTES);
	CALL_TEXT(sink, call, target_template, hello->sni, NAME_MAX_BYTES);
	CALL_TEXT(sink, call, host, hello->sni, NAME_MAX_BYTES);
}

void tls_call_choose(struct call_sink *sink, struct call *call, const struct tls_hello *hello, struct tls_agreed *agreed)
{
	struct view list = hello->alpn, name;

	agreed->version = hello->version;
	agreed->suite = hello->suite;
	if (hello->group)
		agreed->group = hello->group;
	agreed->retry |= hello->retry;
	agreed->chosen = true;
	agreed->resumed = hello->psk && tls_generation(hello->version) >= TLS_1_3;
	if (tls_text_next(&list, &name)) {
		name = view_sub(name, 0, TLS_ALPN_MAX);
		memcpy(agreed->alpn, name.len ? name.at : (const uint8_t *)"", name.len);
		agreed->alpn_len = (uint8_t)name.len;
	}
	if (call)
		set_version(sink, call, hello->version, false);
}

void tls_call_answers(struct call_sink *sink, struct call *call, const struct tls_agreed *agreed)
{
	const char *suite = tls_suite_name(agreed->suite), *group = tls_group_name(agreed->group), *weak;
	char text[256], number[24];
	int len;

	if (!call)
		return;
	if (!suite) {
		(void)snprintf(number, sizeof(number), "suite 0x%04x", agreed->suite);
		suite = number;
	}
	len = snprintf(text, sizeof(text), "%s%s%s%s%.*s%s%s%s", suite, agreed->group ? ", " : "",
		       !agreed->group ? "" : group ? group : "unknown group", agreed->alpn_len ? ", " : "", agreed->alpn_len,
		       agreed->alpn, agreed->resumed ? ", resumed" : "", agreed->retry ? ", retried" : "",
		       agreed->cookie ? ", cookie" : "");
	if (len > 0)
		CALL_TEXT(sink, call, answers, view_make(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1),
			  sizeof(text));
	if (tls_generation(agreed->version) <= TLS_1_1)
		call_error(sink, call, "%s is obsolete", tls_version_name(agreed->version));
	weak = tls_suite_weakness(agreed->suite);
	if (weak)
		call_error(sink, call, "weak cipher suite: %s", weak);
}

bool tls_call_alert(struct call_sink *sink, struct call *call, uint8_t level, uint8_t alert, bool client)
{
	const char *name = tls_alert_name(alert);
	char number[16];

	if (!name) {
		(void)snprintf(number, sizeof(number), "alert %u", alert);
		name = number;
	}
	call_error(sink, call, "%s %s of the %s", level == 1 ? "warning" : "alert", name, client ? "client" : "server");
	if (!call || (level == 1 && alert != 0))
		return false;
	ROW_SET(CALL, &call->row, status, alert);
	CALL_TEXT(sink, call, status_text, view_str(name), 64);
	return true;
}

void tls_call_refused(struct call *call, bool client)
{
	if (!call)
		return;
	/* what the server does not like is the client's doing, and the other way round */
	ROW_SET(CALL, &call->row, status_class, client || (ROW_HAS(CALL, &call->row, status) &&
		call->row.status == ALERT_INTERNAL_ERROR) ? CLASS_server_error : CLASS_client_error);
}
