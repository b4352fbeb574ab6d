"""Starts programs that listen, in a directory and at a port of their own, and stops them."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hallpass import DEADLINE, wait_until

HOST = "127.0.0.1"


def free_port():
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]


class Program:
    """A running program that listens at a port of this machine."""

    def __init__(self, command, port, directory, **variables):
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._log = directory / "program.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command], cwd=directory, env=os.environ | variables,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        try:
            wait_until(self._listens, f"listening of {command[0]}")
        except BaseException:
            self.stop()
            raise

    @property
    def output(self):
        return self._log.read_text(errors="replace")

    def _listens(self):
        assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.output}"
        with contextlib.suppress(ConnectionError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Received:
    """A request as it arrived: names and values of the header as they were written, repeated ones too."""

    method: str
    target: str
    header: list
    body: bytes

    def values(self, name):
        """The values of every field that a careless server might take for this one, whatever its spelling."""
        def plain(key):
            return key.lower().replace("_", "-").replace(".", "-")

        return [value for key, value in self.header if plain(key) == plain(name)]


class Upstream:
    """Stands where the protected server would, answers everything and remembers it."""

    def __init__(self):
        self.received = received = []
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer is sent in one piece: in two, the second would wait for the first to be acknowledged.
            wbufsize = -1

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    received.append(Received(self.command, self.path, self.headers.items(), body))
                answer = b'{"of":"upstream"}'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
