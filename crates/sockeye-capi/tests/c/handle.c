/* What is known of a connection, and handles of connections that are gone or never were. */
#include "harness.h"

#include <string.h>

static struct libwebsocket *filtered;
static const struct libwebsocket_protocols *early_protocol;

static int look_early(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_ADD_POLL_FD) {
		filtered = event->wsi;
		early_protocol = libwebsockets_get_protocol(event->wsi);
	}
	return 0;
}

static void before_its_handshake_a_connection_has_protocol_0(void)
{
	struct peer peer;

	start();
	on_event = look_early;
	peer = dial(context, port);
	await(context, LWS_CALLBACK_ADD_POLL_FD, 1);
	CHECK(early_protocol == &protocols[HTTP]);
	CHECK(libwebsockets_get_protocol(filtered) == &protocols[HTTP]);
	hang_up(&peer);
	finish();
}

static void the_peer_has_a_name_and_an_address(void)
{
	char name[256];
	char address[64];
	char guard[4] = { 1, 1, 1, 1 };
	struct peer peer;
	int fd;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	fd = libwebsocket_get_socket_fd(wsi_of(0));
	CHECK(fd > 2);
	libwebsockets_get_peer_addresses(fd, name, sizeof name, address, sizeof address);
	CHECK_TEXT(address, "127.0.0.1");
	CHECK(memchr(name, 0, sizeof name) != NULL);
	/* Cut where the buffer ends. */
	libwebsockets_get_peer_addresses(fd, name, 3, guard, 3);
	CHECK_TEXT(guard, "12");
	CHECK_INT(guard[3], 1);
	CHECK(strlen(name) < 3);
	/* Without room nothing is written; a descriptor that is no socket has no peer. */
	libwebsockets_get_peer_addresses(fd, NULL, 0, NULL, 0);
	libwebsockets_get_peer_addresses(fd, name, 0, guard, -1);
	CHECK_TEXT(guard, "12");
	libwebsockets_get_peer_addresses(-1, name, sizeof name, address, sizeof address);
	CHECK_TEXT(name, "");
	CHECK_TEXT(address, "");
	hang_up(&peer);
	finish();
}


static void check_useless(struct libwebsocket *wsi)
{
	unsigned char byte[1] = { 'x' };
	int before = count(LWS_CALLBACK_SET_MODE_POLL_FD) + count(LWS_CALLBACK_CLEAR_MODE_POLL_FD);

	CHECK_INT(libwebsocket_write(wsi, byte, 1, LWS_WRITE_TEXT), -1);
	CHECK_INT(libwebsocket_write(wsi, byte, 1, LWS_WRITE_HTTP), -1);
	CHECK_INT(libwebsockets_serve_http_file(wsi, "/dev/null", "text/plain"), -1);
	CHECK(libwebsockets_get_protocol(wsi) == NULL);
	CHECK_INT(libwebsocket_get_socket_fd(wsi), -1);
	CHECK_INT(libwebsockets_remaining_packet_payload(wsi), 0);
	CHECK_INT(libwebsocket_callback_on_writable(context, wsi), 1);
	CHECK_INT(libwebsocket_rx_flow_control(wsi, 0), 0);
	libwebsocket_set_timeout(wsi, PENDING_TIMEOUT_AWAITING_PING, 0);
	libwebsocket_close_and_free_session(context, wsi, LWS_CLOSE_STATUS_NORMAL);
	CHECK_INT(count(LWS_CALLBACK_SET_MODE_POLL_FD) + count(LWS_CALLBACK_CLEAR_MODE_POLL_FD), before);
}

static void stale_and_foreign_handles_do_nothing(void)
{
	struct peer peer, other;
	struct libwebsocket *stale;
	long memory[8] = { 0 };

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	stale = wsi_of(0);
	libwebsocket_close_and_free_session(context, stale, LWS_CLOSE_STATUS_NORMAL);
	hang_up(&peer);
	/* Somebody else may well have its place now. */
	other = upgrade(context, port, "two");
	await(context, LWS_CALLBACK_ESTABLISHED, 2);
	CHECK(wsi_of(1) != stale);
	check_useless(stale);
	check_useless(NULL);
	check_useless((struct libwebsocket *)memory);
	check_useless((struct libwebsocket *)16);
	check_useless((struct libwebsocket *)-1);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
	say_frame(&other, 0x81, "x", 1);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	hang_up(&other);
	finish();
	check_useless(stale);
}

int main(void)
{
	RUN(before_its_handshake_a_connection_has_protocol_0);
	RUN(the_peer_has_a_name_and_an_address);
	RUN(stale_and_foreign_handles_do_nothing);
	return 0;
}
