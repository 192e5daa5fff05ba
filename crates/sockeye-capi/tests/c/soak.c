/*
 * soak [CONNECTIONS [RATE [SECONDS]]]
 *
 * A long run: a forked server, and a process that holds CONNECTIONS (1000) to it, while this one
 * broadcasts RATE (1000) messages a second for SECONDS (30). Every connection has to get every
 * message, in order; the server's memory has to stay where it is.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Each message is its number and letters: as long as a quote or a coordinate. */
#define MESSAGE_LEN 40
#define FRAME_LEN (2 + MESSAGE_LEN)
/* The service may use this much more in the end than when all had come. */
#define GROWTH_KIB (16 * 1024)
#define PATIENCE 600.0

static int connections = 1000;
static int rate = 1000;
static int duration = 30;

/* What the processes tell each other. */
static struct shared {
	volatile int service; /* the process that serves */
	volatile int refused; /* broadcasts that could not be written to a connection */
} *shared;

/* ------------------------------------------------------------------- server */

static int news(struct libwebsocket_context *context, struct libwebsocket *wsi,
		enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)context;
	(void)user;
	if (reason == LWS_CALLBACK_ESTABLISHED)
		shared->service = (int)getpid();
	else if (reason == LWS_CALLBACK_BROADCAST &&
		 libwebsocket_write(wsi, (unsigned char *)in, len, LWS_WRITE_TEXT) != 0)
		shared->refused++;
	return 0;
}

static struct libwebsocket_protocols soaked[] = {
	{ "news", news, 0, NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

/* What a process has in memory, in KiB. */
static long memory(int process)
{
	char path[64];
	char line[256];
	long kib = -1;
	FILE *file;

	sprintf(path, "/proc/%d/status", process);
	file = fopen(path, "r");
	CHECK(file != NULL);
	while (fgets(line, sizeof line, file) != NULL)
		sscanf(line, "VmRSS: %ld", &kib);
	fclose(file);
	CHECK(kib > 0);
	return kib;
}

/* ------------------------------------------------------------------ clients */

struct connection {
	int fd;
	int next; /* the message that is due */
	size_t have; /* bytes of it that are there */
	unsigned char bytes[FRAME_LEN];
};

static int connect_to(int port)
{
	struct peer peer = upgrade(NULL, port, "news");

	return peer.fd;
}

static void message(char *text, int number)
{
	sprintf(text, "%010d", number);
	memset(text + 10, 'a' + number % 26, MESSAGE_LEN - 10);
	text[MESSAGE_LEN] = 0;
}

/* Takes what came. Returns how many messages were whole. */
static int take(struct connection *connection, const unsigned char *bytes, size_t len)
{
	char expected[MESSAGE_LEN + 1];
	int whole = 0;
	size_t part;

	while (len > 0) {
		part = FRAME_LEN - connection->have < len ? FRAME_LEN - connection->have : len;
		memcpy(connection->bytes + connection->have, bytes, part);
		connection->have += part;
		bytes += part;
		len -= part;
		if (connection->have < FRAME_LEN)
			break;
		CHECK_INT(connection->bytes[0], 0x81);
		CHECK_INT(connection->bytes[1], MESSAGE_LEN);
		message(expected, connection->next);
		CHECK_BYTES(connection->bytes + 2, MESSAGE_LEN, expected, MESSAGE_LEN);
		connection->next++;
		connection->have = 0;
		whole++;
	}
	return whole;
}

/* Opens all connections, says so, and reads all messages on each. */
static void read_all(int port, int total, int ready_fd)
{
	static unsigned char buffer[256 * 1024];
	struct connection *all = (struct connection *)calloc((size_t)connections, sizeof *all);
	struct epoll_event ready[256];
	struct epoll_event event;
	long long missing = (long long)connections * total;
	double end;
	int set = epoll_create1(EPOLL_CLOEXEC);
	int i, count;
	ssize_t len;

	CHECK(all != NULL && set >= 0);
	for (i = 0; i < connections; i++) {
		all[i].fd = connect_to(port);
		memset(&event, 0, sizeof event);
		event.events = EPOLLIN;
		event.data.u32 = (uint32_t)i;
		CHECK_INT(epoll_ctl(set, EPOLL_CTL_ADD, all[i].fd, &event), 0);
	}
	CHECK_INT(write(ready_fd, "x", 1), 1);
	end = seconds() + duration + PATIENCE;
	while (missing > 0) {
		count = epoll_wait(set, ready, 256, 1000);
		CHECK(count >= 0 || errno == EINTR);
		CHECK(seconds() < end);
		for (i = 0; i < count; i++) {
			struct connection *connection = &all[ready[i].data.u32];

			len = recv(connection->fd, buffer, sizeof buffer, 0);
			if (len < 0 && errno == EAGAIN)
				continue;
			if (len <= 0) {
				fprintf(stderr, "connection %u ended before message %d\n", ready[i].data.u32,
					connection->next);
				FAIL("a connection ended too early");
			}
			missing -= take(connection, buffer, (size_t)len);
		}
	}
	for (i = 0; i < connections; i++) {
		CHECK_INT(all[i].next, total);
		close(all[i].fd);
	}
	close(set);
	free(all);
}

/* ---------------------------------------------------------------------- run */

static void sleep_until(double when)
{
	struct timespec time;

	time.tv_sec = (time_t)when;
	time.tv_nsec = (long)((when - (double)time.tv_sec) * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static void every_connection_gets_every_message_in_order(void)
{
	unsigned char buffer[LWS_SEND_BUFFER_PRE_PADDING + MESSAGE_LEN + 1];
	unsigned char *text = buffer + LWS_SEND_BUFFER_PRE_PADDING;
	struct libwebsocket_context *server;
	int total = rate * duration;
	long before, most = 0;
	double start, sent, took;
	int i, status, ready[2], where = free_port();
	pid_t readers;
	char byte;

	server = libwebsocket_create_context(where, NULL, soaked, NULL, NULL, -1, -1, 0);
	CHECK(server != NULL);
	CHECK_INT(libwebsockets_fork_service_loop(server), 0);
	fflush(stdout);
	CHECK_INT(pipe(ready), 0);
	readers = fork();
	CHECK(readers >= 0);
	if (readers == 0) {
		read_all(where, total, ready[1]);
		_exit(0);
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	CHECK(shared->service != 0 && shared->service != (int)getpid());

	before = memory(shared->service);
	start = seconds();
	for (i = 0; i < total; i++) {
		double due = start + (double)i / rate;

		/* Who is late does not wait: the rate is an average. */
		if (seconds() < due)
			sleep_until(due);
		message((char *)text, i);
		CHECK_INT(libwebsockets_broadcast(&soaked[0], text, MESSAGE_LEN), MESSAGE_LEN);
		if (i % rate == 0) {
			long now = memory(shared->service);

			/* What a burst needs is there for good once it was needed: that is not growth. */
			if (i < total / 3)
				before = now > before ? now : before;
			most = now > most ? now : most;
		}
	}
	sent = seconds() - start;
	CHECK_INT(waitpid(readers, &status, 0), readers);
	CHECK_INT(status, 0);
	took = seconds() - start;
	CHECK_INT(shared->refused, 0);
	printf("%d connections, %d messages: sent in %.1f s (%.0f/s), all there after %.1f s "
	       "(%.0f deliveries/s), %ld to %ld KiB\n",
	       connections, total, sent, total / sent, took, (double)connections * total / took, before, most);
	CHECK(most <= before + GROWTH_KIB);
	libwebsocket_context_destroy(server);
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc > 1)
		connections = atoi(argv[1]);
	if (argc > 2)
		rate = atoi(argv[2]);
	if (argc > 3)
		duration = atoi(argv[3]);
	CHECK(connections > 0 && rate > 0 && duration > 0);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	shared = (struct shared *)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	RUN(every_connection_gets_every_message_in_order);
	return 0;
}
