"""What test_floods.py, test_faults*.py and soak share: the gateway under fire and its clients, what a process holds, faults from below."""
import contextlib
import json
import pathlib
import re
import subprocess
import textwrap
import threading
import time

from common import PSK, ask, expect, start_python, unique_keys
from lab import Failure, Merlon, wait_until

HUB_NET = "10.2.0.0/24"
# Short lifetimes, so that everything is rekeyed a few times while a test lasts; patience as by default.
LIVELY = """
retransmit_initial = "500ms"
retransmit_factor = 1.5
retransmit_max = "3s"
retransmit_tries = 8
liveness_interval = "4s"
backoff_initial = "1s"
backoff_max = "2s"
lifetime_soft = "7s"
lifetime_hard = "40s"
lifetime_jitter = "4s"
ike_lifetime_soft = "16s"
ike_lifetime_hard = "60s"
ike_lifetime_jitter = "8s"
"""


# ---- What a process holds.

def sanitizer(merlon):
    maps = pathlib.Path(f"/proc/{merlon.process.pid}/maps").read_text()
    return "asan" if "asan" in maps else "tsan" if "tsan" in maps else ""


def rss_kb(merlon):
    status = pathlib.Path(f"/proc/{merlon.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def holds(merlon):
    """Descriptors, threads and kB of a daemon."""
    proc = pathlib.Path(f"/proc/{merlon.process.pid}")
    return {"descriptors": len(list((proc / "fd").iterdir())), "threads": len(list((proc / "task").iterdir())), "rss_kb": rss_kb(merlon)}


def metrics(merlon):
    return ask(merlon, command="metrics")["text"]


def metric(page, name, **labels):
    """The sum over all samples of this name that have these labels."""
    total = 0.0
    for line in page.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if not match or match.group(1) != name:
            continue
        if all(f'{key}="{value}"' in (match.group(2) or "") for key, value in labels.items()):
            total += float(match.group(3))
    return total


# ---- Fifty clients of one gateway.

def client_net(number):
    return f"10.{100 + number // 250}.{number % 250}.0/24"


def inside(number):
    return client_net(number).replace(".0/24", ".9")


def client_address(number):
    return f"198.51.100.{100 + number}"


class Clients:
    """Connections from gw_a to the hub on gw_b, each with an identity, an outer address and a network of its own.

    On two cores fifty daemons would mostly measure the machine: `shared` of them are connections of one merlond, and each of the
    others has a merlond of its own in a namespace of its own. The hub knows their identities and takes them from any address."""

    def __init__(self, net, count=50, alone=3, hub_daemon="", extra="", build=None):
        self.net, self.count, self.alone = net, count, alone
        self.shared = count - alone
        for number in range(count):
            address = inside(number)
            if number < self.shared:
                net.gw_a.ip("addr", "add", f"{client_address(number)}/24", "dev", "wan0")
                net.host_a.ip("addr", "add", f"{address}/32", "dev", "eth0")
                net.gw_a.ip("route", "add", f"{address}/32", "via", "10.1.0.2")
        self.hub = Merlon(net.gw_b, f"[daemon]\n{hub_daemon}\n" + "".join(
            table(f"c{n}", net.B4, None, "hub.example", f"c{n}.example", HUB_NET, client_net(n), "wait", extra) for n in range(count)), build)
        self.extra, self.build = extra, build
        self.many = Merlon(net.gw_a, self.many_toml(0), build)
        self.others = [self.host_of_its_own(n) for n in range(self.shared, count)]
        self.started = []

    def many_toml(self, count):
        return "[daemon]\n" + "".join(self.spoke(n) for n in range(count))

    def spoke(self, n):
        return table(f"hub{n}", client_address(n), self.net.B4, f"c{n}.example", "hub.example", client_net(n), HUB_NET, "always", self.extra)

    def host_of_its_own(self, n):
        host = self.net.lab.host(f"client-{n}")
        # Behind gw_a's side of the internet, on a link of its own.
        self.net.lab.link(host, "wan0", self.net.router, f"to-c{n}")
        host.address("wan0", f"{client_address(n)}/32")
        self.net.router.ip("link", "set", f"to-c{n}", "up")
        self.net.router.ip("route", "add", f"{client_address(n)}/32", "dev", f"to-c{n}")
        host.ip("route", "add", "198.51.100.1/32", "dev", "wan0")
        host.ip("route", "add", "default", "via", "198.51.100.1")
        host.ip("addr", "add", inside(n) + "/32", "dev", "lo")
        return Merlon(host, "[daemon]\n" + self.spoke(n), self.build)

    def daemons(self):
        return [self.hub, self.many, *self.others]

    def start(self, shared, others=0):
        """The hub, and so many of the clients; they connect by themselves, and for ever."""
        self.hub.start()
        self.many.write_config(self.many_toml(shared))
        self.many.start()
        for merlon in self.others[:others]:
            merlon.start()
        self.started = [*range(shared), *range(self.shared, self.shared + others)]
        return self

    def start_the_others(self):
        """All clients that do not run yet: those of the shared daemon by a new configuration."""
        self.many.write_config(self.many_toml(self.shared))
        ask(self.many, command="reload")
        for merlon in self.others:
            if merlon.process is None:
                merlon.start()
        came = [n for n in range(self.count) if n not in self.started]
        self.started = list(range(self.count))
        return came

    def callers(self, numbers):
        """For Calls."""
        by_host = {}
        for n in numbers:
            host = self.net.host_a if n < self.shared else self.of(n).host
            by_host.setdefault(host, []).append(inside(n))
        return list(by_host.items())

    def of(self, n):
        return self.many if n < self.shared else self.others[n - self.shared]

    def is_up(self, numbers):
        found = {c["name"]: any(sa["child_sas"] for sa in c["ike_sas"]) for merlon in {id(m): m for m in map(self.of, numbers)}.values() for c in ask(merlon, command="status")["connections"]}
        return [n for n in numbers if found[f"hub{n}"]]

    def wait_up(self, numbers, what, timeout=60):
        try:
            wait_until(lambda: len(self.is_up(numbers)) == len(numbers), what, timeout, interval=0.3)
        except Failure as failure:
            missing = sorted(set(numbers) - set(self.is_up(numbers)))
            raise Failure(f"{failure}: {len(missing)} of {len(numbers)} are missing, such as hub{missing[0]}; log:\n{self.of(missing[0]).log()[-3000:]}") from None

    def check_clean_end(self):
        for merlon in [*self.others, self.many, self.hub]:
            if merlon.process:
                merlon.check_clean_end()


def table(name, local, remote, local_id, remote_id, local_ts, remote_ts, start, extra):
    remote = f'remote = "{remote}"\n' if remote else ""
    lines = (f'[connection.{name}]\nlocal = "{local}"\n{remote}local_id = "{local_id}"\nremote_id = "{remote_id}"\npsk = "{PSK}"\n'
             f'local_ts = ["{local_ts}"]\nremote_ts = ["{remote_ts}"]\nstart = "{start}"\n{LIVELY}{extra}\n')
    return "\n" + unique_keys(lines)


# One small packet from each network to an echo server inside, and the longest time that each was without an answer.
ECHO = """
    import socket, sys
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    s.bind((sys.argv[1], 7))
    print("listening", flush=True)
    while True:
        data, source = s.recvfrom(2000)
        try:
            s.sendto(data, source)
        except OSError:
            pass
"""
CALLER = """
    import json, select, socket, sys, time
    server, interval, sources = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    sockets, begun = {}, time.monotonic()
    for source in sources:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((source, 0))
        s.setblocking(False)
        sockets[s] = {"source": source, "sent": 0, "answered": 0, "last": begun, "gap": 0.0}
    print("calling", flush=True)
    due = begun
    while True:
        now = time.monotonic()
        if now >= due:
            due = max(due + interval, now)
            for s, seen in sockets.items():
                try:
                    s.sendto(b"are you there?", (server, 7))
                    seen["sent"] += 1
                except OSError:
                    pass
        readable, _, _ = select.select(list(sockets), [], [], max(0, due - time.monotonic()))
        now = time.monotonic()
        for s in readable:
            try:
                while True:
                    s.recv(2000)
                    seen = sockets[s]
                    seen["answered"] += 1
                    seen["gap"] = max(seen["gap"], now - seen["last"])
                    seen["last"] = now
            except OSError:
                pass
        if sys.stdin in select.select([sys.stdin], [], [], 0)[0]:
            break
    now = time.monotonic()
    for seen in sockets.values():
        seen["gap"] = max(seen["gap"], now - seen["last"])
    print(json.dumps(list(sockets.values())), flush=True)
"""


def echo_server(host, address):
    process = start_python(host, ECHO, address, log="echo.log")
    wait_until(lambda: "listening" in process.log(), "the echo server listens")


class Calls:
    """Traffic of many clients through their tunnels from construction on."""

    def __init__(self, server, callers, interval=0.1):
        """server: the address of an echo_server(). callers: (host, addresses)."""
        self.processes = []
        for host, addresses in callers:
            popen = subprocess.Popen(["ip", "netns", "exec", host.ns, "/usr/bin/python3", "-u", "-c", textwrap.dedent(CALLER), server, str(interval), *addresses],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            host.lab.processes.append(Started(popen))
            popen.stdout.readline()
            self.processes.append(popen)

    def stop(self):
        """For each source: sent, answered, and the longest time in seconds without an answer, from the begin on."""
        found = []
        for popen in self.processes:
            out, _ = popen.communicate("\n", timeout=30)
            found += json.loads(out)
        return {one["source"]: one for one in found}


class Started:
    """A process for Lab.close()."""

    def __init__(self, popen):
        self.popen = popen

    def running(self):
        return self.popen.poll() is None


# ---- Floods.

class Flood:
    """merlon-flood on the router, as close to the gateway as one can be; others' machines do not wait for ours, so it goes first."""

    def __init__(self, net, kind, *, device="to-b", to=None, target=None, **options):
        target = target or net.gw_b
        mac = json.loads(target.ip("-json", "link", "show", "wan0"))[0]["address"]
        arguments = [kind, "--device", device, "--mac", mac, "--to", to or net.B4]
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                arguments += [f"--{key}"] if one is True else [f"--{key}", one]
        self.kind = kind
        self.process = net.router.start("nice", "-n", "-10", flood_tool(net.lab), *arguments, log=f"flood-{kind}-{time.monotonic_ns()}.log")

    def done(self):
        return not self.process.running()

    def wait(self, timeout=60):
        wait_until(self.done, f"the flood {self.kind} ends", timeout)
        expect(self.process.popen.returncode == 0, f"merlon-flood {self.kind}: {self.process.log()}")
        return json.loads(self.process.log().splitlines()[-1])


def flood_tool(lab):
    tool = lab.build / "system/flood/merlon-flood"
    if not tool.exists():
        from runner import Skip
        raise Skip(f"{tool} is not built")
    return tool


class Watch:
    """Samples of something beside a test, four a second."""

    def __init__(self, sample):
        self.samples, self.sample, self.stopping = [], sample, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.wait(0.25):
            with contextlib.suppress(Exception):  # the daemon may be busy, or be ending
                self.samples.append(self.sample())

    def stop(self):
        self.stopping.set()
        self.thread.join(5)
        return self.samples
