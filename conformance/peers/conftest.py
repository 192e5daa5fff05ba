"""Fixtures: the command as a server, on every driver; and measurements, told at the end of the run."""
from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator

import pytest

from harness import Server


@pytest.fixture(scope='session', params=['epoll', 'uring', 'poll'])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for all tests that leave nothing behind on it."""
    server = Server('--driver', request.param)
    yield server
    server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers of one's own; each must still be well at the end of the test."""
    started: list[Server] = []

    def start(*arguments: str, **options: object) -> Server:
        started.append(Server(*arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    try:
        for server in started:
            if server.running():
                server.stop()
            assert 'panicked' not in server.stderr(), server.stderr()
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps a line for the summary of the run."""
    return functools.partial(record_property, 'measured')


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [str(value) for reports in terminalreporter.stats.values() for report in reports
             if getattr(report, 'when', None) == 'call'
             for name, value in report.user_properties if name == 'measured']
    if lines:
        terminalreporter.section('measured')
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope='session')
def here() -> pathlib.Path:
    return pathlib.Path(__file__).resolve().parent
