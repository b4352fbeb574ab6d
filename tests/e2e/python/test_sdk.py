"""The official Python SDKs, unchanged, against the real server: what an application's backend does all day."""

from datetime import datetime, timedelta, timezone

import pytest

from claims import claims
from hallpass import PUBLIC_URL, TOKENS, wait_until
from sdk import LEGACY, Sdk

ORIGIN = "https://app.example.com"
UTC = timezone.utc


def grant(agent="agent-1", access=("read_messages", "write_messages")):
    return {"type": "agent", "id": agent, "access": list(access)}


def instant(text):
    """Reads a time as the server writes it, and holds it to that form."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def refused(status, call, *arguments, **keywords):
    """Makes a call that must fail with `status`, and returns what the application learns."""
    with pytest.raises(Exception) as caught:
        call(*arguments, **keywords)
    failure = Sdk.failure(caught.value)
    assert (failure.status, failure.kind) == (status, Sdk.kinds[status]), failure
    assert failure.body["status"] == status
    assert failure.body["message"] == failure.body["detail"]
    # Both SDKs print the body as Python does.
    assert repr(failure.body["message"])[1:-1] in failure.text
    return failure


@pytest.fixture(scope="module")
def sdk(server, api_key):
    return Sdk(server, api_key)


@pytest.fixture
def empty_project(server, new_project):
    """An SDK whose project owns no token yet."""
    return Sdk(server, new_project())


class TestCreate:
    def test_expires_after_five_minutes_unless_told(self, sdk):
        before = datetime.now(UTC)
        made = sdk.create(hostname=ORIGIN, policy=[grant()])
        lifetime = instant(made.expires_at) - before
        assert timedelta(minutes=5) - timedelta(milliseconds=1) <= lifetime < timedelta(minutes=5, seconds=10)

    def test_echoes_hostname_and_policy(self, sdk):
        made = sdk.create(hostname=ORIGIN, policy=[grant("agent-1"), grant("agent-2", ["read_agent", "write_agent"])])
        assert made.hostname == ORIGIN
        assert made.policy.version == "1"
        assert [(g.type, g.id, list(g.access)) for g in made.policy.data] == [
            ("agent", "agent-1", ["read_messages", "write_messages"]),
            ("agent", "agent-2", ["read_agent", "write_agent"]),
        ]

    def test_token_says_what_the_answer_says(self, sdk):
        made = sdk.create(hostname=ORIGIN, policy=[grant()])
        said = claims(made.token)
        assert said["iss"] == PUBLIC_URL
        assert said["aud"] == "letta"
        assert said["sub"] == "default"
        assert said["hostname"] == said["origin"] == ORIGIN
        assert said["policy"] == {"version": "1", "data": [grant()]}
        assert said["exp"] == int(instant(made.expires_at).timestamp())
        assert said["iat"] < said["exp"]

    @pytest.mark.parametrize("form", ["aware datetime", "another offset", "text with Z", "naive text", "milliseconds"])
    def test_takes_an_expiry_as(self, sdk, form):
        moment = datetime.now(UTC).replace(microsecond=123000) + timedelta(hours=3)
        given = {
            "aware datetime": moment,
            "another offset": moment.astimezone(timezone(timedelta(hours=-7))),
            "text with Z": moment.isoformat().replace("+00:00", "Z"),
            # Letta's guide shows a naive ISO time, meant as UTC.
            "naive text": moment.replace(tzinfo=None).isoformat(),
            "milliseconds": moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
        }[form]
        made = sdk.create(hostname=ORIGIN, policy=[grant()], expires_at=given)
        assert instant(made.expires_at) == moment
        assert claims(made.token)["exp"] == int(moment.timestamp())

    def test_takes_a_naive_datetime_object(self, sdk):
        naive = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(hours=8)
        # The older SDK attaches the offset of this machine's clock, the newer one sends none, which means UTC.
        meant = naive.astimezone() if LEGACY else naive.replace(tzinfo=UTC)
        made = sdk.create(hostname=ORIGIN, policy=[grant()], expires_at=naive)
        assert instant(made.expires_at) == meant

    def test_keeps_an_expiry_to_the_millisecond(self, sdk):
        moment = datetime.now(UTC).replace(microsecond=123456) + timedelta(hours=1)
        made = sdk.create(hostname=ORIGIN, policy=[grant()], expires_at=moment)
        assert instant(made.expires_at) == moment.replace(microsecond=123000)

    def test_reads_a_date_alone_as_its_first_moment_in_utc(self, sdk):
        day = datetime.now(UTC).date() + timedelta(days=2)
        # Only the older SDK can send a date object itself.
        for given in [day.isoformat()] + ([day] if LEGACY else []):
            made = sdk.create(hostname=ORIGIN, policy=[grant()], expires_at=given)
            assert instant(made.expires_at) == datetime(day.year, day.month, day.day, tzinfo=UTC)

    def test_refuses_a_past_expiry(self, sdk):
        failure = refused(
            400, sdk.create, hostname=ORIGIN, policy=[grant()], expires_at=datetime.now(UTC) - timedelta(minutes=1)
        )
        assert [error["field"] for error in failure.body["errors"]] == ["expires_at"]
        assert "future" in failure.text

    def test_refuses_an_expiry_past_the_limit_and_names_it(self, sdk):
        failure = refused(
            400, sdk.create, hostname=ORIGIN, policy=[grant()], expires_at=datetime.now(UTC) + timedelta(hours=49)
        )
        assert [error["field"] for error in failure.body["errors"]] == ["expires_at"]
        assert "48h" in failure.text or "2d" in failure.text

    def test_refuses_with_all_mistakes_at_once(self, sdk):
        failure = refused(
            400, sdk.create,
            hostname="app.example.com", policy=[grant(), grant("a/b", ["read_messages", "fly"])], expires_at="soon",
        )
        fields = {error["field"]: error["message"] for error in failure.body["errors"]}
        assert set(fields) == {"hostname", "policy[1].id", "policy[1].access[1]", "expires_at"}
        assert "fly" in fields["policy[1].access[1]"]
        for message in fields.values():
            assert message in failure.body["message"]

    @pytest.mark.parametrize("hostname", [
        "", "app.example.com", "ftp://app.example.com", "https://", "https://user@app.example.com",
        "https://app.example.com/", "https://app.example.com?q", "https://app.example.com#f",
    ])
    def test_refuses_the_hostname(self, sdk, hostname):
        failure = refused(400, sdk.create, hostname=hostname, policy=[grant()])
        assert [error["field"] for error in failure.body["errors"]] == ["hostname"]

    def test_refuses_an_empty_policy(self, sdk):
        failure = refused(400, sdk.create, hostname=ORIGIN, policy=[])
        assert [error["field"] for error in failure.body["errors"]] == ["policy"]

    def test_refuses_a_body_over_the_limit(self, sdk):
        refused(413, sdk.create, hostname=ORIGIN + "/" + "a" * 70_000, policy=[grant()])

    def test_refuses_another_content_type(self, sdk):
        failure = refused(
            415, sdk.create, headers={Sdk.content_type: "text/plain"}, hostname=ORIGIN, policy=[grant()]
        )
        assert "application/json" in failure.text


class TestList:
    def test_is_empty_at_first(self, empty_project):
        page = empty_project.list()
        assert (page.tokens, page.has_next_page) == ([], False)

    def test_gives_the_tokens_as_issued_newest_first(self, empty_project):
        made = [empty_project.create(hostname=ORIGIN, policy=[grant(f"agent-{n}")]) for n in range(3)]
        page = empty_project.list()
        assert [entry.token for entry in page.tokens] == [entry.token for entry in reversed(made)]
        for entry, issued in zip(page.tokens, reversed(made)):
            assert entry.expires_at == issued.expires_at
            assert entry.hostname == issued.hostname
            assert entry.policy.model_dump() == issued.policy.model_dump()
        assert page.has_next_page is False

    def test_pages(self, empty_project):
        newest_first = [empty_project.create(hostname=ORIGIN, policy=[grant()]).token for _ in range(5)][::-1]
        pages = [empty_project.list(limit=2, offset=offset) for offset in (0, 2, 4)]
        assert [[entry.token for entry in page.tokens] for page in pages] == [
            newest_first[0:2], newest_first[2:4], newest_first[4:5],
        ]
        assert [page.has_next_page for page in pages] == [True, True, False]

    def test_says_no_next_page_after_a_last_page_that_is_full(self, empty_project):
        for _ in range(2):
            empty_project.create(hostname=ORIGIN, policy=[grant()])
        assert empty_project.list(limit=2).has_next_page is False

    def test_takes_the_floats_of_the_sdk_types(self, empty_project):
        newest_first = [empty_project.create(hostname=ORIGIN, policy=[grant()]).token for _ in range(3)][::-1]
        assert [entry.token for entry in empty_project.list(limit=1.0, offset=1.0).tokens] == [newest_first[1]]

    def test_gives_ten_unless_told(self, empty_project):
        for _ in range(11):
            empty_project.create(hostname=ORIGIN, policy=[grant()])
        page = empty_project.list()
        assert (len(page.tokens), page.has_next_page) == (10, True)

    def test_filters_by_agent(self, empty_project):
        first = empty_project.create(hostname=ORIGIN, policy=[grant("agent-1")]).token
        second = empty_project.create(hostname=ORIGIN, policy=[grant("agent-2")]).token
        both = empty_project.create(hostname=ORIGIN, policy=[grant("agent-1"), grant("agent-2")]).token
        assert [entry.token for entry in empty_project.list(agent_id="agent-1").tokens] == [both, first]
        assert [entry.token for entry in empty_project.list(agent_id="agent-2").tokens] == [both, second]
        assert empty_project.list(agent_id="agent-3").tokens == []

    def test_shows_only_the_own_project(self, server, new_project):
        ours, theirs = Sdk(server, new_project()), Sdk(server, new_project())
        token = ours.create(hostname=ORIGIN, policy=[grant()]).token
        assert theirs.list().tokens == []
        assert theirs.list(agent_id="agent-1").tokens == []
        assert [entry.token for entry in ours.list().tokens] == [token]

    @pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": 1.5}, {"offset": -1}])
    def test_refuses_the_query(self, sdk, query):
        failure = refused(400, sdk.list, **query)
        assert [error["field"] for error in failure.body["errors"]] == list(query)


class TestDelete:
    @pytest.mark.parametrize("name", [lambda token: token, lambda token: claims(token)["jti"]], ids=["token", "jti"])
    def test_ends_the_token_that_it_names(self, empty_project, name):
        kept = empty_project.create(hostname=ORIGIN, policy=[grant()]).token
        gone = empty_project.create(hostname=ORIGIN, policy=[grant()]).token
        assert not empty_project.delete(name(gone))
        assert [entry.token for entry in empty_project.list().tokens] == [kept]

    def test_may_be_repeated(self, sdk):
        token = sdk.create(hostname=ORIGIN, policy=[grant()]).token
        for _ in range(3):
            assert not sdk.delete(token)

    def test_finds_nothing_that_was_never_issued(self, sdk):
        refused(404, sdk.delete, "01890a5d-ac96-774b-bcce-b302099a8057")
        refused(404, sdk.delete, "nonsense")

    def test_does_not_reach_into_another_project(self, server, new_project):
        ours, theirs = Sdk(server, new_project()), Sdk(server, new_project())
        token = ours.create(hostname=ORIGIN, policy=[grant()]).token
        refused(404, theirs.delete, token)
        refused(404, theirs.delete, claims(token)["jti"])
        assert [entry.token for entry in ours.list().tokens] == [token]

    def test_of_an_empty_name_deletes_nothing(self, empty_project):
        token = empty_project.create(hostname=ORIGIN, policy=[grant()]).token
        if LEGACY:
            # It asks for the bare collection.
            refused(405, empty_project.delete, "")
        else:
            with pytest.raises(ValueError):
                empty_project.delete("")
        assert [entry.token for entry in empty_project.list().tokens] == [token]


class TestKeys:
    @pytest.mark.parametrize("key", ["wrong", "sk-let-wrong"])
    def test_without_a_right_key_nothing_works(self, server, key):
        stranger = Sdk(server, key)
        for call in (
            lambda: stranger.create(hostname=ORIGIN, policy=[grant()]),
            stranger.list,
            lambda: stranger.delete("01890a5d-ac96-774b-bcce-b302099a8057"),
        ):
            failure = refused(401, call)
            assert failure.headers["www-authenticate"].startswith("Bearer")
            assert "wrong" not in failure.text

    def test_revoking_a_key_ends_it_and_its_tokens(self, server, sdk):
        made = server.new_api_key()
        doomed = Sdk(server, made["key"])
        token = doomed.create(hostname=ORIGIN, policy=[grant("agent-of-a-revoked-key")]).token
        server.cli("api-key", "revoke", made["id"])

        with server.http(made["key"]) as http:
            wait_until(lambda: http.get(TOKENS).status_code == 401, "refusing the key", deadline=2)
        refused(401, doomed.list)
        assert token not in [entry.token for entry in sdk.list(agent_id="agent-of-a-revoked-key").tokens]


class TestFaults:
    def test_a_locked_database_is_503_and_then_works_again(self, server, sdk, locked_database):
        with locked_database():
            failure = refused(503, sdk.create, hostname=ORIGIN, policy=[grant()])
            # An SDK obeys it, some without a cap.
            assert 0 < int(failure.headers["retry-after"]) <= 30
        assert sdk.create(hostname=ORIGIN, policy=[grant()]).hostname == ORIGIN
