"""The scripts of SDK calls, and what they are run against: the real server behind the gateway, and `hallpass dev`."""
import json
import os
import subprocess
from pathlib import Path

from gateway import API_KEY, ok
from hallpass import REPOSITORY
from model import EMBEDDING_HANDLE, REASONER_HANDLE

IN_BROWSER = REPOSITORY / "tests/browser/sdk/record.mjs"


def make_plain_agent(http, name):
    """As a backend makes it, with a model that thinks aloud."""
    return ok(http.post("/v1/agents/", json={
        "name": name, "description": "Helps", "model": REASONER_HANDLE, "embedding": EMBEDDING_HANDLE,
        "system": "You help.", "memory_blocks": [{"label": label, "value": "x"} for label in ("persona", "human")],
    }))["id"]
