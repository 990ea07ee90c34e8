/* /openapi.json, from routes.def. */
#include "query/api.h"

static const struct api_param *find_param(struct view name)
{
	for (size_t i = 0; i < api_params_count; i++)
		if (view_is(name, api_params[i].name))
			return &api_params[i];
	return NULL;
}

static void param_json(struct json *json, const char *in, struct view name,
		       const struct api_param *param)
{
	json_object(json);
	json_kstr(json, "name", name);
	json_kcstr(json, "in", in);
	json_kbool(json, "required", in[0] == 'p');
	if (param)
		json_kcstr(json, "description", param->text);
	json_key(json, "schema");
	json_object(json);
	json_kcstr(json, "type", param ? param->type : "string");
	if (in[0] == 'p')
		json_kcstr(json, "pattern", "^[0-9a-fA-F]{16}$");
	json_object_end(json);
	json_object_end(json);
}

static void params_json(struct json *json, const struct http_route *route)
{
	const char *brace = strchr(route->path, '{');
	struct view rest = view_str(route->params);

	json_key(json, "parameters");
	json_array(json);
	if (brace)
		param_json(json, "path", view_make(brace + 1, strcspn(brace + 1, "}")), NULL);
	while (rest.len && !view_is(rest, "*")) {
		size_t len = 0;

		while (len < rest.len && rest.at[len] != ' ')
			len++;
		param_json(json, "query", view_sub(rest, 0, len),
			   find_param(view_sub(rest, 0, len)));
		rest = view_trim(view_sub(rest, len, rest.len));
	}
	json_array_end(json);
}

/* Letters and digits of method and path: a name for generated clients. */
static void operation_id(struct json *json, const struct http_route *route)
{
	char text[96] = "get";
	size_t len = 3;
	bool up = true;

	if (route->methods & HTTP_POST) {
		memcpy(text, "post", 5);
		len = 4;
	}
	for (const char *c = route->path; *c && len + 1 < sizeof(text); c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');

		if (letter)
			text[len++] = (char)(up && *c >= 'a' ? *c - 32 : *c);
		up = !letter;
	}
	text[len] = '\0';
	json_kcstr(json, "operationId", len <= 4 ? "getIndex" : text);
}

static void answer_json(struct json *json, const char *status, const char *text, const char *schema)
{
	json_key(json, status);
	json_object(json);
	json_kcstr(json, "description", text);
	if (schema) {
		json_key(json, "content");
		json_object(json);
		json_key(json, "application/json");
		json_object(json);
		json_key(json, "schema");
		json_object(json);
		json_kcstr(json, "$ref", schema);
		json_object_end(json);
		json_object_end(json);
		json_object_end(json);
	}
	json_object_end(json);
}

static void route_json(struct json *json, const struct http_route *route)
{
	json_key(json, route->methods & HTTP_POST ? "post" : "get");
	json_object(json);
	operation_id(json, route);
	json_kcstr(json, "summary", route->summary);
	params_json(json, route);
	if (route->open) {
		json_key(json, "security");
		json_array(json);
		json_array_end(json);
	}
	if (route->methods & HTTP_POST) {
		json_key(json, "requestBody");
		json_raw(
			json,
			VIEW_LIT(
				"{\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\"}}}}"));
	}
	json_key(json, "responses");
	json_object(json);
	answer_json(json, "200", "the answer", NULL);
	answer_json(json, "default", "what went wrong", "#/components/schemas/Error");
	json_object_end(json);
	json_object_end(json);
}

static void components_json(struct json *json)
{
	json_key(json, "components");
	json_raw(
		json,
		VIEW_LIT(
			"{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
			"\"schemas\":{\"Error\":{\"type\":\"object\",\"required\":[\"error\",\"message\"],"
			"\"properties\":{\"message\":{\"type\":\"string\"},\"error\":{\"type\":\"object\","
			"\"required\":[\"code\",\"message\"],\"properties\":{\"code\":{\"type\":\"string\"},"
			"\"message\":{\"type\":\"string\"},\"position\":{\"type\":\"integer\"},"
			"\"hint\":{\"type\":\"string\"}}}}}}}"));
}

int api_openapi(void *ctx, struct http_request *req, struct err *err)
{
	const struct serve *serve = ctx;
	struct json json;

	(void)err;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_kcstr(&json, "openapi", "3.1.0");
	json_key(&json, "info");
	json_object(&json);
	json_kcstr(&json, "title", "Tapedeck");
	json_kcstr(&json, "version", serve->version);
	json_kcstr(
		&json, "description",
		"Flight recorder for the network: rows, payloads and captures of any moment held.");
	json_object_end(&json);
	json_key(&json, "paths");
	json_object(&json);
	for (size_t i = 0; i < serve->routes_count; i++) {
		json_key(&json, serve->routes[i].path);
		json_object(&json);
		route_json(&json, &serve->routes[i]);
		json_object_end(&json);
	}
	json_object_end(&json);
	components_json(&json);
	json_key(&json, "security");
	json_raw(&json, VIEW_LIT("[{},{\"token\":[]}]"));
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}
