/*
 * libwebsockets.h - the C API of libwebsockets as it was in spring 2011, served by sockeye.
 *
 * Names, values and layouts are those of 2011: a program compiled against the old header runs with
 * this library. Where the old library misbehaved, this one does what its documentation said.
 *
 * One thread services a context, and calls everything else on it. Callbacks may call every function
 * here, on any connection. A connection is a handle, `struct libwebsocket *`, that is never looked
 * into: once its connection has ended, functions do nothing with it and return their error value.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef SOCKEYE_LIBWEBSOCKETS_H
#define SOCKEYE_LIBWEBSOCKETS_H

#include <poll.h>   /* struct pollfd, POLLIN, POLLOUT: programs of 2011 take them from here */
#include <stddef.h> /* size_t */

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- constants */

/* The port of a context that listens nowhere and only has client connections. */
#define CONTEXT_PORT_NO_LISTEN 0

/*
 * Bytes that belong to the library before and behind what a program hands to libwebsocket_write()
 * and libwebsockets_broadcast(). This library neither needs nor touches them; keep them in programs
 * that shall also run with the library of 2011.
 */
#define LWS_SEND_BUFFER_PRE_PADDING 14
#define LWS_SEND_BUFFER_POST_PADDING 1

/* Bits of the options of libwebsocket_create_context(). */
enum libwebsocket_context_options {
	/* Client connections of versions 4 and later send with a mask of zeros, to be read by eye. */
	LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK = 1,
	/* The server asks clients for a certificate, and takes only those that verify and that
	 * LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION does not reject. */
	LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT = 2
};

/*
 * Why a callback is called. "Protocol 0" is the first entry of the array of protocols; it also
 * hears what concerns no protocol. `user` is the memory of the session, NULL where the protocol
 * wants none or none exists yet; `in` is NULL and `len` is 0; and the value returned is ignored:
 * each unless it is told otherwise.
 */
enum libwebsocket_callback_reasons {
	/* The server has answered the handshake of a client. Session memory is all zeros. */
	LWS_CALLBACK_ESTABLISHED = 0,
	/* A server has accepted our handshake. Session memory is all zeros. */
	LWS_CALLBACK_CLIENT_ESTABLISHED = 1,
	/* The connection has ended, for whatever reason: exactly once for each of the two above, after
	 * its DEL_POLL_FD. Session memory is there for the last time; nothing can be sent any more. */
	LWS_CALLBACK_CLOSED = 2,
	/* Data from a client: `len` bytes at `in`, at most 4096, and a NUL behind them. A longer frame
	 * comes in pieces, see libwebsockets_remaining_packet_payload(). An empty message has len 0. */
	LWS_CALLBACK_RECEIVE = 3,
	/* The same from a server. */
	LWS_CALLBACK_CLIENT_RECEIVE = 4,
	/* A pong from a server, asked for or not: `len` bytes at `in`. */
	LWS_CALLBACK_CLIENT_RECEIVE_PONG = 5,
	/* The connection, of a client or of a server, takes data: once for each request by
	 * libwebsocket_callback_on_writable(), and not before the connection is established. */
	LWS_CALLBACK_CLIENT_WRITEABLE = 6,
	/* Protocol 0: a request that does not ask for WebSocket. `in` is its URI with the query,
	 * NUL-terminated; `len` is 0 all the same. Answer with libwebsockets_serve_http_file() or raw
	 * bytes; the connection is closed when all of that is sent. */
	LWS_CALLBACK_HTTP = 7,
	/* Somebody called libwebsockets_broadcast(): once for each established connection that the
	 * server has with this protocol. `len` bytes at `in`, with both paddings around them. */
	LWS_CALLBACK_BROADCAST = 8,
	/* Protocol 0: a client has connected and nothing is read yet. `user` is the descriptor, as
	 * (void *)(long)fd. Return nonzero to hang up without a word. */
	LWS_CALLBACK_FILTER_NETWORK_CONNECTION = 9,
	/* The protocol that was chosen: a client asks for it. `user` is an array of WSI_TOKEN_COUNT
	 * struct lws_tokens, valid during the call. Return nonzero to hang up without an answer. */
	LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION = 10,
	/* Protocol 0, while a context is made: `user` is the SSL_CTX * of client connections, for
	 * certificates to trust beside those of the system. */
	LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS = 11,
	/* The same for the SSL_CTX * of the server, if it requires certificates of clients. */
	LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS = 12,
	/* Protocol 0, for each certificate of a client's chain, with no context and no connection:
	 * `user` is the X509_STORE_CTX *, `in` the SSL *, `len` nonzero if OpenSSL is content with it.
	 * Return nonzero to reject. What OpenSSL rejects stays rejected. */
	LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION = 13,
	/* Protocol 0, for programs that call poll() themselves: `user` is a descriptor, `len` the
	 * events to wait for. Each descriptor is added once and deleted once. */
	LWS_CALLBACK_ADD_POLL_FD = 14,
	/* The descriptor in `user` leaves; the program forgets it before it returns. */
	LWS_CALLBACK_DEL_POLL_FD = 15,
	/* The events in `len` are waited for from now on, beside the others. */
	LWS_CALLBACK_SET_MODE_POLL_FD = 16,
	/* The events in `len` are no longer waited for. */
	LWS_CALLBACK_CLEAR_MODE_POLL_FD = 17
};

/* What libwebsocket_write() sends: one of the first six, and flags. */
enum libwebsocket_write_protocol {
	LWS_WRITE_TEXT = 0,
	LWS_WRITE_BINARY = 1, /* not in version 0 */
	LWS_WRITE_HTTP = 2,   /* the bytes as they are, in any state of the connection */
	LWS_WRITE_CLOSE = 3,
	LWS_WRITE_PING = 4, /* not in version 0; at most 125 bytes, as of pong */
	LWS_WRITE_PONG = 5,

	/* The message goes on in the next write. Not in version 0. */
	LWS_WRITE_NO_FIN = 0x40,
	/* On a client: mask this frame with zeros, to be read by eye. */
	LWS_WRITE_CLIENT_IGNORE_XOR_MASK = 0x80
};

/* Index of a header in the array that LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION gets. */
enum lws_token_indexes {
	WSI_TOKEN_GET_URI = 0,     /* the URI of the request line */
	WSI_TOKEN_HOST = 1,
	WSI_TOKEN_CONNECTION = 2,
	WSI_TOKEN_KEY1 = 3,        /* Sec-WebSocket-Key1, version 0 */
	WSI_TOKEN_KEY2 = 4,        /* Sec-WebSocket-Key2, version 0 */
	WSI_TOKEN_PROTOCOL = 5,    /* Sec-WebSocket-Protocol */
	WSI_TOKEN_UPGRADE = 6,
	WSI_TOKEN_ORIGIN = 7,
	WSI_TOKEN_DRAFT = 8,       /* Sec-WebSocket-Draft */
	WSI_TOKEN_CHALLENGE = 9,   /* the 8 bytes behind the headers, version 0 */
	WSI_TOKEN_KEY = 10,        /* Sec-WebSocket-Key */
	WSI_TOKEN_VERSION = 11,    /* Sec-WebSocket-Version */
	WSI_TOKEN_SWORIGIN = 12,   /* Sec-WebSocket-Origin */
	WSI_TOKEN_EXTENSIONS = 13, /* Sec-WebSocket-Extensions */

	/* Of answers: never present in a request. */
	WSI_TOKEN_ACCEPT = 14,
	WSI_TOKEN_NONCE = 15,
	WSI_TOKEN_HTTP = 16,

	/* The length of the array. */
	WSI_TOKEN_COUNT = 17,

	/* States of the parser of 2011, public by accident. */
	WSI_TOKEN_NAME_PART = 18,
	WSI_TOKEN_SKIPPING = 19,
	WSI_TOKEN_SKIPPING_SAW_CR = 20,
	WSI_PARSING_COMPLETE = 21
};

/* Why a connection is closed, as told to the peer by versions that can. */
enum lws_close_status {
	LWS_CLOSE_STATUS_NOSTATUS = 0, /* nothing is told */
	LWS_CLOSE_STATUS_NORMAL = 1000,
	LWS_CLOSE_STATUS_GOINGAWAY = 1001,
	LWS_CLOSE_STATUS_PROTOCOL_ERR = 1002,
	LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE = 1003,
	LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE = 1004 /* as of version 6; later versions say 1009 */
};

/* What libwebsocket_set_timeout() waits for. The library acts alike for all but the first. */
enum pending_timeout {
	NO_PENDING_TIMEOUT = 0,
	PENDING_TIMEOUT_AWAITING_PROXY_RESPONSE = 1,
	PENDING_TIMEOUT_ESTABLISH_WITH_SERVER = 2,
	PENDING_TIMEOUT_AWAITING_SERVER_RESPONSE = 3,
	PENDING_TIMEOUT_AWAITING_PING = 4
};

/* -------------------------------------------------------------------- types */

/* A connection. */
struct libwebsocket;

/* A listener, or none, and all connections that are serviced together. */
struct libwebsocket_context;

/* A header of a request: token_len bytes and a NUL; {NULL, 0} if the request has none. */
struct lws_tokens {
	char *token;
	int token_len;
};

/*
 * A subprotocol of the program. The program keeps an array of them for as long as the context
 * lives, ended by one whose callback is NULL. The first three fields are the program's, the others
 * are written by libwebsocket_create_context() and libwebsockets_fork_service_loop().
 */
struct libwebsocket_protocols {
	/* As in Sec-WebSocket-Protocol. NULL: serves the clients that ask for none. */
	const char *name;
	/* Called for everything that happens, see enum libwebsocket_callback_reasons. */
	int (*callback)(struct libwebsocket_context *context, struct libwebsocket *wsi,
			enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len);
	/* Bytes of memory for each established connection, aligned for everything; may be 0. */
	size_t per_session_data_size;

	/* The context that serves it. */
	struct libwebsocket_context *owning_server;
	/* Of the library of 2011: broadcasts do not go through ports here. */
	int broadcast_socket_port;
	/* Nonzero in a process that hands its broadcasts to the one that serves. */
	int broadcast_socket_user_fd;
	/* Its place in the array, from 0. */
	int protocol_index;
};

/* ------------------------------------------------------------------ context */

/*
 * Makes a context and listens on `port` (host byte order; CONTEXT_PORT_NO_LISTEN: nowhere) of the
 * network interface named `interface`, such as "lo", or of all if it is NULL. With both files, of a
 * certificate chain and its key in PEM, the port speaks TLS. `gid` and `uid`, unless -1, are what
 * the process becomes once it listens. `options` are bits of enum libwebsocket_context_options.
 * Calls LWS_CALLBACK_ADD_POLL_FD and the two LOAD_EXTRA reasons before it returns. The environment
 * variable http_proxy (host:port or http://host:port) names a proxy for client connections.
 *
 * Returns NULL if any of it fails: the port is taken, the interface unknown, a file unreadable, a
 * privilege not to be dropped, http_proxy malformed. Nothing stays behind then.
 */
extern struct libwebsocket_context *
libwebsocket_create_context(int port, const char *interface, struct libwebsocket_protocols *protocols,
			    const char *ssl_cert_filepath, const char *ssl_private_key_filepath,
			    int gid, int uid, unsigned int options);

/*
 * Closes all connections with LWS_CLOSE_STATUS_GOINGAWAY, each with its DEL_POLL_FD and, if it was
 * established, CLOSED, then the listener, and frees the context. NULL is ignored. From inside a
 * callback the same happens when the function that called the callback returns.
 */
extern void libwebsocket_context_destroy(struct libwebsocket_context *context);

/*
 * Forks a process that services the context until this one ends, and returns 0 in this one, which
 * may go on to call libwebsockets_broadcast(). Negative if it cannot fork. All callbacks come in
 * the new process, with memory as it was at the fork.
 */
extern int libwebsockets_fork_service_loop(struct libwebsocket_context *context);

/*
 * Waits up to `timeout_ms` milliseconds (0: not at all, negative: for ever) for something to do,
 * and does it. Returns 0 then or when the time is over; 1 at once if a signal comes, if poll fails
 * or if the context is NULL.
 */
extern int libwebsocket_service(struct libwebsocket_context *context, int timeout_ms);

/*
 * For programs that call poll() themselves: does what one descriptor is ready for, according to
 * its `revents`. Returns 1 if its connection was closed by that, or if the descriptor is none of
 * the context's; else 0. NULL: only ends connections whose time is over. Call it at least once a
 * second. POLLOUT may be cleared in `events` before the first callback; the entry is not touched
 * later, and callbacks may move it.
 */
extern int libwebsocket_service_fd(struct libwebsocket_context *context, struct pollfd *pollfd);

/* The name of this machine; it lives as long as the context. "" without a context. */
extern const char *libwebsocket_canonical_hostname(struct libwebsocket_context *context);

/* --------------------------------------------------------------------- data */

/*
 * Sends `len` bytes at `buf`, which stay unchanged. Returns 0 when they are sent or queued (never a
 * count); -1 if the connection is not established (but for LWS_WRITE_HTTP), if its version has no
 * such thing, or if more is queued than a peer may leave unread: then it is closed too. Nothing to
 * send (`len` 0, and not LWS_WRITE_CLOSE) is 0 without a frame.
 */
extern int libwebsocket_write(struct libwebsocket *wsi, unsigned char *buf, size_t len,
			      enum libwebsocket_write_protocol protocol);

/*
 * Answers LWS_CALLBACK_HTTP with a file, found at the path `file` as it is, of the MIME type
 * `content_type`. Returns 0; or -1 after an answer 404 if it is no regular file that can be read.
 */
extern int libwebsockets_serve_http_file(struct libwebsocket *wsi, const char *file, const char *content_type);

/*
 * LWS_CALLBACK_BROADCAST, with these bytes, for each established connection that the server has
 * with this protocol. In the process that serves it happens before this returns, with `buf` itself,
 * and returns 0. In another process, forked from it, the bytes are handed over whole: returns `len`,
 * after waiting for room if need be, or -1 if they are too many or nobody serves any more.
 */
extern int libwebsockets_broadcast(const struct libwebsocket_protocols *protocol, unsigned char *buf, size_t len);

/*
 * LWS_CALLBACK_CLIENT_WRITEABLE as soon as the connection takes data: once, however often it is
 * asked for before, and after CLIENT_ESTABLISHED if it is not yet. Returns 1, whatever comes of it.
 */
extern int libwebsocket_callback_on_writable(struct libwebsocket_context *context, struct libwebsocket *wsi);

/* The same for every established connection with this protocol. Returns 0. */
extern int libwebsocket_callback_on_writable_all_protocol(const struct libwebsocket_protocols *protocol);

/*
 * Stops reading from a connection if `enable` is 0, and goes on otherwise. While it is stopped,
 * nothing of the peer is noticed but a broken connection. Returns 0.
 */
extern int libwebsocket_rx_flow_control(struct libwebsocket *wsi, int enable);

/*
 * In a callback that gets data: how many bytes of the frame, not of the message, are still to come.
 * 0 in the last piece, and always in version 0.
 */
extern size_t libwebsockets_remaining_packet_payload(struct libwebsocket *wsi);

/* -------------------------------------------------------------- connections */

/*
 * Connects to `address` (a name or an IPv4 address), which waits for the connection, and for TLS
 * unless it is called within a callback or goes through a proxy, but not for the server's answer:
 * CLIENT_ESTABLISHED or, if that fails, only DEL_POLL_FD comes from servicing the context.
 * `ssl_connection`: 0 without TLS; 1 with it, and a certificate that is valid for the name; 2 a
 * self-signed certificate will do. `path`, `host` and `origin` go into the request, which has no
 * origin if that is NULL; `protocol` is the name of one subprotocol, a list with commas, or NULL for
 * none. `ietf_version_or_minus_one`: 0, 4, 5, 6, 7, 8, 13, or -1 for the latest, which is 13 unless
 * the environment variable SOCKEYE_IETF_VERSION says another.
 *
 * Returns NULL if nobody listens, TLS is refused, a string has line breaks, or the version is unknown.
 */
extern struct libwebsocket *
libwebsocket_client_connect(struct libwebsocket_context *context, const char *address, int port,
			    int ssl_connection, const char *path, const char *host, const char *origin,
			    const char *protocol, int ietf_version_or_minus_one);

/* The protocol of a connection, in the program's array: protocol 0 for a connection to the server
 * whose handshake is not over; NULL for such one to somebody else's. */
extern const struct libwebsocket_protocols *libwebsockets_get_protocol(struct libwebsocket *wsi);

/* The descriptor of a connection, -1 if it has ended. */
extern int libwebsocket_get_socket_fd(struct libwebsocket *wsi);

/*
 * Closes the connection `secs` seconds from now (up to two later), without a status, unless it is
 * called again before: NO_PENDING_TIMEOUT cancels.
 */
extern void libwebsocket_set_timeout(struct libwebsocket *wsi, enum pending_timeout reason, int secs);

/*
 * Who is at the other end of a descriptor: its name (asks the resolver, and may take long; "" if
 * it has none) and its address, each cut to the bytes that its buffer has, with a NUL.
 */
extern void libwebsockets_get_peer_addresses(int fd, char *name, int name_len, char *rip, int rip_len);

/* Closes the connection that has this descriptor, without a status; others are left alone. */
extern void libwebsockets_hangup_on_client(struct libwebsocket_context *context, int fd);

/*
 * Closes a connection, and tells the peer why. DEL_POLL_FD and, if it was established, CLOSED come
 * before this returns; if called from a callback of this connection, when that has returned.
 */
extern void libwebsocket_close_and_free_session(struct libwebsocket_context *context, struct libwebsocket *wsi,
						enum lws_close_status status);

#ifdef __cplusplus
}
#endif

#endif
