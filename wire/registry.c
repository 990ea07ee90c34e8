#include "wire/proto.h"

/* One line a file wire/proto_NAME.c: its presence is its registration. */
#define PROTO(name) extern const struct proto_ops proto_##name;
#include "protos.def"
#undef PROTO

const struct proto_ops *const protos[] = {
#define PROTO(name) &proto_##name,
#include "protos.def"
#undef PROTO
	NULL,
};

const struct proto_ops *proto_by_id(uint8_t id)
{
	for (size_t i = 0; protos[i]; i++)
		if (protos[i]->id == id)
			return protos[i];
	return NULL;
}
