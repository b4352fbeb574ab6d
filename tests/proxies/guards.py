"""The samples of docs/verify.md, each as a program that runs: what the page leaves out, and real addresses, are added."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pages import fill_in, samples
from proxies import Program, free_port

PAGE = samples("verify.md")
BIN = Path(sys.executable).parent

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
daemon off;
worker_processes 1;
error_log stderr warn;
pid nginx.pid;
env HALLPASS_API_KEY;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include agents.conf;
}}
"""

# Its workers must be able to write into a test's directory.
NGINX_USER = "user root;" if os.geteuid() == 0 else ""

HAPROXY = """\
global
    log stderr format raw local0

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

"""

WSGI = """
if __name__ == "__main__":
    from wsgiref.simple_server import make_server

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"messages":[]}']

    make_server("127.0.0.1", 8080, guard(application)).serve_forever()
"""


def debian(program):
    """Where Debian puts servers isn't in everybody's path."""
    return shutil.which(program) or f"/usr/sbin/{program}"


def envoy_command(config):
    return [BIN / "envoy", "--config-path", config, "--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]


def nginx_command(directory):
    return [debian("nginx"), "-p", directory, "-e", "stderr", "-c", directory / "nginx.conf"]


def haproxy_command(config):
    # In the foreground and in one process.
    return [debian("haproxy"), "-db", "-f", config]


class Guard:
    """A sample for one algorithm. `start` gives it a directory, Hallpass's address and what it is to guard."""

    algorithms = ("EdDSA",)
    # Whether it asks Hallpass about each token, so that no key of a test's own can count.
    asks = False

    def __init__(self, algorithm):
        self.algorithm = algorithm

    def start(self, directory, hallpass, upstream, api_key):
        self.directory = directory
        self._ports = {"proxy": free_port(), "keys": free_port(), "upstream": upstream, "hallpass": hallpass}
        return Program(self.prepare(), self._ports["proxy"], directory, HALLPASS_API_KEY=api_key)

    def prepare(self):
        """Writes what the sample needs, and returns the command that runs it."""
        raise NotImplementedError

    def fill_in(self, text, *ports, paths=None):
        return fill_in(text, {port: self._ports[port] for port in ports}, paths or {})

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def sample(self, name, *ports, paths=None, before=""):
        """Writes a block of the page as the file that it is, with the addresses of this test."""
        return self.write(name, before + self.fill_in(PAGE[name], *ports, paths=paths))


class Envoy(Guard):
    algorithms = ("EdDSA", "ES256")

    def prepare(self):
        return envoy_command(self.sample("envoy.yaml", "proxy", "upstream", "hallpass"))


class Haproxy(Guard):
    algorithms = ("ES256",)

    def prepare(self):
        keys = self.directory / "keys"
        keys.mkdir()
        export = self.sample("export-keys.py", "hallpass")
        subprocess.run([sys.executable, "-W", "error", export, keys], check=True, timeout=30)
        paths = {"/etc/haproxy/hallpass": keys}
        return haproxy_command(self.sample("haproxy.cfg", "proxy", "upstream", paths=paths, before=HAPROXY))


class Nginx(Guard):
    algorithms = ("ES256",)
    function = "hallpass.verify"

    def prepare(self):
        script = self.sample("hallpass.js", "keys", "hallpass")
        paths = {
            "/etc/nginx/hallpass.js": script, "/var/cache/nginx/hallpass": self.directory / "cache",
            "hallpass.verify": self.function,
        }
        self.sample("agents.conf", "proxy", "keys", "upstream", "hallpass", paths=paths)
        self.write("nginx.conf", NGINX.format(user=NGINX_USER))
        return nginx_command(self.directory)


class NginxAsking(Nginx):
    algorithms = ("EdDSA",)
    function = "hallpass.ask"
    asks = True


class InCode(Guard):
    """A sample that names its algorithm and answers by itself."""

    algorithms = ("EdDSA", "ES256")

    def program(self, name, after=""):
        text = self.fill_in(PAGE[name] + after, "proxy", "hallpass")
        assert text.count('"EdDSA"') == 1
        return self.write(name, text.replace("EdDSA", self.algorithm))


class Node(InCode):
    def prepare(self):
        # Beside the environment of Python.
        (self.directory / "node_modules").symlink_to(BIN.parent.parent / "node_modules")
        return ["node", self.program("guard.mjs")]


class Python(InCode):
    def prepare(self):
        return [sys.executable, "-W", "error", self.program("guard.py", after=WSGI)]


KINDS = {
    "envoy": Envoy, "haproxy": Haproxy, "nginx-njs": Nginx, "nginx-asking": NginxAsking, "node": Node, "python": Python,
}
ALL = {
    f"{name}-{algorithm}": kind(algorithm) for name, kind in KINDS.items() for algorithm in kind.algorithms
}
