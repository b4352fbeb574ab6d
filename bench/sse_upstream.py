#!/usr/bin/env python3
"""An agent server that sends nothing but events, each with the time at which it was sent.

What it sends is chosen by a word in the body of the request:

- `spaced COUNT MS`: so many events, the first together with the head of the answer, and `[DONE]`, all so far apart;
- `quiet`: one event, then nothing until the client leaves;
- `endless MS`: one event, then one every so often until the client leaves, each stream at another moment.

`GET /left` answers when each stream that ended before its time did so, by its number, in nanoseconds of the clock that
all processes share; `GET /open` how many are open. It prints `{"address": …}` and serves until it is killed.
"""

import asyncio
import gc
import itertools
import json
import re
import signal
import time

COMMAND = re.compile(rb"(spaced|quiet|endless)(?: (\d+))?(?: (\d+))?")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
# A connection carries one stream, so that whatever comes from the client while it lasts means that the client left.
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
GOLDEN = 0.618033988749895  # Multiples of it, less their whole parts, spread evenly however many there are.
DONE = b"data: [DONE]\n\n"
TEXT = "as long as the piece of an answer usually is"

numbers = itertools.count()
left, open_streams = {}, set()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(stream):
    data = {
        "id": f"message-{stream:08x}-0000-4000-8000-000000000000",
        "message_type": "assistant_message",
        "content": TEXT,
        "stream": stream,
        "sent_ns": time.monotonic_ns(),
    }
    return chunk(b"data: %b\n\n" % json.dumps(data).encode())


async def read_body(reader, head):
    if CHUNKED.search(head):
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body
    length = LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


async def spaced(writer, stream, count, ms):
    for _ in range(count - 1):
        await asyncio.sleep(ms / 1000)
        writer.write(event(stream))
    await asyncio.sleep(ms / 1000)
    writer.write(chunk(DONE) + chunk(b""))


async def endless(writer, stream, ms):
    loop = asyncio.get_running_loop()
    at = loop.time() + ms / 1000 * (stream * GOLDEN % 1)
    while True:
        await asyncio.sleep(at - loop.time())
        writer.write(event(stream))
        at += ms / 1000


async def send(reader, writer, body):
    """Sends a stream, and notes when the client leaves before its end."""
    word, *values = COMMAND.search(body).groups()
    values = [int(value) for value in values if value]
    stream = next(numbers)
    writer.write(HEAD + event(stream))
    sending = {b"spaced": spaced, b"endless": endless}.get(word)
    sending = asyncio.ensure_future(sending(writer, stream, *values) if sending else asyncio.Event().wait())
    leaving = asyncio.ensure_future(reader.read(1))
    open_streams.add(stream)
    try:
        await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            left[stream] = time.monotonic_ns()
    finally:
        open_streams.discard(stream)
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await read_body(reader, head)
            if head.startswith(b"POST "):
                return await send(reader, writer, body)
            answer = json.dumps(left if b" /left " in head else len(open_streams)).encode()
            kind = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + kind % len(answer) + answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # The client left between two requests.
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, port = server.sockets[0].getsockname()
    print(json.dumps({"address": f"{host}:{port}"}), flush=True)
    gc.disable()  # Its pauses would count as delays.
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
