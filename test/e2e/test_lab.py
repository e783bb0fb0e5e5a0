"""The lab itself, without lbd: the router spreads over the backends by equal-cost routes, which is
enough to see that traffic flows, is counted rightly, and that a broken connection is noticed."""

import collections
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from daemon import parse_event, to_yaml
from lab import BPFFS, PREFIX, Lab, run, until
from tier import CLIENT4, GUEST4, GUEST6, VIP4, VIP6, Tier, big_content
from traffic import (Download, Requests, Sniffer, Streams, assert_spread, datagrams, destinations,
                     refused_or_silent, requests, send_encapsulated)


@pytest.fixture(name="tier", scope="module")
def tier_without_lbd():
    with Lab("lab") as lab:
        tier = Tier(lab)
        tier.router.sysctl(**{"ipv4/fib_multipath_hash_policy": 1, "ipv6/fib_multipath_hash_policy": 1})
        spread(tier, ["b1", "b2", "b3"])
        yield tier


def spread(tier, names):
    for family, prefix in ((4, "203.0.113.0/24"), (6, "2001:db8:1::/64")):
        hops = " ".join(f"nexthop via {tier.backends[n].address(family)}" for n in names)
        tier.router.ip(f"route replace {prefix} {hops}")


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_requests_reach_every_backend(tier, vip):
    served = requests(tier.client, vip, 300)
    assert sum(served.values()) == 300
    assert set(served) == set(tier.backends)


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_datagrams_reach_every_backend(tier, vip):
    heard = datagrams(tier.client, vip, 60)
    assert sum(heard.values()) == 60
    assert set(heard) == set(tier.backends)


@pytest.mark.parametrize("vip, guest", [(VIP4, GUEST4), (VIP6, GUEST6)])
def test_a_client_can_choose_its_address(tier, vip, guest):
    assert sum(requests(tier.client, vip, 10, source=guest).values()) == 10


def test_streams_that_stay_are_not_broken_and_streams_that_move_are(tier):
    streams = Streams(tier.client, [VIP4, VIP6], count=40)
    streams.round(1)
    assert set(streams.by_backend()) == set(tier.backends)
    gone = streams.by_backend()["b3"]
    spread(tier, ["b1", "b2"])
    until(lambda: len(streams.broken) >= gone, "streams of b3 break once it gets no more packets")
    assert all("stream" in text for text in streams.broken)
    streams.stop()
    spread(tier, ["b1", "b2", "b3"])


def test_failed_requests_are_counted(tier):
    load = Requests(tier.client, VIP4, port=81)
    load.more(10, "ten requests to a closed port")
    load.stop()
    assert not load.served
    assert len(load.failures) >= 10
    assert refused_or_silent(tier.client, VIP4, port=81)
    assert not refused_or_silent(tier.client, VIP4)


def test_a_sniffer_sees_both_directions(tier):
    sniffer = Sniffer(tier.router, "to-client")
    requests(tier.client, VIP4, 3)
    until(lambda: [VIP4] in sniffer.destinations(outgoing=False), "a frame to the VIP")
    until(lambda: [CLIENT4] in sniffer.destinations(outgoing=True), "a frame to the client")
    sniffer.stop()


def test_a_whole_download_arrives(tier):
    got = tier.client.dir / "got"
    tier.client.run("curl", "-sSfg", "-o", got, f"http://[{VIP6}]/big")
    assert got.read_bytes() == big_content()


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_download_of_a_certain_backend(tier, vip):
    download = Download(tier.client, vip, "b2", path="/big")
    download.join()
    assert download.ended and download.content == big_content()


def test_an_encapsulated_packet_goes_to_its_outer_destination(tier):
    inner = bytes.fromhex("4500001c00010000401100000a0100020a010003") + bytes(8)
    sniffer = Sniffer(tier.router, "to-b1")
    for destination in (tier.backends["b1"].ipv4, tier.backends["b1"].ipv6):
        send_encapsulated(tier.lb, destination, inner)
        until(lambda d=destination: [d, "10.1.0.3"] in sniffer.destinations(outgoing=True),
              f"the packet to {destination}")
    sniffer.stop()


def test_a_spread_is_judged():
    weights = {"b1": 100, "b2": 300}
    assert_spread({"b1": 260, "b2": 740}, weights)
    for wrong in ({"b1": 500, "b2": 500}, {"b1": 250, "b2": 745, "b3": 5}):
        with pytest.raises(AssertionError):
            assert_spread(collections.Counter(wrong), weights)


def test_destinations_of_nested_headers():
    from scapy.all import Ether, IP, IPv6, UDP  # pylint: disable=import-outside-toplevel
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    packet = ether / IP(src="10.0.0.1", dst="10.0.0.2") / IPv6(src="fd00::1", dst=VIP6) / UDP()
    assert destinations(bytes(packet)) == ["10.0.0.2", VIP6]
    packet = ether / IPv6(src="fd00::1", dst="fd00::2") / IP(src="10.0.0.1", dst=VIP4) / UDP()
    assert destinations(bytes(packet)) == ["fd00::2", VIP4]


def test_configuration_is_written_as_block_yaml():
    text = to_yaml({"a": {"b": [1, "x"], "c": []}, "services": [{"name": "web", "ports": [{"port": 0}]}]})
    assert text == ('a:\n  b:\n    - 1\n    - "x"\n  c: []\nservices:\n  -\n    name: "web"\n'
                    '    ports:\n      -\n        port: 0\n')


def test_log_lines_are_read():
    line = '2024-01-02T03:04:05.678Z info reconciled writes=0 why="two words" n=1'
    assert parse_event(line) == {
        "level": "info", "event": "reconciled", "writes": "0", "why": "two words", "n": "1"}
    assert parse_event("libbpf: something") is None


SMALL_LAB = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from lab import Lab
with Lab("small") as lab:
    host = lab.host("a")
    host.start("sleep", "sleep", "1000")
    host.pins.mkdir()
    print("open", flush=True)
    while True:
        time.sleep(0.05)  # not long: a signal that comes just before a sleep waits for its end
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(number):
    here = str(pathlib.Path(__file__).parent)
    with subprocess.Popen([sys.executable, "-c", SMALL_LAB, here], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            assert process.stdout.readline() == b"open\n"
            mark = f"{PREFIX}-{process.pid}-small"
            (inside,) = until(lambda: run("ip", "netns", "pids", f"{mark}-a").stdout.split(),
                              "a process runs inside")
            os.kill(process.pid, number)
            process.wait(20)
        finally:
            process.kill()
    if number == signal.SIGKILL:
        with Lab("next"):
            pass
    assert mark not in run("ip", "netns", "list").stdout
    assert not list(BPFFS.glob(f"{mark}*"))
    assert not list(pathlib.Path("/tmp").glob(f"{mark}*"))
    until(lambda: not pathlib.Path("/proc", inside).exists(), "the process inside has ended")
