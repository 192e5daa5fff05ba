/*
 * What the tests have in common: protocols that record what they are told, a context that is
 * serviced until something has happened, and a peer made of bytes.
 *
 * Everything is in one thread. A test waits for what it wants to see while the context is serviced,
 * and fails when that does not happen for a long time; none waits for a time to pass.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include "check.h"

#include <libwebsockets.h>

/* ------------------------------------------------------------------- events */

#define DATA_MAX 4096

struct event {
	int protocol; /* the index of the protocol that was told */
	enum libwebsocket_callback_reasons reason;
	struct libwebsocket_context *context;
	struct libwebsocket *wsi;
	void *user;
	void *in;
	size_t len;
	size_t remaining; /* libwebsockets_remaining_packet_payload(), of data */
	unsigned char data[DATA_MAX + 1];
};

/* Sessions of the recording protocols 1 and 2. */
struct session {
	long long value;
	char rest[40];
};

/*
 * "http-only" without sessions, "one" and "two" with, then "bare", whose name a test may take away
 * to serve clients that name none.
 */
enum { HTTP, ONE, TWO, BARE, PROTOCOLS };
extern struct libwebsocket_protocols protocols[PROTOCOLS + 1];

/* Called for each event after it was recorded; its value is returned to the library. */
extern int (*on_event)(const struct event *event);

/* Forgets the events so far, and `on_event`. */
extern void forget(void);

/*
 * The events so far as text: "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 1:RECEIVE(5)".
 * Without SET_MODE and CLEAR_MODE, which depend on how fast a peer reads.
 */
extern const char *trace(void);

/* How many there were for this reason, and the last of them (NULL: none). */
extern int count(enum libwebsocket_callback_reasons reason);
extern const struct event *last(enum libwebsocket_callback_reasons reason);

/* The n-th event for this reason, from 0; there has to be one. */
extern const struct event *nth(enum libwebsocket_callback_reasons reason, int n);

/* ----------------------------------------------------------------- contexts */

/* A port that nobody else is given until the program ends. */
extern int free_port(void);

/* A context that listens on `port` with the recording protocols, which has to work out. */
extern struct libwebsocket_context *serve(int port, unsigned int options);

/* The context of most tests, and where it listens. */
extern struct libwebsocket_context *context;
extern int port;

/* Makes that context with no options, and forgets the events of it; ends it. */
extern void start(void);
extern void finish(void);

/* The handle of the n-th connection that was established, from 0. */
extern struct libwebsocket *wsi_of(int n);

/* libwebsocket_write() of a copy that has no byte around it, and that has to stay as it is. */
extern int write_exact(struct libwebsocket *wsi, const void *bytes, size_t len, int kind);

/* Services `context` until `reason` has been recorded `times` times. */
extern void await(struct libwebsocket_context *context, enum libwebsocket_callback_reasons reason, int times);

/* Services `context` as often as it takes for everything that is under way to arrive. */
extern void settle(struct libwebsocket_context *context);

/* Open descriptors of this process. */
extern int descriptors(void);

/* Seconds of a clock that nobody sets. */
extern double seconds(void);

/* -------------------------------------------------------------------- peers */

/* A connection to a port of this machine. Reading from it services `context`. */
struct peer {
	int fd;
	struct libwebsocket_context *context;
};

extern struct peer dial(struct libwebsocket_context *context, int port);
extern void hang_up(struct peer *peer);

/* Writes all of it. */
extern void say(struct peer *peer, const void *bytes, size_t len);
extern void say_text(struct peer *peer, const char *text);

/* Reads exactly `len` bytes. */
extern void hear(struct peer *peer, void *bytes, size_t len);

/* Reads exactly these bytes. */
extern void hear_bytes(struct peer *peer, const void *expected, size_t len);

/* Reads to the end of a head, and returns it with a NUL. */
extern const char *hear_head(struct peer *peer);

/* Reads to the end of the stream; returns how many bytes came. `bytes` takes up to `len`. */
extern size_t hear_end(struct peer *peer, void *bytes, size_t len);

/* The opening handshake of RFC 6455, for this subprotocol (NULL: none); the server has to agree. */
extern struct peer upgrade(struct libwebsocket_context *context, int port, const char *protocol);

/* The request of that handshake, with these lines in addition. */
extern const char *upgrade_request(const char *protocol, const char *more);

/* A frame of a client, masked; `first` is its first byte. */
extern void say_frame(struct peer *peer, int first, const void *payload, size_t len);

/* A frame of a server, with a payload of at most 65535 bytes. */
extern void hear_frame(struct peer *peer, int first, const void *payload, size_t len);

/* A server made of bytes: listens on a port of its own. */
extern int listen_raw(int *port);

/* Accepts a connection that has been made. */
extern struct peer answer(struct libwebsocket_context *context, int listener);

/* Reads the request of a client and agrees to it; with these lines in addition ("": none). */
extern const char *agree(struct peer *peer, const char *more);

/* The answer of a server that agrees to this request. */
extern void agreement(const char *head, const char *more, char *reply, size_t size);

/* Reads a frame of a client, unmasks it into `payload`, and returns its length. */
extern size_t hear_masked(struct peer *peer, int first, unsigned char mask[4], unsigned char *payload, size_t size);

/* A frame of a server, unmasked, of at most 125 bytes. */
extern void say_unmasked(struct peer *peer, int first, const void *payload, size_t len);

/* The value of a header in a head, into a buffer of its own; "" if it is not there. */
extern const char *header(const char *head, const char *name);

#endif
