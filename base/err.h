/*
 * Error codes and error words.
 *
 * A function that can fail returns int: 0 or more is good, negative is one of
 * the codes below. What meets the outside world also fills a struct err with
 * the sentence a person needs: what, where, which number.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum {
#define ERROR(name, number, http, text) name = -(number),
#include "base/errors.def"
#undef ERROR
};

/* A message, filled by the first failure. Zero it before use; no clean-up. */
struct err {
	int code;		/* negative, or 0 while nothing failed */
	size_t position;	/* byte offset in a query text, where that makes sense */
	char text[768];
};

/*
 * Say what failed. Returns code, so that `return err_set(...)` reads well.
 * err may be NULL. Keeps the first failure: a later call on a filled err does
 * not overwrite it.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set, with ": strerror(errno_value)" appended. ENOSPC, EACCES, ENOENT and ENOMEM
 * choose their own code; everything else becomes E_IO. */
int err_errno(struct err *err, int errno_value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put words before what err says already: "segment 17: <text>". Returns err->code;
 * E_INTERNAL when err is NULL or nothing failed, so that the result is never a success. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *err);

/* Static strings; an unknown code gives "unknown error" / "E_UNKNOWN" / 500. */
const char *err_text(int code);
const char *err_name(int code);
int err_http(int code);

#endif
