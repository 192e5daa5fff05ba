/* Making, servicing and ending a context: return values, descriptors, who is told what. */
#include "harness.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct libwebsocket_context *create(int port, const char *interface, const char *certificate, const char *key)
{
	return libwebsocket_create_context(port, interface, protocols, certificate, key, -1, -1, 0);
}

/* Each descriptor that was added was deleted, once, and not before. */
static void check_added_and_deleted(void)
{
	int n;

	CHECK(count(LWS_CALLBACK_ADD_POLL_FD) > 0);
	CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), count(LWS_CALLBACK_ADD_POLL_FD));
	for (n = 0; n < count(LWS_CALLBACK_DEL_POLL_FD); n++) {
		CHECK_INT(nth(LWS_CALLBACK_DEL_POLL_FD, n)->protocol, HTTP);
		CHECK(nth(LWS_CALLBACK_DEL_POLL_FD, n)->wsi != NULL);
	}
}

static void a_context_fills_in_the_protocols_and_adds_its_descriptors(void)
{
	int port = free_port();
	struct libwebsocket_context *context;
	int i;

	forget();
	for (i = 0; i < PROTOCOLS; i++)
		protocols[i].broadcast_socket_user_fd = 77;
	context = serve(port, 0);
	for (i = 0; i < PROTOCOLS; i++) {
		CHECK(protocols[i].owning_server == context);
		CHECK_INT(protocols[i].protocol_index, i);
		CHECK_INT(protocols[i].broadcast_socket_user_fd, 0);
	}
	CHECK(count(LWS_CALLBACK_ADD_POLL_FD) >= 1);
	for (i = 0; i < count(LWS_CALLBACK_ADD_POLL_FD); i++) {
		CHECK_INT(nth(LWS_CALLBACK_ADD_POLL_FD, i)->protocol, HTTP);
		CHECK(nth(LWS_CALLBACK_ADD_POLL_FD, i)->wsi != NULL);
		CHECK(nth(LWS_CALLBACK_ADD_POLL_FD, i)->len & POLLIN);
		CHECK((long)nth(LWS_CALLBACK_ADD_POLL_FD, i)->user > 2);
	}
	CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), 0);
	libwebsocket_context_destroy(context);
	check_added_and_deleted();
}

static void a_context_without_a_port_does_not_listen(void)
{
	struct libwebsocket_context *context = create(CONTEXT_PORT_NO_LISTEN, NULL, NULL, NULL);
	const struct event *event;
	int listening;
	socklen_t len;
	int i;

	CHECK(context != NULL);
	for (i = 0; i < count(LWS_CALLBACK_ADD_POLL_FD); i++) {
		event = nth(LWS_CALLBACK_ADD_POLL_FD, i);
		len = sizeof listening;
		if (getsockopt((int)(long)event->user, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0)
			CHECK_INT(listening, 0);
	}
	libwebsocket_context_destroy(context);
}

static void a_context_listens_on_the_interface_it_is_given(void)
{
	int port = free_port();
	struct libwebsocket_context *context;
	struct sockaddr_in address;
	socklen_t len = sizeof address;

	forget();
	context = create(port, "lo", NULL, NULL);
	CHECK(context != NULL);
	CHECK_INT(getsockname((int)(long)nth(LWS_CALLBACK_ADD_POLL_FD, 0)->user, (struct sockaddr *)&address, &len), 0);
	CHECK_INT(ntohl(address.sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_INT(ntohs(address.sin_port), port);
	libwebsocket_context_destroy(context);

	forget();
	context = create(port, NULL, NULL, NULL);
	CHECK(context != NULL);
	len = sizeof address;
	CHECK_INT(getsockname((int)(long)nth(LWS_CALLBACK_ADD_POLL_FD, 0)->user, (struct sockaddr *)&address, &len), 0);
	CHECK_INT(ntohl(address.sin_addr.s_addr), INADDR_ANY);
	libwebsocket_context_destroy(context);
}

static void what_cannot_be_served_makes_no_context_and_leaves_nothing(void)
{
	int port = free_port();
	struct libwebsocket_context *context = serve(port, 0);
	int before = descriptors();

	/* Somebody listens there; there is no such interface; there are no such files. */
	CHECK(create(port, NULL, NULL, NULL) == NULL);
	CHECK(create(free_port(), "no-such-if0", NULL, NULL) == NULL);
	CHECK(create(free_port(), NULL, "/nonexistent/a.pem", "/nonexistent/a.key") == NULL);
	CHECK(create(70000, NULL, NULL, NULL) == NULL);
	CHECK(create(-5, NULL, NULL, NULL) == NULL);
	CHECK(libwebsocket_create_context(free_port(), NULL, NULL, NULL, NULL, -1, -1, 0) == NULL);
	/* Two ports were reserved above, and one for the last. */
	CHECK_INT(descriptors(), before + 3);
	libwebsocket_context_destroy(context);
}

static void every_failed_creation_deletes_what_it_added(void)
{
	int port = free_port();
	struct libwebsocket_context *context = serve(port, 0);

	forget();
	CHECK(create(port, NULL, NULL, NULL) == NULL);
	CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), count(LWS_CALLBACK_ADD_POLL_FD));
	libwebsocket_context_destroy(context);
}

static void one_file_of_two_means_no_tls(void)
{
	int port = free_port();
	struct libwebsocket_context *context = create(port, NULL, "/nonexistent/a.pem", NULL);
	struct peer peer;

	CHECK(context != NULL);
	peer = upgrade(context, port, "one");
	hang_up(&peer);
	libwebsocket_context_destroy(context);
}

static void http_proxy_has_to_be_usable(void)
{
	static const char *const bad[] = { "", "proxy", ":3128", "proxy:", "proxy:0", "proxy:70000", "http://", "http://proxy" };
	static const char *const good[] = { "proxy:3128", "http://proxy:3128", "http://me@proxy:3128/" };
	struct libwebsocket_context *context;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		setenv("http_proxy", bad[i], 1);
		if (create(CONTEXT_PORT_NO_LISTEN, NULL, NULL, NULL) != NULL)
			CHECK_TEXT("a context", bad[i]);
	}
	for (i = 0; i < sizeof good / sizeof *good; i++) {
		setenv("http_proxy", good[i], 1);
		context = create(CONTEXT_PORT_NO_LISTEN, NULL, NULL, NULL);
		if (context == NULL)
			CHECK_TEXT("no context", good[i]);
		libwebsocket_context_destroy(context);
	}
	unsetenv("http_proxy");
}

static void signal_handlers_of_the_program_stay(void)
{
	struct sigaction before, during;
	struct libwebsocket_context *context;
	int numbers[] = { SIGPIPE, SIGINT, SIGTERM, SIGCHLD, SIGHUP };
	size_t i;

	context = serve(free_port(), 0);
	for (i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		memset(&before, 0, sizeof before);
		sigaction(numbers[i], NULL, &during);
		CHECK(during.sa_handler == SIG_DFL);
	}
	libwebsocket_context_destroy(context);
}

static void privileges_are_dropped_or_it_fails(void)
{
	/* In a process of its own: there is no way back. */
	struct libwebsocket_context *context;
	int port = free_port();
	int status;
	pid_t child;
	gid_t groups[4] = { 1, 2, 3, 4 };

	if (getuid() != 0) {
		CHECK(libwebsocket_create_context(port, NULL, protocols, NULL, NULL, -1, 0, 0) == NULL);
		return;
	}
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK_INT(setgroups(4, groups), 0);
		context = libwebsocket_create_context(port, NULL, protocols, NULL, NULL, 65534, 65533, 0);
		CHECK(context != NULL);
		CHECK_INT(getuid(), 65533);
		CHECK_INT(geteuid(), 65533);
		CHECK_INT(getgid(), 65534);
		CHECK_INT(getegid(), 65534);
		CHECK(getgroups(4, groups) <= 1);
		libwebsocket_context_destroy(context);
		/* Nobody may become root. */
		CHECK(libwebsocket_create_context(port, NULL, protocols, NULL, NULL, -1, 0, 0) == NULL);
		CHECK(libwebsocket_create_context(port, NULL, protocols, NULL, NULL, 0, -1, 0) == NULL);
		exit(0);
	}
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
}

static void service_tells_why_it_returns(void)
{
	struct libwebsocket_context *context = serve(free_port(), 0);
	double start = seconds();

	CHECK_INT(libwebsocket_service(NULL, 0), 1);
	CHECK_INT(libwebsocket_service(context, 0), 0);
	CHECK_INT(libwebsocket_service(context, 100), 0);
	CHECK(seconds() - start >= 0.099);
	libwebsocket_context_destroy(context);
}

static void on_alarm(int number)
{
	(void)number;
}

static void a_signal_ends_service_at_once(void)
{
	struct libwebsocket_context *context = serve(free_port(), 0);
	struct sigaction action;
	struct itimerval timer;

	memset(&action, 0, sizeof action);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	/* Again and again: the first may come before the wait begins. */
	memset(&timer, 0, sizeof timer);
	timer.it_value.tv_usec = timer.it_interval.tv_usec = 50000;
	setitimer(ITIMER_REAL, &timer, NULL);
	CHECK_INT(libwebsocket_service(context, -1), 1);
	CHECK_INT(libwebsocket_service(context, 60000), 1);
	memset(&timer, 0, sizeof timer);
	setitimer(ITIMER_REAL, &timer, NULL);
	signal(SIGALRM, SIG_DFL);
	CHECK_INT(libwebsocket_service(context, 0), 0);
	libwebsocket_context_destroy(context);
}

static void the_host_name_is_told(void)
{
	struct libwebsocket_context *context = serve(free_port(), 0);
	const char *name = libwebsocket_canonical_hostname(context);

	CHECK(name != NULL && strlen(name) > 0 && strlen(name) < 1024);
	CHECK(libwebsocket_canonical_hostname(context) == name);
	libwebsocket_context_destroy(context);
}

static void destroy_closes_every_connection(void)
{
	enum { MANY = 40 };
	static const unsigned char going_away[] = { 0x03, 0xe9 };
	int before = descriptors();
	int port = free_port();
	struct libwebsocket_context *context;
	struct peer peers[MANY];
	struct peer idle;
	int i;

	forget();
	context = serve(port, 0);
	for (i = 0; i < MANY; i++)
		peers[i] = upgrade(context, port, i % 2 ? "one" : "two");
	idle = dial(context, port);
	say_text(&idle, "GET / HTTP/1.1\r\n");
	await(context, LWS_CALLBACK_ESTABLISHED, MANY);
	await(context, LWS_CALLBACK_FILTER_NETWORK_CONNECTION, MANY + 1);
	libwebsocket_context_destroy(context);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), MANY);
	check_added_and_deleted();
	for (i = 0; i < MANY; i++) {
		peers[i].context = NULL;
		hear_frame(&peers[i], 0x88, going_away, 2);
		CHECK_INT(hear_end(&peers[i], NULL, 0), 0);
		hang_up(&peers[i]);
	}
	idle.context = NULL;
	CHECK_INT(hear_end(&idle, NULL, 0), 0);
	hang_up(&idle);
	CHECK_INT(descriptors(), before + 1); /* the reserved port */
}

static struct libwebsocket_context *doomed;

static int destroy_on_receive(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_RECEIVE)
		libwebsocket_context_destroy(doomed);
	return 0;
}

static void destroy_inside_a_callback_happens_after_it(void)
{
	int port = free_port();
	struct peer peer;

	forget();
	doomed = serve(port, 0);
	peer = upgrade(doomed, port, "one");
	on_event = destroy_on_receive;
	say_frame(&peer, 0x81, "x", 1);
	/* Service until then, and not once more. */
	while (count(LWS_CALLBACK_RECEIVE) == 0)
		libwebsocket_service(doomed, 5);
	CHECK_INT(count(LWS_CALLBACK_CLOSED), 1);
	check_added_and_deleted();
	hang_up(&peer);
}

static void nothing_is_ignored(void)
{
	libwebsocket_context_destroy(NULL);
	CHECK_INT(libwebsocket_service_fd(NULL, NULL), 1);
	CHECK_INT(libwebsockets_fork_service_loop(NULL), -1);
	CHECK_TEXT(libwebsocket_canonical_hostname(NULL), "");
	libwebsockets_hangup_on_client(NULL, 0);
	libwebsocket_close_and_free_session(NULL, NULL, LWS_CLOSE_STATUS_NORMAL);
	CHECK(libwebsocket_client_connect(NULL, "127.0.0.1", 1, 0, "/", "h", NULL, NULL, -1) == NULL);
}

static void two_contexts_live_side_by_side(void)
{
	struct libwebsocket_protocols others[2];
	struct libwebsocket_context *first, *second;
	int one = free_port();
	int two = free_port();
	struct peer peer;

	forget();
	memset(others, 0, sizeof others);
	others[0] = protocols[ONE];
	first = serve(one, 0);
	second = libwebsocket_create_context(two, NULL, others, NULL, NULL, -1, -1, 0);
	CHECK(second != NULL && second != first);
	CHECK(others[0].owning_server == second && protocols[ONE].owning_server == first);
	peer = upgrade(second, two, "one");
	CHECK(last(LWS_CALLBACK_ESTABLISHED)->context == second);
	hang_up(&peer);
	libwebsocket_context_destroy(first);
	peer = upgrade(second, two, "one");
	hang_up(&peer);
	libwebsocket_context_destroy(second);
}

int main(void)
{
	RUN(a_context_fills_in_the_protocols_and_adds_its_descriptors);
	RUN(a_context_without_a_port_does_not_listen);
	RUN(a_context_listens_on_the_interface_it_is_given);
	RUN(what_cannot_be_served_makes_no_context_and_leaves_nothing);
	RUN(every_failed_creation_deletes_what_it_added);
	RUN(one_file_of_two_means_no_tls);
	RUN(http_proxy_has_to_be_usable);
	RUN(signal_handlers_of_the_program_stay);
	RUN(privileges_are_dropped_or_it_fails);
	RUN(service_tells_why_it_returns);
	RUN(a_signal_ends_service_at_once);
	RUN(the_host_name_is_told);
	RUN(destroy_closes_every_connection);
	RUN(destroy_inside_a_callback_happens_after_it);
	RUN(nothing_is_ignored);
	RUN(two_contexts_live_side_by_side);
	return 0;
}
