"""A stream of events as a client sees it: when each event came, and how the stream ended."""

import asyncio
import json
import time

import gateway
from harness import BenchError

OPENING_AT_ONCE = 50
DEADLINE = 20
PATH = f"/v1/agents/{gateway.HOT_AGENT}/messages/stream"


class Stream(asyncio.Protocol):
    """One stream, as a client sees it."""

    def __init__(self, what, token):
        loop = asyncio.get_running_loop()
        self.opened, self.ended = loop.create_future(), loop.create_future()
        self.request, self.transport = self._request(what, token), None
        self.buffer, self.unfinished, self.in_body = bytearray(), b"", False
        self.number = None  # as the upstream counts streams
        self.delays = []  # (when sent, how long it took) of each event, in ns
        self.frames = self.merged = self.split = 0
        self.error = {}  # the problem that ended it, if one did
        self.whole, self.ended_at = False, None

    @staticmethod
    def _request(what, token):
        body = json.dumps({"messages": [{"role": "user", "content": what}]})
        headers = {
            "Host": "hallpass.example",
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "Content-Length": len(body),
            "Origin": gateway.ORIGIN,
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", body]
        return "\r\n".join(lines).encode()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        now = time.monotonic_ns()
        self.buffer += data
        if not self.in_body and not self._head():
            return
        while (frame := self._frame()) is not None:
            self._read(frame, now)

    def _head(self):
        head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 200 ") or b"\r\ntransfer-encoding: chunked" not in head.lower():
            self._fail(f"not a stream: {bytes(self.buffer[:600])}")
            return False
        self.buffer, self.in_body = bytearray(rest), True
        return True

    def _frame(self):
        """The next whole chunk, which is what the other side wrote at a time; the last is empty."""
        line = self.buffer.find(b"\r\n")
        if line < 0:
            return None
        end = line + 2 + int(self.buffer[:line], 16)
        if len(self.buffer) < end + 2:
            return None
        frame = bytes(self.buffer[line + 2 : end])
        del self.buffer[: end + 2]
        return frame

    def _read(self, frame, now):
        if not frame:
            self.whole = not self.unfinished
            self._end(now)
            return
        *events, self.unfinished = (self.unfinished + frame).split(b"\n\n")
        self.frames += 1
        self.merged += len(events) > 1
        self.split += bool(self.unfinished)
        for event in events:
            self._take(event, now)

    def _take(self, event, now):
        name, data = None, b""
        for line in event.split(b"\n"):
            field, _, value = line.partition(b": ")
            name = value if field == b"event" else name
            data = value if field == b"data" else data
        if name == b"error":
            self.error = json.loads(data)
        elif data != b"[DONE]":
            content = json.loads(data)
            self.number = content["stream"]
            self.delays.append((content["sent_ns"], now - content["sent_ns"]))
            if not self.opened.done():
                self.opened.set_result(None)

    def connection_lost(self, _failure):
        self._end(time.monotonic_ns())

    def _end(self, now):
        if self.ended_at is None:
            self.ended_at = now
            self.ended.set_result(None)
            self._fail(f"it ended before its first event, by {self.error}")
            self.transport.close()

    def _fail(self, why):
        if not self.opened.done():
            self.opened.set_exception(BenchError(f"a stream could not be opened: {why}"))


async def open_stream(server, what, token=None):
    """A stream that has had its first event."""
    host, port = server.address.split(":")
    _, stream = await asyncio.get_running_loop().create_connection(lambda: Stream(what, token), host, int(port))
    async with asyncio.timeout(DEADLINE):
        await stream.opened
    return stream


async def open_streams(server, what, tokens):
    gate = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(token):
        async with gate:
            return await open_stream(server, what, token)

    return await asyncio.gather(*map(open_one, tokens))
