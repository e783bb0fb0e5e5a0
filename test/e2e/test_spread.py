"""Connections and datagrams spread by weight, from every address family to backends of either, and
are counted exactly."""

import pytest

from lab import Lab, until
from tier import OTHER4, OTHER6, VIP4, VIP6, Tier, big_content
from traffic import assert_spread, datagrams, requests

WEIGHTS = {"b1": 100, "b2": 200, "b3": 300}
# Named by what is within what.
ENCAPSULATIONS = pytest.mark.parametrize("vip", [
    pytest.param(VIP4, id="4in4"), pytest.param(VIP6, id="6in4"),
    pytest.param(OTHER4, id="4in6"), pytest.param(OTHER6, id="6in6")])


def services(tier):
    return [tier.service("web", WEIGHTS, family=4), tier.service("other", WEIGHTS, family=6)]


@pytest.fixture(name="tier", scope="module")
def tier_with_both_families():
    with Lab("spread") as lab:
        tier = Tier(lab)
        yield tier.start(*services(tier))


@ENCAPSULATIONS
def test_connections_spread_by_weight(tier, vip):
    assert_spread(requests(tier.client, vip, 1500), WEIGHTS)


@ENCAPSULATIONS
def test_datagrams_spread_by_weight(tier, vip):
    assert_spread(datagrams(tier.client, vip, 400), WEIGHTS)


@ENCAPSULATIONS
def test_full_size_packets_pass_both_ways(tier, vip):
    host = f"[{vip}]" if ":" in vip else vip
    content, got = tier.client.dir / "content", tier.client.dir / "got"
    content.write_bytes(big_content())
    tier.client.run("curl", "-sSfg", "-m", 30, "-o", got, f"http://{host}/big")
    assert got.read_bytes() == big_content()
    sent = tier.client.run("curl", "-sSfg", "-m", 30, "-H", "Expect:", "--data-binary", f"@{content}",
                           "-o", "/dev/null", "-w", "%{size_upload}", f"http://{host}/")
    assert int(sent.stdout) == len(big_content())


def counted(tier, service, port, protocol):
    return next(s for s in tier.lbd.json("stats")["services"]
                if (s["name"], s["port"], s["protocol"]) == (service, port, protocol))


@pytest.mark.parametrize("vip, service, header", [
    (VIP4, "web", 28), (VIP6, "web", 48), (OTHER4, "other", 28), (OTHER6, "other", 48)])
def test_counters_are_exact(tier, vip, service, header):
    before = counted(tier, service, "7000", "UDP")
    heard = datagrams(tier.client, vip, 10)  # one digit each
    after = counted(tier, service, "7000", "UDP")
    assert sum(heard.values()) == 10 and "lost" not in heard
    assert after["packets"] - before["packets"] == 10
    assert after["bytes"] - before["bytes"] == 10 * (header + 1)
    by_address = {b["address"]: b["packets"] for b in before["backends"]}
    family = 4 if service == "web" else 6
    for backend in after["backends"]:
        name = next(b.name for b in tier.backends.values() if b.address(family) == backend["address"])
        assert backend["packets"] - by_address[backend["address"]] == heard[name], name


@pytest.mark.parametrize("mode", ["generic", "native"])
def test_every_encapsulation_works_in_either_mode(mode):
    with Lab(mode) as lab:
        tier = Tier(lab, backends=2)
        weights = {"b1": 100, "b2": 100}
        tier.start(tier.service("web", weights), tier.service("other", weights, family=6),
                   node={"xdpMode": mode})
        assert [i["mode"] for i in tier.lbd.json("status")["interfaces"]] == [mode]
        link = tier.lb.ip_json("link", "show", "dev", "lan0")[0]
        assert link["xdp"]["mode"] == {"native": 1, "generic": 2}[mode]
        for vip in (VIP4, VIP6, OTHER4, OTHER6):
            assert_spread(requests(tier.client, vip, 200), weights)
            assert_spread(datagrams(tier.client, vip, 100), weights)


def test_by_source_address_a_client_stays_with_one_backend():
    with Lab("source") as lab:
        tier = Tier(lab)
        tier.start(tier.service("web", hash="source-ip"))
        addresses = [f"10.1.0.{n}" for n in range(100, 160)] + [f"fd01:1::{n}" for n in range(100, 160)]
        tier.client.address("eth0", *(f"{a}/{64 if ':' in a else 24}" for a in addresses))
        chosen = {}
        for source in addresses:
            vip = VIP6 if ":" in source else VIP4
            served = requests(tier.client, vip, 4, source=source)
            assert len(served) == 1, f"{source}: {served}"
            chosen[source] = next(iter(served))
        assert set(chosen.values()) == set(tier.backends)
        until(lambda: tier.lbd.json("status")["rows"]["moving"] == 0, "rows are settled")
