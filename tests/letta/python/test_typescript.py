"""The TypeScript SDK runs its own tests, before the same server."""

import os
import subprocess
from pathlib import Path

from gateway import issue

TESTS = Path(__file__).resolve().parents[1] / "node/sdk.test.mjs"


def test_the_typescript_sdk(server, a, b):
    environment = os.environ | {
        "HALLPASS_URL": server.url, "HALLPASS_TOKEN": issue(server, a), "HALLPASS_AGENT": a.id, "HALLPASS_OTHER": b.id,
    }
    result = subprocess.run(
        ["node", "--test", TESTS], env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "pass 7" in result.stdout
