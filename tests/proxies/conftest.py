"""A line for each proxy and verifier at the end, and `--only NAME` to test one of them.

NAME is a sample's name or what it begins with before a `-`: `--only nginx`, `--only envoy-ES256`.
"""

from collections import defaultdict

# The fixtures whose parameter is a sample's name.
SAMPLES = ("guarded", "gated")


def sample_of(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return next((parameters[fixture] for fixture in SAMPLES if fixture in parameters), None)


def pytest_addoption(parser):
    parser.addoption("--only", metavar="NAME", help="test this sample only")


def pytest_configure(config):
    config.pluginmanager.register(Tally(), "tally")


def pytest_collection_modifyitems(config, items):
    only = config.getoption("--only")
    if only is None:
        return

    def is_wanted(item):
        return f"{sample_of(item)}-".startswith(f"{only}-")

    config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
    items[:] = [item for item in items if is_wanted(item)]


class Tally:
    def __init__(self):
        self._seconds = defaultdict(float)
        self._outcomes = defaultdict(lambda: defaultdict(int))

    def pytest_runtest_makereport(self, item, call):
        name = sample_of(item)
        if name is None:
            return
        self._seconds[name] += call.duration
        if call.excinfo is not None:
            self._outcomes[name]["failed"] += 1
        elif call.when == "call":
            self._outcomes[name]["passed"] += 1

    def pytest_terminal_summary(self, terminalreporter):
        for name, seconds in self._seconds.items():
            outcomes = self._outcomes[name]
            result = "FAILED" if outcomes["failed"] else "ok"
            passed = f"{outcomes['passed']} passed"
            terminalreporter.write_line(f"proxies:   {name:<28} {passed:<11} {result:<6} {seconds:6.1f} s")
