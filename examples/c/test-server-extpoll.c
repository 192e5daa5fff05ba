/*
 * The server of test-server.c in a program that calls poll() itself: protocol 0 hears which
 * descriptors to wait for, and what becomes ready is handed to libwebsocket_service_fd().
 */
#include "demo.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DESCRIPTORS 100
#define WAIT_MS 25

static struct pollfd descriptors[DESCRIPTORS];
static nfds_t count;

static struct pollfd *find(int fd)
{
	nfds_t i;

	for (i = 0; i < count; i++)
		if (descriptors[i].fd == fd)
			return &descriptors[i];
	return NULL;
}

static int http(struct libwebsocket_context *context, struct libwebsocket *wsi,
		enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	int fd = (int)(long)user;
	struct pollfd *place;

	switch (reason) {
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		if (count == DESCRIPTORS) {
			fprintf(stderr, "no room for another connection\n");
			return 1;
		}
		break;
	case LWS_CALLBACK_ADD_POLL_FD:
		if (count < DESCRIPTORS) {
			descriptors[count].fd = fd;
			descriptors[count].events = (short)len;
			descriptors[count].revents = 0;
			count++;
		}
		return 0;
	case LWS_CALLBACK_DEL_POLL_FD:
		place = find(fd);
		if (place != NULL)
			*place = descriptors[--count];
		return 0;
	case LWS_CALLBACK_SET_MODE_POLL_FD:
		place = find(fd);
		if (place != NULL)
			place->events |= (short)len;
		return 0;
	case LWS_CALLBACK_CLEAR_MODE_POLL_FD:
		place = find(fd);
		if (place != NULL)
			place->events &= (short)~len;
		return 0;
	default:
		break;
	}
	return demo_http(context, wsi, reason, user, in, len);
}

static struct libwebsocket_protocols protocols[] = {
	{ "http-only", http, 0, NULL, 0, 0, 0 },
	{ "dumb-increment-protocol", demo_increment_protocol, sizeof(struct increment_session), NULL, 0, 0, 0 },
	{ "lws-mirror-protocol", demo_mirror_protocol, sizeof(struct mirror_session), NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

/* Serves what is ready. The array changes under it: who moves into a slot is served next time. */
static void serve_ready(struct libwebsocket_context *context)
{
	nfds_t i;

	for (i = 0; i < count; i++)
		if (descriptors[i].revents != 0)
			libwebsocket_service_fd(context, &descriptors[i]);
}

int main(int argc, char **argv)
{
	struct libwebsocket_context *context = demo_start(argc, argv, protocols);
	long long last = demo_microseconds();
	time_t second = time(NULL);

	while (!demo_stopped) {
		if (poll(descriptors, count, WAIT_MS) > 0)
			serve_ready(context);
		if (time(NULL) != second) {
			/* Nobody has to be ready for a deadline to pass. */
			second = time(NULL);
			libwebsocket_service_fd(context, NULL);
		}
		if (demo_microseconds() - last > INCREMENT_PERIOD) {
			demo_increment(protocols);
			last = demo_microseconds();
		}
	}
	libwebsocket_context_destroy(context);
	demo_end();
	return 0;
}
