/*
 * Packet filters in the language of tcpdump (pcap-filter(7)), compiled per link
 * type: the door to libpcap, which is loaded with the first one. One filter, one thread.
 */
#ifndef QUERY_PCAP_FILTER_H
#define QUERY_PCAP_FILTER_H

#include "base/err.h"
#include "base/view.h"

#define PCAP_FILTER_BYTES_MAX 4096

struct pcap_filter;

/* Checks the expression for Ethernet. E_SYNTAX with libpcap's words, E_LIMIT, E_NO_MEMORY, E_UNSUPPORTED without libpcap. */
int pcap_filter_new(struct view expression, struct pcap_filter **ret_filter, struct err *err);
void pcap_filter_free(struct pcap_filter *filter);
/* 1 or 0; E_UNSUPPORTED when the expression cannot be compiled for this link type (LINKTYPE_). */
int pcap_filter_match(struct pcap_filter *filter, uint16_t link, struct view frame, uint32_t orig_len,
		      struct err *err);

#endif
