"""Reads the claims of a token without verifying anything, as an application must not."""

import base64
import json


def part(token, index):
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def header(token):
    return part(token, 0)


def claims(token):
    return part(token, 1)
