/*
 * The functions that programs of 2011 were linked with, each with its type: a header that says
 * something else does not compile, a library that lacks one does not link.
 */
#include <libwebsockets.h>
#include <stdio.h>

#define FUNCTION(returns, name, arguments) static returns (*const check_##name) arguments = name

FUNCTION(struct libwebsocket_context *, libwebsocket_create_context,
	 (int, const char *, struct libwebsocket_protocols *, const char *, const char *, int, int, unsigned int));
FUNCTION(void, libwebsocket_context_destroy,
	 (struct libwebsocket_context *));
FUNCTION(int, libwebsockets_fork_service_loop,
	 (struct libwebsocket_context *));
FUNCTION(int, libwebsocket_service,
	 (struct libwebsocket_context *, int));
FUNCTION(int, libwebsocket_service_fd,
	 (struct libwebsocket_context *, struct pollfd *));
FUNCTION(int, libwebsocket_write,
	 (struct libwebsocket *, unsigned char *, size_t, enum libwebsocket_write_protocol));
FUNCTION(int, libwebsockets_serve_http_file,
	 (struct libwebsocket *, const char *, const char *));
FUNCTION(int, libwebsockets_broadcast,
	 (const struct libwebsocket_protocols *, unsigned char *, size_t));
FUNCTION(const struct libwebsocket_protocols *, libwebsockets_get_protocol,
	 (struct libwebsocket *));
FUNCTION(int, libwebsocket_callback_on_writable,
	 (struct libwebsocket_context *, struct libwebsocket *));
FUNCTION(int, libwebsocket_callback_on_writable_all_protocol,
	 (const struct libwebsocket_protocols *));
FUNCTION(int, libwebsocket_get_socket_fd,
	 (struct libwebsocket *));
FUNCTION(int, libwebsocket_rx_flow_control,
	 (struct libwebsocket *, int));
FUNCTION(size_t, libwebsockets_remaining_packet_payload,
	 (struct libwebsocket *));
FUNCTION(struct libwebsocket *, libwebsocket_client_connect,
	 (struct libwebsocket_context *, const char *, int, int, const char *, const char *, const char *, const char *, int));
FUNCTION(const char *, libwebsocket_canonical_hostname,
	 (struct libwebsocket_context *));
FUNCTION(void, libwebsockets_get_peer_addresses,
	 (int, char *, int, char *, int));
FUNCTION(void, libwebsockets_hangup_on_client,
	 (struct libwebsocket_context *, int));
FUNCTION(void, libwebsocket_close_and_free_session,
	 (struct libwebsocket_context *, struct libwebsocket *, enum lws_close_status));
FUNCTION(void, libwebsocket_set_timeout,
	 (struct libwebsocket *, enum pending_timeout, int));

typedef int (*callback_type)(struct libwebsocket_context *, struct libwebsocket *, enum libwebsocket_callback_reasons,
			     void *, void *, size_t);

#define PRINT(name) printf("ok %s\n", check_##name != NULL ? #name : "nothing")

int main(void)
{
	struct libwebsocket_protocols protocol = { NULL, NULL, 0, NULL, 0, 0, 0 };
	callback_type *callback = &protocol.callback;

	PRINT(libwebsocket_create_context);
	PRINT(libwebsocket_context_destroy);
	PRINT(libwebsockets_fork_service_loop);
	PRINT(libwebsocket_service);
	PRINT(libwebsocket_service_fd);
	PRINT(libwebsocket_write);
	PRINT(libwebsockets_serve_http_file);
	PRINT(libwebsockets_broadcast);
	PRINT(libwebsockets_get_protocol);
	PRINT(libwebsocket_callback_on_writable);
	PRINT(libwebsocket_callback_on_writable_all_protocol);
	PRINT(libwebsocket_get_socket_fd);
	PRINT(libwebsocket_rx_flow_control);
	PRINT(libwebsockets_remaining_packet_payload);
	PRINT(libwebsocket_client_connect);
	PRINT(libwebsocket_canonical_hostname);
	PRINT(libwebsockets_get_peer_addresses);
	PRINT(libwebsockets_hangup_on_client);
	PRINT(libwebsocket_close_and_free_session);
	PRINT(libwebsocket_set_timeout);
	return *callback != NULL;
}
