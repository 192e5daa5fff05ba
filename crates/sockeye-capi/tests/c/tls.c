/*
 * TLS: the three callbacks with OpenSSL's own pointers, certificates of clients, and what clients
 * make of certificates of servers. The argument is a folder with the certificates of the tests.
 */
#include "harness.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG 60.0

static const char *folder;

static const char *certificate(const char *name)
{
	static char paths[8][512];
	static int turn;
	char *path = paths[turn++ % 8];

	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	CHECK(access(path, R_OK) == 0);
	return path;
}

/* ------------------------------------------------------------ a client of TLS */

struct secure {
	struct peer peer;
	SSL_CTX *ssl_context;
	SSL *ssl;
};

/* Begins, without a byte being sent. `name` is the certificate that it shows, or NULL. */
static struct secure secure_dial(const char *name)
{
	struct secure secure;
	char file[64];

	secure.peer = dial(context, port);
	secure.ssl_context = SSL_CTX_new(TLS_client_method());
	CHECK(secure.ssl_context != NULL);
	if (name != NULL) {
		snprintf(file, sizeof file, "%s.pem", name);
		CHECK(SSL_CTX_use_certificate_chain_file(secure.ssl_context, certificate(file)) == 1);
		snprintf(file, sizeof file, "%s.key", name);
		CHECK(SSL_CTX_use_PrivateKey_file(secure.ssl_context, certificate(file), SSL_FILETYPE_PEM) == 1);
	}
	secure.ssl = SSL_new(secure.ssl_context);
	CHECK(secure.ssl != NULL && SSL_set_fd(secure.ssl, secure.peer.fd) == 1);
	SSL_set_connect_state(secure.ssl);
	return secure;
}

static void secure_hang_up(struct secure *secure)
{
	SSL_free(secure->ssl);
	SSL_CTX_free(secure->ssl_context);
	hang_up(&secure->peer);
}

/* Whether the stream is still there after servicing the context. */
static int may_go_on(struct secure *secure, int result, double until)
{
	int error = SSL_get_error(secure->ssl, result);

	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return 0;
	CHECK(seconds() < until);
	libwebsocket_service(context, 5);
	return 1;
}

static int secure_say(struct secure *secure, const void *bytes, size_t len)
{
	double until = seconds() + LONG;
	int result;

	while ((result = SSL_write(secure->ssl, bytes, (int)len)) <= 0)
		if (!may_go_on(secure, result, until))
			return 0;
	return 1;
}

/* Reads until `end` has come; 0 if the stream ends first. */
static int secure_hear(struct secure *secure, char *text, size_t size, const char *end)
{
	double until = seconds() + LONG;
	size_t len = 0;
	int result;

	do {
		CHECK(len + 1 < size);
		result = SSL_read(secure->ssl, text + len, 1);
		if (result > 0)
			text[++len] = 0;
		else if (!may_go_on(secure, result, until))
			return 0;
	} while (len < strlen(end) || strcmp(text + len - strlen(end), end) != 0);
	return 1;
}

/* Whether an upgrade gets through. */
static int secure_upgrade(struct secure *secure)
{
	char head[4096];
	const char *request = upgrade_request("one", "");

	return secure_say(secure, request, strlen(request)) && secure_hear(secure, head, sizeof head, "\r\n\r\n") &&
	       strncmp(head, "HTTP/1.1 101 ", 13) == 0;
}

static void start_tls(unsigned int options, int (*then)(const struct event *))
{
	forget();
	on_event = then;
	port = free_port();
	context = libwebsocket_create_context(port, NULL, protocols, certificate("server.pem"), certificate("server.key"),
					      -1, -1, options);
	CHECK(context != NULL);
}

/* ------------------------------------------------------------------- server */

static void a_connection_over_tls_is_like_any_other(void)
{
	struct secure secure;
	char reply[64];

	start_tls(0, NULL);
	CHECK_INT(count(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS), 1);
	CHECK_INT(count(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS), 0);
	forget();
	secure = secure_dial(NULL);
	CHECK(secure_upgrade(&secure));
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK(secure_say(&secure, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11));
	await(context, LWS_CALLBACK_RECEIVE, 1);
	CHECK_TEXT((const char *)last(LWS_CALLBACK_RECEIVE)->data, "Hello");
	CHECK_INT(write_exact(wsi_of(0), "Hello", 5, LWS_WRITE_TEXT), 0);
	CHECK(secure_hear(&secure, reply, sizeof reply, "Hello"));
	secure_hang_up(&secure);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 1:RECEIVE(5) 0:DEL 1:CLOSED");
	finish();
}

static void a_record_is_read_to_its_end(void)
{
	/* Many frames in one record: OpenSSL has them all, and the socket will not tell. */
	char many[16000];
	struct secure secure;
	size_t len = 0;
	int i;

	for (i = 0; i < 400; i++, len += 40) {
		memset(many + len, 0, 40);
		memcpy(many + len, "\x82\xa2", 2);
	}
	start_tls(0, NULL);
	secure = secure_dial(NULL);
	CHECK(secure_upgrade(&secure));
	CHECK(secure_say(&secure, many, len));
	await(context, LWS_CALLBACK_RECEIVE, 400);
	secure_hang_up(&secure);
	finish();
}

static void who_says_nothing_stops_nobody(void)
{
	struct secure silent, secure;
	struct peer plain;

	start_tls(0, NULL);
	silent = secure_dial(NULL);
	plain = dial(context, port);
	await(context, LWS_CALLBACK_FILTER_NETWORK_CONNECTION, 2);
	secure = secure_dial(NULL);
	CHECK(secure_upgrade(&secure));
	/* Who speaks no TLS is gone without harm. */
	say_text(&plain, upgrade_request("one", ""));
	hear_end(&plain, NULL, 0);
	CHECK_INT(count(LWS_CALLBACK_ESTABLISHED), 1);
	secure_hang_up(&silent);
	secure_hang_up(&secure);
	hang_up(&plain);
	finish();
}

static void unusable_files_make_no_context(void)
{
	forget();
	port = free_port();
	CHECK(libwebsocket_create_context(port, NULL, protocols, certificate("server.pem"), certificate("client.key"),
					  -1, -1, 0) == NULL);
	CHECK(libwebsocket_create_context(port, NULL, protocols, certificate("server.key"), certificate("server.key"),
					  -1, -1, 0) == NULL);
	CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), count(LWS_CALLBACK_ADD_POLL_FD));
}

static void a_client_only_context_has_its_trust_as_well(void)
{
	forget();
	context = libwebsocket_create_context(CONTEXT_PORT_NO_LISTEN, NULL, protocols, NULL, NULL, -1, -1, 0);
	CHECK(context != NULL);
	CHECK_INT(count(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS), 1);
	CHECK(last(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS)->user != NULL);
	CHECK_INT(last(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS)->protocol, HTTP);
	finish();
}

/* ------------------------------------------------- certificates of clients */

static int verdict;
static int rejected_by_openssl;

static int trust_clients(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
		CHECK(SSL_CTX_load_verify_locations((SSL_CTX *)event->user, certificate("clients.pem"), NULL) == 1);
	if (event->reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION) {
		CHECK_INT(event->protocol, HTTP);
		CHECK(event->context == NULL && event->wsi == NULL);
		CHECK(X509_STORE_CTX_get_current_cert((X509_STORE_CTX *)event->user) != NULL);
		CHECK(SSL_is_server((SSL *)event->in));
		if (event->len == 0)
			rejected_by_openssl = 1;
		return verdict;
	}
	return 0;
}

static int accepted(const char *name, int returned)
{
	struct secure secure;
	int result;

	verdict = returned;
	rejected_by_openssl = 0;
	start_tls(LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT, trust_clients);
	CHECK_INT(count(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS), 1);
	secure = secure_dial(name);
	result = secure_upgrade(&secure);
	CHECK_INT(count(LWS_CALLBACK_ESTABLISHED), result);
	CHECK(name == NULL || count(LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION) > 0);
	secure_hang_up(&secure);
	finish();
	return result;
}

static void certificates_of_clients_have_to_verify_and_to_please(void)
{
	CHECK(accepted("client", 0));
	CHECK(!rejected_by_openssl);
	CHECK(!accepted("client", 1));
	CHECK(!accepted(NULL, 0));
	/* Of an authority that nobody trusts, and over: the program cannot accept them. */
	CHECK(!accepted("client-stranger", 0));
	CHECK(rejected_by_openssl);
	CHECK(!accepted("client-expired", 0));
	CHECK(rejected_by_openssl);
}

/* ------------------------------------------------------------------- client */

/* A server in a thread of its own, for one connection: it agrees, greets, and waits for the end. */
struct server {
	pthread_t thread;
	int listener;
	int port;
	SSL_CTX *ssl_context;
};

static void greet(SSL *ssl)
{
	char head[4096];
	char reply[1024];
	int len = 0;
	int some;

	do {
		some = SSL_read(ssl, head + len, (int)sizeof head - 1 - len);
		if (some <= 0)
			return;
		len += some;
		head[len] = 0;
	} while (strstr(head, "\r\n\r\n") == NULL);
	agreement(head, "Sec-WebSocket-Protocol: one\r\n", reply, sizeof reply);
	strcat(reply, "\x81\x05Hello");
	if (SSL_write(ssl, reply, (int)strlen(reply)) > 0)
		while (SSL_read(ssl, head, sizeof head) > 0)
			continue;
}

static void *run_server(void *argument)
{
	struct server *server = (struct server *)argument;
	int fd = accept(server->listener, NULL, NULL);
	SSL *ssl = SSL_new(server->ssl_context);

	SSL_set_fd(ssl, fd);
	if (fd >= 0 && SSL_accept(ssl) == 1)
		greet(ssl);
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void serve_with(struct server *server, X509 *own, EVP_PKEY *key, const char *name)
{
	char file[64];

	server->listener = listen_raw(&server->port);
	CHECK_INT(fcntl(server->listener, F_SETFL, 0), 0);
	server->ssl_context = SSL_CTX_new(TLS_server_method());
	CHECK(server->ssl_context != NULL);
	if (name != NULL) {
		snprintf(file, sizeof file, "%s.pem", name);
		CHECK(SSL_CTX_use_certificate_chain_file(server->ssl_context, certificate(file)) == 1);
		snprintf(file, sizeof file, "%s.key", name);
		CHECK(SSL_CTX_use_PrivateKey_file(server->ssl_context, certificate(file), SSL_FILETYPE_PEM) == 1);
	} else {
		CHECK(SSL_CTX_use_certificate(server->ssl_context, own) == 1);
		CHECK(SSL_CTX_use_PrivateKey(server->ssl_context, key) == 1);
	}
	CHECK_INT(pthread_create(&server->thread, NULL, run_server, server), 0);
}

static void end_server(struct server *server)
{
	CHECK_INT(shutdown(server->listener, SHUT_RDWR), 0);
	CHECK_INT(pthread_join(server->thread, NULL), 0);
	SSL_CTX_free(server->ssl_context);
	close(server->listener);
}

/* A certificate for another name, signed by nobody but itself. */
static X509 *self_signed(EVP_PKEY *key)
{
	X509 *own = X509_new();
	X509_NAME *name = X509_get_subject_name(own);

	CHECK(X509_set_version(own, 2) == 1);
	ASN1_INTEGER_set(X509_get_serialNumber(own), 1);
	X509_gmtime_adj(X509_getm_notBefore(own), -3600);
	X509_gmtime_adj(X509_getm_notAfter(own), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"elsewhere", -1, -1, 0);
	CHECK(X509_set_issuer_name(own, name) == 1);
	CHECK(X509_set_pubkey(own, key) == 1);
	CHECK(X509_sign(own, key, EVP_sha256()) > 0);
	return own;
}

static int trust_root(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS)
		CHECK(SSL_CTX_load_verify_locations((SSL_CTX *)event->user, certificate("root.pem"), NULL) == 1);
	return 0;
}

/* Whether our client connects to a server with this certificate (NULL: a self-signed one). */
static int trusts(const char *name, const char *address, int ssl_connection)
{
	double until;
	struct server server;
	EVP_PKEY *key = NULL;
	X509 *own = NULL;
	struct libwebsocket *wsi;
	int refused_at_once;
	int connected;

	if (name == NULL) {
		/* Quick to make: the primes of RSA take a minute under valgrind. */
		key = EVP_EC_gen("P-256");
		CHECK(key != NULL);
		own = self_signed(key);
	}
	serve_with(&server, own, key, name);
	forget();
	on_event = trust_root;
	context = libwebsocket_create_context(CONTEXT_PORT_NO_LISTEN, NULL, protocols, NULL, NULL, -1, -1, 0);
	CHECK(context != NULL);
	forget();
	until = seconds() + LONG;
	wsi = libwebsocket_client_connect(context, address, server.port, ssl_connection, "/", "h", NULL, "one", -1);
	/* Whom TLS refuses is told at once. */
	refused_at_once = wsi == NULL;
	while (wsi != NULL && count(LWS_CALLBACK_CLIENT_ESTABLISHED) + count(LWS_CALLBACK_DEL_POLL_FD) == 0) {
		libwebsocket_service(context, 5);
		CHECK(seconds() < until);
	}
	connected = count(LWS_CALLBACK_CLIENT_ESTABLISHED);
	if (connected) {
		await(context, LWS_CALLBACK_CLIENT_RECEIVE, 1);
		CHECK_TEXT((const char *)last(LWS_CALLBACK_CLIENT_RECEIVE)->data, "Hello");
		libwebsocket_close_and_free_session(context, wsi, LWS_CLOSE_STATUS_NORMAL);
		CHECK_TEXT(trace(), "0:ADD 1:CLIENT_ESTABLISHED 1:CLIENT_RECEIVE(5) 0:DEL 1:CLOSED");
	} else {
		CHECK_INT(refused_at_once, ssl_connection != 0);
		CHECK_INT(count(LWS_CALLBACK_ADD_POLL_FD), 1);
		CHECK_INT(count(LWS_CALLBACK_DEL_POLL_FD), 1);
		CHECK_INT(count(LWS_CALLBACK_CLOSED), 0);
	}
	finish();
	end_server(&server);
	X509_free(own);
	EVP_PKEY_free(key);
	return connected;
}

static void a_certificate_has_to_be_valid_for_the_name(void)
{
	CHECK(trusts("server", "localhost", 1));
	CHECK(trusts("server", "127.0.0.1", 1));
	CHECK(!trusts("a", "localhost", 1));
	CHECK(!trusts("expired", "localhost", 1));
	CHECK(!trusts("impostor", "localhost", 1));
	CHECK(!trusts(NULL, "localhost", 1));
}

static void with_2_a_self_signed_one_will_do_and_nothing_else(void)
{
	CHECK(trusts(NULL, "127.0.0.1", 2));
	CHECK(trusts("server", "localhost", 2));
	CHECK(!trusts("impostor", "localhost", 2));
	CHECK(!trusts("expired", "localhost", 2));
}

static void without_tls_a_server_of_tls_is_no_server(void)
{
	CHECK(!trusts("server", "localhost", 0));
}

static void who_is_silent_is_not_waited_for_without_end(void)
{
	int silent_port;
	int listener = listen_raw(&silent_port);

	forget();
	context = libwebsocket_create_context(CONTEXT_PORT_NO_LISTEN, NULL, protocols, NULL, NULL, -1, -1, 0);
	CHECK(context != NULL);
	forget();
	CHECK(libwebsocket_client_connect(context, "localhost", silent_port, 2, "/", "h", NULL, "one", -1) == NULL);
	CHECK_TEXT(trace(), "0:ADD 0:DEL");
	finish();
	close(listener);
}

static struct libwebsocket *inner;

static int connect_when_established(const struct event *event)
{
	if (event->reason == LWS_CALLBACK_ESTABLISHED && inner == NULL) {
		inner = libwebsocket_client_connect(context, "localhost", port, 2, "/", "h", NULL, "one", -1);
		CHECK(inner != NULL);
		CHECK_INT(count(LWS_CALLBACK_CLIENT_ESTABLISHED), 0);
	}
	return trust_root(event);
}

static void within_a_callback_nobody_waits_for_tls(void)
{
	struct secure secure;

	start_tls(0, connect_when_established);
	secure = secure_dial(NULL);
	CHECK(secure_upgrade(&secure));
	await(context, LWS_CALLBACK_CLIENT_ESTABLISHED, 1);
	await(context, LWS_CALLBACK_ESTABLISHED, 2);
	CHECK_INT(write_exact(inner, "x", 1, LWS_WRITE_TEXT), 0);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	secure_hang_up(&secure);
	finish();
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	folder = argv[1];
	RUN(a_connection_over_tls_is_like_any_other);
	RUN(a_record_is_read_to_its_end);
	RUN(who_says_nothing_stops_nobody);
	RUN(unusable_files_make_no_context);
	RUN(a_client_only_context_has_its_trust_as_well);
	RUN(certificates_of_clients_have_to_verify_and_to_please);
	RUN(a_certificate_has_to_be_valid_for_the_name);
	RUN(with_2_a_self_signed_one_will_do_and_nothing_else);
	RUN(without_tls_a_server_of_tls_is_no_server);
	RUN(who_is_silent_is_not_waited_for_without_end);
	RUN(within_a_callback_nobody_waits_for_tls);
	return 0;
}
