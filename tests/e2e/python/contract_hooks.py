"""What a schema can't say, told to schemathesis: without it, hardly any request for a token would be granted.

A schema has no words for "at most a day from now" nor for each rule of a hostname. So where a right request is made,
these two texts come from here; wrong ones are still made from the document alone.
"""

from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies

HOSTS = strategies.sampled_from(["localhost", "app.example.com", "münchen.example", "192.0.2.1", "[2001:db8::1]"])
PORTS = strategies.sampled_from(["", ":80", ":443", ":5173"])

schemathesis.openapi.format(
    "hallpass-hostname",
    strategies.builds(
        "{}://{}{}{}".format,
        strategies.sampled_from(["http", "https", "HTTPS"]), HOSTS, PORTS, strategies.sampled_from(["", "/app"]),
    ),
)


START = datetime.now(timezone.utc)

# From well past the end of this run to the limit.
schemathesis.openapi.format(
    "hallpass-expiry",
    strategies.integers(min_value=600, max_value=86_400).map(
        lambda seconds: (START + timedelta(seconds=seconds)).isoformat()
    ),
)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    properties = raw_schema["components"]["schemas"]["CreateTokenRequest"]["properties"]
    for name, text_format in {"hostname": "hallpass-hostname", "expires_at": "hallpass-expiry"}.items():
        properties[name]["format"] = text_format
        # Else an empty text counts as right.
        properties[name].setdefault("minLength", 1)
        # The example of an expiry is a date that passes.
        properties[name].pop("example", None)
