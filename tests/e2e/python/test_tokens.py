"""Tokens verified by a stranger: PyJWT, which knows nothing but the published keys."""

import base64
import hashlib
import json

import jwt
import pytest

from claims import header
from hallpass import PUBLIC_URL, TOKENS, Server

REQUEST = {
    "hostname": "https://app.example.com",
    "policy": [{"type": "agent", "id": "agent-1", "access": ["read_messages"]}],
}


@pytest.fixture(scope="module", params=["EdDSA", "ES256", "RS256"])
def signing(request, tmp_path_factory):
    """A server that signs with the algorithm, and a client of it."""
    directory = tmp_path_factory.mktemp(request.param)
    key = "a-static-API-key-for-the-tests"
    server = Server(directory, HALLPASS_SIGNING__ALGORITHM=request.param, HALLPASS_API_KEY=key).start()
    server.algorithm = request.param
    with server.http(key) as server.client:
        yield server
    server.stop()


@pytest.fixture
def token(signing):
    answer = signing.client.post(TOKENS, json=REQUEST)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


def verify(signing, token, **changes):
    """Verifies as an outside service would, on the algorithm that it was told to expect."""
    key = jwt.PyJWKClient(f"{signing.url}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    expected = {"algorithms": [signing.algorithm], "audience": "letta", "issuer": PUBLIC_URL} | changes
    return jwt.decode(token, key, options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]}, **expected)


def test_the_token_verifies(signing, token):
    verified = verify(signing, token)
    assert header(token) == {"alg": signing.algorithm, "typ": "at+jwt", "kid": header(token)["kid"]}
    assert verified["iss"] == PUBLIC_URL
    assert verified["aud"] == "letta"
    assert verified["sub"] == "default"
    assert verified["hostname"] == verified["origin"] == "https://app.example.com"
    assert verified["exp"] - verified["iat"] in (299, 300)


def test_the_listed_token_verifies_and_is_the_same(signing, token):
    listed = signing.client.get(TOKENS, params={"limit": 1}).json()["tokens"][0]["token"]
    assert verify(signing, listed) == verify(signing, token)
    # An ECDSA signature is drawn anew each time; the others come out the same.
    assert (listed == token) is (signing.algorithm != "ES256")
    assert listed.rsplit(".", 1)[0] == token.rsplit(".", 1)[0]


def test_a_tampered_token_does_not_verify(signing, token):
    head, body, signature = token.split(".")
    other = signing.client.post(TOKENS, json=REQUEST).json()["token"].split(".")
    flipped = ("A" if signature[5] != "A" else "B").join((signature[:5], signature[6:]))
    for forged in (f"{head}.{other[1]}.{signature}", f"{head}.{body}.{flipped}"):
        with pytest.raises(jwt.InvalidSignatureError):
            verify(signing, forged)
        introspected = signing.client.post("/oauth/introspect", data={"token": forged}).json()
        assert introspected == {"active": False}


def test_the_claims_bind_audience_and_issuer(signing, token):
    with pytest.raises(jwt.InvalidAudienceError):
        verify(signing, token, audience="another")
    with pytest.raises(jwt.InvalidIssuerError):
        verify(signing, token, issuer="https://another.example")


def test_the_key_set_publishes_no_private_part_and_the_next_key(signing, token):
    answer = signing.client.get("/.well-known/jwks.json")
    keys = answer.json()["keys"]
    assert header(token)["kid"] in [key["kid"] for key in keys]
    assert len(keys) == 2
    for key in keys:
        assert key["use"] == "sig"
        assert key["alg"] == signing.algorithm
        assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)


def test_the_key_id_is_the_thumbprint(signing):
    members = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
    for key in signing.client.get("/.well-known/jwks.json").json()["keys"]:
        canonical = json.dumps({name: key[name] for name in members[key["kty"]]}, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).digest()
        assert key["kid"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
