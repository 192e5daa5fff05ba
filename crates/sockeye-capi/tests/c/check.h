/* Assertions: the first that fails is told with its place, and ends the program with status 1. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

#define CHECK(condition) check_true(__FILE__, __LINE__, #condition, (condition) != 0)
#define CHECK_INT(actual, expected) check_int(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define CHECK_TEXT(actual, expected) check_text(__FILE__, __LINE__, #actual, (actual), (expected))
#define CHECK_BYTES(actual, len, expected, expected_len) \
	check_bytes(__FILE__, __LINE__, #actual, (actual), (len), (expected), (expected_len))
/* Says what went wrong where there is no value to compare. */
#define FAIL(what) check_true(__FILE__, __LINE__, what, 0)

/* Runs a test, whose name is told when something fails in it. */
#define RUN(test) check_run(#test, test)

extern void check_run(const char *name, void (*test)(void));
extern void check_true(const char *file, int line, const char *what, int holds);
extern void check_int(const char *file, int line, const char *what, long long actual, long long expected);
extern void check_text(const char *file, int line, const char *what, const char *actual, const char *expected);
extern void check_bytes(const char *file, int line, const char *what, const void *actual, size_t len,
			const void *expected, size_t expected_len);

#endif
