"""What the SDKs can't send, or don't show: the wire itself."""

import contextlib
import json
import select
import socket
from datetime import datetime, timedelta, timezone

import pytest

from claims import claims
from hallpass import TOKENS, wait_until

REQUEST = {
    "hostname": "https://app.example.com",
    "policy": [{"type": "agent", "id": "agent-1", "access": ["read_messages"]}],
}
JSON = {"content-type": "application/json"}


def problem(answer, status, kind=None):
    """Holds an answer to the form of every error, and returns its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"] and body["message"] == body["detail"] != ""
    assert body["type"].rsplit("/", 2)[-2] == "errors"
    if kind:
        assert body["type"].endswith(f"/errors/{kind}")
    return body


def fields(body):
    return [error["field"] for error in body["errors"]]


def issue(http, **changes):
    answer = http.post(TOKENS, json=REQUEST | changes)
    assert answer.status_code == 201, answer.text
    return answer


class TestCredentials:
    @pytest.mark.parametrize("value", [
        None, "", "Bearer", "Basic eDp5", "Token {key}", "{key}", "Bearer {key}x", "Bearer {key} {key}",
    ])
    def test_refuses_without_a_right_bearer_key(self, anonymous, api_key, value):
        headers = {} if value is None else {"authorization": value.format(key=api_key)}
        answer = anonymous.post(TOKENS, json=REQUEST, headers=headers)
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert api_key not in answer.text

    def test_takes_the_scheme_in_any_case(self, anonymous, api_key):
        assert anonymous.get(TOKENS, headers={"authorization": f"bEARER {api_key}"}).status_code == 200

    def test_refuses_two_credentials_even_equal_ones(self, anonymous, api_key):
        twice = [("authorization", f"Bearer {api_key}")] * 2
        for answer in (
            anonymous.post(TOKENS, json=REQUEST, headers=twice),
            anonymous.get(TOKENS, headers=twice),
            anonymous.get(TOKENS, headers=[("authorization", "Bearer wrong"), ("authorization", f"Bearer {api_key}")]),
        ):
            problem(answer, 400)

    def test_takes_no_key_from_the_query(self, anonymous, api_key):
        problem(anonymous.get(TOKENS, params={"access_token": api_key}), 401)

    def test_asks_for_the_key_before_it_reads_the_body(self, anonymous):
        problem(anonymous.post(TOKENS, content=b"{", headers=JSON), 401)

    @pytest.mark.parametrize("name", ["x-project", "x-project-id"])
    def test_ignores_the_project_headers_of_the_sdks(self, server, new_project, name):
        with server.http(new_project()) as http:
            http.headers[name] = "default"
            token = issue(http).json()["token"]
            assert claims(token)["sub"].startswith("project-")
            assert [entry["token"] for entry in http.get(TOKENS).json()["tokens"]] == [token]


class TestCreate:
    def test_answers_as_the_contract_says(self, http):
        answer = issue(http)
        assert answer.headers["content-type"] == "application/json"
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["x-request-id"]
        body = answer.json()
        assert set(body) == {"token", "expiresAt", "hostname", "policy"}
        assert body["policy"] == {"version": "1", "data": REQUEST["policy"]}

    @pytest.mark.parametrize("value", [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "", None,
    ])
    def test_refuses_another_content_type(self, http, value):
        headers = {} if value is None else {"content-type": value}
        body = problem(http.post(TOKENS, content=json.dumps(REQUEST), headers=headers), 415)
        assert "application/json" in body["message"]

    @pytest.mark.parametrize("value", [
        "application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8",
    ])
    def test_takes_the_content_type_as(self, http, value):
        assert http.post(TOKENS, content=json.dumps(REQUEST), headers={"content-type": value}).status_code == 201

    @pytest.mark.parametrize("text, line", [
        (b'{"hostname": "https://app.example.com",\n "policy": [}', 2),
        (b'{"hostname": "https://app.example.com"', 1),
        (b"", 1),
        (b'{"hostname":\n\n"\xff"}', 3),
    ])
    def test_says_where_unreadable_json_ends(self, http, text, line):
        body = problem(http.post(TOKENS, content=text, headers=JSON), 400)
        assert f"line {line}, column " in body["message"]

    @pytest.mark.parametrize("text", [b"[]", b'"text"', b"null", b"7"])
    def test_refuses_json_that_is_no_object(self, http, text):
        assert "object" in problem(http.post(TOKENS, content=text, headers=JSON), 400)["message"]

    def test_refuses_numbers_where_texts_belong(self, http):
        body = problem(http.post(TOKENS, json={
            "hostname": 1, "policy": [{"type": 2, "id": 3, "access": [4]}], "expires_at": 1769860800,
        }), 400)
        assert sorted(fields(body)) == [
            "expires_at", "hostname", "policy[0].access[0]", "policy[0].id", "policy[0].type",
        ]

    def test_names_all_that_is_missing(self, http):
        assert sorted(fields(problem(http.post(TOKENS, json={}), 400))) == ["hostname", "policy"]

    def test_guesses_the_misspelt_expiry(self, http):
        moment = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
        body = problem(http.post(TOKENS, json=REQUEST | {"expiresAt": moment}), 400)
        assert "did you mean `expires_at`?" in body["message"]
        # With the right one beside it, the other is an unknown field like any other.
        assert issue(http, expiresAt="anything", expires_at=moment).status_code == 201

    @pytest.mark.parametrize("rest", ["T01:13:60Z", "T01:13:60", "T24:00:01Z", "T99:99:99Z", "Tnoon", "T", "Z", " "])
    def test_reads_no_date_into_a_time_that_is_wrong(self, http, rest):
        day = (datetime.now(timezone.utc) + timedelta(days=1)).date().isoformat()
        answer = http.post(TOKENS, json=REQUEST | {"expires_at": day + rest})
        assert fields(problem(answer, 400)) == ["expires_at"]

    def test_ignores_unknown_fields_and_takes_null_as_no_expiry(self, http):
        assert issue(http, expires_at=None, note={"any": ["thing"]}).status_code == 201

    def test_refuses_a_token_that_would_not_fit_a_header(self, http):
        policy = [{"type": "agent", "id": f"agent-{n:0>200}", "access": ["read_messages"]} for n in range(100)]
        message = problem(http.post(TOKENS, json=REQUEST | {"policy": policy}), 413)["message"]
        assert "`tokens.max_bytes`" in message and "8192" in message

    def test_quotes_no_secret(self, http, api_key):
        token = issue(http).json()["token"]
        policy = [{"type": api_key, "id": token + "/", "access": [api_key]}]
        answer = http.post(TOKENS, json={"hostname": token, "policy": policy, "expires_at": token})
        problem(answer, 400)
        assert token not in answer.text and api_key not in answer.text
        assert token.split(".")[1][:64] not in answer.text

    def test_refuses_a_body_over_the_limit_with_or_without_a_length(self, http):
        text = json.dumps(REQUEST | {"note": "a" * 65_536}).encode()
        problem(http.post(TOKENS, content=text, headers=JSON), 413)
        problem(http.post(TOKENS, content=iter([text]), headers=JSON), 413)

    def test_of_a_refused_request_leaves_no_record(self, server, new_project):
        with server.http(new_project()) as http:
            problem(http.post(TOKENS, json=REQUEST | {"hostname": "nonsense"}), 400)
            assert http.get(TOKENS, params={"status": "all"}).json()["tokens"] == []


class TestList:
    def test_forgets_a_token_five_seconds_past_its_expiry(self, server, new_project):
        with server.http(new_project()) as http:
            moment = datetime.now(timezone.utc) + timedelta(seconds=2)
            token = issue(http, expires_at=moment.isoformat()).json()["token"]
            expired = datetime.fromtimestamp(claims(token)["exp"] + 5, timezone.utc)
            assert len(http.get(TOKENS).json()["tokens"]) == 1
            wait_until(lambda: http.get(TOKENS).json()["tokens"] == [], "leaving the list")
            assert datetime.now(timezone.utc) >= expired

            # A token that grants nothing any more is not signed again.
            for status in ("expired", "all"):
                listed = http.get(TOKENS, params={"status": status}).json()["tokens"]
                assert [entry["token"] for entry in listed] == [claims(token)["jti"]]
            introspected = http.post("/oauth/introspect", data={"token": token}).json()
            assert introspected == {"active": False}
            assert http.delete(f"{TOKENS}/{token}").status_code == 204

    def test_by_status(self, server, new_project):
        with server.http(new_project()) as http:
            live, revoked = issue(http).json()["token"], issue(http).json()["token"]
            http.delete(f"{TOKENS}/{revoked}")

            def listed(status):
                return [entry["token"] for entry in http.get(TOKENS, params={"status": status}).json()["tokens"]]

            assert listed("active") == [live]
            assert listed("revoked") == [claims(revoked)["jti"]]
            assert listed("expired") == []
            assert listed("all") == [claims(revoked)["jti"], live]

    def test_is_not_to_be_stored(self, http):
        assert "no-store" in http.get(TOKENS).headers["cache-control"]

    @pytest.mark.parametrize("query, field", [
        ("limit=ten", "limit"), ("limit=", "limit"), ("limit=1001", "limit"), ("offset=-1", "offset"),
        ("offset=1e400", "offset"), ("status=live", "status"), ("limit=1&limit=2", "limit"),
    ])
    def test_refuses_the_query(self, http, query, field):
        assert fields(problem(http.get(f"{TOKENS}?{query}"), 400)) == [field]


class TestDelete:
    def test_answers_204_with_neither_body_nor_content_type(self, http):
        answer = http.delete(f"{TOKENS}/{issue(http).json()['token']}")
        assert answer.status_code == 204
        assert answer.content == b""
        assert "content-type" not in answer.headers
        assert answer.headers["x-request-id"]

    def test_takes_what_the_sdks_send_along(self, http):
        # Zero bytes called JSON, an object, or something that is no JSON at all: the path says it all.
        for content in (b"", b"{}", b"{"):
            token = issue(http).json()["token"]
            answer = http.request("DELETE", f"{TOKENS}/{token}", content=content, headers=JSON)
            assert answer.status_code == 204

    def test_takes_a_token_that_is_percent_encoded_throughout(self, server, new_project):
        with server.http(new_project()) as http:
            token = issue(http).json()["token"]
            assert http.delete(f"{TOKENS}/" + "".join(f"%{ord(letter):02X}" for letter in token)).status_code == 204
            assert http.get(TOKENS).json()["tokens"] == []

    @pytest.mark.parametrize("path", [TOKENS, f"{TOKENS}/"])
    def test_of_the_bare_collection_is_not_allowed(self, server, new_project, path):
        with server.http(new_project()) as http:
            token = issue(http).json()["token"]
            answer = http.delete(path)
            problem(answer, 405)
            allowed = set(answer.headers["allow"].replace(" ", "").split(","))
            assert {"GET", "POST"} <= allowed and "DELETE" not in allowed
            assert [entry["token"] for entry in http.get(TOKENS).json()["tokens"]] == [token]

    @pytest.mark.parametrize("name", ["%00", "a%2Fb", "..", "%2e%2e", "%ff", "a" * 3000, "eyJ.eyJ.x", "💥"])
    def test_of_nonsense_finds_nothing(self, http, name):
        answer = http.delete(f"{TOKENS}/{name}")
        assert answer.status_code in (400, 404, 405)
        problem(answer, answer.status_code)


class TestConnections:
    """A refusal may come before the body has: the client must not be left with a connection that is about to end.

    The SDKs keep connections open, and not all of them try again when one fails.
    """

    @pytest.mark.parametrize("method, path, key, kind, status", [
        ("POST", TOKENS, "wrong", "application/json", 401),
        ("POST", TOKENS, None, "text/plain", 415),
        ("DELETE", f"{TOKENS}/nonsense", None, "application/json", 404),
        ("PUT", TOKENS, None, "application/json", 405),
        ("POST", "/nowhere", None, "application/json", 404),
        ("POST", "/oauth/introspect", None, "application/json", 415),
        ("POST", "/oauth/revoke", "wrong", "application/x-www-form-urlencoded", 401),
    ])
    def test_stay_open_past_a_refusal_or_say_that_they_end(self, server, api_key, method, path, key, kind, status):
        received = self.exchange(
            server,
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key or api_key}\r\n"
            f"content-type: {kind}\r\ncontent-length: 2\r\n\r\n",
            "{}GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )
        assert received.startswith(f"HTTP/1.1 {status} ")
        first = received.split("\r\n\r\n", 1)[0].lower()
        assert received.count("HTTP/1.1 200 ") == 1 or "connection: close" in first, received

    @staticmethod
    def exchange(server, head, rest):
        """Sends a head, gives the server the time to answer before the rest, sends the rest, returns all it sends."""
        host, port = server.url.removeprefix("http://").split(":")
        received = b""
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(head.encode())
            select.select([connection], [], [], 0.2)
            # A server that has closed the connection may refuse more, or reset it.
            with contextlib.suppress(ConnectionError):
                connection.sendall(rest.encode())
                while part := connection.recv(65_536):
                    received += part
        return received.decode()


class TestEverywhere:
    @pytest.mark.parametrize("method, path", [
        ("PUT", TOKENS), ("PATCH", f"{TOKENS}/x"), ("GET", f"{TOKENS}/x"), ("POST", "/.well-known/jwks.json"),
        ("GET", "/oauth/introspect"), ("DELETE", "/oauth/revoke"), ("POST", "/healthz"),
    ])
    def test_another_method_is_405_and_says_what_is_allowed(self, http, method, path):
        answer = http.request(method, path)
        problem(answer, 405)
        assert answer.headers["allow"]

    def test_an_unknown_path_is_404(self, http):
        problem(http.get("/v1/agents"), 404)
        problem(http.get("/"), 404)

    def test_the_token_endpoints_speak_to_no_page(self, http):
        http.headers["origin"] = "https://app.example.com"
        preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        for answer in (
            issue(http), http.get(TOKENS), http.options(TOKENS, headers=preflight),
            http.options("/oauth/introspect", headers=preflight), http.post("/oauth/introspect", data={"token": "x"}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    def test_each_answer_has_a_request_id_of_its_own(self, anonymous):
        answers = [anonymous.get(path) for path in ("/healthz", "/healthz", "/nowhere", TOKENS, "/openapi.json")]
        assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)

    def test_the_documentation_loads_nothing_from_elsewhere(self, anonymous):
        answer = anonymous.get("/docs", follow_redirects=True)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        for attribute in ('src="http', "src='http", 'src="//', 'rel="stylesheet" href="http', "@import", "url(http"):
            assert attribute not in answer.text
