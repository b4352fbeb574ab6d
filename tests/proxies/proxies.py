"""Starts programs that listen, in a directory and at a port of their own, and stops them."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
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


class Listener(ThreadingHTTPServer):
    """A server of the test's own, at a free port, until it is stopped."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__((HOST, 0), handler)
        self.port = self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        # Proxies drop connections that they keep.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is sent in one piece: in two, the second would wait for the first to be acknowledged.
    wbufsize = -1

    def answer(self, status, body, **header):
        self.send_response(status)
        for name, value in header.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Upstream(Listener):
    """Stands where the protected server would, answers everything and remembers it."""

    def __init__(self):
        self.received = received = []

        class Remembering(Handler):
            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                received.append(Received(self.command, self.path, self.headers.items(), body))
                self.answer(200, b'{"of":"upstream"}', Content_Type="application/json")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = handle_any

        super().__init__(Remembering)
