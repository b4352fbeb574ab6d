import shutil

import pytest

from gateway import API_KEY, backend, connect, issue, make_agent, page
from hallpass import Server
from model import Model
from relay import Relay
from upstream import INSTALLED, PASSWORD, Letta

# The steps that one message may take.
MAX_STEPS = 3


@pytest.fixture(scope="session")
def model():
    model = Model().start()
    yield model
    model.stop()


@pytest.fixture(scope="session")
def letta(model):
    letta = Letta(model.url).start()
    yield letta
    # The last run's stays, for whoever looks into a failure.
    shutil.copy(letta.log, INSTALLED / "letta.log")
    letta.stop()


@pytest.fixture(scope="session")
def relay(letta):
    relay = Relay(letta.url).start()
    yield relay
    relay.stop()


@pytest.fixture(scope="session")
def start_server(relay, tmp_path_factory):
    """Starts Hallpass before Letta, with other settings than the tests' usual ones."""
    servers = []

    def start(**settings):
        server = Server(tmp_path_factory.mktemp("hallpass"), **{
            "HALLPASS_API_KEY": API_KEY,
            "HALLPASS_GATEWAY__UPSTREAM": relay.url,
            "HALLPASS_GATEWAY__UPSTREAM_TOKEN": PASSWORD,
            "HALLPASS_GATEWAY__MAX_STEPS": str(MAX_STEPS),
        } | settings)
        server.api_keys += [API_KEY, PASSWORD]
        servers.append(server.start())
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(start_server):
    return start_server()


@pytest.fixture(scope="session")
def admin(letta):
    """Past the gateway."""
    with letta.http() as http:
        yield http


@pytest.fixture(scope="session")
def key(server):
    """The backend's own way through the gateway."""
    with backend(server) as http:
        yield http


@pytest.fixture(scope="session")
def a(key):
    return make_agent(key, "agent-a")


@pytest.fixture(scope="session")
def b(key):
    return make_agent(key, "agent-b")


@pytest.fixture
def token(server, a):
    """All that a token can grant for agent A, and nothing for B."""
    return issue(server, a)


@pytest.fixture
def http(server, token):
    with page(server, token) as http:
        yield http


@pytest.fixture
def sdk(server, token):
    return connect(server, token)
