"""The scripts of SDK calls, and what they are run against: the real server behind the gateway, and `hallpass dev`."""

import contextlib
import json
import os
import re
import subprocess
import uuid

from gateway import ok
from hallpass import BINARY, REPOSITORY, wait_until
from model import EMBEDDING_HANDLE, REASONER_HANDLE
from upstream import INSTALLED

IN_BROWSER = ["node", REPOSITORY / "tests/browser/sdk/record.mjs"]
IN_PYTHON = REPOSITORY / "tests/shapes/python/record.py"
COMPARE = ["node", REPOSITORY / "tests/shapes/compare.mjs"]
SCRIPTS = {
    "typescript": [*IN_BROWSER, "current"],
    "typescript-legacy": [*IN_BROWSER, "legacy"],
    "python": [INSTALLED / "client/bin/python", "-B", IN_PYTHON, "current"],
    "python-legacy": [INSTALLED / "client-legacy/bin/python", "-B", IN_PYTHON, "legacy"],
}
DEV_KEY = "sk-hallpass-dev-not-a-secret"
# The longest that a script may take, with all others at the same time.
DEADLINE = 180


def make_plain_agent(http, name):
    """Without anything that an app wouldn't expect; its model thinks aloud, as that of `hallpass dev` does."""
    blocks = [{"label": label, "value": "Nothing yet."} for label in ("persona", "human")]
    return ok(http.post("/v1/agents/", json={
        "name": name, "description": "Helps", "system": "You help.", "memory_blocks": blocks,
        "model": REASONER_HANDLE, "embedding": EMBEDDING_HANDLE,
    }))["id"]


def start(name, url, key, agent, other):
    """Starts a script, which prints the shapes of what came back."""
    environment = os.environ | {
        "HALLPASS_URL": url, "HALLPASS_KEY": key, "HALLPASS_AGENT": agent, "HALLPASS_OTHER": other,
    }
    return subprocess.Popen(SCRIPTS[name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def recorded(process):
    shapes, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    return json.loads(shapes)


def compare(name, shapes, *how):
    """What differs from the real server's shapes as they are kept, one text for each."""
    program = [*COMPARE, name, *how]
    result = subprocess.run(program, input=json.dumps(shapes), capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    return result.stdout.splitlines()


@contextlib.contextmanager
def hallpass_dev(directory):
    """`hallpass dev` on a free port, with which no configuration interferes."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HALLPASS_")}
    log = directory / "dev.log"
    with log.open("wb") as file:
        program = [BINARY, "dev", "--port", "0"]
        process = subprocess.Popen(program, env=inherited, cwd=directory, stdout=file, stderr=file)
    try:
        yield wait_until(lambda: re.search(r"http://localhost:\d+", log.read_text()), "starting hallpass dev")[0]
    finally:
        process.terminate()
        process.wait(timeout=10)


def any_agent():
    return f"agent-{uuid.uuid4()}"
