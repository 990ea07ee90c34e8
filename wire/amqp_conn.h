/* What a connection of AMQP keeps: shared by proto_amqp.c, amqp_091.c and amqp_10.c. */
#ifndef WIRE_AMQP_CONN_H
#define WIRE_AMQP_CONN_H

#include "wire/dissect.h"

#define AMQP_TEXT_MAX	256
#define AMQP_PENDING_MAX 1024
#define AMQP_SHOW_MAX	((uint64_t)8 << 10)	/* of a frame that is looked at */
#define AMQP_CHANNELS	128
#define AMQP_CONSUMERS	32

#define AMQP_SESSIONS	32
#define AMQP_LINKS	48

enum amqp_mode { AMQP_UNKNOWN, AMQP_091, AMQP_10 };

/* call->tag: flags, the channel (of who asked), and the method or the delivery's number */
#define AMQP_TAG_CONTENT	(1ull << 63)	/* a message: settled by number, not answered by a method */
#define AMQP_TAG_ONEWAY		(1ull << 62)	/* nothing answers it */
#define AMQP_TAG_NO_ACK		(1ull << 61)	/* a consumer that settles nothing */
#define AMQP_TAG_UNSURE		(1ull << 60)	/* perhaps of such a consumer, or its number is not known */
#define AMQP_TAG_CHANNEL_SHIFT	40
#define AMQP_TAG_NUMBER		((1ull << AMQP_TAG_CHANNEL_SHIFT) - 1)
#define AMQP_HEADER		1	/* in a method's place: a protocol header */

struct amqp_channel {
	uint16_t number;
	bool used;
	bool confirm, unsure;		/* publications are confirmed; but their numbers are not known */
	bool acks;			/* deliveries were settled on it */
	uint64_t published;		/* the number of the last one */
	struct amqp_content_dir {
		bool open, headed;	/* a method with content was seen; its header too */
		bool answer;		/* it answers call, else it is call */
		uint64_t left;		/* bytes of the body to come */
		struct call *call;	/* NULL: left out */
	} content[2];
};

struct amqp_consumer {
	uint64_t key;			/* hash of channel and tag; 0: free */
	bool no_ack;
	uint8_t queue_len;
	char queue[70];
};

/* Either direction has its own number for a session, and for a link. */
struct amqp_session {
	bool has[2];
	uint16_t channel[2];
};

struct amqp_link {
	bool used;
	uint8_t session, address_len;
	bool has[2];
	uint32_t name;			/* hash; 0: its attach was not seen */
	uint32_t handle[2];
	struct call *call;		/* of a transfer of which more comes */
	char address[80];
};

struct amqp_conn {
	struct frame_dir dir[2];
	enum amqp_mode mode;
	bool begun, roles, sure;
	bool opaque;
	bool tls_asked, tls;	/* the client, then the server too, says that TLS comes */
	bool doubt[2];			/* something in this direction was lost */
	uint8_t client;
	struct call_fifo asked[2];	/* by direction of the request: those a method answers */
	struct call_fifo content[2];	/* messages to be settled */
	struct call *at[2];		/* of the frame in progress */
	bool at_answer[2];
	bool at_more[2];		/* 1.0: further frames belong to it */
	struct amqp_channel *at_content[2];	/* its channel, when the frame belongs to content */
	uint8_t version_len, user_len, vhost_len, agent_len;
	char version[8], user[64], vhost[96], agent[96];
	uint8_t consumer_next, session_next, link_next;
	union {				/* by mode, which never changes once it is known */
		struct {
			struct amqp_channel channel[AMQP_CHANNELS];
			struct amqp_consumer consumer[AMQP_CONSUMERS];
		};
		struct {
			struct amqp_session session[AMQP_SESSIONS];
			struct amqp_link link[AMQP_LINKS];
		};
	};
};

/* Columns that every call of the connection has. */
void amqp_columns(const struct amqp_conn *conn, struct call_sink *sink, struct call *call);
/* At frame: a call whose request (response) it begins; NULL when refused. */
struct call *amqp_open(struct frames *f, const struct frame *frame, bool answer, struct view method);
/* End call, which is in no queue. */
void amqp_end(struct amqp_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink);
/* Put into a queue, with room made. */
void amqp_wait(struct amqp_conn *conn, struct call_fifo *fifo, struct call *call, struct call_sink *sink);
/* The oldest request on the channel that a frame of direction d answers. */
struct call *amqp_answered(struct amqp_conn *conn, unsigned d, uint16_t channel, uint64_t request);
/* Of call, which answers or asks, the last byte in direction d has come. */
void amqp_done(struct amqp_conn *conn, struct call *call, bool answer, unsigned d, struct call_sink *sink);
void amqp_take_off(struct call_fifo *fifo, struct call *prev, struct call *call);
uint8_t amqp_keep(char *text, size_t cap, struct view from);

/* Frames of 0-9-1, as frame_ops. */
int64_t amqp_091_size(struct frames *f, struct view bytes, uint64_t *ret_show);
int amqp_091_take(struct frames *f, const struct frame *frame);
void amqp_091_progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing);
void amqp_091_lost(struct frames *f, uint64_t len);
void amqp_091_close(struct amqp_conn *conn, uint8_t reason, struct call_sink *sink);
/* Do bytes begin with a frame beyond doubt? *ret_more: as far as they go they may. */
bool amqp_091_begins(struct view bytes, bool *ret_more);

/* The same of 1.0. */
int64_t amqp_10_size(struct frames *f, struct view bytes, uint64_t *ret_show);
int amqp_10_take(struct frames *f, const struct frame *frame);
void amqp_10_progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing);
void amqp_10_lost(struct frames *f, uint64_t len);
void amqp_10_close(struct amqp_conn *conn, uint8_t reason, struct call_sink *sink);
bool amqp_10_begins(struct view bytes, bool *ret_more);

#endif
