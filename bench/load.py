"""Load by wrk on one server, and what it showed. `load.lua` beside this file is the part that runs inside wrk."""

import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import time

from harness import BENCH, BenchError

COUNT_DEADLINE = 60


@dataclasses.dataclass
class Sample:
    """One run of wrk against one server."""

    requests: int
    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float  # of the server, a request
    rss_mb: float
    others: float  # share of the server's core that something else took
    wrk: float  # share of the other core that wrk and what it needs took: near 1, they are what sets the rate


def core_busy_seconds(core):
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"there is no core {core}")


def children_cpu_seconds():
    """Of children that have ended: between two calls, wrk alone."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(
    server, cores, key, requests, expect, connections, seconds=COUNT_DEADLINE, count=None,
    headers=(), keys=None, lean=False, beside=(),
):  # fmt: skip
    """Sends the lines of the file `requests` for some seconds or, with `count`, until there are so many answers.

    Fails if one answer has another status than `expect`: a figure with errors in it is no figure. `lean` is for targets
    so fast that looking at each answer would make wrk the slower one: then a status of 400 or more is what counts as
    another. `keys` is a file of which each request takes the next line in place of `key`. The servers `beside` run on
    the core of wrk, because the one that is measured asks them or is one of them.
    """
    env = {
        **os.environ,
        "BENCH_KEY": key,
        "BENCH_REQUESTS": str(requests),
        "BENCH_EXPECT": str(expect),
        "BENCH_HEADERS": "".join(f"{name}: {value}\n" for name, value in dict(headers).items()),
    }
    if count:
        env["BENCH_COUNT"] = str(count)
    if keys:
        env["BENCH_KEYS"] = str(keys)
    if lean:
        env["BENCH_LEAN"] = "1"
    command = ["taskset", "-c", str(cores.load), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    beside_seconds = lambda: sum(other.cpu_seconds() for other in beside)
    busy, cpu = core_busy_seconds(server.core), server.cpu_seconds()
    wrk_cpu, beside_cpu = children_cpu_seconds(), beside_seconds()
    start = time.perf_counter()
    command += ["-s", str(BENCH / "load.lua"), f"http://{server.address}"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    cpu, busy = server.cpu_seconds() - cpu, core_busy_seconds(server.core) - busy
    wrk_cpu = children_cpu_seconds() - wrk_cpu + beside_seconds() - beside_cpu
    lines = ran.stdout.splitlines()
    if ran.returncode or not lines or not lines[-1].startswith("{"):
        raise BenchError(f"wrk failed against {server.name}:\n{ran.stdout}{ran.stderr}")
    figures = json.loads(lines[-1])
    if figures["unexpected"] or figures["socket_errors"] or not figures["requests"]:
        raise BenchError(
            f"{server.name}, {connections} connections: of {figures['requests']} answers {figures['unexpected']} were "
            f"not {expect} and {figures['socket_errors']} connections failed; the first: {figures['first_unexpected']}"
        )
    if count and figures["requests"] < count:
        raise BenchError(f"{server.name} gave {figures['requests']} of {count} answers within {seconds} s")
    return Sample(
        requests=figures["requests"],
        rate=figures["requests"] / figures["seconds"],
        p50_us=figures["p50_us"],
        p99_us=figures["p99_us"],
        cpu_us=cpu * 1e6 / figures["requests"],
        rss_mb=server.memory_mb("VmRSS"),
        others=max(0.0, (busy - (wrk_cpu if server in beside else cpu)) / elapsed),
        wrk=wrk_cpu / elapsed,
    )


def median(samples):
    """The sample whose every figure is the median of that figure."""
    fields = [field.name for field in dataclasses.fields(Sample)]
    return Sample(**{name: statistics.median(getattr(s, name) for s in samples) for name in fields})
