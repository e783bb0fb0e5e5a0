"""Backends come, go, drain and change weight under long-lived connections, and none breaks.

Each test begins with three equal backends and 200 streams, over IPv4 and IPv6, and new requests
all the while. What a test leaves moving is the next one's to live with."""

import signal

import pytest

from lab import Lab, until
from tier import VIP4, VIP6, Tier
from traffic import Requests, Sniffer, Streams, assert_spread, datagrams, requests

VIPS = [VIP4, VIP6]
EQUAL = {"b1": 100, "b2": 100, "b3": 100}


@pytest.fixture(name="tier", scope="module")
def running_tier():
    with Lab("change") as lab:
        tier = Tier(lab)
        yield tier.start(tier.service(weights=EQUAL))


def new_requests(tier, vip, count):
    return requests(tier.client, vip, count, source=tier.new_source(vip))


def new_streams(tier, count=200):
    return Streams(tier.client, VIPS, count, sources=[tier.new_source(vip) for vip in VIPS])


@pytest.fixture(name="under_load")
def streams_and_requests(tier):
    """Begins with equal backends; at the end every stream must still speak with the backend it
    began with, and no request may have failed."""
    tier.reload(tier.service(weights=EQUAL))
    streams = new_streams(tier)
    # No faster: it shall not fill the table of flows.
    load = Requests(tier.client, VIPS, workers=2, pause=0.02)
    load.more(20, "first requests")
    yield streams
    streams.round()
    load.more(20, "requests after the change")
    load.stop()
    streams.stop()
    streams.check()
    assert not load.failures, load.failures[:5]


def test_streams_begin_on_every_backend(under_load):
    began = under_load.by_backend()
    assert sum(began.values()) == 200
    assert_spread(began, EQUAL)


def test_a_draining_backend_keeps_its_connections_and_gets_no_new_ones(tier, under_load):
    tier.reload(tier.service(weights=EQUAL, states={"b1": "drain"}))
    under_load.round()
    for vip in VIPS:
        assert_spread(new_requests(tier, vip, 300), {"b2": 100, "b3": 100})
    states = {b["address"]: b["state"] for b in tier.lbd.json("backends")}
    assert states == {"10.3.1.2": "draining", "10.3.2.2": "up", "10.3.3.2": "up"}


def test_datagrams_leave_a_draining_backend_once_its_rows_have_settled(tier):
    """A datagram tells nothing of whether it begins a flow: while a row moves, unknown ones stay."""
    tier.reload(tier.service(weights=EQUAL))
    tier.reload(tier.service(weights=EQUAL, states={"b1": "drain"}))
    until(lambda: set(datagrams(tier.client, VIP4, 40)) == {"b2", "b3"}, "b1 gets none", 60, 0.5)
    assert "lost" not in datagrams(tier.client, VIP6, 40)


def test_weight_zero_keeps_connections_and_gets_no_new_ones(tier, under_load):
    tier.reload(tier.service(weights=EQUAL | {"b2": 0}))
    under_load.round()
    assert_spread(new_requests(tier, VIP4, 300), {"b1": 100, "b3": 100})


def test_another_weight_moves_new_connections_only(tier, under_load):
    weights = {"b1": 300, "b2": 100, "b3": 200}
    tier.reload(tier.service(weights=weights))
    under_load.round()
    for vip in VIPS:
        assert_spread(new_requests(tier, vip, 600), weights)


def test_a_removed_backend_keeps_its_connections_and_gets_no_new_ones(tier, under_load):
    tier.reload(tier.service(weights={"b1": 100, "b2": 100}))
    under_load.round()
    for vip in VIPS:
        assert_spread(new_requests(tier, vip, 300), {"b1": 100, "b2": 100})


def test_a_backend_removed_and_added_again_keeps_its_connections(tier, under_load):
    tier.reload(tier.service(weights={"b1": 100, "b3": 100}))
    under_load.round(1)
    tier.reload(tier.service(weights=EQUAL))
    under_load.round()
    assert_spread(new_requests(tier, VIP6, 600), EQUAL)


def test_changes_in_quick_succession_break_nothing(tier, under_load):
    for weights in ({"b1": 100, "b2": 1, "b3": 100}, {"b2": 100, "b3": 50}, {"b1": 7, "b2": 100},
                    {"b3": 100}, EQUAL):
        tier.reload(tier.service(weights=weights))
    under_load.round()
    assert_spread(new_requests(tier, VIP4, 600), EQUAL)


def test_an_added_backend_gets_its_share_and_breaks_nothing(tier):
    tier.reload(tier.service(weights={"b1": 100, "b2": 100}))
    streams = new_streams(tier)
    # Connections of before the removal may still be known; new streams are all on the other two.
    assert set(streams.by_backend()) == {"b1", "b2"}
    tier.reload(tier.service(weights=EQUAL))
    streams.round()
    for vip in VIPS:
        assert_spread(new_requests(tier, vip, 600), EQUAL)
    streams.round(1)
    streams.stop()
    streams.check()


def test_a_disabled_backend_gets_nothing(tier):
    tier.reload(tier.service(weights=EQUAL))
    streams = new_streams(tier, count=60)
    of_b1 = streams.by_backend()["b1"]
    assert of_b1 > 0
    tier.reload(tier.service(weights=EQUAL, states={"b1": "disabled"}))
    sniffer = Sniffer(tier.router, "to-b1")
    until(lambda: len(streams.broken) >= of_b1, "the disabled backend's streams break", 30)
    assert_spread(new_requests(tier, VIP4, 300), {"b2": 100, "b3": 100})
    streams.stop()
    sniffer.stop()
    assert len(streams.broken) == of_b1, streams.broken
    to_vips = [d for d in sniffer.destinations(outgoing=True) if d and d[-1] in VIPS]
    # What was under way at the reload may still arrive.
    assert len(to_vips) <= of_b1, f"{len(to_vips)} packets still went to the disabled backend"


def test_rows_settle_once_old_connections_have_ended(tier):
    tier.reload(tier.service(weights=EQUAL))
    tier.reload(tier.service(weights=EQUAL, states={"b3": "drain"}))
    assert tier.lbd.json("status")["rows"]["moving"] > 0
    until(lambda: tier.lbd.json("status")["rows"]["moving"] == 0, "no row moves any more", 90, 0.5)
    until(lambda: tier.lbd.json("status")["flows"] == 0, "no flow is remembered any more", 30, 0.5)
    assert_spread(new_requests(tier, VIP4, 300), {"b1": 100, "b2": 100})


@pytest.fixture(name="to_weight")
def weight_setter(tier):
    """Waits until b1 has a weight in the data plane."""
    tier.reload(tier.service(weights=EQUAL))

    def wait(weight):
        until(lambda: tier.lbd.json("backends")[0]["weight"] == weight, f"b1 has weight {weight}")
    return wait


@pytest.mark.parametrize("rename", [False, True], ids=["written in place", "renamed over"])
def test_a_changed_file_is_reloaded(tier, to_weight, rename):
    for weight in (50, 60):  # twice: a watch must not end with the file it began on
        tier.lbd.write(tier.config(tier.service(weights=EQUAL | {"b1": weight})), rename=rename)
        to_weight(weight)


def test_sighup_reloads(tier, to_weight):
    def again():
        tier.lbd.process.signal(signal.SIGHUP)
        return tier.lbd.json("status")["config"]["loadedAt"] != before

    before = tier.lbd.json("status")["config"]["loadedAt"]
    until(again, "the file is loaded again though it has not changed", interval=0.3)
    tier.lbd.write(tier.config(tier.service(weights=EQUAL | {"b1": 40})))
    tier.lbd.process.signal(signal.SIGHUP)
    to_weight(40)


def test_lbctl_reload_says_what_changed(tier, to_weight):
    weights = iter(range(1, 90))

    def told():
        """Unless the file watch was first; then nothing was left to change."""
        weight = next(weights)
        tier.lbd.write(tier.config(tier.service(weights=EQUAL | {"b1": weight}),
                                   *[tier.service("second", {"b3": 10}, family=6)][:weight % 2]))
        done = tier.lbd.ctl("reload")
        assert done.returncode == 0, done.stderr
        to_weight(weight)
        return all(word in done.stdout for word in ("second", "web/10.3.1.2"))

    until(told, "lbctl reload names the service and the backend that changed")
    tier.reload(tier.service(weights=EQUAL))
