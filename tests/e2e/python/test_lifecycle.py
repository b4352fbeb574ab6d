"""The first start, a restart, and a second server on the same file."""

import pytest

from hallpass import TOKENS, Server, wait_until
from test_http import issue, problem


@pytest.fixture
def own_server(tmp_path):
    """A server that a test starts and stops as it likes; whatever it leaves running is stopped."""
    server = Server(tmp_path).start()
    yield server
    server.stop()


def test_without_an_api_key_it_starts_and_waits_for_one(own_server):
    with own_server.http() as anonymous:
        assert anonymous.get("/healthz").status_code == 200
        problem(anonymous.get("/readyz"), 503)
        key = own_server.new_api_key()["key"]
        wait_until(lambda: anonymous.get("/readyz").status_code == 200, "readiness", deadline=2)
    assert "api-key create" in own_server.log.read_text()
    with own_server.http(key) as http:
        issue(http)


def test_a_restart_keeps_tokens_revocations_and_keys(own_server):
    key = own_server.new_api_key()["key"]
    with own_server.http(key) as http:
        kept, revoked = issue(http).json()["token"], issue(http).json()["token"]
        http.delete(f"{TOKENS}/{revoked}")
        published = http.get("/.well-known/jwks.json").json()
    own_server.stop()
    own_server.log.unlink()
    own_server.start()
    with own_server.http(key) as http:
        assert [entry["token"] for entry in http.get(TOKENS).json()["tokens"]] == [kept]
        assert http.post("/oauth/introspect", data={"token": kept}).json()["active"] is True
        assert http.post("/oauth/introspect", data={"token": revoked}).json() == {"active": False}
        assert http.get("/.well-known/jwks.json").json() == published


def test_the_master_key_is_for_its_owner_alone(own_server):
    files = [path for path in own_server.directory.iterdir() if path.suffix == ".master-key"]
    assert [path.name for path in files] == ["hallpass.master-key"]
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_a_second_server_on_the_same_file_refuses_to_start(own_server):
    second = Server(own_server.directory)
    second.log = own_server.directory / "second.log"
    with pytest.raises(AssertionError, match="ended at its start"):
        second.start()
    assert f"another server is using `{own_server.database}`" in second.log.read_text()
    with own_server.http() as anonymous:
        assert anonymous.get("/healthz").status_code == 200
