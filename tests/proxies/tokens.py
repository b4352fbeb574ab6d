"""Tokens, good ones and those with one thing wrong, for verifiers that know nothing but the published keys.

The good ones are Hallpass's own. It signs no wrong ones, so those are made here, with a key that the published set of a
test has besides Hallpass's: each differs in one thing from one that is good, which is asserted too.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from claims import claims, header
from hallpass import TOKENS

ISSUER = "https://tokens.example.com"
ORIGIN = "https://app.example.com"
AGENT = "agent-1"
# What `wrong_ones` makes: what is no good token at all, and good ones that don't grant `read_messages` for the agent.
NOT_GOOD = (
    "expired", "no_expiry", "foreign_issuer", "foreign_audience", "other_type", "unknown_key",
    "unknown_key_under_a_known_id", "tampered_claims", "tampered_signature", "cut_signature", "alg_none",
    "alg_none_with_signature", "alg_hmac", "alg_of_another_kind",
)
NOT_GRANTED = ("another_agent", "another_access", "access_of_another_agent", "nothing_granted")
WRONG = NOT_GOOD + NOT_GRANTED


def issue(server, others=0):
    """A token for the agent, and for so many others too."""
    policy = [{"type": "agent", "id": AGENT, "access": ["write_messages", "read_messages"]}]
    policy += [{"type": "agent", "id": f"agent-{uuid.uuid4()}", "access": ["write_messages"]} for _ in range(others)]
    with server.http(server.api_keys[0]) as http:
        answer = http.post(TOKENS, json={"hostname": ORIGIN, "policy": policy})
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


class Key:
    """A key pair of the algorithm, as an issuer has it."""

    def __init__(self, algorithm):
        self.algorithm = algorithm
        make = {"EdDSA": ed25519.Ed25519PrivateKey.generate, "ES256": lambda: ec.generate_private_key(ec.SECP256R1())}
        self._private = make[algorithm]()
        of = {"EdDSA": jwt.algorithms.OKPAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}[algorithm]
        public = of.to_jwk(self._private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        self.kid = hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()
        self.jwk = public | {"kid": self.kid, "alg": algorithm, "use": "sig"}

    def sign(self, payload, **head):
        """Signs by the key's own algorithm, whatever the header is told to say."""
        head = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid} | head
        signed = f"{_encode(head)}.{_encode(payload)}"
        signature = jwt.get_algorithm_by_name(self.algorithm).sign(signed.encode(), self._private)
        return f"{signed}.{_encode(signature)}"

    @property
    def pem(self):
        return self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class KeySet:
    """Publishes a fixed key set, as Hallpass does."""

    def __init__(self, keys):
        body = json.dumps({"keys": keys}).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer is sent in one piece: in two, the second would wait for the first to be acknowledged.
            wbufsize = -1

            def do_GET(self):
                found = self.path == "/.well-known/jwks.json"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/jwk-set+json")
                self.send_header("Cache-Control", "public, max-age=300")
                self.send_header("Content-Length", str(len(body) if found else 0))
                self.end_headers()
                self.wfile.write(body if found else b"")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def _encode(part):
    data = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def wrong_ones(good, key):
    """Tokens that must be refused, by what is wrong with them."""
    payload, now = claims(good), int(time.time())

    def made(**changes):
        return key.sign(payload | changes)

    mine = key.sign(payload)
    head, body, signature = mine.split(".")
    broken = ("A" if signature[9] != "A" else "B").join((signature[:9], signature[10:]))
    grant = payload["policy"]["data"][0]
    # The public key as the secret: what a verifier falls for that takes the algorithm from the header.
    confused = f"{_encode(header(mine) | {'alg': 'HS256'})}.{body}"
    confused += "." + _encode(hmac.digest(key.pem, confused.encode(), "sha256"))
    made_ones = {
        "expired": made(iat=now - 600, exp=now - 30),
        "no_expiry": key.sign({name: value for name, value in payload.items() if name != "exp"}),
        "foreign_issuer": made(iss="https://tokens.example.net"),
        "foreign_audience": made(aud="another"),
        "other_type": key.sign(payload, typ="JWT"),
        "unknown_key": Key(key.algorithm).sign(payload),
        "unknown_key_under_a_known_id": Key(key.algorithm).sign(payload, kid=key.kid),
        "tampered_claims": f"{head}.{_encode(payload | {'sub': 'another'})}.{signature}",
        "tampered_signature": f"{head}.{body}.{broken}",
        "cut_signature": f"{head}.{body}.",
        "alg_none": f"{_encode({'alg': 'none', 'typ': 'at+jwt'})}.{body}.",
        "alg_none_with_signature": f"{_encode(header(mine) | {'alg': 'none'})}.{body}.{signature}",
        "alg_hmac": confused,
        "alg_of_another_kind": key.sign(payload, alg="HS256"),
        "another_agent": made(policy={"version": "1", "data": [grant | {"id": "agent-2"}]}),
        "another_access": made(policy={"version": "1", "data": [grant | {"access": ["write_messages"]}]}),
        "access_of_another_agent": made(policy={"version": "1", "data": [
            grant | {"access": ["write_messages"]}, grant | {"id": "agent-2"},
        ]}),
        "nothing_granted": made(policy={"version": "1", "data": []}),
    }
    assert set(made_ones) == set(WRONG)
    return made_ones
