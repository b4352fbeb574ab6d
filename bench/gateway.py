"""What enforcement costs: the gateway and forward-auth beside nginx, HAProxy and no proxy at all.

The upstream is an nginx with a fixed answer, on the core of wrk. Every target is sent the same request, with the same
headers, over the same number of connections.
"""

import base64
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import secrets
import statistics
import subprocess
import textwrap

import harness
import issuing
import load
import report
from harness import BENCH, BenchError, Server
from report import Goal, progress

CONNECTIONS = [16, 64]
TOKENS = 30_000
WARM_UP_CONNECTIONS = 64
REST_SECONDS = 1.0
PAGE, ISSUING_DEADLINE = 1000, 600
UPSTREAM_BYTES = 1024
ORIGIN = "https://app.example.com"
UPSTREAM_SECRET = "the-upstream-s-own-secret"
ACCESS = ["read_messages", "write_messages", "read_agent", "write_agent"]
HOT_AGENT, NEW_AGENT = issuing.agent_id(0), issuing.agent_id(1)  # Apart, so that the new tokens can be listed by agent.
HOT_PATH, NEW_PATH = (f"/v1/agents/{agent}/core-memory" for agent in [HOT_AGENT, NEW_AGENT])
FORWARD_AUTH_PATH = "/forward-auth"

DIRECT, NGINX, NGINX_204 = "direct", "nginx proxy_pass", "nginx return 204"
HAPROXY = "haproxy jwt_verify ES256"
HOT, NEW, FORWARD_AUTH = "gateway (hot token)", "gateway (new tokens)", "forward-auth (hot token)"
TARGETS = {"a": DIRECT, "b": NGINX, "c": HOT, "d": NEW, "e": HAPROXY, "f": NGINX_204, "g": FORWARD_AUTH}
HALLPASS_TARGETS = {HOT, NEW, FORWARD_AUTH}
ASKED = {NGINX_204, FORWARD_AUTH}
PASSED = {"Origin": ORIGIN}  # The headers of a request that is passed on, beside its token,
ASKING = {**PASSED, "X-Original-Method": "GET", "X-Original-URI": HOT_PATH}  # and of nginx's question.
P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")  # RFC 5480, up to x and y.


def upstream_body():
    """About as much JSON as the memory of an agent is."""
    block = {"label": "human", "limit": 20000, "value": ""}
    block["value"] = "x" * (UPSTREAM_BYTES - len(json.dumps({"blocks": [block]})))
    return json.dumps({"blocks": [block]})


class Nginx(Server):
    """An nginx of one worker. It is the worker's time and memory that count, not its supervisor's."""

    def __init__(self, name, folder, core, answer, upstream="127.0.0.1:1"):
        (folder / "tmp").mkdir(parents=True)
        address = f"127.0.0.1:{harness.free_port()}"
        user = "user root;" if os.geteuid() == 0 else ""  # Else the worker could not enter the folder.
        config = fill("nginx.conf", folder, LISTEN=address, USER=user, ANSWER=answer, UPSTREAM=upstream)
        argv = [harness.require_tool("nginx", "nginx"), "-p", folder, "-c", config, "-e", "stderr"]
        super().__init__(name, argv, {}, folder, core, address=address)
        try:
            self.pid = self._await(self._worker, "start its worker")
        except BaseException:
            self.kill()
            raise

    def _worker(self):
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def kill(self):
        """Asks first: killed, it would leave its worker behind."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(harness.STOP_DEADLINE)
        super().kill()


def fill(template, folder, **values):
    """The template beside this file with its `@NAME@`s replaced, written to the folder."""
    text = (BENCH / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    path = folder / template
    path.write_text(text)
    return path


def start_haproxy(folder, core, upstream, public_key):
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{harness.free_port()}"
    config = fill("haproxy.cfg", folder, LISTEN=address, UPSTREAM=upstream, PUBLIC_KEY=public_key)
    argv = [harness.require_tool("haproxy", "haproxy"), "-db", "-f", config]
    return Server(HAPROXY, argv, {}, folder, core, address=address)


def start_hallpass(options, folder, key, upstream):
    """Limits are off: it is their absence from the hot path that is measured, not their refusals."""
    env = {
        "HALLPASS_GATEWAY__UPSTREAM": f"http://{upstream}",
        "HALLPASS_GATEWAY__UPSTREAM_TOKEN": UPSTREAM_SECRET,
        "HALLPASS_SERVER__TRUSTED_PROXIES": '["127.0.0.1/32"]',
        "HALLPASS_FORWARD_AUTH__PROXY": "nginx",
        "HALLPASS_LIMITS__MESSAGES_PER_MINUTE": "0",
        "HALLPASS_LIMITS__OPEN_STREAMS": "0",
        "HALLPASS_LIMITS__LISTS_PER_MINUTE": "0",
    }
    return issuing.start_hallpass(options.binary, folder, options.cores.server, key, env)


def token_request(agent):
    expires_at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)
    body = {
        "hostname": ORIGIN,
        "policy": [{"type": "agent", "id": agent, "access": ACCESS}],
        "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return json.dumps(body, separators=(",", ":"))


@contextlib.contextmanager
def connected(server):
    connection = http.client.HTTPConnection(server.address, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def call(connection, method, path, expect, bearer=None, body=None, headers=()):
    """The body of the answer, which must have the status `expect`."""
    headers = dict(headers)
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    if body:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != expect:
        raise BenchError(f"{method} {path} answered {answer.status}, not {expect}: {text[:300]}")
    return text


def issue_one(connection, key, agent):
    return json.loads(call(connection, "POST", harness.TOKENS_PATH, 201, key, token_request(agent)))["token"]


def tokens_of(server, key, agent, wanted):
    """Live tokens of an agent, page by page."""
    with connected(server) as connection:
        for offset in range(0, wanted, PAGE):
            path = f"{harness.TOKENS_PATH}?agentId={agent}&limit={PAGE}&offset={offset}"
            tokens = json.loads(call(connection, "GET", path, 200, key))["tokens"]
            if len(tokens) < min(PAGE, wanted - offset):
                raise BenchError(f"the list of {agent} ended at {offset + len(tokens)} of {wanted} tokens")
            yield from (entry["token"] for entry in tokens[: wanted - offset])


def issue_many(options, server, key, folder, runs, each):
    """Files of tokens that no server has seen yet, one file for each run."""
    progress(f"issuing {runs * each:,} tokens")
    requests = issuing.write_lines(folder / "issue.txt", [f"POST {harness.TOKENS_PATH} {token_request(NEW_AGENT)}"])
    load.run(server, options.cores, key, requests, 201, WARM_UP_CONNECTIONS, ISSUING_DEADLINE, runs * each)
    tokens = tokens_of(server, key, NEW_AGENT, runs * each)
    return [
        issuing.write_lines(folder / f"tokens-{run}.txt", (next(tokens) for _ in range(each))) for run in range(runs)
    ]


def es256(options, folder, key):
    """A token signed by ES256, and its public key in a PEM file: made by a server of their own."""
    env = {"HALLPASS_SIGNING__ALGORITHM": "ES256"}
    with issuing.start_hallpass(options.binary, folder, options.cores.server, key, env) as server:
        with connected(server) as connection:
            token = issue_one(connection, key, HOT_AGENT)
            ring = json.loads(call(connection, "GET", "/.well-known/jwks.json", 200))["keys"]
    kid = json.loads(decoded(token.split(".")[0]))["kid"]
    found = next(jwk for jwk in ring if jwk["kid"] == kid)
    der = P256_PREFIX + decoded(found["x"]) + decoded(found["y"])
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    path = folder / "es256.pem"
    path.write_text("\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]))
    return token, path


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Bench:
    """All targets, and how each is loaded."""

    def __init__(self, options, folder, names):
        self.options, self.names = options, names
        self.key = secrets.token_urlsafe(24)
        self.servers, self.samples, self.memory, self.files = {}, {}, {}, []
        self.hallpass = None
        self.stack = contextlib.ExitStack()
        self.get = issuing.write_lines(folder / "get.txt", [f"GET {HOT_PATH}"])
        self.get_new = issuing.write_lines(folder / "get-new.txt", [f"GET {NEW_PATH}"])
        self.ask = issuing.write_lines(folder / "ask.txt", [f"GET {FORWARD_AUTH_PATH}"])
        self.prepare_tokens(folder)
        try:
            self.start(folder)
        except BaseException:
            self.stack.__exit__(BenchError, None, None)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.stack.__exit__(*failure)

    def prepare_tokens(self, folder):
        """By servers that end before anything is measured, so that the measured one has its memory to itself."""
        runs = 1 + self.options.rounds * len(self.options.connections)
        # What is sent after the last answer that counts must be new too, or the last of them would not be.
        each = self.options.tokens + max([*self.options.connections, WARM_UP_CONNECTIONS])
        with start_hallpass(self.options, folder / "hallpass", self.key, "127.0.0.1:1") as server:
            with connected(server) as connection:
                self.hot = issue_one(connection, self.key, HOT_AGENT)
            if NEW in self.names:
                self.files = issue_many(self.options, server, self.key, folder, runs, each)
        if HAPROXY in self.names:
            self.es256, self.public_key = es256(self.options, folder / "es256", self.key)

    def start(self, folder):
        cores, enter = self.options.cores, self.stack.enter_context
        answer = f"return 200 '{upstream_body()}';"
        upstream = enter(Nginx(DIRECT, folder / "upstream", cores.load, answer))
        self.upstream = self.servers[DIRECT] = upstream
        if HALLPASS_TARGETS & set(self.names):
            self.hallpass = enter(start_hallpass(self.options, folder / "hallpass", self.key, upstream.address))
            self.memory["rest_mb"] = harness.steady_memory_mb(self.hallpass, REST_SECONDS)
            self.servers.update(dict.fromkeys(HALLPASS_TARGETS, self.hallpass))
        if NGINX in self.names:
            # What its documentation asks for, lest every request open a connection.
            answer = 'proxy_pass http://agent_server; proxy_http_version 1.1; proxy_set_header Connection "";'
            self.servers[NGINX] = enter(Nginx(NGINX, folder / "nginx", cores.server, answer, upstream.address))
        if NGINX_204 in self.names:
            self.servers[NGINX_204] = enter(Nginx(NGINX_204, folder / "nginx-204", cores.server, "return 204;"))
        if HAPROXY in self.names:
            proxy = start_haproxy(folder / "haproxy", cores.server, upstream.address, self.public_key)
            self.servers[HAPROXY] = enter(proxy)

    def check(self):
        """A target that let pass what it should refuse, or answered something else, would make a fine figure."""
        wrong = lambda token: token[:-5] + ("AAAAA" if token[-5:] != "AAAAA" else "BBBBB")
        for name in self.names:
            path = FORWARD_AUTH_PATH if name in ASKED else HOT_PATH
            token = self.es256 if name == HAPROXY else self.hot
            with connected(self.servers[name]) as connection:
                headers = ASKING if name in ASKED else PASSED
                body = call(connection, "GET", path, 204 if name == NGINX_204 else 200, token, headers=headers)
                if name not in ASKED and body != upstream_body().encode():
                    raise BenchError(f"{name} answered {body[:300]}, not what the upstream sends")
                if name in HALLPASS_TARGETS | {HAPROXY}:
                    call(connection, "GET", path, 401, wrong(token), headers=headers)
                if name in HALLPASS_TARGETS:
                    call(connection, "GET", path, 403, token, headers={**headers, "Origin": "https://other.example"})

    def measure(self, name, connections, seconds):
        sent = {"headers": ASKING if name in ASKED else PASSED, "beside": [self.upstream]}
        server, cores = self.servers[name], self.options.cores
        if name == NEW:
            sent.update(keys=self.files.pop(0), count=self.options.tokens)
            return load.run(server, cores, "", self.get_new, 200, connections, **sent)
        lines = self.ask if name in ASKED else self.get
        token = self.es256 if name == HAPROXY else self.hot
        expect = 204 if name == NGINX_204 else 200
        return load.run(server, cores, token, lines, expect, connections, seconds, lean=True, **sent)

    def run(self):
        for name in self.names:
            progress(f"warming up {name}")
            self.measure(name, WARM_UP_CONNECTIONS, self.options.warmup)
        for round_ in range(self.options.rounds):
            for connections in self.options.connections:
                for name in self.names:
                    progress(f"round {round_ + 1} of {self.options.rounds}: {name}, {connections} connections")
                    sample = self.measure(name, connections, self.options.seconds)
                    self.samples.setdefault((name, connections), []).append(sample)
        progress("")
        if self.hallpass:
            self.memory["peak_mb"] = self.hallpass.memory_mb("VmHWM")

    def added_p50(self, name, connections, least, hoped):
        """Over a call without a proxy. Wrk and the upstream share a core in that call as in the others."""
        pairs = zip(self.samples.get((name, connections), []), self.samples.get((DIRECT, connections), []))
        if added := [over.p50_us - under.p50_us for over, under in pairs]:
            what = f"p50 of {name}, over direct, {connections} connections"
            yield Goal(what, statistics.median(added), "≤", least, hoped, " µs")

    def goals(self):
        at = max(self.options.connections)
        memory = [("rest_mb", "memory at rest", 15, 8), ("peak_mb", "memory under load, peak", 64, 40)]
        return [
            *issuing.ratio(self.samples, HOT, NGINX, at, 0.85, 1.0, ""),
            *issuing.ratio(self.samples, NEW, HAPROXY, at, 1.5, 1.7, ""),
            *issuing.ratio(self.samples, FORWARD_AUTH, NGINX_204, at, 0.7, 0.9, ""),
            *self.added_p50(HOT, min(self.options.connections), 150, 100),
            *(
                Goal(what, self.memory[name], "≤", least, hoped, " MB")
                for name, what, least, hoped in memory
                if name in self.memory
            ),
        ]


def prepare(options):
    harness.require_tool("wrk", "wrk")
    harness.require_tool("taskset", "util-linux")
    harness.require_file(options.binary, "build it with `cargo build --release --bin hallpass`")


def run(options):
    names = [TARGETS[letter] for letter in options.targets.split(",")]
    prepare(options)
    with harness.work_folder(options.keep) as folder:
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        with Bench(options, folder, names) as bench:
            bench.check()
            bench.run()
            goals = bench.goals()
        medians = {at: load.median(of) for at, of in bench.samples.items()}
        issuing.print_samples(names, options.connections, medians)
        if NEW in names:
            print(f"Of the new tokens, every one was sent once: {options.tokens:,} in a run, none seen before.\n")
        report.print_goals(goals)
        report.save("gateway", facts, options, bench.samples, goals)
