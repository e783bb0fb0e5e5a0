"""The standard topology: client — router — {lb, b1, b2, …}, each on a link of its own.

The router leads the VIPs' prefixes to lb; backends have the VIPs on lo and answer clients
themselves. Links of lb and of backends have room for an outer header on top of the client's 1500.
Backends run nginx (port 80 and 8080: "/" names the backend, "/big" and "/slow" are downloads) and an echo
server (port 7000, TCP and UDP).
"""

import pathlib
import socket
import sys

from daemon import Lbd
from lab import until

TUNNEL_MTU = 1600
VIP4, VIP6 = "203.0.113.10", "2001:db8:1::10"
# Services on IPv6 backends have these, so that all four encapsulations exist side by side.
OTHER4, OTHER6 = "203.0.113.20", "2001:db8:1::20"
VIP_PREFIXES = ("203.0.113.0/24", "2001:db8:1::/64")
CLIENT4, CLIENT6 = "10.1.0.2", "fd01:1::2"
GUEST4, GUEST6 = "10.1.0.66", "fd01:1::66"  # further addresses of the client
LB4, LB6 = "10.2.0.2", "fd01:2::2"
LB_NETWORKS = ["10.2.0.0/24", "fd01:2::/64", "10.4.0.0/24", "fd01:4::/64"]
BIG_BYTES = 6 << 20
SLOW_RATE = "1m"
PORTS = [{"port": 80, "protocol": "TCP"}, {"port": 7000, "protocol": "TCP"},
         {"port": 7000, "protocol": "UDP"}]

NGINX = """
user root;
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log stderr;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  default_type text/plain;
  client_max_body_size 0;
  add_header X-Backend {name};
  server {{
    listen 80 backlog=1024; listen [::]:80 backlog=1024; listen 8080; listen [::]:8080;
    location = / {{ return 200 "{name}\\n"; }}
    location = /big {{ alias {dir}/big; }}
    location = /slow {{ alias {dir}/big; limit_rate {rate}; }}
  }}
}}
"""


class Backend:
    """A host that serves, and decapsulates with an lbd of its own."""

    def __init__(self, host, index):
        self.host, self.name = host, host.name
        self.ipv4, self.ipv6 = f"10.3.{index}.2", f"fd01:3:{index}::2"
        self.nginx = self.echo = self.lbd = None

    def address(self, family):
        return self.ipv4 if family == 4 else self.ipv6

    def serve(self, vips):
        """Starts the servers and waits until they listen."""
        self.host.address("lo", *(f"{v}/{128 if ':' in v else 32}" for v in vips))
        (self.host.dir / "big").write_bytes(big_content())
        config = self.host.dir / "nginx.conf"
        config.write_text(NGINX.format(dir=self.host.dir, name=self.name, rate=SLOW_RATE))
        self.nginx = self.host.start("nginx", "/usr/sbin/nginx", "-p", self.host.dir, "-c", config,
                                     "-e", "stderr")
        self.echo = self.host.start("echo", sys.executable, "-u",
                                    pathlib.Path(__file__).with_name("echo.py"), self.name, 7000, *vips)
        until(lambda: "ready" in self.echo.output(), f"echo server of {self.name} listens")
        until(lambda: connects(self.host, "::1", 80), f"nginx of {self.name} listens")

    def start_decap(self, allow_from=tuple(LB_NETWORKS)):
        self.lbd = Lbd(self.host, {"decap": {"enabled": True, "allowFrom": list(allow_from)}}).start()


class Tier:
    """The hosts of the topology; lbd's are started by start()."""

    def __init__(self, lab, backends=3, vips=(VIP4, VIP6, OTHER4, OTHER6)):
        self.lab = lab
        self.client, self.router, self.lb = lab.hosts("client", "router", "lb")
        self.lbd = None
        self.sources = 0
        self.connect(self.client, "eth0", "10.1.0", "fd01:1:", 1500)
        self.client.address("eth0", f"{GUEST4}/24", f"{GUEST6}/64")
        self.connect(self.lb, "lan0", "10.2.0", "fd01:2:", TUNNEL_MTU)
        self.router.attach_xdp_pass("to-lb")
        # A balancer that also forwards is the worse case: what wrongly reaches its stack loops.
        for host in (self.router, self.lb):
            host.sysctl(**{"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
        self.router.ip(f"route add {VIP_PREFIXES[0]} via {LB4}", f"route add {VIP_PREFIXES[1]} via {LB6}")
        self.backends = {}
        for index in range(1, backends + 1):
            self.add_backend(index, vips)

    def new_source(self, vip):
        """An address of the client that no connection has had. A balancer remembers flows of moving
        rows for a while, and a port that comes around again is such a flow, not a new one."""
        self.sources += 1
        address = f"fd01:1::5:{self.sources:x}" if ":" in vip else \
            f"10.1.{1 + self.sources // 200}.{1 + self.sources % 200}"
        self.client.address("eth0", f"{address}/{128 if ':' in vip else 32}")
        # The router reaches each by the client's link.
        self.router.ip(f"route add {address} dev to-client")
        return address

    def connect(self, host, device, net4, net6, mtu):
        """Puts a host on a link of its own: router .1, host .2."""
        port = f"to-{host.name}"
        self.lab.link(host, device, self.router, port, mtu)
        self.router.address(port, f"{net4}.1/24", f"{net6}:1/64")
        host.address(device, f"{net4}.2/24", f"{net6}:2/64")
        host.default_route(f"{net4}.1", f"{net6}:1")
        host.whole_checksums(device)

    def add_backend(self, index, vips):
        backend = Backend(self.lab.host(f"b{index}"), index)
        self.connect(backend.host, "lan0", f"10.3.{index}", f"fd01:3:{index}:", TUNNEL_MTU)
        backend.serve(vips)
        self.backends[backend.name] = backend

    def service(self, name="web", weights=None, family=4, states=None, **more):
        """A service on backends of one family; weights by backend name."""
        weights = weights or {name: 100 for name in self.backends}
        states = states or {}
        return {
            "name": name,
            "addresses": [VIP4, VIP6] if family == 4 else [OTHER4, OTHER6],
            "ports": PORTS,
            "backends": [
                {"address": self.backends[b].address(family), "weight": weight}
                | ({"state": states[b]} if b in states else {})
                for b, weight in weights.items()],
        } | more

    def config(self, *services, **more):
        """A balancer's configuration. A short idle time lets rows settle within a test; streams
        speak more often than that."""
        return {"connectionTable": {"entries": 262144, "starts": 65536, "tcpIdle": "10s",
                                    "udpIdle": "5s"},
                "services": list(services)} | more

    def start(self, *services, **more):
        """Starts lbd on every backend and on lb, and waits for the way to every backend."""
        for backend in self.backends.values():
            if not backend.lbd:
                backend.start_decap()
        self.lbd = Lbd(self.lb, self.config(*services, **more)).start()
        self.reachable()
        return self

    def reload(self, *services, **more):
        self.lbd.reload(self.config(*services, **more))
        self.reachable()

    def reachable(self):
        until(lambda: all(b["nextHop"] for b in self.lbd.json("backends") if b["state"] != "disabled"),
              "a next hop for every backend that gets packets")


def big_content():
    """The same bytes on every backend, so that a download can be checked."""
    return bytes(range(251)) * (BIG_BYTES // 251 + 1)


def connects(host, address, port):
    """Whether something listens."""
    with host.inside(), socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.settimeout(1)
        return s.connect_ex((address, port)) == 0
