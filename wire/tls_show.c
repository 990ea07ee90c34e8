#include "wire/tls_show.h"

#include "base/rd.h"
#include "wire/tls_msg.h"

#include <stdio.h>

#define FLAT_BYTES_MAX	((size_t)1 << 20)
#define JA3_TEXT_MAX	4096

static void str_number(struct json *json, const char *name, uint16_t number)
{
	if (name)
		json_cstr(json, name);
	else
		json_printf(json, "0x%04x", number);
}

static void show_numbers(struct json *json, const char *key, struct view list, const char *(*name)(uint16_t))
{
	struct rd rd = rd_make(list);

	if (!list.len)
		return;
	json_key(json, key);
	json_array(json);
	while (rd_left(&rd) >= 2) {
		uint16_t number = rd_u16be(&rd);

		str_number(json, tls_is_grease(number) ? "GREASE" : name ? name(number) : NULL, number);
	}
	json_array_end(json);
}

static void show_exts(struct json *json, struct view exts)
{
	struct view data;
	uint16_t type;

	json_key(json, "extensions");
	json_array(json);
	while (tls_ext_next(&exts, &type, &data))
		json_u64(json, type);
	json_array_end(json);
}

static void show_alpn(struct json *json, struct view list)
{
	struct view text;

	if (!list.len)
		return;
	json_key(json, "alpn");
	json_array(json);
	while (tls_text_next(&list, &text))
		json_str(json, text);
	json_array_end(json);
}

static void show_sslv2_suites(struct json *json, struct view suites)
{
	struct rd rd = rd_make(suites);

	json_key(json, "suites");
	json_array(json);
	while (rd_left(&rd) >= 3) {
		uint32_t suite = rd_u24be(&rd);

		if (suite <= UINT16_MAX && tls_suite_name((uint16_t)suite))
			json_cstr(json, tls_suite_name((uint16_t)suite));
		else
			json_printf(json, "0x%06x", suite);
	}
	json_array_end(json);
}

static void show_hello(struct json *json, const struct tls_hello *hello, bool quic)
{
	char text[JA3_TEXT_MAX], ja3[MD5_HEX_LEN + 1], ja4[TLS_JA4_LEN + 1];

	json_key(json, "version");
	str_number(json, tls_version_name(hello->version), hello->version);
	if (hello->legacy != hello->version) {
		json_key(json, "legacy_version");
		str_number(json, tls_version_name(hello->legacy), hello->legacy);
	}
	if (hello->retry)
		json_kbool(json, "hello_retry_request", true);
	if (hello->sni.len)
		json_kstr(json, "server_name", hello->sni);
	show_alpn(json, hello->alpn);
	if (hello->sslv2) {
		show_sslv2_suites(json, hello->suites);
	} else if (hello->client) {
		show_numbers(json, "suites", hello->suites, tls_suite_name);
	} else {
		json_key(json, "suite");
		str_number(json, tls_suite_name(hello->suite), hello->suite);
		if (tls_suite_weakness(hello->suite))
			json_kcstr(json, "weakness", tls_suite_weakness(hello->suite));
	}
	show_numbers(json, "versions", hello->versions, tls_version_name);
	show_numbers(json, "groups", hello->groups, tls_group_name);
	show_numbers(json, "signature_algorithms", hello->signatures, NULL);
	if (hello->group) {
		json_key(json, "group");
		str_number(json, tls_group_name(hello->group), hello->group);
	}
	json_ku64(json, "session_id_bytes", hello->session.len);
	if (hello->cookie.len)
		json_ku64(json, "cookie_bytes", hello->cookie.len);
	if (hello->psk)
		json_kbool(json, "pre_shared_key", true);
	if (hello->early_data)
		json_kbool(json, "early_data", true);
	if (hello->ech)
		json_kbool(json, "encrypted_client_hello", true);
	show_exts(json, hello->exts);
	if (tls_ja3(hello, text, sizeof(text), ja3)) {
		json_kcstr(json, hello->client ? "ja3" : "ja3s", ja3);
		json_kcstr(json, hello->client ? "ja3_text" : "ja3s_text", text);
	}
	if (tls_ja4(hello, ja4)) {
		if (quic)
			ja4[0] = 'q';	/* its first letter names the transport */
		json_kcstr(json, "ja4", ja4);
	}
}

static void show_certificates(struct json *json, struct view body)
{
	struct rd all = rd_make(body), rd;

	rd = rd_make(view_sub(body, 3, rd_u24be(&all)));
	json_key(json, "certificates");
	json_array(json);
	while (rd_left(&rd) >= 3 && !rd.bad) {
		struct view der = rd_bytes(&rd, rd_u24be(&rd));

		if (rd.bad)
			break;
		json_object(json);
		json_ku64(json, "bytes", der.len);
		x509_show(der, json);
		json_object_end(json);
	}
	json_array_end(json);
}

static const char *message_name(uint8_t type)
{
	static const char *const names[] = {
		[0] = "hello_request", [1] = "client_hello", [2] = "server_hello",
		[3] = "hello_verify_request", [4] = "new_session_ticket",
		[5] = "end_of_early_data", [8] = "encrypted_extensions", [11] = "certificate", [12] = "server_key_exchange",
		[13] = "certificate_request", [14] = "server_hello_done", [15] = "certificate_verify",
		[16] = "client_key_exchange", [20] = "finished", [21] = "certificate_url", [22] = "certificate_status",
		[23] = "supplemental_data", [24] = "key_update",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}

static void show_verify_request(struct json *json, struct view body)
{
	struct rd rd = rd_make(body);

	(void)rd_u16be(&rd);
	json_ku64(json, "cookie_bytes", rd_u8(&rd));
}

static void show_message(struct json *json, uint8_t type, struct view body, size_t len, bool quic)
{
	struct tls_hello hello;

	json_object(json);
	json_key(json, "message");
	str_number(json, message_name(type), type);
	json_ku64(json, "bytes", len);
	if ((type == TLS_CLIENT_HELLO || type == TLS_SERVER_HELLO) && tls_hello(body, type == TLS_CLIENT_HELLO, &hello))
		show_hello(json, &hello, quic);
	else if (type == TLS_CERTIFICATE)
		show_certificates(json, body);
	else if (type == TLS_HELLO_VERIFY)
		show_verify_request(json, body);
	json_object_end(json);
}

void tls_show_message(struct json *json, uint8_t type, struct view body, bool whole)
{
	/* with holes in it, a list of certificates is not to be trusted */
	show_message(json, type, whole ? body : view_sub(body, 0, 0), body.len, false);
}

/* Messages one behind the other. False: the last one is cut short. */
static bool show_messages(struct json *json, struct view bytes, bool quic)
{
	while (bytes.len) {
		struct rd rd = rd_make(bytes);
		uint8_t type = rd_u8(&rd);
		uint32_t len = rd_u24be(&rd);
		struct view body = view_sub(rd_rest(&rd), 0, len);

		if (rd.bad)
			return false;
		show_message(json, type, body, len, quic);
		if (body.len < len)
			return false;
		bytes = view_sub(rd_rest(&rd), len, bytes.len);
	}
	return true;
}

static void show_sslv2(struct json *json, struct view *bytes)
{
	struct tls_hello hello;
	size_t size = ((size_t)(bytes->at[0] & 0x7f) << 8) + (bytes->len > 1 ? bytes->at[1] : 0) + 2;

	json_object(json);
	if (tls_hello_sslv2(*bytes, &hello)) {
		json_kcstr(json, "message", "SSL 2.0 client_hello");
		show_hello(json, &hello, false);
	} else {
		struct rd rd = rd_make(view_sub(*bytes, 2, bytes->len));
		uint8_t type = rd_u8(&rd);

		json_kcstr(json, "message", type == 4 ? "SSL 2.0 server_hello" : "SSL 2.0 record");
		if (type == 4) {
			uint16_t cert;

			(void)rd_u16be(&rd);
			(void)rd_u16be(&rd);
			cert = rd_u16be(&rd);
			(void)rd_u32be(&rd);
			x509_show(view_sub(rd_rest(&rd), 0, cert), json);
		}
	}
	json_object_end(json);
	*bytes = view_sub(*bytes, size, bytes->len);
}

/* A handshake record behind ChangeCipherSpec is in clear when it is TLS 1.3's: a hello. */
static bool is_hello(struct view body)
{
	return body.len > 4 && (body.at[0] == TLS_CLIENT_HELLO || body.at[0] == TLS_SERVER_HELLO) && !body.at[1];
}

void tls_show_record(struct json *json, const struct tls_record *record, struct view body)
{
	const char *what = record->type == TLS_CHANGE_CIPHER_SPEC ? "change_cipher_spec" : record->type == TLS_ALERT ? "alert" :
			   record->type == TLS_HANDSHAKE ? "encrypted handshake" : "encrypted";

	json_object(json);
	json_kcstr(json, "record", what);
	json_ku64(json, "bytes", record->len);
	if (record->type == TLS_ALERT && body.len == 2) {
		json_kcstr(json, "level", body.at[0] == 1 ? "warning" : "fatal");
		json_ku64(json, "alert", body.at[1]);
		json_kcstr(json, "name", tls_alert_name(body.at[1]));
	}
	json_object_end(json);
}

/* Handshake messages go on from record to record: they are put together in flat first. */
static void show_side(struct json *json, struct view bytes, struct wr *flat)
{
	struct tls_record record;
	bool ciphered = false, whole = true;

	json_key(json, "messages");
	json_array(json);
	if (bytes.at[0] & 0x80)
		show_sslv2(json, &bytes);
	while (tls_record(bytes, &record)) {
		struct view body = view_sub(bytes, TLS_RECORD_HEAD_BYTES, record.len);

		whole = body.len == record.len;
		bytes = view_sub(bytes, (size_t)TLS_RECORD_HEAD_BYTES + record.len, bytes.len);
		if (record.type == TLS_HANDSHAKE && (!ciphered || is_hello(body))) {
			wr_bytes(flat, body);
			continue;
		}
		whole &= show_messages(json, wr_view(flat), false);
		wr_reset(flat);
		tls_show_record(json, &record, body);
		ciphered |= record.type == TLS_CHANGE_CIPHER_SPEC;
	}
	whole &= show_messages(json, wr_view(flat), false) && !bytes.len;
	json_array_end(json);
	if (!whole)
		json_kbool(json, "truncated", true);
}

int tls_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	(void)body_max;	/* a handshake has no body */
	for (unsigned side = 0; side < 2; side++) {
		struct view bytes = side ? response : request;
		struct wr flat;

		if (!bytes.len)
			continue;
		wr_init(&flat, FLAT_BYTES_MAX);
		json_key(json, side ? "response" : "request");
		json_object(json);
		show_side(json, bytes, &flat);
		json_object_end(json);
		wr_release(&flat);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

void tls_show_quic(struct json *json, struct view messages)
{
	bool whole;

	json_key(json, "messages");
	json_array(json);
	whole = show_messages(json, messages, true);
	json_array_end(json);
	if (!whole)
		json_kbool(json, "truncated", true);
}
