/*
 * Any bytes to any dissector. The first byte picks the protocol and whether it is
 * datagrams; then come instructions: a byte for direction and kind, a byte of
 * length, and that many bytes. The driver below keeps the contract of wire/proto.h
 * to the letter, and every chunk is a block of just its size.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/rd.h"
#include "wire/calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

struct direction {
	uint8_t *held;		/* not consumed */
	size_t held_len;
	uint64_t off;		/* behind what is held */
	uint64_t skip;
	uint64_t missing;
	bool ended;
};

struct driver {
	const struct proto_ops *ops;
	void *conn;
	struct direction dir[2];
	struct guess_hint hint;
	bool datagram, dead;
	uint64_t now_ns;
	struct call_sink sink;
	size_t hold_max;
};

static void emit(void *arg, const struct call *call)
{
	const struct table *table = table_get(TABLE_CALLS);
	uint64_t *sum = arg;

	assert(call->row.end_ns >= call->row.start_ns);
	assert(call->row.end_reason >= CALL_END_complete && call->row.end_reason <= CALL_END_oneway);
	for (size_t i = 0; i < table->cols_count; i++) {
		struct view text = { NULL, 0 };
		uint64_t number = 0;

		if (row_get(&table->cols[i], &call->row, &number, &text))
			for (size_t j = 0; j < text.len; j++)
				*sum += text.at[j];	/* readable to its end */
	}
}

static void feed(struct driver *drv, unsigned d, struct view bytes, bool end)
{
	struct direction *dir = &drv->dir[d];

	for (;;) {
		struct chunk chunk = {
			.off = dir->off - bytes.len, .end = end, .datagram = drv->datagram, .dir = (uint8_t)d,
			.flow = &drv->hint, .missing = dir->missing, .time_ns = drv->now_ns,
			.before_ns = drv->now_ns, .has_seq = !drv->datagram,
		};
		uint8_t *copy = malloc(bytes.len ? bytes.len : 1);
		int64_t rc;

		if (!copy)
			abort();
		if (bytes.len)
			memcpy(copy, bytes.at, bytes.len);
		chunk.bytes = view_make(copy, bytes.len);
		dir->missing = 0;
		rc = drv->ops->feed(drv->conn, d, &chunk, &drv->sink);
		free(copy);
		if (rc < 0) {
			drv->dead = true;
			return;
		}
		if (drv->datagram)
			return;
		if (rc <= PROTO_SKIP_BASE) {
			size_t n = rc == PROTO_SKIP_BASE ? 0 : (size_t)rc;

			assert(n <= bytes.len);
			bytes = view_sub(bytes, n, bytes.len);
			break;
		}
		rc -= PROTO_SKIP_BASE;
		if ((uint64_t)rc > bytes.len) {
			dir->skip = (uint64_t)rc - bytes.len;
			bytes.len = 0;
			break;
		}
		bytes = view_sub(bytes, (size_t)rc, bytes.len);
	}
	if (bytes.len >= drv->hold_max) {
		if (drv->ops->gap(drv->conn, d, dir->off - bytes.len, bytes.len, &drv->sink) < 0)
			drv->dead = true;
		bytes.len = 0;
	}
	if (bytes.len)
		memmove(dir->held, bytes.at, bytes.len);
	dir->held_len = bytes.len;
}

static void data(struct driver *drv, unsigned d, struct view bytes)
{
	struct direction *dir = &drv->dir[d];

	if (dir->ended)
		return;
	if (dir->skip) {
		uint64_t n = dir->skip < bytes.len ? dir->skip : bytes.len;

		dir->skip -= n;
		dir->off += n;
		bytes = view_sub(bytes, (size_t)n, bytes.len);
		if (dir->skip)
			return;
	}
	if (dir->held_len + bytes.len > 2 * drv->hold_max)
		return;
	memcpy(dir->held + dir->held_len, bytes.at, bytes.len);
	dir->off += bytes.len;
	dir->held_len += drv->datagram ? 0 : bytes.len;
	feed(drv, d, drv->datagram ? bytes : view_make(dir->held, dir->held_len), false);
}

static void gap(struct driver *drv, unsigned d, uint64_t len)
{
	struct direction *dir = &drv->dir[d];
	uint64_t n = dir->skip < len ? dir->skip : len;

	if (dir->ended || drv->datagram || !len)
		return;
	dir->skip -= n;
	dir->off += n;
	dir->missing += n;
	len -= n;
	if (n && !dir->skip)
		feed(drv, d, view_make(dir->held, 0), false);
	if (!len || drv->dead)
		return;
	dir->held_len = 0;
	if (drv->ops->gap(drv->conn, d, dir->off, len, &drv->sink) < 0)
		drv->dead = true;
	dir->off += len;
}

static void end(struct driver *drv, unsigned d)
{
	struct direction *dir = &drv->dir[d];

	if (dir->ended || drv->datagram)
		return;
	dir->ended = true;
	dir->skip = 0;
	feed(drv, d, view_make(dir->held, dir->held_len), true);
}

static void run(struct driver *drv, struct rd *rd)
{
	while (rd_left(rd) && !drv->dead) {
		uint8_t what = rd_u8(rd), n = rd_u8(rd);
		unsigned d = what & 1;

		drv->sink.now_ns = drv->now_ns += 1000000;
		switch (what >> 1 & 7) {
		case 5:
			gap(drv, d, n + 1ull);
			break;
		case 6:
			if (n == 'F')
				end(drv, d);
			break;
		case 7:
			drv->sink.now_ns = drv->now_ns += n * 100000000ull;
			if (drv->ops->tick)
				drv->ops->tick(drv->conn, drv->now_ns, &drv->sink);
			break;
		default:
			data(drv, d, rd_bytes(rd, n < rd_left(rd) ? n : rd_left(rd)));
			break;
		}
	}
}

/* Also as what detail() and guess() get: anything. */
static void show(const struct proto_ops *ops, struct view bytes)
{
	struct view half = view_sub(bytes, 0, bytes.len / 2);
	struct json json;
	struct wr out;

	wr_init(&out, 1 << 20);
	json_init(&json, &out, false);
	json_object(&json);
	(void)ops->detail(half, view_sub(bytes, half.len, bytes.len), 1000, &json);
	json_object_end(&json);
	wr_release(&out);
	for (unsigned port = 0; port < 2; port++) {
		struct guess_hint hint = { .proto = port ? PROTO_udp : PROTO_tcp, .src_port = 53, .dst_port = 80 };

		(void)ops->guess(bytes, &hint);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct call_pool *pool = call_pool_new(&(struct call_pool_opts){ .calls_max = 100, .text_bytes_max = 1 << 16 });
	struct driver drv = { .now_ns = 1000000000, .hint = { .proto = PROTO_tcp, .src_port = 40000, .dst_port = 53 } };
	struct rd rd = rd_make(view_make(at, len));
	uint8_t first = rd_u8(&rd);
	uint64_t next_id = 0, sum = 0;
	unsigned count = 0;

	while (protos[count])
		count++;
	drv.ops = protos[(first & 0x7f) % count];
	if (!drv.ops->feed) {	/* its calls come from another one's streams */
		show(drv.ops, view_make(at, len));
		call_pool_free(pool);
		return 0;
	}
	drv.datagram = first & 0x80;
	drv.hold_max = drv.ops->hold_bytes ? drv.ops->hold_bytes : 65536;
	drv.sink = (struct call_sink){ .pool = pool, .next_id = &next_id, .emit = emit, .arg = &sum };
	drv.conn = calloc(1, drv.ops->conn_size);
	for (unsigned d = 0; d < 2; d++)
		drv.dir[d].held = malloc(2 * drv.hold_max);
	if (!pool || !drv.conn || !drv.dir[0].held || !drv.dir[1].held)
		abort();
	run(&drv, &rd);
	for (unsigned d = 0; d < 2 && !drv.dead; d++)
		if (drv.dir[d].skip && !drv.dir[d].ended)
			feed(&drv, d, view_make(drv.dir[d].held, 0), false);	/* how far it came */
	drv.ops->close(drv.conn, CALL_END_closed, &drv.sink);
	assert(drv.sink.open_calls == 0 && call_pool_open(pool) == 0);
	show(drv.ops, view_make(at, len));
	free(drv.conn);
	free(drv.dir[0].held);
	free(drv.dir[1].held);
	call_pool_free(pool);
	return 0;
}
