"""Next hops are followed as they change, under load."""

import pytest

from lab import Lab, until
from tier import OTHER4, OTHER6, VIP4, VIP6, Tier
from traffic import Requests, requests

ALL_VIPS = [VIP4, VIP6, OTHER4, OTHER6]


@pytest.fixture(name="tier", scope="module")
def running_tier():
    with Lab("routes") as lab:
        tier = Tier(lab)
        yield tier.start(tier.service("web"), tier.service("other", family=6))


@pytest.fixture(name="load")
def requests_that_must_not_fail(tier):
    load = Requests(tier.client, ALL_VIPS)
    load.more(50, "requests before the change")
    yield load
    load.more(100, "requests after the change")
    load.stop()
    assert not load.failures, load.failures[:5]


def next_hops(tier):
    return {b["address"]: (b["nextHop"]["interface"], b["nextHop"]["mac"]) if b["nextHop"] else None
            for b in tier.lbd.json("backends")}


def test_a_gateways_new_mac_is_followed_at_once(tier, load):
    for number in range(1, 4):
        mac = f"02:00:00:00:aa:{number:02x}"
        tier.router.ip(f"link set dev to-lb address {mac}")
        until(lambda: set(next_hops(tier).values()) == {("lan0", mac)}, f"next hops have {mac}", 3)
        load.more(20, "requests by the new MAC")


def test_the_balancers_own_new_mac_is_followed(tier, load):
    tier.lb.ip("link set dev lan0 address 02:00:00:00:bb:01")
    load.more(50, "requests from the new MAC")


def test_a_route_to_another_interface_is_followed_there_and_back(tier, load):
    """b1 is reached by a second link for a while; packets then leave by another interface than they
    came in on, with that one's address as the outer source."""
    tier.lab.link(tier.lb, "lan1", tier.router, "to-lb-1", 1600)
    tier.router.attach_xdp_pass("to-lb-1")
    tier.router.address("to-lb-1", "10.4.0.1/24", "fd01:4::1/64")
    tier.lb.address("lan1", "10.4.0.2/24", "fd01:4::2/64")
    tier.lb.whole_checksums("lan1")
    b1 = tier.backends["b1"]
    tier.lb.ip(f"route add {b1.ipv4}/32 via 10.4.0.1", f"route add {b1.ipv6}/128 via fd01:4::1")
    expected = ("lan1", tier.router.mac("to-lb-1"))
    until(lambda: next_hops(tier)[b1.ipv4] == next_hops(tier)[b1.ipv6] == expected,
          "b1's next hop is on lan1")
    before = link_packets(tier, "to-lb-1")
    for vip in ALL_VIPS:
        assert requests(tier.client, vip, 60)["b1"] > 0
    assert link_packets(tier, "to-lb-1") > before + 100, "packets for b1 leave by lan1"
    tier.lb.ip(f"route del {b1.ipv4}/32", f"route del {b1.ipv6}/128")
    until(lambda: next_hops(tier)[b1.ipv4] == next_hops(tier)[b1.ipv6] == next_hops(tier)["10.3.2.2"],
          "b1's next hop is on lan0 again")
    load.more(50, "requests by lan0 again")


def link_packets(tier, device):
    return tier.router.ip_json("-s", "link", "show", "dev", device)[0]["stats64"]["rx"]["packets"]


def test_a_backend_on_the_balancers_own_link_is_followed_when_its_mac_changes(tier, load):
    """Without a gateway between: a neighbour is the backend itself."""
    lab, router = tier.lab, tier.router
    near = lab.host("near")
    lab.link(tier.lb, "lan2", near, "lan0", 1600)
    tier.lb.address("lan2", "10.2.5.1/24", "fd01:2:5::1/64")
    near.address("lan0", "10.2.5.2/24", "fd01:2:5::2/64")
    near.attach_xdp_pass("lan0")
    service = tier.service("near", {"b1": 1})
    service |= {"addresses": ["203.0.113.30"], "backends": [{"address": "10.2.5.2"},
                                                            {"address": "fd01:2:5::2"}]}
    tier.reload(tier.service("web"), tier.service("other", family=6), service)
    for mac in ("02:00:00:00:cc:01", "02:00:00:00:cc:02"):
        near.ip(f"link set dev lan0 address {mac}")
        until(lambda: next_hops(tier)["10.2.5.2"] == next_hops(tier)["fd01:2:5::2"] == ("lan2", mac),
              f"the backend's new MAC {mac} is used", 3)
    near.ip("link set dev lan0 down")
    assert router.mac("to-lb")
    tier.reload(tier.service("web"), tier.service("other", family=6))
