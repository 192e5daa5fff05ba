/*
 * libwebsockets with permessage-deflate, in either role; its own test programs agree to none.
 *
 *   peer serve            Prints "listening PORT". Echoes messages: every second in one piece, the
 *                         others in three, unless they are empty: for an empty one in three pieces
 *                         the library (4.1.6) sends a message of one zero.
 *   peer connect PORT PATH OFFER < MESSAGES
 *                         Sends these messages, prints as many that come back, closes with 1000.
 *                         On standard error: what the server says of extensions.
 *
 * A message is "KIND LENGTH FRAGMENTS\n" and its bytes, where KIND is t (text) or b (binary).
 * Printed ones have the number of frames they came in, as far as the library tells.
 */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BUFFER (64 * 1024)

struct message {
	struct message *next;
	size_t len, sent;
	unsigned int fragments, fragments_sent;
	int binary;
	/* LWS_PRE bytes of room for the header, then the payload. */
	unsigned char bytes[];
};

struct session {
	/* Waiting to be sent. The first stays until nothing of it is left in the library. */
	struct message *first, **last;
	/* Being received. */
	unsigned char *data;
	size_t len, room;
	unsigned int frames, count;
	int closing;
};

static struct message *script;
static unsigned int script_count;
static int status = 1, over;

static struct message *message(const void *data, size_t len, unsigned int fragments, int binary)
{
	struct message *made = malloc(sizeof *made + LWS_PRE + len + 1);

	if (!made)
		abort();
	memset(made, 0, sizeof *made);
	made->len = len;
	made->fragments = fragments ? fragments : 1;
	made->binary = binary;
	if (data)
		memcpy(made->bytes + LWS_PRE, data, len);
	return made;
}

static void begin(struct session *session)
{
	memset(session, 0, sizeof *session);
	session->last = &session->first;
}

static void queue(struct lws *wsi, struct session *session, struct message *message)
{
	*session->last = message;
	session->last = &message->next;
	lws_callback_on_writable(wsi);
}

static void end(struct session *session)
{
	struct message *message;

	while ((message = session->first)) {
		session->first = message->next;
		free(message);
	}
	free(session->data);
	begin(session);
}

/* Sends the next fragment. */
static int send_some(struct lws *wsi, struct session *session)
{
	struct message *message = session->first;
	size_t len;
	int flags, last;

	if (message && message->fragments_sent == message->fragments) {
		session->first = message->next;
		if (!session->first)
			session->last = &session->first;
		free(message);
		message = session->first;
	}
	if (!message)
		return 0;
	last = message->fragments_sent + 1 == message->fragments;
	len = last ? message->len - message->sent : message->len / message->fragments;
	flags = lws_write_ws_flags(message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT,
				   message->fragments_sent == 0, last);
	if (lws_write(wsi, message->bytes + LWS_PRE + message->sent, len,
		      (enum lws_write_protocol)flags) < (int)len)
		return -1;
	message->sent += len;
	message->fragments_sent++;
	lws_callback_on_writable(wsi);
	return 0;
}

/* Takes a piece of a message; whether that was the last one. */
static int receive(struct lws *wsi, struct session *session, const void *in, size_t len)
{
	if (lws_is_first_fragment(wsi))
		session->len = session->frames = 0;
	if (session->len + len > session->room) {
		session->room = 2 * (session->len + len);
		session->data = realloc(session->data, session->room);
		if (!session->data)
			abort();
	}
	if (len)
		memcpy(session->data + session->len, in, len);
	session->len += len;
	if (lws_remaining_packet_payload(wsi) == 0)
		session->frames++;
	if (!lws_is_final_fragment(wsi))
		return 0;
	session->count++;
	return 1;
}

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *session = user;

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		begin(session);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		if (receive(wsi, session, in, len))
			queue(wsi, session,
			      message(session->data, session->len,
				      session->len && session->count % 2 ? 3 : 1,
				      lws_frame_is_binary(wsi)));
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return send_some(wsi, session);
	case LWS_CALLBACK_CLOSED:
		end(session);
		return 0;
	default:
		return 0;
	}
}

static int talk(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *session = user;
	char extensions[512] = "";

	switch (reason) {
	case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
		lws_hdr_copy(wsi, extensions, sizeof extensions, WSI_TOKEN_EXTENSIONS);
		fprintf(stderr, "extensions: %s\n", extensions);
		return 0;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		begin(session);
		while (script) {
			struct message *next = script->next;

			script->next = NULL;
			queue(wsi, session, script);
			script = next;
		}
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		if (!receive(wsi, session, in, len))
			return 0;
		printf("%c %zu %u\n", lws_frame_is_binary(wsi) ? 'b' : 't', session->len,
		       session->frames);
		fwrite(session->data, 1, session->len, stdout);
		if (session->count == script_count) {
			session->closing = 1;
			lws_callback_on_writable(wsi);
		}
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (!session->closing)
			return send_some(wsi, session);
		lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
		return -1;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		fprintf(stderr, "closed by the server\n");
		return 0;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		fprintf(stderr, "%s\n", in ? (const char *)in : "no connection");
		over = 1;
		return 0;
	case LWS_CALLBACK_CLIENT_CLOSED:
		status = session->closing ? 0 : 1;
		end(session);
		over = 1;
		return 0;
	default:
		return 0;
	}
}

static int read_script(void)
{
	struct message **last = &script;
	unsigned int fragments;
	size_t len;
	char kind;

	while (scanf("%c %zu %u", &kind, &len, &fragments) == 3 && getchar() == '\n') {
		*last = message(NULL, len, fragments, kind == 'b');
		if (fread((*last)->bytes + LWS_PRE, 1, len, stdin) != len)
			return 0;
		last = &(*last)->next;
		script_count++;
	}
	return feof(stdin);
}

int main(int argc, char **argv)
{
	static struct lws_protocols protocols[] = {
		{ "any", NULL, sizeof(struct session), READ_BUFFER, 0, NULL, 0 },
		{ NULL, NULL, 0, 0, 0, NULL, 0 },
	};
	static struct lws_extension extensions[] = {
		{ "permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate" },
		{ NULL, NULL, NULL },
	};
	struct lws_context_creation_info info;
	struct lws_client_connect_info to;
	struct lws_context *context;
	struct lws_vhost *vhost;
	int client = argc == 5 && !strcmp(argv[1], "connect");

	if (!client && !(argc == 2 && !strcmp(argv[1], "serve"))) {
		fprintf(stderr, "usage: peer serve | peer connect PORT PATH OFFER\n");
		return 2;
	}
	memset(&info, 0, sizeof info);
	protocols[0].callback = client ? talk : serve;
	info.port = client ? CONTEXT_PORT_NO_LISTEN : 0;
	info.iface = "127.0.0.1";
	info.protocols = protocols;
	info.extensions = extensions;
	info.pt_serv_buf_size = READ_BUFFER;
	info.gid = (gid_t)-1;
	info.uid = (uid_t)-1;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	lws_set_log_level(LLL_ERR, NULL);
	if (client) {
		extensions[0].client_offer = argv[4];
		if (!read_script()) {
			fprintf(stderr, "these are no messages\n");
			return 2;
		}
	}
	context = lws_create_context(&info);
	vhost = context ? lws_create_vhost(context, &info) : NULL;
	if (!vhost)
		return 1;
	if (client) {
		memset(&to, 0, sizeof to);
		to.context = context;
		to.vhost = vhost;
		to.address = to.host = "127.0.0.1";
		to.port = atoi(argv[2]);
		to.path = argv[3];
		to.ietf_version_or_minus_one = -1;
		to.local_protocol_name = "any";
		if (!lws_client_connect_via_info(&to))
			return 1;
	} else {
		printf("listening %d\n", lws_get_vhost_listen_port(vhost));
		fflush(stdout);
	}
	while (!over && lws_service(context, 0) >= 0)
		;
	lws_context_destroy(context);
	return client ? status : 0;
}
