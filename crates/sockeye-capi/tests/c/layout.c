/*
 * The numbers and layouts that programs of 2011 were compiled with. They are checked when this is
 * compiled; to run it tells only that it links.
 */
#include <libwebsockets.h>
#include <stddef.h>
#include <stdio.h>

/* An array of a negative size does not compile. */
#define JOIN(a, b) a##b
#define NAMED(line) JOIN(holds_, line)
#define HOLDS(condition) typedef char NAMED(__LINE__)[(condition) ? 1 : -1] __attribute__((unused))
#define VALUE(name, value) HOLDS((int)(name) == (value))
#define SIZE(type, size) HOLDS(sizeof(type) == (size))
#define FIELD(type, field, offset, size) \
	HOLDS(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (size))

VALUE(CONTEXT_PORT_NO_LISTEN, 0);
VALUE(LWS_SEND_BUFFER_PRE_PADDING, 14);
VALUE(LWS_SEND_BUFFER_POST_PADDING, 1);

SIZE(enum libwebsocket_context_options, 4);
VALUE(LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK, 1);
VALUE(LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT, 2);

SIZE(enum libwebsocket_callback_reasons, 4);
VALUE(LWS_CALLBACK_ESTABLISHED, 0);
VALUE(LWS_CALLBACK_CLIENT_ESTABLISHED, 1);
VALUE(LWS_CALLBACK_CLOSED, 2);
VALUE(LWS_CALLBACK_RECEIVE, 3);
VALUE(LWS_CALLBACK_CLIENT_RECEIVE, 4);
VALUE(LWS_CALLBACK_CLIENT_RECEIVE_PONG, 5);
VALUE(LWS_CALLBACK_CLIENT_WRITEABLE, 6);
VALUE(LWS_CALLBACK_HTTP, 7);
VALUE(LWS_CALLBACK_BROADCAST, 8);
VALUE(LWS_CALLBACK_FILTER_NETWORK_CONNECTION, 9);
VALUE(LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, 10);
VALUE(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS, 11);
VALUE(LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS, 12);
VALUE(LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION, 13);
VALUE(LWS_CALLBACK_ADD_POLL_FD, 14);
VALUE(LWS_CALLBACK_DEL_POLL_FD, 15);
VALUE(LWS_CALLBACK_SET_MODE_POLL_FD, 16);
VALUE(LWS_CALLBACK_CLEAR_MODE_POLL_FD, 17);

SIZE(enum libwebsocket_write_protocol, 4);
VALUE(LWS_WRITE_TEXT, 0);
VALUE(LWS_WRITE_BINARY, 1);
VALUE(LWS_WRITE_HTTP, 2);
VALUE(LWS_WRITE_CLOSE, 3);
VALUE(LWS_WRITE_PING, 4);
VALUE(LWS_WRITE_PONG, 5);
VALUE(LWS_WRITE_NO_FIN, 0x40);
VALUE(LWS_WRITE_CLIENT_IGNORE_XOR_MASK, 0x80);

SIZE(enum lws_token_indexes, 4);
VALUE(WSI_TOKEN_GET_URI, 0);
VALUE(WSI_TOKEN_HOST, 1);
VALUE(WSI_TOKEN_CONNECTION, 2);
VALUE(WSI_TOKEN_KEY1, 3);
VALUE(WSI_TOKEN_KEY2, 4);
VALUE(WSI_TOKEN_PROTOCOL, 5);
VALUE(WSI_TOKEN_UPGRADE, 6);
VALUE(WSI_TOKEN_ORIGIN, 7);
VALUE(WSI_TOKEN_DRAFT, 8);
VALUE(WSI_TOKEN_CHALLENGE, 9);
VALUE(WSI_TOKEN_KEY, 10);
VALUE(WSI_TOKEN_VERSION, 11);
VALUE(WSI_TOKEN_SWORIGIN, 12);
VALUE(WSI_TOKEN_EXTENSIONS, 13);
VALUE(WSI_TOKEN_ACCEPT, 14);
VALUE(WSI_TOKEN_NONCE, 15);
VALUE(WSI_TOKEN_HTTP, 16);
VALUE(WSI_TOKEN_COUNT, 17);
VALUE(WSI_TOKEN_NAME_PART, 18);
VALUE(WSI_TOKEN_SKIPPING, 19);
VALUE(WSI_TOKEN_SKIPPING_SAW_CR, 20);
VALUE(WSI_PARSING_COMPLETE, 21);

SIZE(enum lws_close_status, 4);
VALUE(LWS_CLOSE_STATUS_NOSTATUS, 0);
VALUE(LWS_CLOSE_STATUS_NORMAL, 1000);
VALUE(LWS_CLOSE_STATUS_GOINGAWAY, 1001);
VALUE(LWS_CLOSE_STATUS_PROTOCOL_ERR, 1002);
VALUE(LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, 1003);
VALUE(LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE, 1004);

SIZE(enum pending_timeout, 4);
VALUE(NO_PENDING_TIMEOUT, 0);
VALUE(PENDING_TIMEOUT_AWAITING_PROXY_RESPONSE, 1);
VALUE(PENDING_TIMEOUT_ESTABLISH_WITH_SERVER, 2);
VALUE(PENDING_TIMEOUT_AWAITING_SERVER_RESPONSE, 3);
VALUE(PENDING_TIMEOUT_AWAITING_PING, 4);

SIZE(struct lws_tokens, 2 * sizeof(void *));
FIELD(struct lws_tokens, token, 0, sizeof(char *));
FIELD(struct lws_tokens, token_len, sizeof(char *), sizeof(int));

#if defined(__LP64__)
SIZE(struct libwebsocket_protocols, 48);
FIELD(struct libwebsocket_protocols, name, 0, 8);
FIELD(struct libwebsocket_protocols, callback, 8, 8);
FIELD(struct libwebsocket_protocols, per_session_data_size, 16, 8);
FIELD(struct libwebsocket_protocols, owning_server, 24, 8);
FIELD(struct libwebsocket_protocols, broadcast_socket_port, 32, 4);
FIELD(struct libwebsocket_protocols, broadcast_socket_user_fd, 36, 4);
FIELD(struct libwebsocket_protocols, protocol_index, 40, 4);
#else
SIZE(struct libwebsocket_protocols, 28);
FIELD(struct libwebsocket_protocols, name, 0, 4);
FIELD(struct libwebsocket_protocols, callback, 4, 4);
FIELD(struct libwebsocket_protocols, per_session_data_size, 8, 4);
FIELD(struct libwebsocket_protocols, owning_server, 12, 4);
FIELD(struct libwebsocket_protocols, broadcast_socket_port, 16, 4);
FIELD(struct libwebsocket_protocols, broadcast_socket_user_fd, 20, 4);
FIELD(struct libwebsocket_protocols, protocol_index, 24, 4);
#endif

/* Programs have a global of this name, of whatever type they like. */
long callback = 1;

int main(void)
{
	printf("ok numbers and layouts\n");
	return libwebsocket_service(NULL, 0) != 1 || callback != 1;
}
