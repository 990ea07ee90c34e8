/*
 * QUIC packets (RFC 9000, version 2: RFC 9369, drafts 23 to 32) and the frames of
 * Initial ones; the CHLO of Google's versions before them. The keys
 * that protect Initial packets follow from the packet itself (RFC 9001 5.2): nothing
 * secret is read. Pure.
 */
#ifndef WIRE_QUIC_MSG_H
#define WIRE_QUIC_MSG_H

#include "base/view.h"

#define QUIC_CID_MAX		20
#define QUIC_PLAIN_MAX		4096	/* an Initial packet without its protection; larger ones are not read */
#define QUIC_V1			0x00000001u
#define QUIC_V2			0x6b3343cfu

enum quic_type { QUIC_INITIAL, QUIC_0RTT, QUIC_HANDSHAKE, QUIC_RETRY, QUIC_NEGOTIATION, QUIC_SHORT };

struct quic_packet {
	enum quic_type type;
	uint32_t version;
	struct view dcid, scid, token;
	struct view versions;	/* QUIC_NEGOTIATION: four bytes each */
	struct view bytes;	/* the packet, header included */
	size_t pn_off;		/* in bytes: where the protected packet number begins */
};

/* The next packet of a datagram; *rest moves behind it. False: no more, or not QUIC. */
bool quic_packet_next(struct view *rest, struct quic_packet *ret_packet);
const char *quic_type_name(enum quic_type type);
/* "QUIC v1", "QUIC draft-29", "0x1a2a3a4a" into text; whether its Initial packets can be read. */
bool quic_version_name(uint32_t version, char text[24]);
/* A version nobody speaks, sent to keep servers honest (RFC 9000 15). */
bool quic_version_is_grease(uint32_t version);

struct quic_keys {
	uint8_t key[16], iv[12], hp[16];
};
/* [0]: what the client protects with, [1]: the server. dcid: of the client's first Initial, or of the first after a Retry. */
bool quic_initial_keys(uint32_t version, struct view dcid, struct quic_keys ret_keys[2]);
/* Into plain: the frames. False: other keys, damaged, cut short or too large. */
bool quic_open(const struct quic_keys *keys, const struct quic_packet *packet, uint8_t plain[QUIC_PLAIN_MAX],
	       uint64_t *ret_number, struct view *ret_frames);

struct quic_frame {
	uint64_t type;
	uint64_t off;		/* CRYPTO: of data in the stream of handshake messages */
	struct view data;	/* CRYPTO; CONNECTION_CLOSE: the reason */
	uint64_t error;		/* CONNECTION_CLOSE */
};
enum { QUIC_PADDING = 0, QUIC_PING = 1, QUIC_ACK = 2, QUIC_ACK_ECN = 3, QUIC_CRYPTO = 6, QUIC_CLOSE = 0x1c };
/* False: no more, or one that Initial packets may not carry. Runs of PADDING are one frame. */
bool quic_frame_next(struct view *rest, struct quic_frame *ret_frame);
const char *quic_frame_name(uint64_t type);
/* RFC 9000 20.1; "CRYPTO_ERROR" for what TLS complained of. NULL: unknown. */
const char *quic_error_name(uint64_t error);

/* Google's own versions up to Q046: the values of a CHLO in the datagram. False: there is none. */
struct quic_chlo {
	uint32_t version;	/* "Q046" as a number */
	struct view sni, user_agent;
};
bool quic_chlo(struct view datagram, struct quic_chlo *ret_chlo);

#endif
