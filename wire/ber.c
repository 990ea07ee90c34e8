#include "wire/ber.h"

int ber_head(struct view bytes, uint8_t *ret_tag, uint64_t *ret_len)
{
	uint64_t len = 0;
	unsigned octets;

	if (bytes.len < 2)
		return 0;
	if ((bytes.at[0] & 0x1f) == 0x1f)
		return -1;		/* tags of several octets: not in our protocols */
	*ret_tag = bytes.at[0];
	if (bytes.at[1] < 0x80) {
		*ret_len = bytes.at[1];
		return 2;
	}
	octets = bytes.at[1] & 0x7f;
	if (octets < 1 || octets > 4)
		return -1;		/* 0: indefinite */
	if (bytes.len < 2 + octets)
		return 0;
	for (unsigned i = 0; i < octets; i++)
		len = len << 8 | bytes.at[2 + i];
	if (len > BER_LEN_MAX)
		return -1;
	*ret_len = len;
	return 2 + (int)octets;
}

bool ber_next(struct view *rest, struct ber_elem *ret_elem)
{
	uint64_t len;
	int head = ber_head(*rest, &ret_elem->tag, &len);

	if (head <= 0)
		return false;
	ret_elem->body = view_sub(*rest, (size_t)head, (size_t)len);
	ret_elem->cut = ret_elem->body.len < len;
	*rest = view_sub(*rest, (size_t)head + (size_t)len, rest->len);
	return true;
}

bool ber_take(struct view *rest, uint8_t tag, struct view *ret_body)
{
	struct view after = *rest;
	struct ber_elem elem;

	if (!ber_next(&after, &elem) || elem.tag != tag || elem.cut)
		return false;
	*rest = after;
	*ret_body = elem.body;
	return true;
}

bool ber_take_int(struct view *rest, uint8_t tag, int64_t *ret_value)
{
	struct view after = *rest, body;

	if (!ber_take(&after, tag, &body) || !ber_int(body, ret_value))
		return false;
	*rest = after;
	return true;
}

bool ber_int(struct view body, int64_t *ret_value)
{
	uint64_t value;

	if (!body.len || body.len > 9 || (body.len == 9 && body.at[0]))
		return false;		/* nine: an unsigned one of 64 bits */
	value = body.at[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = 0; i < body.len; i++)
		value = value << 8 | body.at[i];
	*ret_value = (int64_t)value;
	return true;
}

bool ber_oid(struct view body, struct txt *txt)
{
	uint64_t number = 0;
	bool first = true;

	if (!body.len || body.at[body.len - 1] & 0x80)
		return false;
	for (size_t i = 0; i < body.len; i++) {
		if (number >> 57)
			return false;
		number = number << 7 | (body.at[i] & 0x7f);
		if (body.at[i] & 0x80)
			continue;
		if (first) {	/* the first two arcs share a number */
			unsigned arc = number < 40 ? 0 : number < 80 ? 1 : 2;

			txt_printf(txt, "%u.%llu", arc, (unsigned long long)(number - 40 * arc));
			first = false;
		} else {
			txt_printf(txt, ".%llu", (unsigned long long)number);
		}
		number = 0;
	}
	return true;
}
