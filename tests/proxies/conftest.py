"""`--only NAME` runs the tests of one proxy or verifier: of a sample's name, or of what it begins with before a `-`."""


def pytest_addoption(parser):
    parser.addoption("--only", help="one of those that guards.py or gates.py list")


def pytest_collection_modifyitems(config, items):
    only = config.getoption("--only")
    if only is None:
        return

    def is_wanted(item):
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        return any(
            str(parameters.get(fixture, "")) == only or str(parameters.get(fixture, "")).startswith(f"{only}-")
            for fixture in ("guarded", "gated")
        )

    wanted = [item for item in items if is_wanted(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted
