#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct error_info {
	int code;
	int http;
	const char *name;
	const char *text;
};

static const struct error_info error_infos[] = {
#define ERROR(name, number, http, text) { name, http, #name, text },
#include "base/errors.def"
#undef ERROR
};

static const struct error_info *error_find(int code)
{
	for (size_t i = 0; i < sizeof(error_infos) / sizeof(error_infos[0]); i++) {
		if (error_infos[i].code == code)
			return &error_infos[i];
	}
	return NULL;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list args;

	assert(code < 0);
	if (!err || err->code)
		return code;
	err->code = code;
	va_start(args, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return code;
}

static int code_of_errno(int errno_value)
{
	switch (errno_value) {
	case ENOSPC:
	case EDQUOT:
		return E_NO_SPACE;
	case EACCES:
	case EPERM:
		return E_PERMISSION;
	case ENOENT:
		return E_NOT_FOUND;
	case ENOMEM:
		return E_NO_MEMORY;
	default:
		return E_IO;
	}
}

int err_errno(struct err *err, int errno_value, const char *fmt, ...)
{
	int code = code_of_errno(errno_value);
	char reason[128];
	va_list args;
	size_t len;

	if (!err || err->code)
		return code;
	err->code = code;
	va_start(args, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s",
		       strerror_r(errno_value, reason, sizeof(reason)));
	return code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	char prefix[256];
	size_t prefix_len, text_len, room;
	va_list args;

	if (!err)
		return E_INTERNAL;
	va_start(args, fmt);
	(void)vsnprintf(prefix, sizeof(prefix), fmt, args);
	va_end(args);

	prefix_len = strlen(prefix);
	text_len = strlen(err->text);
	room = sizeof(err->text) - 1 - prefix_len - 2;
	if (text_len > room)
		text_len = room;
	memmove(err->text + prefix_len + 2, err->text, text_len);
	memcpy(err->text, prefix, prefix_len);
	memcpy(err->text + prefix_len, ": ", 2);
	err->text[prefix_len + 2 + text_len] = '\0';
	return err->code ? err->code : E_INTERNAL;
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	err->code = 0;
	err->position = 0;
	err->text[0] = '\0';
}

const char *err_text(int code)
{
	const struct error_info *info = error_find(code);

	return info ? info->text : "unknown error";
}

const char *err_name(int code)
{
	const struct error_info *info = error_find(code);

	return info ? info->name : "E_UNKNOWN";
}

int err_http(int code)
{
	const struct error_info *info = error_find(code);

	return info ? info->http : 500;
}
