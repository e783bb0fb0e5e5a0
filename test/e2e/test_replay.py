"""lbctl replay: captures of any kind in, what lbd would do out. No namespaces, no daemon."""

import json
import os
import struct
import subprocess

import pytest

from lab import BUILD, ROOT, until

GOLDEN = ROOT / "test/packet/golden"

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


def run_replay(directory, config, data, *options):
    """Runs replay on a capture's bytes: (exit code, lines, bytes of OUT, stderr)."""
    source, out = directory / "in.pcap", directory / "out.pcap"
    source.write_bytes(data)
    done = subprocess.run([BUILD / "lbctl", "replay", "--config", config, *options, source, out],
                          capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    if "json" in options:
        lines = [json.loads(line) for line in lines]
    return done.returncode, lines, out.read_bytes() if out.exists() else b"", done.stderr


@pytest.fixture
def replay(tmp_path):
    """Runs replay with CONFIG on a capture's bytes."""
    (tmp_path / "lbd.yaml").write_text(CONFIG)

    def run(data, *options):
        return run_replay(tmp_path, tmp_path / "lbd.yaml", data, "--interface",
                          "lan0=02:00:00:00:00:02,1500,10.0.0.2/24,-", "--neighbor",
                          "10.0.0.11=02:00:00:00:00:0b", *options)
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


def test_a_packet_longer_than_the_program_is_shown_is_too_big_not_truncated(tmp_path):
    """As captures have them after GRO; cut or too short inside, they are truncated as any other."""
    def tcp4(length, size):
        frame = bytearray(VIP + b"x" * (size - len(VIP)))
        frame[16:18] = struct.pack(">H", length)
        return bytes(frame)

    def tcp6(length, size):
        head = bytes.fromhex("60000000") + struct.pack(">H", length - 40) + b"\x06\x40" \
            + bytes.fromhex("20010db8000c00000000000000000007" "20010db8000100000000000000000010")
        return (ETHERNET[:12] + b"\x86\xdd" + head + VIP[34:]).ljust(size, b"x")

    cases = [(make(length, size), reason) for make in (tcp4, tcp6) for length, size, reason in (
        (3000, 3014, "too-big"), (3506, 3520, "too-big"), (3507, 3521, "too-big"),
        (4000, 4014, "too-big"), (4000, 4100, "too-big"), (59000, 59014, "too-big"),
        (4000, 4013, "truncated"), (59, 4014, "truncated" if make is tcp6 else None))]
    code, lines, _, _ = run_replay(
        tmp_path, GOLDEN / "plain.yaml", capture([frame for frame, _ in cases]), "--interface",
        "lan0=02:00:00:00:00:02,1500,10.0.0.2/24,-", "--neighbor", "10.0.0.11=02:00:00:00:00:0b",
        "-o", "json")
    assert code == 0
    assert [line["reason"] for line in lines] == [reason for _, reason in cases]
    assert {line["service"] for line in lines} == {"four"}


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


def test_nothing_is_left_in_the_kernel(replay, tmp_path):
    entries = 20011  # nobody else's flow table has that size
    (tmp_path / "lbd.yaml").write_text(CONFIG.replace("entries: 1024", f"entries: {entries}"))

    def left():
        shown = subprocess.run(["bpftool", "-j", "map", "show"], capture_output=True, text=True,
                               check=True, env=os.environ | {"PATH": "/usr/sbin:/usr/bin:/bin"})
        return [m for m in json.loads(shown.stdout) if m.get("max_entries") == entries]
    code, _, _, stderr = replay(capture([VIP] * 10), "-o", "json")
    assert code == 0, stderr
    until(lambda: not left(), "its maps are gone")  # freed a moment later


def without(frame, free):
    """The frame without the bits that the program may choose."""
    kept = bytearray(frame)
    for offset, mask in free:
        kept[offset] &= ~mask
    return bytes(kept)


@pytest.mark.parametrize("group", sorted(file.stem for file in GOLDEN.glob("*.json")))
def test_golden_packets_fare_as_they_do_in_the_data_plane(tmp_path, group):
    golden = json.loads((GOLDEN / f"{group}.json").read_text())
    cases = golden["cases"]
    neighbours = {case["backend"] for case in cases if case["reason"] != "no-neighbor"} - {None}
    local = ["203.0.113.40", "2001:db8:1::40", "127.0.0.1", "::1"]
    code, lines, out, stderr = run_replay(
        tmp_path, GOLDEN / golden["config"], capture([bytes.fromhex(case["in"]) for case in cases]),
        "--interface", "lan0=02:00:00:00:00:02,1500,10.0.0.2/24,fd01::2/64",
        *(word for address in local for word in ("--local", address)),
        *(word for ip in neighbours for word in ("--neighbor", f"{ip}=02:00:00:00:00:0b")),
        "--pass", "-o", "json")
    assert code == 0, stderr
    assert len(lines) == len(cases)
    frames, written = records(out), 0
    for n, (case, line) in enumerate(zip(cases, lines)):
        verdict = "tx" if case["verdict"] == "redirect" else case["verdict"]
        wanted = {"n": n, "verdict": verdict, "out": None if case["out"] is None else written} | {
            key: case[key] for key in ("reason", "service", "backend")}
        assert line == wanted, case["name"]
        if case["out"] is None:
            continue
        seconds, fraction, frame = frames[written]
        assert (seconds, fraction) == (1000 + n, n), case["name"]
        assert without(frame, case["free"]) == without(bytes.fromhex(case["out"]), case["free"]), \
            case["name"]
        written += 1
    assert written == len(frames)


@pytest.mark.parametrize("absent, reason", [
    ("-,fd01::2/64", {"10.0.0.11": "no-neighbor", "fd01::16": None}),
    ("10.0.0.2/24,-", {"10.0.0.11": None, "fd01::16": "no-neighbor"}),
    ("-,-", {"10.0.0.11": "no-neighbor", "fd01::16": "no-neighbor"})])
def test_without_an_address_of_the_family_there_is_no_outer_source(tmp_path, absent, reason):
    code, lines, _, _ = run_replay(
        tmp_path, GOLDEN / "plain.yaml", capture([packet("203.0.113.10"), packet("203.0.113.16")]),
        "--interface", f"lan0=02:00:00:00:00:02,1500,{absent}", "--neighbor",
        "10.0.0.11=02:00:00:00:00:0b", "--neighbor", "fd01::16=02:00:00:00:00:0b", "-o", "json")
    assert code == 0
    assert {line["backend"]: line["reason"] for line in lines} == reason


def test_the_interfaces_mtu_decides_what_is_too_big(replay):
    def sized(size):
        frame = bytearray(VIP + b"x" * (size - 40))
        frame[16:18] = struct.pack(">H", size)
        return bytes(frame)
    _, lines, _, _ = replay(capture([sized(80), sized(81)]), "-o", "json", "--interface",
                            "lan0=02:00:00:00:00:02,100,10.0.0.2/24,-")
    assert [line["reason"] for line in lines] == [None, "too-big"]


def test_an_address_of_the_node_may_have_what_no_port_matches(replay):
    ssh = capture([packet("203.0.113.10", 22), VIP])
    for options, wanted in (([], ["drop", "tx"]), (["--local", "203.0.113.10"], ["pass", "tx"])):
        _, lines, _, _ = replay(ssh, "-o", "json", *options)
        assert [line["verdict"] for line in lines] == wanted


def test_a_capture_cut_by_a_snapshot_length_is_run_as_it_was_kept(replay):
    cut = capture([]) + struct.pack("<IIII", 1, 1, 50, len(VIP)) + VIP[:50]
    _, lines, out, _ = replay(cut, "-o", "json")
    assert [(line["verdict"], line["reason"]) for line in lines] == [("drop", "truncated")]
    assert records(out) == []


def test_one_run_leaves_nothing_to_the_next(replay):
    """Chosen backends and output are the same, whatever ran before."""
    first = replay(capture([VIP, FOREIGN] * 5), "-o", "json")
    assert replay(capture([VIP, FOREIGN] * 5), "-o", "json") == first
