/* Any bytes as a capture file: frames lie within what was read, lengths add up, and the end comes. */
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/source_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct source_file *file = NULL;
	uint64_t captured = 0, frames = 0;
	volatile uint8_t sum = 0;
	struct frame frame;
	char path[64];
	int fd = memfd_create("fuzz", MFD_CLOEXEC), rc;

	if (fd < 0 || (len && write(fd, at, len) != (ssize_t)len))
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = source_file_open(path, &file, NULL);
	(void)close(fd);
	if (rc < 0)
		return 0;
	while ((rc = source_file_next(file, &frame, NULL)) > 0) {
		captured += frame.bytes.len;
		frames++;
		/* Both ends of the frame: one byte too far is seen. */
		if (frame.bytes.len)
			sum = (uint8_t)(sum + frame.bytes.at[0] + frame.bytes.at[frame.bytes.len - 1]);
		assert(frame.iface < source_file_ifaces(file));
		assert(frame.link == source_file_iface(file, frame.iface)->link);
	}
	assert(rc == 0);
	assert(captured <= len && frames <= len);
	assert(source_file_bytes(file) <= len);
	/* An end is an end. */
	assert(source_file_next(file, &frame, NULL) == 0);
	source_file_close(file);
	return 0;
}
