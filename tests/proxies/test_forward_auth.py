"""The samples of docs/forward-auth.md: what Hallpass allows reaches the upstream as it must, and nothing else does.

The upstream remembers every request: whatever is refused must not have reached it, and whatever reached it must carry
nothing that the client could have made up.
"""

import contextlib
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

import gates
from claims import claims
from hallpass import TOKENS, Server, wait_until
from pages import samples
from proxies import Upstream, free_port
from wire import send

API_KEY = "a-static-API-key-for-the-tests"
ORIGIN = "https://app.example.com"
AGENT = "agent-3f0c8e5a-7b1d-4c2e-9a6f-0d1e2f3a4b5c"
OTHER_AGENT = "agent-9e8d7c6b-5a4f-4e3d-8c2b-1a0f9e8d7c6b"
EVERYTHING = ["read_messages", "write_messages", "read_agent", "write_agent"]
MEMORY = f"/v1/agents/{AGENT}/core-memory"
PASSAGES = f"/v1/agents/{AGENT}/archival-memory"
SECRET = "Bearer secret-of-the-upstream"
TOLD = ("x-hallpass-token-id", "x-hallpass-agent-id", "x-hallpass-access")
# Five seconds of leeway, and one for the rounding.
UNTIL_REFUSED = 6


class Hallpass:
    """A server with the page's settings, those for one proxy."""

    def __init__(self, family, directory):
        settings = gates.PAGE["hallpass.toml"]
        assert settings.count('"nginx"') == 1
        # The server reads it from the folder that it runs in.
        (directory / "hallpass.toml").write_text(settings.replace('"nginx"', f'"{family}"'))
        self.server = Server(directory, HALLPASS_API_KEY=API_KEY).start()
        self.server.api_keys.append(API_KEY)
        self.port = int(self.server.url.rsplit(":", 1)[1])
        self.all_of_it = self.issue()
        soon = datetime.now(timezone.utc) + timedelta(seconds=2)
        self.short_lived = self.issue(expires_at=soon.isoformat())

    def issue(self, access=EVERYTHING, agent=AGENT, hostname=ORIGIN, others=0, **more):
        policy = [{"type": "agent", "id": agent, "access": access}]
        policy += [{"type": "agent", "id": f"agent-{uuid.uuid4()}", "access": EVERYTHING} for _ in range(others)]
        with self.server.http(API_KEY) as http:
            answer = http.post(TOKENS, json={"hostname": hostname, "policy": policy} | more)
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]

    def delete(self, token):
        with self.server.http(API_KEY) as http:
            assert http.delete(f"{TOKENS}/{claims(token)['jti']}").status_code == 204


@pytest.fixture(scope="session")
def every_hallpass(request, tmp_path_factory):
    """One for each proxy that is tested, all started first: so what must expire does so for all of them at once."""
    wanted = {item.callspec.params.get("gated") for item in request.session.items if hasattr(item, "callspec")}
    with contextlib.ExitStack() as stack:
        every = {}
        for family in wanted & set(gates.ALL):
            every[family] = Hallpass(family, tmp_path_factory.mktemp(f"hallpass-{family}"))
            stack.callback(every[family].server.stop)
        yield every


class Gated:
    """A running proxy, and one request to it at a time."""

    def __init__(self, name, hallpass, upstream, directory):
        self.name, self.hallpass, self.upstream = name, hallpass, upstream
        self.directory = directory
        self.program = gates.ALL[name](directory, hallpass.port, upstream.port).start()

    def send(self, method, target, token=None, header=(), origin=ORIGIN, body=None):
        """Returns the answer and the requests that came out behind."""
        self.upstream.received.clear()
        fields = [("Origin", origin)] if origin is not None else []
        if token is not None:
            fields.append(("Authorization", f"Bearer {token}"))
        answer = send(self.program.port, method, target, [*fields, *header], body)
        return answer, list(self.upstream.received)

    def passes(self, method, target, token, **more):
        """Sends what must pass, and returns the one request that reached the upstream."""
        answer, behind = self.send(method, target, token, **more)
        assert answer.status == 200, (answer, self.program.output)
        assert answer.json() == {"of": "upstream"}
        [received] = behind
        self.is_clean(received, token)
        assert (received.method, received.target) == (method, target)
        return received

    def is_clean(self, received, token, agent=AGENT):
        """Holds a request at the upstream to what Hallpass and the proxy say, in every spelling."""
        assert received.values("authorization") == [SECRET]
        assert received.values("x-hallpass-token-id") == [claims(token)["jti"]]
        # nginx sends no empty fields.
        assert received.values("x-hallpass-agent-id") == ([] if self.name == "nginx" and not agent else [agent])
        for name in ("cookie", "origin", "user-id", "x-bare-password", "x-original-uri", "x-original-method"):
            assert received.values(name) == [], name
        token_parts = set(token.split("."))
        for _, value in received.header:
            assert not any(part in value for part in token_parts), "the upstream saw the token"

    def refuses(self, method, target, token=None, status=403, reason=None, **more):
        answer, behind = self.send(method, target, token, **more)
        assert behind == []
        assert answer.status == status, answer
        if reason is not None:
            assert answer.values("content-type") == ["application/problem+json"]
            assert answer.json()["reason"] == reason
            assert len(answer.values("x-request-id")) == 1
            assert answer.values("cache-control") == ["no-store"]
        return answer

    def stop(self):
        self.program.stop()


@pytest.fixture(scope="module", params=gates.ALL)
def gated(request, every_hallpass, tmp_path_factory):
    upstream = Upstream()
    running = Gated(request.param, every_hallpass[request.param], upstream, tmp_path_factory.mktemp(request.param))
    yield running
    running.stop()
    upstream.stop()


@pytest.fixture
def token(gated):
    """A token that may do everything with the agent."""
    return gated.hallpass.all_of_it


def test_every_file_of_the_page_is_run():
    assert set(samples("forward-auth.md")) == {
        "hallpass.toml", "hallpass.conf", "traefik.yaml", "agents.yaml", "Caddyfile", "envoy-forward-auth.yaml",
        "hallpass.lua", "forward-auth.cfg",
    }


class TestWhatPasses:
    def test_the_upstream_learns_who_and_what_for_and_sees_no_token(self, gated):
        token = gated.hallpass.issue(["read_agent"])
        received = gated.passes("GET", MEMORY, token)
        assert received.values("x-hallpass-access") == ["read_agent"]

    def test_a_request_for_no_agent_says_so(self, gated, token):
        spoofed = [("X-Hallpass-Agent-Id", OTHER_AGENT), ("X-Hallpass-Access", "write_agent")]
        answer, [received] = gated.send("GET", "/v1/health", token, header=spoofed)
        assert answer.status == 200, answer
        gated.is_clean(received, token, agent="")
        assert received.values("x-hallpass-access") in ([""], [])

    def test_a_body_and_a_query_arrive_whole(self, gated, token):
        body = b'{"text":"' + b"x" * 100_000 + b'"}'
        received = gated.passes("POST", PASSAGES, token, header=[("Content-Type", "application/json")], body=body)
        assert received.body == body
        assert received.values("content-type") == ["application/json"]
        gated.passes("GET", f"{PASSAGES}?limit=3", token)

    def test_a_token_of_almost_the_greatest_size(self, gated):
        token = gated.hallpass.issue(others=39)
        assert 7_500 < len(token) < 8_192
        gated.passes("GET", MEMORY, token)

    def test_the_page_may_read_the_answer(self, gated, token):
        answer, _ = gated.send("GET", MEMORY, token)
        assert answer.values("access-control-allow-origin") == [ORIGIN]
        assert answer.values("access-control-allow-credentials") == []
        assert any("origin" in value.lower() for value in answer.values("vary"))

    def test_a_page_of_the_same_host_needs_no_origin(self, gated):
        token = gated.hallpass.issue(hostname="http://app.example.com:8080")
        same = [("Sec-Fetch-Site", "same-origin")]
        here, elsewhere = [("Host", "app.example.com:8080")], [("Host", "app.example.com")]
        gated.passes("GET", MEMORY, token, origin=None, header=here + same)
        gated.passes("GET", MEMORY, token, origin=None, header=[*here, *same, ("Referer", "http://app.example.com:8080/a")])
        # The scheme is the proxy's to say.
        over_tls = gated.hallpass.issue(hostname="https://app.example.com:8080")
        gated.refuses("GET", MEMORY, over_tls, origin=None, header=[*here, *same, ("X-Forwarded-Proto", "https")])
        for header in (
            here, elsewhere + same, [*here, ("Sec-Fetch-Site", "cross-site")],
            [*here, *same, ("Referer", "https://evil.example/")],
        ):
            gated.refuses("GET", MEMORY, token, origin=None, header=header)

    def test_a_preflight_is_answered_without_hallpass_and_upstream(self, gated):
        asked = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization,content-type")]
        answer, behind = gated.send("OPTIONS", PASSAGES, header=asked)
        assert behind == []
        assert answer.status in (200, 204)
        assert answer.values("access-control-allow-origin") == [ORIGIN]
        [methods], [names] = answer.values("access-control-allow-methods"), answer.values("access-control-allow-headers")
        assert "POST" in methods
        assert {"authorization", "content-type"} <= set(names.lower().replace(" ", "").split(","))

    def test_another_pages_preflight_is_not_granted(self, gated):
        asked = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization")]
        answer, behind = gated.send("OPTIONS", PASSAGES, origin="https://evil.example", header=asked)
        assert behind == []
        assert answer.values("access-control-allow-origin") == []


class TestWhatIsRefused:
    def test_without_a_token(self, gated):
        answer = gated.refuses("GET", MEMORY, status=401, reason="token_missing")
        assert answer.values("www-authenticate")[0].startswith("Bearer")

    @pytest.mark.parametrize("wrong", ["nonsense", "a.b.c", "{head}.{body}.", "{head}.{body}.{signature}x"])
    def test_with_what_is_no_token(self, gated, token, wrong):
        head, body, signature = token.split(".")
        wrong = wrong.format(head=head, body=body, signature=signature)
        answer = gated.refuses("GET", MEMORY, wrong, status=401, reason="invalid_token")
        assert answer.values("www-authenticate")[0].startswith("Bearer")

    def test_with_an_api_key(self, gated):
        gated.refuses("GET", MEMORY, API_KEY, status=401, reason="invalid_token")

    def test_once_the_token_is_deleted(self, gated):
        token = gated.hallpass.issue()
        gated.passes("GET", MEMORY, token)
        gated.hallpass.delete(token)
        gated.refuses("GET", MEMORY, token, status=401, reason="token_revoked")

    def test_once_the_token_has_expired(self, gated):
        token = gated.hallpass.short_lived
        over = claims(token)["exp"] + UNTIL_REFUSED
        wait_until(lambda: time.time() >= over, "expiry", deadline=2 + UNTIL_REFUSED)
        gated.refuses("GET", MEMORY, token, status=401, reason="token_expired")

    @pytest.mark.parametrize("origin, reason", [
        (None, "origin_missing"), ("https://evil.example", "origin_mismatch"), ("null", "origin_mismatch"),
        (f"{ORIGIN}:8443", "origin_mismatch"),
    ])
    def test_from_another_origin(self, gated, token, origin, reason):
        gated.refuses("GET", MEMORY, token, origin=origin, reason=reason)

    @pytest.mark.parametrize("second", [ORIGIN, "https://evil.example"])
    def test_from_two_origins(self, gated, token, second):
        gated.refuses("GET", MEMORY, token, origin="https://evil.example", header=[("Origin", ORIGIN)])
        if gated.name == "nginx":
            # It sees the first only, as the page says.
            gated.passes("GET", MEMORY, token, header=[("Origin", second)])
        else:
            gated.refuses("GET", MEMORY, token, header=[("Origin", second)], reason="origin_mismatch")

    def test_for_another_agent(self, gated, token):
        gated.refuses("GET", f"/v1/agents/{OTHER_AGENT}/core-memory", token, reason="agent_not_granted")

    def test_without_the_access(self, gated):
        gated.refuses("GET", MEMORY, gated.hallpass.issue(["write_agent"]), reason="access_missing")

    @pytest.mark.parametrize("method, target", [
        ("GET", f"/v1/agents/{AGENT}"), ("PATCH", f"/v1/agents/{AGENT}"),
        ("GET", f"/v1/agents/{AGENT}/messages"), ("POST", f"/v1/agents/{AGENT}/messages"),
    ])
    def test_what_needs_rewriting(self, gated, token, method, target):
        body = b"{}" if method != "GET" else None
        gated.refuses(method, target, token, reason="unchecked", body=body)

    def test_a_query_that_the_row_does_not_name(self, gated, token):
        gated.refuses("GET", f"{MEMORY}?include=secrets", token, reason="query_not_allowed")

    @pytest.mark.parametrize("method, target", [
        ("DELETE", f"/v1/agents/{AGENT}"), ("GET", f"/v1/agents/{AGENT}/export"), ("GET", "/v1/agents/"),
        ("DELETE", MEMORY), ("POST", TOKENS),
    ])
    def test_what_is_in_no_row(self, gated, token, method, target):
        gated.refuses(method, target, token, reason="route_not_allowed")

    @pytest.mark.parametrize("target", ["/", "/latest/health", "/hallpass", "/forward-auth", "/metrics"])
    def test_what_is_outside(self, gated, token, target):
        gated.refuses("GET", target, token, status=404)

    def test_the_page_may_read_why(self, gated):
        answer = gated.refuses("GET", MEMORY, status=401, reason="token_missing")
        assert answer.values("access-control-allow-origin") == [ORIGIN]
        assert answer.values("access-control-allow-credentials") == []

    def test_another_page_may_not_read_anything(self, gated, token):
        answer = gated.refuses("GET", MEMORY, token, origin="https://evil.example", reason="origin_mismatch")
        # Traefik's names the right page to every page.
        assert answer.values("access-control-allow-origin") == ([ORIGIN] if gated.name == "traefik" else [])
        assert answer.values("access-control-allow-credentials") == []

    def test_while_hallpass_is_away(self, gated, token, tmp_path):
        gate = gates.ALL[gated.name](tmp_path, free_port(), gated.upstream.port)
        program = gate.start()
        try:
            gated.upstream.received.clear()
            answer = send(program.port, "GET", MEMORY, [("Origin", ORIGIN), ("Authorization", f"Bearer {token}")])
            assert answer.status in (403, 500, 502, 503), answer
            assert gated.upstream.received == []
        finally:
            program.stop()


# What says, to one proxy or another or to what stands behind, what a request is for.
SAYS_TARGET = [
    "X-Original-URI", "x-original-uri", "X_Original_URI", "x_original_uri", "X-Original_URI", "X.Original.URI", "X-Original-Url",
    "X-Forwarded-Uri", "X-FORWARDED-URI", "X_Forwarded_Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Rewrite-Url",
    "X-Envoy-Original-Path", "X-Replaced-Path", "X-Auth-Request-Redirect",
]
SAYS_METHOD = [
    "X-Original-Method", "x_original_method", "X-Forwarded-Method", "x_forwarded_method", "X-HTTP-Method-Override",
]


class TestWhatIsMadeUp:
    @pytest.mark.parametrize("name", SAYS_TARGET)
    def test_a_target_in_a_header_opens_nothing_and_closes_nothing(self, gated, token, name):
        gated.refuses("GET", f"/v1/agents/{AGENT}", token, header=[(name, MEMORY)])
        gated.refuses("GET", f"/v1/agents/{AGENT}/export", token, header=[(name, MEMORY), (name, MEMORY)])
        received = gated.passes("GET", MEMORY, token, header=[(name, "/v1/agents/")])
        if name.lower().startswith(("x-original", "x-forwarded")):
            assert "/v1/agents/" not in received.values(name)

    @pytest.mark.parametrize("name", SAYS_METHOD)
    def test_a_method_in_a_header_opens_nothing_and_closes_nothing(self, gated, token, name):
        gated.refuses("DELETE", MEMORY, token, header=[(name, "GET")])
        gated.passes("GET", MEMORY, token, header=[(name, "DELETE")])

    @pytest.mark.parametrize("name", TOLD)
    def test_what_hallpass_says_is_not_the_clients_to_say(self, gated, token, name):
        mixed = name.replace("x-hallpass-", "X-Hallpass_")
        for spelling in (name, name.upper(), name.title(), name.replace("-", "_"), name.replace("-", "."), mixed):
            received = gated.passes("GET", MEMORY, token, header=[(spelling, "made-up"), (spelling, "twice")])
            assert all("made-up" not in value and "twice" not in value for _, value in received.header)
            assert len(received.values(name)) == 1

    @pytest.mark.parametrize("name", [
        "X-Bare-Password", "x_bare_password", "user_id", "User-Id", "Cookie", "X-Agent-Id", "X-Run-Id",
        "X-Organization-Id", "X-Letta-Source",
    ])
    def test_what_the_upstream_obeys_stays_out(self, gated, token, name):
        received = gated.passes("GET", MEMORY, token, header=[(name, "made-up=1")])
        assert received.values(name) == []

    def test_a_second_authorization_reaches_nobody(self, gated, token):
        for fields in (
            [("Authorization", "Bearer made-up")], [("authorization", SECRET)], [("Proxy-Authorization", SECRET)],
            [("X-Authorization", SECRET)],
        ):
            _, behind = gated.send("GET", MEMORY, token, header=fields)
            for received in behind:
                gated.is_clean(received, token)

    @pytest.mark.parametrize("name", [*TOLD, "authorization"])
    def test_connection_takes_nothing_away(self, gated, token, name):
        """A field that `Connection` names is dropped by the next hop: it must not be one that was just set."""
        answer, behind = gated.send("GET", MEMORY, token, header=[("Connection", f"close, {name}")])
        assert answer.status in (200, 400, 401, 403), answer
        for received in behind:
            gated.is_clean(received, token)
            assert all(len(received.values(told)) == 1 for told in TOLD)


class TestPathConfusion:
    """Whatever a target means to whom: what reaches the upstream is what Hallpass was asked about, or nothing."""

    @pytest.mark.parametrize("target", [
        f"/v1/agents/{AGENT}/core-memory/../messages", f"/v1/agents/{OTHER_AGENT}/../{AGENT}/core-memory",
        f"/v1/agents/{AGENT}/core-memory/%2e%2e/messages", f"/v1/agents/{AGENT}/core-memory/..%2fmessages",
        f"/v1/agents/{AGENT}%2fcore-memory", f"/v1/agents/{AGENT}%252fcore-memory", f"//v1/agents/{AGENT}/core-memory",
        f"/v1//agents/{AGENT}/core-memory", f"/v1/./agents/{AGENT}/core-memory", f"/v1/agents/{AGENT}/core-memory;x=1",
        f"/v1/agents/{AGENT}/core-memory%3finclude=x", f"/v1/agents/{AGENT}/core-memory%00", f"/v1/agents\\{AGENT}\\core-memory",
        f"/v1/agents/{AGENT}/core-memory?a=/../../messages", f"/v1/agents/{AGENT}/core-memory?", f"{MEMORY}#x", f"{MEMORY}/",
        f"/V1/agents/{AGENT}/core-memory", f"/v1/agents/{AGENT.upper()}/core-memory", f"/v1/agents/{AGENT}/%63ore-memory",
        f"http://127.0.0.1/v1/agents/{AGENT}/core-memory", f"http://127.0.0.1/v1/agents/{OTHER_AGENT}/core-memory",
        "*", f"v1/agents/{AGENT}/core-memory", f"/v1/agents/{AGENT}/messages?x=/core-memory", "/v1/..;/forward-auth",
        "/v1/../hallpass", "/v1/%2e%2e/hallpass",
    ])
    def test_an_odd_target(self, gated, token, target):
        answer, behind = gated.send("GET", target, token)
        assert (answer.status == 200) == bool(behind), answer
        for received in behind:
            gated.is_clean(received, token)
            plain = received.target.replace("http://127.0.0.1", "").replace("%63", "c").removesuffix("?").removesuffix("/")
            assert plain == MEMORY, received.target

    def test_both_lengths_of_a_body_smuggle_nothing(self, gated, token):
        inner = f"GET /v1/agents/ HTTP/1.1\r\nHost: x\r\nAuthorization: {SECRET}\r\n\r\n".encode()
        body = b"0\r\n\r\n" + inner
        with contextlib.suppress(ConnectionError):
            gated.send("POST", PASSAGES, token, header=[("Transfer-Encoding", "chunked")], body=body)
        for received in gated.upstream.received:
            assert received.target == PASSAGES
