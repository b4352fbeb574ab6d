"""Lets schemathesis make requests from the server's own OpenAPI document, right ones and wrong ones.

Fails when any answer is a server error or is not what the document says. Seed and number are fixed, so that a failure
comes back.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hallpass import Server

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SETTINGS = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("contract_hooks.py")


def main():
    with tempfile.TemporaryDirectory(prefix="hallpass-e2e-") as directory:
        server = Server(directory).start()
        try:
            key = server.new_api_key()["key"]
            # The tool writes beside where it runs, so it runs where everything is removed.
            result = subprocess.run(
                [
                    SCHEMATHESIS, "--config-file", SETTINGS, "run", f"{server.url}/openapi.json",
                    "--url", server.url, "--header", f"Authorization: Bearer {key}",
                ],
                cwd=directory, env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)}, timeout=150,
            )
        finally:
            server.stop()
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
