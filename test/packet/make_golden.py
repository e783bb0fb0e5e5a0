#!/usr/bin/python3
"""Writes the golden packets: what goes into the data plane and, made by scapy, what must come out.

    make_golden.py            writes golden/*.json
    make_golden.py --check    exits 1 where they differ from what it would write

A file: the configuration of the node, and cases: name, in, verdict, reason, service, backend, out
(hex), and free: [offset, mask] of bits that the program may choose. Every MAC, address and id is
set: scapy would take this host's.
"""

import json
import struct
import sys
from pathlib import Path

from scapy.all import (ARP, Dot1Q, Dot3, Ether, ICMP, ICMPv6EchoRequest, ICMPv6ND_NS,
                       ICMPv6PacketTooBig, IP, IPOption_RR, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw, TCP, UDP)

GOLDEN = Path(__file__).parent / "golden"
LB_MAC, GATEWAY_MAC, NEXT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01", "02:00:00:00:00:0b"
LB = {4: "10.0.0.2", 6: "fd01::2"}
TUNNEL_SOURCE = {4: "10.0.0.3", 6: "fd01::3"}  # node.yaml's
FOREIGN = {4: "203.0.113.99", 6: "2001:db8:9::9"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:c::7"}
ETHERTYPE = {4: 0x800, 6: 0x86dd}
IPIP, IP6IP = 4, 41
DF = 2
NOT_ECT, ECT1, ECT0, CE = range(4)
# RFC 6040, figure 4: the ECN field that leaves, by inner and outer one; None: the packet is dropped.
ECN_LEAVING = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT0: NOT_ECT, ECT1: NOT_ECT, CE: None},
    ECT0: {NOT_ECT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
    ECT1: {NOT_ECT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
    CE: {NOT_ECT: CE, ECT0: CE, ECT1: CE, CE: CE},
}


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


def udp(dport=53, **fields):
    return UDP(sport=40000, dport=dport, **fields)


def other(version, dst, protocol):
    """40 bytes of an upper layer that is neither TCP nor UDP."""
    return ip(version, dst, **{"proto" if version == 4 else "nh": protocol}) / Raw(b"\0" * 40)


def fragment4(dst, flags, offset):
    return IP(src=CLIENT[4], dst=dst, id=9, flags=flags, frag=offset, proto=6) / Raw(b"\0" * 64)


def fragment6(dst, offset, more):
    return ip(6, dst) / IPv6ExtHdrFragment(id=9, offset=offset, m=more, nh=6) / Raw(bytes(tcp()))


def options4(dst):
    return IP(src=CLIENT[4], dst=dst, id=1, options=[IPOption_RR(routers=["0.0.0.0"])]) / tcp()


def oddities(version, dst):
    """(name, IP packet, reason at a VIP) of what is neither TCP nor UDP with its ports in sight."""
    if version == 4:
        return [("IPv4 options", options4(dst), "ip-options"),
                ("the first fragment", fragment4(dst, 1, 0), "fragment"),
                ("a middle fragment", fragment4(dst, 1, 8), "fragment"),
                ("the least fragment offset", fragment4(dst, 0, 1), "fragment"),
                ("the last fragment offset", fragment4(dst, 0, 8191), "fragment")]
    return [("a hop-by-hop header", ip(6, dst) / IPv6ExtHdrHopByHop() / tcp(), "ip-options"),
            ("a destination options header", ip(6, dst) / IPv6ExtHdrDestOpt() / tcp(), "ip-options"),
            ("a routing header", ip(6, dst) / IPv6ExtHdrRouting(addresses=[]) / tcp(), "ip-options"),
            ("a lone fragment", fragment6(dst, 0, 0), "fragment"),
            ("the first fragment", fragment6(dst, 0, 1), "fragment"),
            ("a later fragment", fragment6(dst, 8, 0), "fragment")]


def with_checksum(packet, checksum):
    """An IPv4 packet whose id makes its header's checksum this one."""
    packet.id = 0
    packet.id = (IP(bytes(packet)).chksum - checksum) % 0xffff
    return IP(bytes(packet))


def damaged(version, dst):
    """(name, frame, reason at a VIP) of a TCP packet with one field of its IP header wrong."""
    packet = bytes(ip(version, dst) / tcp())

    def with_bytes(offset, value):
        return bytes(eth(type=ETHERTYPE[version])) + packet[:offset] + value \
            + packet[offset + len(value):]

    found = [(f"version {number}", with_bytes(0, bytes([number << 4 | packet[0] & 15])), "malformed")
             for number in sorted(set(range(16)) - {version})]
    if version == 6:
        return found + [(f"payload length {length} of 20", with_bytes(4, struct.pack(">H", length)),
                         "truncated") for length in (0, 19, 21, 65535)]
    found += [(f"IHL {words}", with_bytes(0, bytes([0x40 | words])),
               "malformed" if words < 5 else "ip-options") for words in range(16) if words != 5]
    return found + [(f"total length {length} of 40", with_bytes(2, struct.pack(">H", length)),
                     "malformed" if length < 20 else "truncated")
                    for length in (0, 19, 20, 39, 41, 65535)]


def outer(inner, version, backend, tos=0, df=True, source=None):
    """The frame that must leave: inner is the IP packet, as bytes."""
    kind = IPIP if inner[0] >> 4 == 4 else IP6IP
    source = source or TUNNEL_SOURCE[version]
    if version == 4:
        head = IP(src=source, dst=backend, tos=tos, ttl=64, id=0, flags=DF if df else 0, proto=kind)
    else:
        head = IPv6(src=source, dst=backend, tc=tos, hlim=64, fl=0, nh=kind)
    return bytes(Ether(src=LB_MAC, dst=NEXT_MAC, type=ETHERTYPE[version]) / head / Raw(inner))


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
                 verdict="tx", source=None):
        """packet: the IP packet; frame: with its Ethernet header, where that isn't the usual."""
        self.add(name, eth() / packet if frame is None else frame, verdict, None, service, backend,
                 outer(bytes(packet), over, backend, tos, df, source), free_bits(over, df))


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
            send("a reset", ip(version, to) / tcp(flags="R"))
            send("TCP options", ip(version, to) / tcp(options=[("MSS", 1400), ("NOP", None)]))
            send("UDP", ip(version, to) / udp() / Raw(b"query"))
            send("empty UDP", ip(version, to) / udp())
            for tos in (0x01, 0x02, 0x03, 0xb8, 0xbb):
                send(f"DSCP and ECN are copied, {tos:#04x}", ip(version, to, tos=tos) / tcp(),
                     tos=tos)
            send("a TTL of 1 stays", ip(version, to, ttl=1) / tcp())
            send("a wrong TCP checksum inside stays", ip(version, to) / tcp(chksum=0xbad))
            send("a wrong UDP checksum inside stays", ip(version, to) / udp(chksum=0xbad))
            send("no UDP checksum inside stays", ip(version, to) / udp(chksum=0))
            send("a frame to another MAC", ip(version, to) / tcp(),
                 frame=eth(dst="02:00:00:00:00:77") / ip(version, to) / tcp())
            packet = bytes(ip(version, to) / tcp())
            for padding in (6, 46, 200):
                send(f"{padding} bytes of Ethernet padding stay behind", Raw(packet),
                     frame=bytes(eth(type=ETHERTYPE[version])) + packet
                     + b"\xee" * padding)
            room = 1500 - (20 if over == 4 else 40)
            head = len(packet)
            send("the largest packet that fits", ip(version, to) / tcp() / Raw(b"x" * (room - head)))
            group.drops(f"{mode}: one byte more than fits",
                        eth() / ip(version, to) / tcp() / Raw(b"x" * (room - head + 1)),
                        "too-big", service, backend)
            if version == 4:
                send("DF is copied, clear too", ip(4, to, df=False) / tcp(), df=False)
                send("the reserved flag is not", IP(src=CLIENT[4], dst=to, id=5, flags="evil")
                     / tcp(), df=False)
                send("a wrong IPv4 checksum inside stays", ip(4, to, chksum=0xbad) / tcp())
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
        for over, number, service, backend in ((4, 70, "elsewhere", "10.0.5.5"),
                                               (6, 71, "elsewhere-six", "fd01:5::5")):
            group.forwards(f"{version}in{over}: another way out is a redirect",
                           ip(version, vip(version, number)) / tcp(), service, backend, over,
                           verdict="redirect")
        allowed = {4: ["198.51.100.0", "198.51.100.127", "198.51.100.200"],
                   6: ["2001:db8:c::", "2001:db8:c:0:ffff:ffff:ffff:ffff", "2001:db8:c:9::9"]}[version]
        for source in allowed:
            group.forwards(f"{source} is allowed", ip(version, vip(version, 50), source) / tcp(),
                           "picky", "10.0.0.11")
        others = {4: ["198.51.100.128", "198.51.100.199", "198.51.100.201", "198.51.99.255"],
                  6: ["2001:db8:c:1::", "2001:db8:b:ffff:ffff:ffff:ffff:ffff", "2001:db8:c:9::8",
                      "2001:db8:c:9::a"]}[version]
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
    group.passes("an 802.3 frame", Dot3(src=GATEWAY_MAC, dst="01:80:c2:00:00:00", len=46)
                 / Raw(b"\x42" * 46), "not-a-vip")
    solicited = IPv6(src="fd01::1", dst="ff02::1:ff00:2", hlim=255, fl=0)
    group.passes("a neighbour solicitation", eth(dst="33:33:ff:00:00:02") / solicited
                 / ICMPv6ND_NS(tgt="fd01::2"), "not-a-vip")
    for version in (4, 6):
        family = f"IPv{version}"
        header = 20 if version == 4 else 40
        echo = ICMP(id=1, seq=1) if version == 4 else ICMPv6EchoRequest(id=1, seq=1)
        too_big = ICMP(type=3, code=4, nexthopmtu=1280) if version == 4 else \
            ICMPv6PacketTooBig(mtu=1280)
        for whose, dst in (("a foreign address", FOREIGN[version]), ("this node", LB[version])):
            for name, rest in (("TCP", tcp()), ("UDP", udp()), ("TCP port 0", tcp(0)),
                               ("an echo request", echo), ("an ICMP error", too_big)):
                group.passes(f"{family}: {name} for {whose}", eth() / ip(version, dst) / rest,
                             "not-a-vip")
            group.passes(f"{family}: GRE for {whose}", eth() / other(version, dst, 47), "not-a-vip")
            for name, packet, _ in oddities(version, dst):
                group.passes(f"{family}: {name} for {whose}", eth() / packet, "not-a-vip")
            for name, frame, _ in damaged(version, dst):
                group.passes(f"{family}: {name} for {whose}", frame, "not-a-vip")
            for name, rest in (("TCP", tcp()), ("UDP", udp())):
                whole = bytes(eth() / ip(version, dst) / rest)
                for length in range(14 + header, len(whole)):
                    group.passes(f"{family}: {name} for {whose} cut after {length} bytes",
                                 whole[:length], "not-a-vip")
        to = vip(version, 10)
        group.drops(f"{family}: a port nobody serves", eth() / ip(version, to) / tcp(81),
                    "no-service-port", "four")
        group.drops(f"{family}: the port of the other protocol", eth() / ip(version, to) / udp(80),
                    "no-service-port", "four")
        headers = {51: "AH", 135: "mobility", 139: "HIP", 140: "Shim6"} if version == 6 else {}
        for protocol in (1 if version == 6 else 58, 2, 33, 47, 50, 51, 59, 132, 135, 136, 139, 140,
                         255):
            group.drops(f"{family}: protocol {protocol}", eth() / other(version, to, protocol),
                        "ip-options" if protocol in headers else "no-service-port", "four")
        group.passes(f"{family}: unknownPorts: pass", eth() / ip(version, vip(version, 30))
                     / tcp(81), "no-service-port", "passes-unknown")
        group.passes(f"{family}: an unknown port of a VIP that is this node's own",
                     eth() / ip(version, vip(version, 40)) / tcp(22), "no-service-port", "local")
        group.drops(f"{family}: an echo request", eth() / ip(version, to) / echo, "icmp", "four")
        group.drops(f"{family}: an ICMP error", eth() / ip(version, to) / too_big, "icmp", "four")
        group.passes(f"{family}: an echo request where unknownPorts is pass",
                     eth() / ip(version, vip(version, 30)) / echo, "icmp", "passes-unknown")
        group.passes(f"{family}: an echo request to a VIP that is this node's own",
                     eth() / ip(version, vip(version, 40)) / echo, "icmp", "local")
        for service, number in (("weightless", 60), ("disabled", 61), ("drained", 63),
                                ("empty", 64)):
            group.drops(f"{family}: no backend takes new flows, {service}",
                        eth() / ip(version, vip(version, number)) / tcp(flags="S"), "no-backend",
                        service)
        for over, number, service, backend in ((4, 62, "unreachable", "10.0.9.9"),
                                               (6, 65, "unreachable-six", "fd01:9::9")):
            group.drops(f"{version}in{over}: no neighbour",
                        eth() / ip(version, vip(version, number)) / tcp(), "no-neighbor", service,
                        backend)
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
        # Where unknown ports may pass, what hides its ports may not: it could be a known flow's.
        for service, number in (("four", 10), ("passes-unknown", 30), ("local", 40)):
            for name, packet, reason in oddities(version, vip(version, number)):
                group.drops(f"{family}: {name}, {service}", eth() / packet, reason, service)
            for name, frame, reason in damaged(version, vip(version, number)):
                group.drops(f"{family}: {name}, {service}", frame, reason, service)
            whole = bytes(eth() / ip(version, vip(version, number)) / tcp())
            group.drops(f"{family}: TCP without its last byte, {service}", whole[:-1], "truncated",
                        service)
            group.drops(f"{family}: TCP port 0, {service}",
                        eth() / ip(version, vip(version, number)) / tcp(0), "malformed", service)
        group.drops(f"{family}: UDP port 0 of a service with every port",
                    eth() / ip(version, vip(version, 20)) / udp(0), "malformed", "every-port")
    return group.cases


def decapsulation():
    group = Group()
    sender = {4: "10.0.0.9", 6: "fd01::9"}

    def wrap(inner, over, src=None, dst=None, tos=0, kind=None, **fields):
        kind = kind or (IPIP if bytes(inner)[0] >> 4 == 4 else IP6IP)
        src, dst = src or sender[over], dst or LB[over]
        if over == 4:
            head = IP(src=src, dst=dst, tos=tos, ttl=64, id=0, flags=DF, proto=kind, **fields)
        else:
            head = IPv6(src=src, dst=dst, tc=tos, hlim=64, fl=3, nh=kind, **fields)
        return eth() / head / Raw(bytes(inner))

    def unwrapped(inner):
        return eth(type=ETHERTYPE[bytes(inner)[0] >> 4]) / Raw(bytes(inner))

    for over in (4, 6):
        for version in (4, 6):
            mode = f"{version}in{over}"
            inner = ip(version, vip(version, 40)) / tcp() / Raw(b"data")
            group.passes(f"{mode}: the outer header goes", wrap(inner, over), "decapsulated",
                         out=unwrapped(inner))
            group.passes(f"{mode}: UDP, too", wrap(ip(version, LB[version]) / udp(), over),
                         "decapsulated", out=unwrapped(ip(version, LB[version]) / udp()))
            kind = IPIP if version == 4 else IP6IP
            for name, packet in [
                    ("a TTL of 1", ip(version, LB[version], ttl=1) / tcp()),
                    ("a wrong checksum", ip(version, LB[version]) / tcp(chksum=0xbad)),
                    ("an echo request", other(version, LB[version], 1 if version == 4 else 58)),
                    *[(name, packet) for name, packet, _ in oddities(version, LB[version])]]:
                group.passes(f"{mode}: {name} inside stays", wrap(packet, over), "decapsulated",
                             out=unwrapped(packet))
            group.passes(f"{mode}: to a VIP that is this node's own",
                         wrap(inner, over, dst=vip(over, 40)), "decapsulated", out=unwrapped(inner))
            for source in {4: ["10.0.0.0", "10.0.0.255"],
                           6: ["fd01::", "fd01::ffff:ffff:ffff:ffff"]}[over]:
                group.passes(f"{mode}: {source} may send", wrap(inner, over, src=source),
                             "decapsulated", out=unwrapped(inner))
            for source in {4: ["9.255.255.255", "10.0.1.0"],
                           6: ["fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd01:0:0:1::"]}[over]:
                group.drops(f"{mode}: {source} may not", wrap(inner, over, src=source),
                            "decap-not-allowed")
            for dst in {4: ["127.0.0.1", "255.255.255.255", "224.0.0.1"],
                        6: ["::1", "ff02::1"]}[version]:
                group.drops(f"{mode}: nothing is unwrapped for {dst}",
                            wrap(ip(version, dst) / tcp(), over), "decap-not-local")
            if over == 4:
                for name, fields in (("fragment", {"flags": 1}), ("later fragment", {"frag": 5}),
                                     ("packet with options",
                                      {"options": [IPOption_RR(routers=["0.0.0.0"])]})):
                    frame = eth() / IP(**({"src": sender[4], "dst": LB[4], "id": 3, "proto": kind}
                                          | fields)) / Raw(bytes(inner))
                    group.passes(f"{mode}: an outer {name} is the stack's", frame, "not-a-vip")
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
            for inside, leaving in ECN_LEAVING.items():
                for outside, ecn in leaving.items():
                    name = f"{mode}: ECN {inside:02b} in {outside:02b}"
                    dscp, own = 0xb8, vip(version, 40)
                    frame = wrap(ip(version, own, tos=dscp | inside) / tcp(), over, tos=outside)
                    if ecn is None:
                        group.drops(name, frame, "ecn")
                    else:
                        group.passes(name, frame, "decapsulated",
                                     out=unwrapped(ip(version, own, tos=dscp | ecn) / tcp()))
            if version == 4:
                for ecn in (ECT0, ECT1):
                    for checksum in (0, 1, 2, 3, 0x7fff, 0xff00, 0xff01, 0xfffe):
                        packet = with_checksum(ip(4, LB[4], tos=ecn) / tcp(), checksum)
                        marked = packet.copy()
                        marked.tos, marked.chksum = CE, None
                        group.passes(f"{mode}: CE reaches {ecn:02b} with checksum {checksum:#06x}",
                                     wrap(packet, over, tos=CE), "decapsulated",
                                     out=unwrapped(marked))
                for ecn in ECN_LEAVING:
                    packet = ip(4, LB[4], tos=ECT1, chksum=0xffff) / tcp()
                    if ecn != CE:
                        group.passes(f"{mode}: checksum 0xffff inside stays, {ecn:02b} outside",
                                     wrap(packet, over, tos=ecn), "decapsulated",
                                     out=unwrapped(packet))
            whole = bytes(inner)
            for length in range(len(whole)):
                group.drops(f"{mode}: {length} bytes inside", wrap(whole[:length], over, kind=kind),
                            "truncated")
            longer = bytearray(whole)
            offset = 2 if version == 4 else 4
            size = struct.unpack(">H", longer[offset:offset + 2])[0]
            longer[offset:offset + 2] = struct.pack(">H", size + 1)
            group.drops(f"{mode}: an inner length beyond the outer one", wrap(longer, over, kind=kind),
                        "truncated")
            for number in sorted(set(range(16)) - {version}):
                wrong = bytes([number << 4 | whole[0] & 15]) + whole[1:]
                group.drops(f"{mode}: inner version {number}", wrap(wrong, over, kind=kind),
                            "malformed")
            if version == 4:
                for words in range(5):
                    wrong = bytes([0x40 | words]) + whole[1:]
                    group.drops(f"{mode}: inner IHL {words}", wrap(wrong, over), "malformed")
                for words, length in ((5, 0), (5, 19), (6, 23), (15, 44)):
                    wrong = bytes([0x40 | words, 0]) + struct.pack(">H", length) + whole[4:]
                    group.drops(f"{mode}: inner length {length}, IHL {words}", wrap(wrong, over),
                                "malformed")
    return group.cases


def plain():
    """Without tunnelSource and decap."""
    group = Group()
    for version in (4, 6):
        for over, service, number, backend in ((4, "four", 10, "10.0.0.11"),
                                               (6, "six", 16, "fd01::16")):
            mode = f"{version}in{over}"
            group.forwards(f"{mode}: the outer source is the interface's",
                           ip(version, vip(version, number)) / tcp(), service, backend, over,
                           source=LB[over])
            wrapped = {"proto" if over == 4 else "nh": IPIP if version == 4 else IP6IP}

            def tunnelled(dst):
                return eth() / ip(over, dst, src={4: "10.0.0.9", 6: "fd01::9"}[over], **wrapped) \
                    / ip(version, LB[version]) / tcp()

            group.passes(f"{mode}: an encapsulated packet for this node", tunnelled(LB[over]),
                         "not-a-vip")
            group.passes(f"{mode}: an encapsulated packet for a VIP that is this node's own",
                         tunnelled(vip(over, 40)), "no-service-port", "local")
            group.drops(f"{mode}: an encapsulated packet for another VIP", tunnelled(vip(over, 10)),
                        "no-service-port", "four")
    return group.cases


GROUPS = {"forwarding": ("node.yaml", forwarding), "unmatched": ("node.yaml", unmatched),
          "hostile": ("node.yaml", hostile), "decapsulation": ("node.yaml", decapsulation),
          "plain": ("plain.yaml", plain)}


def main():
    stale = []
    for name, (config, make) in GROUPS.items():
        cases = make()
        names = [case["name"] for case in cases]
        assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
        text = f'{{"config": "{config}", "cases": [\n' \
            + ",\n".join(json.dumps(case) for case in cases) + "\n]}\n"
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
