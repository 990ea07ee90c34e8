/* Rows and groups: query, top, show, replay. */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "query/output.h"
#include "store/store.h"
#include "tools/tools.h"
#include "wire/proto.h"

static int to_stdout(void *arg, struct view bytes)
{
	(void)arg;
	return tool_write(bytes) ? 0 : E_CANCELLED;
}
