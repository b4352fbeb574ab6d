"""PostgreSQL beside SQLite: issuing, how soon another server knows of a revocation, what revoked tokens cost those that
verify, and what a list costs as the table grows.

PostgreSQL runs on the core that wrk has, so that the server's core is the server's alone as it is with SQLite; what the
database takes is shown by itself.
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import secrets
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

import growth
import harness
import issuing
import load
import report
import seed
from harness import BenchError
from report import Goal, progress

MASTER_KEY = base64.b64encode(bytes(32)).decode()
LAG_REVOCATIONS = 1_000
REVOKED = [0, 10_000, 1_000_000]
SIZES = [3_000, 3_000_000]
LISTS, LISTS_BEFORE, LIST_CONNECTIONS = 2_000, 500, 16
INTROSPECTIONS, INTROSPECTIONS_BEFORE, INTROSPECT_CONNECTIONS = 20_000, 2_000, 16


def programs():
    """The folder of the programs that `tests/postgres` names, or else of the newest server's."""
    if named := os.environ.get("HALLPASS_TEST_POSTGRES_BIN"):
        return pathlib.Path(named)
    folders = [folder for folder in pathlib.Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if not folders:
        raise BenchError("PostgreSQL is not installed: run `apt-get install postgresql`")
    return max(folders, key=lambda folder: int(folder.parent.name))


class Cluster:
    """A PostgreSQL of its own, as it comes but for its memory; `fsync` and `synchronous_commit` stay on."""

    def __init__(self, folder, core):
        self.bin = programs()
        self.as_owner = ["env", "LC_ALL=C"]
        if os.geteuid() != 0:
            folder.mkdir(parents=True)
        else:  # It refuses to run as root, and who it runs as may not get to where the checkout is.
            self.outside = tempfile.TemporaryDirectory(prefix="hallpass-bench-", dir="/var/tmp")
            folder = pathlib.Path(self.outside.name)
            shutil.chown(folder, "nobody")
            self.as_owner = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/", "LC_ALL=C"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.data = folder / "data"
        self.call("initdb", "-D", self.data, "-U", "hallpass", "--auth=trust", "--no-sync")
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c shared_buffers=512MB -c max_wal_size=4GB"
        self.call("pg_ctl", "-D", self.data, "-o", options, "-l", folder / "log", "-w", "start", before=["taskset", "-c", str(core)])

    def call(self, program, *arguments, before=()):
        command = [*before, *self.as_owner, self.bin / program, *map(str, arguments)]
        ran = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if ran.returncode:
            raise BenchError(f"{program} failed: {ran.stderr}")

    def url(self, database):
        return f"postgres://hallpass@127.0.0.1:{self.port}/{database}"

    def sql(self, database, text, stdin=None):
        command = [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url(database), "-c", text]
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise BenchError(f"psql failed: {ran.stderr}")
        return ran.stdout.strip()

    def create(self, database):
        self.sql("postgres", f"CREATE DATABASE {database}")
        return database

    def cpu_seconds(self):
        """Of all its processes, those that ended too: they are children of the first."""
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        ticks = 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                pid, parent = int(stat.parent.name), int(fields[1])
                if pid == first:
                    ticks += sum(map(int, fields[11:15]))
                elif parent == first:
                    ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.call("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")


def server(options, cluster, database, folder, key, core=None):
    env = {
        "HALLPASS_DATABASE__URL": cluster.url(database),
        "HALLPASS_MASTER_KEY": MASTER_KEY,
        **growth.UNLIMITED,
    }
    core = options.cores.server if core is None else core
    return issuing.start_hallpass(options.binary, folder, core, key, env)


def run(options):
    issuing.prepare(options, [issuing.HALLPASS, issuing.NO_STORE])
    harness.require_tool("setpriv", "util-linux")
    with harness.work_folder(options.keep) as folder:
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        key = secrets.token_urlsafe(24)
        cluster = Cluster(folder / "postgres", options.cores.load)
        try:
            goals, samples = [], {}
            for part in [issue, revocation_lag, verify, list_pages]:
                found, sampled = part(options, cluster, folder / part.__name__, key)
                goals += found
                samples |= sampled
        finally:
            cluster.stop()
        report.print_goals(goals)
        report.save("postgres", facts, options, samples, goals)


def issue(options, cluster, folder, key):
    """Issuing on PostgreSQL and on SQLite in turn."""
    folder.mkdir()
    requests = issuing.write_lines(folder / "requests.txt", issuing.issue_lines(options.agents))
    connections = [64, 256]
    on_sqlite, on_postgres = "on sqlite", "on postgres"
    samples, database_cpu = {}, {}
    with (
        issuing.start_hallpass(options.binary, folder / "sqlite", options.cores.server, key) as sqlite,
        server(options, cluster, cluster.create("issue"), folder / "postgres", key) as postgres,
    ):
        servers = {on_sqlite: sqlite, on_postgres: postgres}
        for each in servers.values():
            load.run(each, options.cores, key, requests, 201, 64, options.warmup)
        for round_ in range(options.rounds):
            for conns in connections:
                for name, each in servers.items():
                    progress(f"round {round_ + 1} of {options.rounds}: {name}, {conns} connections")
                    cpu = cluster.cpu_seconds()
                    sample = load.run(each, options.cores, key, requests, 201, conns, options.seconds)
                    samples.setdefault((name, conns), []).append(sample)
                    cpu = (cluster.cpu_seconds() - cpu) / sample.requests * 1e6
                    database_cpu.setdefault((name, conns), []).append(cpu)
    progress("")
    medians = {at: load.median(of) for at, of in samples.items()}
    rows = [
        [name, conns, *report.figures(medians[name, conns]), f"{statistics.median(database_cpu[name, conns]):.1f}"]
        for name in servers
        for conns in connections
    ]
    report.print_table(["target", "conns", *report.FIGURES, "database's CPU µs"], rows)
    report.print_legend(medians)
    goals = [
        goal for conns in connections for goal in issuing.ratio(samples, on_postgres, on_sqlite, conns, 0.9, 1.0, "")
    ]
    return goals, samples


class Client:
    """One connection that is kept."""

    def __init__(self, address, key):
        self.connection = http.client.HTTPConnection(address, timeout=30)
        self.headers = {"Authorization": f"Bearer {key}"}

    def call(self, method, path, body=None, kind="application/json"):
        self.connection.request(method, path, body, {**self.headers, "Content-Type": kind})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def token(self):
        policy = [{"type": "agent", "id": "agent-1", "access": ["read_messages"]}]
        status, body = self.call("POST", harness.TOKENS_PATH, json.dumps({"hostname": "https://a.example", "policy": policy}))
        if status != 201:
            raise BenchError(f"no token was issued: {status} {body[:300]}")
        return json.loads(body)["token"]

    def is_active(self, token):
        status, body = self.call("POST", "/oauth/introspect", f"token={token}", "application/x-www-form-urlencoded")
        if status != 200:
            raise BenchError(f"introspection is answered {status} {body[:300]}")
        return json.loads(body)["active"]


def revocation_lag(options, cluster, folder, key):
    """From the answer to a deletion at one server to the first refusal at another."""
    database = cluster.create("lag")
    with (
        server(options, cluster, database, folder / "one", key) as one,
        server(options, cluster, database, folder / "other", key) as other,
    ):
        here, there = Client(one.address, key), Client(other.address, key)
        lags = []
        for index in range(LAG_REVOCATIONS):
            if index % 100 == 0:
                progress(f"revocation {index} of {LAG_REVOCATIONS}")
            token = here.token()
            if not there.is_active(token):
                raise BenchError("a live token was refused")
            status, body = here.call("DELETE", f"{harness.TOKENS_PATH}/{token}")
            deleted = time.perf_counter()
            if status != 204:
                raise BenchError(f"a token was not deleted: {status} {body[:300]}")
            while there.is_active(token):
                if time.perf_counter() - deleted > 10:
                    raise BenchError("a revocation did not arrive within 10 s")
            lags.append((time.perf_counter() - deleted) * 1000)
        progress("")
    lags.sort()
    p50, p99, worst = lags[len(lags) // 2], lags[int(len(lags) * 0.99)], lags[-1]
    print(f"Revocation at another server: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms of {len(lags)}\n")
    return [Goal("revocation at another server, worst", worst, "≤", 1000, 100, " ms")], {}


def fill_revocations(cluster, database, count):
    """Revoked tokens that aren't over, as many as asked."""
    expires_at = int(time.time() * 1000) + seed.DAY_MS
    cluster.sql(
        database,
        "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) "
        f"SELECT 1, -n, gen_random_uuid(), {expires_at}, 0 FROM generate_series(1, {count}) AS n",
    )


def verify(options, cluster, folder, key):
    """Introspection, which is a verification and a look into memory, with more and more revoked tokens."""
    folder.mkdir()
    samples, ready = {}, {}
    for count in options.revoked:
        database = cluster.create(f"verify_{count}")
        server(options, cluster, database, folder / f"made-{count}", key).stop()
        fill_revocations(cluster, database, count)
    with contextlib.ExitStack() as stack:
        servers, requests = {}, {}
        for count in options.revoked:
            each = server(options, cluster, f"verify_{count}", folder / str(count), key)
            servers[count] = stack.enter_context(each)
            ready[count] = each.ready_after
            line = f"POST /oauth/introspect token={Client(each.address, key).token()}"
            requests[count] = issuing.write_lines(folder / f"{count}.txt", [line])
        for round_ in range(options.rounds):
            for count, each in servers.items():
                progress(f"round {round_ + 1} of {options.rounds}: {count:,} revoked tokens")
                send = lambda number: load.run(
                    each, options.cores, key, requests[count], 200, INTROSPECT_CONNECTIONS, count=number
                )
                send(INTROSPECTIONS_BEFORE)
                samples.setdefault(("verify", count), []).append(send(INTROSPECTIONS))
        memory = {count: each.memory_mb("VmRSS") for count, each in servers.items()}
    progress("")
    medians = {at: load.median(of) for at, of in samples.items()}
    rows = [
        [f"{count:,}", *report.figures(medians["verify", count]), f"{ready[count] * 1000:.0f}", f"{memory[count]:.0f}"]
        for count in options.revoked
    ]
    report.print_table(["revoked", *report.FIGURES, "ready ms", "memory MB"], rows)
    none, most = options.revoked[0], options.revoked[-1]
    ratio = medians["verify", most].cpu_us / medians["verify", none].cpu_us
    return [
        Goal(f"verifying beside {most:,} revoked tokens / none", ratio, "≤", 1.1, 1.02, ""),
        Goal(f"start to ready with {most:,} revoked tokens", ready[most], "≤", 2, 1, " s"),
        Goal(f"memory for {most:,} revoked tokens", memory[most] - memory[none], "≤", 100, 60, " MB"),
    ], samples


def fill_tokens(cluster, database, size):
    """The records that the SQLite benchmark has, by COPY."""
    kid = cluster.sql(database, "SELECT kid FROM signing_keys WHERE state = 'active'")
    sealing = seed.sealing_key_of(base64.b64decode(MASTER_KEY))
    now = int(time.time() * 1000)
    tokens, agents = [], []

    def flush():
        columns = "id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal"
        cluster.sql(database, f"COPY tokens ({columns}) FROM STDIN", "".join(tokens))
        cluster.sql(database, "COPY token_agents (project_id, agent_id, token_id, expires_at) FROM STDIN", "".join(agents))
        tokens.clear()
        agents.clear()

    for id_, record in enumerate(seed.records(size, now), 1):
        seal = seed.seal(sealing, 1, kid, record).hex()
        tokens.append(
            f"{id_}\t{seed.uuid_text(record.jti)}\t1\t{seed.API_KEY_ID}\t{seed.HOSTNAME}\t{record.expires_at}\t{kid}\t"
            f"{record.payload}\t\\\\x{seal}\n"
        )
        agents.append(f"1\t{record.agent}\t{id_}\t{record.expires_at}\n")
        if len(tokens) == 100_000:
            flush()
    flush()
    cluster.sql(database, "SELECT setval(pg_get_serial_sequence('tokens', 'id'), (SELECT max(id) FROM tokens))")
    cluster.sql(database, "VACUUM ANALYZE tokens")
    cluster.sql(database, "VACUUM ANALYZE token_agents")


def list_pages(options, cluster, folder, key):
    """One agent's page of ten, on a small table and on a large one."""
    folder.mkdir()
    samples = {}
    requests = issuing.write_lines(folder / "list.txt", [f"GET {growth.list_path(seed.HEAVY_AGENT)}"])
    for size in options.sizes:
        database = cluster.create(f"list_{size}")
        server(options, cluster, database, folder / f"made-{size}", key).stop()
        progress(f"filling {size:,} records")
        fill_tokens(cluster, database, size)
    cluster.sql("postgres", "CHECKPOINT")
    with contextlib.ExitStack() as stack:
        servers = {}
        for size in options.sizes:
            servers[size] = stack.enter_context(server(options, cluster, f"list_{size}", folder / str(size), key))
            growth.check_page(servers[size], key, seed.HEAVY_AGENT)
        for round_ in range(options.rounds):
            for size, each in servers.items():
                progress(f"round {round_ + 1} of {options.rounds}: a page among {size:,} records")
                send = lambda number: load.run(each, options.cores, key, requests, 200, LIST_CONNECTIONS, count=number)
                send(LISTS_BEFORE)
                samples.setdefault(("list", size), []).append(send(LISTS))
    progress("")
    medians = {at: load.median(of) for at, of in samples.items()}
    rows = [[f"{size:,}", *report.figures(medians["list", size])] for size in options.sizes]
    report.print_table(["records", *report.FIGURES], rows)
    small, large = options.sizes[0], options.sizes[-1]
    ratio = medians["list", small].rate / medians["list", large].rate
    return [Goal(f"a page of one agent among {large:,} records / {small:,}", ratio, "≤", 1.5, 1.1, "")], samples
