"""The same calls of the official SDKs get the same shapes from the real server behind the gateway as are kept in
`tests/shapes/real`, and from `hallpass dev` those too, but for what `may-differ.json` lists.

`HALLPASS_KEEP_SHAPES=1` keeps what the real server answers now. The TypeScript SDKs before `hallpass dev` are in
`tests/browser`, since that needs no real server.
"""

import os

import pytest

from gateway import API_KEY
from shapes import DEV_KEY, SCRIPTS, any_agent, compare, hallpass_dev, make_plain_agent, recorded, start

HOW = "keep" if os.environ.get("HALLPASS_KEEP_SHAPES") else "exactly"
IN_PYTHON = [name for name in SCRIPTS if name.startswith("python")]


@pytest.fixture(scope="module")
def scripts(server, key, tmp_path_factory):
    """All at once, since they wait more than they work."""
    other = make_plain_agent(key, "somebody else's")
    running = {}
    with hallpass_dev(tmp_path_factory.mktemp("dev")) as dev:
        try:
            for name in SCRIPTS:
                agent = make_plain_agent(key, f"for {name}")
                running["letta", name] = start(name, server.url, API_KEY, agent, other)
            for name in IN_PYTHON:
                running["dev", name] = start(name, dev, DEV_KEY, any_agent(), any_agent())
            yield running
        finally:
            for process in running.values():
                process.kill()
                process.wait()


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_real_servers_answers_have_the_shapes_that_are_kept(scripts, name):
    agree(compare(name, recorded(scripts["letta", name]), HOW))


@pytest.mark.parametrize("name", IN_PYTHON)
def test_hallpass_dev_answers_as_letta_does(scripts, name):
    agree(compare(name, recorded(scripts["dev", name])))


def agree(differences):
    assert differences == [], "\n".join(["the shapes differ:", *differences])
