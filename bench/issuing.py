"""How fast tokens are issued, beside the same server without a store, an echo, and what one would write instead."""

import datetime
import json
import secrets
import statistics
import subprocess

import harness
import load
import report
from harness import BENCH, BenchError, Server
from report import Goal, progress

AGENTS = 1
STARTS = 20
REST_SECONDS = 1.0
BODY_BYTES = 190
CONNECTIONS = [1, 16, 64, 256]
WARM_UP_CONNECTIONS = 64
HALLPASS, NO_STORE, ECHO, EXPRESS = "hallpass", "no store", "echo", "express"
TARGETS = {"a": HALLPASS, "b": NO_STORE, "c": ECHO, "d": EXPRESS}


def agent_id(number):
    return f"agent-{number:08x}-0000-4000-8000-000000000000"


def issue_lines(agents):
    """Create requests of 190 bytes, one for each agent, so that the index by agent takes the usual scatter."""
    expires_at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)
    for number in range(agents):
        body = {
            "hostname": "https://a.example",
            "policy": [{"type": "agent", "id": agent_id(number), "access": ["read_messages", "write_messages"]}],
            "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        text = json.dumps(body, separators=(",", ":"))
        assert len(text) == BODY_BYTES, len(text)
        yield f"POST {harness.TOKENS_PATH} {text}"


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def start_hallpass(binary, folder, core, key, env=()):
    """`hallpass serve` as it comes: only the address, the database's place and a key are given."""
    env = {
        "HALLPASS_SERVER__LISTEN": "127.0.0.1:0",
        "HALLPASS_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
        "HALLPASS_DATABASE__URL": f"sqlite:{folder / 'hallpass.db'}",
        "HALLPASS_API_KEY": key,
        **dict(env),
    }
    return Server(HALLPASS, [binary, "serve"], env, folder, core, ready_path="/readyz")


def start(name, options, folder, key, env=()):
    folder = folder / name.replace(" ", "-")
    core, env = options.cores.server, {**dict(env), "HALLPASS_API_KEY": key}
    match name:
        case "hallpass":
            return start_hallpass(options.binary, folder, core, key, env)
        case "express":
            peer = {"NODE_ENV": "production", "DATABASE": str(folder / "tokens.db")}
            return Server(name, ["node", BENCH / "express" / "server.mjs"], {**env, **peer}, folder, core)
        case _:
            return Server(name, [options.bench_server, name.replace(" ", "")], env, folder, core)


def prepare(options, names):
    harness.require_tool("wrk", "wrk")
    harness.require_tool("taskset", "util-linux")
    build = "build it with `cargo build --release --bin hallpass --example bench-server`"
    if HALLPASS in names:
        harness.require_file(options.binary, build)
    if {NO_STORE, ECHO} & set(names):
        harness.require_file(options.bench_server, build)
    if EXPRESS in names:
        harness.require_tool("node", "nodejs")
        harness.require_tool("npm", "npm")
        install_express()


def install_express():
    folder = BENCH / "express"
    if not (folder / "node_modules" / "better-sqlite3" / "build").exists():
        print("Installing the Express peer's packages; one is compiled, which takes a minute or two", flush=True)
        if subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=False).returncode:
            raise BenchError(f"`npm ci` failed in {folder}; without the peer, run with `--targets a,b,c`")


def compare(options, names, connections, folder, env=()):
    """Runs the targets in turn, round after round, so that a slow minute of the machine meets all of them.

    Answers medians by target and connections, and what was seen of Hallpass's memory.
    """
    key = secrets.token_urlsafe(24)
    requests = write_lines(folder / "requests.txt", issue_lines(options.agents))
    servers, samples, memory, issued = {}, {}, {}, 0
    measure = lambda server, conns, seconds: load.run(server, options.cores, key, requests, 201, conns, seconds)
    try:
        for name in names:
            servers[name] = start(name, options, folder, key, env)
        if HALLPASS in servers:
            memory["rest_mb"] = harness.steady_memory_mb(servers[HALLPASS], REST_SECONDS)
        for name, server in servers.items():
            progress(f"warming up {name}")
            warm_up = measure(server, WARM_UP_CONNECTIONS, options.warmup)
            issued += warm_up.requests if name == HALLPASS else 0
        for round_ in range(options.rounds):
            for conns in connections:
                for name, server in servers.items():
                    progress(f"round {round_ + 1} of {options.rounds}: {name}, {conns} connections")
                    sample = measure(server, conns, options.seconds)
                    samples.setdefault((name, conns), []).append(sample)
                    issued += sample.requests if name == HALLPASS else 0
        if HALLPASS in servers:
            memory["peak_mb"] = servers[HALLPASS].memory_mb("VmHWM")
        for server in servers.values():
            server.stop()
    finally:
        for server in servers.values():
            server.kill()
    progress("")
    if HALLPASS in servers:
        runs = options.rounds * len(connections) + 1
        check_records(folder / HALLPASS / "hallpass.db", issued, runs, max(WARM_UP_CONNECTIONS, *connections))
    return samples, {at: load.median(of) for at, of in samples.items()}, memory, key


def check_records(database, issued, runs, connections):
    """Every answer must have its record; a run's last requests may have one without an answer, as wrk hangs up."""
    records = harness.count_records(database)
    if not issued <= records <= issued + runs * connections:
        raise BenchError(f"{issued} tokens were handed out, but the database holds {records} records")


def time_to_ready_ms(options, folder, key):
    """Median time from spawning `hallpass serve` to its first 200 at /readyz, on a database that exists."""
    times = []
    for index in range(STARTS):
        progress(f"start {index + 1} of {STARTS}")
        with start_hallpass(options.binary, folder, options.cores.server, key) as server:
            times.append(server.ready_after * 1000)
    progress("")
    return statistics.median(times)


def print_samples(names, connections, medians):
    rows = [[name, conns, *report.figures(medians[name, conns])] for name in names for conns in connections]
    report.print_table(["target", "conns", *report.FIGURES], rows)
    report.print_legend(medians)


def ratio(samples, top, bottom, conns, least, hoped, unit):
    """The median of each round's own ratio, as a round's runs stand close together in time."""
    pairs = list(zip(samples.get((top, conns), []), samples.get((bottom, conns), [])))
    if pairs:
        measured = statistics.median(over.rate / under.rate for over, under in pairs)
        yield Goal(f"{top} / {bottom}, {conns} connections", measured, "≥", least, hoped, unit)


def run(options):
    names = [TARGETS[letter] for letter in options.targets.split(",")]
    prepare(options, names)
    with harness.work_folder(options.keep) as folder:
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        samples, medians, memory, key = compare(options, names, options.connections, folder)
        print_samples(names, options.connections, medians)
        goals = [
            *ratio(samples, HALLPASS, NO_STORE, 64, 0.62, 0.72, ""),
            *ratio(samples, HALLPASS, NO_STORE, 256, 0.72, 0.82, ""),
            *ratio(samples, HALLPASS, EXPRESS, 64, 10, 13, "×"),
        ]
        if HALLPASS in names:
            if 16 in options.connections:
                p99_ms = medians[HALLPASS, 16].p99_us / 1000
                goals.append(Goal("p99 at 16 connections", p99_ms, "≤", 4, 2.5, " ms"))
            goals.append(Goal("memory at rest", memory["rest_mb"], "≤", 15, 8, " MB"))
            goals.append(Goal("memory under load, peak", memory["peak_mb"], "≤", 64, 40, " MB"))
            records = harness.count_records(folder / HALLPASS / "hallpass.db")
            loaded_ms = time_to_ready_ms(options, folder / HALLPASS, key)
            goals.append(Goal(f"start to ready, {records:,} records", loaded_ms, "≤", 60, 25, " ms"))
            small = folder / "small"
            start_hallpass(options.binary, small, options.cores.server, key).stop()  # Makes the database and its key.
            goals.append(Goal("start to ready, no records", time_to_ready_ms(options, small, key), "≤", 60, 25, " ms"))
        report.print_goals(goals)
        report.save("issuing", facts, options, samples, goals)


def run_slow_sync(options):
    """The same servers on a disk that takes a millisecond longer a sync, as a network disk does."""
    harness.require_tool("cc", "gcc")
    names, connections = [TARGETS[letter] for letter in options.targets.split(",")], [1, 64, 256]
    prepare(options, names)
    with harness.work_folder(options.keep) as folder:
        library = folder / "slow_sync.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, BENCH / "slow_sync.c"], check=True)
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        env = {"LD_PRELOAD": str(library), "SLOW_SYNC_US": str(options.sync_delay_us)}
        samples, medians, _, _ = compare(options, names, connections, folder, env)
        for name in names:
            if medians[name, 1].p50_us < options.sync_delay_us:
                raise BenchError(f"the delay did not reach {name}: is it linked statically?")
        print_samples(names, connections, medians)
        goals = list(ratio(samples, HALLPASS, EXPRESS, 64, 20, 25, "×"))
        report.print_goals(goals)
        report.save("slow-sync", facts, options, samples, goals)
