/* Requests that do not ask for WebSocket: the callback, files, raw answers, and what is refused. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "sockeye-test-XXXXXX";
static char path[64];
static const char *file_to_serve;
static const char *type_to_serve;
static int result;

static int serve_the_file(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_HTTP)
		result = libwebsockets_serve_http_file(event->wsi, file_to_serve, type_to_serve);
	return 0;
}

/* Sends `request`, and returns everything that comes until the server closes. */
static const char *ask(const char *request)
{
	static char reply[200000];
	struct peer peer = dial(context, port);
	size_t len;

	say_text(&peer, request);
	len = hear_end(&peer, reply, sizeof reply - 1);
	CHECK(len < sizeof reply);
	reply[len] = 0;
	hang_up(&peer);
	return reply;
}

static int status_of(const char *reply)
{
	CHECK(strncmp(reply, "HTTP/1.", 7) == 0);
	return atoi(reply + 9);
}

static void write_file(size_t len)
{
	FILE *file = fopen(path, "w");
	size_t i;

	CHECK(file != NULL);
	for (i = 0; i < len; i++)
		putc('a' + (int)(i % 26), file);
	CHECK_INT(fclose(file), 0);
}

static void the_callback_gets_the_uri(void)
{
	const struct event *event;

	start();
	file_to_serve = path;
	type_to_serve = "text/plain";
	on_event = serve_the_file;
	ask("GET /a/b?c=d&e HTTP/1.1\r\nHost: x\r\n\r\n");
	event = last(LWS_CALLBACK_HTTP);
	CHECK_INT(event->protocol, HTTP);
	CHECK_TEXT((const char *)event->data, "/a/b?c=d&e");
	CHECK_INT(event->len, 0);
	CHECK(event->user == NULL);
	CHECK(event->wsi == last(LWS_CALLBACK_ADD_POLL_FD)->wsi);
	await(context, LWS_CALLBACK_DEL_POLL_FD, 1);
	/* It was never established, so it is not closed. */
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 0:HTTP 0:DEL");
	finish();
}

static void a_file_is_sent_with_this_head(void)
{
	static const size_t sizes[] = { 0, 1, 511, 512, 513, 150000 };
	char expected[256];
	const char *reply;
	size_t i, k;

	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		write_file(sizes[i]);
		start();
		file_to_serve = path;
		type_to_serve = "text/x-test";
		on_event = serve_the_file;
		result = 7;
		reply = ask("GET / HTTP/1.0\r\n\r\n");
		CHECK_INT(result, 0);
		sprintf(expected, "HTTP/1.0 200 OK\r\nServer: libwebsockets\r\nContent-Type: text/x-test\r\n"
				  "Content-Length: %lu\r\n\r\n", (unsigned long)sizes[i]);
		CHECK_INT(strlen(reply), strlen(expected) + sizes[i]);
		CHECK_BYTES(reply, strlen(expected), expected, strlen(expected));
		for (k = 0; k < sizes[i]; k++)
			if (reply[strlen(expected) + k] != (char)('a' + k % 26))
				FAIL("the bytes of the file");
		finish();
	}
}

static void what_is_no_file_is_404(void)
{
	static const char *const missing[] = { "no/such/file", "", NULL };
	const char *reply;
	size_t i;

	for (i = 0; i < 4; i++) {
		start();
		file_to_serve = i < 3 ? missing[i] : folder;
		type_to_serve = "text/plain";
		on_event = serve_the_file;
		result = 7;
		reply = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
		CHECK_INT(result, -1);
		if (file_to_serve != NULL) {
			CHECK_INT(status_of(reply), 404);
			CHECK_TEXT(header(reply, "Content-Length"), "0");
		}
		finish();
	}
}

static void a_type_with_line_breaks_is_refused(void)
{
	const char *reply;

	write_file(10);
	start();
	file_to_serve = path;
	type_to_serve = "text/plain\r\nSet-Cookie: a=b";
	on_event = serve_the_file;
	result = 7;
	reply = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	CHECK_INT(result, -1);
	CHECK(strstr(reply, "Set-Cookie") == NULL);
	finish();
}

static int answer_raw(const struct event *event)
{
	static const char text[] = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";

	if (event->reason == LWS_CALLBACK_HTTP) {
		/* In pieces, and nothing else than raw bytes. */
		CHECK_INT(write_exact(event->wsi, text, 10, LWS_WRITE_HTTP), 0);
		CHECK_INT(write_exact(event->wsi, text + 10, sizeof text - 11, LWS_WRITE_HTTP), 0);
		CHECK_INT(write_exact(event->wsi, "x", 1, LWS_WRITE_TEXT), -1);
		CHECK_INT(write_exact(event->wsi, "", 0, LWS_WRITE_CLOSE), -1);
	}
	return 0;
}

static void a_program_may_answer_with_bytes(void)
{
	start();
	on_event = answer_raw;
	CHECK_TEXT(ask("GET /raw HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	finish();
}

static void a_request_without_an_answer_is_closed(void)
{
	start();
	ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	await(context, LWS_CALLBACK_DEL_POLL_FD, 1);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 0:HTTP 0:DEL");
	finish();
}

static void a_request_may_come_in_any_pieces(void)
{
	static const char request[] = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
	struct peer peer;
	size_t i;

	start();
	on_event = answer_raw;
	peer = dial(context, port);
	for (i = 0; i < sizeof request - 1; i++) {
		CHECK_INT(count(LWS_CALLBACK_HTTP), 0);
		say(&peer, request + i, 1);
		libwebsocket_service(context, 5);
	}
	await(context, LWS_CALLBACK_HTTP, 1);
	CHECK_TEXT((const char *)last(LWS_CALLBACK_HTTP)->data, "/slow");
	hear_end(&peer, NULL, 0);
	hang_up(&peer);
	finish();
}

static void bad_requests_are_refused_without_a_callback(void)
{
	static char long_value[70000];
	static const char *const requests[] = {
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"get / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\n\n",
		"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"nonsense\r\n\r\n",
		long_value
	};
	const char *reply;
	size_t i;

	strcpy(long_value, "GET / HTTP/1.1\r\nHost: x\r\nOrigin: ");
	memset(long_value + strlen(long_value), 'o', 65000);
	strcat(long_value, "\r\n\r\n");
	for (i = 0; i < sizeof requests / sizeof *requests; i++) {
		start();
		reply = ask(requests[i]);
		if (*reply != 0)
			CHECK(status_of(reply) >= 400);
		CHECK_INT(count(LWS_CALLBACK_HTTP), 0);
		CHECK_INT(count(LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION), 0);
		finish();
	}
}

static void a_broken_upgrade_is_no_connection(void)
{
	static const char *const requests[] = {
		/* Not the Upgrade that we know; no key; a version that nobody has. */
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: foo\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: one\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Protocol: one\r\nSec-WebSocket-Version: 13\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: one\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 99\r\n\r\n",
	};
	size_t i;

	for (i = 0; i < sizeof requests / sizeof *requests; i++) {
		start();
		CHECK(strstr(ask(requests[i]), " 101 ") == NULL);
		CHECK_INT(count(LWS_CALLBACK_ESTABLISHED), 0);
		CHECK_INT(count(LWS_CALLBACK_CLOSED), 0);
		finish();
	}
}

int main(void)
{
	CHECK(mkdtemp(folder) != NULL);
	sprintf(path, "%s/file", folder);
	write_file(10);
	RUN(the_callback_gets_the_uri);
	RUN(a_file_is_sent_with_this_head);
	RUN(what_is_no_file_is_404);
	RUN(a_type_with_line_breaks_is_refused);
	RUN(a_program_may_answer_with_bytes);
	RUN(a_request_without_an_answer_is_closed);
	RUN(a_request_may_come_in_any_pieces);
	RUN(bad_requests_are_refused_without_a_callback);
	RUN(a_broken_upgrade_is_no_connection);
	unlink(path);
	rmdir(folder);
	return 0;
}
