/* Asking for room to write, and pausing a connection. */
#include "harness.h"

#include <sys/socket.h>

static void writable_is_told_once_for_any_number_of_requests(void)
{
	struct peer peer;
	struct libwebsocket *wsi;
	const struct event *event;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	wsi = wsi_of(0);
	forget();
	CHECK_INT(libwebsocket_callback_on_writable(context, wsi), 1);
	CHECK(count(LWS_CALLBACK_SET_MODE_POLL_FD) >= 1);
	event = nth(LWS_CALLBACK_SET_MODE_POLL_FD, 0);
	CHECK_INT(event->protocol, HTTP);
	CHECK_INT(event->len, POLLOUT);
	CHECK_INT((long)event->user, libwebsocket_get_socket_fd(wsi));
	CHECK(event->wsi == wsi);
	CHECK_INT(libwebsocket_callback_on_writable(context, wsi), 1);
	CHECK_INT(libwebsocket_callback_on_writable(context, wsi), 1);
	CHECK_INT(count(LWS_CALLBACK_CLIENT_WRITEABLE), 0);
	await(context, LWS_CALLBACK_CLIENT_WRITEABLE, 1);
	CHECK(count(LWS_CALLBACK_CLEAR_MODE_POLL_FD) >= 1);
	event = last(LWS_CALLBACK_CLEAR_MODE_POLL_FD);
	CHECK_INT(event->len, POLLOUT);
	CHECK(event < last(LWS_CALLBACK_CLIENT_WRITEABLE));
	CHECK(last(LWS_CALLBACK_CLIENT_WRITEABLE)->wsi == wsi);
	CHECK_INT(last(LWS_CALLBACK_CLIENT_WRITEABLE)->protocol, ONE);
	CHECK(last(LWS_CALLBACK_CLIENT_WRITEABLE)->user != NULL);
	settle(context);
	CHECK_INT(count(LWS_CALLBACK_CLIENT_WRITEABLE), 1);
	libwebsocket_callback_on_writable(context, wsi);
	await(context, LWS_CALLBACK_CLIENT_WRITEABLE, 2);
	hang_up(&peer);
	finish();
}

static int ask_again(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_CLIENT_WRITEABLE && count(LWS_CALLBACK_CLIENT_WRITEABLE) < 5)
		libwebsocket_callback_on_writable(event->context, event->wsi);
	return 0;
}

static void writable_may_be_asked_for_again_inside(void)
{
	struct peer peer;

	start();
	on_event = ask_again;
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	libwebsocket_callback_on_writable(context, wsi_of(0));
	await(context, LWS_CALLBACK_CLIENT_WRITEABLE, 5);
	hang_up(&peer);
	finish();
}

static void writable_for_all_of_a_protocol(void)
{
	struct peer a, b, c, http;
	int i;

	start();
	a = upgrade(context, port, "one");
	b = upgrade(context, port, "one");
	c = upgrade(context, port, "two");
	http = dial(context, port);
	await(context, LWS_CALLBACK_ESTABLISHED, 3);
	await(context, LWS_CALLBACK_FILTER_NETWORK_CONNECTION, 4);
	CHECK_INT(libwebsocket_callback_on_writable_all_protocol(&protocols[ONE]), 0);
	await(context, LWS_CALLBACK_CLIENT_WRITEABLE, 2);
	/* Those that are not established, or of another protocol, are not asked. */
	CHECK_INT(libwebsocket_callback_on_writable_all_protocol(&protocols[HTTP]), 0);
	settle(context);
	CHECK_INT(count(LWS_CALLBACK_CLIENT_WRITEABLE), 2);
	for (i = 0; i < 2; i++)
		CHECK_INT(nth(LWS_CALLBACK_CLIENT_WRITEABLE, i)->protocol, ONE);
	CHECK(nth(LWS_CALLBACK_CLIENT_WRITEABLE, 0)->wsi != nth(LWS_CALLBACK_CLIENT_WRITEABLE, 1)->wsi);
	hang_up(&a);
	hang_up(&b);
	hang_up(&c);
	hang_up(&http);
	finish();
}

static int pause_on_first(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE && count(LWS_CALLBACK_RECEIVE) == 1)
		CHECK_INT(libwebsocket_rx_flow_control(event->wsi, 0), 0);
	return 0;
}

static void a_paused_connection_hears_nothing_until_it_goes_on(void)
{
	struct peer peer, other;
	const struct event *event;

	start();
	on_event = pause_on_first;
	peer = upgrade(context, port, "one");
	other = upgrade(context, port, "two");
	await(context, LWS_CALLBACK_ESTABLISHED, 2);
	/* In one piece: what was already read has to wait as well. */
	say(&peer, "\x81\x81\0\0\0\0a\x81\x81\0\0\0\0b\x89\x81\0\0\0\0p", 21);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	event = last(LWS_CALLBACK_CLEAR_MODE_POLL_FD);
	CHECK(event != NULL);
	CHECK_INT(event->len, POLLIN);
	CHECK_INT((long)event->user, libwebsocket_get_socket_fd(wsi_of(0)));
	say_frame(&other, 0x81, "x", 1);
	await(context, LWS_CALLBACK_RECEIVE, 2);
	settle(context);
	CHECK_INT(count(LWS_CALLBACK_RECEIVE), 2);
	CHECK_INT(recv(peer.fd, &(char){ 0 }, 1, 0), -1);

	CHECK_INT(libwebsocket_rx_flow_control(wsi_of(0), 1), 0);
	event = last(LWS_CALLBACK_SET_MODE_POLL_FD);
	CHECK(event != NULL);
	CHECK_INT(event->len, POLLIN);
	await(context, LWS_CALLBACK_RECEIVE, 3);
	CHECK_TEXT((const char *)last(LWS_CALLBACK_RECEIVE)->data, "b");
	hear_frame(&peer, 0x8a, "p", 1);
	hang_up(&peer);
	hang_up(&other);
	finish();
}

int main(void)
{
	RUN(writable_is_told_once_for_any_number_of_requests);
	RUN(writable_may_be_asked_for_again_inside);
	RUN(writable_for_all_of_a_protocol);
	RUN(a_paused_connection_hears_nothing_until_it_goes_on);
	return 0;
}
