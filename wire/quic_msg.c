#include "wire/quic_msg.h"

#include <stdio.h>

#include "base/rd.h"

#define CHLO_TAGS_MAX 64

static uint64_t varint(struct rd *rd)
{
	uint8_t first = rd_u8(rd);
	uint64_t value = first & 0x3f;

	for (unsigned n = (1u << (first >> 6)) - 1; n; n--)
		value = value << 8 | rd_u8(rd);
	return value;
}

static enum quic_type long_type(uint8_t first, uint32_t version)
{
	unsigned type = first >> 4 & 3;

	return (enum quic_type)(version == QUIC_V2 ? (type + 3) & 3 : type);	/* RFC 9369 3.2 turns them by one */
}

bool quic_packet_next(struct view *rest, struct quic_packet *ret_packet)
{
	struct quic_packet *p = ret_packet;
	struct rd rd = rd_make(*rest);
	uint8_t first = rd_u8(&rd);
	uint64_t length;

	memset(p, 0, sizeof(*p));
	if (!rest->len)
		return false;
	p->bytes = *rest;
	rest->at += rest->len;
	rest->len = 0;
	if (!(first & 0x80)) {
		p->type = QUIC_SHORT;
		return first & 0x40;
	}
	p->version = rd_u32be(&rd);
	p->dcid = rd_bytes(&rd, rd_u8(&rd));
	p->scid = rd_bytes(&rd, rd_u8(&rd));
	if (rd.bad || p->dcid.len > QUIC_CID_MAX || p->scid.len > QUIC_CID_MAX)
		return false;
	if (p->version == 0) {
		p->type = QUIC_NEGOTIATION;
		p->versions = rd_bytes(&rd, rd_left(&rd));
		return p->versions.len >= 4 && p->versions.len % 4 == 0;
	}
	if (!(first & 0x40))
		return false;
	p->type = long_type(first, p->version);
	if (p->type == QUIC_RETRY) {
		p->token = rd_bytes(&rd, rd_left(&rd));
		return p->token.len > 16;	/* its integrity tag */
	}
	if (p->type == QUIC_INITIAL)
		p->token = rd_bytes(&rd, varint(&rd));
	length = varint(&rd);
	if (rd.bad)
		return false;
	p->pn_off = rd_pos(&rd);
	if (length > rd_left(&rd))	/* cut by the capture: what is there */
		length = rd_left(&rd);
	rest->at = p->bytes.at + p->pn_off + length;
	rest->len = p->bytes.len - p->pn_off - (size_t)length;
	p->bytes.len = p->pn_off + (size_t)length;
	return true;
}

const char *quic_type_name(enum quic_type type)
{
	static const char *const names[] = { "Initial", "0-RTT", "Handshake", "Retry", "Version Negotiation", "1-RTT" };

	return names[type];
}

bool quic_version_name(uint32_t version, char text[24])
{
	if (version == QUIC_V1 || version == QUIC_V2) {
		(void)snprintf(text, 24, "QUIC v%d", version == QUIC_V1 ? 1 : 2);
		return true;
	}
	if (version >> 8 == 0xff0000) {
		(void)snprintf(text, 24, "QUIC draft-%02u", version & 0xff);
		return (version & 0xff) >= 23 && (version & 0xff) <= 32;
	}
	if (version >> 24 == 'Q' || version >> 24 == 'T')
		(void)snprintf(text, 24, "gQUIC %c%c%c%c", (int)(version >> 24), (int)(version >> 16 & 0x7f),
			       (int)(version >> 8 & 0x7f), (int)(version & 0x7f));
	else
		(void)snprintf(text, 24, "0x%08x", version);
	return false;
}

bool quic_version_is_grease(uint32_t version)
{
	return (version & 0x0f0f0f0f) == 0x0a0a0a0a;
}

bool quic_frame_next(struct view *rest, struct quic_frame *ret_frame)
{
	struct quic_frame *f = ret_frame;
	struct rd rd = rd_make(*rest);
	uint64_t ranges;

	memset(f, 0, sizeof(*f));
	if (!rest->len)
		return false;
	f->type = varint(&rd);
	switch (f->type) {
	case QUIC_PADDING:
		while (rd_left(&rd) && *rd.at == QUIC_PADDING)
			(void)rd_u8(&rd);
		break;
	case QUIC_PING:
		break;
	case QUIC_ACK:
	case QUIC_ACK_ECN:
		(void)varint(&rd);	/* largest */
		(void)varint(&rd);	/* delay */
		ranges = varint(&rd);
		(void)varint(&rd);	/* first range */
		for (uint64_t i = 0; i < ranges && !rd.bad; i++) {
			(void)varint(&rd);
			(void)varint(&rd);
		}
		for (unsigned i = 0; f->type == QUIC_ACK_ECN && i < 3; i++)
			(void)varint(&rd);
		break;
	case QUIC_CRYPTO:
		f->off = varint(&rd);
		f->data = rd_bytes(&rd, varint(&rd));
		break;
	case QUIC_CLOSE:
		f->error = varint(&rd);
		(void)varint(&rd);	/* the frame that was at fault */
		f->data = rd_bytes(&rd, varint(&rd));
		break;
	default:
		return false;
	}
	*rest = view_sub(*rest, rd_pos(&rd), rest->len);
	return !rd.bad;
}

const char *quic_frame_name(uint64_t type)
{
	switch (type) {
	case QUIC_PADDING: return "PADDING";
	case QUIC_PING: return "PING";
	case QUIC_ACK:
	case QUIC_ACK_ECN: return "ACK";
	case QUIC_CRYPTO: return "CRYPTO";
	case QUIC_CLOSE: return "CONNECTION_CLOSE";
	default: return "?";
	}
}

const char *quic_error_name(uint64_t error)
{
	static const char *const names[] = {
		"NO_ERROR", "INTERNAL_ERROR", "CONNECTION_REFUSED", "FLOW_CONTROL_ERROR", "STREAM_LIMIT_ERROR",
		"STREAM_STATE_ERROR", "FINAL_SIZE_ERROR", "FRAME_ENCODING_ERROR", "TRANSPORT_PARAMETER_ERROR",
		"CONNECTION_ID_LIMIT_ERROR", "PROTOCOL_VIOLATION", "INVALID_TOKEN", "APPLICATION_ERROR",
		"CRYPTO_BUFFER_EXCEEDED", "KEY_UPDATE_ERROR", "AEAD_LIMIT_REACHED", "NO_VIABLE_PATH",
	};

	if (error < sizeof(names) / sizeof(names[0]))
		return names[error];
	return error >= 0x100 && error <= 0x1ff ? "CRYPTO_ERROR" : NULL;
}

/* ---- Google's ---- */

static bool is_gquic(uint32_t version)
{
	for (unsigned i = 0; i < 24; i += 8)
		if ((version >> i & 0xff) < '0' || (version >> i & 0xff) > '9')
			return false;
	return version >> 24 == 'Q';
}

/* Where it stands depends on the form of the header: flags and id before Q044, like QUIC's since. */
static uint32_t chlo_version(struct view datagram)
{
	struct rd rd = rd_make(datagram);
	uint8_t flags = rd_u8(&rd);

	if (!(flags & 0x80) && !(flags & 0x01))
		return 0;
	if (!(flags & 0x80) && flags & 0x08)
		(void)rd_u64be(&rd);
	return rd_u32be(&rd);
}

bool quic_chlo(struct view datagram, struct quic_chlo *ret_chlo)
{
	static const struct view mark = VIEW_LIT("CHLO");
	uint32_t version = chlo_version(datagram), from = 0;
	ptrdiff_t at;
	struct rd rd;
	struct view values;
	uint16_t tags;

	memset(ret_chlo, 0, sizeof(*ret_chlo));
	if (!is_gquic(version))
		return false;
	at = view_find(datagram, mark);
	if (at < 0)
		return false;
	ret_chlo->version = version;
	rd = rd_make(view_sub(datagram, (size_t)at + 4, datagram.len));
	tags = rd_u16le(&rd);
	(void)rd_u16le(&rd);
	if (rd.bad || tags > CHLO_TAGS_MAX || rd_left(&rd) < (size_t)tags * 8)
		return false;
	values = view_make(rd.at + (size_t)tags * 8, rd_left(&rd) - (size_t)tags * 8);
	for (unsigned i = 0; i < tags; i++) {
		uint32_t tag = rd_u32be(&rd), to = rd_u32le(&rd);

		if (to < from)
			return false;
		if (tag == 0x534e4900)		/* "SNI" */
			ret_chlo->sni = view_sub(values, from, to - from);
		if (tag == 0x55414944)		/* "UAID" */
			ret_chlo->user_agent = view_sub(values, from, to - from);
		from = to;
	}
	return true;
}
