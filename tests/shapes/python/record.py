"""`record.py current|legacy` prints the shapes that a server's answers have for that Python SDK. The server and what is
on it are named by HALLPASS_URL, HALLPASS_KEY, HALLPASS_AGENT and HALLPASS_OTHER.
"""

import importlib
import json
import os
import sys
import uuid
from dataclasses import dataclass

import httpx

from shape import Recorder

ALL = ["read_messages", "write_messages", "read_agent", "write_agent"]


@dataclass
class Stage:
    url: str
    agent: str
    other: str
    token: str
    # What an SDK outside a browser has to send by itself.
    origin: str = "https://app.example.com"
    unknown: str = str(uuid.uuid4())


def issue(url, key, agent, hostname):
    policy = [{"type": "agent", "id": agent, "access": ALL}]
    answer = httpx.post(
        f"{url}/v1/client-side-access-tokens", json={"hostname": hostname, "policy": policy},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


url, key, agent, other = (os.environ[f"HALLPASS_{name}"] for name in ("URL", "KEY", "AGENT", "OTHER"))
stage = Stage(url, agent, other, issue(url, key, agent, Stage.origin))
print(json.dumps(Recorder().run(importlib.import_module(sys.argv[1]).script, stage)))
