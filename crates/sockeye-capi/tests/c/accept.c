/* Connections of a server come about: the order of callbacks, the filters, the choice of a protocol. */
#include "harness.h"

#include <string.h>

static void callbacks_come_in_order(void)
{
	struct peer peer;
	const struct event *established;
	int n;

	start();
	peer = upgrade(context, port, "one");
	say_frame(&peer, 0x81, "Hello", 5);
	await(context, LWS_CALLBACK_RECEIVE, 1);
	hang_up(&peer);
	await(context, LWS_CALLBACK_CLOSED, 1);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 1:FILTER_PROTOCOL 1:ESTABLISHED 1:RECEIVE(5) 0:DEL 1:CLOSED");

	established = nth(LWS_CALLBACK_ESTABLISHED, 0);
	CHECK(established->context == context);
	CHECK(established->wsi != NULL && established->user != NULL);
	CHECK(nth(LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, 0)->wsi == established->wsi);
	CHECK(nth(LWS_CALLBACK_RECEIVE, 0)->wsi == established->wsi);
	CHECK(nth(LWS_CALLBACK_RECEIVE, 0)->user == established->user);
	CHECK(nth(LWS_CALLBACK_ADD_POLL_FD, 0)->wsi == established->wsi);
	CHECK(nth(LWS_CALLBACK_DEL_POLL_FD, 0)->wsi == established->wsi);
	CHECK(nth(LWS_CALLBACK_CLOSED, 0)->wsi == established->wsi);
	CHECK(nth(LWS_CALLBACK_CLOSED, 0)->user == established->user);
	CHECK(nth(LWS_CALLBACK_ADD_POLL_FD, 0)->user == nth(LWS_CALLBACK_DEL_POLL_FD, 0)->user);
	CHECK(nth(LWS_CALLBACK_ADD_POLL_FD, 0)->user == nth(LWS_CALLBACK_FILTER_NETWORK_CONNECTION, 0)->user);
	CHECK_INT(nth(LWS_CALLBACK_ADD_POLL_FD, 0)->len, POLLIN);
	/* Nothing that is not told to be there is there. */
	for (n = 0; n < 2; n++) {
		const struct event *event = n ? nth(LWS_CALLBACK_CLOSED, 0) : established;

		CHECK(event->in == NULL);
		CHECK_INT(event->len, 0);
	}
	finish();
}

static int refuse_network(const struct event *event)
{
	return event->reason == LWS_CALLBACK_FILTER_NETWORK_CONNECTION;
}

static void the_network_filter_hangs_up_without_a_word(void)
{
	struct peer peer;

	start();
	on_event = refuse_network;
	peer = dial(context, port);
	CHECK_INT(hear_end(&peer, NULL, 0), 0);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK");
	CHECK((long)last(LWS_CALLBACK_FILTER_NETWORK_CONNECTION)->user > 2);
	hang_up(&peer);
	finish();
}

static int refuse_protocol(const struct event *event)
{
	return event->reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION;
}

static void the_protocol_filter_hangs_up_without_an_answer(void)
{
	struct peer peer;

	start();
	on_event = refuse_protocol;
	peer = dial(context, port);
	say_text(&peer, upgrade_request("two", ""));
	CHECK_INT(hear_end(&peer, NULL, 0), 0);
	CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 2:FILTER_PROTOCOL 0:DEL");
	hang_up(&peer);
	finish();
}

static struct lws_tokens seen[WSI_TOKEN_COUNT];
static char values[WSI_TOKEN_COUNT][128];

static int keep_tokens(const struct event *event)
{
	const struct lws_tokens *tokens = (const struct lws_tokens *)event->user;
	int i;

	if (event->reason != LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
		return 0;
	for (i = 0; i < WSI_TOKEN_COUNT; i++) {
		seen[i] = tokens[i];
		if (tokens[i].token == NULL)
			continue;
		CHECK_INT(strlen(tokens[i].token), tokens[i].token_len);
		CHECK(tokens[i].token_len < (int)sizeof values[i]);
		strcpy(values[i], tokens[i].token);
	}
	CHECK(event->in == NULL);
	return 0;
}

static void the_protocol_filter_sees_the_headers(void)
{
	static const int absent[] = { WSI_TOKEN_KEY1, WSI_TOKEN_KEY2, WSI_TOKEN_DRAFT, WSI_TOKEN_CHALLENGE,
				      WSI_TOKEN_SWORIGIN, WSI_TOKEN_ACCEPT, WSI_TOKEN_NONCE, WSI_TOKEN_HTTP };
	struct peer peer;
	size_t i;

	start();
	on_event = keep_tokens;
	peer = dial(context, port);
	say_text(&peer, upgrade_request("one", "Origin:   http://example.org\r\nSec-WebSocket-Extensions: x-none\r\n"));
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK_TEXT(values[WSI_TOKEN_GET_URI], "/chat?a=b");
	CHECK_TEXT(values[WSI_TOKEN_HOST], "example");
	CHECK_TEXT(values[WSI_TOKEN_CONNECTION], "Upgrade");
	CHECK_TEXT(values[WSI_TOKEN_UPGRADE], "websocket");
	CHECK_TEXT(values[WSI_TOKEN_PROTOCOL], "one");
	CHECK_TEXT(values[WSI_TOKEN_ORIGIN], "http://example.org");
	CHECK_TEXT(values[WSI_TOKEN_KEY], "dGhlIHNhbXBsZSBub25jZQ==");
	CHECK_TEXT(values[WSI_TOKEN_VERSION], "13");
	CHECK_TEXT(values[WSI_TOKEN_EXTENSIONS], "x-none");
	for (i = 0; i < sizeof absent / sizeof *absent; i++) {
		CHECK(seen[absent[i]].token == NULL);
		CHECK_INT(seen[absent[i]].token_len, 0);
	}
	hang_up(&peer);
	finish();
}

static void a_protocol_is_the_first_offered_that_there_is(void)
{
	static const struct {
		const char *offered;
		const char *chosen;
		int index;
	} cases[] = { { "two", "two", TWO }, { "zero, two, one", "two", TWO }, { "one,two", "one", ONE },
		      { "http-only", "http-only", HTTP } };
	struct peer peer;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		start();
		peer = dial(context, port);
		say_text(&peer, upgrade_request(cases[i].offered, ""));
		CHECK_TEXT(header(hear_head(&peer), "Sec-WebSocket-Protocol"), cases[i].chosen);
		await(context, LWS_CALLBACK_ESTABLISHED, 1);
		CHECK_INT(last(LWS_CALLBACK_ESTABLISHED)->protocol, cases[i].index);
		CHECK(libwebsockets_get_protocol(wsi_of(0)) == &protocols[cases[i].index]);
		hang_up(&peer);
		finish();
	}
}

static void without_a_protocol_in_common_nothing_is_established(void)
{
	static const char *const offered[] = { "three", "ONE", "one two", NULL };
	struct peer peer;
	size_t i;

	for (i = 0; i < sizeof offered / sizeof *offered; i++) {
		start();
		peer = dial(context, port);
		say_text(&peer, upgrade_request(offered[i], ""));
		hear_end(&peer, NULL, 0);
		hang_up(&peer);
		await(context, LWS_CALLBACK_DEL_POLL_FD, 1);
		CHECK_TEXT(trace(), "0:FILTER_NETWORK 0:ADD 0:DEL");
		finish();
	}
}

static void a_protocol_without_a_name_serves_those_who_name_none(void)
{
	const char *name = protocols[BARE].name;
	struct peer peer;

	protocols[BARE].name = NULL;
	start();
	peer = upgrade(context, port, NULL);
	await(context, LWS_CALLBACK_ESTABLISHED, 1);
	CHECK_INT(last(LWS_CALLBACK_ESTABLISHED)->protocol, BARE);
	/* It wants no session memory. */
	CHECK(last(LWS_CALLBACK_ESTABLISHED)->user == NULL);
	hang_up(&peer);
	finish();
	protocols[BARE].name = name;
}

static int use_session(const struct event *event)
{
	struct session *session = (struct session *)event->user;
	static const struct session zero;

	if (event->reason == LWS_CALLBACK_ESTABLISHED) {
		CHECK_BYTES(session, sizeof *session, &zero, sizeof zero);
		CHECK_INT((unsigned long)session % 16, 0);
		memset(session, 0xff, sizeof *session);
		session->value = 0;
	} else if (event->reason == LWS_CALLBACK_RECEIVE) {
		session->value += event->len;
	}
	return 0;
}

static void each_connection_has_memory_of_its_own_that_starts_with_zeros(void)
{
	struct peer a, b;
	int round;

	start();
	on_event = use_session;
	for (round = 0; round < 3; round++) {
		a = upgrade(context, port, "one");
		b = upgrade(context, port, "one");
		await(context, LWS_CALLBACK_ESTABLISHED, 2 * round + 2);
		CHECK(nth(LWS_CALLBACK_ESTABLISHED, 2 * round)->user != nth(LWS_CALLBACK_ESTABLISHED, 2 * round + 1)->user);
		say_frame(&a, 0x82, "12345", 5);
		say_frame(&b, 0x82, "12", 2);
		await(context, LWS_CALLBACK_RECEIVE, 2 * round + 2);
		CHECK_INT(((struct session *)nth(LWS_CALLBACK_ESTABLISHED, 2 * round)->user)->value, 5);
		CHECK_INT(((struct session *)nth(LWS_CALLBACK_ESTABLISHED, 2 * round + 1)->user)->value, 2);
		hang_up(&a);
		hang_up(&b);
		await(context, LWS_CALLBACK_CLOSED, 2 * round + 2);
	}
	finish();
}

int main(void)
{
	RUN(callbacks_come_in_order);
	RUN(the_network_filter_hangs_up_without_a_word);
	RUN(the_protocol_filter_hangs_up_without_an_answer);
	RUN(the_protocol_filter_sees_the_headers);
	RUN(a_protocol_is_the_first_offered_that_there_is);
	RUN(without_a_protocol_in_common_nothing_is_established);
	RUN(a_protocol_without_a_name_serves_those_who_name_none);
	RUN(each_connection_has_memory_of_its_own_that_starts_with_zeros);
	return 0;
}
