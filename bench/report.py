"""What a benchmark prints and keeps."""

import dataclasses
import json
import sys
import time

from harness import BENCH, ROOT

RESULTS = BENCH / "results"
FIGURES = ["req/s", "p50 ms", "p99 ms", "CPU µs/req", "RSS MB", "wrk", "others"]

is_trial = False  # Whether figures mean nothing: then they are put into words all the same, and not judged or kept.


def figures(sample):
    """A sample as cells of a table, under the heads of `FIGURES`."""
    return [
        f"{sample.rate:,.0f}",
        f"{sample.p50_us / 1000:.2f}",
        f"{sample.p99_us / 1000:.2f}",
        f"{sample.cpu_us:.1f}",
        f"{sample.rss_mb:.0f}",
        f"{sample.wrk:.0%}",
        f"{sample.others:.0%}",
    ]


@dataclasses.dataclass
class Goal:
    """A figure that is to be reached, and the better one that is hoped for."""

    what: str
    measured: float
    sign: str  # "≥" or "≤"
    least: float
    hoped: float
    unit: str

    def reached(self, limit):
        return self.measured >= limit if self.sign == "≥" else self.measured <= limit

    def cells(self):
        verdict = "hope met" if self.reached(self.hoped) else "met" if self.reached(self.least) else "NOT MET"
        limit = lambda value: f"{self.sign} {value:g}{self.unit}"
        return [self.what, limit(self.least), limit(self.hoped), f"{self.measured:.2f}{self.unit}", verdict]


def print_goals(goals):
    rows = [goal.cells() for goal in goals]
    if rows and not is_trial:
        print_table(["goal", "at least", "hoped for", "measured", "verdict"], rows)


def print_legend(medians):
    print("wrk, others: the share of its core that wrk took (with the upstream, where there is one), and of the server's")
    print("core that anything else took.")
    if any(m.wrk > 0.95 for m in medians.values()):
        print("Where wrk's core was full, it and not the server set the rate.")
    if any(m.others > 0.1 for m in medians.values()):
        print("Something else took more than a tenth of the server's core in some runs: do it again when it is quiet.")
    print(flush=True)


def print_machine(facts):
    print(
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}; load before {facts['load_before']:.2f}; "
        f"a 4 KB write with fdatasync takes {facts['sync_us']} µs (99 of 100 within {facts['sync_p99_us']} µs)\n"
    )


def print_table(head, rows):
    """A Markdown table: the first column to the left, figures to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    for first, *others in [head, rule, *rows]:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]
        print("| " + " | ".join(cells) + " |")
    print(flush=True)


def save(name, facts, options, samples, goals=()):
    """Writes every sample, not only the medians; `samples` maps (what, number) to a list of them."""
    path = RESULTS / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}.json"
    data = {
        "machine": facts,
        "options": {key: str(value) for key, value in vars(options).items()},
        "samples": [
            {"target": what, "at": number, "round": index, **dataclasses.asdict(sample)}
            for (what, number), of in samples.items()
            for index, sample in enumerate(of, 1)
        ],
        "goals": [dataclasses.asdict(goal) for goal in goals],
    }
    text = json.dumps(data, indent=1) + "\n"
    if is_trial:
        return
    RESULTS.mkdir(exist_ok=True)
    path.write_text(text)
    print(f"Written to {path.relative_to(ROOT)}")


def progress(text):
    """Says on a terminal what is going on, on one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
