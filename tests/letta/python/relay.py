"""Stands between the gateway and Letta, passes every byte on and keeps each request: these have left the gateway."""

import socket
import threading
from dataclasses import dataclass

import h11


@dataclass
class Seen:
    method: str
    target: str
    headers: list
    body: bytes = b""

    def header(self, name):
        return [value for key, value in self.headers if key == name]

    def __str__(self):
        return f"{self.method} {self.target}"


class Relay:
    def __init__(self, upstream):
        host, port = upstream.removeprefix("http://").split(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._seen = []

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        # Wakes the thread that accepts, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def since(self, mark=0):
        return self._seen[mark:]

    def mark(self):
        return len(self._seen)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = Reader(self._seen)
            threading.Thread(target=pump, args=(client, server, reader.read), daemon=True).start()
            threading.Thread(target=pump, args=(server, client, lambda data: None), daemon=True).start()


def pump(source, sink, look):
    try:
        while data := source.recv(65536):
            # Before it is passed on, so that what has an effect has been seen.
            look(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, sink):
            side.close()


class Reader:
    """Reads the requests of one connection, which come one after the other."""

    def __init__(self, seen):
        self._seen = seen
        self._parser = h11.Connection(h11.SERVER)
        self._request = None

    def read(self, data):
        self._parser.receive_data(data)
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
                self._request = Seen(event.method.decode(), event.target.decode("latin-1"), headers)
                self._seen.append(self._request)
            elif isinstance(event, h11.Data):
                self._request.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                # The parser waits for the answer, which passes elsewhere: the next request is another's to read.
                rest, _ = self._parser.trailing_data
                self._parser = h11.Connection(h11.SERVER)
                if rest:
                    self._parser.receive_data(rest)
            else:
                return
