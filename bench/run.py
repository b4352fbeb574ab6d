#!/usr/bin/env python3
"""The benchmark: how fast tokens are issued and enforced, and how cost grows with the number of records.

    bench/run.py                 issuing, beside three other servers; the ratios against their goals
    bench/run.py slow-sync       issuing on a disk that takes a millisecond longer a sync
    bench/run.py growth          issuing, listing and deleting at 1 thousand, 100 thousand and 3 million records
    bench/run.py postgres        PostgreSQL beside SQLite, revocations at another server, lists of a large table
    bench/run.py gateway         the gateway and forward-auth, beside nginx and HAProxy
    bench/run.py dev             from starting `hallpass dev` to the first token, and from Ctrl-C to its end
    bench/run.py streams         streams through the gateway: delays, memory, and how soon a revocation cuts them

It needs wrk; node with npm for the Express peer; nginx and HAProxy for `gateway`. Absolute figures drift from machine to
machine and from hour to hour; the targets run in turn, so that the ratios hold. Every sample goes to bench/results/.
"""

import argparse
import os
import pathlib
import sys

import dev
import gateway
import growth
import harness
import issuing
import postgres
import report
import streams


def numbers(text):
    return [int(part.replace("_", "")) for part in text.split(",")]


COMMANDS = {
    "issue": issuing.run,
    "slow-sync": issuing.run_slow_sync,
    "growth": growth.run,
    "postgres": postgres.run,
    "gateway": gateway.run,
    "streams": streams.run,
    "dev": dev.run,
}


# With little to do, the same way is gone to its end.
SMALL = {
    "rounds": 1, "seconds": 1, "warmup": 1, "connections": [4], "tokens": 200, "streams": 10,
    "sizes": [1_000, 2_000], "revoked": [0, 1_000],
}  # fmt: skip


def listed(targets):
    return ", ".join(f"{letter} {name}" for letter, name in targets.items())


def arguments():
    release = harness.ROOT / "target" / "release"
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("command", nargs="?", choices=COMMANDS, default="issue", help="what to measure (%(default)s)")
    add("--rounds", type=int, default=3, help="rounds, of which the medians are printed (%(default)s)")
    add("--seconds", type=int, default=5, help="length of one run of wrk (%(default)s)")
    add("--warmup", type=int, default=3, help="seconds for each target before the first round (%(default)s)")
    add("--connections", type=numbers, help="of `issue` and `gateway`, as in 1,16,64,256")
    targets = f"of `issue` and `slow-sync`: {listed(issuing.TARGETS)}; of `gateway`: {listed(gateway.TARGETS)}"
    add("--targets", help=f"{targets}; if not given, all of them, and a and d of `slow-sync`")
    add("--tokens", type=int, default=gateway.TOKENS, help="of `gateway`: new tokens in one run (%(default)s)")
    add("--streams", type=int, default=streams.STREAMS, help="of `streams`: how many are open at once (%(default)s)")
    add("--event-ms", type=int, default=streams.EVENT_MS, help="of `streams`: from an event to the next (%(default)s)")
    add("--agents", type=int, default=issuing.AGENTS, help="agents that tokens are issued for (%(default)s)")
    add("--sizes", type=numbers, help="records, of `growth` and `postgres`, as in 1_000,100_000,3_000_000")
    add("--revoked", type=numbers, default=postgres.REVOKED, help="revoked tokens, of `postgres`, as in 0,1_000_000")
    add("--sync-delay-us", type=int, default=1000, help="of `slow-sync`, added to each sync (%(default)s)")
    add("--server-core", type=int, default=cores[0], help="the core of the servers (%(default)s)")
    add("--load-core", type=int, default=cores[-1], help="the core of wrk (%(default)s)")
    add("--binary", type=pathlib.Path, default=release / "hallpass")
    add("--bench-server", type=pathlib.Path, default=release / "examples" / "bench-server")
    add("--small", action="store_true", help="a trial that shows whether all of it works; its figures mean nothing")
    add("--keep", action="store_true", help="keep the databases and logs")

    if parser.parse_args().small:
        parser.set_defaults(**SMALL)
    options = parser.parse_args()
    of = gateway if options.command == "gateway" else issuing
    options.connections = options.connections or of.CONNECTIONS
    options.targets = options.targets or ("a,d" if options.command == "slow-sync" else ",".join(of.TARGETS))
    options.sizes = options.sizes or (postgres if options.command == "postgres" else growth).SIZES
    options.binary, options.bench_server = options.binary.resolve(), options.bench_server.resolve()
    options.cores = harness.Cores(options.server_core, options.load_core)
    return options


def main():
    options = arguments()
    available = os.sched_getaffinity(0)
    if options.server_core == options.load_core or not {options.server_core, options.load_core} <= available:
        raise harness.BenchError(f"two different cores are needed; there are {sorted(available)}")
    os.sched_setaffinity(0, {options.load_core})  # This script must not take from the server's core either.
    report.is_trial = options.small
    COMMANDS[options.command](options)
    if options.small:
        print("This was a trial: all of it works, and no figure above means anything.")


if __name__ == "__main__":
    try:
        main()
    except harness.BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
