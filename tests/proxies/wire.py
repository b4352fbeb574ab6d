"""Sends requests just as they are given: targets unparsed, fields in their spelling and as often as they are named."""

import http.client
import json
from dataclasses import dataclass

from proxies import HOST

TIMEOUT = 15


@dataclass
class Answer:
    status: int
    header: list
    body: bytes

    def values(self, name):
        return [value for key, value in self.header if key.lower() == name]

    def json(self):
        return json.loads(self.body)


def send(port, method, target, header=(), body=None):
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        has_host = any(name.lower() == "host" for name, _ in header)
        connection.putrequest(method, target, skip_host=has_host, skip_accept_encoding=True)
        for name, value in header:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()
