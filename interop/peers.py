"""Merlon on gateway a (10.1.0.0/24) and strongSwan on gateway b (10.2.0.0/24), and what is asked of every tunnel.

Identities are a.example and b.example. `Pair` holds both configurations as values; a test changes them before start().
"""
import re
import signal
import sys
import time

import credentials
from lab import ROOT, Failure, Merlon, Offices, wait_until
from strongswan import StrongSwan, credential_sections

PSK = "correct horse battery staple"
SUITES = {  # name: (ESP proposal, what strongSwan then says)
    "gcm": ("aes256gcm16", "AES_GCM_16-256"),
    "cbc-sha256": ("aes256-sha256", "AES_CBC-256-HMAC_SHA2_256_128"),
    "chacha20": ("chacha20poly1305", "CHACHA20_POLY1305"),
}
IKE = "aes256gcm16-prfsha384-x25519"
FAST = {  # a peer that went away is noticed soon
    "retransmit_initial": "500ms", "retransmit_factor": 1.4, "retransmit_tries": 5, "liveness_interval": "2s", "backoff_initial": "1s", "backoff_max": "2s"}


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return '"' + str(value) + '"'


def toml_table(name, keys):
    return f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items() if value is not None) + "\n"


class Pair:
    """Tunnel "net" of connection "b" (Merlon's name) and "a" (strongSwan's)."""

    def __init__(self, lab, auth="psk", suite="gcm", net=None):
        self.lab, self.net = lab, net or Offices(lab)
        proposal = SUITES[suite][0] if suite in SUITES else suite
        self.daemon = {}
        self.connection = {"local": self.net.A4, "remote": self.net.B4, "local_id": "a.example", "remote_id": "b.example", "ike_proposals": [IKE], "start": "wait", **FAST}
        self.child = {"local_ts": "10.1.0.0/24", "remote_ts": "10.2.0.0/24", "esp_proposals": [proposal]}
        self.children = None  # further or other children: {name: keys}
        self.swan_child = {"local_ts": "10.2.0.0/24", "remote_ts": "10.1.0.0/24", "esp_proposals": proposal}
        self.swan_connection = {"version": 2, "local_addrs": self.net.B4, "remote_addrs": self.net.A4, "proposals": IKE,
                                "local": {"auth": "psk", "id": "b.example"}, "remote": {"auth": "psk", "id": "a.example"}, "children": {"net": self.swan_child}}
        self.swan_secrets, self.swan_files, self.charon = {}, {}, {}
        self.merlon = self.swan = None
        if auth == "psk":
            self.psk(PSK, PSK)
        else:
            self.certificates(credentials.by_merlon(lab.build, auth, "a.example"), credentials.by_strongswan(auth, "b.example"))

    def psk(self, merlon, swan):
        self.connection["psk"] = merlon
        self.swan_secrets = {"ike-a": {"id-1": "a.example", "id-2": "b.example", "secret": swan}}

    def certificates(self, merlon, swan):
        """Each side holds its own credentials and trusts the other's authority."""
        self.connection.pop("psk", None)
        chain = self.lab.directory / "merlon-chain.pem"
        chain.write_text("".join(path.read_text() for path in (merlon.certificate, *merlon.intermediates)))
        self.connection |= {"certificate": str(chain), "private_key": str(merlon.key), "ca": [str(swan.authority)]}
        self.swan_connection["local"] |= {"auth": "pubkey", "certs": swan.certificate.name}
        self.swan_connection["remote"]["auth"] = "pubkey"
        self.swan_secrets = {}
        # Its own authority stands there too, so that it knows where its chain leads.
        self.swan_files = credential_sections(swan, [merlon.authority, swan.authority])

    def merlon_toml(self):
        children = self.children or {"net": self.child}
        text = toml_table("daemon", {"log_level": "debug", **self.daemon}) + toml_table("connection.b", self.connection)
        return text + "".join(toml_table(f"connection.b.child.{name}", keys) for name, keys in children.items())

    def start(self, merlon=True, swan=True):
        if swan:
            self.swan = StrongSwan(self.net.gw_b, {"a": self.swan_connection}, self.swan_secrets, self.swan_files, self.charon).start()
        if merlon:
            self.merlon = Merlon(self.net.gw_a, self.merlon_toml()).start()
        return self

    def up(self, initiator="merlon"):
        """Both sides say that the tunnel is there."""
        if initiator == "merlon":
            self.merlon.cli("up", "b", timeout=40)
        else:
            self.swan.initiate("net")
        self.merlon.wait_child("b")
        self.swan.wait_child("net")
        return self

    def check_algorithms(self, text):
        """strongSwan says that its Child SA uses these."""
        theirs = self.swan.child_sas("net")[0]["algorithms"]
        if theirs != text:
            raise Failure(f"expected {text}; strongSwan says {theirs}, Merlon {self.merlon.child_sas('b')[0]['algorithms']}")

    def check_proof(self, method):
        """strongSwan says how Merlon proved itself, and itself to Merlon."""
        for who in ("a.example", "b.example"):
            said = re.search(rf"authentication of '{who}'.* with (.*?)( successful)?\n", self.swan.log())
            if not said or method not in said.group(1):
                raise Failure(f"expected that {who} is authenticated with {method}; strongSwan says {said and said.group(0)}")

    def check_protected(self):
        """Both sides counted what went through the tunnel."""
        sa = self.merlon.child_sas("b")[0]
        if min(sa["packets_in"], sa["packets_out"]) < 1000:
            raise Failure(f"3 MB each way, but Merlon counted {sa['packets_in']} packets in and {sa['packets_out']} out")

    def ping_both_ways(self):
        self.net.host_a.ping(self.net.HOST_B4, count=3, interval=0.05)
        self.net.host_b.ping(self.net.HOST_A4, count=3, interval=0.05)

    def use(self):
        """Ping and a TCP transfer, both ways."""
        self.ping_both_ways()
        transfer(self.net.host_a, self.net.host_b, self.net.HOST_B4)
        transfer(self.net.host_b, self.net.host_a, self.net.HOST_A4)

    def last_error(self):
        return self.merlon.connection("b").get("last_error") or {}

    def end(self):
        self.merlon.check_clean_end()
        return self

    def excerpt(self):
        """The ends of both logs, for a failure's report."""
        parts = []
        if self.merlon:
            parts.append(f"--- merlond\n{_tail(self.merlon.log(), 45)}")
        if self.swan:
            parts.append(f"--- charon\n{_tail(self.swan.log(), 45)}")
        return "\n".join(parts)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, Exception):
            raise Failure(f"{error}\n{self.excerpt()}") from error


def _tail(text, lines):
    # charon repeats its whole configuration, indented.
    return "\n".join(line[:400] for line in [line for line in text.splitlines() if "[CFG]  " not in line][-lines:])


def transfer(sender, receiver, address, port=5201, size=3_000_000):
    """One TCP stream; both ends compare a hash of what went over."""
    script = ROOT / "tools/quickstart/transfer.py"
    log = f"receive-from-{sender.name}.log"
    (receiver.directory / log).unlink(missing_ok=True)
    listener = receiver.start(sys.executable, script, "receive", port, log=log)
    wait_until(lambda: "listening" in listener.log() or not listener.running(), "the receiver listens", interval=0.03)
    result = sender.run(sys.executable, script, "send", address, port, size, check=False, timeout=30)
    listener.stop()
    if "verified" not in result.stdout:
        raise Failure(f"TCP from {sender.name} to {address}: {result.stdout[-200:]}{result.stderr[-1000:]}")


class Pings:
    """A ping every 10 ms while a `with` block runs; not one may be lost."""

    def __init__(self, host, destination, interval=0.01):
        self.host, self.destination, self.interval = host, destination, interval

    def __enter__(self):
        self.process = self.host.start("ping", "-n", "-q", "-i", self.interval, "-W", "2", self.destination, log=f"pings-{self.destination}.log")
        return self

    def __exit__(self, kind, error, _):
        time.sleep(0.3)  # the last answers
        self.process.stop(signal.SIGINT)
        self.report = self.process.log()

    def check_none_lost(self, at_least=20):
        sent, received = (int(n) for n in re.search(r"(\d+) packets transmitted, (\d+) received", self.report).groups())
        # The last one can still be under way when ping is interrupted.
        if sent < at_least or received < sent - 1:
            raise Failure(f"{self.host.name} to {self.destination}: {sent - received} of {sent} pings lost\n{self.report}")
