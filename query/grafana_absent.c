/* The routes of Grafana until their handlers are there: each answers 501. */
#include "query/api.h"

#define ABSENT(name)								\
	__attribute__((weak)) int name(void *ctx, struct http_request *req, struct err *err)	\
	{									\
		(void)ctx;							\
		(void)req;							\
		return err_set(err, E_UNSUPPORTED, "not in this build yet");	\
	}
ABSENT(grafana_annotations)
ABSENT(grafana_health)
ABSENT(grafana_metrics)
ABSENT(grafana_payload_options)
ABSENT(grafana_query)
ABSENT(grafana_search)
ABSENT(grafana_tag_keys)
ABSENT(grafana_tag_values)
ABSENT(grafana_variable)
