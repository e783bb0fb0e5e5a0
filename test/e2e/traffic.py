"""Clients that keep count: requests, long-lived streams, datagrams, and what is seen on a link."""

import asyncio
import collections
import ipaddress
import math
import socket
import struct
import threading

from lab import until

TICK_TIMEOUT = 20  # s; long enough for TCP to repair a loss on a busy machine


class Background:
    """A coroutine that runs in a thread of its own, in a host's namespace, until stop()."""

    def __init__(self, host, name):
        self.host = host
        self.problem = None
        self.stopping = False
        self.thread = threading.Thread(target=self.body, name=name, daemon=True)
        host.lab.background.append(self)
        self.thread.start()

    def body(self):
        try:
            with self.host.inside():
                asyncio.run(self.main())
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = problem

    async def main(self):
        raise NotImplementedError

    def join(self, timeout=60):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"{self.thread.name} does not end"
        if self in self.host.lab.background:
            self.host.lab.background.remove(self)
        if self.problem:
            raise self.problem

    def stop(self):
        self.stopping = True
        self.join()


async def http_get(address, path="/", port=80, source=None):
    """One request on a connection of its own: (headers, body) or an exception."""
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(address, port, local_addr=local)
    try:
        name = f"[{address}]" if ":" in address else address
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    headers, _, body = answer.partition(b"\r\n\r\n")
    if not headers.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"answer: {headers[:60]!r}")
    return headers, body


class Requests(Background):
    """HTTP requests to addresses in turn, each on a new connection, `workers` at a time: `total` of
    them, or until stop(). Bodies name the backend. Each worker makes a `pause` between requests."""

    def __init__(self, host, addresses, total=None, workers=8, port=80, source=None, timeout=10,
                 pause=0):
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.total, self.workers, self.timeout, self.pause = total, workers, timeout, pause
        self.port, self.source = port, source
        self.begun = 0
        self.served = collections.Counter()  # by backend
        self.failures = []
        super().__init__(host, "requests")

    @property
    def done(self):
        return sum(self.served.values()) + len(self.failures)

    async def main(self):
        await asyncio.gather(*(self.worker() for _ in range(self.workers)))

    async def worker(self):
        while not self.stopping and (self.total is None or self.begun < self.total):
            address = self.addresses[self.begun % len(self.addresses)]
            self.begun += 1
            try:
                get = http_get(address, port=self.port, source=self.source)
                _, body = await asyncio.wait_for(get, self.timeout)
                self.served[body.decode().strip()] += 1
                await asyncio.sleep(self.pause)
            except (OSError, asyncio.TimeoutError) as problem:
                self.failures.append(f"request {self.begun} to {address}: {problem!r}")
                await asyncio.sleep(0.05)

    def more(self, count, message, timeout=30):
        """Waits for `count` further requests to end."""
        goal = self.done + count
        until(lambda: self.done >= goal or not self.thread.is_alive(), message, timeout)


def requests(host, address, total, **options):
    """Runs them to the end; all must be served. Returns how many each backend answered."""
    run = Requests(host, address, total=total, workers=options.pop("workers", 32), **options)
    run.join(120)
    assert not run.failures, f"{len(run.failures)} of {total} failed: {run.failures[:3]}"
    return run.served


def expected_and_allowed(total, weight, weights):
    """What a backend of `weight` should get of `total` connections, and by how much it may miss
    that: five standard deviations, and the one percent by which rows may differ from weights."""
    share = weight / sum(weights.values())
    return total * share, 5 * math.sqrt(total * share * (1 - share)) + 0.01 * total * share


def assert_spread(served, weights):
    """Counts by backend are what rows drawn by weight give."""
    total = sum(served.values())
    for backend, weight in weights.items():
        expected, allowed = expected_and_allowed(total, weight, weights)
        assert abs(served[backend] - expected) <= allowed, \
            f"{backend}: {served[backend]} of {total}, expected {expected:.0f} ± {allowed:.0f}"
    assert set(served) <= set(weights), f"strangers among {served}"


def refused_or_silent(host, address, port=80, source=None, timeout=1):
    """Whether a request gets no answer at all: the connection is not made in `timeout` seconds."""
    run = Requests(host, address, total=1, workers=1, port=port, source=source, timeout=timeout)
    run.join()
    return bool(run.failures)


class Streams(Background):
    """Long-lived TCP connections that say numbered lines to echo servers, most of them often, each
    tenth seldom. A stream that misses an answer, gets another than its own, or from another
    backend than the first, is broken."""

    OFTEN, SELDOM = 0.3, 1.5  # s between lines

    def __init__(self, host, addresses, count=200, port=7000, sources=None):
        self.addresses = list(addresses)
        self.sources = sources or [None] * len(self.addresses)
        self.count, self.port = count, port
        self.said = [0] * count        # lines answered, by stream
        self.backend = [None] * count  # the one each began with
        self.client = [None] * count   # the address and port each speaks from
        self.broken = []
        super().__init__(host, "streams")
        until(lambda: all(self.said) or self.broken or self.problem, "all streams open", 30)
        self.check()

    async def main(self):
        streams = [asyncio.create_task(self.stream(number)) for number in range(self.count)]
        while not self.stopping and not all(stream.done() for stream in streams):
            await asyncio.sleep(0.05)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    async def stream(self, number):
        address = self.addresses[number % len(self.addresses)]
        source = self.sources[number % len(self.addresses)]
        try:
            await asyncio.sleep(number * 0.002)  # no burst of a whole backlog
            await self.talk(number, address, (source, 0) if source else None)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as problem:
            self.broken.append(f"stream {number} to {address}, begun on {self.backend[number]}, "
                               f"after {self.said[number]} lines: {problem!r}")

    async def talk(self, number, address, local):
        reader, writer = await asyncio.open_connection(address, self.port, local_addr=local)
        self.client[number] = writer.get_extra_info("sockname")[:2]
        try:
            while not self.stopping:  # wait_for may swallow a cancellation that comes with an answer
                line = f"{number}.{self.said[number]}\n".encode()
                writer.write(line)
                answer = await asyncio.wait_for(reader.readline(), TICK_TIMEOUT)
                name, _, rest = answer.partition(b" ")
                self.backend[number] = self.backend[number] or name.decode()
                if rest != line or name.decode() != self.backend[number]:
                    raise ConnectionError(f"said {line!r}, heard {answer!r}")
                self.said[number] += 1
                await asyncio.sleep(self.SELDOM if number % 10 == 9 else self.OFTEN)
        finally:
            writer.close()

    def check(self):
        assert not self.broken, f"{len(self.broken)} broken: {self.broken[:5]}"
        assert not self.problem, self.problem

    def by_backend(self):
        return collections.Counter(self.backend)

    def round(self, lines=2):
        """Waits until every stream has had `lines` more lines answered; none may break."""
        goal = [said + lines for said in self.said]
        until(lambda: self.broken or all(s >= g for s, g in zip(self.said, goal)),
              f"{lines} more lines on every stream", TICK_TIMEOUT + 10)
        self.check()


def datagrams(host, address, count, port=7000, source=None, timeout=3):
    """Sends `count` datagrams, each from a port of its own; returns how many each backend echoed,
    and how many were "lost": unanswered after `timeout` seconds."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    heard = collections.Counter()
    with host.inside():
        for number in range(count):
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                if source:
                    s.bind((source, 0))
                s.settimeout(timeout)
                s.connect((address, port))
                s.send(b"%d" % number)
                try:
                    name, _, rest = s.recv(200).partition(b" ")
                except socket.timeout:
                    heard["lost"] += 1
                    continue
                assert rest == b"%d" % number, rest
                heard[name.decode()] += 1
    return heard


def send_encapsulated(host, outer_destination, inner):
    """Sends an IP packet (bytes) within another, from one of the host's own addresses."""
    family = socket.AF_INET6 if ":" in outer_destination else socket.AF_INET
    protocol = {4: socket.IPPROTO_IPIP, 6: socket.IPPROTO_IPV6}[inner[0] >> 4]
    with host.inside(), socket.socket(family, socket.SOCK_RAW, protocol) as s:
        s.sendto(inner, (outer_destination, 0))


class Sniffer(Background):
    """All frames that one device of a host gets and sends, as (outgoing, bytes)."""

    def __init__(self, host, device):
        self.frames = []
        with host.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
            self.socket.bind((device, 0))
        self.socket.settimeout(0.05)
        super().__init__(host, f"sniffer of {device}")

    def body(self):
        while not self.stopping:
            try:
                frame, (_, _, kind, *_) = self.socket.recvfrom(65535)
                self.frames.append((kind == socket.PACKET_OUTGOING, frame))
            except socket.timeout:
                pass
        self.socket.close()

    def destinations(self, outgoing):
        """Destination addresses of each frame in one direction, outermost header first."""
        return [destinations(frame) for out, frame in list(self.frames) if out == outgoing]


def destinations(frame):
    """The destination addresses of a frame's nested IP headers, as text."""
    found = []
    at, kind = 14, struct.unpack_from("!H", frame, 12)[0]
    following = {0x0800: 4, 0x86dd: 41}.get(kind)
    while following in (4, 41) and len(frame) >= at + (20 if following == 4 else 40):
        if following == 4:
            found.append(str(ipaddress.ip_address(frame[at + 16:at + 20])))
            following, at = frame[at + 9], at + 4 * (frame[at] & 15)
        else:
            found.append(str(ipaddress.ip_address(frame[at + 24:at + 40])))
            following, at = frame[at + 6], at + 40
    return found


class Download(Background):
    """A download that takes a while, over a connection to one certain backend."""

    def __init__(self, host, address, backend, path="/slow"):
        self.address, self.backend, self.path = address, backend, path
        self.content = b""
        self.ended = False  # by the server, when all was sent
        super().__init__(host, f"download from {address}")
        until(lambda: self.content or self.problem, f"a download from {backend} begins")

    async def main(self):
        reader, writer, self.content = await self.find_backend()
        while chunk := await asyncio.wait_for(reader.read(65536), TICK_TIMEOUT):
            self.content += chunk
            if self.stopping:
                break
        self.ended = not self.stopping
        writer.close()

    async def find_backend(self):
        """Tries connections until one is the wanted backend's; what came after the headers, too."""
        name = f"[{self.address}]" if ":" in self.address else self.address
        request = f"GET {self.path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        for _ in range(200):
            reader, writer = await asyncio.open_connection(self.address, 80)
            writer.write(request.encode())
            headers = await reader.readuntil(b"\r\n\r\n")
            if f"\r\nX-Backend: {self.backend}\r\n".encode() in headers:
                return reader, writer, await reader.read(65536)
            writer.close()
        raise ConnectionError(f"no connection reaches {self.backend}")
