/*
 * Capture files as bytes: pcap (draft-ietf-opsawg-pcap), pcapng
 * (draft-ietf-opsawg-pcapng). Little-endian; appended to a buffer.
 */
#ifndef QUERY_CAPTURE_FILE_H
#define QUERY_CAPTURE_FILE_H

#include "base/wr.h"
#include "store/packet_block.h"

void pcap_header(struct wr *wr, uint16_t link, bool nanos);
/* Seconds have 32 bits: false when the time does not fit. */
bool pcap_record(struct wr *wr, const struct packet_rec *rec, bool nanos);

void pcapng_section(struct wr *wr);
/* Times of its packets are in ns. name may be empty. */
void pcapng_interface(struct wr *wr, uint16_t link, struct view name);
/* comment may be empty. iface: number of the interface in the order of pcapng_interface. */
void pcapng_packet(struct wr *wr, const struct packet_rec *rec, uint32_t iface, struct view comment);

#endif
