/* Connections of a server end: by a call, by the peer, by a timeout, inside callbacks. */
#include "harness.h"

#include <sys/socket.h>
#include <unistd.h>

static void close_tells_the_peer_why(void)
{
	static const struct {
		enum lws_close_status status;
		unsigned char body[2];
	} cases[] = { { LWS_CLOSE_STATUS_NORMAL, { 0x03, 0xe8 } },
		      { LWS_CLOSE_STATUS_GOINGAWAY, { 0x03, 0xe9 } },
		      { LWS_CLOSE_STATUS_PROTOCOL_ERR, { 0x03, 0xea } },
		      { LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, { 0x03, 0xeb } } };
	struct peer peer;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		start();
		peer = upgrade(context, port, "one");
		await(context, LWS_CALLBACK_ESTABLISHED, 1);
		libwebsocket_close_and_free_session(context, wsi_of(0), cases[i].status);
		/* At the call, in this order. */
		CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 0:DEL 1:CLOSED");
		hear_frame(&peer, 0x88, cases[i].body, 2);
		CHECK_INT(hear_end(&peer, NULL, 0), 0);
		settle(context);
		CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
		hang_up(&peer);
		finish();
	}
}

static void payload_too_large_is_said_as_the_version_says_it(void)
{
	struct peer peer;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	libwebsocket_close_and_free_session(context, wsi_of(0), LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE);
	hear_frame(&peer, 0x88, "\x03\xf1", 2); /* 1009 */
	hang_up(&peer);
	finish();
}

static void a_close_may_be_written(void)
{
	struct peer peer;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK_INT(write_exact(wsi_of(0), "\x03\xe8", 2, LWS_WRITE_CLOSE), 0);
	hear_frame(&peer, 0x88, "\x03\xe8", 2);
	say_frame(&peer, 0x88, "\x03\xe8", 2);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_INT(hear_end(&peer, NULL, 0), 0);
	hang_up(&peer);
	finish();

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK_INT(write_exact(wsi_of(0), "", 0, LWS_WRITE_CLOSE), 0);
	hear_frame(&peer, 0x88, "", 0);
	hang_up(&peer);
	await(context, LWS_CALLBACK_CLOSED, 1);
	finish();
}

static void closed_comes_once_whoever_begins(void)
{
	struct peer peer;

	/* The peer closes, with and without a status. */
	start();
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x88, "\x03\xe8" "bye", 5);
	hear_frame(&peer, 0x88, "\x03\xe8" "bye", 5);
	CHECK_INT(hear_end(&peer, NULL, 0), 0);
	await(context, LWS_CALLBACK_CLOSED, 1);
	hang_up(&peer);
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x88, "", 0);
	hear_frame(&peer, 0x88, "", 0);
	CHECK_INT(hear_end(&peer, NULL, 0), 0);
	await(context, LWS_CALLBACK_CLOSED, 2);
	hang_up(&peer);
	/* TCP ends. */
	peer = upgrade(context, port, "one");
	hang_up(&peer);
	await(context, LWS_CALLBACK_CLOSED, 3);
	/* TCP breaks. */
	peer = upgrade(context, port, "one");
	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	hang_up(&peer);
	await(context, LWS_CALLBACK_CLOSED, 4);
	/* The last data before the end is not lost. */
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x81, "last words", 10);
	hang_up(&peer);
	await(context, LWS_CALLBACK_CLOSED, 5);
	CHECK_INT(count(LWS_CALLBACK_RECEIVE), 1);
	settle(context);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 5);
	CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), 5);
	finish();
}

static void broken_frames_end_the_connection_with_1002(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\xc1\x80\0\0\0\0", 6 },     /* RSV1 */
		{ "\x83\x80\0\0\0\0", 6 },     /* an opcode that is not there */
		{ "\x09\x80\0\0\0\0", 6 },     /* a ping in fragments */
		{ "\x89\xfe\0\x7e\0\0\0\0", 8 }, /* a ping of 126 bytes */
		{ "\x80\x80\0\0\0\0", 6 },     /* continues nothing */
		{ "\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 12 }, /* a message inside a message */
		{ "\x81\x01x", 3 },            /* not masked */
		{ "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14 }, /* longer than there are lengths */
		{ "\x88\x81\0\0\0\0x", 7 },    /* half a status */
	};
	struct peer peer;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		start();
		peer = upgrade(context, port, "one");
		say(&peer, cases[i].bytes, cases[i].len);
		hear_bytes(&peer, "\x88", 1);
		hear(&peer, &(char){ 0 }, 1);
		hear_bytes(&peer, "\x03\xea", 2);
		hear_end(&peer, NULL, 0);
		await(context, LWS_CALLBACK_CLOSED, 1);
		hang_up(&peer);
		finish();
	}
}

static int close_itself(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE) {
		libwebsocket_close_and_free_session(event->context, event->wsi, LWS_CLOSE_STATUS_NORMAL);
		/* Its memory is there as long as the callback runs. */
		((struct session *)event->user)->value = 1;
		((char *)event->in)[0] = 'y';
		CHECK_INT(write_exact(event->wsi, "x", 1, LWS_WRITE_TEXT), -1);
	}
	return 0;
}

static void a_callback_may_close_its_own_connection(void)
{
	struct peer peer;

	start();
	on_event = close_itself;
	peer = upgrade(context, port, "one");
	/* What comes behind in the same read is not told any more. */
	say(&peer, "\x81\x81\0\0\0\0a\x81\x81\0\0\0\0b", 14);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 1:RECEIVE(1) 0:DEL 1:CLOSED");
	hear_frame(&peer, 0x88, "\x03\xe8", 2);
	hear_end(&peer, NULL, 0);
	hang_up(&peer);
	finish();
}

static int close_on_established(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_ESTABLISHED)
		libwebsocket_close_and_free_session(event->context, event->wsi, LWS_CLOSE_STATUS_NORMAL);
	return 0;
}

static void even_when_it_is_just_established(void)
{
	struct peer peer;

	start();
	on_event = close_on_established;
	peer = upgrade(context, port, "one");
	hear_frame(&peer, 0x88, "\x03\xe8", 2);
	hear_end(&peer, NULL, 0);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 0:DEL 1:CLOSED");
	hang_up(&peer);
	finish();
}

static struct libwebsocket *victim;

static int close_the_other(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE) {
		CHECK_INT(write_exact(victim, "goodbye", 7, LWS_WRITE_TEXT), 0);
		libwebsocket_close_and_free_session(event->context, victim, LWS_CLOSE_STATUS_NORMAL);
		CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
		CHECK_INT(write_exact(event->wsi, "done", 4, LWS_WRITE_TEXT), 0);
	}
	return 0;
}

static void a_callback_may_write_to_another_and_close_it(void)
{
	struct peer a, b;

	start();
	on_event = close_the_other;
	a = upgrade(context, port, "one");
	b = upgrade(context, port, "two");
	await(context, LWS_CALLBACK_ESTABLISHED, 2);
	victim = wsi_of(1);
	say_frame(&a, 0x81, "x", 1);
	hear_frame(&a, 0x81, "done", 4);
	hear_frame(&b, 0x81, "goodbye", 7);
	hear_frame(&b, 0x88, "\x03\xe8", 2);
	hear_end(&b, NULL, 0);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
	CHECK(last(LWS_CALLBACK_CLOSED)->wsi == victim);
	hang_up(&a);
	hang_up(&b);
	finish();
}

static void hangup_is_by_descriptor(void)
{
	struct peer peer;
	int pipes[2];

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK_INT(pipe(pipes), 0);
	/* Descriptors of the program, and none at all, are left alone. */
	libwebsockets_hangup_on_client(context, pipes[0]);
	libwebsockets_hangup_on_client(context, peer.fd);
	libwebsockets_hangup_on_client(context, -1);
	libwebsockets_hangup_on_client(context, 1000000);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 0);
	CHECK_INT(write(pipes[1], "x", 1), 1);
	libwebsockets_hangup_on_client(context, libwebsocket_get_socket_fd(wsi_of(0)));
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
	hear_frame(&peer, 0x88, "", 0);
	hear_end(&peer, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	hang_up(&peer);
	finish();
}

static void a_timeout_ends_the_connection_unless_it_is_cancelled(void)
{
	struct peer a, b;
	double started;

	start();
	a = upgrade(context, port, "one");
	b = upgrade(context, port, "two");
	await(context, LWS_CALLBACK_ESTABLISHED, 2);
	started = seconds();
	libwebsocket_set_timeout(wsi_of(0), PENDING_TIMEOUT_AWAITING_PING, 1);
	libwebsocket_set_timeout(wsi_of(1), PENDING_TIMEOUT_AWAITING_PING, 1);
	libwebsocket_set_timeout(wsi_of(1), NO_PENDING_TIMEOUT, 0);
	/* Nothing comes in meanwhile: the wait itself ends in time. */
	while (count(LWS_CALLBACK_CLOSED) == 0) {
		CHECK_INT(libwebsocket_service(context, 20000), 0);
		CHECK(seconds() - started < 15);
	}
	CHECK(seconds() - started >= 0.99);
	CHECK_INT(last(LWS_CALLBACK_CLOSED)->protocol, ONE);
	hear_frame(&a, 0x88, "", 0);
	hear_end(&a, NULL, 0);
	say_frame(&b, 0x81, "x", 1);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	hang_up(&a);
	hang_up(&b);
	finish();
}

int main(void)
{
	RUN(close_tells_the_peer_why);
	RUN(payload_too_large_is_said_as_the_version_says_it);
	RUN(a_close_may_be_written);
	RUN(closed_comes_once_whoever_begins);
	RUN(broken_frames_end_the_connection_with_1002);
	RUN(a_callback_may_close_its_own_connection);
	RUN(even_when_it_is_just_established);
	RUN(a_callback_may_write_to_another_and_close_it);
	RUN(hangup_is_by_descriptor);
	RUN(a_timeout_ends_the_connection_unless_it_is_cancelled);
	return 0;
}
