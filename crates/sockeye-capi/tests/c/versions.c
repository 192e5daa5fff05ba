/* Every version that a client may ask for, between our own client and server. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int versions[] = { 0, 4, 5, 6, 7, 8, 13 };
enum { VERSIONS = sizeof versions / sizeof *versions };

/* Connects to the server of the same context; the n-th that it has, from 0. */
static struct libwebsocket *join(int version, int n)
{
	struct libwebsocket *wsi = libwebsocket_client_connect(context, "127.0.0.1", port, 0, "/", "127.0.0.1",
							       "http://origin", "one", version);

	CHECK(wsi != NULL);
	await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, n + 1);
	await(context, LWS_CALLBACK_ESTABLISHED, n + 1);
	return wsi;
}

static void text_goes_both_ways(void)
{
	struct libwebsocket *client, *server;
	int i;

	start();
	for (i = 0; i < VERSIONS; i++) {
		client = join(versions[i], i);
		server = wsi_of(i);
		CHECK_INT(write_exact(client, "from the client", 15, LWS_WRITE_TEXT), 0);
		await(context, LWS_CALLBACK_RECEIVE, i + 1);
		CHECK(last(LWS_CALLBACK_RECEIVE)->wsi == server);
		CHECK_TEXT((const char *)last(LWS_CALLBACK_RECEIVE)->data, "from the client");
		CHECK_INT(write_exact(server, "from the server", 15, LWS_WRITE_TEXT), 0);
		await(context, LWS_CALLBACK_CLIENT_RECEIVE, i + 1);
		CHECK(last(LWS_CALLBACK_CLIENT_RECEIVE)->wsi == client);
		CHECK_TEXT((const char *)last(LWS_CALLBACK_CLIENT_RECEIVE)->data, "from the server");
	}
	finish();
}

static void all_sizes_of_frames_arrive(void)
{
	static const size_t sizes[] = { 1, 125, 126, 4096, 4097, 10000, 65535, 65536, 70000 };
	unsigned char *data = (unsigned char *)malloc(70000);
	struct libwebsocket *client;
	size_t got, i;
	int v, n;

	memset(data, 'z', 70000);
	for (v = 0; v < VERSIONS; v++) {
		start();
		client = join(versions[v], 0);
		for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			forget();
			CHECK_INT(write_exact(client, data, sizes[i], versions[v] == 0 ? LWS_WRITE_TEXT : LWS_WRITE_BINARY), 0);
			for (got = 0, n = 0; got < sizes[i]; n++) {
				await(context, LWS_CALLBACK_RECEIVE, n + 1);
				got += nth(LWS_CALLBACK_RECEIVE, n)->len;
				CHECK_INT(nth(LWS_CALLBACK_RECEIVE, n)->remaining, versions[v] == 0 ? 0 : sizes[i] - got);
			}
			CHECK_INT(got, sizes[i]);
			CHECK_INT(n, (sizes[i] + 4095) / 4096);
		}
		finish();
	}
	free(data);
}

static void pings_are_answered_where_there_are_any(void)
{
	struct libwebsocket *client;
	int i;

	start();
	for (i = 0; i < VERSIONS; i++) {
		client = join(versions[i], i);
		if (versions[i] == 0) {
			CHECK_INT(write_exact(client, "p", 1, LWS_WRITE_PING), -1);
			CHECK_INT(write_exact(client, "p", 1, LWS_WRITE_PONG), -1);
			CHECK_INT(write_exact(client, "b", 1, LWS_WRITE_BINARY), -1);
			continue;
		}
		CHECK_INT(write_exact(client, "a ping", 6, LWS_WRITE_PING), 0);
		await(context, LWS_CALLBACK_CLIENT_RECEIVE_PONG, i);
		CHECK_TEXT((const char *)last(LWS_CALLBACK_CLIENT_RECEIVE_PONG)->data, "a ping");
		CHECK_INT(write_exact(client, "binary", 6, LWS_WRITE_BINARY), 0);
		await(context, LWS_CALLBACK_RECEIVE, i);
		CHECK_TEXT((const char *)last(LWS_CALLBACK_RECEIVE)->data, "binary");
	}
	finish();
}

static void both_ends_are_told_of_the_end(void)
{
	struct libwebsocket *client;
	int i, from_server;

	start();
	for (from_server = 0; from_server < 2; from_server++) {
		for (i = 0; i < VERSIONS; i++) {
			forget();
			client = join(versions[i], 0);
			libwebsocket_close_and_free_session(context, from_server ? wsi_of(0) : client,
							    LWS_CLOSE_STATUS_NORMAL);
			CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
			await(context, LWS_CALLBACK_CLOSED, 2);
			await(context, LWS_CALLBACK_DEL_POLL_FD, 2);
		}
	}
	finish();
}

static void the_environment_says_what_the_latest_is(void)
{
	int to;
	int listener = listen_raw(&to);
	struct peer server;

	start();
	setenv("SOCKEYE_IETF_VERSION", "6", 1);
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h", NULL, NULL, -1) != NULL);
	server = answer(context, listener);
	CHECK_TEXT(header(hear_head(&server), "Sec-WebSocket-Version"), "6");
	hang_up(&server);
	unsetenv("SOCKEYE_IETF_VERSION");
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", to, 0, "/", "h", NULL, NULL, -1) != NULL);
	server = answer(context, listener);
	CHECK_TEXT(header(hear_head(&server), "Sec-WebSocket-Version"), "13");
	hang_up(&server);
	close(listener);
	finish();
}

/* The vectors of 2011, at the server. */

static struct peer upgrade_old(int version, const char *more)
{
	struct peer peer = dial(context, port);
	char request[512];
	const char *head;

	snprintf(request, sizeof request,
		 "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Origin: http://origin\r\n"
		 "Sec-WebSocket-Protocol: one\r\nSec-WebSocket-Version: %d\r\n%s\r\n", version, more);
	say_text(&peer, request);
	head = hear_head(&peer);
	CHECK(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
	CHECK_TEXT(header(head, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	CHECK_INT(strlen(header(head, "Sec-WebSocket-Nonce")), version == 4 ? 24 : 0);
	return peer;
}

static int echo(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE)
		CHECK_INT(write_exact(event->wsi, event->data, event->len, LWS_WRITE_TEXT), 0);
	return 0;
}

static void frames_of_05_and_06_have_these_bytes(void)
{
	static const unsigned char hello[] = { 0x37, 0xfa, 0x21, 0x3d, 0xb3, 0xff, 0x69, 0x58, 0x5b, 0x96, 0x4e };
	static const unsigned char ping[] = { 0x37, 0xfa, 0x21, 0x3d, 0xb5, 0xff, 0x69, 0x58, 0x5b, 0x96, 0x4e };
	struct peer peer;
	int version;

	for (version = 5; version <= 6; version++) {
		start();
		on_event = echo;
		peer = upgrade_old(version, "");
		say(&peer, hello, sizeof hello);
		hear_bytes(&peer, "\x84\x05Hello", 7);
		say(&peer, ping, sizeof ping);
		hear_bytes(&peer, "\x83\x05Hello", 7);
		libwebsocket_close_and_free_session(context, wsi_of(0), LWS_CLOSE_STATUS_NORMAL);
		if (version == 5)
			hear_bytes(&peer, "\x81\x01S", 3);
		else
			hear_bytes(&peer, "\x81\x02\x03\xe8", 4);
		hang_up(&peer);
		finish();
	}
}

static void version_0_has_its_own_handshake_and_frames(void)
{
	static const char request[] =
		"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Protocol: one\r\nUpgrade: WebSocket\r\n"
		"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U";
	struct peer peer;
	const char *head;

	start();
	on_event = echo;
	peer = dial(context, port);
	say_text(&peer, request);
	head = hear_head(&peer);
	CHECK(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
	CHECK_TEXT(header(head, "Sec-WebSocket-Origin"), "http://example.com");
	CHECK_TEXT(header(head, "Sec-WebSocket-Location"), "ws://example.com/demo");
	CHECK_TEXT(header(head, "Sec-WebSocket-Protocol"), "one");
	hear_bytes(&peer, "8jKS'y:G*Co,Wxa-", 16);
	say(&peer, "\0Hello\xff", 7);
	hear_bytes(&peer, "\0Hello\xff", 7);
	/* A binary frame is skipped; the end is answered. */
	say(&peer, "\x80\x03\0\xff\0\0x\xff\xff\0", 10);
	hear_bytes(&peer, "\0x\xff\xff\0", 5);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_INT(count(LWS_CALLBACK_RECEIVE), 2);
	hang_up(&peer);
	finish();
}

int main(void)
{
	RUN(text_goes_both_ways);
	RUN(all_sizes_of_frames_arrive);
	RUN(pings_are_answered_where_there_are_any);
	RUN(both_ends_are_told_of_the_end);
	RUN(the_environment_says_what_the_latest_is);
	RUN(frames_of_05_and_06_have_these_bytes);
	RUN(version_0_has_its_own_handshake_and_frames);
	return 0;
}
