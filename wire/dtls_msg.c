#include "wire/dtls_msg.h"

#include "base/rd.h"
#include "wire/tls_msg.h"

#define UNIFIED_MASK	0xe0	/* 001CSLEE: connection id, long number, length, epoch */
#define UNIFIED		0x20
#define UNIFIED_CID	0x10
#define UNIFIED_LONG	0x08
#define UNIFIED_LEN	0x04

/* How long a connection id is, only the two sides know: behind one, the datagram is taken to hold nothing else. */
static bool unified_next(struct view *rest, struct dtls_record *ret_record)
{
	struct rd rd = rd_make(*rest);
	uint8_t bits = rd_u8(&rd);
	size_t len;

	*ret_record = (struct dtls_record){ .unified = true, .encrypted = true };
	if (bits & UNIFIED_CID) {
		ret_record->body = rd_rest(&rd);
		*rest = view_sub(*rest, rest->len, 0);
		return true;
	}
	(void)rd_bytes(&rd, bits & UNIFIED_LONG ? 2 : 1);
	len = bits & UNIFIED_LEN ? rd_u16be(&rd) : rd_left(&rd);
	if (rd.bad || len > TLS_RECORD_BYTES_MAX)
		return false;
	ret_record->body = view_sub(rd_rest(&rd), 0, len);
	ret_record->cut = ret_record->body.len < len;
	*rest = view_sub(rd_rest(&rd), ret_record->body.len, rest->len);
	return true;
}

bool dtls_record_next(struct view *rest, struct dtls_record *ret_record)
{
	struct rd rd = rd_make(*rest);
	size_t len;

	if (rest->len && (rest->at[0] & UNIFIED_MASK) == UNIFIED)
		return unified_next(rest, ret_record);
	*ret_record = (struct dtls_record){ .type = rd_u8(&rd) };
	ret_record->version = rd_u16be(&rd);
	ret_record->epoch = rd_u16be(&rd);
	(void)rd_bytes(&rd, 6);
	ret_record->encrypted = ret_record->epoch > 0 || ret_record->type == DTLS_CID;
	if (rd.bad || ret_record->type < TLS_CHANGE_CIPHER_SPEC || ret_record->type > DTLS_CID + 1 ||
	    (ret_record->version != DTLS_1_0 && ret_record->version != DTLS_1_2 && ret_record->version != DTLS_OLD))
		return false;
	if (ret_record->type == DTLS_CID) {
		ret_record->body = rd_rest(&rd);
		*rest = view_sub(*rest, rest->len, 0);
		return true;
	}
	len = rd_u16be(&rd);
	if (rd.bad || !len || len > TLS_RECORD_BYTES_MAX)
		return false;
	ret_record->body = view_sub(rd_rest(&rd), 0, len);
	ret_record->cut = ret_record->body.len < len;
	*rest = view_sub(rd_rest(&rd), ret_record->body.len, rest->len);
	return true;
}

bool dtls_fragment_next(struct view *body, struct dtls_fragment *ret_fragment)
{
	struct rd rd = rd_make(*body);
	uint32_t len;

	ret_fragment->type = rd_u8(&rd);
	ret_fragment->len = rd_u24be(&rd);
	ret_fragment->seq = rd_u16be(&rd);
	ret_fragment->off = rd_u24be(&rd);
	len = rd_u24be(&rd);
	if (rd.bad || ret_fragment->len > TLS_MESSAGE_BYTES_MAX || ret_fragment->off > ret_fragment->len ||
	    len > ret_fragment->len - ret_fragment->off)
		return false;
	ret_fragment->bytes = view_sub(rd_rest(&rd), 0, len);
	*body = view_sub(rd_rest(&rd), ret_fragment->bytes.len, body->len);
	return true;
}
