#include "wire/hpack.h"

#include <nghttp2/nghttp2.h>

#include "base/mem.h"

#define TABLE_BYTES_MAX		((size_t)1 << 20)	/* an encoder may not choose a larger one; real ones use 4 to 64 KiB */
#define MEMORY_MAX		((size_t)512 << 10)	/* of one direction */
#define CHUNK_BYTES		4000
#define CLASS_BYTES		32
#define SMALL_MAX		(HPACK_CLASSES * CLASS_BYTES)
#define HEAD_BYTES		16			/* before each piece, so that it can be given back */
#define ENTRY_OVERHEAD		32			/* RFC 7541 4.1 */
#define FILL_BYTES		4096			/* the table's size where nothing else was agreed */
#define WIDER_MAX		2			/* 4, 16, 64 KiB */
#define FIRST_DYNAMIC		62

/* ---- memory: small pieces out of chunks, so that blocks of headers do not reach the allocator ---- */

struct hpack_chunk {
	struct hpack_chunk *next;
	size_t pad;	/* keeps what follows aligned to 16 */
	uint8_t bytes[];
};

struct hpack_free {
	struct hpack_free *next;
};

static void *take(struct hpack *hpack, size_t bytes)
{
	void *at = NULL;

	if (hpack->used_bytes + bytes <= MEMORY_MAX)
		at = hpack->sink ? conn_memory_take(hpack->sink, bytes) : mem_alloc(bytes);
	if (at)
		hpack->used_bytes += bytes;
	return at;
}

static void give(struct hpack *hpack, void *at, size_t bytes)
{
	hpack->used_bytes -= bytes;
	if (hpack->sink)
		conn_memory_give(hpack->sink, at);
	else
		mem_free(at);
}

static void *take_small(struct hpack *hpack, unsigned class)
{
	size_t bytes = (class + 1) * CLASS_BYTES;
	struct hpack_free *free = hpack->free[class];
	struct hpack_chunk *chunk;
	void *at;

	if (free) {
		hpack->free[class] = free->next;
		return free;
	}
	if (hpack->bump_bytes < bytes) {
		chunk = take(hpack, CHUNK_BYTES);
		if (!chunk)
			return NULL;
		chunk->next = hpack->chunks;
		hpack->chunks = chunk;
		hpack->bump = chunk->bytes;
		hpack->bump_bytes = CHUNK_BYTES - sizeof(*chunk);
	}
	at = hpack->bump;
	hpack->bump += bytes;
	hpack->bump_bytes -= bytes;
	return at;
}

static void *lib_malloc(size_t size, void *arg)
{
	struct hpack *hpack = arg;
	size_t bytes = size + HEAD_BYTES;
	uint8_t *at;

	if (size > MEMORY_MAX)
		return NULL;
	at = bytes <= SMALL_MAX ? take_small(hpack, (unsigned)((bytes - 1) / CLASS_BYTES)) : take(hpack, bytes);
	if (!at)
		return NULL;
	memcpy(at, &bytes, sizeof(bytes));
	return at + HEAD_BYTES;
}

static void lib_free(void *ptr, void *arg)
{
	struct hpack *hpack = arg;
	struct hpack_free *free;
	uint8_t *at = ptr;
	size_t bytes;

	if (!at)
		return;
	at -= HEAD_BYTES;
	memcpy(&bytes, at, sizeof(bytes));
	if (bytes > SMALL_MAX) {
		give(hpack, at, bytes);
		return;
	}
	free = (void *)at;
	free->next = hpack->free[(bytes - 1) / CLASS_BYTES];
	hpack->free[(bytes - 1) / CLASS_BYTES] = free;
}

static void *lib_calloc(size_t count, size_t size, void *arg)
{
	size_t bytes;
	void *at;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	at = lib_malloc(bytes, arg);
	return at ? memset(at, 0, bytes) : NULL;
}

static void *lib_realloc(void *ptr, size_t size, void *arg)
{
	void *at = lib_malloc(size, arg);
	size_t old;

	if (!at || !ptr)
		return at;
	memcpy(&old, (uint8_t *)ptr - HEAD_BYTES, sizeof(old));
	old -= HEAD_BYTES;
	memcpy(at, ptr, old < size ? old : size);
	lib_free(ptr, arg);
	return at;
}

void hpack_release(struct hpack *hpack)
{
	if (hpack->inflater)
		nghttp2_hd_inflate_del(hpack->inflater);
	hpack->inflater = NULL;
	while (hpack->chunks) {
		struct hpack_chunk *chunk = hpack->chunks;

		hpack->chunks = chunk->next;
		give(hpack, chunk, CHUNK_BYTES);
	}
	memset(hpack->free, 0, sizeof(hpack->free));
	hpack->bump_bytes = 0;
	hpack->in_block = false;
}

void hpack_lose(struct hpack *hpack)
{
	hpack_release(hpack);
	hpack->known = false;
}

/* ---- fields ---- */

static int code_of(ssize_t rc)
{
	return rc == NGHTTP2_ERR_NOMEM ? E_NO_MEMORY : E_FORMAT;
}

static ssize_t inflate(struct hpack *hpack, struct view bytes, bool last, nghttp2_nv *nv, int *flags)
{
	return nghttp2_hd_inflate_hd2(hpack->inflater, nv, flags, bytes.at, bytes.len, last);
}

/* An integer with a prefix of 5 bits (RFC 7541 5.1). */
static size_t put_size_update(uint8_t *at, size_t size)
{
	size_t n = 0;

	at[n++] = 0x3f;
	size -= 31;
	while (size >= 128) {
		at[n++] = (uint8_t)(size | 0x80);
		size >>= 7;
	}
	at[n++] = (uint8_t)size;
	return n;
}

/* Place-holders: a literal "?" with no value, again and again under the name of the one before. */
static int fill(struct hpack *hpack)
{
	size_t table = (size_t)FILL_BYTES << 2 * hpack->wider, count = table / (ENTRY_OVERHEAD + 1), n = 0;
	uint8_t bytes[16];
	nghttp2_nv nv;

	if (hpack->wider)
		n = put_size_update(bytes, table);
	memcpy(bytes + n, "\x40\x01?\x00", 4);
	n += 4;
	for (size_t i = 0; i < count; i++) {
		struct view in = view_make(bytes, n);
		int flags = 0;

		do {
			ssize_t rc = inflate(hpack, in, false, &nv, &flags);

			if (rc < 0)
				return code_of(rc);
			in = view_sub(in, (size_t)rc, in.len);
		} while (!(flags & NGHTTP2_HD_INFLATE_EMIT));
		bytes[0] = 0x40 | FIRST_DYNAMIC;
		bytes[1] = 0;
		n = 2;
	}
	return nghttp2_hd_inflate_end_headers(hpack->inflater) ? E_FORMAT : 0;
}

static int begin(struct hpack *hpack)
{
	nghttp2_mem mem = { hpack, lib_malloc, lib_free, lib_calloc, lib_realloc };
	nghttp2_hd_inflater *inflater;
	int rc;

	/* 1.52 keeps the pointer, whatever its documentation says */
	_Static_assert(sizeof(hpack->mem) == sizeof(mem) && _Alignof(nghttp2_mem) == _Alignof(void *), "nghttp2_mem");
	memcpy(hpack->mem, &mem, sizeof(mem));
	if (nghttp2_hd_inflate_new2(&inflater, (nghttp2_mem *)hpack->mem) != 0)
		return E_NO_MEMORY;
	hpack->inflater = inflater;
	/* The encoder says when it changes the size; what its peer allows is not followed. */
	rc = nghttp2_hd_inflate_change_table_size(inflater, TABLE_BYTES_MAX) ? E_FORMAT : 0;
	return rc == 0 && !hpack->known ? fill(hpack) : rc;
}

int hpack_next(struct hpack *hpack, struct view *block, bool last, struct hpack_field *ret_field)
{
	int flags = 0, rc = 0;

	if (!hpack->inflater)
		rc = begin(hpack);
	hpack->in_block = true;
	while (rc == 0) {
		nghttp2_nv nv;
		ssize_t n = inflate(hpack, *block, last, &nv, &flags);

		if (n < 0) {
			rc = code_of(n);
			break;
		}
		*block = view_sub(*block, (size_t)n, block->len);
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			ret_field->name = view_make(nv.name, nv.namelen);
			ret_field->value = view_make(nv.value, nv.valuelen);
			ret_field->unknown = view_is(ret_field->name, "?");
			return 1;
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL || (!block->len && !last)) {
			if (flags & NGHTTP2_HD_INFLATE_FINAL)
				(void)nghttp2_hd_inflate_end_headers(hpack->inflater);
			hpack->in_block = !(flags & NGHTTP2_HD_INFLATE_FINAL);
			return 0;
		}
	}
	if (!hpack->known && rc == E_FORMAT && hpack->wider < WIDER_MAX)
		hpack->wider++;
	hpack_lose(hpack);
	return rc;
}

/* ---- structure ---- */

/* An integer whose first byte has so many bits of it (RFC 7541 5.1). False: cut or absurd. */
static bool read_int(struct view *in, unsigned bits, uint64_t *ret_value)
{
	uint64_t value, mask = (1u << bits) - 1;
	size_t i = 1;

	if (!in->len)
		return false;
	value = in->at[0] & mask;
	if (value == mask) {
		unsigned shift = 0;

		do {
			if (i >= in->len || shift > 28)
				return false;
			value += (uint64_t)(in->at[i] & 0x7f) << shift;
			shift += 7;
		} while (in->at[i++] & 0x80);
	}
	*in = view_sub(*in, i, in->len);
	*ret_value = value;
	return true;
}

static bool skip_string(struct view *in)
{
	uint64_t len;

	if (!read_int(in, 7, &len) || len > in->len)
		return false;
	*in = view_sub(*in, (size_t)len, in->len);
	return true;
}

bool hpack_plausible(struct view block)
{
	unsigned fields = 0;
	uint64_t index;

	while (block.len) {
		uint8_t c = block.at[0];

		if (c & 0x80) {			/* indexed */
			if (!read_int(&block, 7, &index) || !index || index > 4096)
				return false;
		} else if ((c & 0xe0) == 0x20) {	/* size of the table: only before the fields */
			if (fields || !read_int(&block, 5, &index) || index > TABLE_BYTES_MAX)
				return false;
			continue;
		} else {
			if (!read_int(&block, c & 0x40 ? 6 : 4, &index) || index > 4096)
				return false;
			if (!index && !skip_string(&block))
				return false;
			if (!skip_string(&block))
				return false;
		}
		fields++;
	}
	return fields > 0;
}
