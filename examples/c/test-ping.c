/*
 * ping(8) over WebSocket: sends pings, or messages through a mirror, and tells how long they took.
 * The first interrupt ends it with statistics, as does the server when it closes all connections.
 */
#include <getopt.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PING_MAX 125
#define MIRROR_MAX 4096
#define CONNECTIONS_MAX 256
/* Pings that are remembered on each connection until they are answered. */
#define RING_SIZE 256u
/* How long answers are waited for at the end, and how soon a flood goes on without any. */
#define LINGER_US 250000
#define FLOOD_US 10000

struct ping {
	unsigned long long number; /* 0: none */
	long long sent;
	int answered;
};

struct session {
	unsigned long long last; /* the number of the ping sent last */
	struct ping ring[RING_SIZE];
};

static volatile sig_atomic_t interrupted;
static const char *address;
static size_t size = 64;
static int flood;
static int through_mirror;
static int write_flags;
static int stopping; /* nothing more is sent */
static struct libwebsocket *connections[CONNECTIONS_MAX];
static int connection_count;
static int open_count;

static unsigned long transmitted;
static unsigned long received;
static unsigned long long received_bytes;
static long long rtt_min, rtt_max, rtt_sum;
static unsigned long rtt_count;

static long long microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/*
 * The number is at the start of the payload, in 64 bits, the most significant first. A mirror
 * repeats it as text, which takes only UTF-8: then each of the bytes has just seven bits of it.
 */
static int bits_per_byte(void)
{
	return through_mirror ? 7 : 8;
}

static void put_number(unsigned char *payload, unsigned long long number)
{
	int bits = bits_per_byte();
	int i;

	for (i = 7; i >= 0; i--, number >>= bits)
		payload[i] = (unsigned char)(number & ((1u << bits) - 1));
}

static unsigned long long number_of(const unsigned char *payload)
{
	unsigned long long number = 0;
	int i;

	for (i = 0; i < 8; i++)
		number = number << bits_per_byte() | payload[i];
	return number;
}

static void send_ping(struct libwebsocket *wsi, struct session *session)
{
	unsigned char buffer[LWS_SEND_BUFFER_PRE_PADDING + MIRROR_MAX + LWS_SEND_BUFFER_POST_PADDING];
	unsigned char *payload = &buffer[LWS_SEND_BUFFER_PRE_PADDING];
	int kind = through_mirror ? LWS_WRITE_BINARY : LWS_WRITE_PING;
	struct ping *ping;
	size_t i;

	for (i = 8; i < size; i++)
		payload[i] = (unsigned char)('a' + i % 26);
	put_number(payload, session->last + 1);
	ping = &session->ring[(session->last + 1) % RING_SIZE];
	ping->number = session->last + 1;
	ping->sent = microseconds();
	ping->answered = 0;
	if (libwebsocket_write(wsi, payload, size, (enum libwebsocket_write_protocol)(kind | write_flags)) < 0) {
		ping->number = 0;
		return;
	}
	session->last++;
	transmitted++;
	if (flood)
		fprintf(stderr, ".");
}

static void receive_answer(struct session *session, const unsigned char *payload, size_t len)
{
	unsigned long long number;
	struct ping *ping;
	const char *repeated = "";
	long long took;

	if (len < 8)
		return; /* not from us, or an empty pong of a server's own accord */
	number = number_of(payload);
	ping = &session->ring[number % RING_SIZE];
	received_bytes += len;
	if (number == 0 || ping->number != number) {
		received++;
		if (!flood)
			fprintf(stderr, "%d bytes from %s: req=%llu time=(unknown)\n", (int)len, address, number);
		return;
	}

	took = microseconds() - ping->sent;
	if (ping->answered) {
		repeated = "DUP! ";
	} else {
		ping->answered = 1;
		received++;
		if (rtt_count == 0 || took < rtt_min)
			rtt_min = took;
		if (rtt_count == 0 || took > rtt_max)
			rtt_max = took;
		rtt_sum += took;
		rtt_count++;
	}
	if (flood)
		fprintf(stderr, "\b \b");
	else
		fprintf(stderr, "%s%d bytes from %s: req=%llu time=%lld.%lldms\n", repeated, (int)len, address,
			number, took / 1000, took / 100 % 10);
}

static int callback(struct libwebsocket_context *context, struct libwebsocket *wsi,
		    enum libwebsocket_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *session = (struct session *)user;
	int i;

	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		memset(session, 0, sizeof *session);
		libwebsocket_callback_on_writable(context, wsi);
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (!stopping)
			send_ping(wsi, session);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		if (through_mirror != (reason == LWS_CALLBACK_CLIENT_RECEIVE))
			break;
		receive_answer(session, (const unsigned char *)in, len);
		if (flood)
			libwebsocket_callback_on_writable(context, wsi);
		break;
	case LWS_CALLBACK_DEL_POLL_FD:
		/* Also of a connection that was never established: for that one there is no CLOSED. */
		for (i = 0; i < connection_count; i++)
			if (connections[i] == wsi)
				open_count--;
		break;
	default:
		break;
	}
	return 0;
}

static struct libwebsocket_protocols protocols[] = {
	{ "lws-mirror-protocol", callback, sizeof(struct session), NULL, 0, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0, 0 }
};

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "port", required_argument, NULL, 'p' },
	{ "ssl", no_argument, NULL, 't' },
	{ "interval", required_argument, NULL, 'i' },
	{ "size", required_argument, NULL, 's' },
	{ "protocol", required_argument, NULL, 'n' },
	{ "flood", no_argument, NULL, 'f' },
	{ "mirror", no_argument, NULL, 'm' },
	{ "replicate", required_argument, NULL, 'r' },
	{ "killmask", no_argument, NULL, 'k' },
	{ "version", required_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 }
};

static void usage(const char *program)
{
	fprintf(stderr,
		"Usage: %s ADDRESS [options]\n"
		"  -p, --port=N         connect to this port instead of 7681\n"
		"  -t, --ssl            speak TLS; a self-signed certificate will do\n"
		"  -i, --interval=S     seconds between pings, also parts of one; 1 unless told\n"
		"  -s, --size=N         bytes in each: 64 unless told, at most 125, or 4096 with --mirror\n"
		"  -n, --protocol=NAME  ask for this protocol instead of lws-mirror-protocol\n"
		"  -f, --flood          go on as soon as there is an answer; a dot for each that is missing\n"
		"  -m, --mirror         send messages through a mirror instead of pings\n"
		"  -r, --replicate=N    over so many connections, up to 256\n"
		"  -k, --killmask       send with a mask of zeros\n"
		"  -v, --version=N      speak this version: 4, 5, 6, 7, 8 or 13\n"
		"  -h, --help           print this\n",
		program);
	exit(1);
}

static void refuse(const char *why)
{
	fprintf(stderr, "%s\n", why);
	exit(1);
}

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static void print_statistics(const char *name, long long duration)
{
	unsigned long lost = transmitted > received ? transmitted - received : 0;
	double seconds = duration > 0 ? (double)duration / 1e6 : 1;

	fprintf(stderr, "\n--- %s websocket ping statistics using %d connections ---\n", name, connection_count);
	fprintf(stderr, "%lu packets transmitted, %lu received, %lu%% packet loss, time %lldms\n", transmitted,
		received, transmitted > 0 ? lost * 100 / transmitted : 0, duration / 1000);
	fprintf(stderr, "rtt min/avg/max = %0.3f/%0.3f/%0.3f ms\n", (double)rtt_min / 1e3,
		rtt_count > 0 ? (double)rtt_sum / 1e3 / (double)rtt_count : 0.0, (double)rtt_max / 1e3);
	fprintf(stderr, "payload bandwidth average %0.3f KiBytes/sec\n", (double)received_bytes / 1024 / seconds);
}

/* Sends at each interval until interrupted, then waits a little for what is still under way. */
static void run(struct libwebsocket_context *context, long long interval)
{
	long long next = microseconds() + interval;
	long long end = 0;
	long long now;
	long long wait;
	int i;

	while (open_count > 0) {
		now = microseconds();
		if (interrupted && !stopping) {
			stopping = 1;
			end = now + LINGER_US;
		}
		if (stopping && now >= end)
			return;
		if (!stopping && now >= next) {
			for (i = 0; i < connection_count; i++)
				libwebsocket_callback_on_writable(context, connections[i]);
			next = now + interval;
		}
		wait = ((stopping ? end : next) - now) / 1000 + 1;
		if (libwebsocket_service(context, wait > 1000 ? 1000 : (int)wait) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	struct libwebsocket_context *context;
	struct sigaction action;
	char name[128];
	char ip[64];
	const char *protocol = NULL;
	double interval = 1;
	int port = 7681;
	int ssl = 0;
	int replicas = 1;
	int version = -1;
	int wanted = 64;
	struct libwebsocket *wsi;
	long long start;
	int option;

	if (argc < 2 || argv[1][0] == '-')
		usage(argv[0]);
	address = argv[1];
	optind = 2;
	while ((option = getopt_long(argc, argv, "hp:ti:s:n:fmr:kv:", options, NULL)) >= 0) {
		switch (option) {
		case 'p':
			port = atoi(optarg);
			break;
		case 't':
			ssl = 2;
			break;
		case 'i':
			interval = atof(optarg);
			break;
		case 's':
			wanted = atoi(optarg);
			break;
		case 'n':
			protocol = optarg;
			break;
		case 'f':
			flood = 1;
			break;
		case 'm':
			through_mirror = 1;
			break;
		case 'r':
			replicas = atoi(optarg);
			break;
		case 'k':
			write_flags = LWS_WRITE_CLIENT_IGNORE_XOR_MASK;
			break;
		case 'v':
			version = atoi(optarg);
			break;
		default:
			usage(argv[0]);
		}
	}
	if (wanted < 8)
		refuse("the size has to be 8 bytes at least, for the number of the ping");
	if (!through_mirror && wanted > PING_MAX)
		refuse("a ping has 125 bytes at most; more fit through a mirror, with --mirror");
	if (wanted > MIRROR_MAX)
		refuse("the size can be 4096 bytes at most");
	if (replicas < 1 || replicas > CONNECTIONS_MAX)
		refuse("from 1 to 256 connections are possible");
	if (!(interval > 0 && interval < 1e6))
		refuse("the interval has to be a positive number of seconds");
	size = (size_t)wanted;
	if (protocol != NULL)
		protocols[0].name = protocol;

	context = libwebsocket_create_context(CONTEXT_PORT_NO_LISTEN, NULL, protocols, NULL, NULL, -1, -1, 0);
	if (context == NULL)
		refuse("Creating libwebsocket context failed");
	while (connection_count < replicas) {
		wsi = libwebsocket_client_connect(context, address, port, ssl, "/", address, "origin",
						  protocols[0].name, version);
		if (wsi == NULL) {
			fprintf(stderr, "client connect failed on connection %d\n", connection_count + 1);
			libwebsocket_context_destroy(context);
			return 1;
		}
		connections[connection_count++] = wsi;
		open_count++;
	}
	libwebsockets_get_peer_addresses(libwebsocket_get_socket_fd(connections[0]), name, sizeof name, ip,
					 sizeof ip);
	fprintf(stderr, "Websocket PING %s (%s) %d bytes of data.\n", name, ip, wanted);

	memset(&action, 0, sizeof action);
	action.sa_handler = interrupt;
	sigaction(SIGINT, &action, NULL);
	start = microseconds();
	run(context, flood ? FLOOD_US : (long long)(interval * 1e6));
	print_statistics(name, microseconds() - start);
	libwebsocket_context_destroy(context);
	return 0;
}
