"""Servers under measurement, the folder they run in and the machine they run on.

A server runs pinned to one core and wrk to another, so that each has its own and the figures say what one core can do.
"""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
WORK = ROOT / "target" / "bench"
TOKENS_PATH = "/v1/client-side-access-tokens"
ADDRESS = re.compile(rb'"address"\s*:\s*"(127\.0\.0\.1:\d+)"')
START_DEADLINE = 30
REST_LOOK, REST_SHARE = 0.2, 0.03  # At rest: less than this share of a core, for so many seconds.
STOP_DEADLINE = 60


class BenchError(Exception):
    """Ends the run with its text: something is missing, or a figure can't be trusted."""


def require_tool(name, package):
    """Where the program is. Servers may lie in a folder that only root's PATH has."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise BenchError(f"`{name}` is not installed: run `apt-get install {package}`")
    return found


def require_file(path, how):
    if not path.exists():
        raise BenchError(f"{path} does not exist: {how}")


def free_port():
    """For servers that can't be given port 0 and asked what they got."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Server:
    """A server process on its own core. Its output goes to a file, so that no pipe can slow it down.

    Without an `address` it must print one; with one, it is up when that accepts connections.
    """

    def __init__(self, name, argv, env, folder, core, ready_path=None, address=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.log, self.core = name, folder / "server.log", core
        # Only what a server needs: a HALLPASS_ variable of the caller must not change what is measured.
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env}
        self.spawned_at = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, argv)],
                env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.pid = self.process.pid  # taskset replaces itself, so this is the server.
        try:
            if address:
                self.address = address
                self._await(self._accepts, f"accept connections at {address}")
            else:
                self.address = self._await(self._printed_address, "print its address")
            if ready_path:
                self._await(lambda: self.status(ready_path) == 200, f"answer 200 at {ready_path}")
        except BaseException:
            self.kill()
            raise
        self.ready_after = time.perf_counter() - self.spawned_at

    def _await(self, attempt, what):
        deadline = time.perf_counter() + START_DEADLINE
        while time.perf_counter() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.process.returncode}; its output:\n{self.tail()}")
            if result := attempt():
                return result
            time.sleep(0.0005)
        raise BenchError(f"{self.name} did not {what} within {START_DEADLINE} s; its output:\n{self.tail()}")

    def _printed_address(self):
        found = ADDRESS.search(self.log.read_bytes())
        return found and found[1].decode()

    def _accepts(self):
        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            return False
        return True

    def tail(self):
        return self.log.read_bytes()[-2000:].decode(errors="replace")

    def status(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def cpu_seconds(self):
        """User and system time of all its threads: what /proc/PID/stat counts, but in nanoseconds, not in ticks."""
        cpu_clock_of_process = ((~self.pid) << 3) | 2  # clock_getcpuclockid(3)
        return time.clock_gettime(cpu_clock_of_process)

    def memory_mb(self, field):
        """`VmRSS` (now) or `VmHWM` (the most so far), in MB of a million bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024 / 1e6

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BenchError(f"{self.name} did not stop within {STOP_DEADLINE} s of SIGTERM") from None
        if code not in (0, -signal.SIGTERM):
            raise BenchError(f"{self.name} ended with {code}; its output:\n{self.tail()}")

    def __enter__(self):
        return self

    def kill(self):
        """Ends what still runs; harmless after `stop`."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __exit__(self, failure, *_):
        if failure:
            self.kill()
        else:
            self.stop()


@dataclasses.dataclass
class Cores:
    """Which core the server has, and which wrk."""

    server: int
    load: int


def steady_memory_mb(server, seconds):
    """The most memory that an idle server holds over some seconds."""
    most, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        most = max(most, server.memory_mb("VmRSS"))
        time.sleep(0.05)
    return most


def await_rest(server):
    """Comes back once a server does nothing any more: wrk leaves without waiting for what it asked last."""
    deadline = time.perf_counter() + START_DEADLINE
    while time.perf_counter() < deadline:
        before = server.cpu_seconds()
        time.sleep(REST_LOOK)
        if server.cpu_seconds() - before < REST_SHARE * REST_LOOK:
            return
    raise BenchError(f"{server.name} did not come to rest within {START_DEADLINE} s")


@contextlib.contextmanager
def work_folder(keep):
    """A folder on the disk that holds the sources, since that is a real one; /tmp may be memory."""
    WORK.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    try:
        yield folder
    finally:
        if keep:
            print(f"Kept {folder}")
        else:
            shutil.rmtree(folder)


def count_records(database):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT count(*) FROM tokens").fetchone()[0]


def sync_time_us(folder, rounds=200):
    """Median and 99th percentile of writing 4 KB and syncing it, which bounds what a durable commit can cost."""
    path, times = folder / "sync-probe", []
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.pwrite(file, bytes(4096 * rounds), 0)
        os.fsync(file)
        for index in range(rounds):
            start = time.perf_counter()
            os.pwrite(file, os.urandom(4096), 4096 * index)
            os.fdatasync(file)
            times.append((time.perf_counter() - start) * 1e6)
    finally:
        os.close(file)
        path.unlink()
    times.sort()
    return statistics.median(times), times[int(rounds * 0.99)]


def machine_facts(folder):
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    sync_us, sync_p99_us = sync_time_us(folder)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "sync_us": round(sync_us),
        "sync_p99_us": round(sync_p99_us),
    }
