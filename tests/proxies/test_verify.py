"""The samples of docs/verify.md: each lets a good token through, and nothing that has one thing wrong.

The key set that they read was taken before a rotation and the tokens were issued after it, so that each good token also
shows that a rotation goes unnoticed. Where the sample stands before a server, that server must not hear of what is refused.
"""

import subprocess
import sys

import httpx
import pytest

import guards
from claims import claims, header
from hallpass import TOKENS, Server, wait_until
from pages import fill_in, samples
from proxies import Upstream, free_port
from tokens import AGENT, ISSUER, NOT_GRANTED, ORIGIN, WRONG, Key, KeySet, issue, wrong_ones

PATH = f"/agents/{AGENT}/messages"
API_KEY = "a-static-API-key-for-the-tests"


class Setting:
    """A Hallpass that signs by the algorithm, what it published before a rotation, and a key of the test's own."""

    def __init__(self, algorithm, directory):
        self.server = Server(
            directory, HALLPASS_SERVER__PUBLIC_URL=ISSUER, HALLPASS_SIGNING__ALGORITHM=algorithm,
            HALLPASS_API_KEY=API_KEY,
        ).start()
        self.server.api_keys.append(API_KEY)
        try:
            published = httpx.get(f"{self.server.url}/.well-known/jwks.json").json()["keys"]
            before = kid(issue(self.server))
            # By force, since the next key was published just now: what the verifiers know is a set of before.
            self.server.cli("signing-key", "rotate", "--force")
            wait_until(lambda: kid(issue(self.server)) != before, "signing by the next key")
            self.key = Key(algorithm)
            self.key_set = KeySet([*published, self.key.jwk])
            self.good = issue(self.server)
            self.wrong = wrong_ones(self.good, self.key)
        except BaseException:
            self.server.stop()
            raise

    def stop(self):
        self.key_set.stop()
        self.server.stop()


def kid(token):
    return header(token)["kid"]


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    made = {}

    def setting(algorithm):
        if algorithm not in made:
            made[algorithm] = Setting(algorithm, tmp_path_factory.mktemp(algorithm))
        return made[algorithm]

    yield setting
    for each in made.values():
        each.stop()


def test_the_export_for_haproxy_follows_the_key_set(tmp_path):
    def export(*keys):
        """Runs the script on a set of these keys; returns what it said and the files that it left."""
        key_set = KeySet([key.jwk for key in keys])
        script = tmp_path / "export-keys.py"
        script.write_text(fill_in(samples("verify.md")["export-keys.py"], {"hallpass": key_set.port}, {}))
        command = [sys.executable, "-W", "error", script, tmp_path / "pem"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        key_set.stop()
        return result, {path.name: path.read_bytes() for path in (tmp_path / "pem").iterdir()}

    (tmp_path / "pem").mkdir()
    first, second, third, fourth = (Key("ES256") for _ in range(4))
    for keys, said, pems in (
        ([first, Key("EdDSA"), second], "changed", [first, second, first]),
        ([first, second], "same", [first, second, first]),
        ([second, third], "changed", [second, third, second]),
        ([first, second, third], "changed", [first, second, third]),
    ):
        result, files = export(*keys)
        assert (result.returncode, result.stdout) == (0, f"{said}\n"), result
        assert files == {f"{number}.pem": key.pem for number, key in enumerate(pems, 1)}
    # What can't be exported leaves what is there.
    for keys in ([first, second, third, fourth], [Key("EdDSA")]):
        result, after = export(*keys)
        assert result.returncode == 1
        assert after == files


class Guarded:
    """A running sample, and one request to it at a time."""

    def __init__(self, guard, setting, upstream, directory):
        self.guard, self.setting, self.upstream = guard, setting, upstream
        hallpass = httpx.URL(setting.server.url).port if guard.asks else setting.key_set.port
        self.program = guard.start(directory, hallpass, upstream.port, API_KEY)
        self._http = httpx.Client(base_url=self.program.url, timeout=10, trust_env=False)

    def request(self, token, path=PATH, method="GET", headers=None):
        """Sends a request; returns its status and the requests that came out behind."""
        self.upstream.received.clear()
        headers = [("Origin", ORIGIN)] if headers is None else headers
        if token is not None:
            headers = [("Authorization", f"Bearer {token}"), *headers]
        answer = self._http.request(method, path, headers=headers)
        return answer.status_code, list(self.upstream.received)

    def refuses(self, *arguments, status=(401, 403), **named):
        got, behind = self.request(*arguments, **named)
        assert got in status, got
        assert behind == []

    def stop(self):
        self._http.close()
        self.program.stop()


@pytest.fixture(scope="module", params=guards.ALL)
def guarded(request, settings, tmp_path_factory):
    guard = guards.ALL[request.param]
    upstream = Upstream()
    running = Guarded(guard, settings(guard.algorithm), upstream, tmp_path_factory.mktemp(request.param))
    yield running
    running.stop()
    upstream.stop()


def test_every_file_of_the_page_is_run():
    assert set(samples("verify.md")) == {
        "envoy.yaml", "export-keys.py", "haproxy.cfg", "hallpass.js", "agents.conf", "guard.mjs", "guard.py",
    }


def test_a_good_token_passes(guarded):
    good = [guarded.setting.good]
    if not guarded.guard.asks:
        # The counterpart of the wrong ones, which are signed by the same key.
        good.append(guarded.setting.key.sign(claims(guarded.setting.good)))
    for token in good:
        status, behind = guarded.request(token)
        assert status == 200, guarded.program.output
        if not isinstance(guarded.guard, guards.InCode):
            [received] = behind
            assert (received.method, received.target) == ("GET", PATH)
            assert received.values("authorization") == []


def test_a_token_of_almost_the_greatest_size_passes(guarded):
    token = issue(guarded.setting.server, others=58)
    assert 7_500 < len(token) < 8_192, len(token)
    assert guarded.request(token)[0] == 200, guarded.program.output


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_token_is_refused(guarded, kind):
    token = guarded.setting.wrong[kind]
    guarded.refuses(token, status=(403,) if kind in NOT_GRANTED and not guarded.guard.asks else (401, 403))


def test_a_request_without_a_token_is_refused(guarded):
    guarded.refuses(None)
    for value in ("", "Bearer", f"Basic {guarded.setting.good}", guarded.setting.good, "Bearer a.b.c", "Bearer ..", "Bearer e30.e30.e30"):
        guarded.refuses(None, headers=[("Authorization", value), ("Origin", ORIGIN)])


@pytest.mark.parametrize("values", [
    [], ["https://evil.example"], ["null"], [""], [f"{ORIGIN}/"], [ORIGIN.upper()], [f"{ORIGIN}:443"],
    [ORIGIN, ORIGIN], [ORIGIN, "https://evil.example"], ["https://evil.example", ORIGIN],
], ids=lambda values: "+".join(values) or "none")
def test_another_origin_is_refused(guarded, values):
    guarded.refuses(guarded.setting.good, headers=[("Origin", value) for value in values], status=(403,))


@pytest.mark.parametrize("path", [
    "/agents/agent-2/messages", "/agents/agent-1", "/agents/agent-1/messages/1", "/agents/agent-1/messages/../../agent-2/messages",
    "/agents/agent-2/../agent-1/core-memory", "/agents/agent-1%2F..%2Fagent-2/messages", "/agents/agent-1;x/messages", "/",
])
def test_another_path_is_refused(guarded, path):
    guarded.refuses(guarded.setting.good, path=httpx.URL(guarded.program.url, raw_path=path.encode()), status=(400, 403, 404))


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_another_method_is_refused(guarded, method):
    guarded.refuses(guarded.setting.good, method=method, status=(403, 404, 405))


def test_a_deleted_token_is_refused_by_those_that_ask(guarded):
    token = issue(guarded.setting.server)
    assert guarded.request(token)[0] == 200
    with guarded.setting.server.http(API_KEY) as http:
        assert http.delete(f"{TOKENS}/{token}").status_code == 204
    # That the others let it pass is what the page opens with.
    assert guarded.request(token)[0] == (401 if guarded.guard.asks else 200)


def test_without_keys_or_an_answer_nothing_passes(guarded, tmp_path):
    if isinstance(guarded.guard, guards.Haproxy):
        # It has the keys in files, which the test of the export is about.
        return
    guard = type(guarded.guard)(guarded.guard.algorithm)
    program = guard.start(tmp_path, free_port(), guarded.upstream.port, API_KEY)
    try:
        guarded.upstream.received.clear()
        answer = httpx.get(
            program.url + PATH, headers={"Origin": ORIGIN, "Authorization": f"Bearer {guarded.setting.good}"},
            timeout=10, trust_env=False,
        )
        assert answer.status_code in (401, 403, 500, 502, 503), answer
        assert guarded.upstream.received == []
    finally:
        program.stop()
