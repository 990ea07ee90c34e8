#include "query/pcap_filter.h"

#include <dlfcn.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"

#define LINKS_MAX 16
#define SNAPLEN	  262144

/*
 * Opened when the first filter is made: few questions have one, and with libpcap come libdbus, libsystemd, libgcrypt
 * and more, which every command would load.
 */
#define PCAP_SONAME "libpcap.so.0.8"
#define PCAP_CALLS(CALL) CALL(open_dead) CALL(compile) CALL(geterr) CALL(close) CALL(freecode) CALL(offline_filter)

static struct {
#define CALL(name) typeof(pcap_##name) *name;
	PCAP_CALLS(CALL)
#undef CALL
	bool whole;
	char lacks[256];
} pcap_lib;
static pthread_once_t pcap_once = PTHREAD_ONCE_INIT;

static void pcap_lib_open(void)
{
	void *lib = dlopen(PCAP_SONAME, RTLD_NOW);

	pcap_lib.whole = lib != NULL;
#define CALL(name)                                                                                 \
	if (pcap_lib.whole)                                                                        \
		pcap_lib.name = (typeof(pcap_lib.name))dlsym(lib, "pcap_" #name);                  \
	pcap_lib.whole &= pcap_lib.name != NULL;
	PCAP_CALLS(CALL)
#undef CALL
	if (!pcap_lib.whole)
		(void)snprintf(pcap_lib.lacks, sizeof(pcap_lib.lacks), "%s", dlerror());
}

struct link_program {
	uint16_t link;
	struct bpf_program program;
};

struct pcap_filter {
	char *text;
	struct link_program links[LINKS_MAX];
	size_t count;
};

/* The few link types whose number in files differs from libpcap's on Linux. */
static int dlt_of(uint16_t link)
{
	switch (link) {
	case 100: return DLT_ATM_RFC1483;
	case 101: return DLT_RAW;
	case 12: /* some systems' own number for raw IP, met in files */
	case 14: return DLT_RAW;
	default: return link;
	}
}

static int compile(struct pcap_filter *filter, uint16_t link, int code, struct err *err)
{
	pcap_t *pcap = pcap_lib.open_dead(dlt_of(link), SNAPLEN);
	struct link_program *to = &filter->links[filter->count];
	int rc = 0;

	if (!pcap)
		return err_set(err, E_NO_MEMORY, "packet filter: out of memory");
	/* libpcap up to 1.8 had a parser with global state; from 1.9 on this is safe in any thread. */
	if (pcap_lib.compile(pcap, &to->program, filter->text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		rc = err_set(err, code, "packet filter, for link type %u: %s", link,
			     pcap_lib.geterr(pcap));
	} else {
		to->link = link;
		filter->count++;
	}
	pcap_lib.close(pcap);
	return rc;
}

int pcap_filter_new(struct view expression, struct pcap_filter **ret_filter, struct err *err)
{
	struct pcap_filter *filter;
	int rc;

	if (expression.len > PCAP_FILTER_BYTES_MAX)
		return err_set(err, E_LIMIT, "packet filter of %zu bytes, the limit is %d",
			       expression.len, PCAP_FILTER_BYTES_MAX);
	(void)pthread_once(&pcap_once, pcap_lib_open);
	if (!pcap_lib.whole)
		return err_set(err, E_UNSUPPORTED, "packet filters need libpcap: %s",
			       pcap_lib.lacks);
	if (memchr(expression.at, '\0', expression.len))
		return err_set(err, E_SYNTAX, "packet filter: a NUL byte");
	filter = mem_zalloc(sizeof(*filter));
	if (!filter)
		return err_set(err, E_NO_MEMORY, "packet filter: out of memory");
	filter->text = mem_zalloc(expression.len + 1);
	if (!filter->text) {
		mem_free(filter);
		return err_set(err, E_NO_MEMORY, "packet filter: out of memory");
	}
	memcpy(filter->text, expression.at, expression.len);
	rc = compile(filter, DLT_EN10MB, E_SYNTAX, err);
	if (rc < 0) {
		pcap_filter_free(filter);
		return rc;
	}
	*ret_filter = filter;
	return 0;
}

void pcap_filter_free(struct pcap_filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < filter->count; i++)
		pcap_lib.freecode(&filter->links[i].program);
	mem_free(filter->text);
	mem_free(filter);
}

int pcap_filter_match(struct pcap_filter *filter, uint16_t link, struct view frame,
		      uint32_t orig_len, struct err *err)
{
	struct pcap_pkthdr header = { .caplen = (uint32_t)frame.len, .len = orig_len };
	size_t i;

	for (i = 0; i < filter->count && filter->links[i].link != link; i++)
		;
	if (i == filter->count) {
		int rc;

		if (i == LINKS_MAX)
			return err_set(err, E_LIMIT, "packet filter: more than %d link types",
				       LINKS_MAX);
		rc = compile(filter, link, E_UNSUPPORTED, err);
		if (rc < 0)
			return rc;
	}
	return pcap_lib.offline_filter(&filter->links[i].program, &header, frame.at) != 0;
}
