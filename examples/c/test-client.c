/*
 * Opens two connections to a test server: one prints what the counter says, the other draws circles
 * on the mirror as fast as it is let. Ends when the mirror is closed.
 */
#include <getopt.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INCREMENT, MIRROR, CONNECTIONS };

static volatile sig_atomic_t stopped;
static int write_flags;
static struct libwebsocket *connections[CONNECTIONS];
static int established[CONNECTIONS];
static int refused;

/* Nobody is told that a handshake has failed: only its descriptor goes. */
static void descriptor_gone(const struct libwebsocket *wsi)
{
	int i;

	for (i = 0; i < CONNECTIONS; i++)
		if (connections[i] == wsi && !established[i])
			refused = stopped = 1;
}

/* Protocol 0, which also hears of descriptors. */
static int increment(struct libwebsocket_context *context, struct libwebsocket *wsi,
		     enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)context;
	(void)user;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		established[INCREMENT] = 1;
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		fprintf(stderr, "rx %d '%s'\n", (int)len, (const char *)in);
		break;
	case LWS_CALLBACK_DEL_POLL_FD:
		descriptor_gone(wsi);
		break;
	default:
		break;
	}
	return 0;
}

static void draw_circle(struct libwebsocket *wsi)
{
	char buffer[LWS_SEND_BUFFER_PRE_PADDING + 64 + LWS_SEND_BUFFER_POST_PADDING];
	char *text = &buffer[LWS_SEND_BUFFER_PRE_PADDING];
	unsigned int colour = (unsigned int)random() & 0xffffff;
	int x = (int)(random() % 500);
	int y = (int)(random() % 250);
	int radius = (int)(random() % 24);
	int len = sprintf(text, "c #%06X %d %d %d;", colour, x, y, radius);

	libwebsocket_write(wsi, (unsigned char *)text, (size_t)len,
			   (enum libwebsocket_write_protocol)(LWS_WRITE_TEXT | write_flags));
}

static int mirror(struct libwebsocket_context *context, struct libwebsocket *wsi,
		  enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		established[MIRROR] = 1;
		libwebsocket_callback_on_writable(context, wsi);
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		draw_circle(wsi);
		libwebsocket_callback_on_writable(context, wsi);
		usleep(200);
		break;
	case LWS_CALLBACK_CLOSED:
		stopped = 1;
		break;
	default:
		break;
	}
	return 0;
}

static struct libwebsocket_protocols protocols[] = {
	{ "dumb-increment-protocol", increment, 0, NULL, 0, 0, 0 },
	{ "lws-mirror-protocol", mirror, 0, NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "port", required_argument, NULL, 'p' },
	{ "ssl", no_argument, NULL, 's' },
	{ "killmask", no_argument, NULL, 'k' },
	{ "version", required_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 }
};

static void usage(const char *program)
{
	fprintf(stderr,
		"Usage: %s ADDRESS [--port=N] [--ssl] [--killmask] [--version=N]\n"
		"  -p, --port=N     connect to this port instead of 7681\n"
		"  -s, --ssl        speak TLS; a self-signed certificate will do\n"
		"  -k, --killmask   send with a mask of zeros\n"
		"  -v, --version=N  speak this version: 0, 4, 5, 6, 7, 8 or 13\n"
		"  -h, --help       print this\n",
		program);
	exit(1);
}

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static void stop_at(int number)
{
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = stop;
	sigaction(number, &action, NULL);
}

int main(int argc, char **argv)
{
	struct libwebsocket_context *context;
	const char *address;
	int port = 7681;
	int ssl = 0;
	int version = -1;
	int n = 0;
	int i;

	fprintf(stderr, "libwebsockets test client, with the C API of 2011\n"
			"An example of sockeye, under MIT or Apache-2.0\n");

	while ((n = getopt_long(argc, argv, "hp:skv:", options, NULL)) >= 0) {
		switch (n) {
		case 'p':
			port = atoi(optarg);
			break;
		case 's':
			ssl = 2;
			break;
		case 'k':
			write_flags = LWS_WRITE_CLIENT_IGNORE_XOR_MASK;
			break;
		case 'v':
			version = atoi(optarg);
			break;
		default:
			usage(argv[0]);
		}
	}
	if (optind >= argc)
		usage(argv[0]);
	address = argv[optind];

	stop_at(SIGINT);
	stop_at(SIGTERM);
	context = libwebsocket_create_context(CONTEXT_PORT_NO_LISTEN, NULL, protocols, NULL, NULL, -1, -1, 0);
	if (context == NULL) {
		fprintf(stderr, "Creating libwebsocket context failed\n");
		return 1;
	}
	for (i = 0; i < CONNECTIONS; i++) {
		connections[i] = libwebsocket_client_connect(context, address, port, ssl, "/", address, address,
							     protocols[i].name, version);
		if (connections[i] == NULL) {
			fprintf(stderr, "libwebsocket dumb connect failed\n");
			libwebsocket_context_destroy(context);
			return 255;
		}
	}
	fprintf(stderr, "Websocket connections opened\n");

	n = 0;
	while (n >= 0 && !stopped)
		n = libwebsocket_service(context, 1000);

	fprintf(stderr, "%s\n", refused ? "The server does not agree" : "Exiting");
	libwebsocket_context_destroy(context);
	return refused ? 255 : 0;
}
