"""Starts and stops the real binary, and makes API keys with its command line.

Each server has a fresh directory and a free port; what it logs is kept, so that a failing test can show it and a
stopping server can be asked whether it has let a secret slip.
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("HALLPASS_BIN", REPOSITORY / "target/debug/hallpass")).resolve()
PUBLIC_URL = "https://tokens.example.test"
# The longest that the server may take to start, to notice what a command wrote, or to stop.
DEADLINE = 10.0


def wait_until(condition, what, deadline=DEADLINE):
    """Polls until `condition` returns something true, and returns that."""
    give_up = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < give_up, f"{what} did not happen within {deadline} s"
        time.sleep(0.02)
    return value


class Server:
    def __init__(self, directory, **settings):
        self.directory = Path(directory)
        self.database = self.directory / "hallpass.db"
        self.log = self.directory / "log"
        self.api_keys = []
        self.url = None
        self._process = None
        # Settings of the developer's own shell must not decide what is tested.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HALLPASS_")}
        self._environment = inherited | {
            "HALLPASS_SERVER__LISTEN": "127.0.0.1:0",
            "HALLPASS_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
            "HALLPASS_SERVER__PUBLIC_URL": PUBLIC_URL,
            "HALLPASS_DATABASE__URL": f"sqlite:{self.database}",
            "HALLPASS_TELEMETRY__FORMAT": "json",
        } | settings

    def start(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "serve"], env=self._environment, cwd=self.directory, stdout=log, stderr=log
            )
        try:
            self.url = f"http://{wait_until(self._address, 'listening')}"
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def _address(self):
        assert self._process.poll() is None, f"the server ended at its start:\n{self.log.read_text()}"
        for line in self.log.read_text().splitlines():
            # The last line may still be half written.
            if line.startswith("{") and line.endswith("}"):
                entry = json.loads(line)
                if entry.get("message") == "listening":
                    return entry["address"]
        return None

    def stop(self):
        """Stops the server as a supervisor would and checks that it ended well and kept its secrets."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        log = self.log.read_text()
        assert code == 0, f"the server ended with {code}:\n{log}"
        assert "panicked" not in log, log
        assert not re.search(r"eyJ[\w-]{8,}\.", log), "the log holds a token"
        assert not any(key in log for key in self.api_keys), "the log holds an API key"

    def cli(self, *arguments):
        """Runs a command with `--json` beside the server and returns what it printed."""
        result = subprocess.run(
            [BINARY, *arguments, "--json"],
            env=self._environment, cwd=self.directory, capture_output=True, text=True, timeout=30,
        )
        assert result.returncode == 0, f"hallpass {' '.join(arguments)}: {result.stderr}"
        return json.loads(result.stdout)

    def new_api_key(self, project="default"):
        """Makes an API key and waits for the running server to take it. Returns what the command printed."""
        made = self.cli("api-key", "create", "--name", f"e2e {len(self.api_keys)}", "--project", project)
        self.api_keys.append(made["key"])
        with self.http(made["key"]) as http:
            wait_until(lambda: http.get(TOKENS).status_code == 200, "taking a new API key", deadline=2)
        return made

    def http(self, api_key=None):
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10)


TOKENS = "/v1/client-side-access-tokens"
