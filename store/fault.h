/*
 * Pages that the disk does not give. A mapped file answers such a read with SIGBUS, which ends the process: one bad
 * sector would take the whole of serve with it. Here the page reads as zeros instead, which no checksum and no tree
 * confirms, so that what lies in it is told as damaged and the rest answers.
 *
 * Only pages of mapped data files, LMDB's and sealed ones; any other SIGBUS ends the process as before.
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include <stdint.h>

/* For the process, once; any thread. */
void fault_install(void);
/* Pages that could not be read so far; any thread. */
uint64_t fault_pages(void);

#endif
