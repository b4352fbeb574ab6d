"""The samples of docs/verify.md, each as a program that runs: what the page leaves out, and real addresses, are added."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pages import fill_in, samples
from proxies import HOST, Program, free_port

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


def envoy_command(config):
    return [
        BIN / "envoy", "--config-path", config, "--concurrency", "1", "--log-level", "warning",
        "--disable-hot-restart",
    ]


def nginx_command(directory):
    return [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", directory, "-e", "stderr", "-c", directory / "nginx.conf"]


def haproxy_command(config):
    # In the foreground and in one process.
    return [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f", config]


class Guard:
    """A sample for one algorithm. `start` gives it a directory, Hallpass's address and what it is to guard."""

    algorithms = ("EdDSA",)
    # Whether it asks Hallpass about each token, so that no key of a test's own can count.
    asks = False

    def __init__(self, algorithm):
        self.algorithm = algorithm

    def start(self, directory, hallpass, upstream, api_key):
        self.directory = directory
        self.ports = {"proxy": free_port(), "upstream": upstream, "hallpass": hallpass}
        return Program(self.prepare(), self.ports["proxy"], directory, HALLPASS_API_KEY=api_key)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def sample(self, name, *ports, **paths):
        """Writes a block of the page as the file that it is, with the addresses of this test."""
        text = fill_in(PAGE[name], {port: self.ports[port] for port in ports}, paths.get("paths", {}))
        return self.write(name, text)


class Envoy(Guard):
    algorithms = ("EdDSA", "ES256")

    def prepare(self):
        return envoy_command(self.sample("envoy.yaml", "proxy", "upstream", "hallpass"))


class Haproxy(Guard):
    algorithms = ("ES256",)

    def prepare(self):
        self.keys = self.directory / "keys"
        self.keys.mkdir()
        self.export = self.sample("export-keys.py", "hallpass")
        assert self.run_export() == "changed"
        assert self.run_export() == "same"
        sample = fill_in(
            PAGE["haproxy.cfg"], {name: self.ports[name] for name in ("proxy", "upstream")},
            {"/etc/haproxy/hallpass": self.keys},
        )
        return haproxy_command(self.write("haproxy.cfg", HAPROXY + sample))

    def run_export(self):
        return subprocess.run(
            [sys.executable, "-W", "error", self.export, self.keys], check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()


class Nginx(Guard):
    algorithms = ("ES256",)
    function = "hallpass.verify"

    def prepare(self):
        self.ports["keys"] = free_port()
        script = self.sample("hallpass.js", "keys", "hallpass")
        paths = {"/etc/nginx/hallpass.js": script, "/var/cache/nginx/hallpass": self.directory / "cache"}
        paths["hallpass.verify"] = self.function
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

    def of_algorithm(self, text):
        assert text.count('"EdDSA"') == 1
        return text.replace("EdDSA", self.algorithm)


class Node(InCode):
    def prepare(self):
        (self.directory / "node_modules").symlink_to(BIN.parent.parent / "node_modules")
        text = fill_in(PAGE["guard.mjs"], {name: self.ports[name] for name in ("proxy", "hallpass")}, {})
        return ["node", self.write("guard.mjs", self.of_algorithm(text))]


class Python(InCode):
    def prepare(self):
        ports = {name: self.ports[name] for name in ("proxy", "hallpass")}
        text = fill_in(PAGE["guard.py"] + WSGI, ports, {})
        return [sys.executable, "-W", "error", self.write("guard.py", self.of_algorithm(text))]


KINDS = {
    "envoy": Envoy, "haproxy": Haproxy, "nginx-njs": Nginx, "nginx-asking": NginxAsking, "node": Node, "python": Python,
}
ALL = {
    f"{name}-{algorithm}": kind(algorithm) for name, kind in KINDS.items() for algorithm in kind.algorithms
}
