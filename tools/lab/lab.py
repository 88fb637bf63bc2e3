"""Hosts in network namespaces, for the system and interop tests and for ./quickstart.

A Lab owns everything it makes: namespaces, processes and files, and removes all of it when it is closed, also after a
failure. Namespaces have no way out of the machine. Names carry the process number, so that labs do not meet; what a killed
lab left behind is removed by the next one.
"""
import atexit
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PREFIX = "mrl"
DIRECTORY_PREFIX = "merlon-lab-"  # the process number follows, as with namespaces
KEPT = pathlib.Path("/run/merlon-quickstart.json")  # what `./quickstart --keep` left standing on purpose
PATIENCE_S = 60  # tests wait for conditions; this only bounds a hang


class Failure(Exception):
    """A condition that did not come true."""


def run(*args, check=True, timeout=PATIENCE_S, input=None, **kwargs):
    result = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, input=input, **kwargs)
    if check and result.returncode != 0:
        raise Failure(f"{' '.join(str(a) for a in args)} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result


def wait_until(condition, what, timeout=PATIENCE_S, interval=0.1):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"after {timeout} s still not: {what}")
        time.sleep(interval)


def remove_namespace(name):
    """With all that runs in it."""
    for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    run("ip", "netns", "del", name, check=False)


def remove_directory(directory):
    """With what is mounted in it."""
    mounted = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed([point for point in mounted if point.startswith(f"{directory}/")]):
        run("umount", "-l", point, check=False)
    shutil.rmtree(directory, ignore_errors=True)


def remove_leftovers():
    """What labs made whose process is gone, but for what `./quickstart --keep` left."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"namespaces": [], "directory": ""}

    def orphaned(name, prefix):
        match = re.match(rf"{prefix}(\d+)-", name)
        return match and name not in kept["namespaces"] and not os.path.exists(f"/proc/{match.group(1)}")
    for line in run("ip", "netns", "list", check=False).stdout.splitlines():
        if orphaned(line.split()[0], PREFIX):
            remove_namespace(line.split()[0])
    for etc in pathlib.Path("/etc/netns").glob(f"{PREFIX}*"):
        if orphaned(etc.name, PREFIX):
            shutil.rmtree(etc, ignore_errors=True)
    for directory in pathlib.Path(tempfile.gettempdir()).glob(f"{DIRECTORY_PREFIX}*"):
        if orphaned(directory.name, DIRECTORY_PREFIX) and str(directory) != kept["directory"]:
            remove_directory(directory)


class Process:
    """A process that the lab started, its output in a file."""

    def __init__(self, popen, log):
        self.popen, self.log_path = popen, log

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self, how=signal.SIGTERM, timeout=PATIENCE_S):
        if self.running():
            self.popen.send_signal(how)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
                raise Failure(f"process {self.pid} did not end {timeout} s after {how!r}; its log ends:\n{self.log()[-2000:]}")
        return self.popen.returncode


class Host:
    """One network namespace."""

    def __init__(self, lab, name):
        self.lab, self.name, self.ns = lab, name, f"{PREFIX}{os.getpid()}-{name}"
        self.directory = lab.directory / name
        self.directory.mkdir()
        run("ip", "netns", "add", self.ns)
        self.ip("link", "set", "lo", "up")
        for key in ("net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter", "net.ipv4.conf.all.accept_redirects",
                    "net.ipv4.conf.default.accept_redirects", "net.ipv4.conf.all.send_redirects", "net.ipv4.conf.default.send_redirects"):
            self.sysctl(key, 0)
        # Addresses can be used at once: nobody else is on these links.
        for key in ("net.ipv6.conf.all.accept_dad", "net.ipv6.conf.default.accept_dad"):
            self.sysctl(key, 0)

    def ip(self, *args, check=True):
        return run("ip", "-n", self.ns, *args, check=check).stdout

    def run(self, *args, check=True, timeout=PATIENCE_S, **kwargs):
        return run("ip", "netns", "exec", self.ns, *args, check=check, timeout=timeout, **kwargs)

    def sysctl(self, key, value):
        self.run("sysctl", "-qw", f"{key}={value}")

    def forward(self):
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def start(self, *args, log=None, env=None):
        log = self.directory / (log or f"{pathlib.Path(str(args[0])).name}.log")
        with open(log, "ab") as output:
            popen = subprocess.Popen(["ip", "netns", "exec", self.ns, *[str(a) for a in args]], stdout=output, stderr=output,
                                     stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}, start_new_session=True)
        process = Process(popen, log)
        self.lab.processes.append(process)
        return process

    def address(self, device, *addresses):
        for address in addresses:
            self.ip("addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", device, "up")

    def ping(self, destination, source=None, count=3, size=56, check=True, interval=0.2, wait=3, extra=()):
        args = ["ping", "-n", "-q", "-c", count, "-i", interval, "-W", wait, "-s", size, *extra]
        if source:
            args += ["-I", source]
        result = self.run(*args, destination, check=False)
        match = re.search(r"(\d+) received", result.stdout)
        received = int(match.group(1)) if match else 0
        if check and received != count:
            raise Failure(f"{self.name}: ping {destination}: {received} of {count} answered\n{result.stdout}{result.stderr}")
        return received

    def capture(self, device, name="capture.pcap", expression=()):
        return Capture(self, device, self.directory / name, expression)


class Capture:
    """tcpdump on a device, from construction to stop()."""

    def __init__(self, host, device, path, expression):
        self.path, self.stopped = path, False
        self.process = host.start("tcpdump", "--immediate-mode", "-i", device, "-U", "-n", "-s", "0", "-w", path, *expression, log=f"{path.name}.log")
        wait_until(lambda: "listening on" in self.process.log(), "tcpdump listens")

    def stop(self):
        time.sleep(0.2)  # what is still in the kernel's buffer
        if not self.stopped and not self.process.running():  # then it has not seen all of it
            raise Failure(f"tcpdump had ended with {self.process.popen.returncode}: {self.process.log()[-500:]}")
        self.stopped = True
        self.process.stop(signal.SIGINT)
        return self.path

    def text(self, *expression):
        # Also while it runs: then the last packet may be there in part, which tcpdump calls an error.
        return run("tcpdump", "-n", "-r", self.path, *expression, check=not self.process.running()).stdout

    def lines(self, *expression):
        return [line for line in self.text(*expression).splitlines() if line]


class Lab:
    def __init__(self, build, keep=False):
        self.build = pathlib.Path(build).resolve()
        self.hosts, self.processes, self.keep = {}, [], keep
        self.links = []  # (host, device), both ends
        remove_leftovers()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-"))
        self.directory.chmod(0o755)
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def host(self, name):
        self.hosts[name] = Host(self, name)
        return self.hosts[name]

    def link(self, a, device_a, b, device_b, mtu=1500):
        run("ip", "link", "add", device_a, "netns", a.ns, "mtu", mtu, "type", "veth", "peer", "name", device_b, "netns", b.ns, "mtu", mtu)
        # Checksums and segments as on a real wire: captures and eavesdroppers see what a router would.
        for host, device in ((a, device_a), (b, device_b)):
            host.run("ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off", check=False) if shutil.which("ethtool") else None
            self.links.append((host, device))

    def settle(self):
        """Until IPv6 works on every link: the kernel notices a carrier up to a second late, and until then the device is in no multicast
        group, so nobody finds its neighbours there. It has its link-local address from that moment on."""
        for host in self.hosts.values():
            wanted = {device for owner, device in self.links if owner is host}

            def ready():
                found = json.loads(host.ip("-json", "-6", "addr", "show", "scope", "link"))
                return wanted <= {link["ifname"] for link in found for a in link.get("addr_info", []) if a and not a.get("tentative")}
            wait_until(ready, f"IPv6 is ready on {host.name}", interval=0.02)

    def close(self):
        if self.keep:
            return
        for process in reversed(self.processes):
            if process.running():
                process.popen.kill()
                process.popen.wait()
        self.processes = []
        for host in self.hosts.values():
            remove_namespace(host.ns)
        self.hosts = {}
        remove_directory(self.directory)
        atexit.unregister(self.close)


class Offices:
    """host_a - gw_a - router - gw_b - host_b, both families inside and outside.

    inside:  10.1.0.0/24, fd00:1::/64 (gateway .1, host .2) and 10.2.0.0/24, fd00:2::/64
    outside: 198.51.100.0/24, 2001:db8:a::/64 (gateway .2, router .1) and 203.0.113.0/24, 2001:db8:b::/64
    """
    A4, B4 = "198.51.100.2", "203.0.113.2"
    A6, B6 = "2001:db8:a::2", "2001:db8:b::2"
    HOST_A4, HOST_B4 = "10.1.0.2", "10.2.0.2"
    HOST_A6, HOST_B6 = "fd00:1::2", "fd00:2::2"

    def __init__(self, lab, mtu=1500):
        self.lab = lab
        self.host_a, self.gw_a, self.router, self.gw_b, self.host_b = (lab.host(n) for n in ("host-a", "gw-a", "router", "gw-b", "host-b"))
        lab.link(self.host_a, "eth0", self.gw_a, "lan0")
        lab.link(self.gw_a, "wan0", self.router, "to-a")
        lab.link(self.gw_b, "wan0", self.router, "to-b", mtu=mtu)
        lab.link(self.host_b, "eth0", self.gw_b, "lan0")
        for host in (self.gw_a, self.router, self.gw_b):
            host.forward()
        self.host_a.address("eth0", "10.1.0.2/24", "fd00:1::2/64")
        self.gw_a.address("lan0", "10.1.0.1/24", "fd00:1::1/64")
        self.gw_a.address("wan0", "198.51.100.2/24", "2001:db8:a::2/64")
        self.router.address("to-a", "198.51.100.1/24", "2001:db8:a::1/64")
        self.router.address("to-b", "203.0.113.1/24", "2001:db8:b::1/64")
        self.gw_b.address("wan0", "203.0.113.2/24", "2001:db8:b::2/64")
        self.gw_b.address("lan0", "10.2.0.1/24", "fd00:2::1/64")
        self.host_b.address("eth0", "10.2.0.2/24", "fd00:2::2/64")
        for host, via4, via6 in ((self.host_a, "10.1.0.1", "fd00:1::1"), (self.host_b, "10.2.0.1", "fd00:2::1"),
                                 (self.gw_a, "198.51.100.1", "2001:db8:a::1"), (self.gw_b, "203.0.113.1", "2001:db8:b::1")):
            host.ip("route", "add", "default", "via", via4)
            host.ip("-6", "route", "add", "default", "via", via6)
        lab.settle()


SANITIZER_REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")


class Merlon:
    """merlond on a host, with its own configuration folder and control socket."""

    def __init__(self, host, toml, build=None):
        self.host = host
        self.build = pathlib.Path(build or host.lab.build)
        self.directory = host.directory / "merlon"
        self.directory.mkdir(exist_ok=True)
        self.config = self.directory / "merlon.toml"
        self.socket = self.directory / "merlond.sock"
        self.write_config(toml)
        self.process = None

    def write_config(self, toml):
        """The [daemon] table's control_socket is set here; a test's own [daemon] keys go first."""
        if "[daemon]" in toml:
            toml = toml.replace("[daemon]", f'[daemon]\ncontrol_socket = "{self.socket}"', 1)
        else:
            toml = f'[daemon]\ncontrol_socket = "{self.socket}"\n' + toml
        self.config.write_text(toml)
        self.config.chmod(0o600)

    def start(self, wait=True, before=(), env=None):
        """`before`: a command that becomes merlond, such as prlimit with its options."""
        self.process = self.host.start(*before, self.build / "merlond", "-c", self.config, log="merlond.log", env=env)
        if wait:
            wait_until(lambda: self.socket.exists() and self.cli("status", "--json", check=False).returncode == 0 or not self.process.running(),
                       f"merlond on {self.host.name} answers")
            if not self.process.running():
                raise Failure(f"merlond on {self.host.name} ended with {self.process.popen.returncode}:\n{self.process.log()[-3000:]}")
        return self

    def cli(self, *args, check=True, timeout=PATIENCE_S, input=None):
        return self.host.run(self.build / "merlon", "--socket", self.socket, "-c", self.config, *args, check=check, timeout=timeout, input=input)

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def connection(self, name):
        return next(c for c in self.status()["connections"] if c["name"] == name)

    def child_sas(self, name):
        return [child for sa in self.connection(name)["ike_sas"] for child in sa["child_sas"]]

    def is_up(self, name):
        return self.connection(name).get("phase") == "up"

    def wait_up(self, name, timeout=PATIENCE_S):
        try:
            wait_until(lambda: self.is_up(name), f"connection {name} on {self.host.name} is up", timeout)
        except Failure as failure:
            raise Failure(f"{failure}\nstatus: {json.dumps(self.connection(name), indent=1)}\nlog:\n{self.log()[-3000:]}") from None

    def wait_child(self, name, timeout=PATIENCE_S):
        """Until a Child SA of the connection exists; for connections that only answer."""
        return wait_until(lambda: self.child_sas(name), f"a Child SA of {name} on {self.host.name}", timeout)

    def log(self):
        return self.process.log() if self.process else ""

    def stop(self):
        return self.process.stop() if self.process else 0

    def kill(self):
        """A daemon that has ended by itself is none that can be killed."""
        status = self.process.stop(signal.SIGKILL)
        if status != -signal.SIGKILL:
            raise Failure(f"merlond on {self.host.name} was to be killed and had ended with {status}:\n{self.log()[-4000:]}")

    def check_clean_end(self):
        """Stops the daemon; sanitizer reports and broken invariants show in its exit status and log, which tells of killed ones before it, too."""
        if not self.process:
            return
        running = self.process.running()
        status = self.stop()
        if status != 0 and (running or status != -signal.SIGKILL):
            raise Failure(f"merlond on {self.host.name} {'ended' if running else 'had ended'} with {status}:\n{self.log()[-4000:]}")
        report = SANITIZER_REPORT.search(self.log())
        if report:
            raise Failure(f"a sanitizer complains about merlond on {self.host.name}:\n{self.log()[max(0, report.start() - 200):report.start() + 4000]}")
