#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Longer than anything takes, even under valgrind on a busy machine. */
#define LONG 60.0
#define SLICE_MS 5

#define EVENTS_MAX 512

/* ------------------------------------------------------------------- events */

static struct event events[EVENTS_MAX];
static int event_count;
int (*on_event)(const struct event *event);

static const char *const names[] = {
	"ESTABLISHED", "CLIENT_ESTABLISHED", "CLOSED", "RECEIVE", "CLIENT_RECEIVE", "CLIENT_RECEIVE_PONG",
	"CLIENT_WRITEABLE", "HTTP", "BROADCAST", "FILTER_NETWORK", "FILTER_PROTOCOL", "LOAD_CLIENT_CERTS",
	"LOAD_SERVER_CERTS", "VERIFY_CERT", "ADD", "DEL", "SET_MODE", "CLEAR_MODE"
};

static int has_data(enum libwebsocket_callback_reasons reason)
{
	return reason == LWS_CALLBACK_RECEIVE || reason == LWS_CALLBACK_CLIENT_RECEIVE ||
	       reason == LWS_CALLBACK_CLIENT_RECEIVE_PONG || reason == LWS_CALLBACK_BROADCAST;
}

static int record(int protocol, struct libwebsocket_context *context, struct libwebsocket *wsi,
		  enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	struct event *event;

	CHECK((unsigned int)reason < sizeof names / sizeof *names);
	CHECK(event_count < EVENTS_MAX);
	event = &events[event_count++];
	event->protocol = protocol;
	event->reason = reason;
	event->context = context;
	event->wsi = wsi;
	event->user = user;
	event->in = in;
	event->len = len;
	event->remaining = 0;
	event->data[0] = 0;
	if (has_data(reason)) {
		CHECK(len <= DATA_MAX);
		if (len > 0)
			memcpy(event->data, in, len);
		event->data[len] = 0;
		event->remaining = libwebsockets_remaining_packet_payload(wsi);
	} else if (reason == LWS_CALLBACK_HTTP) {
		CHECK(in != NULL && strlen((const char *)in) <= DATA_MAX);
		strcpy((char *)event->data, (const char *)in);
	}
	return on_event != NULL ? on_event(event) : 0;
}

#define RECORDER(name, index) \
	static int name(struct libwebsocket_context *context, struct libwebsocket *wsi, \
			enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len) \
	{ \
		return record(index, context, wsi, reason, user, in, len); \
	}
RECORDER(record_http, HTTP)
RECORDER(record_one, ONE)
RECORDER(record_two, TWO)
RECORDER(record_bare, BARE)

struct libwebsocket_protocols protocols[PROTOCOLS + 1] = {
	{ "http-only", record_http, 0, NULL, 0, 0, 0 },
	{ "one", record_one, sizeof(struct session), NULL, 0, 0, 0 },
	{ "two", record_two, sizeof(struct session), NULL, 0, 0, 0 },
	{ "bare", record_bare, 0, NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

void forget(void)
{
	event_count = 0;
	on_event = NULL;
}

const char *trace(void)
{
	static char text[EVENTS_MAX * 40];
	char *end = text;
	int i;

	text[0] = 0;
	for (i = 0; i < event_count; i++) {
		if (events[i].reason >= LWS_CALLBACK_SET_MODE_POLL_FD)
			continue;
		if (end != text)
			*end++ = ' ';
		end += sprintf(end, "%d:%s", events[i].protocol, names[events[i].reason]);
		if (has_data(events[i].reason))
			end += sprintf(end, "(%lu)", (unsigned long)events[i].len);
	}
	return text;
}

int count(enum libwebsocket_callback_reasons reason)
{
	int found = 0;
	int i;

	for (i = 0; i < event_count; i++)
		found += events[i].reason == reason;
	return found;
}

const struct event *nth(enum libwebsocket_callback_reasons reason, int n)
{
	int i;

	for (i = 0; i < event_count; i++)
		if (events[i].reason == reason && n-- == 0)
			return &events[i];
	fprintf(stderr, "%s: too few in: %s\n", names[reason], trace());
	FAIL("there is no such event");
	return NULL;
}

const struct event *last(enum libwebsocket_callback_reasons reason)
{
	int i;

	for (i = event_count; i > 0; i--)
		if (events[i - 1].reason == reason)
			return &events[i - 1];
	return NULL;
}

/* ----------------------------------------------------------------- contexts */

double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address;

	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((unsigned short)port);
	return address;
}

static int port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof address;

	CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.sin_port);
}

/*
 * The API takes no port 0 for "any". A socket that is bound but does not listen keeps the kernel
 * from giving its port to others, and with SO_REUSEADDR does not keep us from listening there.
 */
int free_port(void)
{
	struct sockaddr_in address = loopback(0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int yes = 1;

	CHECK(fd >= 0);
	address.sin_addr.s_addr = htonl(INADDR_ANY);
	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	return port_of(fd);
}

struct libwebsocket_context *serve(int port, unsigned int options)
{
	struct libwebsocket_context *context =
		libwebsocket_create_context(port, NULL, protocols, NULL, NULL, -1, -1, options);

	CHECK(context != NULL);
	return context;
}

struct libwebsocket_context *context;
int port;

void start(void)
{
	port = free_port();
	context = serve(port, 0);
	forget();
}

void finish(void)
{
	forget();
	libwebsocket_context_destroy(context);
	context = NULL;
}

struct libwebsocket *wsi_of(int n)
{
	return nth(LWS_CALLBACK_ESTABLISHED, n)->wsi;
}


/* In memory of its own of just this size: valgrind and the sanitizer see who touches more. */
int write_exact(struct libwebsocket *wsi, const void *bytes, size_t len, int kind)
{
	unsigned char *copy = (unsigned char *)malloc(len > 0 ? len : 1);
	int result;

	if (len > 0)
		memcpy(copy, bytes, len);
	result = libwebsocket_write(wsi, copy, len, (enum libwebsocket_write_protocol)kind);
	if (len > 0)
		CHECK_BYTES(copy, len, bytes, len);
	free(copy);
	return result;
}

void await(struct libwebsocket_context *context, enum libwebsocket_callback_reasons reason, int times)
{
	double end = seconds() + LONG;

	while (count(reason) < times) {
		libwebsocket_service(context, SLICE_MS);
		if (seconds() > end) {
			fprintf(stderr, "waiting for %s, %d times; there was: %s\n", names[reason], times, trace());
			FAIL("it does not happen");
		}
	}
}

void settle(struct libwebsocket_context *context)
{
	int i;

	/* Over the loopback, what was sent is there: a few passes take all of it. */
	for (i = 0; i < 10; i++)
		libwebsocket_service(context, SLICE_MS);
}

int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int found = 0;

	CHECK(folder != NULL);
	while (readdir(folder) != NULL)
		found++;
	closedir(folder);
	return found;
}

/* -------------------------------------------------------------------- peers */

struct peer dial(struct libwebsocket_context *context, int port)
{
	struct sockaddr_in address = loopback(port);
	struct peer peer;

	peer.context = context;
	peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(peer.fd >= 0);
	CHECK_INT(connect(peer.fd, (struct sockaddr *)&address, sizeof address), 0);
	CHECK_INT(fcntl(peer.fd, F_SETFL, O_NONBLOCK), 0);
	return peer;
}

void hang_up(struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
}

void say(struct peer *peer, const void *bytes, size_t len)
{
	double end = seconds() + LONG;
	ssize_t done;

	while (len > 0) {
		done = send(peer->fd, bytes, len, MSG_NOSIGNAL);
		if (done < 0) {
			CHECK(errno == EAGAIN);
			CHECK(seconds() < end);
			libwebsocket_service(peer->context, SLICE_MS);
			continue;
		}
		bytes = (const char *)bytes + done;
		len -= (size_t)done;
	}
}

void say_text(struct peer *peer, const char *text)
{
	say(peer, text, strlen(text));
}

/* Up to `len` bytes; 0 at the end of the stream. */
static size_t hear_some(struct peer *peer, void *bytes, size_t len)
{
	double end = seconds() + LONG;
	ssize_t done;

	while ((done = recv(peer->fd, bytes, len, 0)) < 0) {
		if (errno == ECONNRESET)
			return 0;
		CHECK(errno == EAGAIN);
		if (seconds() > end) {
			fprintf(stderr, "nothing to read; events: %s\n", trace());
			FAIL("the peer hears nothing");
		}
		libwebsocket_service(peer->context, SLICE_MS);
	}
	return (size_t)done;
}

void hear(struct peer *peer, void *bytes, size_t len)
{
	size_t done;

	while (len > 0) {
		done = hear_some(peer, bytes, len);
		if (done == 0) {
			fprintf(stderr, "the stream has ended; events: %s\n", trace());
			FAIL("the peer wants to hear more");
		}
		bytes = (char *)bytes + done;
		len -= done;
	}
}

void hear_bytes(struct peer *peer, const void *expected, size_t len)
{
	unsigned char *actual = (unsigned char *)malloc(len);

	hear(peer, actual, len);
	CHECK_BYTES(actual, len, expected, len);
	free(actual);
}

const char *hear_head(struct peer *peer)
{
	static char head[8192];
	size_t len = 0;

	do {
		CHECK(len + 1 < sizeof head);
		hear(peer, head + len, 1);
		head[++len] = 0;
	} while (len < 4 || strcmp(head + len - 4, "\r\n\r\n") != 0);
	return head;
}

size_t hear_end(struct peer *peer, void *bytes, size_t len)
{
	unsigned char piece[4096];
	size_t all = 0;
	size_t done;

	while ((done = hear_some(peer, piece, sizeof piece)) > 0) {
		if (all < len)
			memcpy((char *)bytes + all, piece, done < len - all ? done : len - all);
		all += done;
	}
	return all;
}

/* ---------------------------------------------------------------- websocket */

static const unsigned char MASK[4] = { 0x37, 0xfa, 0x21, 0x3d };

const char *upgrade_request(const char *protocol, const char *more)
{
	static char request[8192];
	int len = sprintf(request,
			  "GET /chat?a=b HTTP/1.1\r\nHost: example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");

	if (protocol != NULL)
		len += sprintf(request + len, "Sec-WebSocket-Protocol: %s\r\n", protocol);
	sprintf(request + len, "%s\r\n", more);
	return request;
}

struct peer upgrade(struct libwebsocket_context *context, int port, const char *protocol)
{
	struct peer peer = dial(context, port);
	const char *head;

	say_text(&peer, upgrade_request(protocol, ""));
	head = hear_head(&peer);
	CHECK(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
	CHECK_TEXT(header(head, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	return peer;
}

void say_frame(struct peer *peer, int first, const void *payload, size_t len)
{
	unsigned char *frame = (unsigned char *)malloc(len + 14);
	size_t at = 0;
	size_t i;

	frame[at++] = (unsigned char)first;
	if (len < 126) {
		frame[at++] = (unsigned char)(0x80 | len);
	} else if (len < 65536) {
		frame[at++] = 0x80 | 126;
		frame[at++] = (unsigned char)(len >> 8);
		frame[at++] = (unsigned char)len;
	} else {
		frame[at++] = 0x80 | 127;
		for (i = 0; i < 8; i++)
			frame[at++] = (unsigned char)((unsigned long long)len >> (56 - 8 * i));
	}
	memcpy(frame + at, MASK, 4);
	at += 4;
	for (i = 0; i < len; i++)
		frame[at + i] = (unsigned char)(((const unsigned char *)payload)[i] ^ MASK[i % 4]);
	say(peer, frame, at + len);
	free(frame);
}

void hear_frame(struct peer *peer, int first, const void *payload, size_t len)
{
	unsigned char head[4];
	size_t at = 0;

	head[at++] = (unsigned char)first;
	if (len < 126) {
		head[at++] = (unsigned char)len;
	} else {
		CHECK(len < 65536);
		head[at++] = 126;
		head[at++] = (unsigned char)(len >> 8);
		head[at++] = (unsigned char)len;
	}
	hear_bytes(peer, head, at);
	if (len > 0)
		hear_bytes(peer, payload, len);
}

int listen_raw(int *port)
{
	struct sockaddr_in address = loopback(0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	CHECK_INT(listen(fd, 16), 0);
	CHECK_INT(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	*port = port_of(fd);
	return fd;
}

struct peer answer(struct libwebsocket_context *context, int listener)
{
	double end = seconds() + LONG;
	struct peer peer;

	peer.context = context;
	while ((peer.fd = accept(listener, NULL, NULL)) < 0) {
		CHECK(errno == EAGAIN);
		CHECK(seconds() < end);
		libwebsocket_service(context, SLICE_MS);
	}
	CHECK_INT(fcntl(peer.fd, F_SETFL, O_NONBLOCK), 0);
	return peer;
}

void agreement(const char *head, const char *more, char *reply, size_t size)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, section 1.3 */
	unsigned char digest[SHA_DIGEST_LENGTH];
	unsigned char accept[32];
	char text[256];

	sprintf(text, "%.100s%s", header(head, "Sec-WebSocket-Key"), guid);
	SHA1((const unsigned char *)text, strlen(text), digest);
	EVP_EncodeBlock(accept, digest, sizeof digest);
	snprintf(reply, size,
		 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Accept: %s\r\n%s\r\n", (const char *)accept, more);
}

const char *agree(struct peer *peer, const char *more)
{
	const char *head = hear_head(peer);
	char reply[1024];

	agreement(head, more, reply, sizeof reply);
	say_text(peer, reply);
	return head;
}

size_t hear_masked(struct peer *peer, int first, unsigned char mask[4], unsigned char *payload, size_t size)
{
	unsigned char head[2];
	unsigned char extended[2];
	size_t len;
	size_t i;

	hear(peer, head, 2);
	CHECK_INT(head[0], first);
	CHECK_INT(head[1] & 0x80, 0x80);
	len = head[1] & 0x7f;
	CHECK(len != 127);
	if (len == 126) {
		hear(peer, extended, 2);
		len = (size_t)extended[0] << 8 | extended[1];
	}
	CHECK(len <= size);
	hear(peer, mask, 4);
	hear(peer, payload, len);
	for (i = 0; i < len; i++)
		payload[i] ^= mask[i % 4];
	return len;
}

void say_unmasked(struct peer *peer, int first, const void *payload, size_t len)
{
	unsigned char frame[2 + 125];

	CHECK(len <= 125);
	frame[0] = (unsigned char)first;
	frame[1] = (unsigned char)len;
	if (len > 0)
		memcpy(frame + 2, payload, len);
	say(peer, frame, len + 2);
}

const char *header(const char *head, const char *name)
{
	static char values[4][512];
	static int turn;
	char *value = values[turn++ % 4];
	size_t len = strlen(name);
	const char *line;
	const char *end;

	value[0] = 0;
	for (line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " ");
		end = strstr(line, "\r\n");
		CHECK(end != NULL && end - line < 512);
		memcpy(value, line, (size_t)(end - line));
		value[end - line] = 0;
		break;
	}
	return value;
}
