"""What an answer looks like to an app, without what it says: classes and fields, the JSON types and forms of values,
the kinds of events in their order. The same notation as in `tests/browser/sdk/shape.mjs`, with the SDK's classes added.
"""

import datetime
import json
import re
import time
from collections.abc import Iterator

from pydantic import BaseModel

# Fields whose value is part of the shape, because apps branch on it.
KIND = re.compile(r"(message_?type|stop_?reason|error_?type|status|type|role|reason)", re.IGNORECASE)
ID = re.compile(r"([a-z_]+)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")
TYPES = {type(None): "null", bool: "boolean", int: "number", float: "number"}
OTID = "0b9f4a52-6c1d-4e83-9a57-3d2f8e6c7b10"


def shape(value, field=""):
    if isinstance(value, BaseModel):
        # The fields that were in the answer alone: the class fills in others.
        given = {name: inner for name, inner in vars(value).items() if name in value.model_fields_set}
        return {"(class)": type(value).__name__} | fields(given | (value.model_extra or {}))
    if isinstance(value, dict):
        return fields(value)
    if isinstance(value, (list, tuple)):
        return elements(value)
    if isinstance(value, datetime.datetime):
        return "time" if value.tzinfo else "time without zone"
    return text(value, field) if isinstance(value, str) else TYPES[type(value)]


def fields(values):
    named = ((ID.sub(r"{\1}", name), shape(value, name)) for name, value in values.items())
    return dict(sorted(named))


def text(value, field):
    if KIND.fullmatch(field) and re.fullmatch("[a-z_]+", value):
        return f"={value}"
    if match := ID.fullmatch(value):
        return f"id {match[1]}"
    if UUID.fullmatch(value):
        return "uuid"
    if match := TIME.fullmatch(value):
        return f"time {match[1] or 'without zone'}"
    return "text"


def elements(values):
    """The order of messages tells something, that of other things doesn't; how many there are never does."""
    shapes = [shape(value) for value in values]
    if any(isinstance(each, dict) and "message_type" in each for each in shapes):
        return [each for n, each in enumerate(shapes) if n == 0 or each != shapes[n - 1]]
    return [json.loads(each) for each in sorted({json.dumps(each, sort_keys=True) for each in shapes})]


class Recorder:
    """Keeps the shape of each call's outcome under the call's name, and gives what it returned to the script."""

    def __init__(self):
        self.calls = {}

    def run(self, script, *arguments):
        try:
            script(self.call, *arguments)
        except Exception as error:
            failure = {"class": type(error).__name__, "status": None, "body": str(error)}
            self.calls["the script itself"] = {"fails": failure}
        return self.calls

    def call(self, name, request):
        assert name not in self.calls, f"two calls are named {name}"
        outcome = self.calls[name] = {}
        try:
            answer = request()
            if not comes_in_pieces(answer):
                outcome["returns"] = shape(answer)
                return answer
            pieces = []
            try:
                for piece in answer:
                    pieces.append(piece)
            finally:
                outcome["yields"] = shape(pieces)
            return pieces
        except Exception as error:
            outcome["fails"] = failed(error)
            return None


def comes_in_pieces(answer):
    """Streams, and the lists that fetch their next page by themselves."""
    return isinstance(answer, Iterator) or hasattr(answer, "get_next_page")


def failed(error):
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    # Without either nothing was answered, or the script itself is wrong.
    return {
        "class": type(error).__name__, "status": status,
        "body": str(error) if status is None and body is None else shape(body),
    }


def until(ask, wanted, what):
    """Asks again until the answer is as wanted."""
    give_up = time.monotonic() + 20
    while not wanted(answer := ask()):
        assert time.monotonic() < give_up, f"{what}: not within 20 s, but {answer}"
        time.sleep(0.05)


def has_ended(run):
    return run.status in ("completed", "cancelled", "failed")


def are_measured(runs):
    """Lists tell how long a run took, a moment after its end."""
    return all(run.total_duration_ns is not None for run in runs)
