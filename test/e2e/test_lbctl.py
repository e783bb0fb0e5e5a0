"""lbctl: what scripts read, and what it says when it can't answer."""

import json
import re

import pytest

from daemon import LBCTL
from lab import Lab, run, until
from tier import CLIENT4, CLIENT6, OTHER4, VIP4, VIP6, Tier
from traffic import Streams, datagrams, requests

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")
COUNT = {"packets": int, "bytes": int}


class Optional:
    """null, or of a shape."""

    def __init__(self, shape):
        self.shape = shape


def mismatch(value, shape, path="$"):
    """The first place where a value is not of a shape, or None. Shapes: types; [shape of all
    elements]; {key: shape}, keys exactly; {str: shape} for any keys; patterns; Optional."""
    if isinstance(shape, Optional):
        return value is not None and mismatch(value, shape.shape, path) or None
    if isinstance(shape, re.Pattern):
        fits = isinstance(value, str) and shape.fullmatch(value)
        return None if fits else f"{path}: {value!r} is not like {shape.pattern}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path}: {value!r} is no array"
        found = (mismatch(item, shape[0], f"{path}[{n}]") for n, item in enumerate(value))
        return next(filter(None, found), None)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{path}: {value!r} is no object"
        if str not in shape and set(value) != set(shape):
            return f"{path}: keys {sorted(value)}, expected {sorted(shape)}"
        found = (mismatch(item, shape.get(key, shape.get(str)), f"{path}.{key}")
                 for key, item in value.items())
        return next(filter(None, found), None)
    fits = isinstance(value, shape) and (shape is not int or not isinstance(value, bool))
    return None if fits else f"{path}: {value!r} is no {shape.__name__}"


SHAPES = {
    "services": [{
        "name": str, "port": re.compile(r"\d+"), "protocol": re.compile("TCP|UDP"),
        "frontends": [{"kind": re.compile("vip"), "address": str, "port": int,
                       "action": re.compile("forward|reject|drop"), "backends": [str]}],
        "endpoints": [{"address": str, "state": re.compile("up|down|draining|disabled|terminating"),
                       "weight": int, "used": bool, "why": Optional(str)}]}],
    "backends": [{"service": str, "address": str, "state": str, "weight": int, "packets": int,
                  "bytes": int, "nextHop": Optional({"interface": str, "mac": MAC})}],
    "stats": {"reasons": {str: COUNT},
              "services": [{"name": str, "port": str, "protocol": str} | COUNT
                           | {"backends": [{"address": str} | COUNT]}],
              "flowMemory": {str: int}},
    "status": {"version": str, "pid": int, "uptimeSeconds": int,
               "interfaces": [{"name": str, "mode": re.compile("native|generic"), "programId": int}],
               "maps": [{"name": str, "entries": int, "maxEntries": int, "bytes": int}],
               "rows": {"total": int, "moving": int}, "flows": int, "flowMemory": {str: int},
               "config": {"file": str, "loadedAt": TIME}},
}


def test_the_shape_check_finds_what_differs():
    shape = {"a": [int], "b": Optional(str)}
    assert mismatch({"a": [1], "b": None}, shape) is None
    assert mismatch({"a": [], "b": "x"}, shape) is None
    for wrong in ({"a": [1]}, {"a": [1], "b": None, "c": 1}, {"a": ["1"], "b": None},
                  {"a": [True], "b": None}, {"a": 1, "b": None}, {"a": [1], "b": 2}, []):
        assert mismatch(wrong, shape), wrong


def services(tier):
    mixed = tier.service("mixed", {"b1": 100}, family=6)
    mixed["backends"] = [{"address": "10.3.1.2"}, {"address": "fd01:3:2::2", "weight": 0},
                         {"address": "10.3.3.2", "state": "disabled"}]
    mixed["ports"] = [{"port": 0, "protocol": "TCP"}]
    return [tier.service("web", {"b1": 10, "b2": 100, "b3": 100}, states={"b2": "drain"}), mixed]


@pytest.fixture(name="tier", scope="module")
def running_tier():
    with Lab("lbctl") as lab:
        tier = Tier(lab)
        tier.start(*services(tier))
        for vip in (VIP4, VIP6, OTHER4):
            requests(tier.client, vip, 20)
        yield tier


# `status` may say more than the contract; what the contract names is checked.
@pytest.mark.parametrize("command", SHAPES)
def test_json_has_the_shape_that_scripts_rely_on(tier, command):
    done = tier.lbd.ctl(command, "-o", "json")
    assert done.returncode == 0 and done.stderr == ""
    value = json.loads(done.stdout)
    if command == "status":
        value = {key: value[key] for key in SHAPES["status"]}
    assert not mismatch(value, SHAPES[command])
    assert value


def test_services_and_their_endpoints(tier):
    web80, _, _, mixed = tier.lbd.json("services")
    assert (web80["name"], web80["port"], web80["protocol"]) == ("web", "80", "TCP")
    backends = ["10.3.1.2:80", "10.3.3.2:80"]
    assert web80["frontends"] == [
        {"kind": "vip", "address": vip, "port": 80, "action": "forward", "backends": backends}
        for vip in (VIP6, VIP4)] or web80["frontends"] == [
        {"kind": "vip", "address": vip, "port": 80, "action": "forward", "backends": backends}
        for vip in (VIP4, VIP6)]
    assert [(e["address"], e["state"], e["weight"], e["used"]) for e in web80["endpoints"]] == [
        ("10.3.1.2:80", "up", 10, True), ("10.3.2.2:80", "draining", 100, False),
        ("10.3.3.2:80", "up", 100, True)]
    assert web80["endpoints"][0]["why"] is None and web80["endpoints"][1]["why"]
    assert (mixed["name"], mixed["port"]) == ("mixed", "0")
    assert {(e["address"], e["state"], e["used"]) for e in mixed["endpoints"]} == {
        ("10.3.1.2:0", "up", True), ("[fd01:3:2::2]:0", "up", False), ("10.3.3.2:0", "disabled", False)}


def test_backends_and_their_next_hops(tier):
    got = {(b["service"], b["address"]): b for b in tier.lbd.json("backends")}
    assert set(got) == {("web", f"10.3.{n}.2") for n in (1, 2, 3)} | {
        ("mixed", "10.3.1.2"), ("mixed", "fd01:3:2::2"), ("mixed", "10.3.3.2")}
    hop = {"interface": "lan0", "mac": tier.router.mac("to-lb")}
    assert got["web", "10.3.1.2"]["nextHop"] == hop
    packets = {n: got["web", f"10.3.{n}.2"]["packets"] for n in (1, 2, 3)}
    assert packets[1] + packets[3] > 0 and packets[2] == 0  # b2 is out of the ring


def test_status_tells_where_it_runs(tier):
    status = tier.lbd.json("status")
    assert status["pid"] == tier.lbd.process.pid
    assert status["config"]["file"] == str(tier.lbd.file)
    assert status["rows"] == {"total": status["rows"]["total"], "moving": 0}
    assert status["rows"]["total"] >= 3 * 65537  # web's TCP and UDP, mixed's TCP


@pytest.mark.parametrize("command", SHAPES)
def test_tables_are_readable(tier, command):
    done = tier.lbd.ctl(command)
    assert done.returncode == 0 and done.stderr == ""
    assert not done.stdout.lstrip().startswith(("{", "["))
    expected = {"services": ["web", "203.0.113.10", "80"], "backends": ["web", "10.3.1.2", "lan0"],
                "stats": ["web"], "status": ["lan0", "native"]}[command]
    assert all(word in done.stdout for word in expected), done.stdout


@pytest.mark.parametrize("words, code", [
    ([], 2), (["bogus"], 2), (["flows", "--vip", "web"], 2), (["flows", "--client", "10.0.0.1/8"], 2),
    (["flows", "--protocol", "sctp"], 2), (["stats", "--backend", "10.0.0.1"], 2), (["flows"], 1),
    (["flows", "-o", "json"], 1), (["status", "-o", "xml"], 2), (["status", "--bogus"], 2),
    (["--socket"], 2), (["status"], 1), (["reload"], 1)])
def test_exit_codes_without_a_daemon(tmp_path, words, code):
    socket = ["--socket", tmp_path / "none.sock"] if code == 1 else []
    done = run(LBCTL, *socket, *words, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == "" and done.stderr


def replay(tier, frames, *options):
    """What lbctl replay says of frames, line by line, and what leaves."""
    from scapy.all import rdpcap, wrpcap  # pylint: disable=import-outside-toplevel
    source, result = tier.lb.dir / "in.pcap", tier.lb.dir / "out.pcap"
    wrpcap(str(source), frames)
    neighbours = [word for b in tier.backends.values() for address in (b.ipv4, b.ipv6)
                  for word in ("--neighbor", f"{address}=02:00:00:00:00:{b.name[1:]:0>2}")]
    done = run(LBCTL, "replay", "--config", tier.lbd.file, "--interface",
               "lan0=02:00:00:00:00:99,1600,10.2.0.2/24,fd01:2::2/64", *neighbours, *options,
               "-o", "json", source, result)
    return [json.loads(line) for line in done.stdout.splitlines()], rdpcap(str(result))


@pytest.mark.parametrize("vip, client", [(VIP4, CLIENT4), (VIP6, CLIENT6)])
def test_replay_chooses_as_the_running_daemon_does(tier, vip, client):
    from scapy.all import Ether, IP, IPv6, UDP  # pylint: disable=import-outside-toplevel
    import socket  # pylint: disable=import-outside-toplevel
    layer = IPv6(src=client, dst=vip) if ":" in vip else IP(src=client, dst=vip)
    frames, live = [], []
    for port in range(20000, 20040):
        frames.append(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:99") / layer
                      / UDP(sport=port, dport=7000) / b"hello")
        with tier.client.inside(), socket.socket(
                socket.AF_INET6 if ":" in vip else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((client, port))
            s.settimeout(3)
            s.sendto(b"hello", (vip, 7000))
            live.append(tier.backends[s.recv(100).split()[0].decode()].ipv4)
    before = tier.lbd.json("stats")["services"]  # of the node, others speak, too
    lines, out = replay(tier, frames)
    assert [line["backend"] for line in lines] == live
    assert [line["n"] for line in lines] == [line["out"] for line in lines] == list(range(40))
    assert all((line["verdict"], line["reason"], line["service"]) == ("tx", None, "web") for line in lines)
    assert [frame[IP].dst for frame in out] == live
    assert tier.lbd.json("stats")["services"] == before, "a replay leaves the running daemon's counters alone"


def test_replay_tells_what_is_not_forwarded(tier):
    from scapy.all import Ether, ICMP, IP, Raw, UDP  # pylint: disable=import-outside-toplevel
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:99")
    lines, out = replay(tier, [
        ether / IP(src=CLIENT4, dst="203.0.113.99") / UDP(sport=1, dport=7000),
        ether / IP(src=CLIENT4, dst=VIP4) / UDP(sport=1, dport=9),
        ether / IP(src=CLIENT4, dst=VIP4) / ICMP(),
        Raw(b"\x02\x00\x00\x00\x00\x99")])
    shape = {"n": int, "verdict": re.compile("tx|redirect|pass|drop"), "reason": Optional(str),
             "service": Optional(str), "backend": Optional(str), "out": Optional(int)}
    assert not mismatch(lines, [shape])
    assert [(line["verdict"], line["reason"], line["service"]) for line in lines] == [
        ("pass", "not-a-vip", None), ("drop", "no-service-port", "web"), ("drop", "icmp", "web"),
        ("drop", "truncated", None)]
    assert len(out) == 0


FLOW = {"client": str, "vip": str, "protocol": re.compile("TCP|UDP"), "service": str, "backend": str,
        "idleSeconds": int, "state": re.compile("open|closing"),
        "origin": re.compile("started|adopted"), "row": re.compile("owner|home|neither|settled")}


def with_port(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def backends_by_stream(tier, streams, *names):
    """{(client, vip): backend} of the streams on some backends, as lbctl writes them."""
    vips = [streams.addresses[n % len(streams.addresses)] for n in range(streams.count)]
    return {(with_port(*client), with_port(vip, streams.port)): tier.backends[backend].ipv4
            for client, vip, backend in zip(streams.client, vips, streams.backend)
            if backend in names}


def listed(tier, *options):
    """The same of the flows that lbctl lists."""
    flows = tier.lbd.json("flows", *options)
    assert not mismatch(flows, [FLOW])
    found = {(flow["client"], flow["vip"]): flow["backend"] for flow in flows}
    assert len(found) == len(flows), "a flow is there twice"
    return found


@pytest.fixture(name="moving", scope="module")
def moving_tier():
    """A tier with streams on three backends, two of which drain since. Its rows move throughout."""
    table = {"entries": 262144, "starts": 65536, "tcpIdle": "10m", "udpIdle": "10m"}
    with Lab("flows") as lab:
        tier = Tier(lab)
        tier.start(tier.service(), connectionTable=table)
        assert listed(tier) == {} and tier.lbd.ctl("flows").stdout == "no flows\n"
        streams = Streams(tier.client, [VIP4, VIP6], 120, sources=[CLIENT4, CLIENT6])
        tier.reload(tier.service(states={"b1": "drain", "b2": "drain"}), connectionTable=table)
        streams.round()
        yield tier, streams
        streams.stop()


def test_every_stream_of_a_draining_backend_is_listed_with_it(moving):
    tier, streams = moving
    expected = backends_by_stream(tier, streams, "b1", "b2")
    flows = tier.lbd.json("flows")
    assert len(expected) > 40
    got = {(flow["client"], flow["vip"]): flow["backend"] for flow in flows}
    assert {flow: got.get(flow) for flow in expected} == expected
    # Others of theirs are not there: what else is listed belongs to streams of b3.
    assert {flow: backend for flow, backend in got.items() if backend != "10.3.3.2"} == expected
    assert got.items() <= backends_by_stream(tier, streams, "b1", "b2", "b3").items()
    assert all(flow["idleSeconds"] <= 3 and flow["state"] == "open" and flow["origin"] == "adopted"
               and flow["service"] == "web" and flow["protocol"] == "TCP" for flow in flows)


@pytest.mark.parametrize("vip, client, prefix", [
    (VIP4, CLIENT4, "10.1.0.0/24"), (VIP6, CLIENT6, "fd01:1::/64")])
def test_flows_are_listed_by_what_they_are_asked_to_be(moving, vip, client, prefix):
    tier, streams = moving
    both = backends_by_stream(tier, streams, "b1", "b2")
    ours = {flow: backend for flow, backend in both.items() if flow[1] == with_port(vip, 7000)}
    of_b1 = {flow: backend for flow, backend in ours.items() if backend == "10.3.1.2"}
    assert of_b1 and of_b1 != ours
    drained = {"10.3.1.2", "10.3.2.2"}  # what else moves is not this test's

    def listed_of_drained(*options):
        return {f: b for f, b in listed(tier, *options).items() if b in drained}

    for options in (["--vip", vip], ["--vip", with_port(vip, 7000)], ["--client", client],
                    ["--client", prefix], ["--vip", vip, "--client", prefix, "--service", "web",
                                           "--protocol", "tcp"]):
        assert listed_of_drained(*options) == ours, options
    assert listed(tier, "--vip", vip, "--backend", "10.3.1.2") == of_b1
    one = next(iter(of_b1))
    assert listed(tier, "--client", one[0], "--vip", one[1]) == {one: "10.3.1.2"}
    for options in (["--vip", with_port(vip, 80)], ["--protocol", "udp"], ["--backend", "10.3.9.2"],
                    ["--client", with_port(client, 1)], ["--vip", "203.0.113.99"]):
        assert listed(tier, *options) == {}, options


def test_flows_of_an_unknown_service_are_an_error(moving):
    done = moving[0].lbd.ctl("flows", "--service", "wed", "-o", "json")
    assert done.returncode == 1 and done.stdout == "" and "wed" in done.stderr


def test_flows_are_a_readable_table(moving):
    tier, streams = moving
    done = tier.lbd.ctl("flows", "--backend", "10.3.2.2")
    assert done.returncode == 0 and done.stderr == ""
    titles, *rows = [line.split() for line in done.stdout.splitlines()]
    assert titles == ["CLIENT", "VIP", "PROTOCOL", "SERVICE", "BACKEND", "IDLE", "STATE", "ORIGIN", "ROW"]
    assert {(row[0], row[1]): row[4] for row in rows} == backends_by_stream(tier, streams, "b2")


def test_flows_that_begin_on_moving_rows_are_listed_as_started_then_as_closing(moving):
    tier, _ = moving
    begun = Streams(tier.client, [VIP4, VIP6], 40, sources=[tier.new_source(v) for v in (VIP4, VIP6)])
    begun.round()
    own = backends_by_stream(tier, begun, "b3")
    assert len(own) == 40, "one went to a draining backend"

    def ours():
        flows = tier.lbd.json("flows", "--backend", "10.3.3.2")
        return [flow for flow in flows if (flow["client"], flow["vip"]) in own]

    before = ours()
    assert len(before) > 10, "two thirds of the rows move, and who begins on one is kept"
    assert {(flow["state"], flow["origin"], flow["row"]) for flow in before} == {("open", "started", "owner")}
    begun.stop()
    until(lambda: [flow["state"] for flow in ours()] == ["closing"] * len(before), "their ends are seen")


def test_datagrams_are_listed_as_udp(moving):
    tier, _ = moving
    datagrams(tier.client, VIP4, 20)
    flows = tier.lbd.json("flows", "--protocol", "udp", "--vip", f"{VIP4}:7000")
    assert flows and {(flow["protocol"], flow["origin"], flow["row"]) for flow in flows} == {
        ("UDP", "adopted", "home")}


def test_the_log_says_what_the_flow_memory_can_bear(moving):
    tier, _ = moving
    said, = tier.lbd.events("flow_memory")
    memory = tier.lbd.json("status")["flowMemory"]
    assert int(said["entries"]) == memory["entriesMax"] >= 262144
    assert int(said["starts_per_second"]) == memory["startsPerSecond"] == 65536 * 3 // 4 // 8
