"""How cost grows: issuing, listing and deleting on databases of several sizes, measured in turn.

A small database would not stay small under a load of seconds, so every run is a fixed number of requests, and small
databases are copied afresh for each round.
"""

import http.client
import json
import secrets
import shutil

import harness
import issuing
import load
import report
import seed
from harness import TOKENS_PATH, BenchError
from report import progress

SIZES = [1_000, 100_000, 3_000_000]
PAGE = 10
COPIED_UP_TO = 200_000  # Beyond it, a round's requests change the size by nothing that counts.

ISSUES, ISSUES_BEFORE, ISSUE_CONNECTIONS = 5_000, 500, 64
LISTS, LISTS_BEFORE, LIST_CONNECTIONS = 2_000, 200, 16
DELETES, DELETE_CONNECTIONS = 400, 16

# An API key may list so many pages a minute; here one key lists them all.
UNLIMITED = {"HALLPASS_LIMITS__LISTS_PER_MINUTE": "0"}

ISSUE, DELETE = "issue", "delete"
LIST, LIST_BURIED = "list a page of 10", "list 10 live tokens behind expired ones"
OPERATIONS = [ISSUE, LIST, LIST_BURIED, DELETE]


def list_path(agent):
    return f"{TOKENS_PATH}?agentId={issuing.agent_id(agent)}&limit={PAGE}"


class Database:
    """A database of one size, and the requests that are sent to a server on it."""

    def __init__(self, options, folder, size, key):
        self.options, self.folder, self.size, self.key = options, folder / str(size), size, key
        # The server makes the schema, the signing key and the project; only records are added behind its back.
        issuing.start_hallpass(options.binary, self.folder, options.cores.server, key).stop()
        progress(f"filling {size:,} records")
        self.live = seed.fill(self.folder / "hallpass.db", size)
        self.requests = {
            ISSUE: issuing.write_lines(self.folder / "issue.txt", issuing.issue_lines(options.agents)),
            LIST: issuing.write_lines(self.folder / "list.txt", [f"GET {list_path(seed.HEAVY_AGENT)}"]),
            LIST_BURIED: issuing.write_lines(self.folder / "list-buried.txt", [f"GET {list_path(seed.BURIED_AGENT)}"]),
        }

    def measure(self, round_):
        """One sample of each operation, by a server of its own that is gone afterwards."""
        copied = self.size <= COPIED_UP_TO
        folder = self.folder.with_name(f"{self.size}-copy") if copied else self.folder
        if copied:
            shutil.copytree(self.folder, folder)
        # A copy starts anew in each round, so it may delete the same tokens again.
        first = 0 if copied else round_ * DELETES
        deletes = self.live[first : first + DELETES]
        if len(deletes) < DELETES:
            raise BenchError(f"{self.size} records have too few live tokens for {DELETES} deletions in each round")
        deletes = issuing.write_lines(folder / "delete.txt", (f"DELETE {TOKENS_PATH}/{jti}" for jti in deletes))

        binary, core = self.options.binary, self.options.cores.server
        with issuing.start_hallpass(binary, folder, core, self.key, UNLIMITED) as server:
            self.check_pages(server)

            def sent(*what, count):
                harness.await_rest(server)
                return load.run(server, self.options.cores, self.key, *what, count=count)

            sent(self.requests[LIST], 200, LIST_CONNECTIONS, count=LISTS_BEFORE)
            samples = {
                LIST: sent(self.requests[LIST], 200, LIST_CONNECTIONS, count=LISTS),
                LIST_BURIED: sent(self.requests[LIST_BURIED], 200, LIST_CONNECTIONS, count=LISTS),
                DELETE: sent(deletes, 204, DELETE_CONNECTIONS, count=DELETES),
            }
            sent(self.requests[ISSUE], 201, ISSUE_CONNECTIONS, count=ISSUES_BEFORE)
            samples[ISSUE] = sent(self.requests[ISSUE], 201, ISSUE_CONNECTIONS, count=ISSUES)
        if copied:
            shutil.rmtree(folder)
        return samples

    def check_pages(self, server):
        for agent in [seed.HEAVY_AGENT, seed.BURIED_AGENT]:
            check_page(server, self.key, agent)


def check_page(server, key, agent):
    """A list that came back short would make a fine figure and no sense."""
    connection = http.client.HTTPConnection(server.address, timeout=60)
    connection.request("GET", list_path(agent), headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    tokens = json.loads(body).get("tokens", []) if answer.status == 200 else []
    if len(tokens) != PAGE or any(entry["token"].count(".") != 2 for entry in tokens):
        raise BenchError(f"the list for {issuing.agent_id(agent)} is {answer.status} {body[:300]}")


def run(options):
    issuing.prepare(options, [issuing.HALLPASS])
    with harness.work_folder(options.keep) as folder:
        facts = harness.machine_facts(folder)
        report.print_machine(facts)
        key = secrets.token_urlsafe(24)
        databases = [Database(options, folder, size, key) for size in options.sizes]
        for database in databases:
            file = database.folder / "hallpass.db"
            print(f"{database.size:,} records: {file.stat().st_size / 1e6:,.0f} MB")
        print()
        samples = {(what, size): [] for what in OPERATIONS for size in options.sizes}
        for round_ in range(options.rounds):
            for database in databases:
                progress(f"round {round_ + 1} of {options.rounds}: {database.size:,} records")
                for what, sample in database.measure(round_).items():
                    samples[what, database.size].append(sample)
        progress("")
        print_growth(options.sizes, {at: load.median(of) for at, of in samples.items()})
        report.save("growth", facts, options, samples)


def print_growth(sizes, medians):
    """The cost ratios are times per request over those of the smallest database: 1 means that size costs nothing."""
    rows = []
    for what in OPERATIONS:
        base = medians[what, sizes[0]]
        for size in sizes:
            sample = medians[what, size]
            ratios = [f"{base.rate / sample.rate:.2f}", f"{sample.cpu_us / base.cpu_us:.2f}"]
            rows.append([what, f"{size:,}", *ratios, *report.figures(sample)])
    report.print_table(["operation", "records", "time ×", "CPU ×", *report.FIGURES], rows)
    report.print_legend(medians)
