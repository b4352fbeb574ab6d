"""How long a frontend developer waits: from starting `hallpass dev` to the first token, and from Ctrl-C to its end,
a stream being open."""

import contextlib
import dataclasses
import http.client
import json
import signal
import socket
import statistics
import time

import harness
import report
from harness import BenchError, Server
from report import Goal, progress

STARTS = 11
KEY = "sk-hallpass-dev-not-a-secret"
PAGE = "http://localhost:5173"
AGENT = "agent-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb"
LONG = json.dumps({"messages": [{"role": "user", "content": "[words 2000] [slow 1000]"}]})


@dataclasses.dataclass
class Sample:
    first_token_ms: float
    end_ms: float
    rss_mb: float


def request(server, method, path, bearer, body):
    connection = http.client.HTTPConnection(server.address, timeout=10)
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json", "Origin": PAGE}
    connection.request(method, path, body, headers)
    return connection, connection.getresponse()


def first_token(server):
    access = ["read_messages", "write_messages"]
    body = {"hostname": PAGE, "policy": [{"type": "agent", "id": AGENT, "access": access}]}
    connection, response = request(server, "POST", harness.TOKENS_PATH, KEY, json.dumps(body))
    with contextlib.closing(connection):
        if response.status != 201:
            raise BenchError(f"no token but {response.status}; the output:\n{server.tail()}")
        return json.load(response)["token"]


def sample(options, folder):
    address = f"127.0.0.1:{harness.free_port()}"
    argv = [options.binary, "dev", "--port", address.split(":")[1]]
    with Server("hallpass dev", argv, {}, folder, options.cores.server, address=address) as server:
        token = first_token(server)
        first_token_ms = (time.perf_counter() - server.spawned_at) * 1000
        connection, stream = request(server, "POST", f"/v1/agents/{AGENT}/messages/stream", token, LONG)
        if not stream.readline().startswith(b"data:"):
            raise BenchError(f"no stream but {stream.status}")
        rss_mb = server.memory_mb("VmRSS")
        began = time.perf_counter()
        server.process.send_signal(signal.SIGINT)
        server.process.wait(harness.STOP_DEADLINE)
        end_ms = (time.perf_counter() - began) * 1000
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        return Sample(first_token_ms, end_ms, rss_mb)


def run(options):
    with harness.work_folder(options.keep) as folder:
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        samples = []
        for index in range(STARTS):
            progress(f"start {index + 1} of {STARTS}")
            samples.append(sample(options, folder / str(index)))
        progress("")
        median = lambda figure: statistics.median(getattr(sample, figure) for sample in samples)
        goals = [
            Goal("start to the first token", median("first_token_ms"), "≤", 100, 50, " ms"),
            Goal("Ctrl-C to the end, a stream open", median("end_ms"), "≤", 100, 20, " ms"),
        ]
        report.print_goals(goals)
        print(f"Memory with a stream open: {median('rss_mb'):.1f} MB\n")
        report.save("dev", facts, options, {("hallpass dev", 1): samples}, goals)
