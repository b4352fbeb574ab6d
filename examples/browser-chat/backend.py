"""Serves the page, and gets it tokens from Hallpass: the only program here that knows the API key. Python 3.11 or newer."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

HALLPASS_URL = os.environ.get("HALLPASS_URL", "http://localhost:8284")
HALLPASS_KEY = os.environ.get("HALLPASS_KEY", "sk-hallpass-dev-not-a-secret")
AGENT_ID = os.environ.get("AGENT_ID", "agent-11111111-1111-4111-8111-111111111111")
# The page holds a token: no script runs in it but its own, and it talks to nobody else.
HALLPASS_ORIGIN = "{0.scheme}://{0.netloc}".format(urlsplit(HALLPASS_URL))
POLICY = (
    f"default-src 'self'; img-src data:; connect-src 'self' {HALLPASS_ORIGIN}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def make_token(headers):
    # Your login check belongs here: who is this, and may they talk to this agent? What follows keeps other sites' pages out.
    if headers["Origin"] != ORIGIN or headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return 403, {"message": f"this backend serves pages of {ORIGIN}, not of {headers['Origin']}"}
    grant = {"type": "agent", "id": AGENT_ID, "access": ["read_messages", "write_messages"]}
    key = {"Authorization": f"Bearer {HALLPASS_KEY}", "Content-Type": "application/json"}
    body = json.dumps({"hostname": ORIGIN, "policy": [grant]}).encode()
    try:
        with urlopen(Request(f"{HALLPASS_URL}/v1/client-side-access-tokens", body, key), timeout=10) as answer:
            made = json.load(answer)
    except HTTPError as refused:
        return 502, {"message": f"Hallpass answered {refused.code}: {json.load(refused)['message']}"}
    return 200, {"token": made["token"], "expiresAt": made["expiresAt"], "agentId": AGENT_ID, "baseURL": HALLPASS_URL}


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, content_type, body):
        self.send_response(status)
        headers = {"Content-Type": content_type, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        if content_type == TYPES["html"]:
            headers["Content-Security-Policy"] = POLICY
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        if self.path != "/api/token":
            return self.answer(404, "text/plain", b"not found\n")
        try:
            status, body = make_token(self.headers)
        except Exception as error:
            status, body = 502, {"message": f"no token from {HALLPASS_URL}: {error}"}
        self.answer(status, "application/json", json.dumps(body).encode())

    def do_GET(self):
        # Names of files in this folder, without a way out of it.
        name = re.fullmatch(r"/([a-z-]+\.(html|js|css))", "/index.html" if self.path == "/" else self.path)
        file = name and Path(__file__).parent / name[1]
        if not file or not file.is_file():
            return self.answer(404, "text/plain", b"not found\n")
        self.answer(200, TYPES[name[2]], file.read_bytes())


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "5173"))), Handler)
ORIGIN = os.environ.get("ORIGIN", f"http://localhost:{server.server_port}")
print(f"Backend on http://localhost:{server.server_port}, for pages of {ORIGIN}", flush=True)
server.serve_forever()
