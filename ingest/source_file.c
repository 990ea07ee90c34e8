/*
 * pcap: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
 * pcapng: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html
 *
 * Files are read, not mapped: a file that somebody truncates under a mapping
 * kills the reader by SIGBUS, and a pipe cannot be mapped at all. libpcap is not
 * used because it refuses a pcapng file with interfaces of several link types.
 */
#include "ingest/source_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rd.h"
#include "store/packet_block.h"

#define BUF_BYTES (256u << 10)	/* what was read is still in the cache when its frames are looked at */
#define BLOCK_BYTES_MAX (PACKET_BYTES_MAX + (1u << 20))	/* a frame with its header and options */
#define WAIT_MS 200
#define OPTIONS_MAX 64		/* of one interface block */

enum kind { KIND_PCAP, KIND_PCAPNG };

enum {
	PCAP_US = 0xa1b2c3d4, PCAP_NS = 0xa1b23c4d, PCAP_MODIFIED = 0xa1b2cd34,
	NG_SHB = 0x0a0d0d0a, NG_IDB = 1, NG_PB = 2, NG_SPB = 3, NG_EPB = 6,
	NG_ORDER = 0x1a2b3c4d,
	OPT_END = 0, OPT_IF_NAME = 2, OPT_IF_TSRESOL = 9, OPT_IF_TSOFFSET = 14,
};

struct source_file {
	int fd;
	bool fd_is_ours;
	enum kind kind;
	bool swapped;			/* numbers have the other byte order */
	/* pcap */
	bool nanos, modified;
	uint16_t version_major, version_minor;
	/* pcapng */
	size_t section_base;		/* number of this section's first interface */
	uint64_t last_ns;		/* simple packets have no time of their own */

	struct source_iface *ifaces;
	size_t ifaces_count, ifaces_cap;

	uint8_t *buf;
	size_t cap, at, have;		/* buf[at, have) is unread */
	bool eof;
	uint64_t offset;		/* in the file, of buf[at] */
	uint64_t total;			/* 0: a pipe */
	int (*waits)(void *arg, struct err *err);
	void *waits_arg;
	uint64_t frames, skipped;
	bool done;
	char warning[256];
};

/* ---- reading ---- */

static int wait_for_bytes(struct source_file *file, struct err *err)
{
	struct pollfd poll_fd = { .fd = file->fd, .events = POLLIN };
	int rc = 0;

	while (file->waits && rc >= 0 && poll(&poll_fd, 1, WAIT_MS) == 0)
		rc = file->waits(file->waits_arg, err);
	return rc;
}

/*
 * Make n bytes lie at buf + at. Returns how many do: fewer only at the end of
 * the file. The caller has capped n.
 */
static int fill(struct source_file *file, size_t n, size_t *ret_have, struct err *err)
{
	if (n > file->cap - file->at && file->at) {
		memmove(file->buf, file->buf + file->at, file->have - file->at);
		file->have -= file->at;
		file->at = 0;
	}
	if (n > file->cap) {
		size_t cap = file->cap;
		uint8_t *grown;

		while (cap < n)
			cap *= 2;
		grown = mem_resize(file->buf, cap, 1);
		if (!grown)
			return err_set(err, E_NO_MEMORY, "no memory for a record of %zu bytes", n);
		file->buf = grown;
		file->cap = cap;
	}
	while (file->have - file->at < n && !file->eof) {
		int rc = wait_for_bytes(file, err);
		ssize_t got;

		if (rc < 0)
			return rc;
		got = read(file->fd, file->buf + file->have, file->cap - file->have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, errno, "reading at offset %llu",
					 (unsigned long long)file->offset);
		if (got == 0)
			file->eof = true;
		file->have += (size_t)got;
	}
	*ret_have = file->have - file->at < n ? file->have - file->at : n;
	return 0;
}

static inline int need(struct source_file *file, size_t n, size_t *ret_have, struct err *err)
{
	if (__builtin_expect(file->have - file->at >= n, 1)) {
		*ret_have = n;
		return 0;
	}
	return fill(file, n, ret_have, err);
}

static void advance(struct source_file *file, size_t n)
{
	file->at += n;
	file->offset += n;
}

/* The file ends here, for the reason given; what came before stays good. Returns 0, as the end does. */
static int give_up(struct source_file *file, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int give_up(struct source_file *file, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(file->warning, sizeof(file->warning), fmt, args);
	va_end(args);
	file->done = true;
	return 0;
}

static inline uint16_t u16(const struct source_file *file, const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return file->swapped ? __builtin_bswap16(v) : v;
}

static inline uint32_t u32(const struct source_file *file, const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return file->swapped ? __builtin_bswap32(v) : v;
}

static int add_iface(struct source_file *file, const struct source_iface *iface, struct err *err)
{
	int rc = mem_grow((void **)&file->ifaces, &file->ifaces_cap, file->ifaces_count,
			  sizeof(*file->ifaces));

	if (rc < 0)
		return err_set(err, rc, "no memory for interface %zu", file->ifaces_count);
	file->ifaces[file->ifaces_count++] = *iface;
	return 0;
}

/* ---- pcap ---- */

static int pcap_open(struct source_file *file, const uint8_t *head, struct err *err)
{
	struct source_iface iface = { .tsresol = file->nanos ? 9 : 6 };

	/* Only told apart where the layout differs: one writer in the wild has these two in the wrong order. */
	file->version_major = u16(file, head + 4);
	file->version_minor = u16(file, head + 6);
	iface.snaplen = u32(file, head + 16);
	/* The upper half holds the FCS length and flags. */
	iface.link = (uint16_t)u32(file, head + 20);
	return add_iface(file, &iface, err);
}

/* Before version 2.3 the two lengths were the other way round; 2.3 was written both ways. */
static void pcap_order_lengths(const struct source_file *file, uint32_t *captured, uint32_t *original)
{
	bool swap = file->version_major == 543 ||
		    (file->version_major == 2 &&
		     (file->version_minor < 3 || (file->version_minor == 3 && *captured > *original)));

	if (swap) {
		uint32_t t = *captured;

		*captured = *original;
		*original = t;
	}
}

static int pcap_next(struct source_file *file, struct frame *ret_frame, struct err *err)
{
	size_t head_bytes = file->modified ? 24 : 16, have;
	uint32_t captured, original;
	uint64_t sec, frac;
	const uint8_t *head;
	int rc = need(file, head_bytes, &have, err);

	if (rc < 0)
		return rc;
	if (have == 0) {
		file->done = true;
		return 0;
	}
	if (have < head_bytes)
		return give_up(file, "header of record %llu at offset %llu is cut short: %zu of %zu bytes",
			       (unsigned long long)file->frames + 1, (unsigned long long)file->offset,
			       have, head_bytes);
	head = file->buf + file->at;
	sec = u32(file, head);
	frac = u32(file, head + 4);
	captured = u32(file, head + 8);
	original = u32(file, head + 12);
	pcap_order_lengths(file, &captured, &original);
	if (captured > PACKET_BYTES_MAX)
		return give_up(file, "record %llu at offset %llu claims %u captured bytes, more than %u",
			       (unsigned long long)file->frames + 1, (unsigned long long)file->offset,
			       captured, PACKET_BYTES_MAX);
	rc = need(file, head_bytes + captured, &have, err);
	if (rc < 0)
		return rc;
	if (have < head_bytes + captured)
		return give_up(file, "record %llu at offset %llu is cut short: %zu of %u bytes",
			       (unsigned long long)file->frames + 1, (unsigned long long)file->offset,
			       have - head_bytes, captured);
	*ret_frame = (struct frame){
		.time_ns = sec * NS_PER_SEC + (file->nanos ? frac : frac * NS_PER_US),
		.bytes = view_make(file->buf + file->at + head_bytes, captured),
		.orig_len = original,
		.link = file->ifaces[0].link,
		.segments = 1,
	};
	file->ifaces[0].frames++;
	file->frames++;
	advance(file, head_bytes + captured);
	/* The next record and its headers come while this frame is worked on. */
	__builtin_prefetch(file->buf + file->at);
	__builtin_prefetch(file->buf + file->at + 64);
	return 1;
}

/* ---- pcapng ---- */

static uint64_t pow10_u64(unsigned n)
{
	uint64_t v = 1;

	while (n--)
		v *= 10;
	return v;
}

/* Units of the interface's resolution since 1970 to nanoseconds; what no uint64_t holds is clamped. */
static uint64_t ng_time(const struct source_iface *iface, uint64_t ticks)
{
	unsigned exponent = iface->tsresol & 0x7f;
	__int128 ns;

	if (iface->tsresol & 0x80)
		ns = exponent < 64 ? (__int128)(((unsigned __int128)ticks * NS_PER_SEC) >> exponent) : 0;
	else if (exponent <= 9)
		ns = (__int128)ticks * (__int128)pow10_u64(9 - exponent);
	else
		ns = exponent - 9 <= 19 ? (__int128)(ticks / pow10_u64(exponent - 9)) : 0;
	ns += (__int128)iface->tsoffset_s * (__int128)NS_PER_SEC;
	if (ns < 0)
		return 0;
	return ns > (__int128)UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static int ng_section(struct source_file *file, const uint8_t *body, size_t len, struct err *err)
{
	uint16_t major, minor;

	(void)err;
	if (len < 16)
		return give_up(file, "section header at offset %llu is too short: %zu bytes",
			       (unsigned long long)file->offset, len);
	major = u16(file, body + 4);
	minor = u16(file, body + 6);
	if (major != 1)
		return give_up(file, "section at offset %llu has version %u.%u, known is 1.0",
			       (unsigned long long)file->offset, major, minor);
	file->section_base = file->ifaces_count;
	return 1;
}

static void ng_iface_options(const struct source_file *file, const uint8_t *at, size_t len,
			     struct source_iface *iface)
{
	for (unsigned i = 0; i < OPTIONS_MAX && len >= 4; i++) {
		unsigned code = u16(file, at);
		size_t opt_len = u16(file, at + 2), padded = (opt_len + 3) & ~(size_t)3;
		const uint8_t *value = at + 4;

		if (code == OPT_END || opt_len > len - 4)
			return;
		if (code == OPT_IF_NAME) {
			size_t n = opt_len < sizeof(iface->name) - 1 ? opt_len : sizeof(iface->name) - 1;

			memcpy(iface->name, value, n);
			iface->name[n] = '\0';
		} else if (code == OPT_IF_TSRESOL && opt_len >= 1) {
			iface->tsresol = value[0];
		} else if (code == OPT_IF_TSOFFSET && opt_len >= 8) {
			uint64_t v;

			memcpy(&v, value, sizeof(v));
			iface->tsoffset_s = (int64_t)(file->swapped ? __builtin_bswap64(v) : v);
		}
		if (padded > len - 4)
			return;
		at += 4 + padded;
		len -= 4 + padded;
	}
}

static int ng_iface(struct source_file *file, const uint8_t *body, size_t len, struct err *err)
{
	struct source_iface iface = { .tsresol = 6 };
	int rc;

	if (len < 8)
		return give_up(file, "interface block at offset %llu is too short: %zu bytes",
			       (unsigned long long)file->offset, len);
	if (file->ifaces_count >= SOURCE_IFACES_MAX)
		return give_up(file, "interface block at offset %llu is one too many: %u are the limit",
			       (unsigned long long)file->offset, SOURCE_IFACES_MAX);
	iface.link = u16(file, body);
	iface.snaplen = u32(file, body + 4);
	ng_iface_options(file, body + 8, len - 8, &iface);
	rc = add_iface(file, &iface, err);
	return rc < 0 ? rc : 1;
}

/* What the three kinds of packet block come down to. */
struct ng_packet {
	uint32_t iface;		/* within the section */
	bool has_time;
	uint64_t ticks;
	uint32_t captured, original;
	const uint8_t *bytes;
	size_t room;		/* bytes of the block from there on */
};

static int ng_packet_head(struct source_file *file, uint32_t type, const uint8_t *body, size_t len,
			  struct ng_packet *ret_packet)
{
	size_t head_bytes = type == NG_SPB ? 4 : 20;
	struct ng_packet packet = { 0 };

	if (len < head_bytes)
		return give_up(file, "packet block %llu at offset %llu is too short: %zu bytes",
			       (unsigned long long)file->frames + 1, (unsigned long long)file->offset, len);
	if (type == NG_SPB) {
		packet.original = packet.captured = u32(file, body);
	} else {
		packet.iface = type == NG_EPB ? u32(file, body) : u16(file, body);
		packet.has_time = true;
		packet.ticks = (uint64_t)u32(file, body + 4) << 32 | u32(file, body + 8);
		packet.captured = u32(file, body + 12);
		packet.original = u32(file, body + 16);
	}
	packet.bytes = body + head_bytes;
	packet.room = len - head_bytes;
	*ret_packet = packet;
	return 1;
}

static int ng_packet(struct source_file *file, uint32_t type, const uint8_t *body, size_t len,
		     struct frame *ret_frame)
{
	struct source_iface *iface;
	struct ng_packet packet = { 0 };
	int rc = ng_packet_head(file, type, body, len, &packet);

	if (rc <= 0)
		return rc;
	if (packet.iface >= file->ifaces_count - file->section_base)
		return give_up(file, "packet %llu at offset %llu names interface %u, the section has %zu",
			       (unsigned long long)file->frames + 1, (unsigned long long)file->offset,
			       packet.iface, file->ifaces_count - file->section_base);
	iface = &file->ifaces[file->section_base + packet.iface];
	if (type == NG_SPB) {
		if (iface->snaplen && packet.captured > iface->snaplen)
			packet.captured = iface->snaplen;
		/* A writer that does not give its snaplen still cannot put more into the block than fits. */
		if (packet.captured > packet.room)
			packet.captured = (uint32_t)packet.room;
	}
	if (packet.captured > packet.room || packet.captured > PACKET_BYTES_MAX)
		return give_up(file, "packet %llu at offset %llu claims %u captured bytes, its block has %zu",
			       (unsigned long long)file->frames + 1, (unsigned long long)file->offset,
			       packet.captured, packet.room);
	if (packet.has_time)
		file->last_ns = ng_time(iface, packet.ticks);
	*ret_frame = (struct frame){
		.time_ns = file->last_ns,
		.bytes = view_make(packet.bytes, packet.captured),
		.orig_len = packet.original,
		.iface = (uint32_t)(file->section_base + packet.iface),
		.link = iface->link,
		.segments = 1,
	};
	iface->frames++;
	file->frames++;
	return 1;
}

/* The byte order of a section is that of its own header. */
static int ng_section_order(struct source_file *file, struct err *err)
{
	uint32_t order;
	size_t have;
	int rc = need(file, 12, &have, err);

	if (rc < 0)
		return rc;
	if (have < 12)
		return give_up(file, "section header at offset %llu is cut short: %zu of 12 bytes",
			       (unsigned long long)file->offset, have);
	memcpy(&order, file->buf + file->at + 8, sizeof(order));
	if (order != NG_ORDER && order != __builtin_bswap32(NG_ORDER))
		return give_up(file, "section header at offset %llu: byte order mark %08x is none",
			       (unsigned long long)file->offset, order);
	file->swapped = order != NG_ORDER;
	return 1;
}

/* One whole block at buf + at: 1, or 0 at the end. */
static int ng_block(struct source_file *file, uint32_t *ret_type, size_t *ret_len, struct err *err)
{
	uint32_t type, len, trailer;
	size_t have, padded;
	int rc = need(file, 8, &have, err);

	if (rc < 0)
		return rc;
	if (have == 0) {
		file->done = true;
		return 0;
	}
	if (have < 8)
		return give_up(file, "block header at offset %llu is cut short: %zu of 8 bytes",
			       (unsigned long long)file->offset, have);
	memcpy(&type, file->buf + file->at, sizeof(type));
	if (type == NG_SHB) {	/* the same number in both orders */
		rc = ng_section_order(file, err);
		if (rc <= 0)
			return rc;
	}
	type = u32(file, file->buf + file->at);
	len = u32(file, file->buf + file->at + 4);
	if (len < 12 || len > BLOCK_BYTES_MAX)
		return give_up(file, "block of type %u at offset %llu claims %u bytes, possible are 12 to %u",
			       type, (unsigned long long)file->offset, len, BLOCK_BYTES_MAX);
	padded = ((size_t)len + 3) & ~(size_t)3;
	rc = need(file, padded, &have, err);
	if (rc < 0)
		return rc;
	if (have < padded)
		return give_up(file, "block of type %u at offset %llu is cut short: %zu of %zu bytes", type,
			       (unsigned long long)file->offset, have, padded);
	trailer = u32(file, file->buf + file->at + padded - 4);
	if (trailer != len)
		return give_up(file, "block of type %u at offset %llu: length %u before, %u after it", type,
			       (unsigned long long)file->offset, len, trailer);
	*ret_type = type;
	*ret_len = padded;
	return 1;
}

static int ng_next(struct source_file *file, struct frame *ret_frame, struct err *err)
{
	for (;;) {
		bool is_frame = false;
		const uint8_t *body;
		size_t len = 0;
		uint32_t type = 0;
		int rc = ng_block(file, &type, &len, err);

		if (rc <= 0)
			return rc;
		body = file->buf + file->at + 8;
		switch (type) {
		case NG_SHB:
			rc = ng_section(file, body, len - 12, err);
			break;
		case NG_IDB:
			rc = ng_iface(file, body, len - 12, err);
			break;
		case NG_EPB:
		case NG_PB:
		case NG_SPB:
			rc = ng_packet(file, type, body, len - 12, ret_frame);
			is_frame = true;
			break;
		default:	/* names, statistics, secrets, custom blocks, systemd journal */
			file->skipped++;
		}
		if (rc <= 0)
			return rc;
		/* The frame's bytes stay where they are until the next call fills the buffer. */
		advance(file, len);
		if (is_frame)
			return 1;
	}
}

/* ---- what is it? ---- */

static const struct {
	const char *magic;
	size_t len;
	const char *what;
} strangers[] = {
	{ "\x1f\x8b", 2, "gzip; unpack it first: zcat FILE | tapedeck import -" },
	{ "\x28\xb5\x2f\xfd", 4, "zstd; unpack it first: zstdcat FILE | tapedeck import -" },
	{ "\xfd" "7zXZ", 5, "xz; unpack it first: xzcat FILE | tapedeck import -" },
	{ "BZh", 3, "bzip2; unpack it first: bzcat FILE | tapedeck import -" },
	{ "PK\x03\x04", 4, "a zip archive" },
	{ "\x04\x22\x4d\x18", 4, "lz4; unpack it first" },
	{ "snoop\0\0\0", 8, "a snoop capture; editcap converts it" },
	{ "GMBU", 4, "a Network Monitor capture; editcap converts it" },
	{ "RTSS", 4, "a Network Monitor 1 capture; editcap converts it" },
	{ "btsnoop\0", 8, "a Bluetooth capture" },
	{ "\x7f" "ELF", 4, "a program" },
	{ "{", 1, "JSON" },
	{ "[", 1, "JSON" },
	{ "<?xml", 5, "XML" },
	{ "SQLite format 3", 15, "a SQLite database" },
};

static int not_a_capture(const uint8_t *head, size_t have, struct err *err)
{
	char shown[8 * 3 + 1] = "";
	bool text = have > 0;

	if (have == 0)
		return err_set(err, E_FORMAT, "not a capture file: it is empty");
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		if (have >= strangers[i].len && memcmp(head, strangers[i].magic, strangers[i].len) == 0)
			return err_set(err, E_FORMAT, "not a pcap or pcapng file: it looks like %s",
				       strangers[i].what);
	for (size_t i = 0; i < have; i++)
		text = text && ((head[i] >= ' ' && head[i] < 0x7f) || head[i] == '\n' || head[i] == '\t' ||
				head[i] == '\r');
	for (size_t i = 0; i < have && i < 8; i++)
		(void)snprintf(shown + 3 * i, 4, " %02x", head[i]);
	return err_set(err, E_FORMAT, "not a pcap or pcapng file: it begins with%s%s", shown,
		       text ? ", which is text" : "");
}

static bool pcap_magic(struct source_file *file, uint32_t magic)
{
	uint32_t other = __builtin_bswap32(magic);

	if (magic == PCAP_US || magic == PCAP_NS || magic == PCAP_MODIFIED)
		file->swapped = false;
	else if (other == PCAP_US || other == PCAP_NS || other == PCAP_MODIFIED)
		file->swapped = true;
	else
		return false;
	magic = file->swapped ? other : magic;
	file->nanos = magic == PCAP_NS;
	file->modified = magic == PCAP_MODIFIED;
	return true;
}

static int recognise(struct source_file *file, struct err *err)
{
	uint32_t magic;
	size_t have;
	int rc = fill(file, 24, &have, err);

	if (rc < 0)
		return rc;
	if (have < 4)
		return not_a_capture(file->buf, have, err);
	memcpy(&magic, file->buf, sizeof(magic));
	if (magic == NG_SHB) {
		file->kind = KIND_PCAPNG;
		if (have >= 12) {
			memcpy(&magic, file->buf + 8, sizeof(magic));
			if (magic != NG_ORDER && magic != __builtin_bswap32(NG_ORDER))
				return err_set(err, E_FORMAT, "not a pcapng file: its byte order mark is %08x",
					       magic);
		}
		return 0;
	}
	if (!pcap_magic(file, magic))
		return not_a_capture(file->buf, have, err);
	if (have < 24)
		return err_set(err, E_FORMAT, "pcap file header is cut short: %zu of 24 bytes", have);
	rc = pcap_open(file, file->buf, err);
	if (rc < 0)
		return rc;
	advance(file, 24);
	return 0;
}

int source_file_open(const char *path, struct source_file **ret_file, struct err *err)
{
	struct source_file *file = mem_zalloc(sizeof(*file));
	struct stat st;
	int rc = E_NO_MEMORY;

	if (!file)
		return err_set(err, E_NO_MEMORY, "no memory to read %s", path);
	file->fd_is_ours = strcmp(path, "-") != 0;
	file->fd = file->fd_is_ours ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (file->fd < 0) {
		rc = err_errno(err, errno, "cannot open");
		goto out;
	}
	file->cap = BUF_BYTES;
	file->buf = mem_alloc(file->cap);
	if (!file->buf) {
		rc = err_set(err, E_NO_MEMORY, "no memory to read");
		goto out;
	}
	if (fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode))
		file->total = (uint64_t)st.st_size;
	rc = recognise(file, err);
	if (rc < 0)
		goto out;
	*ret_file = file;
	file = NULL;
out:
	if (rc < 0)
		(void)err_prefix(err, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
	source_file_close(file);
	return rc;
}

void source_file_on_wait(struct source_file *file, int (*waits)(void *arg, struct err *err), void *arg)
{
	file->waits = file->total ? NULL : waits;
	file->waits_arg = arg;
}

void source_file_close(struct source_file *file)
{
	if (!file)
		return;
	if (file->fd_is_ours && file->fd >= 0)
		(void)close(file->fd);
	mem_free(file->buf);
	mem_free(file->ifaces);
	mem_free(file);
}

int source_file_next(struct source_file *file, struct frame *ret_frame, struct err *err)
{
	if (file->done)
		return 0;
	return file->kind == KIND_PCAP ? pcap_next(file, ret_frame, err) : ng_next(file, ret_frame, err);
}

const char *source_file_warning(const struct source_file *file)
{
	return file->warning[0] ? file->warning : NULL;
}

const char *source_file_kind(const struct source_file *file)
{
	return file->kind == KIND_PCAP ? "pcap" : "pcapng";
}

uint64_t source_file_bytes(const struct source_file *file)
{
	return file->offset;
}

uint64_t source_file_bytes_total(const struct source_file *file)
{
	return file->total;
}

uint64_t source_file_skipped(const struct source_file *file)
{
	return file->skipped;
}

size_t source_file_ifaces(const struct source_file *file)
{
	return file->ifaces_count;
}

const struct source_iface *source_file_iface(const struct source_file *file, size_t index)
{
	return index < file->ifaces_count ? &file->ifaces[index] : NULL;
}
