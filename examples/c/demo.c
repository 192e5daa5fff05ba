/* The part of the two test servers that they share; see demo.h. */
#include "demo.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t demo_stopped;

/* ----------------------------------------------------------------- starting */

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "port", required_argument, NULL, 'p' },
	{ "ssl", no_argument, NULL, 's' },
	{ "killmask", no_argument, NULL, 'k' },
	{ "interface", required_argument, NULL, 'i' },
	{ NULL, 0, NULL, 0 }
};

static void usage(const char *program)
{
	fprintf(stderr,
		"Usage: %s [--port=N] [--ssl] [--killmask] [--interface=NAME]\n"
		"  -p, --port=N          listen on this port instead of 7681\n"
		"  -s, --ssl             speak TLS, with the certificate in " FILES "\n"
		"  -k, --killmask        have connections that we open send with a mask of zeros\n"
		"  -i, --interface=NAME  listen on this network interface only, such as lo\n"
		"  -h, --help            print this\n",
		program);
	exit(1);
}

static void stop(int number)
{
	(void)number;
	demo_stopped = 1;
}

static void stop_at(int number)
{
	struct sigaction action;

	/* Without SA_RESTART: whoever waits shall notice. */
	memset(&action, 0, sizeof action);
	action.sa_handler = stop;
	sigaction(number, &action, NULL);
}

struct libwebsocket_context *demo_start(int argc, char **argv, struct libwebsocket_protocols *protocols)
{
	struct libwebsocket_context *context;
	const char *interface = NULL;
	const char *certificate = NULL;
	const char *key = NULL;
	unsigned int bits = 0;
	int port = 7681;
	int option;

	fprintf(stderr, "libwebsockets test server, with the C API of 2011\n"
			"An example of sockeye, under MIT or Apache-2.0\n");

	while ((option = getopt_long(argc, argv, "hp:ski:", options, NULL)) >= 0) {
		switch (option) {
		case 'p':
			port = atoi(optarg);
			break;
		case 's':
			certificate = FILES "libwebsockets-test-server.pem";
			key = FILES "libwebsockets-test-server.key.pem";
			break;
		case 'k':
			bits |= LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK;
			break;
		case 'i':
			interface = optarg;
			break;
		default:
			usage(argv[0]);
		}
	}

	stop_at(SIGINT);
	stop_at(SIGTERM);
	context = libwebsocket_create_context(port, interface, protocols, certificate, key, -1, -1, bits);
	if (context == NULL) {
		fprintf(stderr, "libwebsocket init failed\n");
		exit(255);
	}
	return context;
}

long long demo_microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void print_headers(const struct lws_tokens *tokens)
{
	static const char *const names[WSI_TOKEN_COUNT] = {
		"GET URI", "Host", "Connection", "Key1", "Key2", "Protocol", "Upgrade", "Origin", "Draft",
		"Challenge", "Key", "Version", "Sec-WebSocket-Origin", "Extensions", "Accept", "Nonce", "HTTP"
	};
	int i;

	for (i = 0; i < WSI_TOKEN_COUNT; i++)
		if (tokens[i].token != NULL)
			fprintf(stderr, "    %s = %s\n", names[i], tokens[i].token);
}

/* --------------------------------------------------------------------- page */

int demo_http(struct libwebsocket_context *context, struct libwebsocket *wsi,
	      enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	char name[128];
	char address[64];

	(void)context;
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		/* Exact names: what a browser asks for never becomes a path. */
		if (in != NULL && strcmp((const char *)in, "/favicon.ico") == 0)
			libwebsockets_serve_http_file(wsi, FILES "favicon.ico", "image/x-icon");
		else
			libwebsockets_serve_http_file(wsi, FILES "test.html", "text/html");
		break;
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		libwebsockets_get_peer_addresses((int)(long)user, name, sizeof name, address, sizeof address);
		fprintf(stderr, "Received network connect from %s (%s)\n", name, address);
		break;
	default:
		break;
	}
	return 0;
}

/* ------------------------------------------------------------------ counter */

void demo_increment(const struct libwebsocket_protocols *protocols)
{
	unsigned char buffer[LWS_SEND_BUFFER_PRE_PADDING + 1 + LWS_SEND_BUFFER_POST_PADDING];

	buffer[LWS_SEND_BUFFER_PRE_PADDING] = 'x';
	libwebsockets_broadcast(&protocols[PROTOCOL_INCREMENT], &buffer[LWS_SEND_BUFFER_PRE_PADDING], 1);
}

int demo_increment_protocol(struct libwebsocket_context *context, struct libwebsocket *wsi,
			    enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	struct increment_session *session = (struct increment_session *)user;
	char buffer[LWS_SEND_BUFFER_PRE_PADDING + 16 + LWS_SEND_BUFFER_POST_PADDING];
	char *text = &buffer[LWS_SEND_BUFFER_PRE_PADDING];
	int count;

	(void)context;
	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		print_headers((const struct lws_tokens *)user);
		break;
	case LWS_CALLBACK_ESTABLISHED:
		session->value = 0;
		break;
	case LWS_CALLBACK_BROADCAST:
		count = sprintf(text, "%d", session->value++);
		libwebsocket_write(wsi, (unsigned char *)text, (size_t)count, LWS_WRITE_TEXT);
		break;
	case LWS_CALLBACK_RECEIVE:
		fprintf(stderr, "rx %d\n", (int)len);
		if (len == 6 && memcmp(in, "reset\n", 6) == 0)
			session->value = 0;
		break;
	default:
		break;
	}
	return 0;
}

/* ------------------------------------------------------------------- mirror */

/*
 * What one sends, all get. The last messages are in a ring that all connections read from, each at
 * its own pace. Indexes run freely: a slot is an index modulo the size. Who is so far behind that
 * the ring has gone over what it has not read yet gets the newer messages twice, not wild memory.
 */
#define RING_SIZE 64u /* a power of two */
#define RING_FULL 54u
#define RING_FREE 49u

struct ring_message {
	unsigned char *buffer; /* with the padding */
	size_t len;
};

static struct ring_message ring[RING_SIZE];
static unsigned int ring_head;

static int ring_push(const void *data, size_t len)
{
	struct ring_message *slot = &ring[ring_head % RING_SIZE];
	unsigned char *buffer;

	buffer = (unsigned char *)malloc(LWS_SEND_BUFFER_PRE_PADDING + len + LWS_SEND_BUFFER_POST_PADDING);
	if (buffer == NULL)
		return -1;
	memcpy(buffer + LWS_SEND_BUFFER_PRE_PADDING, data, len);
	free(slot->buffer);
	slot->buffer = buffer;
	slot->len = len;
	ring_head++;
	return 0;
}

void demo_end(void)
{
	unsigned int i;

	for (i = 0; i < RING_SIZE; i++) {
		free(ring[i].buffer);
		ring[i].buffer = NULL;
	}
}

int demo_mirror_protocol(struct libwebsocket_context *context, struct libwebsocket *wsi,
			 enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	struct mirror_session *session = (struct mirror_session *)user;
	const struct ring_message *message;

	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		print_headers((const struct lws_tokens *)user);
		break;
	case LWS_CALLBACK_ESTABLISHED:
		session->tail = ring_head;
		session->paused = 0;
		libwebsocket_callback_on_writable(context, wsi);
		break;
	case LWS_CALLBACK_RECEIVE:
		if (ring_push(in, len) < 0)
			break;
		if (ring_head - session->tail > RING_FULL) {
			/* Who fills the ring has to read first. */
			session->paused = 1;
			libwebsocket_rx_flow_control(wsi, 0);
		}
		libwebsocket_callback_on_writable_all_protocol(libwebsockets_get_protocol(wsi));
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (session->tail == ring_head)
			break;
		message = &ring[session->tail % RING_SIZE];
		session->tail++;
		libwebsocket_write(wsi, message->buffer + LWS_SEND_BUFFER_PRE_PADDING, message->len, LWS_WRITE_TEXT);
		if (session->paused && ring_head - session->tail < RING_FREE) {
			session->paused = 0;
			libwebsocket_rx_flow_control(wsi, 1);
		}
		if (session->tail != ring_head)
			libwebsocket_callback_on_writable(context, wsi);
		break;
	default:
		break;
	}
	return 0;
}
