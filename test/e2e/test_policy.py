"""Who may use a service, on which ports, and what becomes of everything else."""

import socket

import pytest

from lab import Lab, until
from tier import (CLIENT4, CLIENT6, GUEST4, GUEST6, LB4, LB6, OTHER4, OTHER6, VIP4, VIP6, Tier,
                  connects)
from traffic import (Sniffer, Streams, datagrams, refused_or_silent, requests, send_encapsulated)

FAMILIES = pytest.mark.parametrize("vip", [VIP4, VIP6])


@pytest.fixture(name="tier", scope="module")
def running_tier():
    with Lab("policy") as lab:
        tier = Tier(lab)
        yield tier.start(tier.service())


def ping(host, address):
    return host.run("ping", "-n", "-c", 3, "-i", 0.2, "-W", 1, address, check=False).returncode == 0


def to_vip(sniffer, vip, outgoing):
    """Frames whose innermost destination is the VIP."""
    return [d for d in sniffer.destinations(outgoing) if d and d[-1] == vip]


@pytest.mark.parametrize("vip, client, guest", [(VIP4, CLIENT4, GUEST4), (VIP6, CLIENT6, GUEST6)])
def test_only_allowed_clients_are_served(tier, vip, client, guest):
    tier.reload(tier.service(allowFrom=[f"{CLIENT4}/32", f"{CLIENT6}/128"]))
    before = tier.lbd.reason("not-allowed")
    requests(tier.client, vip, 5, source=client)
    assert tier.lbd.reason("not-allowed") == before
    assert datagrams(tier.client, vip, 1, source=guest, timeout=0.5) == {"lost": 1}
    assert tier.lbd.reason("not-allowed") == before + 1
    assert refused_or_silent(tier.client, vip, source=guest)
    tier.reload(tier.service(allowFrom=["10.1.0.0/24", "fd01:1::/64"]))
    requests(tier.client, vip, 5, source=guest)
    tier.reload(tier.service(allowFrom=["10.1.0.64/26", "fd01:1::40/122"]))
    requests(tier.client, vip, 5, source=guest)
    assert refused_or_silent(tier.client, vip, source=client)
    tier.reload(tier.service(allowFrom=[]))
    assert refused_or_silent(tier.client, vip, source=client)
    tier.reload(tier.service())
    requests(tier.client, vip, 5, source=client)


def test_one_family_may_be_allowed_alone(tier):
    tier.reload(tier.service(allowFrom=["::/0"]))
    requests(tier.client, VIP6, 5)
    assert refused_or_silent(tier.client, VIP4)
    tier.reload(tier.service())


@FAMILIES
def test_unknown_ports_are_dropped_or_passed_to_the_stack(tier, vip):
    for policy, reaches_stack in (("drop", False), ("pass", True)):
        tier.reload(tier.service(unknownPorts=policy))
        before = tier.lbd.reason("no-service-port")
        sniffer = Sniffer(tier.lb, "lan0")  # sees what XDP passes, not what it drops
        datagrams(tier.client, vip, 1, port=9, timeout=0.5)
        until(lambda: tier.lbd.reason("no-service-port") > before, f"{policy}: the packet is counted")
        requests(tier.client, vip, 3)
        sniffer.stop()
        assert bool(to_vip(sniffer, vip, outgoing=False)) == reaches_stack, policy
    tier.reload(tier.service())


@FAMILIES
def test_unknown_ports_of_an_own_address_are_never_dropped(tier, vip):
    tier.lb.address("lo", f"{vip}/{128 if ':' in vip else 32}")
    tier.reload(tier.service(unknownPorts="drop"))
    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
    with tier.lb.inside(), socket.create_server((vip, 2222), family=family):
        until(lambda: connects(tier.client, vip, 2222), "a server on the balancer itself answers")
        requests(tier.client, vip, 5)
    tier.lb.ip(f"addr del {vip}/{128 if ':' in vip else 32} dev lo")
    before = tier.lbd.reason("no-service-port")

    def dropped_again():
        sniffer = Sniffer(tier.lb, "lan0")
        datagrams(tier.client, vip, 1, port=9, timeout=0.5)
        sniffer.stop()
        return not to_vip(sniffer, vip, outgoing=False)

    until(dropped_again, "once it is no own address any more, they are dropped", interval=0.2)
    assert tier.lbd.reason("no-service-port") > before


@FAMILIES
def test_a_specific_port_wins_over_port_0(tier, vip):
    ports = [{"port": 0, "protocol": "TCP"}, {"port": 80, "protocol": "TCP"}, {"port": 0, "protocol": "UDP"}]
    tier.reload(tier.service("wild", ports=ports))

    def packets():
        return {(s["port"], s["protocol"]): s["packets"] for s in tier.lbd.json("stats")["services"]}

    before = packets()
    requests(tier.client, vip, 10)
    middle = packets()
    assert middle["80", "TCP"] > before["80", "TCP"]
    assert middle["0", "TCP"] == before["0", "TCP"] and middle["0", "UDP"] == before["0", "UDP"]
    requests(tier.client, vip, 10, port=8080)
    datagrams(tier.client, vip, 10)
    after = packets()
    assert after["80", "TCP"] == middle["80", "TCP"]
    assert after["0", "TCP"] > middle["0", "TCP"]
    assert after["0", "UDP"] == middle["0", "UDP"] + 10
    tier.reload(tier.service())


@FAMILIES
def test_a_specific_port_of_another_service_wins_over_port_0(tier, vip):
    wild = tier.service("wild", {"b1": 1}, ports=[{"port": 0, "protocol": "TCP"}])
    specific = tier.service("specific", {"b2": 1}, ports=[{"port": 80, "protocol": "TCP"}])
    for services in ((wild, specific), (specific, wild)):
        tier.reload(*services)
        assert set(requests(tier.client, vip, 10)) == {"b2"}
        assert set(requests(tier.client, vip, 10, port=8080)) == {"b1"}
    tier.reload(wild)
    assert set(requests(tier.client, vip, 10)) == {"b1"}
    tier.reload(tier.service())


@FAMILIES
def test_a_ping_to_a_vip_does_not_loop(tier, vip):
    """The balancer forwards, and the router leads the VIP back to it: a ping that reached its stack
    would go round until its hop limit ends."""
    tier.reload(tier.service())
    before = tier.lbd.reason("icmp")
    sniffer = Sniffer(tier.router, "to-lb")
    assert not ping(tier.client, vip)
    until(lambda: tier.lbd.reason("icmp") >= before + 3, "pings are counted")
    sniffer.stop()
    assert len(to_vip(sniffer, vip, outgoing=True)) == 3
    assert not to_vip(sniffer, vip, outgoing=False)


@pytest.mark.parametrize("address", [LB4, LB6])
def test_what_is_not_for_a_vip_passes(tier, address):
    assert ping(tier.client, address)


@FAMILIES
def test_a_service_without_backends_drops(tier, vip):
    service = tier.service(removedBackends="reset")
    service["backends"] = []
    tier.reload(service)
    before = tier.lbd.reason("no-backend")
    assert datagrams(tier.client, vip, 2, timeout=0.5) == {"lost": 2}
    assert tier.lbd.reason("no-backend") == before + 2
    tier.reload(tier.service())
    requests(tier.client, vip, 5)


@FAMILIES
def test_without_a_neighbour_packets_are_dropped_and_never_forwarded_bare(tier, vip):
    service = tier.service(removedBackends="reset")
    service["backends"] = [{"address": "10.2.0.99"}]  # on the balancer's link, and nobody there
    tier.lbd.reload(tier.config(service))
    hops = {b["address"]: b["nextHop"] for b in tier.lbd.json("backends")}
    assert hops["10.2.0.99"] is None
    before = tier.lbd.reason("no-neighbor")
    sniffer = Sniffer(tier.router, "to-lb")
    assert datagrams(tier.client, vip, 2, timeout=0.5) == {"lost": 2}
    assert tier.lbd.reason("no-neighbor") == before + 2
    sniffer.stop()
    assert not to_vip(sniffer, vip, outgoing=False)
    tier.reload(tier.service(removedBackends="reset"))


def inner_packet(source, destination, text=b"inner"):
    """An UDP packet to the echo service's port, as bytes."""
    from scapy.all import IP, IPv6, UDP  # pylint: disable=import-outside-toplevel
    layer = IPv6(src=source, dst=destination, hlim=60) if ":" in destination else \
        IP(src=source, dst=destination, ttl=60, id=1)
    return bytes(layer / UDP(sport=5555, dport=7000) / text)


ENCAPSULATED = pytest.mark.parametrize("outer, source, destination", [
    pytest.param(4, CLIENT4, VIP4, id="4in4"), pytest.param(4, CLIENT6, VIP6, id="6in4"),
    pytest.param(6, CLIENT4, VIP4, id="4in6"), pytest.param(6, CLIENT6, VIP6, id="6in6")])


def echoed(tier, source):
    """A socket on the client at the port that inner_packet() answers to."""
    s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 5555))
    s.settimeout(1)
    return s


@ENCAPSULATED
def test_an_allowed_sender_is_decapsulated_and_others_are_dropped(tier, outer, source, destination):
    backend = tier.backends["b1"]
    with tier.client.inside(), echoed(tier, source) as client:
        passed, refused = (backend.lbd.reason(r) for r in ("decapsulated", "decap-not-allowed"))
        send_encapsulated(tier.lb, backend.address(outer), inner_packet(source, destination))
        assert client.recv(100) == b"b1 inner"
        assert backend.lbd.reason("decapsulated") == passed + 1
        send_encapsulated(tier.client, backend.address(outer), inner_packet(source, destination))
        until(lambda: backend.lbd.reason("decap-not-allowed") == refused + 1, "the drop is counted")
        with pytest.raises(socket.timeout):
            client.recv(100)
        assert backend.lbd.reason("decapsulated") == passed + 1


@pytest.mark.parametrize("outer, source, destination", [
    (4, CLIENT4, "10.3.2.2"), (4, CLIENT6, "fd01:3:2::2"), (6, CLIENT4, "10.3.2.2"),
    (6, CLIENT6, "fd01:3:2::2")])
def test_a_backend_is_no_open_relay(tier, outer, source, destination):
    backend = tier.backends["b1"]
    backend.host.sysctl(**{"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
    before = backend.lbd.reason("decap-not-local")
    sniffer = Sniffer(tier.router, "to-b1")
    send_encapsulated(tier.lb, backend.address(outer), inner_packet(source, destination))
    until(lambda: backend.lbd.reason("decap-not-local") == before + 1, "the drop is counted")
    sniffer.stop()
    assert not [d for d in sniffer.destinations(outgoing=False) if destination in d]


def packets_to_vips(sniffer):
    return [d for d in sniffer.destinations(outgoing=True) if d and d[-1] in (VIP4, VIP6)]


@pytest.mark.parametrize("keep_service", [True, False], ids=["backend removed", "service removed"])
def test_old_packets_never_reach_the_backend_that_takes_the_slot(tier, keep_service):
    """Streams to the first service on b1 go on sending after b1 is gone, while b3 becomes a backend
    of another service and may be put where b1 was."""
    first = tier.service("first", {"b1": 100}, removedBackends="reset")
    second = tier.service("second", {"b2": 100}, family=6, removedBackends="reset")
    tier.reload(first, second)
    streams = Streams(tier.client, [VIP4, VIP6], count=40)
    assert set(streams.by_backend()) == {"b1"}
    sniffer = Sniffer(tier.router, "to-b3")
    old = Sniffer(tier.router, "to-lb")
    # Without a backend, so that nobody answers the streams and they go on.
    left = [tier.service("first", removedBackends="reset") | {"backends": []}] if keep_service else []
    tier.reload(*left, tier.service("second", {"b2": 100}, family=6, removedBackends="reset"))
    for number in range(3):
        third = tier.service(f"third{number}", {"b3": 100}, family=6, removedBackends="reset")
        tier.reload(*left, third)
        for vip in (OTHER4, OTHER6):
            assert set(requests(tier.client, vip, 20)) == {"b3"}
    seen = len(packets_to_vips(old))
    until(lambda: len(packets_to_vips(old)) > seen + 20, "the streams go on sending", 30)
    for thing in (streams, old, sniffer):
        thing.stop()
    assert not packets_to_vips(sniffer)
    tier.reload(tier.service())
