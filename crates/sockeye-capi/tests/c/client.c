/* Connections to other servers: the request, the order of callbacks, what fails and how. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct libwebsocket *connect_to(int to, const char *protocol)
{
	return libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/path?q", "the.host", "http://origin",
					   protocol, -1);
}

/* A connection to a server made of bytes, with the handshake over. */
static struct peer established(struct libwebsocket **wsi)
{
	int to;
	int listener = listen_raw(&to);
	struct peer server;

	*wsi = connect_to(to, "one");
	CHECK(*wsi != NULL);
	server = answer(context, listener);
	agree(&server, "Sec-WebSocket-Protocol: one\r\n");
	await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, 1);
	close(listener);
	return server;
}

static void callbacks_come_in_order(void)
{
	struct libwebsocket *wsi;
	struct peer server;
	const struct event *event;

	start();
	server = established(&wsi);
	say_unmasked(&server, 0x81, "Hello", 5);
	await(context, LWS_CALLBACK_CLIENT_RECEIVE, 1);
	say_unmasked(&server, 0x8a, "Pong", 4);
	await(context, LWS_CALLBACK_CLIENT_RECEIVE_PONG, 1);
	hang_up(&server);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_TEXT(trace(), "0:ADD 1:CLIENT_ESTABLISHED 1:CLIENT_RECEIVE(5) 1:CLIENT_RECEIVE_PONG(4) 0:DEL 1:CLOSED");
	event = last(LWS_CALLBACK_CLIENT_ESTABLISHED);
	CHECK(event->wsi == wsi && event->context == context && event->user != NULL && event->in == NULL);
	CHECK_TEXT((const char *)last(LWS_CALLBACK_CLIENT_RECEIVE)->data, "Hello");
	CHECK_TEXT((const char *)last(LWS_CALLBACK_CLIENT_RECEIVE_PONG)->data, "Pong");
	CHECK(last(LWS_CALLBACK_CLOSED)->user == event->user);
	CHECK(last(LWS_CALLBACK_ADD_POLL_FD)->wsi == wsi);
	CHECK(last(LWS_CALLBACK_ADD_POLL_FD)->user == last(LWS_CALLBACK_DEL_POLL_FD)->user);
	finish();
}

static void the_descriptor_is_added_before_connect_returns(void)
{
	int to;
	int listener = listen_raw(&to);
	struct libwebsocket *wsi;

	start();
	wsi = connect_to(to, "one");
	CHECK(wsi != NULL);
	CHECK_INT(count(LWS_CALLBACK_ADD_POLL_FD), 1);
	CHECK_INT((long)last(LWS_CALLBACK_ADD_POLL_FD)->user, libwebsocket_get_socket_fd(wsi));
	CHECK(libwebsockets_get_protocol(wsi) == NULL);
	finish();
	close(listener);
}

static void the_request_says_what_it_was_told(void)
{
	int to;
	int listener = listen_raw(&to);
	struct peer server;
	const char *head;

	start();
	CHECK(connect_to(to, "two, one") != NULL);
	server = answer(context, listener);
	head = agree(&server, "Sec-WebSocket-Protocol: one\r\n");
	CHECK(strncmp(head, "GET /path?q HTTP/1.1\r\n", 22) == 0);
	CHECK_TEXT(header(head, "Host"), "the.host");
	CHECK_TEXT(header(head, "Origin"), "http://origin");
	CHECK_TEXT(header(head, "Sec-WebSocket-Protocol"), "two, one");
	CHECK_TEXT(header(head, "Sec-WebSocket-Version"), "13");
	CHECK_INT(strlen(header(head, "Sec-WebSocket-Key")), 24);
	await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, 1);
	CHECK_INT(last(LWS_CALLBACK_CLIENT_ESTABLISHED)->protocol, ONE);
	hang_up(&server);

	/* Without origin and protocol: it belongs to protocol 0. */
	CHECK(libwebsocket_client_connect(context, "localhost", to, 0, "/", "h", NULL, NULL, 13) != NULL);
	server = answer(context, listener);
	head = agree(&server, "");
	CHECK_TEXT(header(head, "Origin"), "");
	CHECK_TEXT(header(head, "Sec-WebSocket-Protocol"), "");
	await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, 2);
	CHECK_INT(last(LWS_CALLBACK_CLIENT_ESTABLISHED)->protocol, HTTP);
	hang_up(&server);
	finish();
	close(listener);
}

static void what_cannot_be_connected_is_null(void)
{
	static const int versions[] = { 1, 2, 3, 9, 12, 14, 99, -2 };
	int to;
	int listener = listen_raw(&to);
	int nobody = free_port();
	int before;
	size_t i;

	start();
	before = descriptors();
	CHECK(connect_to(nobody, "one") == NULL);
	CHECK(connect_to(0, "one") == NULL);
	CHECK(connect_to(70000, "one") == NULL);
	CHECK(libwebsocket_client_connect(context, "no such name", to, 0, "/", "h", NULL, NULL, -1) == NULL);
	CHECK(libwebsocket_client_connect(context, NULL, to, 0, "/", "h", NULL, NULL, -1) == NULL);
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/a\r\nX: y", "h", NULL, NULL, -1) == NULL);
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h\r\nX: y", NULL, NULL, -1) == NULL);
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h", "o\nX: y", NULL, -1) == NULL);
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h", NULL, "one\r\nX: y", -1) == NULL);
	for (i = 0; i < sizeof versions / sizeof *versions; i++)
		CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h", NULL, NULL, versions[i]) == NULL);
	CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), count(LWS_CALLBACK_ADD_POLL_FD));
	CHECK_INT(descriptors(), before);
	finish();
	close(listener);
}

/* The answer to a request for "one"; the client has to give up, and only its descriptor goes. */
static void check_refused(const char *reply, int right)
{
	int to;
	int listener = listen_raw(&to);
	struct libwebsocket *wsi;
	struct peer server;
	unsigned char byte[1] = { 'x' };

	start();
	wsi = connect_to(to, "one");
	CHECK(wsi != NULL);
	CHECK_INT(libwebsocket_write(wsi, byte, 1, LWS_WRITE_TEXT), -1);
	libwebsocket_callback_on_writable(context, wsi);
	server = answer(context, listener);
	if (right) {
		agree(&server, reply);
	} else {
		hear_head(&server);
		say_text(&server, reply);
	}
	await(context, LWS_CALLBACK_DEL_POLL_FD, 1);
	CHECK_TEXT(trace(), "0:ADD 0:DEL");
	hear_end(&server, NULL, 0);
	/* The handle has gone with it, and does no harm. */
	CHECK_INT(libwebsocket_write(wsi, byte, 1, LWS_WRITE_TEXT), -1);
	CHECK_INT(libwebsocket_get_socket_fd(wsi), -1);
	libwebsocket_close_and_free_session(context, wsi, LWS_CLOSE_STATUS_NORMAL);
	CHECK_TEXT(trace(), "0:ADD 0:DEL");
	hang_up(&server);
	close(listener);
	finish();
}

static void a_handshake_that_fails_only_deletes_the_descriptor(void)
{
	check_refused("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 0);
	check_refused("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: one\r\n\r\n", 0);
	check_refused("220 mail.example ESMTP\r\n\r\n", 0);
	/* A right answer that names a protocol nobody asked for, or none. */
	check_refused("Sec-WebSocket-Protocol: two\r\n", 1);
	check_refused("", 1);
}

static void a_protocol_that_nobody_asked_for_is_refused(void)
{
	int to;
	int listener = listen_raw(&to);
	struct peer server;

	start();
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h", NULL, NULL, -1) != NULL);
	server = answer(context, listener);
	agree(&server, "Sec-WebSocket-Protocol: one\r\n");
	await(context, LWS_CALLBACK_DEL_POLL_FD, 1);
	CHECK_TEXT(trace(), "0:ADD 0:DEL");
	hang_up(&server);
	close(listener);
	finish();
}

static void an_answer_may_come_in_any_pieces_and_data_behind_it(void)
{
	int to;
	int listener = listen_raw(&to);
	struct peer server;

	start();
	CHECK(connect_to(to, "one") != NULL);
	server = answer(context, listener);
	agree(&server, "X-Long: 0123456789012345678901234567890123456789\r\nSec-WebSocket-Protocol: one\r\n");
	say_unmasked(&server, 0x81, "at once", 7);
	await(context, LWS_CALLBACK_CLIENT_RECEIVE, 1);
	CHECK_TEXT((const char *)last(LWS_CALLBACK_CLIENT_RECEIVE)->data, "at once");
	hang_up(&server);
	close(listener);
	finish();
}

static void a_silent_server_is_given_up(void)
{
	int to;
	int listener = listen_raw(&to);
	double started = seconds();

	start();
	CHECK(connect_to(to, "one") != NULL);
	/* Five seconds; nothing else happens meanwhile. */
	while (count(LWS_CALLBACK_DEL_POLL_FD) == 0) {
		CHECK_INT(libwebsocket_service(context, 30000), 0);
		CHECK(seconds() - started < 25);
	}
	CHECK(seconds() - started > 4);
	CHECK_TEXT(trace(), "0:ADD 0:DEL");
	finish();
	close(listener);
}

static void frames_are_masked(void)
{
	unsigned char mask[4], other[4], payload[300], data[300];
	struct libwebsocket *wsi;
	struct peer server;

	memset(data, 'd', sizeof data);
	start();
	server = established(&wsi);
	CHECK_INT(write_exact(wsi, "Hello", 5, LWS_WRITE_TEXT), 0);
	CHECK_INT(hear_masked(&server, 0x81, mask, payload, sizeof payload), 5);
	CHECK_BYTES(payload, 5, "Hello", 5);
	CHECK_INT(write_exact(wsi, data, sizeof data, LWS_WRITE_BINARY), 0);
	CHECK_INT(hear_masked(&server, 0x82, other, payload, sizeof payload), sizeof data);
	CHECK_BYTES(payload, sizeof data, data, sizeof data);
	CHECK(memcmp(mask, other, 4) != 0);
	CHECK_INT(write_exact(wsi, "ping", 4, LWS_WRITE_PING), 0);
	CHECK_INT(hear_masked(&server, 0x89, mask, payload, sizeof payload), 4);
	/* A mask of zeros, if that is asked for. */
	CHECK_INT(write_exact(wsi, "bare", 4, LWS_WRITE_TEXT | LWS_WRITE_CLIENT_IGNORE_XOR_MASK), 0);
	hear_bytes(&server, "\x81\x84\0\0\0\0" "bare", 10);
	hang_up(&server);
	finish();
}

static void a_context_may_defeat_the_mask(void)
{
	struct libwebsocket *wsi;
	struct peer server;

	port = free_port();
	context = serve(port, LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK);
	forget();
	server = established(&wsi);
	CHECK_INT(write_exact(wsi, "Hello", 5, LWS_WRITE_TEXT), 0);
	hear_bytes(&server, "\x81\x85\0\0\0\0Hello", 11);
	hang_up(&server);
	/* That does not make its server take frames without a mask. */
	server = upgrade(context, port, "one");
	say(&server, "\x81\x01x", 3);
	hear_bytes(&server, "\x88", 1);
	hang_up(&server);
	finish();
}

static void pings_are_answered_and_not_told_of(void)
{
	unsigned char mask[4], payload[125];
	struct libwebsocket *wsi;
	struct peer server;

	start();
	server = established(&wsi);
	say_unmasked(&server, 0x89, "are you there", 13);
	CHECK_INT(hear_masked(&server, 0x8a, mask, payload, sizeof payload), 13);
	CHECK_BYTES(payload, 13, "are you there", 13);
	say_unmasked(&server, 0x82, "x", 1);
	await(context, LWS_CALLBACK_CLIENT_RECEIVE, 1);
	CHECK_TEXT(trace(), "0:ADD 1:CLIENT_ESTABLISHED 1:CLIENT_RECEIVE(1)");
	hang_up(&server);
	finish();
}

static void writable_is_remembered_until_it_is_established(void)
{
	int to;
	int listener = listen_raw(&to);
	struct libwebsocket *wsi;
	struct peer server;

	start();
	wsi = connect_to(to, "one");
	CHECK_INT(libwebsocket_callback_on_writable(context, wsi), 1);
	server = answer(context, listener);
	hear_head(&server);
	settle(context);
	CHECK_INT(count(LWS_CALLBACK_CLIENT_WRITEABLE), 0);
	hang_up(&server);
	close(listener);
	finish();

	start();
	wsi = connect_to(port, "one");
	libwebsocket_callback_on_writable(context, wsi);
	await(context, LWS_CALLBACK_CLIENT_WRITEABLE, 1);
	CHECK(last(LWS_CALLBACK_CLIENT_ESTABLISHED) != NULL);
	CHECK(last(LWS_CALLBACK_CLIENT_ESTABLISHED) < last(LWS_CALLBACK_CLIENT_WRITEABLE));
	CHECK(last(LWS_CALLBACK_CLIENT_WRITEABLE)->wsi == wsi);
	finish();
}

static void the_peer_is_known_right_after_connecting(void)
{
	char name[128];
	char address[64];
	struct libwebsocket *wsi;

	start();
	wsi = connect_to(port, "one");
	libwebsockets_get_peer_addresses(libwebsocket_get_socket_fd(wsi), name, sizeof name, address, sizeof address);
	CHECK_TEXT(address, "127.0.0.1");
	finish();
}

static void the_client_closes_and_answers_closes(void)
{
	unsigned char mask[4], payload[125];
	struct libwebsocket *wsi;
	struct peer server;

	start();
	server = established(&wsi);
	libwebsocket_close_and_free_session(context, wsi, LWS_CLOSE_STATUS_NORMAL);
	CHECK_TEXT(trace(), "0:ADD 1:CLIENT_ESTABLISHED 0:DEL 1:CLOSED");
	CHECK_INT(hear_masked(&server, 0x88, mask, payload, sizeof payload), 2);
	CHECK_BYTES(payload, 2, "\x03\xe8", 2);
	hear_end(&server, NULL, 0);
	hang_up(&server);
	finish();

	start();
	server = established(&wsi);
	say_unmasked(&server, 0x88, "\x03\xe9going", 7);
	CHECK_INT(hear_masked(&server, 0x88, mask, payload, sizeof payload), 7);
	CHECK_BYTES(payload, 7, "\x03\xe9going", 7);
	hang_up(&server);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_TEXT(trace(), "0:ADD 1:CLIENT_ESTABLISHED 0:DEL 1:CLOSED");
	finish();

	/* A server must not mask. */
	start();
	server = established(&wsi);
	say(&server, "\x81\x81\0\0\0\0x", 7);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK(hear_masked(&server, 0x88, mask, payload, sizeof payload) >= 2);
	CHECK_BYTES(payload, 2, "\x03\xea", 2);
	CHECK_INT(count(LWS_CALLBACK_CLIENT_RECEIVE), 0);
	hang_up(&server);
	finish();
}

static void a_long_frame_comes_in_pieces(void)
{
	static unsigned char data[10000];
	struct peer server;
	struct libwebsocket *wsi;
	int i;

	start();
	server = established(&wsi);
	say(&server, "\x82\x7e\x27\x10", 4);
	say(&server, data, sizeof data);
	await(context, LWS_CALLBACK_CLIENT_RECEIVE, 3);
	for (i = 0; i < 3; i++)
		CHECK_INT(nth(LWS_CALLBACK_CLIENT_RECEIVE, i)->remaining, i == 0 ? 5904 : i == 1 ? 1808 : 0);
	hang_up(&server);
	finish();
}

/* -------------------------------------------------------------------- proxy */

static void a_proxy_is_asked_to_connect(void)
{
	static const char *const ok[] = { "HTTP/1.0 200 fine\r\n\r\n", "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n" };
	int to;
	int listener = listen_raw(&to);
	char variable[64];
	struct peer proxy;
	const char *head;
	size_t i;

	snprintf(variable, sizeof variable, "127.0.0.1:%d", to);
	setenv("http_proxy", variable, 1);
	for (i = 0; i < 2; i++) {
		start();
		CHECK(libwebsocket_client_connect(context, "far.example", 8080, 0, "/", "h", NULL, "one", -1) != NULL);
		proxy = answer(context, listener);
		head = hear_head(&proxy);
		CHECK(strncmp(head, "CONNECT far.example:8080 HTTP/1.", 32) == 0);
		say_text(&proxy, ok[i]);
		agree(&proxy, "Sec-WebSocket-Protocol: one\r\n");
		await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, 1);
		CHECK_TEXT(trace(), "0:ADD 1:CLIENT_ESTABLISHED");
		hang_up(&proxy);
		finish();
	}
	start();
	CHECK(libwebsocket_client_connect(context, "far.example", 8080, 0, "/", "h", NULL, "one", -1) != NULL);
	proxy = answer(context, listener);
	hear_head(&proxy);
	say_text(&proxy, "HTTP/1.0 403 Forbidden\r\n\r\n");
	await(context, LWS_CALLBACK_DEL_POLL_FD, 1);
	CHECK_TEXT(trace(), "0:ADD 0:DEL");
	hang_up(&proxy);
	finish();
	unsetenv("http_proxy");
	close(listener);
}

int main(void)
{
	RUN(callbacks_come_in_order);
	RUN(the_descriptor_is_added_before_connect_returns);
	RUN(the_request_says_what_it_was_told);
	RUN(what_cannot_be_connected_is_null);
	RUN(a_handshake_that_fails_only_deletes_the_descriptor);
	RUN(a_protocol_that_nobody_asked_for_is_refused);
	RUN(an_answer_may_come_in_any_pieces_and_data_behind_it);
	RUN(a_silent_server_is_given_up);
	RUN(frames_are_masked);
	RUN(a_context_may_defeat_the_mask);
	RUN(pings_are_answered_and_not_told_of);
	RUN(writable_is_remembered_until_it_is_established);
	RUN(the_peer_is_known_right_after_connecting);
	RUN(the_client_closes_and_answers_closes);
	RUN(a_long_frame_comes_in_pieces);
	RUN(a_proxy_is_asked_to_connect);
	return 0;
}
