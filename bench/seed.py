"""Fills a database with records as the server would have written them over a month."""

import base64
import dataclasses
import hmac
import itertools
import os
import random
import sqlite3
import time

import issuing

HEAVY_AGENT = 0  # Owns a fifth of all records, live and expired ones mixed.
BURIED_AGENT = 1  # Owns a tenth; only ten of them live, and all that came later have expired.
HEAVY_SHARE, BURIED_SHARE = 0.2, 0.1
BURIED_LIVE = 10
AGENTS = 1000
BATCH = 10_000
LIVE_IDS = 100_000  # More than any run deletes.
API_KEY_ID = "static"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ISSUER, AUDIENCE, PROJECT = "http://localhost:8284", "letta", "default"
HOSTNAME = "https://a.example"
ACCESS = '["read_messages","write_messages"]'


@dataclasses.dataclass(slots=True)
class Record:
    jti: int
    agent: str
    issued_at: int  # milliseconds, as all times here
    expires_at: int
    payload: str


def uuid7(millis, dice):
    return millis << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 2 << 62 | dice.getrandbits(62)


def uuid_text(number):
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def owners(size, dice):
    """The agent of each record, in order of issue."""
    ordinary = range(max(HEAVY_AGENT, BURIED_AGENT) + 1, AGENTS)
    for _ in range(size):
        share = dice.random()
        if share < HEAVY_SHARE:
            yield HEAVY_AGENT
        elif share < HEAVY_SHARE + BURIED_SHARE:
            yield BURIED_AGENT
        else:
            yield dice.choice(ordinary)


def records(size, now):
    """In order of issue: one half over three weeks and expired, the other over the last hours and, mostly, live."""
    dice = random.Random(size)  # The same records every time, but for the clock.
    old, recent = now - 22 * DAY_MS, now - 20 * HOUR_MS
    buried_live = 0
    for index, number in enumerate(owners(size, dice)):
        at = 2 * index / size
        if at < 1:
            issued_at, ttl = old + int(at * 20 * DAY_MS), dice.choice([5 * 60_000, DAY_MS])
        else:
            issued_at, ttl = recent + int((at - 1) * 19 * HOUR_MS), DAY_MS
            if number == BURIED_AGENT:
                ttl = DAY_MS if buried_live < BURIED_LIVE else 5 * 60_000
                buried_live += 1
        jti, agent, expires_at = uuid7(issued_at, dice), issuing.agent_id(number), issued_at + ttl
        claims = (
            f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{PROJECT}","jti":"{uuid_text(jti)}",'
            f'"iat":{issued_at // 1000},"exp":{expires_at // 1000},"hostname":"{HOSTNAME}","origin":"{HOSTNAME}",'
            f'"policy":{{"version":"1","data":[{{"type":"agent","id":"{agent}","access":{ACCESS}}}]}}}}'
        )
        yield Record(jti, agent, issued_at, expires_at, claims)


def sealing_key(database):
    """The key that the server derives from its master key for sealing rows (HKDF with SHA-256, RFC 5869)."""
    return sealing_key_of(base64.b64decode(database.with_suffix(".master-key").read_text()))


def sealing_key_of(master):
    pseudorandom = hmac.digest(bytes(32), master, "sha256")
    return hmac.digest(pseudorandom, b"hallpass rows v1\x01", "sha256")


def seal(key, project, kid, record):
    row = b"t" + project.to_bytes(8, "big") + record.expires_at.to_bytes(8, "big") + (kid + record.payload).encode()
    return hmac.digest(key, row, "sha256")[:16]


def fill(database, size):
    """Adds `size` records to a database that the server has made. Answers ids of live tokens, in no order."""
    now = int(time.time() * 1000)
    live = []
    connection = sqlite3.connect(database, isolation_level=None)
    # Nothing needs to survive a crash here, and a transaction of gigabytes must not go through the log.
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000;")
    (kid,) = connection.execute("SELECT kid FROM signing_keys WHERE state = 'active'").fetchone()
    (project,) = connection.execute("SELECT id FROM projects WHERE name = ?", [PROJECT]).fetchone()
    connection.execute("BEGIN IMMEDIATE")
    rows = records(size, now)
    key = sealing_key(database)
    first = 1
    # In order of issue, so that the indexes take the shape that they have after a month, not that of a sorted load.
    while batch := list(itertools.islice(rows, BATCH)):
        tokens = (
            (
                id_,
                r.jti.to_bytes(16, "big"),
                project,
                API_KEY_ID,
                HOSTNAME,
                r.expires_at,
                kid,
                r.payload,
                seal(key, project, kid, r),
            )
            for id_, r in enumerate(batch, first)
        )
        connection.executemany(
            "INSERT INTO tokens (id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            tokens,
        )
        connection.executemany(
            "INSERT INTO token_agents (project_id, agent_id, token_id, expires_at) VALUES (?, ?, ?, ?)",
            ((project, r.agent, id_, r.expires_at) for id_, r in enumerate(batch, first)),
        )
        buried = issuing.agent_id(BURIED_AGENT)
        live.extend(uuid_text(r.jti) for r in batch if r.expires_at > now + HOUR_MS and r.agent != buried)
        first += len(batch)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    os.sync()  # Else the first measurement would pay for writing all this back.
    random.Random(size).shuffle(live)
    return live[:LIVE_IDS]
