// uWebSockets, over OpenSSL: its own echo and broadcast examples, with their settings.
#include "App.h"

#include <cstdio>
#include <cstring>
#include <openssl/crypto.h>

struct Session {};

static uWS::CompressOptions compression = uWS::DISABLED;
static const char *version = "?";

template <bool SSL>
static int serve(uWS::SocketContextOptions options)
{
	using Behavior = typename uWS::TemplatedApp<SSL>::template WebSocketBehavior<Session>;
	using Socket = uWS::WebSocket<SSL, true, Session>;

	uWS::TemplatedApp<SSL> app(options);
	auto behavior = [] {
		Behavior behavior;
		behavior.compression = compression;
		behavior.maxPayloadLength = 100 * 1024 * 1024;
		behavior.idleTimeout = 120;
		behavior.maxBackpressure = 100 * 1024 * 1024;
		behavior.closeOnBackpressureLimit = false;
		behavior.resetIdleTimeoutOnSend = false;
		behavior.sendPingsAutomatically = true;
		return behavior;
	};
	auto echo = behavior();
	echo.message = [](Socket *ws, std::string_view message, uWS::OpCode opcode) {
		ws->send(message, opcode, compression != uWS::DISABLED);
	};
	auto broadcast = behavior();
	broadcast.open = [](Socket *ws) { ws->subscribe("all"); };
	broadcast.message = [&app](Socket *, std::string_view message, uWS::OpCode opcode) {
		app.publish("all", message, opcode, compression != uWS::DISABLED);
	};
	app.template ws<Session>("/broadcast", std::move(broadcast));
	app.template ws<Session>("/*", std::move(echo));
	bool listens = false;
	app.listen("127.0.0.1", 0, LIBUS_LISTEN_EXCLUSIVE_PORT, [&](us_listen_socket_t *listener) {
		listens = listener != nullptr;
		if (!listens)
			return;
		printf("listening %d %s%s%s\n", us_socket_local_port(SSL, (us_socket_t *)listener), version,
		       SSL ? ", " : "", SSL ? OpenSSL_version(OPENSSL_VERSION) : "");
		fflush(stdout);
	});
	if (!listens)
		return 1;
	app.run();
	return 0;
}

int main(int argc, char **argv)
{
	uWS::SocketContextOptions options;

	// Of the package that its source came with.
	version = UWEBSOCKETS_VERSION;
	if (argc == 3 && !strcmp(argv[1], "--deflate"))
		compression = !strcmp(argv[2], "pooled")
				      ? (uWS::CompressOptions)(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR)
				      : (uWS::CompressOptions)(uWS::DEDICATED_COMPRESSOR_4KB |
							       uWS::DEDICATED_DECOMPRESSOR);
	if (argc == 4 && !strcmp(argv[1], "--tls")) {
		options.cert_file_name = argv[2];
		options.key_file_name = argv[3];
		return serve<true>(options);
	}
	return serve<false>(options);
}
