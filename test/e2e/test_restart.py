"""The daemon dies and comes back, and no packet notices."""

import pathlib
import re

import pytest

from lab import Lab, until
from tier import OTHER4, OTHER6, VIP4, VIP6, Tier
from traffic import Requests, Streams, assert_spread, requests

WEIGHTS = {"b1": 100, "b2": 100, "b3": 100}
ALL_VIPS = [VIP4, VIP6, OTHER4, OTHER6]


def services(tier, weights=None, states=None):
    return [tier.service("web", weights or WEIGHTS, states=states),
            tier.service("other", weights or WEIGHTS, family=6, states=states)]


@pytest.fixture(name="tier", scope="module")
def running_tier():
    with Lab("restart") as lab:
        tier = Tier(lab)
        yield tier.start(*services(tier))


def settle(tier):
    """Back to the first configuration; nothing is under way any more."""
    tier.reload(*services(tier))
    until(lambda: tier.lbd.json("status")["rows"]["moving"] == 0, "rows are settled", 90, 0.5)


def writes(lbd):
    """Writes to maps at the last start."""
    return int(until(lambda: lbd.events("reconciled"), "lbd says that it has reconciled")[0]["writes"])


def test_a_crash_and_a_restart_under_load_fail_no_request_and_write_nothing(tier):
    settle(tier)
    streams = Streams(tier.client, ALL_VIPS, count=80)
    load = Requests(tier.client, ALL_VIPS)
    load.more(100, "requests before the crash")
    program = tier.lb.xdp_program("lan0")
    tier.lbd.kill()
    load.more(200, "requests without a daemon")
    streams.round(1)
    tier.lbd.start()
    load.more(200, "requests after the restart")
    streams.round(1)
    load.stop()
    streams.stop()
    streams.check()
    assert not load.failures, load.failures[:5]
    assert tier.lb.xdp_program("lan0") == program, "the pinned program was adopted"
    assert writes(tier.lbd) == 0


def test_ten_crashes_in_a_row_fail_no_request(tier):
    load = Requests(tier.client, ALL_VIPS)
    for _ in range(10):
        load.more(5, "requests")
        tier.lbd.kill()
        # Killed while it starts, too: at whatever it is doing after so many requests.
        process = tier.lb.start("lbd-short", *tier.lbd.command())
        load.more(5, "requests while it starts")
        process.kill()
        tier.lbd.start()
    load.more(20, "requests after the last restart")
    load.stop()
    assert not load.failures, load.failures[:5]


def test_the_kernel_sees_no_write_to_pinned_maps_when_nothing_changed(tier):
    """Writes through mmap are no system calls; those only the daemon's own counter shows."""
    settle(tier)
    tier.lbd.kill()
    trace = tier.lb.dir / "strace"
    tier.lbd.start(wrapper=("strace", "-f", "-qq", "-e", "trace=bpf,dup3,fcntl,close", "-o", trace))
    lines = trace.read_text().splitlines()
    assert any("BPF_OBJ_GET" in line for line in lines), "the trace shows the daemon's start"
    assert not pinned_writes(lines)
    assert writes(tier.lbd) == 0
    daemon = tier.lbd.json("status")["pid"]
    tier.lbd.process.kill()
    until(lambda: not pathlib.Path("/proc", str(daemon)).exists(), "the traced daemon is gone")
    tier.lbd.start()


def pinned_writes(lines):
    """Lines that write to a map whose descriptor came from a pin, or from a copy of such a one."""
    pinned, found = set(), []
    for line in lines:
        result = re.search(r"= (\d+)(?:<[^>]*>)?$", line)
        made = result and int(result[1])
        if "BPF_OBJ_GET," in line and result:
            pinned.add(made)
        elif "BPF_MAP_CREATE" in line and result:
            pinned.discard(made)
        elif copy := re.search(r"(?:dup3|fcntl)\((\d+), (?:F_DUPFD|\d)", line):
            if result and int(copy[1]) in pinned:
                pinned.add(made)
        elif re.search(r"BPF_MAP_(UPDATE|DELETE)_(ELEM|BATCH)", line):
            target = re.search(r"map_fd=(\d+)", line)
            if target and int(target[1]) in pinned:
                found.append(line)
    return found


def test_writes_to_pinned_maps_are_recognised():
    get = '1 bpf(BPF_OBJ_GET, {pathname="/sys/fs/bpf/x", bpf_fd=0, file_flags=0}, 128) = 7'
    copy = "1 dup3(7, 9, O_CLOEXEC) = 9"
    create = "1 bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_ARRAY}, 128) = 7"
    update = "1 bpf(BPF_MAP_UPDATE_ELEM, {{map_fd={fd}, key=0x1, value=0x2, flags=BPF_ANY}}, 128) = 0"
    assert pinned_writes([get, update.format(fd=7)])
    assert pinned_writes([get, copy, update.format(fd=9)])
    assert not pinned_writes([get, create, update.format(fd=7)])
    assert not pinned_writes([get, update.format(fd=8)])


def test_a_change_made_while_the_daemon_was_dead_is_applied_and_breaks_nothing(tier):
    settle(tier)
    streams = Streams(tier.client, ALL_VIPS, count=80)
    tier.lbd.kill()
    tier.lbd.write(tier.config(*services(tier, states={"b1": "drain"})))
    streams.round(1)
    tier.lbd.start()
    assert writes(tier.lbd) > 0
    streams.round()
    for vip in (VIP4, OTHER6):
        assert_spread(requests(tier.client, vip, 300, source=tier.new_source(vip)), {"b2": 100, "b3": 100})
    tier.lbd.kill()
    tier.lbd.start()  # amid moving rows
    streams.round()
    assert_spread(requests(tier.client, VIP6, 300, source=tier.new_source(VIP6)), {"b2": 100, "b3": 100})
    streams.stop()
    streams.check()


def test_daemons_killed_at_any_write_break_nothing(tier):
    """One after the other dies amid the change that it was started for, and none finishes."""
    settle(tier)
    streams = Streams(tier.client, ALL_VIPS, count=80)
    load = Requests(tier.client, ALL_VIPS)
    tier.lbd.kill()
    for turn, write in enumerate((0, 1, 2, 3, 5, 8, 13, 1000, 40_000, 80_000, 120_000)):
        drained = sorted(WEIGHTS)[turn % len(WEIGHTS)]
        tier.lbd.write(tier.config(*services(tier, states={drained: "drain"})))
        tier.lbd.start_dying(write)
        load.more(20, "requests after a death")
        streams.round(1)
    tier.lbd.start()
    streams.round()
    load.stop()
    streams.stop()
    streams.check()
    assert not load.failures, load.failures[:5]


def test_a_stopped_daemon_leaves_its_data_plane(tier):
    tier.reload(*services(tier))
    assert tier.lbd.stop() == 0
    assert not tier.lbd.socket.exists() or tier.lbd.ctl("status").returncode == 1
    for vip in ALL_VIPS:
        assert_spread(requests(tier.client, vip, 200), WEIGHTS)
    tier.lbd.start()


def test_counters_survive_a_restart(tier):
    def packets():
        return sum(s["packets"] for s in tier.lbd.json("stats")["services"])

    requests(tier.client, VIP4, 20)
    before = packets()
    assert before > 0
    tier.lbd.kill()
    tier.lbd.start()
    assert packets() >= before
