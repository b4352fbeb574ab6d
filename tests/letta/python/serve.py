"""Serves the real Letta in its own environment: `python serve.py FD`, on the listening socket with that number.

Nothing of this project is imported here, and nothing of Letta anywhere else. The released package has no migrations, so
an empty database gets its tables from the classes that describe them.
"""

import socket
import sys

import uvicorn
import uvloop
from letta.orm import Base
from letta.server.db import engine
from sqlalchemy import text


async def make_tables():
    async with engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION vector"))
        await connection.run_sync(Base.metadata.create_all)
        # Only a migration gives this column its values.
        await connection.execute(text("CREATE SEQUENCE message_seq_id OWNED BY messages.sequence_id"))
        await connection.execute(
            text("ALTER TABLE messages ALTER COLUMN sequence_id SET DEFAULT nextval('message_seq_id')")
        )


async def main(listener):
    await make_tables()
    # Importing it builds the server, which asks for the tables.
    from letta.server.rest_api.app import app

    server = uvicorn.Server(uvicorn.Config(app, timeout_keep_alive=60, timeout_graceful_shutdown=1))
    await server.serve(sockets=[listener])


# On asyncio's own loop one message in a few hangs until a timeout ends it: a connection that an HTTP client left to the
# garbage collector takes the next database connection with it.
uvloop.run(main(socket.socket(fileno=int(sys.argv[1]))))
