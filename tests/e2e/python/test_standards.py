"""The endpoints that any OAuth library may use: keys, metadata, introspection (RFC 7662), revocation (RFC 7009)."""

import base64
import re

import pytest

from claims import claims
from hallpass import PUBLIC_URL, TOKENS
from test_http import issue, problem

FORM = "application/x-www-form-urlencoded"


def introspect(http, token, **extra):
    answer = http.post("/oauth/introspect", data={"token": token} | extra)
    assert answer.status_code == 200, answer.text
    assert "no-store" in answer.headers["cache-control"]
    return answer.json()


class TestKeySet:
    def test_may_be_cached_for_five_minutes_by_anyone(self, anonymous):
        answer = anonymous.get("/.well-known/jwks.json", headers={"origin": "https://app.example.com"})
        assert answer.status_code == 200
        assert re.search(r"\bmax-age=300\b", answer.headers["cache-control"])
        assert answer.headers["access-control-allow-origin"] == "*"

    def test_is_not_sent_again_to_who_has_it(self, anonymous):
        fresh = anonymous.get("/.well-known/jwks.json")
        etag = fresh.headers["etag"]
        for value in (etag, f'"another", {etag}', "*", f"W/{etag}"):
            again = anonymous.get("/.well-known/jwks.json", headers={"if-none-match": value})
            assert (again.status_code, again.content) == (304, b""), value
            assert again.headers["etag"] == etag
            assert again.headers["cache-control"] == fresh.headers["cache-control"]
        changed = anonymous.get("/.well-known/jwks.json", headers={"if-none-match": '"another"'})
        assert (changed.status_code, changed.json()) == (200, fresh.json())


class TestMetadata:
    def test_names_the_endpoints_under_the_public_url(self, anonymous):
        answer = anonymous.get("/.well-known/oauth-authorization-server", headers={"origin": "https://app.example.com"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["access-control-allow-origin"] == "*"
        body = answer.json()
        assert body["issuer"] == PUBLIC_URL
        assert body["jwks_uri"] == f"{PUBLIC_URL}/.well-known/jwks.json"
        assert body["introspection_endpoint"] == f"{PUBLIC_URL}/oauth/introspect"
        assert body["revocation_endpoint"] == f"{PUBLIC_URL}/oauth/revoke"

    def test_each_endpoint_that_it_names_is_there(self, http):
        body = http.get("/.well-known/oauth-authorization-server").json()
        assert http.get(body["jwks_uri"].removeprefix(PUBLIC_URL)).status_code == 200
        for name in ("introspection_endpoint", "revocation_endpoint"):
            assert http.post(body[name].removeprefix(PUBLIC_URL), data={"token": "x"}).status_code == 200


class TestIntrospection:
    def test_tells_the_claims_of_a_live_token(self, http):
        token = issue(http).json()["token"]
        body = introspect(http, token)
        assert body["active"] is True
        said = claims(token)
        assert {name: body[name] for name in said} == said

    def test_takes_the_key_as_the_password_of_basic(self, server, anonymous, api_key, http):
        token = issue(http).json()["token"]
        for user in ("", "anyone"):
            credential = base64.b64encode(f"{user}:{api_key}".encode()).decode()
            anonymous.headers["authorization"] = f"Basic {credential}"
            assert introspect(anonymous, token)["active"] is True

    @pytest.mark.parametrize("value", [None, "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Basic %"])
    @pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
    def test_needs_a_right_key(self, anonymous, http, path, value):
        token = issue(http).json()["token"]
        headers = {} if value is None else {"authorization": value}
        answer = anonymous.post(path, data={"token": token}, headers=headers)
        problem(answer, 401)
        assert "www-authenticate" in answer.headers
        assert introspect(http, token)["active"] is True

    def test_tells_nothing_of_another_projects_token(self, server, http, new_project):
        token = issue(http).json()["token"]
        with server.http(new_project()) as stranger:
            assert introspect(stranger, token) == {"active": False}

    def test_tells_nothing_of_a_deleted_token(self, http):
        token = issue(http).json()["token"]
        http.delete(f"{TOKENS}/{token}")
        assert introspect(http, token) == {"active": False}

    def test_tells_nothing_of_nonsense(self, http, api_key):
        for text in ("", "nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", api_key, "\x00", "💥"):
            if text:
                assert introspect(http, text) == {"active": False}

    def test_ignores_the_hint(self, http):
        token = issue(http).json()["token"]
        assert introspect(http, token, token_type_hint="refresh_token")["active"] is True


class TestRevocation:
    def test_ends_the_token(self, server, new_project):
        with server.http(new_project()) as http:
            token = issue(http).json()["token"]
            for _ in range(2):
                answer = http.post("/oauth/revoke", data={"token": token, "token_type_hint": "access_token"})
                assert answer.status_code == 200, answer.text
            assert introspect(http, token) == {"active": False}
            assert http.get(TOKENS).json()["tokens"] == []

    def test_of_what_it_never_issued_succeeds_all_the_same(self, http):
        assert http.post("/oauth/revoke", data={"token": "nonsense"}).status_code == 200

    def test_does_not_reach_into_another_project(self, server, http, new_project):
        token = issue(http).json()["token"]
        with server.http(new_project()) as stranger:
            assert stranger.post("/oauth/revoke", data={"token": token}).status_code == 200
        assert introspect(http, token)["active"] is True


@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
class TestForms:
    def test_need_a_token(self, http, path):
        assert "token" in problem(http.post(path, data={"token_type_hint": "access_token"}), 400)["message"]

    def test_take_a_token_once(self, http, path):
        token = issue(http).json()["token"]
        answer = http.post(path, content=f"token={token}&token={token}", headers={"content-type": FORM})
        problem(answer, 400)
        assert token not in answer.text
        assert introspect(http, token)["active"] is True

    def test_need_to_be_forms(self, http, path):
        problem(http.post(path, json={"token": "x"}), 415)


class TestHealth:
    def test_is_told_to_anyone(self, anonymous, http):
        assert anonymous.get("/healthz").status_code == 200
        assert anonymous.get("/readyz").status_code == 200
