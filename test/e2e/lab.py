"""Hosts as network namespaces, for tests and the demo.

    with Lab("spread") as lab:
        client, server = lab.hosts("client", "server")
        lab.link(client, "eth0", server, "eth0")

Names of namespaces, pins and directories derive from the lab's name and this process's id, so that
runs never meet. Leaving the block removes all of it, also after a failure, Ctrl-C or SIGTERM; what
a killed run left behind goes when the next lab opens. The root namespace's interfaces are never
touched: links are born in the namespaces they belong to.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LBD_BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD
BPFFS = pathlib.Path("/sys/fs/bpf")
PREFIX = "lbdlab"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def until(condition, message, timeout=15.0, interval=0.05):
    """Polls `condition` until what it returns is true, and returns that. Fails after `timeout`
    seconds with `message` and the last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {message} (last: {value!r})")
        time.sleep(interval)


def run(*command, check=True, timeout=60, stdin=None):
    """Runs a command to its end; text in and out. A failure shows what it said."""
    command = [str(word) for word in command]
    # In a session of its own: Ctrl-C at the terminal is the lab's to handle, not the command's.
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout,
                          start_new_session=True)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)}: exit {done.returncode}\n{stdin or ''}{done.stdout}{done.stderr}")
    return done


class Process:
    """A running program, its output in a file. Killed with its children when the lab closes."""

    def __init__(self, name, command, log):
        self.name = name
        self.log = log
        with open(log, "wb") as out:
            # In a session of its own, too, and so the whole group can be killed.
            self.popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, start_new_session=True)
        self.pid = self.popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=15):
        return "\n".join(self.output().splitlines()[-lines:])

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=15):
        """The exit code."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout} s:\n{self.tail()}") from None

    def kill(self):
        """Ends the program and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(10)


class Host:
    """One network namespace."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.netns = f"{lab.prefix}-{name}"
        self.pins = BPFFS / self.netns
        self.dir = lab.dir / name
        self.dir.mkdir()

    def run(self, *command, **options):
        return run("nsenter", f"--net=/run/netns/{self.netns}", "--", *command, **options)

    def start(self, name, *command):
        """Starts a program that runs until the lab closes or it is stopped."""
        return self.lab.start(f"{self.name}-{name}",
                              "nsenter", f"--net=/run/netns/{self.netns}", "--", *command)

    def ip(self, *lines):
        """Lines as after `ip`, in one batch."""
        run("ip", "-n", self.netns, "-batch", "-", stdin="\n".join(lines) + "\n")

    def ip_json(self, *words):
        return json.loads(run("ip", "-n", self.netns, "-j", *words).stdout)

    def sysctl(self, **values):
        """Keys with / for dots: sysctl(**{"ipv4/ip_forward": 1})."""
        script = "".join(f"echo {value} > /proc/sys/net/{key}\n" for key, value in values.items())
        self.run("sh", "-ec", script)

    def address(self, device, *addresses):
        self.ip(*(f"addr add {a} dev {device}{' nodad' if ':' in a else ''}" for a in addresses))

    def default_route(self, *gateways):
        self.ip(*(f"route add {'::/0' if ':' in g else '0.0.0.0/0'} via {g}" for g in gateways))

    def mac(self, device):
        return self.ip_json("link", "show", "dev", device)[0]["address"]

    def xdp_program(self, device):
        """The id of the XDP program on a device, or None."""
        return self.ip_json("link", "show", "dev", device)[0].get("xdp", {}).get("prog", {}).get("id")

    def attach_xdp_pass(self, device):
        """See xdp_pass.bpf.c."""
        self.ip(f"link set dev {device} xdpdrv object {BUILD}/xdp_pass.bpf.o section xdp")

    def whole_checksums(self, device):
        """Makes the stack fill in checksums: over veth they stay partial, and XDP_TX by a balancer
        on the way turns such a packet into a frame whose checksum is wrong."""
        self.run("ethtool", "-K", device, "tx", "off")

    @contextlib.contextmanager
    def inside(self):
        """The calling thread works in this namespace; sockets made here stay here."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.netns}") as there:
            enter_namespace(there)
            try:
                yield
            finally:
                enter_namespace(before)


def enter_namespace(file):
    if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Lab:
    """Hosts, links and processes that end together."""

    opened = []    # those that exist now, for reports of failures
    last_words = []  # what labs said that a failure closed

    def __init__(self, name):
        self.prefix = f"{PREFIX}-{os.getpid()}-{name}"
        self.hosts_made = []
        self.processes = []
        self.background = []  # things with stop(), stopped first
        self.reporters = []   # functions that add to report()
        self.handlers = {}

    def __enter__(self):
        if os.geteuid() != 0:
            raise AssertionError("a lab needs root: network namespaces, BPF")
        sweep()
        mount_bpffs()
        raise_file_limit()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=self.prefix + "-"))
        self.catch_signals()
        Lab.opened.append(self)
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not KeyboardInterrupt:
            Lab.last_words.append(self.report())
        self.close()

    def catch_signals(self):
        if threading.current_thread() is not threading.main_thread():
            return

        def interrupt(number, frame):
            raise KeyboardInterrupt(signal.Signals(number).name)

        for number in (signal.SIGTERM, signal.SIGHUP):
            self.handlers[number] = signal.signal(number, interrupt)

    def close(self):
        """Removes all. A second Ctrl-C does not stop it half-way; no step keeps another from its
        turn."""
        if self.handlers:
            self.handlers[signal.SIGINT] = signal.getsignal(signal.SIGINT)
            for number in self.handlers:
                signal.signal(number, signal.SIG_IGN)
        problems = []

        def attempt(step):
            try:
                step()
            except Exception as problem:  # pylint: disable=broad-except
                problems.append(problem)

        for thing in reversed(self.background):
            attempt(thing.stop)
        for process in reversed(self.processes):
            attempt(process.kill)
        for host in self.hosts_made:
            attempt(lambda h=host: run("ip", "netns", "del", h.netns))
            attempt(lambda h=host: remove_pins(h.pins))
        attempt(lambda: shutil.rmtree(self.dir))
        Lab.opened.remove(self)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if problems:
            raise AssertionError(f"lab {self.prefix} did not go away: {problems}")

    def host(self, name):
        host = Host(self, name)
        self.hosts_made.append(host)
        run("ip", "netns", "add", host.netns)
        # Addresses are usable at once; nothing is learned from routers; a changed MAC is told.
        host.sysctl(**{
            "ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0,
            "ipv4/conf/default/rp_filter": 0, "ipv4/conf/all/rp_filter": 0,
            "ipv4/conf/default/arp_notify": 1, "ipv6/conf/default/ndisc_notify": 1})
        host.ip("link set dev lo up")
        return host

    def hosts(self, *names):
        return [self.host(name) for name in names]

    def link(self, left, left_device, right, right_device, mtu=1500):
        """A cable (veth) between two hosts, both ends up."""
        run("ip", "link", "add", "name", left_device, "netns", left.netns, "mtu", mtu, "type", "veth",
            "peer", "name", right_device, "netns", right.netns, "mtu", mtu)
        left.ip(f"link set dev {left_device} up")
        right.ip(f"link set dev {right_device} up")

    def start(self, name, *command):
        count = sum(p.name == name for p in self.processes)
        process = Process(name, command, self.dir / f"{name}.{count}.log")
        self.processes.append(process)
        return process

    def report(self):
        """What a failed test's reader wants to see."""
        parts = [f"==== lab {self.prefix}"]
        for reporter in self.reporters:
            parts.append(attempt_text(reporter))
        for host in self.hosts_made:
            parts.append(f"---- links of {host.name}\n" + attempt_text(lambda h=host: run(
                "ip", "-n", h.netns, "-br", "addr").stdout + "".join(link_counters(h))))
        for process in self.processes:
            state = "runs" if process.alive else f"exit {process.popen.returncode}"
            parts.append(f"---- {process.name} (pid {process.pid}, {state})\n"
                         + attempt_text(process.tail))
        return "\n".join(part.rstrip() for part in parts)


def attempt_text(function):
    try:
        return function()
    except Exception as problem:  # pylint: disable=broad-except
        return f"({problem})"


def link_counters(host):
    for link in host.ip_json("-s", "link"):
        rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
        yield (f"{link['ifname']}: rx {rx['packets']} dropped {rx['dropped']}, "
               f"tx {tx['packets']} dropped {tx['dropped']}, xdp {link.get('xdp')}\n")


def remove_pins(directory):
    if directory.exists():
        shutil.rmtree(directory)


def mount_bpffs():
    if not os.path.ismount(BPFFS):
        run("mount", "-t", "bpf", "bpf", BPFFS, "-o", "mode=0700")


def raise_file_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def sweep():
    """Removes what labs of processes that no longer live left behind."""
    def dead(name):
        owner = re.match(PREFIX + r"-(\d+)-", name)
        return owner and not pathlib.Path("/proc", owner[1]).exists()

    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if dead(name):
            for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", name, check=False)
    for directory in (BPFFS, pathlib.Path(tempfile.gettempdir())):
        for left in directory.glob(PREFIX + "-*") if directory.exists() else ():
            if dead(left.name):
                shutil.rmtree(left, ignore_errors=True)
