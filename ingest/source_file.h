/*
 * Capture files as a source: pcap (microseconds, nanoseconds, both byte orders,
 * the "modified" kind) and pcapng (several sections and interfaces, any
 * resolution), from a path or from a pipe. One thread.
 *
 * A file is believed as far as it makes sense: a record cut short or with a
 * length that cannot be ends the file with a warning, and every frame before it
 * was handed over.
 */
#ifndef INGEST_SOURCE_FILE_H
#define INGEST_SOURCE_FILE_H

#include "base/err.h"
#include "ingest/source.h"

struct source_file;

struct source_iface {
	uint16_t link;		/* LINKTYPE_ */
	uint8_t tsresol;	/* as if_tsresol: 6, 9; bit 7: power of two */
	uint32_t snaplen;
	int64_t tsoffset_s;
	char name[64];		/* "" when the file has none */
	/* derived */
	uint64_t frames;
};

#define SOURCE_IFACES_MAX 65536u

/*
 * path "-" is standard input. E_FORMAT when it is no capture file: err says what
 * it looks like. E_UNSUPPORTED for a version nobody has defined.
 */
int source_file_open(const char *path, struct source_file **ret_file, struct err *err);
void source_file_close(struct source_file *file);	/* takes NULL */
/* Of a pipe: waits(arg, err) is called again and again while it has nothing for us; negative ends the read with it. */
void source_file_on_wait(struct source_file *file, int (*waits)(void *arg, struct err *err), void *arg);
/*
 * The next frame: 1, 0 at the end, <0 when reading failed. Its bytes are valid
 * until the next call. After 0 source_file_warning() says whether the end was a good one.
 */
int source_file_next(struct source_file *file, struct frame *ret_frame, struct err *err);
/* Why the file ended early, or NULL: "record 17 at offset 2048 is cut short: 12 of 60 bytes". */
const char *source_file_warning(const struct source_file *file);

/* "pcap", "pcapng" */
const char *source_file_kind(const struct source_file *file);
uint64_t source_file_bytes(const struct source_file *file);		/* read so far */
uint64_t source_file_bytes_total(const struct source_file *file);	/* 0: unknown (a pipe) */
uint64_t source_file_skipped(const struct source_file *file);		/* blocks that are not frames */
/* Interfaces found so far, numbered over all sections of the file. */
size_t source_file_ifaces(const struct source_file *file);
const struct source_iface *source_file_iface(const struct source_file *file, size_t index);

#endif
