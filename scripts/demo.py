"""The demo: a client, a router, a balancer and three backends as network namespaces, real HTTP over
IPv4 and IPv6, a drain under a download, and a daemon that is killed under load.

Run it by scripts/demo. Exit code 0 if every point holds, 1 if one fails, 130 after Ctrl-C."""

import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test" / "e2e"))

# pylint: disable=wrong-import-position
from lab import Lab, until  # noqa: E402
from tier import LB4, LB6, VIP4, VIP6, Tier, big_content  # noqa: E402
from traffic import Download, Requests, expected_and_allowed, requests  # noqa: E402

WEIGHTS = {"b1": 100, "b2": 200, "b3": 300}
REQUESTS = 1200
STARTED = time.monotonic()

INTRODUCTION = f"""
lbd demo. Six hosts, each a network namespace of this machine:

                       ┌── lb   {LB4}, {LB6}   lbd balances: XDP, IPIP to a backend
  client ─── router ───┼── b1   10.3.1.2, fd01:3:1::2   weight {WEIGHTS['b1']}  ┐ lbd decapsulates,
                       ├── b2   10.3.2.2, fd01:3:2::2   weight {WEIGHTS['b2']}  │ nginx answers the
                       └── b3   10.3.3.2, fd01:3:3::2   weight {WEIGHTS['b3']}  ┘ client directly

  The client dials {VIP4} and {VIP6}; the router leads both to lb.
"""


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


class Points:
    """What was to be shown, and whether it was."""

    def __init__(self):
        self.points = []

    def add(self, name, holds, detail):
        self.points.append((name, holds, detail))
        say(f"        {'PASS' if holds else 'FAIL'}: {detail}")

    @property
    def all_hold(self):
        return all(holds for _, holds, _ in self.points)

    def summary(self):
        width = max(len(name) for name, _, _ in self.points)
        lines = [f"  {'PASS' if holds else 'FAIL'}  {name:<{width}}  {detail}"
                 for name, holds, detail in self.points]
        held = sum(holds for _, holds, _ in self.points)
        return "\n".join(["", "Summary", *lines, "",
                          f"{held} of {len(self.points)} points hold, "
                          f"after {time.monotonic() - STARTED:.0f} s"])


def start(lab):
    tier = Tier(lab)
    say("        hosts are linked; nginx runs on each backend")
    tier.start(tier.service(weights=WEIGHTS))
    status = tier.lbd.json("status")
    lan = status["interfaces"][0]
    say(f"        lbd {status['version']} runs on lb and on each backend; on lb it has the XDP program "
        f"{lan['programId']} on {lan['name']}, {lan['mode']}")
    memory = sum(m["bytes"] for m in status["maps"])
    say(f"        its {len(status['maps'])} maps take {memory / 2**20:.0f} MiB of kernel memory")
    return tier


def show_spread(tier, points):
    for family, vip in (("IPv4", VIP4), ("IPv6", VIP6)):
        served = requests(tier.client, vip, REQUESTS)
        worst = 0.0
        for name, weight in WEIGHTS.items():
            expected, allowed = expected_and_allowed(REQUESTS, weight, WEIGHTS)
            worst = max(worst, abs(served[name] - expected) / allowed)
            say(f"        {family}  {name}  weight {weight}  expected {expected:4.0f} ± {allowed:.0f}"
                f"  got {served[name]:4d}  {'█' * round(served[name] / 20)}")
        points.add(f"requests spread by weight, {family}", worst <= 1,
                   " : ".join(str(served[name]) for name in WEIGHTS)
                   + f" of {REQUESTS} requests for weights "
                   + " : ".join(str(weight) for weight in WEIGHTS.values()))


def drain(tier, points):
    downloads = {family: Download(tier.client, vip, "b1")
                 for family, vip in (("IPv4", VIP4), ("IPv6", VIP6))}
    say(f"        b1 sends {len(big_content()) / 2**20:.0f} MiB to the client over IPv4, and again over "
        "IPv6, 1 MiB/s each")
    tier.reload(tier.service(weights=WEIGHTS, states={"b1": "drain"}))
    sizes = [len(d.content) for d in downloads.values()]
    say(f"        `state: drain` for b1, `lbctl reload`; {sum(sizes) / 2**20:.1f} MiB have arrived so far")
    print_table(tier.lbd.ctl("backends").stdout)
    fresh = requests(tier.client, VIP4, 200) + requests(tier.client, VIP6, 200)
    points.add("a draining backend gets nothing new", fresh["b1"] == 0 and sum(fresh.values()) == 400,
               f"of 400 new requests b1 got {fresh['b1']}, b2 {fresh['b2']}, b3 {fresh['b3']}")
    under_way = not any(d.ended for d in downloads.values())
    for family, download in downloads.items():
        until(lambda d=download: d.ended or d.problem, f"the download over {family} ends", 30)
        whole = download.content == big_content()
        points.add(f"its download goes on, {family}", under_way and whole and not download.problem,
                   f"{len(download.content)} of {len(big_content())} bytes, "
                   + ("every one as sent" if whole else f"not what was sent ({download.problem})"))
        download.join()
    tier.reload(tier.service(weights=WEIGHTS))


def print_table(text):
    for line in text.splitlines():
        print(f"            {line}", flush=True)


def kill_and_restart(tier, points):
    load = Requests(tier.client, [VIP4, VIP6])
    load.more(300, "requests before the kill")
    old = tier.lbd.process.pid
    tier.lbd.kill()
    before = load.done
    say(f"        SIGKILL to lbd (pid {old}) after {before} requests")
    load.more(3000, "requests without a daemon", timeout=60)
    alone = load.done - before
    say(f"        {alone} more requests were served by the pinned data plane alone")
    tier.lbd.start()
    say(f"        lbd is back (pid {tier.lbd.process.pid})")
    load.more(1000, "requests after the restart")
    load.stop()
    points.add("killed and restarted under load", not load.failures and alone >= 3000,
               f"{len(load.failures)} of {load.done} requests failed, {alone} of them without a daemon")
    for failure in load.failures[:3]:
        say(f"        {failure}")
    writes = tier.lbd.events("reconciled")[0]["writes"]
    points.add("the restart adopts what is there", writes == "0",
               f"{writes} writes to maps: nothing had changed")


def main():
    points = Points()
    print(INTRODUCTION, flush=True)
    try:
        with Lab("demo") as lab:
            say("1/4     Starting")
            tier = start(lab)
            say("2/4     Requests, each on a connection of its own, spread by weight")
            show_spread(tier, points)
            say("3/4     Draining a backend under a download")
            drain(tier, points)
            say("4/4     Killing the daemon under load")
            kill_and_restart(tier, points)
            say("        cleaning up")
    except KeyboardInterrupt:
        say("interrupted; all is cleaned up")
        return 130
    except (AssertionError, OSError, KeyError, IndexError) as problem:
        print("\n".join(Lab.last_words))
        points.add("the demo runs to its end", False, str(problem).splitlines()[0])
    print(points.summary(), flush=True)
    return 0 if points.all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
