/*
 * What the two test servers have in common: their options, and the page, the counter and the
 * mirror behind their three protocols. How they wait for something to do is their own business.
 */
#ifndef DEMO_H
#define DEMO_H

#include <libwebsockets.h>
#include <signal.h>

/* Where test.html and favicon.ico are, and the certificate and key of --ssl. */
#ifndef DATADIR
#define DATADIR "."
#endif
#define FILES DATADIR "/libwebsockets-test-server/"

enum demo_protocols {
	PROTOCOL_HTTP,
	PROTOCOL_INCREMENT,
	PROTOCOL_MIRROR,
	PROTOCOL_COUNT
};

/* Microseconds from one value of the counter to the next. */
#define INCREMENT_PERIOD 50000

struct increment_session {
	int value;
};

struct mirror_session {
	unsigned int tail; /* the message of the ring that it gets next */
	int paused;
};

/* Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t demo_stopped;

/* Prints the banner, reads the options, and makes the context; exits where these ask for it. */
extern struct libwebsocket_context *demo_start(int argc, char **argv, struct libwebsocket_protocols *protocols);

/* Tells all counters to go on. */
extern void demo_increment(const struct libwebsocket_protocols *protocols);

/* Microseconds of a clock that nobody sets. */
extern long long demo_microseconds(void);

/* Frees what the mirror keeps. */
extern void demo_end(void);

extern int demo_http(struct libwebsocket_context *context, struct libwebsocket *wsi,
		     enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len);
extern int demo_increment_protocol(struct libwebsocket_context *context, struct libwebsocket *wsi,
				   enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len);
extern int demo_mirror_protocol(struct libwebsocket_context *context, struct libwebsocket *wsi,
				enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len);

#endif
