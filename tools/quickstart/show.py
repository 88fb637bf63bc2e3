"""The show of ./quickstart: two offices, a hostile network between them, and the five steps of IPsec on live packets."""
import argparse
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))
from lab import KEPT, Lab, Merlon, Offices, remove_namespace, run, wait_until  # noqa: E402

COLOUR = sys.stdout.isatty()

PICTURE = r"""
   Berlin office                        "the internet"                       Paris office
  +---------------+    +---------+      +------------+      +---------+    +---------------+
  | host 10.1.0.2 |----| gateway |------|   router   |------| gateway |----| host 10.2.0.2 |
  +---------------+    +---------+      | (and spy)  |      +---------+    +---------------+
                      198.51.100.2      +------------+     203.0.113.2
"""

CONFIG = """[connection.{peer}]
remote = "{remote}"
local_id = "{name}.example"
remote_id = "{peer}.example"
certificate = "{name}.pem"
private_key = "{name}.key"
ca = "ca/ca.pem"
local_ts = "{local_ts}"
remote_ts = "{remote_ts}"
start = "{start}"
"""
# Only for this show: a peer that does not answer is given up after seconds, not minutes.
HASTE = """liveness_interval = "2s"
retransmit_initial = "500ms"
retransmit_tries = 4
backoff_max = "2s"
"""


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def title(text):
    print("\n" + paint("1;36", f"== {text}"))


def say(text=""):
    print(f"   {text}" if text else "")


def indent(text, limit=40):
    for line in text.strip("\n").splitlines()[:limit]:
        print("     " + paint("2", line))


class Events:
    """What `merlon trace --json` of a gateway tells, collected in the background."""

    def __init__(self, gateway, name):
        self.events, self.lock = [], threading.Lock()
        self.process = subprocess.Popen(["ip", "netns", "exec", gateway.host.ns, str(gateway.build / "merlon"), "--socket", str(gateway.socket),
                                         "trace", name, "--json"], stdout=subprocess.PIPE, text=True, start_new_session=True)
        gateway.host.lab.processes.append(type("Follower", (), {"running": lambda _: self.process.poll() is None, "popen": self.process})())
        threading.Thread(target=self.read, daemon=True).start()
        time.sleep(0.3)

    def read(self):
        for line in self.process.stdout:
            with self.lock:
                self.events.append(json.loads(line))

    def all(self, kind):
        with self.lock:
            return [e for e in self.events if e["event"] == kind]

    def wait(self, kind, count=1):
        return wait_until(lambda: len(self.all(kind)) >= count and self.all(kind)[-1], f"event {kind}")


def first_packet(path, *expression):
    text = run("tcpdump", "-n", "-r", path, "-c", "1", "-X", *expression, check=False).stdout
    return re.sub(r"^\d\d:\d\d:\d\d\.\d+ ", "", text)


def make_identities(lab, gateways):
    merlon = lab.build / "merlon"
    folder = lab.directory / "pki"
    folder.mkdir()
    run(merlon, "pki", "init", "--ca", folder / "ca", "--dn", "O=Example, CN=Example VPN CA")
    say("$ merlon pki init --ca ca --dn 'O=Example, CN=Example VPN CA'")
    for gateway, name in gateways:
        run(merlon, "pki", "issue", "--ca", folder / "ca", "--dn", f"O=Example, CN={name}.example", "--san", f"{name}.example", "--key",
            folder / f"{name}.key", "--out", folder / f"{name}.pem")
        say(f"$ merlon pki issue --ca ca --san {name}.example --key {name}.key --out {name}.pem")
        target = gateway.directory / "merlon"
        (target / "ca").mkdir(parents=True)
        for file in (f"{name}.key", f"{name}.pem"):
            (folder / file).rename(target / file)
        (target / "ca/ca.pem").write_text((folder / "ca/ca.pem").read_text())


def show_messages(messages):
    for message in messages:
        say(paint("33", "Berlin --> Paris" if message["sent"] else "Berlin <-- Paris"))
        indent("\n".join(message["lines"]))


def progress_bar(lab, net):
    total = 64 * 1024 * 1024
    receiver = net.host_b.start("/usr/bin/python3", HERE / "transfer.py", "receive", "5001", log="receive.log")
    wait_until(lambda: "listening" in receiver.log(), "the receiver listens")
    begun = time.monotonic()
    sender = net.host_a.start("/usr/bin/python3", "-u", HERE / "transfer.py", "send", net.HOST_B4, "5001", total, log="send.log")
    while sender.running():
        numbers = re.findall(r"^\d+$", sender.log(), re.M)
        sent = int(numbers[-1]) if numbers else 0
        if COLOUR:
            print(f"\r   [{'#' * (sent * 50 // total):<50}] {sent / 1e6:6.1f} MB", end="", flush=True)
        time.sleep(0.1)
    took = time.monotonic() - begun
    if "verified" not in sender.log():
        raise SystemExit(f"the transfer failed: {sender.log()}")
    print(("\r" if COLOUR else "") + f"   [{'#' * 50}] {total / 1e6:6.1f} MB, every byte verified, {total * 8 / took / 1e6:.0f} Mbit/s")


def show_eavesdropper(path):
    count = lambda *e: len(run("tcpdump", "-n", "-r", path, *e).stdout.splitlines())
    ike, esp = count("udp port 500 or (udp port 4500 and udp[8:4] = 0)"), count("esp or (udp port 4500 and udp[8:4] != 0)")
    other_expression = "not esp and not udp port 500 and not udp port 4500 and not arp and not icmp6 and not dst net ff02::/16"
    other = count(other_expression)
    inside = count("ip net 10.1.0.0/24 or ip net 10.2.0.0/24")
    say(f"the spy on the router captured {ike} IKE messages, {esp} ESP packets, {other} others;")
    say(f"packets that show an address of the offices: {inside}")
    if other:
        indent(run("tcpdump", "-n", "-r", path, other_expression).stdout, 10)
    return other == 0 and inside == 0


def outage(lab, net, berlin, events):
    closed = len(events.all("ike-sa-closed"))
    net.router.ip("link", "set", "to-b", "down")
    say("the router's link to Paris is down ...")
    wait_until(lambda: len(events.all("ike-sa-closed")) > closed, "Berlin notices", timeout=90)
    say(f"Berlin noticed: {events.all('ike-sa-closed')[-1]['reason']['sentence']}")
    established = len(events.all("ike-sa-established"))
    net.router.ip("link", "set", "to-b", "up")
    begun = time.monotonic()
    say("the link is up again ...")
    wait_until(lambda: len(events.all("ike-sa-established")) > established and berlin.is_up("paris"), "the tunnel is back", timeout=90)
    say(f"the tunnel came back by itself after {time.monotonic() - begun:.1f} s")
    net.host_a.ping(net.HOST_B4)


def show(lab, keep):
    begun = time.monotonic()
    title("Two offices, and a network nobody trusts")
    print(PICTURE)
    net = Offices(lab)
    make_identities(lab, ((net.gw_a, "berlin"), (net.gw_b, "paris")))
    config_a = CONFIG.format(name="berlin", peer="paris", remote=net.B4, local_ts="10.1.0.0/24", remote_ts="10.2.0.0/24", start="on-traffic")
    config_b = CONFIG.format(name="paris", peer="berlin", remote=net.A4, local_ts="10.2.0.0/24", remote_ts="10.1.0.0/24", start="wait")
    say("\n   Berlin's whole configuration (Paris has the mirror image):")
    indent(config_a)
    berlin, paris = Merlon(net.gw_a, config_a + HASTE), Merlon(net.gw_b, config_b + HASTE)
    paris.start()
    berlin.start()
    spy, inside = net.router.capture("to-a", "spy.pcap"), net.gw_a.capture("lan0", "inside.pcap", ("icmp",))
    events = Events(berlin, "paris")

    title("Step 1: recognise. Berlin's host sends its first packet to Paris; the policy says: protect")
    net.host_a.run("ping", "-n", "-c", "1", "-W", "10", net.HOST_B4, check=False)
    wait_until(lambda: first_packet(inside.path, "icmp"), "the packet is captured")
    indent(first_packet(inside.path, "icmp"))
    entry = berlin.connection("paris")["children"][0]
    say(f"policy (SPD): {entry['local_ts']} === {entry['remote_ts']} {entry['action']}. No SA yet: negotiate one, hold the packet.")

    title("Step 2: negotiate the IKE SA")
    established = events.wait("ike-sa-established")
    child = events.wait("child-sa-established")
    messages = wait_until(lambda: len(events.all("message")) >= 4 and events.all("message"), "four messages")
    show_messages(messages[:2])
    say(f"chosen: {paint('32', established['algorithms'])}")
    show_messages(messages[2:4])
    say(f"{established['remote_id']} proved who it is by {established['remote_auth']}")
    say(f"{established['local_id']} (we) by {established['local_auth']}")

    title("Step 3: negotiate the Child SA, the pair of SAs that carries packets")
    say(f"{child['local_ts']} === {child['remote_ts']}, {child['algorithms']}")
    say(f"SPI {child['spi_in']} for packets to Berlin, SPI {child['spi_out']} for packets to Paris")

    title("Step 4: transmit")
    berlin.wait_up("paris")
    net.host_a.ping(net.HOST_B4, count=5)
    say("five pings, five answers. The first packet as the spy saw it after protection:")
    time.sleep(0.5)
    indent(first_packet(spy.path, "esp or (udp port 4500 and udp[8:4] != 0)"))
    progress_bar(lab, net)

    title("What the spy on the router has")
    clean = show_eavesdropper(spy.stop())

    title("The router goes down for a while")
    # on-traffic: the hosts keep talking, as people do.
    talker = net.host_a.start("ping", "-n", "-q", "-i", "0.5", net.HOST_B4, log="talker.log")
    outage(lab, net, berlin, events)
    talker.stop(signal.SIGINT)

    summary = berlin.cli("status").stdout
    title("merlon status")
    indent(summary)
    if keep:
        return keep_standing(lab, net, berlin, paris)

    title("Step 5: terminate. The Child SA and the IKE SA are deleted, on both sides, and their keys wiped")
    seen = len(events.all("message"))
    berlin.cli("down", "paris")
    wait_until(lambda: not berlin.connection("paris")["ike_sas"] and not paris.connection("berlin")["ike_sas"], "both sides are down")
    time.sleep(0.3)
    show_messages(events.all("message")[seen:seen + 2])
    say("both gateways: no IKE SA, no Child SA; the memory that held the keys is overwritten")
    lost = net.host_a.ping("10.2.0.2", count=1, wait=1, check=False)
    say(f"and no packet goes in clear now: {'it did!' if lost else 'a ping to Paris is dropped at the gateway'}")

    title("In short")
    say(f"{len(events.all('ike-sa-established'))} IKE SAs negotiated, one outage survived, 64 MiB moved and verified,")
    say(f"{'nothing but IKE and ESP seen by the spy' if clean else paint('31', 'the spy saw more than it should')}, in {time.monotonic() - begun:.0f} s. Nothing is left behind.")
    say("Next: README.md, `man merlon`, docs/how-ipsec-works.md")
    return 0 if clean and not lost else 1


def keep_standing(lab, net, berlin, paris):
    lab.keep = True
    KEPT.write_text(json.dumps({"namespaces": [h.ns for h in lab.hosts.values()], "directory": str(lab.directory)}))
    title("The two offices stay")
    say(f"Berlin's host:     ip netns exec {net.host_a.ns} bash       (try: ping {net.HOST_B4})")
    say(f"Berlin's gateway:  ip netns exec {net.gw_a.ns} {berlin.build}/merlon --socket {berlin.socket} status")
    say(f"Paris's gateway:   ip netns exec {net.gw_b.ns} {paris.build}/merlon --socket {paris.socket} status")
    say(f"the spy:           ip netns exec {net.router.ns} tcpdump -n -i to-a")
    say("remove all of it:  ./quickstart --down")
    return 0


def take_down():
    if not KEPT.exists():
        print("Nothing stands.")
        return 0
    kept = json.loads(KEPT.read_text())
    for namespace in kept["namespaces"]:
        remove_namespace(namespace)
    directory = pathlib.Path(kept["directory"])
    if directory.name.startswith("merlon-lab-"):
        run("rm", "-rf", directory)
    KEPT.unlink()
    print("Removed.")
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--down", action="store_true")
    options = parser.parse_args()
    if options.down:
        return take_down()
    if KEPT.exists():
        take_down()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Lab(options.build) as lab:
        return show(lab, options.keep)


if __name__ == "__main__":
    sys.exit(main())
