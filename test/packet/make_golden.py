#!/usr/bin/python3
"""Writes the golden packets: what goes into the data plane and, made by scapy, what must come out.

    make_golden.py            writes golden/*.json
    make_golden.py --check    exits 1 where they differ from what it would write

A case: name, in, verdict, reason, service, backend, out (hex), and free: [offset, mask] of bits that
the program may choose. Every MAC, address and id is set: scapy would take this host's.
"""

import json
import struct
import sys
from pathlib import Path

from scapy.all import (ARP, Dot1Q, Ether, ICMP, ICMPv6EchoRequest, ICMPv6ND_NS, IP, IPOption_RR,
                       IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, Raw, TCP, UDP)

GOLDEN = Path(__file__).parent / "golden"
LB_MAC, GATEWAY_MAC, NEXT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01", "02:00:00:00:00:0b"
LB = {4: "10.0.0.2", 6: "fd01::2"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:c::7"}
IPIP, IP6IP = 4, 41
DF = 2


def vip(version, number):
    return f"203.0.113.{number}" if version == 4 else f"2001:db8:1::{number}"


def eth(**fields):
    return Ether(**({"src": GATEWAY_MAC, "dst": LB_MAC} | fields))


def ip(version, dst, src=None, tos=0, ttl=63, df=True, **fields):
    """An IP header from the client, tos being IPv6's traffic class, too."""
    src = src or CLIENT[version]
    if version == 4:
        return IP(src=src, dst=dst, tos=tos, ttl=ttl, id=4711, flags=DF if df else 0, **fields)
    return IPv6(src=src, dst=dst, tc=tos, hlim=ttl, fl=0xabcde, **fields)


def tcp(dport=80, flags="A", **fields):
    return TCP(**({"sport": 40000, "dport": dport, "flags": flags, "seq": 1000, "ack": 2000,
                   "window": 512} | fields))


def udp(dport=53):
    return UDP(sport=40000, dport=dport)


def outer(inner, version, backend, tos=0, df=True):
    """The frame that must leave: inner is the IP packet, as bytes."""
    kind = IPIP if inner[0] >> 4 == 4 else IP6IP
    if version == 4:
        head = IP(src=LB[4], dst=backend, tos=tos, ttl=64, id=0, flags=DF if df else 0, proto=kind)
    else:
        head = IPv6(src=LB[6], dst=backend, tc=tos, hlim=64, fl=0, nh=kind)
    return bytes(Ether(src=LB_MAC, dst=NEXT_MAC, type=0x800 if version == 4 else 0x86dd) / head
                 / Raw(inner))


def free_bits(version, df):
    if version == 6:
        return [[15, 0x0f], [16, 0xff], [17, 0xff]]  # flow label
    return [] if df else [[18, 0xff], [19, 0xff], [24, 0xff], [25, 0xff]]  # id, and so the checksum


class Group:
    def __init__(self):
        self.cases = []

    def add(self, name, frame, verdict, reason=None, service=None, backend=None, out=None,
            free=()):
        self.cases.append({"name": name, "in": bytes(frame).hex(), "verdict": verdict,
                           "reason": reason, "service": service, "backend": backend,
                           "out": None if out is None else bytes(out).hex(), "free": list(free)})

    def passes(self, name, frame, reason, service=None, out=None):
        self.add(name, frame, "pass", reason, service, out=frame if out is None else out)

    def drops(self, name, frame, reason, service=None, backend=None):
        self.add(name, frame, "drop", reason, service, backend)

    def forwards(self, name, packet, service, backend, over=4, tos=0, df=True, frame=None,
                 verdict="tx"):
        """packet: the IP packet; frame: with its Ethernet header, where that isn't the usual."""
        self.add(name, eth() / packet if frame is None else frame, verdict, None, service, backend,
                 outer(bytes(packet), over, backend, tos, df), free_bits(over, df))


def forwarding():
    group = Group()
    for version in (4, 6):
        for service, number, over, backend in (("four", 10, 4, "10.0.0.11"),
                                               ("six", 16, 6, "fd01::16")):
            mode = f"{version}in{over}"

            def send(name, packet, **more):
                group.forwards(f"{mode}: {name}", packet, service, backend, over, **more)

            to = vip(version, number)
            send("a SYN", ip(version, to) / tcp(flags="S"))
            send("data", ip(version, to) / tcp(flags="PA") / Raw(b"GET / HTTP/1.0\r\n\r\n"))
            send("a FIN", ip(version, to) / tcp(flags="FA"))
            send("TCP options", ip(version, to) / tcp(options=[("MSS", 1400), ("NOP", None)]))
            send("UDP", ip(version, to) / udp() / Raw(b"query"))
            send("empty UDP", ip(version, to) / udp())
            for tos in (0x01, 0x02, 0x03, 0xb8, 0xbb):
                send(f"DSCP and ECN are copied, {tos:#04x}", ip(version, to, tos=tos) / tcp(),
                     tos=tos)
            send("a TTL of 1 stays", ip(version, to, ttl=1) / tcp())
            send("a wrong checksum inside stays", ip(version, to) / tcp(chksum=0xbad))
            packet = bytes(ip(version, to) / tcp())
            for padding in (6, 46, 200):
                send(f"{padding} bytes of Ethernet padding stay behind", Raw(packet),
                     frame=bytes(eth(type=0x800 if version == 4 else 0x86dd)) + packet
                     + b"\xee" * padding)
            room = 1500 - (20 if over == 4 else 40)
            head = len(packet)
            send("the largest packet that fits", ip(version, to) / tcp() / Raw(b"x" * (room - head)))
            group.drops(f"{mode}: one byte more than fits",
                        eth() / ip(version, to) / tcp() / Raw(b"x" * (room - head + 1)),
                        "too-big", service, backend)
            if version == 4:
                send("DF is copied, clear too", ip(4, to, df=False) / tcp(), df=False)
        for protocol, header in (("TCP", tcp), ("UDP", udp)):
            for port in (1, 80, 65535):
                group.forwards(f"IPv{version}: every {protocol} port, {port}",
                               ip(version, vip(version, 20)) / header(port), "every-port",
                               "10.0.0.20")
        group.forwards(f"IPv{version}: a specific port wins over every port",
                       ip(version, vip(version, 20)) / tcp(443), "one-port", "10.0.0.21")
        group.forwards(f"IPv{version}: UDP to the specific port's number is every port's",
                       ip(version, vip(version, 20)) / udp(443), "every-port", "10.0.0.20")
        group.forwards(f"IPv{version}: a VIP that is this node's own is balanced, too",
                       ip(version, vip(version, 40)) / tcp(), "local", "10.0.0.11")
        group.forwards(f"IPv{version}: another way out is a redirect",
                       ip(version, vip(version, 70)) / tcp(), "elsewhere", "10.0.5.5",
                       verdict="redirect")
        allowed = {4: ["198.51.100.0", "198.51.100.127", "198.51.100.200"],
                   6: ["2001:db8:c::", "2001:db8:c:0:ffff:ffff:ffff:ffff"]}[version]
        for source in allowed:
            group.forwards(f"{source} is allowed", ip(version, vip(version, 50), source) / tcp(),
                           "picky", "10.0.0.11")
        others = {4: ["198.51.100.128", "198.51.100.199", "198.51.100.201", "198.51.99.255"],
                  6: ["2001:db8:c:1::", "2001:db8:b:ffff:ffff:ffff:ffff:ffff"]}[version]
        for source in others:
            group.drops(f"{source} is not allowed",
                        eth() / ip(version, vip(version, 50), source) / tcp(), "not-allowed",
                        "picky")
    return group.cases


def unmatched():
    group = Group()
    group.passes("ARP", eth(dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=GATEWAY_MAC, psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2"),
        "not-a-vip")
    group.passes("an unknown ethertype", eth(type=0x88b5) / Raw(b"\0" * 46), "not-a-vip")
    group.passes("nothing but an Ethernet header", eth(type=0x88b5), "not-a-vip")
    solicited = IPv6(src="fd01::1", dst="ff02::1:ff00:2", hlim=255, fl=0)
    group.passes("a neighbour solicitation", eth(dst="33:33:ff:00:00:02") / solicited
                 / ICMPv6ND_NS(tgt="fd01::2"), "not-a-vip")
    for version in (4, 6):
        family = f"IPv{version}"
        foreign = {4: "203.0.113.99", 6: "2001:db8:9::9"}[version]
        echo = ICMP(id=1, seq=1) if version == 4 else ICMPv6EchoRequest(id=1, seq=1)
        for name, rest in (("TCP", tcp()), ("UDP", udp()), ("an echo request", echo)):
            group.passes(f"{family}: {name} for a foreign address", eth() / ip(version, foreign)
                         / rest, "not-a-vip")
        group.passes(f"{family}: TCP for this node", eth() / ip(version, LB[version]) / tcp(22),
                     "not-a-vip")
        group.passes(f"{family}: a short packet for a foreign address",
                     bytes(eth() / ip(version, foreign) / tcp())[:60 if version == 6 else 40],
                     "not-a-vip")
        to = vip(version, 10)
        group.drops(f"{family}: a port nobody serves", eth() / ip(version, to) / tcp(81),
                    "no-service-port", "four")
        group.drops(f"{family}: the port of the other protocol", eth() / ip(version, to) / udp(80),
                    "no-service-port", "four")
        group.drops(f"{family}: a protocol without ports",
                    eth() / ip(version, to, **({"proto": 47} if version == 4 else {"nh": 47}))
                    / Raw(b"\0" * 40), "no-service-port", "four")
        group.passes(f"{family}: unknownPorts: pass", eth() / ip(version, vip(version, 30))
                     / tcp(81), "no-service-port", "passes-unknown")
        group.passes(f"{family}: an unknown port of a VIP that is this node's own",
                     eth() / ip(version, vip(version, 40)) / tcp(22), "no-service-port", "local")
        group.drops(f"{family}: an echo request", eth() / ip(version, to) / echo, "icmp", "four")
        group.passes(f"{family}: an echo request to a VIP that is this node's own",
                     eth() / ip(version, vip(version, 40)) / echo, "icmp", "local")
        for service, number in (("weightless", 60), ("disabled", 61)):
            group.drops(f"{family}: no backend takes new flows, {service}",
                        eth() / ip(version, vip(version, number)) / tcp(flags="S"), "no-backend",
                        service)
        group.drops(f"{family}: no neighbour", eth() / ip(version, vip(version, 62)) / tcp(),
                    "no-neighbor", "unreachable", "10.0.9.9")
        group.drops(f"{family}: an encapsulated packet for a VIP that is not this node's",
                    eth() / ip(version, to) / ip(4, vip(4, 10)) / tcp(), "no-service-port", "four")
        for tags in (1, 2):
            tagged = eth() / Dot1Q(vlan=5) / ip(version, to) / tcp()
            if tags == 2:
                tagged = eth(type=0x88a8) / Dot1Q(vlan=7, type=0x8100) / Dot1Q(vlan=5) \
                    / ip(version, to) / tcp()
            group.passes(f"{family}: {tags} VLAN tags", tagged, "vlan")
    return group.cases


def hostile():
    group = Group()
    for version in (4, 6):
        family = f"IPv{version}"
        to = vip(version, 10)
        header = 20 if version == 4 else 40
        for name, rest, whole in (("TCP", tcp(flags="S"), 20), ("UDP", udp(), 8)):
            frame = bytes(eth() / ip(version, to) / rest)
            for length in range(14, 14 + header + whole):
                group.drops(f"{family}: {name} cut after {length} bytes", frame[:length],
                            "truncated", "four" if length >= 14 + header else None)
        packet = bytearray(bytes(ip(version, to) / tcp()))
        ethernet = bytes(eth(type=0x800 if version == 4 else 0x86dd))

        def with_bytes(offset, value):
            changed = bytearray(packet)
            changed[offset:offset + len(value)] = value
            return ethernet + bytes(changed)

        for number in set(range(16)) - {version}:
            low = packet[0] & 15
            group.drops(f"{family}: version {number}", with_bytes(0, bytes([number << 4 | low])),
                        "malformed", "four")
        if version == 4:
            for words in range(16):
                if words == 5:
                    continue
                group.drops(f"IHL {words}", with_bytes(0, bytes([0x40 | words])),
                            "malformed" if words < 5 else "ip-options", "four")
            for length in (0, 19):
                group.drops(f"total length {length}", with_bytes(2, struct.pack(">H", length)),
                            "malformed", "four")
            for length in (20, 39, 41, 65535):
                group.drops(f"total length {length} of 40",
                            with_bytes(2, struct.pack(">H", length)), "truncated", "four")
            group.drops("IPv4 options", eth() / IP(src=CLIENT[4], dst=to, id=1, options=[
                IPOption_RR(routers=["0.0.0.0"])]) / tcp(), "ip-options", "four")
            for name, flags, offset in (("first", 1, 0), ("middle", 1, 8), ("last", 0, 16)):
                group.drops(f"IPv4: the {name} fragment",
                            eth() / IP(src=CLIENT[4], dst=to, id=9, flags=flags, frag=offset,
                                       proto=6) / Raw(b"\0" * 64), "fragment", "four")
        else:
            for length in (0, 19, 21, 65535):
                group.drops(f"payload length {length} of 20",
                            with_bytes(4, struct.pack(">H", length)), "truncated", "four")
            for extension in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(),
                              IPv6ExtHdrRouting(addresses=[])):
                group.drops(f"IPv6: {extension.name}", eth() / ip(6, to) / extension / tcp(),
                            "ip-options", "four")
            for offset, more in ((0, 0), (0, 1), (8, 0)):
                group.drops(f"IPv6: a fragment header, offset {offset}, more {more}",
                            eth() / ip(6, to) / IPv6ExtHdrFragment(id=9, offset=offset, m=more,
                                                                    nh=6) / Raw(bytes(tcp())),
                            "fragment", "four")
        group.drops(f"{family}: TCP port 0", eth() / ip(version, to) / tcp(0), "malformed", "four")
        group.drops(f"{family}: UDP port 0 of a service with every port",
                    eth() / ip(version, vip(version, 20)) / udp(0), "malformed", "every-port")
    return group.cases


def decapsulation():
    group = Group()
    sender = {4: "10.0.0.9", 6: "fd01::9"}

    def wrap(inner, over, src=None, dst=None, tos=0, **fields):
        kind = IPIP if bytes(inner)[0] >> 4 == 4 else IP6IP
        src, dst = src or sender[over], dst or LB[over]
        if over == 4:
            head = IP(src=src, dst=dst, tos=tos, ttl=64, id=0, flags=DF, proto=kind, **fields)
        else:
            head = IPv6(src=src, dst=dst, tc=tos, hlim=64, fl=3, nh=kind, **fields)
        return eth() / head / Raw(bytes(inner))

    def unwrapped(inner):
        return eth(type=0x800 if bytes(inner)[0] >> 4 == 4 else 0x86dd) / Raw(bytes(inner))

    for over in (4, 6):
        for version in (4, 6):
            mode = f"{version}in{over}"
            inner = ip(version, vip(version, 40)) / tcp() / Raw(b"data")
            group.passes(f"{mode}: the outer header goes", wrap(inner, over), "decapsulated",
                         out=unwrapped(inner))
            group.passes(f"{mode}: UDP, too", wrap(ip(version, LB[version]) / udp(), over),
                         "decapsulated", out=unwrapped(ip(version, LB[version]) / udp()))
            nested = ip(version, LB[version], **({"proto": IPIP} if version == 4 else {"nh": IPIP})) \
                / ip(4, LB[4]) / tcp()
            group.passes(f"{mode}: one level only", wrap(nested, over), "decapsulated",
                         out=unwrapped(nested))
            group.drops(f"{mode}: a sender that is not allowed",
                        wrap(inner, over, src={4: "10.0.1.9", 6: "fd01:0:0:1::9"}[over]),
                        "decap-not-allowed")
            group.drops(f"{mode}: an inner address that is not this node's",
                        wrap(ip(version, vip(version, 10)) / tcp(), over), "decap-not-local")
            foreign = {4: "10.0.0.77", 6: "fd01::77"}[over]
            group.passes(f"{mode}: for another node", wrap(inner, over, dst=foreign), "not-a-vip")
            for name, outside, inside, wanted in (
                    ("CE reaches an ECT(0) packet", 3, 2, 3),
                    ("CE reaches an ECT(1) packet", 3, 1, 3), ("CE stays CE", 3, 3, 3),
                    ("ECT outside changes nothing", 2, 1, 1),
                    ("not-ECT outside changes nothing", 0, 3, 3)):
                dscp = 0xb8
                group.passes(f"{mode}: {name}",
                             wrap(ip(version, vip(version, 40), tos=dscp | inside) / tcp(), over,
                                  tos=outside), "decapsulated",
                             out=unwrapped(ip(version, vip(version, 40), tos=dscp | wanted)
                                           / tcp()))
            group.drops(f"{mode}: CE on a packet that can't carry it",
                        wrap(ip(version, vip(version, 40), tos=0xb8) / tcp(), over, tos=3), "ecn")
            whole = bytes(inner)
            for length in (0, 1, 19, 39, len(whole) - 1):
                if length >= (20 if version == 4 else 40):
                    continue
                kind = IPIP if version == 4 else IP6IP
                head = IP(src=sender[4], dst=LB[4], id=0, proto=kind) if over == 4 else \
                    IPv6(src=sender[6], dst=LB[6], nh=kind)
                group.drops(f"{mode}: {length} bytes inside", eth() / head / Raw(whole[:length]),
                            "truncated")
            short = wrap(inner, over)
            short = bytes(short)
            longer = bytearray(short)
            at = 14 + (20 if over == 4 else 40)
            offset = at + (2 if version == 4 else 4)
            size = struct.unpack(">H", longer[offset:offset + 2])[0]
            longer[offset:offset + 2] = struct.pack(">H", size + 1)
            group.drops(f"{mode}: an inner length beyond the outer one", longer, "truncated")
            other = bytearray(short)
            other[at] = (10 - version) << 4 | other[at] & 15
            group.drops(f"{mode}: an inner version that is not the protocol's", other, "malformed")
    return group.cases


GROUPS = {"forwarding": forwarding, "unmatched": unmatched, "hostile": hostile,
          "decapsulation": decapsulation}


def main():
    stale = []
    for name, make in GROUPS.items():
        cases = make()
        names = [case["name"] for case in cases]
        assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
        text = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
        file = GOLDEN / f"{name}.json"
        if "--check" not in sys.argv[1:]:
            file.write_text(text)
            print(f"{file.name}: {len(cases)} cases")
        elif not file.exists() or file.read_text() != text:
            stale.append(file.name)
    if stale:
        sys.exit(f"make_golden.py: not what scapy makes now: {', '.join(stale)}")


if __name__ == "__main__":
    main()
