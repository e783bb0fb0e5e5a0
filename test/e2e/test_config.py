"""Files that are wrong: all errors at once, exit 2, and nothing that runs changes."""

import os

import pytest

from daemon import LBD, Lbd, to_yaml
from lab import Lab, run, until
from tier import VIP4, VIP6, Tier
from traffic import Requests, requests

HEAD = """\
apiVersion: lbd.io/v1alpha1
kind: LoadBalancer
node:
  interfaces: [lan0]
services:
"""
WEB = """\
- name: web
  addresses: [203.0.113.10]
  ports: [{port: 80, protocol: TCP}]
  backends:
  - {address: 10.0.0.11}
"""
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(97 + n)}: &{chr(97 + n)} [{', '.join([f'*{chr(96 + n)}'] * 9)}]\n" for n in range(1, 10))

# What is wrong, the file, and where each error must be: line, column, key; None: anywhere.
BAD = [
    ("an unknown key", HEAD + WEB + "nodes: {}\n", [(11, 1, "nodes")]),
    ("an unknown key of a backend", HEAD + WEB.replace("11}", "11, wieght: 3}"),
     [(10, 26, "services[0].backends[0].wieght")]),
    ("a duplicate service name", HEAD + WEB + WEB.replace("113.10", "113.11"),
     [(11, None, "services[1].name")]),
    ("a duplicate backend", HEAD + WEB + "  - {address: 10.0.0.11}\n",
     [(11, None, "services[0].backends[1].address")]),
    ("a wrong type", HEAD.replace("[lan0]", "7") + WEB, [(4, 15, "node.interfaces")]),
    ("a weight out of range", HEAD + WEB.replace("11}", "11, weight: 65536}"),
     [(10, 34, "services[0].backends[0].weight")]),
    ("a table size that is no prime", HEAD + WEB + "  tableSize: 65536\n",
     [(11, 14, "services[0].tableSize")]),
    ("forwarding that is not there yet", HEAD + WEB + "  forwarding: gue\n",
     [(11, 15, "services[0].forwarding")]),
    ("an address that is none", HEAD + WEB.replace("203.0.113.10", "203.0.113.256"),
     [(7, 15, "services[0].addresses[0]")]),
    ("several at once", HEAD + WEB.replace("port: 80", "port: 70000").replace("11}", "11, state: off}"),
     [(8, 18, "services[0].ports[0].port"), (10, 33, "services[0].backends[0].state")]),
    ("a syntax error, alone", HEAD + WEB + "x: [1\nnodes: {}\n", [(None, None, None)]),
    ("a missing key", HEAD + WEB.replace("  ports: [{port: 80, protocol: TCP}]\n", ""),
     [(None, None, None)]),
    ("an alias bomb", BOMB + HEAD + WEB, None),
]


def error_places(text, file):
    """(line, column, key) of each error line, which must begin with the file as it was given."""
    places = []
    for line in text.splitlines():
        assert line.startswith(f"{file}:"), f"not FILE:LINE:COLUMN: KEY: …: {line}"
        place, key, expected = line[len(str(file)) + 1:].split(": ", 2)
        row, column = place.split(":")
        assert expected
        places.append((int(row), int(column), key))
    return places


def assert_places(places, expected):
    if expected is None:
        assert places
        return
    assert len(places) == len(expected), places
    for got, wanted in zip(places, expected):
        assert got[0] >= 1 and got[1] >= 1
        assert all(w in (None, g) for g, w in zip(got, wanted)), f"{got}, expected {wanted}"


BAD_FILES = pytest.mark.parametrize(
    "text, expected", [pytest.param(text, places, id=name) for name, text, places in BAD])


@pytest.mark.parametrize("options", [[], ["--check"]], ids=["start", "check"])
@BAD_FILES
def test_a_bad_file_is_refused_with_all_its_errors(tmp_path, text, expected, options):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    done = run(LBD, "--config", file, *options, check=False, timeout=20)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert_places(error_places(done.stderr, file), expected)


def test_errors_name_the_file_as_it_was_given(tmp_path):
    (tmp_path / "bad.yaml").write_text(HEAD + WEB + "nodes: {}\n")
    name = os.path.relpath(tmp_path / "bad.yaml")
    done = run(LBD, "--config", name, "--check", check=False)
    assert done.returncode == 2
    assert error_places(done.stderr, name) == [(11, 1, "nodes")]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    done = run(LBD, "--config", tmp_path / "none.yaml", "--check", check=False)
    assert done.returncode == 2
    assert "none.yaml" in done.stderr


def test_a_good_file_passes_the_check(tmp_path):
    (tmp_path / "good.yaml").write_text(HEAD + WEB)
    done = run(LBD, "--config", tmp_path / "good.yaml", "--check", check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(name="tier", scope="module")
def running_tier():
    with Lab("config") as lab:
        tier = Tier(lab)
        yield tier.start(tier.service())


def state(lbd):
    services, backends = lbd.json("services"), lbd.json("backends")
    for backend in backends:
        del backend["packets"], backend["bytes"]
    return services, backends, lbd.json("status")["interfaces"]


def with_error(tier):
    """A file that would change the service, were it not for one word."""
    good = tier.lbd.complete(tier.config(tier.service(weights={"b1": 1})))
    return to_yaml(good | {"bogus": 1})


def test_a_bad_reload_says_why_and_changes_nothing(tier):
    before = state(tier.lbd)
    load = Requests(tier.client, [VIP4, VIP6])
    load.more(20, "requests before")
    tier.lbd.write_text(with_error(tier))
    done = tier.lbd.ctl("reload")
    assert done.returncode == 2, done.stderr
    (place,) = error_places(done.stderr, tier.lbd.file)
    assert place[2] == "bogus" and place[1] == 1
    until(lambda: "bogus" in tier.lbd.process.output(), "the changed file's error is in the log, too")
    assert state(tier.lbd) == before
    assert tier.lbd.process.alive
    load.more(20, "requests after")
    load.stop()
    assert not load.failures
    tier.reload(tier.service())
    assert state(tier.lbd) == before


@pytest.mark.parametrize("key, change", [
    ("node.pinPath", {"node": {"pinPath": "/sys/fs/bpf/elsewhere"}}),
    ("node.stateDir", {"node": {"stateDir": "/tmp/elsewhere"}}),
    ("admin.socket", {"admin": {"socket": "/tmp/elsewhere.sock"}}),
    ("hashKey", {"hashKey": "ffffffffffffffffffffffffffffffff"}),
    ("connectionTable.entries", {"connectionTable": {"entries": 4096, "starts": 65536}}),
    ("services[0].tableSize", {"services": {"tableSize": 251}}),
    ("services[0].hash", {"services": {"hash": "source-ip"}}),
])
def test_what_a_reload_cannot_change_is_refused_whole(tier, key, change):
    before = state(tier.lbd)
    change = dict(change)
    service = tier.service(weights={"b1": 7, "b2": 7}, **change.pop("services", {}))
    tier.lbd.write(tier.config(service, **change))
    done = tier.lbd.ctl("reload")
    assert done.returncode == 1, done.stdout
    assert key in done.stderr
    assert state(tier.lbd) == before
    assert requests(tier.client, VIP4, 5)
    tier.reload(tier.service())


def test_a_daemon_does_not_start_with_a_bad_file(tier):
    other = Lbd(tier.client, {}, name="other")
    other.write_text(HEAD + WEB.replace("80", "many"))
    code, said = other.start_refused()
    assert code == 2
    assert error_places(said, other.file) == [(8, 18, "services[0].ports[0].port")]
    assert not tier.client.pins.exists()
