/* BSON (bsonspec.org): walking documents, and documents as JSON in the relaxed extended form. Pure. */
#ifndef WIRE_BSON_H
#define WIRE_BSON_H

#include "base/json.h"

#define BSON_DEPTH_MAX 32

enum bson_type {
	BSON_DOUBLE = 1, BSON_STRING = 2, BSON_DOCUMENT = 3, BSON_ARRAY = 4, BSON_BINARY = 5, BSON_UNDEFINED = 6,
	BSON_OID = 7, BSON_BOOL = 8, BSON_DATE = 9, BSON_NULL = 10, BSON_REGEX = 11, BSON_POINTER = 12, BSON_CODE = 13,
	BSON_SYMBOL = 14, BSON_SCOPED = 15, BSON_I32 = 16, BSON_TIMESTAMP = 17, BSON_I64 = 18, BSON_DECIMAL = 19,
	BSON_MAX_KEY = 127, BSON_MIN_KEY = 255,
};

struct bson_elem {
	uint8_t type;
	struct view name;
	struct view value;	/* strings: the text; documents and arrays: all of them; others: their bytes */
	bool cut;		/* the value is longer than what there is */
};

/* Length of the document that bytes begin with; 0: none that could be one. */
uint32_t bson_len(struct view bytes);
/* Put *rest at the first element of a document, of which the end may be missing. False: no document. */
bool bson_open(struct view bytes, struct view *rest);
/* The next element of *rest. False at the end, or where no element is. */
bool bson_next(struct view *rest, struct bson_elem *ret_elem);
/* A member of a document. */
bool bson_find(struct view document, const char *name, struct bson_elem *ret_elem);
/* The value as a whole number: doubles, integers, bools. False: none of them. */
bool bson_number(const struct bson_elem *elem, int64_t *ret_value);
/* Elements of a document or array, as far as it is there. */
uint64_t bson_count(struct view document);

/* Write a document (array) as a JSON value. *budget: bytes of text still to be written; false: something was left out. */
bool bson_show(struct view document, bool array, unsigned depth, size_t *budget, struct json *json);

#endif
