/*
 * libwebsockets, over OpenSSL. Messages wait in a queue of the session and are written one per
 * writable callback, which is what the library asks for. What is sent to all is copied for each of
 * them, since the library writes its header before the payload and may mask or compress in place.
 * It compresses as the client wishes: with context takeover or without.
 */
#include <libwebsockets.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Large enough that a message of 16 KiB comes in one piece. */
#define READ_BUFFER (32 * 1024)
/* Messages that may wait before the session stops reading. */
#define HIGH_WATER 64

struct piece {
	struct piece *next;
	size_t len;
	int flags;
	/* LWS_PRE bytes of room for the header, then the payload. */
	unsigned char bytes[];
};

struct session {
	struct piece *first, **last;
	unsigned int count;
	/* Asked for /broadcast: its neighbours among those who did. */
	struct session *next, **self;
	struct lws *wsi;
	/* What was written last: compression may still read it, until the next writable callback. */
	struct piece *written;
};

static int deflate;
static struct session *all;

static void join(struct lws *wsi, struct session *session)
{
	char path[16];

	session->self = NULL;
	session->wsi = wsi;
	if (lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI) <= 0 || strcmp(path, "/broadcast"))
		return;
	session->next = all;
	if (all)
		all->self = &session->next;
	session->self = &all;
	all = session;
}

static void leave(struct session *session)
{
	if (!session->self)
		return;
	*session->self = session->next;
	if (session->next)
		session->next->self = session->self;
}

static int queue(struct lws *wsi, struct lws *from, struct session *session, void *in, size_t len)
{
	struct piece *piece = malloc(sizeof *piece + LWS_PRE + len);

	if (!piece)
		return -1;
	piece->next = NULL;
	piece->len = len;
	piece->flags = lws_write_ws_flags(
		lws_frame_is_binary(from) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT,
		lws_is_first_fragment(from), lws_is_final_fragment(from));
	memcpy(piece->bytes + LWS_PRE, in, len);
	*session->last = piece;
	session->last = &piece->next;
	if (++session->count == HIGH_WATER && !session->self)
		lws_rx_flow_control(wsi, 0);
	lws_callback_on_writable(wsi);
	return 0;
}

static struct piece *take(struct lws *wsi, struct session *session)
{
	struct piece *piece = session->first;

	if (!piece)
		return NULL;
	session->first = piece->next;
	if (!session->first)
		session->last = &session->first;
	if (session->count-- == HIGH_WATER && !session->self)
		lws_rx_flow_control(wsi, 1);
	return piece;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	struct session *session = user, *other;
	struct piece *piece;
	int written;

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		session->first = NULL;
		session->last = &session->first;
		session->count = 0;
		session->written = NULL;
		join(wsi, session);
		/* Exponents of two: room for a message of 1 KiB in one piece. */
		if (deflate && (lws_set_extension_option(wsi, "permessage-deflate", "rx_buf_size", "12") ||
				lws_set_extension_option(wsi, "permessage-deflate", "tx_buf_size", "12")))
			return -1;
		return 0;
	case LWS_CALLBACK_RECEIVE:
		if (!session->self)
			return queue(wsi, wsi, session, in, len);
		for (other = all; other; other = other->next)
			if (queue(other->wsi, wsi, other, in, len))
				return -1;
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		free(session->written);
		session->written = NULL;
		piece = take(wsi, session);
		if (!piece)
			return 0;
		written = lws_write(wsi, piece->bytes + LWS_PRE, piece->len,
				    (enum lws_write_protocol)piece->flags);
		len = piece->len;
		if (deflate)
			session->written = piece;
		else
			free(piece);
		if (written < (int)len)
			return -1;
		if (session->first)
			lws_callback_on_writable(wsi);
		return 0;
	case LWS_CALLBACK_CLOSED:
		leave(session);
		while ((piece = take(wsi, session)))
			free(piece);
		free(session->written);
		return 0;
	default:
		return 0;
	}
}

static struct lws_protocols protocols[] = {
	{ "echo", callback, sizeof(struct session), READ_BUFFER, 0, NULL, 0 },
	{ NULL, NULL, 0, 0, 0, NULL, 0 },
};

static const struct lws_extension extensions[] = {
	{ "permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate" },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	struct lws_context_creation_info info;
	struct lws_context *context;
	struct lws_vhost *vhost;
	int tls = argc == 4 && !strcmp(argv[1], "--tls");

	deflate = argc == 3 && !strcmp(argv[1], "--deflate");

	memset(&info, 0, sizeof info);
	info.iface = "127.0.0.1";
	info.protocols = protocols;
	if (deflate)
		info.extensions = extensions;
	info.pt_serv_buf_size = READ_BUFFER;
	info.gid = (gid_t)-1;
	info.uid = (uid_t)-1;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	if (tls) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = argv[2];
		info.ssl_private_key_filepath = argv[3];
	}
	lws_set_log_level(LLL_ERR, NULL);
	context = lws_create_context(&info);
	if (!context)
		return 1;
	vhost = lws_create_vhost(context, &info);
	if (!vhost)
		return 1;
	printf("listening %d libwebsockets %s%s%s\n", lws_get_vhost_listen_port(vhost),
	       lws_get_library_version(), tls ? ", " : "", tls ? OpenSSL_version(OPENSSL_VERSION) : "");
	fflush(stdout);
	while (lws_service(context, 0) >= 0)
		;
	lws_context_destroy(context);
	return 0;
}
