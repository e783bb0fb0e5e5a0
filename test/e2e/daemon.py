"""lbd and lbctl as a test sees them: one daemon of one host, its file, its log."""

import json
import os
import re
import signal

from lab import BUILD, run, until

LBD, LBCTL = BUILD / "lbd", BUILD / "lbctl"


def to_yaml(value, indent=""):
    """Block YAML of dicts and lists; scalars as JSON writes them."""
    if isinstance(value, dict) and value:
        return "".join(f"{indent}{key}:{nested(item, indent)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{indent}-{nested(item, indent)}" for item in value)
    return f"{indent}{json.dumps(value)}\n"


def nested(value, indent):
    if isinstance(value, (dict, list)) and value:
        return "\n" + to_yaml(value, indent + "  ")
    return f" {json.dumps(value)}\n"


def parse_event(line):
    """A log line, "TIME LEVEL event key=value …", as a dict; None where it is none."""
    head = re.match(r"\S+T\S+Z (debug|info|warning|error) (\S+)", line)
    if not head:
        return None
    fields = re.findall(r' ([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)', line[head.end():])
    return {"level": head[1], "event": head[2]} | {k: v.strip('"') for k, v in fields}


class Lbd:
    """The daemon of one host. `config` is the file's content as a dict; what makes this daemon a
    neighbour of others on one kernel (pin path, socket, state directory) is filled in."""

    def __init__(self, host, config, name="lbd"):
        self.host, self.name = host, name
        self.file = host.dir / f"{name}.yaml"
        self.socket = host.dir / f"{name}.sock"
        self.pins = host.pins
        self.config = None
        self.process = None
        self.write(config)
        host.lab.reporters.append(self.report)

    def complete(self, config):
        node = {"interfaces": ["lan0"], "pinPath": str(self.pins),
                "stateDir": str(self.host.dir / f"{self.name}.state")} | config.get("node", {})
        return {"apiVersion": "lbd.io/v1alpha1", "kind": "LoadBalancer",
                "connectionTable": {"entries": 1024, "starts": 1024},
                "admin": {"socket": str(self.socket)}, "services": []} | config | {"node": node}

    def write(self, config, rename=False):
        """Puts a configuration into the file, in place or by an atomic rename."""
        self.config = self.complete(config)
        self.write_text(to_yaml(self.config), rename)

    def write_text(self, text, rename=False):
        if rename:
            new = self.file.with_suffix(".new")
            new.write_text(text)
            os.replace(new, self.file)
        else:
            self.file.write_text(text)

    def command(self):
        return [LBD, "--config", self.file]

    def start(self, wrapper=()):
        """Starts the daemon and waits until its file is in the data plane."""
        assert LBD.exists() and LBCTL.exists(), f"no lbd or lbctl in {BUILD}: build first"
        self.process = self.host.start(self.name, *wrapper, *self.command())
        until(self.ready, f"lbctl status of {self.host.name} succeeds", 30)
        return self

    def ready(self):
        assert self.process.alive, \
            f"lbd on {self.host.name} ended, {self.process.popen.returncode}:\n{self.process.tail()}"
        return self.ctl("status").returncode == 0

    def start_refused(self):
        """Starts a daemon that must not come up: (exit code, output)."""
        process = self.host.start(self.name, *self.command())
        return process.wait(), process.output()

    def start_dying(self, write):
        """Starts a daemon that is killed before its write of that number, from 0."""
        process = self.host.start("lbd-dying", "env", f"LBD_DIE_BEFORE_WRITE={write}",
                                  BUILD / "lbd-dying", "--config", self.file)
        assert process.wait() == -signal.SIGKILL, \
            f"lbd-dying had fewer writes than {write}:\n{process.tail()}"

    def kill(self):
        """SIGKILL, as a crash would be."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.signal(signal.SIGTERM)
        return self.process.wait()

    def ctl(self, *words):
        return run(LBCTL, "--socket", self.socket, *words, check=False, timeout=20)

    def json(self, *words):
        done = self.ctl(*words, "-o", "json")
        assert done.returncode == 0, f"lbctl {words}: exit {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def reload(self, config):
        """Writes the file and reloads it through lbctl, which must agree."""
        self.write(config)
        done = self.ctl("reload")
        assert done.returncode == 0, f"lbctl reload: exit {done.returncode}: {done.stderr}"
        return done

    def reason(self, name):
        """Packets counted for a reason."""
        return self.json("stats")["reasons"].get(name, {"packets": 0})["packets"]

    def events(self, name=None):
        """Log events of the running daemon, of all or one name."""
        parsed = map(parse_event, self.process.output().splitlines())
        return [e for e in parsed if e and name in (None, e["event"])]

    def report(self):
        said = [f"---- lbctl on {self.host.name}"]
        for words in (["status"], ["backends"], ["stats"]):
            done = self.ctl(*words)
            said.append(f"$ lbctl {' '.join(words)}\n{done.stdout}{done.stderr}".rstrip())
        return "\n".join(said)
