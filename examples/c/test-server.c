/*
 * A server with a page, a counter and a mirror. It forks a process that serves, and goes on in this
 * one to tell the counters the time. Compiled with -DLWS_NO_FORK it does both in one loop.
 */
#include "demo.h"

#include <stdio.h>
#include <unistd.h>

static struct libwebsocket_protocols protocols[] = {
	{ "http-only", demo_http, 0, NULL, 0, 0, 0 },
	{ "dumb-increment-protocol", demo_increment_protocol, sizeof(struct increment_session), NULL, 0, 0, 0 },
	{ "lws-mirror-protocol", demo_mirror_protocol, sizeof(struct mirror_session), NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

#ifdef LWS_NO_FORK

static int serve(struct libwebsocket_context *context)
{
	long long last = demo_microseconds();
	long long now;

	while (!demo_stopped) {
		now = demo_microseconds();
		if (now - last > INCREMENT_PERIOD) {
			demo_increment(protocols);
			last = now;
		}
		if (libwebsocket_service(context, INCREMENT_PERIOD / 1000) < 0)
			return 1;
	}
	return 0;
}

#else

static int serve(struct libwebsocket_context *context)
{
	if (libwebsockets_fork_service_loop(context) < 0) {
		fprintf(stderr, "unable to fork\n");
		return 1;
	}
	while (!demo_stopped) {
		usleep(INCREMENT_PERIOD);
		demo_increment(protocols);
	}
	return 0;
}

#endif

int main(int argc, char **argv)
{
	struct libwebsocket_context *context = demo_start(argc, argv, protocols);
	int status = serve(context);

	libwebsocket_context_destroy(context);
	demo_end();
	return status;
}
