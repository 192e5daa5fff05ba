#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *running = "(start)";

void check_run(const char *name, void (*test)(void))
{
	running = name;
	test();
	printf("ok %s\n", name);
	fflush(stdout);
}

static void begin_failure(const char *file, int line, const char *what)
{
	const char *name = strrchr(file, '/');

	fflush(stdout);
	fprintf(stderr, "FAILED %s\n%s:%d: %s", running, name != NULL ? name + 1 : file, line, what);
}

static void end_failure(void)
{
	fprintf(stderr, "\n");
	exit(1);
}

void check_true(const char *file, int line, const char *what, int holds)
{
	if (holds)
		return;
	begin_failure(file, line, what);
	end_failure();
}

void check_int(const char *file, int line, const char *what, long long actual, long long expected)
{
	if (actual == expected)
		return;
	begin_failure(file, line, what);
	fprintf(stderr, " is %lld, expected %lld", actual, expected);
	end_failure();
}

void check_text(const char *file, int line, const char *what, const char *actual, const char *expected)
{
	if (actual != NULL && expected != NULL && strcmp(actual, expected) == 0)
		return;
	begin_failure(file, line, what);
	fprintf(stderr, " is\n  %s\nexpected\n  %s", actual != NULL ? actual : "(NULL)",
		expected != NULL ? expected : "(NULL)");
	end_failure();
}

static void print_bytes(const unsigned char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len && i < 64; i++)
		fprintf(stderr, " %02x", bytes[i]);
	if (i < len)
		fprintf(stderr, " ...");
	fprintf(stderr, " (%lu bytes)", (unsigned long)len);
}

void check_bytes(const char *file, int line, const char *what, const void *actual, size_t len,
		 const void *expected, size_t expected_len)
{
	if (len == expected_len && (len == 0 || memcmp(actual, expected, len) == 0))
		return;
	begin_failure(file, line, what);
	fprintf(stderr, " is\n ");
	print_bytes((const unsigned char *)actual, len);
	fprintf(stderr, "\nexpected\n ");
	print_bytes((const unsigned char *)expected, expected_len);
	end_failure();
}
