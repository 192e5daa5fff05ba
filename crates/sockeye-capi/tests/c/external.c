/* A program that calls poll() itself, with libwebsocket_service_fd(). */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES 64
#define LONG 60.0

static struct pollfd entries[ENTRIES];
static int entry_count;
static int add_count, del_count;
static int (*then)(const struct event *event);

static int find(int fd)
{
	int i;

	for (i = 0; i < entry_count; i++)
		if (entries[i].fd == fd)
			return i;
	return -1;
}

/* Strict where the programs of 2011 are lenient: nothing is added twice, changed or deleted but what is there. */
static int keep(const struct event *event)
{
	int fd = (int)(long)event->user;
	int at;

	switch (event->reason) {
	case LWS_CALLBACK_ADD_POLL_FD:
		CHECK_INT(find(fd), -1);
		CHECK(entry_count < ENTRIES);
		entries[entry_count].fd = fd;
		entries[entry_count].events = (short)event->len;
		entries[entry_count].revents = 0;
		entry_count++;
		add_count++;
		break;
	case LWS_CALLBACK_DEL_POLL_FD:
		at = find(fd);
		CHECK(at >= 0);
		entries[at] = entries[--entry_count];
		/* What the slot holds now must not be taken for the entry that is served. */
		memset(&entries[entry_count], 0xff, sizeof *entries);
		del_count++;
		break;
	case LWS_CALLBACK_SET_MODE_POLL_FD:
		at = find(fd);
		CHECK(at >= 0);
		entries[at].events |= (short)event->len;
		break;
	case LWS_CALLBACK_CLEAR_MODE_POLL_FD:
		at = find(fd);
		CHECK(at >= 0);
		entries[at].events &= (short)~event->len;
		break;
	default:
		break;
	}
	return then != NULL ? then(event) : 0;
}

static void begin(void)
{
	forget();
	entry_count = add_count = del_count = 0;
	then = NULL;
	on_event = keep;
	port = free_port();
	context = serve(port, 0);
	CHECK(entry_count > 0);
}

static void end(void)
{
	libwebsocket_context_destroy(context);
	CHECK_INT(entry_count, 0);
	CHECK_INT(del_count, add_count);
	forget();
}

/* One pass of the loop; how many of the calls said that a connection was closed. */
static int turn(int timeout)
{
	int closed = 0;
	int i;

	if (poll(entries, (nfds_t)entry_count, timeout) > 0)
		for (i = 0; i < entry_count; i++)
			if (entries[i].revents != 0)
				closed += libwebsocket_service_fd(context, &entries[i]);
	return closed;
}

static void turn_until(enum libwebsocket_callback_reasons reason, int times)
{
	double until = seconds() + LONG;

	while (count(reason) < times) {
		turn(20);
		CHECK(seconds() < until);
	}
}

/* Peers service the context as they wait; here that is done with poll(). */
static struct peer join(const char *protocol)
{
	struct peer peer = dial(context, port);
	int n = count(LWS_CALLBACK_ESTABLISHED);

	say_text(&peer, upgrade_request(protocol, ""));
	turn_until(LWS_CALLBACK_ESTABLISHED, n + 1);
	CHECK(strncmp(hear_head(&peer), "HTTP/1.1 101 ", 13) == 0);
	return peer;
}

static void a_connection_lives_on_service_fd_alone(void)
{
	struct peer peer;

	begin();
	peer = join("one");
	say_frame(&peer, 0x81, "Hello", 5);
	turn_until(LWS_CALLBACK_RECEIVE, 1);
	hang_up(&peer);
	turn_until(LWS_CALLBACK_CLOSED, 1);
	CHECK_INT(del_count, 1);
	end();
}

static void it_tells_when_the_connection_was_closed(void)
{
	struct peer peer;
	int closed = 0;

	begin();
	peer = join("one");
	CHECK_INT(turn(0), 0);
	hang_up(&peer);
	while (count(LWS_CALLBACK_CLOSED) == 0)
		closed += turn(20);
	CHECK_INT(closed, 1);
	end();
}

static void others_descriptors_are_no_harm(void)
{
	struct pollfd entry;
	int pipes[2];

	begin();
	CHECK_INT(pipe(pipes), 0);
	entry.fd = pipes[0];
	entry.events = entry.revents = POLLIN;
	CHECK_INT(libwebsocket_service_fd(context, &entry), 1);
	entry.fd = -1;
	CHECK_INT(libwebsocket_service_fd(context, &entry), 1);
	entry.fd = 1000000;
	CHECK_INT(libwebsocket_service_fd(context, &entry), 1);
	CHECK_INT(libwebsocket_service_fd(context, NULL), 0);
	CHECK_INT(libwebsocket_service_fd(NULL, &entry), 1);
	close(pipes[0]);
	close(pipes[1]);
	end();
}

static void a_listener_accepts_only_when_it_is_ready(void)
{
	struct pollfd entry;

	begin();
	entry = entries[0];
	entry.revents = 0;
	CHECK_INT(libwebsocket_service_fd(context, &entry), 0);
	entry.revents = POLLIN;
	CHECK_INT(libwebsocket_service_fd(context, &entry), 0);
	CHECK_INT(count(LWS_CALLBACK_FILTER_NETWORK_CONNECTION), 0);
	end();
}

static void writable_comes_through_the_modes(void)
{
	struct peer peer;
	int at;

	begin();
	peer = join("one");
	at = find(libwebsocket_get_socket_fd(wsi_of(0)));
	CHECK(at >= 0);
	CHECK_INT(entries[at].events & POLLOUT, 0);
	libwebsocket_callback_on_writable(context, wsi_of(0));
	CHECK_INT(entries[at].events & POLLOUT, POLLOUT);
	turn_until(LWS_CALLBACK_CLIENT_WRITEABLE, 1);
	CHECK_INT(entries[at].events & POLLOUT, 0);
	CHECK_INT(entries[at].events & POLLIN, POLLIN);
	hang_up(&peer);
	turn_until(LWS_CALLBACK_CLOSED, 1);
	end();
}

static void flow_control_comes_through_the_modes(void)
{
	struct peer peer;
	int at;

	begin();
	peer = join("one");
	at = find(libwebsocket_get_socket_fd(wsi_of(0)));
	CHECK_INT(libwebsocket_rx_flow_control(wsi_of(0), 0), 0);
	CHECK_INT(entries[at].events & POLLIN, 0);
	say_frame(&peer, 0x81, "x", 1);
	CHECK_INT(turn(50), 0);
	CHECK_INT(count(LWS_CALLBACK_RECEIVE), 0);
	CHECK_INT(libwebsocket_rx_flow_control(wsi_of(0), 1), 0);
	CHECK_INT(entries[at].events & POLLIN, POLLIN);
	turn_until(LWS_CALLBACK_RECEIVE, 1);
	hang_up(&peer);
	turn_until(LWS_CALLBACK_CLOSED, 1);
	end();
}

static void what_is_queued_is_sent_when_the_modes_say_so(void)
{
	enum { SIZE = 1 << 20 };
	unsigned char *data = (unsigned char *)malloc(SIZE);
	unsigned char *heard = (unsigned char *)malloc(SIZE);
	struct peer peer;
	size_t got = 0;
	ssize_t some;
	int at;
	double until = seconds() + LONG;

	memset(data, 'q', SIZE);
	begin();
	peer = join("one");
	at = find(libwebsocket_get_socket_fd(wsi_of(0)));
	/* More than a socket takes at once. */
	while (!(entries[at].events & POLLOUT)) {
		CHECK_INT(libwebsocket_write(wsi_of(0), data, SIZE / 4, LWS_WRITE_HTTP), 0);
		got += SIZE / 4;
		CHECK(got < 64u << 20);
	}
	while (got > 0) {
		some = read(peer.fd, heard, got < SIZE ? got : SIZE);
		if (some > 0)
			got -= (size_t)some;
		turn(0);
		CHECK(seconds() < until);
	}
	/* All of it is out: nobody asks to be woken for nothing. */
	turn(0);
	CHECK_INT(entries[at].events & POLLOUT, 0);
	hang_up(&peer);
	turn_until(LWS_CALLBACK_CLOSED, 1);
	end();
	free(data);
	free(heard);
}

static void a_timeout_needs_no_descriptor(void)
{
	struct peer peer;
	double started;

	begin();
	peer = join("one");
	started = seconds();
	libwebsocket_set_timeout(wsi_of(0), PENDING_TIMEOUT_AWAITING_PING, 1);
	while (count(LWS_CALLBACK_CLOSED) == 0) {
		poll(entries, (nfds_t)entry_count, 100);
		CHECK_INT(libwebsocket_service_fd(context, NULL), 0);
		CHECK(seconds() - started < 15);
	}
	CHECK_INT(del_count, 1);
	hang_up(&peer);
	end();
}

static int drop_the_first(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE)
		libwebsocket_close_and_free_session(event->context, wsi_of(0), LWS_CLOSE_STATUS_NORMAL);
	return 0;
}

static void entries_may_move_while_one_is_served(void)
{
	struct peer peers[3];
	int i;

	begin();
	then = drop_the_first;
	for (i = 0; i < 3; i++)
		peers[i] = join("one");
	say_frame(&peers[1], 0x81, "x", 1);
	turn_until(LWS_CALLBACK_CLOSED, 1);
	say_frame(&peers[2], 0x81, "y", 1);
	turn_until(LWS_CALLBACK_RECEIVE, 2);
	for (i = 0; i < 3; i++)
		hang_up(&peers[i]);
	turn_until(LWS_CALLBACK_CLOSED, 3);
	end();
}

static void a_client_lives_on_service_fd_too(void)
{
	struct libwebsocket *client;

	begin();
	client = libwebsocket_client_connect(context, "127.0.0.1", port, 0, "/", "h", NULL, "one", -1);
	CHECK(client != NULL);
	CHECK(find(libwebsocket_get_socket_fd(client)) >= 0);
	libwebsocket_callback_on_writable(context, client);
	turn_until(LWS_CALLBACK_CLIENT_WRITEABLE, 1);
	CHECK_INT(write_exact(client, "x", 1, LWS_WRITE_TEXT), 0);
	turn_until(LWS_CALLBACK_RECEIVE, 1);
	libwebsocket_close_and_free_session(context, client, LWS_CLOSE_STATUS_NORMAL);
	turn_until(LWS_CALLBACK_CLOSED, 2);
	end();
}

int main(void)
{
	RUN(a_connection_lives_on_service_fd_alone);
	RUN(it_tells_when_the_connection_was_closed);
	RUN(others_descriptors_are_no_harm);
	RUN(a_listener_accepts_only_when_it_is_ready);
	RUN(writable_comes_through_the_modes);
	RUN(flow_control_comes_through_the_modes);
	RUN(what_is_queued_is_sent_when_the_modes_say_so);
	RUN(a_timeout_needs_no_descriptor);
	RUN(entries_may_move_while_one_is_served);
	RUN(a_client_lives_on_service_fd_too);
	return 0;
}
