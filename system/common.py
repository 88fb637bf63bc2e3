"""What the system tests share: configurations with short timers, traffic that runs beside a test, what captures say."""
import json
import re
import signal
import socket
import textwrap
import time

from lab import Failure, Merlon, Offices, wait_until

PYTHON = "/usr/bin/python3"
PSK = "correct horse battery staple"

# Short timers: a test waits for what the defaults would do minutes later.
FAST = """
retransmit_initial = "400ms"
retransmit_factor = 1.4
retransmit_max = "1s"
retransmit_tries = 4
liveness_interval = "1s"
backoff_initial = "1s"
backoff_max = "1s"
"""

INSIDE_A = '["10.1.0.0/24", "fd00:1::/64"]'
INSIDE_B = '["10.2.0.0/24", "fd00:2::/64"]'


def connection(name, local, remote, local_id, remote_id, local_ts, remote_ts, start="always", extra=""):
    local = f'local = "{local}"\n' if local else ""
    remote = f'remote = "{remote}"\n' if remote else ""
    return (f'\n[connection.{name}]\n{local}{remote}local_id = "{local_id}"\nremote_id = "{remote_id}"\npsk = "{PSK}"\n'
            f'local_ts = {local_ts}\nremote_ts = {remote_ts}\nstart = "{start}"\n{FAST}{extra}\n')


def toml_a(daemon="", extra="", start="always", v6=False, local_ts=INSIDE_A, remote_ts=INSIDE_B):
    """Of gw_a: connection "b". An `extra` line replaces what stands before it under the same key."""
    local, remote = (Offices.A6, Offices.B6) if v6 else (Offices.A4, Offices.B4)
    return f"[daemon]\n{daemon}\n" + unique_keys(connection("b", local, remote, "a.example", "b.example", local_ts, remote_ts, start, extra))


def toml_b(daemon="", extra="", start="wait", v6=False, local_ts=INSIDE_B, remote_ts=INSIDE_A):
    """Of gw_b: connection "a"."""
    local, remote = (Offices.B6, Offices.A6) if v6 else (Offices.B4, Offices.A4)
    return f"[daemon]\n{daemon}\n" + unique_keys(connection("a", local, remote, "b.example", "a.example", local_ts, remote_ts, start, extra))


def unique_keys(table):
    """The last line of each key of the first table stands; tables after it stay as they are."""
    first, *others = re.split(r"\n(?=\[)", table.strip())
    lines = {}
    for line in first.splitlines():
        lines[line.split("=")[0].strip()] = line
    return "\n".join(line for line in lines.values() if line) + "\n" + "\n".join(others) + "\n"


def pair(net, up=True, extra="", daemon="", v6=False, **both):
    """merlond on both gateways; gw_a calls."""
    b = Merlon(net.gw_b, toml_b(daemon, extra, v6=v6, **both)).start()
    a = Merlon(net.gw_a, toml_a(daemon, extra, v6=v6, **both)).start()
    if up:
        a.wait_up("b")
        b.wait_child("a")
    return a, b


def spis(merlon, name):
    return sorted((sa["spi_in"], sa["spi_out"]) for sa in merlon.child_sas(name))


def ask(merlon, **request):
    """A request over the control socket, without a process of its own."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(merlon.socket))
        client.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(client.makefile().readline())
    if not answer.pop("ok"):
        raise Failure(f"merlond on {merlon.host.name} refused {request}: {answer['error']}")
    return answer


def wait_watching(merlon, count):
    """Until `merlon trace` and `merlon monitor`, `count` of them, have reached the daemon."""
    wait_until(lambda: sum(str(merlon.socket) in line for line in merlon.host.run("ss", "-xH", "state", "connected").stdout.splitlines()) >= count, f"{count} commands listen to merlond")
    time.sleep(0.3)  # what they ask is read right after they are let in


# ---- Traffic.

class Ping:
    """Pings from construction to stop(); tells which were lost."""

    def __init__(self, host, destination, interval=0.05, extra=()):
        self.interval = interval
        self.process = host.start("ping", "-D", "-n", "-i", interval, *extra, destination, log=f"ping-{destination.replace(':', '-')}.log")

    def stop(self):
        self.process.stop(signal.SIGINT)

    def answered_since(self, moment):
        """Whether one is answered that was sent after that, by time.time()."""
        answers = re.findall(r"\[([\d.]+)\] .* icmp_seq=\d+ .*time=([\d.]+) ms", self.process.log())
        return any(float(came) - float(took) / 1000 > moment for came, took in answers[-10:])

    def lost(self):
        """The number of those that were not answered. One that is sent from now on must be; what was sent after the last that was answered
        may still have been on its way, on a busy machine, for a second."""
        now = time.time()
        try:
            wait_until(lambda: self.answered_since(now), "a ping is answered", timeout=10)
        except Failure as failure:
            raise Failure(f"{failure}; the last answers:\n{self.process.log()[-300:]}") from None
        self.stop()
        sent = int(re.search(r"(\d+) packets transmitted", self.process.log()).group(1))
        answered = set(map(int, re.findall(r"from .* icmp_seq=(\d+) .*time=", self.process.log())))
        newest = max(answered)
        return newest - len(answered) + max(0, sent - newest - round(1 / self.interval))


def python(host, program, *arguments, **kwargs):
    return host.run(PYTHON, "-c", textwrap.dedent(program), *arguments, **kwargs)


def start_python(host, program, *arguments, log="python.log"):
    return host.start(PYTHON, "-u", "-c", textwrap.dedent(program), *arguments, log=log)


UDP_FLOOD = """
    import socket, sys, time
    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    while True:
        try:
            s.sendto(b"in the clear?", (sys.argv[1], 7777))
        except OSError:
            pass
        time.sleep(0.02)
"""

TCP_SERVER = """
    import hashlib, socket, sys
    s = socket.create_server((sys.argv[1], 8080), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
    print("listening", flush=True)
    while True:
        c, _ = s.accept()
        digest, size = hashlib.sha256(), 0
        while data := c.recv(65536):
            digest.update(data)
            size += len(data)
        c.sendall(f"{size} {digest.hexdigest()}".encode())
        c.close()
"""

TCP_CLIENT = """
    import hashlib, os, socket, sys
    data = os.urandom(int(sys.argv[2]))
    c = socket.create_connection((sys.argv[1], 8080), timeout=float(sys.argv[3]))
    c.sendall(data)
    c.shutdown(socket.SHUT_WR)
    answer = b""
    while part := c.recv(1000):
        answer += part
    assert answer.decode() == f"{len(data)} {hashlib.sha256(data).hexdigest()}", answer
"""


def tcp_server(host, address):
    process = start_python(host, TCP_SERVER, address, log=f"tcp-{address.replace(':', '-')}.log")
    wait_until(lambda: "listening" in process.log(), f"the TCP server on {host.name} listens")
    return process


def tcp_transfer(client, address, size=2_000_000, timeout=60, check=True):
    return python(client, TCP_CLIENT, address, size, timeout, check=check, timeout=timeout * 3).returncode == 0


# ---- What the eavesdropper saw.

INSIDE = "(net 10.0.0.0/8 or net fd00::/8)"


def expect_nothing_in_clear(capture, but=()):
    """No packet with an inside address; `but`: addresses that a test itself put there."""
    expression = INSIDE + "".join(f" and not host {address}" for address in but)
    lines = capture.lines(expression)
    if lines:
        raise Failure(f"{len(lines)} packets in clear on the router, such as\n" + "\n".join(lines[:5]))


# ---- A forger on the router, who claims to be in gw_b's network.

FORGED4, FORGED6 = "10.2.0.99", "fd00:2::99"


def forge(net):
    """Sends packets in clear from the router into gw_a's network; the number that reached host_a."""
    capture = net.host_a.capture("eth0", "forged.pcap")
    for source, destination in ((FORGED4, net.HOST_A4), (FORGED6, net.HOST_A6)):
        net.router.ping(destination, source=source, count=3, interval=0.05, wait=1, check=False)
    capture.stop()
    return len(capture.lines(f"(src host {FORGED4} and dst host {net.HOST_A4}) or (src host {FORGED6} and dst host {net.HOST_A6})"))


def prepare_forger(net):
    """Before any daemon is started: what is forged must arrive then, of both families, or a test with it proves nothing."""
    net.router.address("lo", f"{FORGED4}/32", f"{FORGED6}/128")
    net.router.ip("route", "add", "10.1.0.0/24", "via", net.A4)
    net.router.ip("-6", "route", "add", "fd00:1::/64", "via", net.A6)
    expect(forge(net) == 6, "without Merlon all forged packets should reach host_a, or this test proves nothing")


def expect(condition, text):
    if not condition:
        raise Failure(text)


def esp_sequences(capture):
    """SPI -> sequence numbers in their order, of native ESP and of ESP in UDP."""
    found = {}
    for spi, sequence in re.findall(r"ESP\(spi=(0x[0-9a-f]+),seq=(0x[0-9a-f]+)\)", capture.text()):
        found.setdefault(spi, []).append(int(sequence, 16))
    return found
