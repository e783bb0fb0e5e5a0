"""What lbd puts on interfaces, what it leaves alone, and what --cleanup takes away."""

import pytest

from daemon import Lbd
from lab import Lab, until
from tier import VIP4, VIP6, Tier
from traffic import requests


@pytest.fixture(name="tier", scope="module")
def tier_with_daemons():
    with Lab("attach") as lab:
        tier = Tier(lab, backends=1)
        yield tier.start(tier.service())


@pytest.fixture(name="node")
def lone_host():
    """A host with one interface, and a daemon for it that has not been started."""
    with Lab("node") as lab:
        host, peer = lab.hosts("node", "peer")
        lab.link(host, "lan0", peer, "lan0")
        host.address("lan0", "10.2.0.2/24", "fd01:2::2/64")
        yield host, peer, Lbd(host, {})


def test_a_second_daemon_on_the_same_pins_is_refused(tier):
    second = Lbd(tier.lb, tier.config(tier.service()), name="second")
    code, said = second.start_refused()
    assert code == 1, said
    assert str(tier.lb.pins) in said
    assert tier.lbd.ready()
    assert sum(requests(tier.client, VIP4, 10).values()) == 10


def test_daemons_with_pins_of_their_own_live_side_by_side(tier):
    ids = {host.xdp_program("lan0") for host in (tier.lb, tier.backends["b1"].host)}
    assert None not in ids and len(ids) == 2


def test_status_names_the_attached_program(tier):
    (interface,) = tier.lbd.json("status")["interfaces"]
    assert interface == {"name": "lan0", "mode": "native", "programId": tier.lb.xdp_program("lan0")}


def test_a_foreign_program_is_named_and_not_replaced(node):
    host, _, lbd = node
    host.attach_xdp_pass("lan0")
    foreign = host.xdp_program("lan0")
    assert foreign
    code, said = lbd.start_refused()
    assert code == 1, said
    assert str(foreign) in said and "xdp_pass" in said and "lan0" in said
    assert host.xdp_program("lan0") == foreign
    host.ip("link set dev lan0 xdp off")
    lbd.start()
    assert host.xdp_program("lan0") not in (None, foreign)


def test_a_missing_interface_is_a_warning_and_taken_when_it_appears(node):
    host, peer, lbd = node
    lbd.write({"node": {"interfaces": ["lan0", "lan9"]}})
    lbd.start()
    warnings = [e for e in lbd.events() if e["level"] == "warning" and "lan9" in str(e)]
    assert warnings, lbd.process.tail()
    assert host.xdp_program("lan0")
    assert lbd.ctl("reload").returncode == 0  # which must not forget what is still missing
    for _ in range(2):  # again after it has gone
        host.lab.link(host, "lan9", peer, "lan9")
        until(lambda: host.xdp_program("lan9"), "lan9 has a program")
        until(lambda: {i["name"]: i["programId"] for i in lbd.json("status")["interfaces"]}.get("lan9")
              == host.xdp_program("lan9"), "status shows lan9's program")
        host.ip("link del dev lan9")
        until(lambda: not any(i["name"] == "lan9" and i["programId"]
                              for i in lbd.json("status")["interfaces"]), "status misses lan9")
    assert lbd.ready()


def test_an_interface_replaced_under_load_is_taken_again(tier):
    """As a driver's reload or a re-created veth does; everything about it is new, its index too."""
    requests(tier.client, VIP4, 5)
    tier.lb.ip("link del dev lan0")
    tier.connect(tier.lb, "lan0", "10.2.0", "fd01:2:", 1600)
    tier.router.attach_xdp_pass("to-lb")
    tier.router.ip("route replace 203.0.113.0/24 via 10.2.0.2", "route replace 2001:db8:1::/64 via fd01:2::2")
    until(lambda: tier.lb.xdp_program("lan0"), "the new lan0 has a program")
    until(lambda: all(b["nextHop"] for b in tier.lbd.json("backends")), "next hops are known again")
    for vip in (VIP4, VIP6):
        assert sum(requests(tier.client, vip, 20).values()) == 20


def test_cleanup_removes_all_that_lbd_put_into_the_kernel(node):
    host, _, lbd = node
    lbd.start()
    assert host.xdp_program("lan0")
    assert list(lbd.pins.iterdir())
    lbd.kill()
    done = host.run(*lbd.command(), "--cleanup", check=False)
    assert done.returncode == 0, done.stderr
    assert host.xdp_program("lan0") is None
    assert not lbd.pins.exists() or not list(lbd.pins.iterdir())
    again = host.run(*lbd.command(), "--cleanup", check=False)
    assert again.returncode == 0, f"nothing to remove is no error: {again.stderr}"
    lbd.start()
    assert host.xdp_program("lan0")


def test_nothing_is_attached_by_a_check(node):
    host, _, lbd = node
    done = host.run(*lbd.command(), "--check", check=False)
    assert done.returncode == 0, done.stderr
    assert host.xdp_program("lan0") is None
    assert not lbd.pins.exists()


def test_maps_and_their_memory_are_told(tier):
    maps = tier.lbd.json("status")["maps"]
    assert maps
    assert all(m["maxEntries"] > 0 for m in maps), maps
    # A trie takes no memory before its first prefix.
    assert all(m["bytes"] > 0 for m in maps if "allow" not in m["name"]), maps
    printed = tier.lbd.process.output()
    for m in maps:
        assert m["name"] in printed, f"{m['name']} is not in the log of the start"
