/* What a server receives: pieces of frames, fragments, empty messages, and what it is not told of. */
#include "harness.h"

#include <string.h>

static int write_around(const struct event *event)
{
	unsigned char *in = (unsigned char *)event->in;

	if (event->reason != LWS_CALLBACK_RECEIVE)
		return 0;
	CHECK_INT(in[event->len], 0);
	/* The program may use the paddings, and the data. */
	memset(in - LWS_SEND_BUFFER_PRE_PADDING, 0xee, LWS_SEND_BUFFER_PRE_PADDING + event->len + 1);
	return 0;
}

static void a_long_frame_comes_in_pieces(void)
{
	unsigned char data[10000];
	struct peer peer;
	size_t i;

	for (i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 7);
	start();
	on_event = write_around;
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x82, data, sizeof data);
	await(context, LWS_CALLBACK_RECEIVE, 3);
	for (i = 0; i < 3; i++) {
		const struct event *event = nth(LWS_CALLBACK_RECEIVE, (int)i);

		CHECK_INT(event->remaining, i == 0 ? 5904 : i == 1 ? 1808 : 0);
		CHECK_BYTES(event->data, event->len, data + 4096 * i, i == 2 ? 1808 : 4096);
	}
	/* An exact multiple has no empty piece behind it. */
	say_frame(&peer, 0x82, data, 8192);
	say_frame(&peer, 0x82, "x", 1);
	await(context, LWS_CALLBACK_RECEIVE, 6);
	CHECK_INT(nth(LWS_CALLBACK_RECEIVE, 3)->remaining, 4096);
	CHECK_INT(nth(LWS_CALLBACK_RECEIVE, 4)->remaining, 0);
	CHECK_INT(nth(LWS_CALLBACK_RECEIVE, 5)->len, 1);
	hang_up(&peer);
	finish();
}

static void fragments_and_empty_messages(void)
{
	struct peer peer;

	start();
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x01, "ab", 2);
	say_frame(&peer, 0x00, "", 0);
	say_frame(&peer, 0x89, "between", 7);
	say_frame(&peer, 0x00, "cde", 3);
	say_frame(&peer, 0x80, "f", 1);
	say_frame(&peer, 0x81, "", 0);
	say_frame(&peer, 0x82, "last", 4);
	await(context, LWS_CALLBACK_RECEIVE, 5);
	/* Empty fragments are not told of, empty messages are; pings are answered, not told of. */
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED "
			    "1:RECEIVE(2) 1:RECEIVE(3) 1:RECEIVE(1) 1:RECEIVE(0) 1:RECEIVE(4)");
	hear_frame(&peer, 0x8a, "between", 7);
	hang_up(&peer);
	finish();
}

static void the_server_does_not_tell_of_pongs(void)
{
	struct peer peer;

	start();
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x8a, "pong", 4);
	say_frame(&peer, 0x81, "x", 1);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 1:RECEIVE(1)");
	hang_up(&peer);
	finish();
}

static void data_right_behind_the_handshake_is_kept(void)
{
	static const unsigned char hello[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	char both[1024];
	struct peer peer;
	size_t len;

	start();
	strcpy(both, upgrade_request("one", ""));
	len = strlen(both);
	memcpy(both + len, hello, sizeof hello);
	peer = dial(context, port);
	say(&peer, both, len + sizeof hello);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	CHECK_TEXT((const char *)last(LWS_CALLBACK_RECEIVE)->data, "Hello");
	hang_up(&peer);
	finish();
}

int main(void)
{
	RUN(a_long_frame_comes_in_pieces);
	RUN(fragments_and_empty_messages);
	RUN(the_server_does_not_tell_of_pongs);
	RUN(data_right_behind_the_handshake_is_kept);
	return 0;
}
