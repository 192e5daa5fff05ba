/* What libwebsocket_write() sends, refuses, and does when a peer does not read. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static void every_kind_of_write_has_its_frame(void)
{
	unsigned char long_data[300];
	struct peer peer;
	struct libwebsocket *wsi;

	memset(long_data, 'x', sizeof long_data);
	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	wsi = wsi_of(0);
	CHECK_INT(write_exact(wsi, "Hello", 5, LWS_WRITE_TEXT), 0);
	hear_frame(&peer, 0x81, "Hello", 5);
	CHECK_INT(write_exact(wsi, long_data, sizeof long_data, LWS_WRITE_BINARY), 0);
	hear_frame(&peer, 0x82, long_data, sizeof long_data);
	CHECK_INT(write_exact(wsi, "ping", 4, LWS_WRITE_PING), 0);
	hear_frame(&peer, 0x89, "ping", 4);
	CHECK_INT(write_exact(wsi, "pong", 4, LWS_WRITE_PONG), 0);
	hear_frame(&peer, 0x8a, "pong", 4);
	CHECK_INT(write_exact(wsi, "raw", 3, LWS_WRITE_HTTP), 0);
	hear_bytes(&peer, "raw", 3);
	/* The flag of clients means nothing here. */
	CHECK_INT(write_exact(wsi, "t", 1, LWS_WRITE_TEXT | LWS_WRITE_CLIENT_IGNORE_XOR_MASK), 0);
	hear_frame(&peer, 0x81, "t", 1);
	/* Nothing is nothing, but for a close. */
	CHECK_INT(write_exact(wsi, "", 0, LWS_WRITE_TEXT), 0);
	CHECK_INT(write_exact(wsi, "", 0, LWS_WRITE_PING), 0);
	CHECK_INT(libwebsocket_write(wsi, NULL, 0, LWS_WRITE_BINARY), 0);
	CHECK_INT(write_exact(wsi, "end", 3, LWS_WRITE_TEXT), 0);
	hear_frame(&peer, 0x81, "end", 3);
	hang_up(&peer);
	finish();
}

static void a_message_may_be_written_in_fragments(void)
{
	struct peer peer;
	struct libwebsocket *wsi;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	wsi = wsi_of(0);
	CHECK_INT(write_exact(wsi, "ab", 2, LWS_WRITE_TEXT | LWS_WRITE_NO_FIN), 0);
	CHECK_INT(write_exact(wsi, "p", 1, LWS_WRITE_PING), 0);
	hear_frame(&peer, 0x01, "ab", 2);
	hear_frame(&peer, 0x89, "p", 1);
	hang_up(&peer);
	finish();
}

static void what_cannot_be_written_is_refused(void)
{
	unsigned char data[126];
	struct peer peer;
	struct libwebsocket *wsi;
	int kind;

	memset(data, 'x', sizeof data);
	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	wsi = wsi_of(0);
	for (kind = 6; kind < 16; kind++)
		CHECK_INT(write_exact(wsi, "x", 1, kind), -1);
	/* A control frame has 125 bytes at most. */
	CHECK_INT(write_exact(wsi, data, 126, LWS_WRITE_PING), -1);
	CHECK_INT(write_exact(wsi, data, 126, LWS_WRITE_PONG), -1);
	CHECK_INT(write_exact(wsi, data, 125, LWS_WRITE_PING), 0);
	hear_frame(&peer, 0x89, data, 125);
	CHECK_INT(libwebsocket_write(wsi, NULL, 5, LWS_WRITE_TEXT), -1);
	CHECK_INT(libwebsocket_write(NULL, data, 5, LWS_WRITE_TEXT), -1);
	CHECK_INT(write_exact(wsi, "still here", 10, LWS_WRITE_TEXT), 0);
	hear_frame(&peer, 0x81, "still here", 10);
	hang_up(&peer);
	finish();
}

static int early, late, late_raw;

static int write_too_early_and_too_late(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
		early = write_exact(event->wsi, "x", 1, LWS_WRITE_TEXT);
	if (event->reason == LWS_CALLBACK_CLOSED) {
		late = write_exact(event->wsi, "x", 1, LWS_WRITE_TEXT);
		late_raw = write_exact(event->wsi, "x", 1, LWS_WRITE_HTTP);
	}
	return 0;
}

static void nothing_is_written_before_or_after_the_connection(void)
{
	struct peer peer;

	start();
	early = late = late_raw = 7;
	on_event = write_too_early_and_too_late;
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK_INT(early, -1);
	libwebsocket_close_and_free_session(context, wsi_of(0), LWS_CLOSE_STATUS_NOSTATUS);
	CHECK_INT(late, -1);
	CHECK_INT(late_raw, -1);
	hear_frame(&peer, 0x88, "", 0);
	CHECK_INT(hear_end(&peer, NULL, 0), 0);
	hang_up(&peer);
	finish();
}

static int greet(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_ESTABLISHED)
		CHECK_INT(write_exact(event->wsi, "welcome", 7, LWS_WRITE_TEXT), 0);
	return 0;
}

static void established_comes_after_the_answer(void)
{
	struct peer peer;

	start();
	on_event = greet;
	peer = upgrade(context, port, "one");
	hear_frame(&peer, 0x81, "welcome", 7);
	hang_up(&peer);
	finish();
}

static void who_never_reads_is_closed(void)
{
	unsigned char *data = (unsigned char *)calloc(1, 1 << 20);
	struct peer deaf, other;
	int written = 0;

	start();
	deaf = upgrade(context, port, "one");
	other = upgrade(context, port, "two");
	await(context, LWS_CALLBACK_ESTABLISHED, 2);
	while (libwebsocket_write(wsi_of(0), data, 1 << 20, LWS_WRITE_BINARY) == 0) {
		CHECK(++written < 1000);
		libwebsocket_service(context, 0);
	}
	/* The bound is there for that, and others do not notice. */
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_INT(last(LWS_CALLBACK_CLOSED)->protocol, ONE);
	CHECK_INT(libwebsocket_write(wsi_of(0), data, 1, LWS_WRITE_BINARY), -1);
	say_frame(&other, 0x81, "x", 1);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	hang_up(&deaf);
	hang_up(&other);
	finish();
	free(data);
}

static void what_was_written_is_sent_as_the_peer_reads(void)
{
	static unsigned char data[60000];
	struct peer peer;
	int i;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	for (i = 0; i < 16; i++) {
		memset(data, 'a' + i, sizeof data);
		CHECK_INT(libwebsocket_write(wsi_of(0), data, sizeof data, LWS_WRITE_TEXT), 0);
	}
	for (i = 0; i < 16; i++) {
		memset(data, 'a' + i, sizeof data);
		hear_frame(&peer, 0x81, data, sizeof data);
	}
	hang_up(&peer);
	finish();
}

int main(void)
{
	RUN(every_kind_of_write_has_its_frame);
	RUN(a_message_may_be_written_in_fragments);
	RUN(what_cannot_be_written_is_refused);
	RUN(nothing_is_written_before_or_after_the_connection);
	RUN(established_comes_after_the_answer);
	RUN(who_never_reads_is_closed);
	RUN(what_was_written_is_sent_as_the_peer_reads);
	return 0;
}
