"""Plays the language model: an OpenAI-compatible server in this process, which keeps each prompt that it gets.

The last user message says what it answers, so that a test steers it through Letta:

    [slow 300]        takes so many milliseconds for each word
    [words 20]        answers with so many words
    [call NAME {…}]   calls that tool each time it is asked, with these arguments
    [tool NAME]       calls that tool once and then answers; as Hallpass's own mock of an agent server takes it
    [error 429]       fails with that status, and a text that nobody but the operator should see
    [error stream]    fails so after three words, if it streams

and otherwise it repeats what was said. `REASONER` thinks aloud before each answer.
"""

import contextlib
import hashlib
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL, REASONER = "fake-gpt", "fake-reasoner"
EMBEDDING = "text-embedding-3-small"
# The handles by which Letta knows them.
MODEL_HANDLE, REASONER_HANDLE = f"openai-proxy/{MODEL}", f"openai-proxy/{REASONER}"
EMBEDDING_HANDLE = f"openai/{EMBEDDING}"
DIMENSIONS = 1536
THOUGHT = "Let me think."
# What providers say of a failure names the key that was used.
FAILURE = "incorrect key provided: provider-key-8e44"


class Model:
    def __init__(self):
        self.prompts = []
        self._answered = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *connection: _Handler(self, *connection))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def is_idle(self):
        return self._answered == len(self.prompts)

    @contextlib.contextmanager
    def answering(self, prompt):
        with self._lock:
            self.prompts.append(prompt)
        try:
            yield
        finally:
            with self._lock:
                self._answered += 1

    def prompts_with(self, text):
        """The prompts whose last user message holds a text."""
        return [prompt for prompt in self.prompts if text in last_said(prompt)]


def last_said(prompt):
    said = [message["content"] for message in prompt["messages"] if message["role"] == "user"]
    content = said[-1] if said else ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def answer(prompt):
    """What is said, the tool call if one is wanted, and the seconds that each word takes: models take their time."""
    said = last_said(prompt)
    call = re.search(r"\[call (\w+) (\{.*\})\]", said)
    if (once := re.search(r"\[tool (\w+)\]", said)) and prompt["messages"][-1]["role"] == "user":
        call = (None, once[1], json.dumps({"query": "anything"}))
    words = re.search(r"\[words (\d+)\]", said)
    slow = re.search(r"\[slow (\d+)\]", said)
    text = " ".join(f"word{n}" for n in range(int(words[1]))) if words else f"You said: {said}"
    return text, call and (call[1], call[2]), int(slow[1]) / 1000 if slow else 0


def vector(text):
    """The same text gives the same direction, another text another."""
    values = []
    while len(values) < DIMENSIONS:
        values += [byte - 127.5 for byte in hashlib.sha256(f"{len(values)} {text}".encode()).digest()]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, model, *connection):
        self._model = model
        super().__init__(*connection)

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        names = (MODEL, REASONER, EMBEDDING)
        models = [{"id": name, "object": "model", "created": 1, "owned_by": "test"} for name in names]
        self._send({"object": "list", "data": models})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            return self._embed(body)
        with self._model.answering(body):
            return self._complete(body)

    def _complete(self, body):
        if failing := re.search(r"\[error (\d+)\]", last_said(body)):
            return self._send({"error": PROBLEM}, int(failing[1]))
        text, call, pause = answer(body)
        call = call and {
            "id": f"call_{uuid.uuid4().hex}", "type": "function", "function": {"name": call[0], "arguments": call[1]}
        }
        if body.get("stream"):
            return self._stream(body, text, call, pause)
        time.sleep(pause * len(text.split()))
        message = {"role": "assistant", "content": None if call else text} | ({"tool_calls": [call]} if call else {})
        if body["model"] == REASONER:
            message["reasoning_content"] = THOUGHT
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
        return self._send(self._head(body, "chat.completion") | {"choices": [choice], "usage": USAGE})

    def _embed(self, body):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": n, "embedding": vector(text)} for n, text in enumerate(texts)]
        self._send({"object": "list", "model": body["model"], "data": data, "usage": USAGE})

    def _stream(self, body, text, call, pause):
        head = self._head(body, "chat.completion.chunk")
        failing = {"error": PROBLEM} if "[error stream]" in last_said(body) else {}

        def event(delta, finish=None, **more):
            choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
            chunk(f"data: {json.dumps(head | {'choices': choices} | more)}\n\n".encode())

        def chunk(data):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            event({"role": "assistant", "content": None if call else ""})
            if body["model"] == REASONER:
                for word in re.findall(r"\S+\s*", THOUGHT):
                    event({"reasoning_content": word})
            if call:
                event({"tool_calls": [{"index": 0, **call}]}, "tool_calls")
            else:
                for word in re.findall(r"\S+\s*", text)[: 3 if failing else None]:
                    time.sleep(pause)
                    event({"content": word})
                event({}, "stop", **failing)
            event(None, usage=USAGE)
            chunk(b"data: [DONE]\n\n")
            chunk(b"")
        except ConnectionError:
            self.close_connection = True

    @staticmethod
    def _head(body, kind):
        return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": 1, "model": body.get("model")}

    def _send(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


PROBLEM = {"message": FAILURE, "type": "error", "code": "x"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
