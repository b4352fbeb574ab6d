import contextlib
import itertools
import os
import sqlite3
import time

import pytest

from hallpass import Server

# A machine whose clock shows anything but UTC tells a time without an offset from a UTC time.
os.environ["TZ"] = "Asia/Kolkata"
time.tzset()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"), HALLPASS_TOKENS__MAX_TTL="48h").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def api_key(server):
    """A key of the project `default`."""
    return server.new_api_key()["key"]


@pytest.fixture
def new_project(server, _numbers=itertools.count(1)):
    """Makes a project that owns nothing yet, and returns an API key of it."""
    return lambda: server.new_api_key(project=f"project-{next(_numbers)}")["key"]


@pytest.fixture
def http(server, api_key):
    with server.http(api_key) as client:
        yield client


@pytest.fixture
def anonymous(server):
    with server.http() as client:
        yield client


@pytest.fixture
def locked_database(server):
    """Holds SQLite's write lock, as a backup or another program would."""
    @contextlib.contextmanager
    def lock():
        with contextlib.closing(sqlite3.connect(server.database, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    return lock
