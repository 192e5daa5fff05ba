/* libwebsockets_fork_service_loop(), and libwebsockets_broadcast() from processes that do not serve. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What may be broadcast from another process, as documented. */
#define LIMIT (16u * 1024 * 1024)

/*
 * In the process that serves: broadcasts are passed on, "who" is answered with its number, "times"
 * with how many broadcasts there were.
 */
static int broadcasts;

static int serve_peers(const struct event *event)
{
	char answer[64];

	if (event->reason == LWS_CALLBACK_BROADCAST) {
		broadcasts++;
		libwebsocket_write(event->wsi, (unsigned char *)event->in, event->len, LWS_WRITE_BINARY);
	} else if (event->reason == LWS_CALLBACK_RECEIVE) {
		sprintf(answer, "%d", strcmp((const char *)event->data, "who") == 0 ? (int)getpid() : broadcasts);
		write_exact(event->wsi, answer, strlen(answer), LWS_WRITE_TEXT);
	} else {
		return 0;
	}
	/* There are more than can be recorded. */
	forget();
	on_event = serve_peers;
	return 0;
}

static int pass_on(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_BROADCAST)
		libwebsocket_write(event->wsi, (unsigned char *)event->in, event->len, LWS_WRITE_BINARY);
	return 0;
}

/* Large messages are more than the harness records. */
static int serve_large(struct libwebsocket_context *context, struct libwebsocket *wsi,
		       enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	unsigned char *bytes = (unsigned char *)in;

	(void)context;
	(void)user;
	if (reason == LWS_CALLBACK_BROADCAST) {
		/* The padding is there to be written to. */
		memset(bytes - LWS_SEND_BUFFER_PRE_PADDING, 0xee, LWS_SEND_BUFFER_PRE_PADDING);
		bytes[len] = 0xee;
		return libwebsocket_write(wsi, bytes, len, LWS_WRITE_BINARY);
	}
	return 0;
}

static struct libwebsocket_protocols large[] = {
	{ "one", serve_large, 0, NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

static void start_forked(void)
{
	start();
	on_event = serve_peers;
	CHECK_INT(libwebsockets_fork_service_loop(context), 0);
}

static int broadcast(int protocol, const char *text)
{
	char buffer[LWS_SEND_BUFFER_PRE_PADDING + 64 + LWS_SEND_BUFFER_POST_PADDING];

	strcpy(buffer + LWS_SEND_BUFFER_PRE_PADDING, text);
	return libwebsockets_broadcast(&protocols[protocol],
				       (unsigned char *)buffer + LWS_SEND_BUFFER_PRE_PADDING, strlen(text));
}

static void hear_broadcast(struct peer *peer, const char *text)
{
	hear_frame(peer, 0x82, text, strlen(text));
}

/* Asks the process that serves for a number. */
static int ask(struct peer *peer, const char *question)
{
	unsigned char head[2];
	char answer[126];

	say_frame(peer, 0x81, question, strlen(question));
	hear(peer, head, 2);
	CHECK_INT(head[0], 0x81);
	CHECK(head[1] <= 125);
	hear(peer, answer, head[1]);
	answer[head[1]] = 0;
	return atoi(answer);
}

/* Waits until the other end of a pipe or a connection is closed, by all who have it. */
static void await_end(int fd)
{
	struct pollfd end;
	char byte;

	end.fd = fd;
	end.events = POLLIN;
	do {
		end.revents = 0;
		CHECK_INT(poll(&end, 1, 60000), 1);
	} while (read(fd, &byte, 1) > 0);
}

/* ------------------------------------------------------------------- forking */

static void the_child_serves_and_the_caller_goes_on(void)
{
	struct peer before, after;
	int server, seen, i;

	start();
	on_event = serve_peers;
	before = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	for (i = 0; i < PROTOCOLS; i++)
		CHECK_INT(protocols[i].broadcast_socket_user_fd, 0);
	forget();
	on_event = serve_peers;
	CHECK_INT(libwebsockets_fork_service_loop(context), 0);
	for (i = 0; i < PROTOCOLS; i++) {
		CHECK(protocols[i].broadcast_socket_user_fd > 0);
		CHECK(fcntl(protocols[i].broadcast_socket_user_fd, F_GETFD) == FD_CLOEXEC);
	}
	/* There is no child of this process, now or later. */
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
	after = upgrade(context, port, "one");
	server = ask(&before, "who");
	CHECK(server != (int)getpid() && server > 1);
	CHECK_INT(ask(&after, "who"), server);
	/* This process's listener is closed: it has nothing that others could connect to. */
	seen = count(LWS_CALLBACK_RECEIVE) + count(LWS_CALLBACK_ESTABLISHED) + count(LWS_CALLBACK_DEL_POLL_FD);
	CHECK_INT(seen, 0);
	CHECK_INT(broadcast(ONE, "hello"), 5);
	hear_broadcast(&before, "hello");
	hear_broadcast(&after, "hello");
	finish();
	/* With this process's context the last one goes who could broadcast. */
	await_end(before.fd);
	hang_up(&before);
	hang_up(&after);
}

static int fork_within(const struct event *event)
{
	CHECK_INT(libwebsockets_fork_service_loop(event->context), -1);
	return 0;
}

static void forking_in_vain_is_an_error(void)
{
	struct peer peer;
	int i;

	CHECK(libwebsockets_fork_service_loop(NULL) < 0);
	start();
	on_event = fork_within;
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	forget();
	on_event = serve_peers;
	CHECK_INT(libwebsockets_fork_service_loop(context), 0);
	/* Another process serves: it cannot be given away once more. */
	CHECK(libwebsockets_fork_service_loop(context) < 0);
	CHECK_INT(ask(&peer, "times"), 0);
	for (i = 0; i < PROTOCOLS; i++)
		CHECK(protocols[i].broadcast_socket_user_fd > 0);
	finish();
	CHECK(libwebsockets_fork_service_loop(context) < 0);
	await_end(peer.fd);
	hang_up(&peer);
}

static void what_only_the_server_can_do_is_an_error_elsewhere(void)
{
	unsigned char byte[1] = { 'x' };
	struct libwebsocket *wsi;
	struct peer peer;
	int open;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	wsi = wsi_of(0);
	forget();
	on_event = serve_peers;
	open = descriptors();
	CHECK_INT(libwebsockets_fork_service_loop(context), 0);
	CHECK(descriptors() < open);
	CHECK_INT(libwebsocket_service(context, 0), 1);
	CHECK_INT(libwebsocket_service_fd(context, NULL), 1);
	CHECK_INT(libwebsocket_write(wsi, byte, 1, LWS_WRITE_TEXT), -1);
	CHECK_INT(libwebsocket_get_socket_fd(wsi), -1);
	CHECK(libwebsockets_get_protocol(wsi) == NULL);
	libwebsocket_close_and_free_session(context, wsi, LWS_CLOSE_STATUS_NORMAL);
	libwebsocket_callback_on_writable(context, wsi);
	libwebsocket_callback_on_writable_all_protocol(&protocols[ONE]);
	CHECK(libwebsocket_client_connect(context, "127.0.0.1", port, 0, "/", "h", NULL, "one", -1) == NULL);
	CHECK(libwebsocket_canonical_hostname(context) != NULL);
	/* The connection has noticed nothing of all that, and neither has this process's program. */
	CHECK(ask(&peer, "who") != (int)getpid());
	CHECK_TEXT(trace(), "");
	finish();
	await_end(peer.fd);
	hang_up(&peer);
}

/* --------------------------------------------------------------- broadcasts */

static void each_call_is_one_callback_with_the_same_bytes(void)
{
	struct peer one, two;
	int i;

	start_forked();
	one = upgrade(context, port, "one");
	two = upgrade(context, port, "two");
	CHECK_INT(ask(&one, "times"), 0);
	CHECK_INT(ask(&two, "times"), 0);
	for (i = 0; i < 5; i++)
		CHECK_INT(broadcast(ONE, "hello\n"), 6);
	CHECK_INT(broadcast(TWO, "to others"), 9);
	CHECK_INT(broadcast(ONE, ""), 0);
	CHECK_INT(broadcast(ONE, "last"), 4);
	for (i = 0; i < 5; i++)
		hear_broadcast(&one, "hello\n");
	hear_broadcast(&one, "last");
	hear_broadcast(&two, "to others");
	CHECK_INT(ask(&one, "times"), 5 + 1 + 1 + 1);
	finish();
	await_end(one.fd);
	hang_up(&one);
	hang_up(&two);
}

static void hear_large(struct peer *peer, const unsigned char *bytes, size_t len)
{
	unsigned char head[10];
	size_t head_len = len < 126 ? 2 : len < 65536 ? 4 : 10;
	size_t told = 0;
	size_t i;

	hear(peer, head, head_len);
	CHECK_INT(head[0], 0x82);
	CHECK_INT(head[1], len < 126 ? len : len < 65536 ? 126 : 127);
	for (i = 2; i < head_len; i++)
		told = told << 8 | head[i];
	CHECK_INT(head_len == 2 ? head[1] : told, len);
	hear_bytes(peer, bytes, len);
}

static void broadcasts_of_all_lengths_arrive_whole_up_to_the_limit(void)
{
	static const unsigned int lengths[] = { 1,     2048,  2049,       4096,  4097,  32763, 32764,
						32765, 65536, 70000, 1024 * 1024, LIMIT };
	unsigned char *bytes = (unsigned char *)malloc(LIMIT + 1);
	struct libwebsocket_context *server;
	int where = free_port();
	struct peer peer;
	unsigned int i;

	for (i = 0; i <= LIMIT; i++)
		bytes[i] = (unsigned char)(i % 251);
	server = libwebsocket_create_context(where, NULL, large, NULL, NULL, -1, -1, 0);
	CHECK(server != NULL);
	CHECK_INT(libwebsockets_fork_service_loop(server), 0);
	peer = upgrade(server, where, "one");
	for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		CHECK_INT(libwebsockets_broadcast(&large[0], bytes, lengths[i]), lengths[i]);
		hear_large(&peer, bytes, lengths[i]);
	}
	CHECK_INT(libwebsockets_broadcast(&large[0], bytes, LIMIT + 1), -1);
	CHECK_INT(libwebsockets_broadcast(&large[0], bytes, 7), 7);
	hear_large(&peer, bytes, 7);
	libwebsocket_context_destroy(server);
	await_end(peer.fd);
	hang_up(&peer);
	free(bytes);
}

/* A process that broadcasts its letter and a number, so many times. */
static pid_t start_broadcaster(char letter, int times)
{
	char text[32];
	pid_t child;
	int i;

	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child != 0)
		return child;
	for (i = 0; i < times; i++) {
		sprintf(text, "%c%06d", letter, i);
		if (broadcast(ONE, text) != 7)
			_exit(1);
	}
	/* Or it would be a leak, for those who look for one in every process. */
	libwebsocket_context_destroy(context);
	_exit(0);
}

static void hear_from_all(struct peer *peer, int letters, int times)
{
	int next[8] = { 0 };
	char message[10];
	int i, letter;

	for (i = 0; i < letters * times; i++) {
		hear(peer, message, 9);
		message[9] = 0;
		CHECK_INT((unsigned char)message[0], 0x82);
		CHECK_INT(message[1], 7);
		letter = message[2] - 'a';
		CHECK(letter >= 0 && letter < letters);
		CHECK_INT(atoi(message + 3), next[letter]);
		next[letter]++;
	}
}

static void await_child(pid_t child)
{
	int status;

	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
}

/* More than fits into the channel: who broadcasts has to wait. */
#define MANY 5000

static void every_process_reaches_the_connections_in_order(void)
{
	struct peer peers[3];
	pid_t children[3];
	int i;

	start();
	on_event = serve_peers;
	/* One from before there was a server, which was not to be waited for then. */
	children[0] = start_broadcaster('a', 0);
	CHECK_INT(libwebsockets_fork_service_loop(context), 0);
	for (i = 0; i < 3; i++) {
		peers[i] = upgrade(context, port, "one");
		CHECK(ask(&peers[i], "who") != (int)getpid());
	}
	await_child(children[0]);
	for (i = 0; i < 3; i++)
		children[i] = start_broadcaster((char)('a' + i), MANY);
	for (i = 0; i < 3; i++)
		hear_from_all(&peers[i], 3, MANY);
	for (i = 0; i < 3; i++)
		await_child(children[i]);
	CHECK_INT(broadcast(ONE, "last"), 4);
	for (i = 0; i < 3; i++)
		hear_broadcast(&peers[i], "last");
	finish();
	for (i = 0; i < 3; i++) {
		await_end(peers[i].fd);
		hang_up(&peers[i]);
	}
}

/* A program that forks by itself, and has the first process serve. */
static void a_process_that_was_forked_off_broadcasts_by_way_of_the_server(void)
{
	struct libwebsocket *wsi;
	unsigned char byte[1] = { 'x' };
	struct peer peer;
	pid_t child;

	start();
	peer = upgrade(context, port, "one");
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	wsi = wsi_of(0);
	on_event = pass_on;
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		/* It has a copy of the socket, and must not write to it. */
		CHECK_INT(libwebsocket_write(wsi, byte, 1, LWS_WRITE_TEXT), -1);
		CHECK_INT(broadcast(ONE, "from a child"), 12);
		/* Its own part of the context goes, and nobody else notices. */
		libwebsocket_context_destroy(context);
		CHECK_INT(broadcast(ONE, "too late"), -1);
		_exit(0);
	}
	await(context, LWS_CALLBACK_BROADCAST, 1);
	CHECK_INT(last(LWS_CALLBACK_BROADCAST)->protocol, ONE);
	hear_broadcast(&peer, "from a child");
	await_child(child);
	CHECK_INT(broadcast(ONE, "from here"), 0);
	hear_broadcast(&peer, "from here");
	say_frame(&peer, 0x81, "still here", 10);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	hang_up(&peer);
	finish();
}

/* ---------------------------------------------------------------------- ends */

static int exits[2];

static void note_exit(void)
{
	CHECK_INT(write(exits[1], "x", 1), 1);
}

static void the_server_ends_with_the_program_and_runs_no_handler(void)
{
	struct peer peer;
	int ready[2], go[2];
	char bytes[8];
	pid_t program;

	port = free_port();
	CHECK_INT(pipe(exits), 0);
	CHECK_INT(pipe(go), 0);
	CHECK_INT(pipe(ready), 0);
	fflush(stdout);
	program = fork();
	CHECK(program >= 0);
	if (program == 0) {
		atexit(note_exit);
		context = serve(port, 0);
		forget();
		on_event = serve_peers;
		CHECK_INT(libwebsockets_fork_service_loop(context), 0);
		CHECK_INT(write(ready[1], "x", 1), 1);
		/* Until the peer is there. */
		CHECK_INT(read(go[0], bytes, 1), 1);
		exit(0);
	}
	close(exits[1]);
	CHECK_INT(read(ready[0], bytes, 1), 1);
	peer = upgrade(NULL, port, "one");
	CHECK(ask(&peer, "who") != (int)program);
	CHECK_INT(write(go[1], "x", 1), 1);
	await_child(program);
	/* A goodbye, then the end. */
	hear_frame(&peer, 0x88, "\x03\xe9", 2);
	await_end(peer.fd);
	hang_up(&peer);
	CHECK_INT(read(exits[0], bytes, sizeof bytes), 1);
	await_end(exits[0]);
	close(exits[0]);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
}

static void the_server_ends_with_a_program_that_is_killed(void)
{
	struct peer peer;
	int ready[2];
	char byte;
	pid_t program;

	port = free_port();
	CHECK_INT(pipe(ready), 0);
	fflush(stdout);
	program = fork();
	CHECK(program >= 0);
	if (program == 0) {
		context = serve(port, 0);
		forget();
		on_event = serve_peers;
		CHECK_INT(libwebsockets_fork_service_loop(context), 0);
		CHECK_INT(write(ready[1], "x", 1), 1);
		for (;;)
			pause();
	}
	CHECK_INT(read(ready[0], &byte, 1), 1);
	peer = upgrade(NULL, port, "one");
	CHECK(ask(&peer, "who") != (int)program);
	CHECK_INT(kill(program, SIGKILL), 0);
	CHECK_INT(waitpid(program, NULL, 0), program);
	hear_frame(&peer, 0x88, "\x03\xe9", 2);
	await_end(peer.fd);
	hang_up(&peer);
	/* All who had this end are gone, the server too. */
	close(ready[1]);
	await_end(ready[0]);
	close(ready[0]);
}

static void the_end_of_the_server_is_an_error_and_no_signal(void)
{
	struct peer peer;
	int server;

	signal(SIGPIPE, SIG_DFL);
	start_forked();
	peer = upgrade(context, port, "one");
	server = ask(&peer, "who");
	CHECK_INT(kill(server, SIGKILL), 0);
	await_end(peer.fd);
	/* The connection is closed before the rest is: some may still find room in the channel. */
	while (broadcast(ONE, "hello") != -1)
		;
	CHECK_INT(broadcast(ONE, "hello"), -1);
	hang_up(&peer);
	finish();
}

int main(void)
{
	RUN(the_child_serves_and_the_caller_goes_on);
	RUN(forking_in_vain_is_an_error);
	RUN(what_only_the_server_can_do_is_an_error_elsewhere);
	RUN(each_call_is_one_callback_with_the_same_bytes);
	RUN(broadcasts_of_all_lengths_arrive_whole_up_to_the_limit);
	RUN(every_process_reaches_the_connections_in_order);
	RUN(a_process_that_was_forked_off_broadcasts_by_way_of_the_server);
	RUN(the_server_ends_with_the_program_and_runs_no_handler);
	RUN(the_server_ends_with_a_program_that_is_killed);
	RUN(the_end_of_the_server_is_an_error_and_no_signal);
	return 0;
}
