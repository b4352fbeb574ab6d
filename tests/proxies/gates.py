"""The samples of docs/forward-auth.md: each proxy before an upstream, asking Hallpass about every request."""

from guards import BIN, HAPROXY, NGINX_USER, envoy_command, haproxy_command, nginx_command
from hallpass import wait_until
from pages import fill_in, samples
from proxies import Program, free_port
from wire import send

PAGE = samples("forward-auth.md")

NGINX = f"""\
daemon off;
worker_processes 1;
error_log stderr warn;
pid nginx.pid;
{NGINX_USER}
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include hallpass.conf;
}}
"""

# Neither asks the internet for anything.
TRAEFIK = """
global:
  checkNewVersion: false
  sendAnonymousUsage: false
"""
CADDY = """\
{
	admin off
	auto_https off
	persist_config off
}

"""


class Gate:
    def __init__(self, directory, hallpass, upstream):
        self.directory = directory
        self._ports = {"proxy": free_port(), "upstream": upstream, "hallpass": hallpass}

    def start(self):
        # What Caddy and Traefik would keep in the user's own folder stays in the test's.
        program = Program(self.prepare(), self._ports["proxy"], self.directory, HOME=str(self.directory))
        try:
            # Traefik listens before it has read its routes, and knows nothing until then.
            wait_until(lambda: send(program.port, "OPTIONS", "/v1/").status != 404, "reading the routes")
        except BaseException:
            program.stop()
            raise
        return program

    def write(self, name, *ports, paths=None, before="", after=""):
        text = fill_in(PAGE[name], {port: self._ports[port] for port in ports}, paths or {})
        return self.write_text(name, before + text + after)

    def write_text(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path


class Nginx(Gate):
    def prepare(self):
        self.write("hallpass.conf", "proxy", "upstream", "hallpass")
        self.write_text("nginx.conf", NGINX)
        return nginx_command(self.directory)


class Traefik(Gate):
    def prepare(self):
        routes = self.write("agents.yaml", "upstream", "hallpass")
        static = self.write("traefik.yaml", "proxy", paths={"/etc/traefik/agents.yaml": routes}, after=TRAEFIK)
        return [BIN / "traefik", f"--configFile={static}"]


class Caddy(Gate):
    def prepare(self):
        config = self.write("Caddyfile", "proxy", "upstream", "hallpass", before=CADDY)
        return [BIN / "caddy", "run", "--config", config, "--adapter", "caddyfile"]


class Envoy(Gate):
    def prepare(self):
        return envoy_command(self.write("envoy-forward-auth.yaml", "proxy", "upstream", "hallpass"))


class Haproxy(Gate):
    def prepare(self):
        script = self.write("hallpass.lua", "hallpass")
        paths = {"/etc/haproxy/hallpass.lua": script}
        return haproxy_command(self.write("forward-auth.cfg", "proxy", "upstream", paths=paths, before=HAPROXY))


ALL = {"nginx": Nginx, "traefik": Traefik, "caddy": Caddy, "envoy": Envoy, "haproxy": Haproxy}
