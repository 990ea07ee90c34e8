#include "store/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/kv.h"

/*
 * Process-wide, against the house rule that mutable state hangs off main: a signal's handler is. LMDB does not say
 * where its map lies, so the kernel is asked, in the handler: it is a disk's failure, and nothing waits for its speed.
 */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t pages;

static bool ends_with(const char *line, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	return len > name_len && line[len - name_len - 1] == '/' && memcmp(line + len - name_len, name, name_len) == 0;
}

static bool ends_with_data_file(const char *line, size_t len)
{
	static const char deleted[] = " (deleted)";

	if (len > sizeof(deleted) - 1 && memcmp(line + len - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0)
		len -= sizeof(deleted) - 1;
	return ends_with(line, len, KV_DATA_FILE) || ends_with(line, len, KV_SEALED_FILE);
}

static uintptr_t hex(const char **at)
{
	uintptr_t n = 0;

	for (;; (*at)++) {
		char c = **at;

		if (c >= '0' && c <= '9')
			n = n << 4 | (uintptr_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uintptr_t)(c - 'a' + 10);
		else
			return n;
	}
}

/* "7f17a6209000-7f17a620b000 r--s 00000000 fe:00 1234   /srv/tape/parts/2026-11-22T10.0/data.mdb" */
static bool line_is_ours(const char *line, size_t len, uintptr_t address)
{
	const char *at = line;
	uintptr_t from = hex(&at), to;

	if (*at++ != '-')
		return false;
	to = hex(&at);
	return address >= from && address < to && ends_with_data_file(line, len);
}

/* Only calls that a handler may make. */
static bool is_ours(uintptr_t address)
{
	char buf[8192];
	size_t have = 0;
	bool ours = false;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	for (;;) {
		ssize_t got = read(fd, buf + have, sizeof(buf) - have);
		const char *line = buf, *end;

		if (got <= 0)
			break;
		have += (size_t)got;
		while (!ours && (end = memchr(line, '\n', have - (size_t)(line - buf)))) {
			ours = line_is_ours(line, (size_t)(end - line), address);
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		if (ours || have == sizeof(buf))	/* no path is that long */
			break;
		memmove(buf, line, have);
	}
	(void)close(fd);
	return ours;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE), page = (uintptr_t)info->si_addr & ~(page_bytes - 1);
	int saved = errno;

	(void)context;
	if (is_ours(page) && mmap((void *)page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
				     MAP_FAILED)
		(void)atomic_fetch_add(&pages, 1);
	else
		(void)signal(number, SIG_DFL);	/* the same read comes again, and ends the process */
	errno = saved;
}

static void install(void)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGBUS, &action, NULL);
}

void fault_install(void)
{
	(void)pthread_once(&once, install);
}

uint64_t fault_pages(void)
{
	return atomic_load(&pages);
}
