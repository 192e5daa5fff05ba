/* libwebsockets_broadcast() in the process that serves. */
#include "harness.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int pass_on(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_BROADCAST)
		CHECK_INT(libwebsocket_write(event->wsi, (unsigned char *)event->in, event->len, LWS_WRITE_TEXT), 0);
	return 0;
}

static int broadcast(int protocol, const char *text)
{
	static unsigned char buffer[LWS_SEND_BUFFER_PRE_PADDING + 64 + LWS_SEND_BUFFER_POST_PADDING];

	strcpy((char *)buffer + LWS_SEND_BUFFER_PRE_PADDING, text);
	return libwebsockets_broadcast(&protocols[protocol], buffer + LWS_SEND_BUFFER_PRE_PADDING, strlen(text));
}

static void each_connection_of_the_server_is_told_before_it_returns(void)
{
	unsigned char buffer[LWS_SEND_BUFFER_PRE_PADDING + 5 + LWS_SEND_BUFFER_POST_PADDING];
	unsigned char *text = buffer + LWS_SEND_BUFFER_PRE_PADDING;
	struct peer a, b, other, idle;
	struct libwebsocket *client;
	int i;

	memcpy(text, "Hello", 5);
	start();
	a = upgrade(context, port, "one");
	b = upgrade(context, port, "one");
	other = upgrade(context, port, "two");
	idle = dial(context, port);
	await(context, LWS_CALLBACK_ESTABLISHED, 3);
	/* Our own end of a connection to ourselves is not a connection of the server. */
	client = libwebsocket_client_connect(context, "127.0.0.1", port, 0, "/", "h", NULL, "one", -1);
	await(context, LWS_CALLBACK_ESTABLISHED, 4);
	await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, 1);
	on_event = pass_on;
	CHECK_INT(libwebsockets_broadcast(&protocols[ONE], text, 5), 0);
	CHECK_INT(count(LWS_CALLBACK_BROADCAST), 3);
	for (i = 0; i < 3; i++) {
		const struct event *event = nth(LWS_CALLBACK_BROADCAST, i);

		CHECK_INT(event->protocol, ONE);
		CHECK(event->wsi != client);
		CHECK(event->user != NULL);
		CHECK(event->in == text);
		CHECK_INT(event->len, 5);
		CHECK_TEXT((const char *)event->data, "Hello");
	}
	hear_frame(&a, 0x81, "Hello", 5);
	hear_frame(&b, 0x81, "Hello", 5);
	CHECK_INT(libwebsockets_broadcast(&protocols[ONE], text, 0), 0);
	CHECK_INT(count(LWS_CALLBACK_BROADCAST), 6);
	/* Those that are not established belong to nobody yet. */
	CHECK_INT(libwebsockets_broadcast(&protocols[HTTP], text, 5), 0);
	CHECK_INT(count(LWS_CALLBACK_BROADCAST), 6);
	hang_up(&a);
	hang_up(&b);
	hang_up(&other);
	hang_up(&idle);
	finish();
}

static int close_every_second(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_BROADCAST && count(LWS_CALLBACK_BROADCAST) % 2)
		libwebsocket_close_and_free_session(event->context, event->wsi, LWS_CLOSE_STATUS_NORMAL);
	return 0;
}

static void connections_may_be_closed_while_they_are_told(void)
{
	enum { MANY = 10 };
	struct peer peers[MANY];
	int i;

	start();
	for (i = 0; i < MANY; i++)
		peers[i] = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, MANY);
	on_event = close_every_second;
	CHECK_INT(broadcast(ONE, "x"), 0);
	CHECK_INT(count(LWS_CALLBACK_BROADCAST), MANY);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), MANY / 2);
	forget();
	CHECK_INT(broadcast(ONE, "y"), 0);
	CHECK_INT(count(LWS_CALLBACK_BROADCAST), MANY / 2);
	for (i = 0; i < MANY; i++)
		hang_up(&peers[i]);
	finish();
}

static int close_all_others(const struct event *event)
{
	int i;

	if (event->reason == LWS_CALLBACK_BROADCAST)
		for (i = 0; i < count(LWS_CALLBACK_ESTABLISHED); i++)
			if (wsi_of(i) != event->wsi)
				libwebsocket_close_and_free_session(event->context, wsi_of(i), LWS_CLOSE_STATUS_NORMAL);
	return 0;
}

static void who_is_closed_meanwhile_is_not_told(void)
{
	struct peer a, b, c;

	start();
	a = upgrade(context, port, "one");
	b = upgrade(context, port, "one");
	c = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 3);
	on_event = close_all_others;
	CHECK_INT(broadcast(ONE, "x"), 0);
	CHECK_INT(count(LWS_CALLBACK_BROADCAST), 1);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 2);
	hang_up(&a);
	hang_up(&b);
	hang_up(&c);
	finish();
}

static int broadcast_on_receive(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE)
		CHECK_INT(broadcast(TWO, (const char *)event->data), 0);
	return pass_on(event);
}

static void a_callback_may_broadcast(void)
{
	struct peer a, b;

	start();
	on_event = broadcast_on_receive;
	a = upgrade(context, port, "one");
	b = upgrade(context, port, "two");
	say_frame(&a, 0x81, "to the others", 13);
	hear_frame(&b, 0x81, "to the others", 13);
	hang_up(&a);
	hang_up(&b);
	finish();
}

static void misuse_is_an_error(void)
{
	struct libwebsocket_protocols foreign;
	unsigned char byte[1] = { 0 };

	memset(&foreign, 0, sizeof foreign);
	start();
	CHECK_INT(libwebsockets_broadcast(NULL, byte, 1), -1);
	CHECK_INT(libwebsockets_broadcast(&foreign, byte, 1), -1);
	CHECK_INT(libwebsockets_broadcast(&protocols[ONE], NULL, 1), -1);
	libwebsocket_callback_on_writable_all_protocol(NULL);
	libwebsocket_callback_on_writable_all_protocol(&foreign);
	finish();
	/* The context has gone: its address still stands in the array. */
	CHECK_INT(libwebsockets_broadcast(&protocols[ONE], byte, 1), -1);
	CHECK_INT(libwebsocket_callback_on_writable_all_protocol(&protocols[ONE]), 0);
}

int main(void)
{
	RUN(each_connection_of_the_server_is_told_before_it_returns);
	RUN(connections_may_be_closed_while_they_are_told);
	RUN(who_is_closed_meanwhile_is_not_told);
	RUN(a_callback_may_broadcast);
	RUN(misuse_is_an_error);
	return 0;
}
