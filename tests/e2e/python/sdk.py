"""The two generations of `letta-client` behind one face, so that both run the same tests.

The generations share a package name, so each lives in an environment of its own; the installed one decides. Nothing
here repairs what an SDK does: arguments pass as they are, and errors are only read.
"""

from dataclasses import dataclass
from importlib.metadata import version

import letta_client

LEGACY = version("letta-client").startswith("0.")


@dataclass
class Failure:
    """What an application learns of a refused call."""

    kind: str
    status: int
    body: dict
    headers: dict
    text: str


class _Current:
    # The exception that an application sees for each status.
    kinds = {
        400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 413: "APIStatusError",
        415: "APIStatusError", 503: "InternalServerError",
    }
    # In another spelling, it would be sent beside the SDK's own.
    content_type = "Content-Type"

    def __init__(self, server, api_key, retries=0):
        self._client = letta_client.Letta(api_key=api_key, base_url=server.url, max_retries=retries)
        self._tokens = self._client.access_tokens

    def create(self, headers=None, **request):
        return self._tokens.create(**request, extra_headers=headers)

    def list(self, **query):
        return self._tokens.list(**query)

    def delete(self, token):
        return self._tokens.delete(token)

    @staticmethod
    def failure(error):
        assert isinstance(error, letta_client.APIStatusError), repr(error)
        return Failure(type(error).__name__, error.status_code, error.body, dict(error.response.headers), str(error))


class _Legacy:
    kinds = dict.fromkeys((401, 404, 405, 413, 415, 503), "ApiError") | {400: "BadRequestError"}
    content_type = "content-type"

    def __init__(self, server, api_key, retries=0):
        self._client = letta_client.Letta(token=api_key, base_url=server.url)
        self._tokens = self._client.client_side_access_tokens
        self._options = {"max_retries": retries}

    def create(self, headers=None, **request):
        return self._tokens.create(**request, request_options=self._options | {"additional_headers": headers or {}})

    def list(self, **query):
        return self._tokens.client_side_access_tokens_list_client_side_access_tokens(
            **query, request_options=self._options
        )

    def delete(self, token):
        return self._tokens.delete(token, request_options=self._options)

    @staticmethod
    def failure(error):
        assert isinstance(error, letta_client.core.ApiError), repr(error)
        return Failure(type(error).__name__, error.status_code, error.body, error.headers, str(error))


Sdk = _Legacy if LEGACY else _Current
