"""lbctl replay: captures of any kind in, what lbd would do out. No namespaces, no daemon."""

import json
import os
import struct
import subprocess

import pytest

from lab import BUILD, until

CONFIG = """\
apiVersion: lbd.io/v1alpha1
kind: LoadBalancer
node: {interfaces: [nowhere0]}
connectionTable: {entries: 1024, starts: 1024}
services:
- name: web
  addresses: [203.0.113.10]
  ports: [{port: 80}]
  backends: [{address: 10.0.0.11}]
"""
ETHERNET = bytes.fromhex("020000000002" "020000000001" "0800")
MICROSECONDS, NANOSECONDS = 0xa1b2c3d4, 0xa1b23c4d


def packet(destination, port=80):
    """A TCP packet of 40 bytes; its checksums are nobody's business here."""
    address = bytes(map(int, destination.split(".")))
    return (ETHERNET + bytes.fromhex("450000280001400040060000" "c6336407") + address
            + struct.pack(">HHIIBBHHH", 40000, port, 1, 0, 0x50, 0x10, 512, 0, 0))


VIP, FOREIGN = packet("203.0.113.10"), packet("203.0.113.99")


def capture(frames, magic=MICROSECONDS, order="<", link=1):
    """A pcap file; frame n was seen at second 1000 + n, fraction n."""
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(
        struct.pack(order + "IIII", 1000 + n, n, len(frame), len(frame)) + frame
        for n, frame in enumerate(frames))


def records(data):
    """(seconds, fraction, frame) of a pcap file in this machine's byte order."""
    at, found = 24, []
    while at < len(data):
        seconds, fraction, size, original = struct.unpack("=IIII", data[at:at + 16])
        assert size == original
        found.append((seconds, fraction, data[at + 16:at + 16 + size]))
        at += 16 + size
    return found


@pytest.fixture
def replay(tmp_path):
    """Runs replay on a capture's bytes: (exit code, lines, bytes of OUT, stderr)."""
    (tmp_path / "lbd.yaml").write_text(CONFIG)

    def run(data, *options):
        (tmp_path / "in.pcap").write_bytes(data)
        out = tmp_path / "out.pcap"
        done = subprocess.run(
            [BUILD / "lbctl", "replay", "--config", tmp_path / "lbd.yaml", "--interface",
             "lan0=02:00:00:00:00:02,1500,10.0.0.2/24,-", "--neighbor",
             "10.0.0.11=02:00:00:00:00:0b", *options, tmp_path / "in.pcap", out],
            capture_output=True, text=True, timeout=60, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()] if "json" in options else \
            done.stdout.splitlines()
        return done.returncode, lines, out.read_bytes() if out.exists() else b"", done.stderr
    return run


@pytest.mark.parametrize("magic", [MICROSECONDS, NANOSECONDS])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_of_pcap_is_read_and_timestamps_stay(replay, magic, order):
    code, lines, out, _ = replay(capture([FOREIGN, VIP, VIP], magic, order), "-o", "json")
    assert code == 0
    assert [(line["n"], line["verdict"], line["out"]) for line in lines] == [
        (0, "pass", None), (1, "tx", 0), (2, "tx", 1)]
    assert struct.unpack("=I", out[:4])[0] == magic
    assert [(seconds, fraction) for seconds, fraction, _ in records(out)] == [(1001, 1), (1002, 2)]
    for _, _, frame in records(out):
        assert frame[:12] == bytes.fromhex("02000000000b" "020000000002")
        assert frame[34:] == VIP[14:]


def test_lines_are_by_the_contract(replay):
    _, lines, _, _ = replay(capture([VIP, FOREIGN, packet("203.0.113.10", 81), b"\x02" * 13, b""]),
                            "-o", "json")
    assert lines == [
        {"n": 0, "verdict": "tx", "reason": None, "service": "web", "backend": "10.0.0.11",
         "out": 0},
        {"n": 1, "verdict": "pass", "reason": "not-a-vip", "service": None, "backend": None,
         "out": None},
        {"n": 2, "verdict": "drop", "reason": "no-service-port", "service": "web", "backend": None,
         "out": None},
        {"n": 3, "verdict": "drop", "reason": "truncated", "service": None, "backend": None,
         "out": None},
        {"n": 4, "verdict": "drop", "reason": "truncated", "service": None, "backend": None,
         "out": None}]


def test_pass_adds_what_goes_up_the_stack_as_it_is(replay):
    code, lines, out, _ = replay(capture([FOREIGN, VIP]), "--pass", "-o", "json")
    assert code == 0
    assert [line["out"] for line in lines] == [0, 1]
    assert records(out)[0] == (1000, 0, FOREIGN)


def test_frames_that_no_device_would_bring_are_told_too(replay):
    huge = ETHERNET + b"\x45\x00\xff\xff" + FOREIGN[18:] + b"x" * 65000
    code, lines, _, stderr = replay(capture([huge, huge[:9000], VIP]), "-o", "json")
    assert code == 0, stderr
    assert len(lines) == 3 and lines[2]["verdict"] == "tx"


def test_without_json_a_table_is_printed(replay):
    code, lines, _, _ = replay(capture([VIP]))
    assert code == 0
    assert lines[0].split() == ["N", "VERDICT", "REASON", "SERVICE", "BACKEND", "OUT"]
    assert lines[1].split() == ["0", "tx", "-", "web", "10.0.0.11", "0"]


@pytest.mark.parametrize("data", [
    b"", b"\x0a\x0d\x0d\x0a" + b"\0" * 60, capture([VIP])[:20], capture([VIP], link=101),
    capture([VIP], magic=0xa1b2c3d5), capture([VIP])[:30], capture([VIP])[:-1],
    capture([]) + struct.pack("<IIII", 1, 1, 300000, 300000)],
    ids=["empty", "pcapng", "short header", "raw IP", "another magic", "short record",
         "short frame", "longer than any"])
def test_what_is_no_ethernet_pcap_is_exit_2(replay, data):
    code, _, _, stderr = replay(data, "-o", "json")
    assert code == 2
    assert stderr


@pytest.mark.parametrize("words", [
    [], ["--interface", "lan0"], ["--neighbor", "x=y"], ["--what"], ["-o", "xml"],
    ["--interface", "lan0=02:00:00:00:00:02,1500,fd01::1/64,-"]])
def test_usage_is_exit_2(words):
    done = subprocess.run([BUILD / "lbctl", "replay", *words], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == "" and "usage: lbctl replay" in done.stderr


def test_bad_configuration_is_exit_2_with_its_places(replay, tmp_path):
    (tmp_path / "lbd.yaml").write_text(CONFIG.replace("port: 80", "port: 70000"))
    code, _, _, stderr = replay(capture([VIP]), "-o", "json")
    assert code == 2
    assert f"{tmp_path}/lbd.yaml:8:18: services[0].ports[0].port: " in stderr


def test_nothing_is_left_in_the_kernel(replay):
    def ids():
        path = os.environ | {"PATH": "/usr/sbin:/usr/bin:/bin"}
        shown = {kind: subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True,
                                      text=True, check=True, env=path).stdout
                 for kind in ("prog", "map")}
        return {(kind, item["id"]) for kind, text in shown.items() for item in json.loads(text)}
    before = ids()
    replay(capture([VIP] * 10), "-o", "json")
    until(lambda: not ids() - before, "programs and maps are gone")  # freed a moment later
