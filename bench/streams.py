"""Streams of events through the gateway: how late they come, what an open one costs, how soon a revocation ends it.

Every event carries the time at which the upstream sent it, by a clock that all processes share. Upstream and client are
Python, on the core that the server doesn't have, and add delays of their own; so all is measured without the gateway
too, and what that shows is the harness's part.
"""

import asyncio
import base64
import dataclasses
import gc
import json
import math
import resource
import secrets
import statistics
import subprocess
import sys
import time

import gateway
import harness
import report
from harness import BENCH, BenchError, Server
from report import Goal, progress
from sse_client import open_stream, open_streams

STREAMS, EVENT_MS = 500, 250
SINGLES, EVENTS, SPACING_MS = 100, 10, 6
LEAVERS, SETTLE_SECONDS = 50, 0.02
DELETING_AT_ONCE = 16
DEADLINE = 20
DIRECT, GATEWAY = "direct", "gateway"
BY_DELETE, BY_COMMAND = "DELETE of each", "token revoke --all"


def percentile(values, share):
    """The smallest value that so large a share of them doesn't exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


@dataclasses.dataclass
class Single:
    """What one stream at a time showed."""

    first_p50_ms: float
    first_p99_ms: float
    later_p99_ms: float
    frames: int
    merged: int  # frames of more than one event, though the upstream left time between them
    split: int  # frames that end within an event
    left_p50_ms: float  # from the client's leaving to the upstream's seeing it
    left_p99_ms: float


async def measure_single(server, upstream, token):
    first, later, frames, merged, split = [], [], 0, 0, 0
    for _ in range(SINGLES):
        stream = await open_stream(server, f"spaced {EVENTS} {SPACING_MS}", token)
        async with asyncio.timeout(DEADLINE):
            await stream.ended
        delays = [delay / 1e6 for _, delay in stream.delays]
        if not stream.whole or stream.error or len(delays) != EVENTS:
            raise BenchError(f"a stream of {EVENTS} events ended after {len(delays)}, by {stream.error}")
        first.append(delays[0])
        later += delays[1:]
        frames, merged, split = frames + stream.frames, merged + stream.merged, split + stream.split
    left = await measure_leaving(server, upstream, token)
    return Single(
        first_p50_ms=percentile(first, 0.5),
        first_p99_ms=percentile(first, 0.99),
        later_p99_ms=percentile(later, 0.99),
        frames=frames,
        merged=merged,
        split=split,
        left_p50_ms=percentile(left, 0.5),
        left_p99_ms=percentile(left, 0.99),
    )


async def measure_leaving(server, upstream, token):
    """Times in ms, of clients that leave while nothing is being sent."""
    at = {}
    for _ in range(LEAVERS):
        stream = await open_stream(server, "quiet", token)
        await asyncio.sleep(SETTLE_SECONDS)  # Else some would leave while the first event was still being passed on.
        at[stream.number] = time.monotonic_ns()
        stream.transport.close()
        await stream.ended
    all_left = lambda left: all(str(number) in left for number in at)
    seen = await until(upstream, "/left", all_left, "see all clients leave")
    return [(seen[str(number)] - moment) / 1e6 for number, moment in at.items()]


async def until(upstream, path, fits, what):
    """What the upstream says at the path, once it fits."""
    deadline = time.monotonic() + DEADLINE
    with gateway.connected(upstream) as connection:
        while time.monotonic() < deadline:
            said = json.loads(gateway.call(connection, "GET", path, 200))
            if fits(said):
                return said
            await asyncio.sleep(0.01)
    raise BenchError(f"the upstream did not {what} within {DEADLINE} s")


@dataclasses.dataclass
class Crowd:
    """What many open streams showed, each with an event now and then."""

    events: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    cpu_us: float  # of the server, an event; of the upstream where there is no server
    memory_kib: float  # of the server, a stream


async def measure_crowd(options, server, tokens):
    """Opens a stream for each token and leaves them open."""
    rest_mb = server.memory_mb("VmRSS")
    streams = await open_streams(server, f"endless {options.event_ms}", tokens)
    cpu, start, most_mb = server.cpu_seconds(), time.monotonic_ns(), 0
    end = start + options.seconds * 10**9
    while time.monotonic_ns() < end:
        await asyncio.sleep(0.1)
        most_mb = max(most_mb, server.memory_mb("VmRSS"))
    cpu = server.cpu_seconds() - cpu
    await all_come(streams, end)
    if lost := [stream for stream in streams if stream.ended_at]:
        raise BenchError(f"{len(lost)} of {len(streams)} streams ended by themselves, one by {lost[0].error}")
    delays = [delay / 1e6 for stream in streams for sent, delay in stream.delays if start <= sent < end]
    wanted = len(streams) * options.seconds * 1000 / options.event_ms
    # What falls to either side of an edge is no matter: of each stream an event or two.
    if abs(len(delays) - wanted) > max(wanted / 10, 2 * len(streams)):
        raise BenchError(f"{len(delays)} events came, not about {wanted:.0f}: is the core too busy for so many?")
    return streams, Crowd(
        events=len(delays),
        p50_ms=percentile(delays, 0.5),
        p99_ms=percentile(delays, 0.99),
        most_ms=max(delays),
        cpu_us=cpu * 1e6 / len(delays),
        memory_kib=(most_mb - rest_mb) * 1e6 / 1024 / len(streams),
    )


async def all_come(streams, sent_before):
    """Waits for what was sent before that moment, lest the latest events be missing from the delays."""
    deadline = time.monotonic() + DEADLINE
    while any(not stream.ended_at and stream.delays[-1][0] < sent_before for stream in streams):
        if time.monotonic() > deadline:
            raise BenchError(f"some streams had no event for {DEADLINE} s")
        await asyncio.sleep(0.01)


@dataclasses.dataclass
class Cut:
    """How soon a revocation of all tokens ended all streams; times in ms."""

    revoking: float  # from its start to its end
    after_revoking: float  # from its end to the end of the last stream; below 0, that ended first
    whole: float  # from its start to the end of the last stream
    each: float  # from a token's revocation, as far as the client can tell, to the end of its stream, at most


async def measure_cut(streams, upstream, revoke):
    start = time.monotonic_ns()
    revoked_at = await revoke()
    end = time.monotonic_ns()
    try:
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(stream.ended for stream in streams))
    except TimeoutError:
        still = sum(stream.ended_at is None for stream in streams)
        raise BenchError(f"{still} of {len(streams)} streams were open {DEADLINE} s after the revocation") from None
    if wrong := [stream for stream in streams if stream.error.get("reason") != "token_revoked" or not stream.whole]:
        raise BenchError(
            f"{len(wrong)} of {len(streams)} streams were not ended as they should; one: "
            f"error {wrong[0].error}, whole {wrong[0].whole}, rest {wrong[0].unfinished[:100]}"
        )
    await until(upstream, "/open", lambda still: still == 0, "see the end of all streams")
    last = max(stream.ended_at for stream in streams)
    return Cut(
        revoking=(end - start) / 1e6,
        after_revoking=(last - end) / 1e6,
        whole=(last - start) / 1e6,
        each=max(stream.ended_at - at for stream, at in zip(streams, revoked_at, strict=True)) / 1e6,
    )


async def delete_each(server, key, tokens):
    """Deletes the tokens, some at a time. Answers when each was asked for."""
    asked_at, waiting = {}, list(reversed(tokens))

    async def worker():
        reader, writer = await asyncio.open_connection(*server.address.split(":"))
        try:
            while waiting:
                token = waiting.pop()
                jti = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"]
                asked_at[token] = time.monotonic_ns()
                line = f"DELETE {harness.TOKENS_PATH}/{jti} HTTP/1.1"
                headers = f"Host: hallpass.example\r\nAuthorization: Bearer {key}"
                writer.write(f"{line}\r\n{headers}\r\n\r\n".encode())
                answer = await reader.readuntil(b"\r\n\r\n")
                if not answer.startswith(b"HTTP/1.1 204 "):
                    raise BenchError(f"deleting a token was answered by {answer[:300]}")
        finally:
            writer.close()

    await asyncio.gather(*(worker() for _ in range(DELETING_AT_ONCE)))
    return [asked_at[token] for token in tokens]


async def revoke_all(options, folder, count):
    """By the command beside the server. It revokes them together, and only its start is known for sure."""
    start = time.monotonic_ns()
    ran = await asyncio.create_subprocess_exec(
        options.binary, "token", "revoke", "--all",
        env={"HALLPASS_DATABASE__URL": f"sqlite:{folder / 'hallpass.db'}"}, cwd=folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await ran.communicate()
    if ran.returncode:
        raise BenchError(f"`hallpass token revoke --all` ended with {ran.returncode}: {said.decode(errors='replace')}")
    return [start] * count


async def measure_round(options, folder, hallpass, upstream, key, keep):
    """One of everything, with and without the gateway in turn. `keep` takes the samples."""
    with gateway.connected(hallpass) as connection:
        issue = lambda: gateway.issue_one(connection, key, gateway.HOT_AGENT)
        hot = issue()
        crowds = [[issue() for _ in range(options.streams)] for _ in range(2)]
    for name, server, token in [(DIRECT, upstream, None), (GATEWAY, hallpass, hot)]:
        progress(f"{name}, one stream at a time")
        keep(name, 1, await measure_single(server, upstream, token))

    progress(f"{DIRECT}, {options.streams} streams")
    streams, crowd = await measure_crowd(options, upstream, [None] * options.streams)
    keep(DIRECT, options.streams, dataclasses.replace(crowd, memory_kib=0))
    for stream in streams:
        stream.transport.close()
    await until(upstream, "/open", lambda still: still == 0, "see the end of all streams")

    revocations = {
        BY_DELETE: lambda: delete_each(hallpass, key, crowds[0]),
        BY_COMMAND: lambda: revoke_all(options, folder, options.streams),
    }
    for index, (how, revoke) in enumerate(revocations.items()):
        progress(f"{GATEWAY}, {options.streams} streams, then {how}")
        streams, crowd = await measure_crowd(options, hallpass, crowds[index])
        # Later ones are given memory that the server kept of the first, and would look cheaper than they are.
        keep(GATEWAY if index == 0 else f"{GATEWAY}, again", options.streams, crowd)
        keep(how, options.streams, await measure_cut(streams, upstream, revoke))


def median(samples):
    """The sample whose every figure is the median of that figure."""
    names = [field.name for field in dataclasses.fields(samples[0])]
    return type(samples[0])(**{name: statistics.median(getattr(s, name) for s in samples) for name in names})


def print_medians(medians, count):
    ms = lambda value: f"{value:.2f}"
    heads = ["first event p50 ms", "p99", "later ones p99", "frames", "merged", "split", "leaving p50 ms", "p99"]
    rows = []
    for name in [DIRECT, GATEWAY]:
        at = medians[name, 1]
        counts = [f"{at.frames:.0f}", f"{at.merged:.0f}", f"{at.split:.0f}"]
        delays = [ms(at.first_p50_ms), ms(at.first_p99_ms), ms(at.later_p99_ms)]
        rows.append([name, *delays, *counts, ms(at.left_p50_ms), ms(at.left_p99_ms)])
    report.print_table(["one stream at a time", *heads], rows)

    heads = ["events", "delay p50 ms", "p99", "most", "CPU µs/event", "KiB/stream"]
    rows = []
    for name in [DIRECT, GATEWAY, f"{GATEWAY}, again"]:
        at = medians[name, count]
        memory = f"{at.memory_kib:.1f}" if name == GATEWAY else "–"
        delays = [ms(at.p50_ms), ms(at.p99_ms), ms(at.most_ms)]
        rows.append([name, f"{at.events:,.0f}", *delays, f"{at.cpu_us:.1f}", memory])
    report.print_table([f"{count} streams", *heads], rows)
    direct, through = medians[DIRECT, count], medians[GATEWAY, count]
    print(
        f"Of the delay through the gateway the harness itself makes {direct.p50_ms / through.p50_ms:.0%} at the median\n"
        f"and {direct.p99_ms / through.p99_ms:.0%} at p99, going by what it takes without a gateway. The CPU time beside "
        f"`{DIRECT}` is the upstream's.\n"
    )

    heads = ["revoking ms", "then to the last cut", "from start to last cut", "longest of one"]
    rows = []
    for how in [BY_DELETE, BY_COMMAND]:
        at = medians[how, count]
        rows.append([how, *(f"{value:.0f}" for value in [at.revoking, at.after_revoking, at.whole, at.each])])
    report.print_table([f"{count} streams, revoked by", *heads], rows)


def goals(samples, medians, count):
    single = medians[GATEWAY, 1]
    # How long so many deletions take is up to the disk and to the client; the command is one revocation.
    worst_each = max(cut.each for cut in samples[BY_DELETE, count])
    worst_whole = max(cut.whole for cut in samples[BY_COMMAND, count])
    merged = sum(sample.merged for sample in samples[GATEWAY, 1])
    return [
        Goal("first event after, p99", single.first_p99_ms, "≤", 5, 1, " ms"),
        Goal("frames of merged events, all rounds", merged, "≤", 0, 0, ""),
        Goal("client's leaving seen upstream after, p99", single.left_p99_ms, "≤", 10, 2, " ms"),
        Goal(f"memory a stream, {count} open", medians[GATEWAY, count].memory_kib, "≤", 32, 32, " KiB"),
        Goal("each cut after the DELETE of its token, worst", worst_each, "≤", 1000, 1000, " ms"),
        Goal(f"all cut after `{BY_COMMAND}`, worst", worst_whole, "≤", 1000, 1000, " ms"),
    ]


def run(options):
    harness.require_tool("taskset", "util-linux")
    harness.require_file(options.binary, "build it with `cargo build --release --bin hallpass`")
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # A stream takes two of the server's.
    key, samples = secrets.token_urlsafe(24), {}
    keep = lambda what, at, sample: samples.setdefault((what, at), []).append(sample)
    gc.disable()  # Its pauses would count as delays.
    with harness.work_folder(options.keep) as folder:
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        command = [sys.executable, BENCH / "sse_upstream.py"]
        with Server("upstream", command, {}, folder / "upstream", options.cores.load) as upstream:
            for round_ in range(options.rounds):
                # A server of its own, as memory that one kept of earlier streams would hide what they cost.
                with gateway.start_hallpass(options, folder / "hallpass", key, upstream.address) as hallpass:
                    asyncio.run(measure_round(options, folder / "hallpass", hallpass, upstream, key, keep))
                gc.collect()
        progress("")
        medians = {at: median(of) for at, of in samples.items()}
        print_medians(medians, options.streams)
        reached = goals(samples, medians, options.streams)
        report.print_goals(reached)
        report.save("streams", facts, options, samples, reached)
