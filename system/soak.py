"""A soak: traffic, rekeys, reloads and faults at random, for as long as one likes; what the daemons hold must stay level.

From one seed; a failure names it. Faults come one after the other, each with the time that recovery takes, so that at every moment it is
known what should work."""
import random
import re
import time

from common import Ping, ask, connection, expect, expect_nothing_in_clear, tcp_server, tcp_transfer, toml_a, toml_b
from fire import Flood, holds, sanitizer
from lab import Failure, Merlon, Offices, wait_until

LIFETIMES = ('lifetime_soft = "6s"\nlifetime_hard = "60s"\nlifetime_jitter = "4s"\nike_lifetime_soft = "15s"\nike_lifetime_hard = "90s"\n'
             'ike_lifetime_jitter = "9s"\nlifetime_soft_bytes = "3MB"\n')


class Soak:
    def __init__(self, lab, seed):
        self.lab, self.chance = lab, random.Random(seed)
        self.net = Offices(lab)
        self.b = Merlon(self.net.gw_b, self.text_b()).start()
        self.a = Merlon(self.net.gw_a, self.text_a()).start()
        self.a.wait_up("b")
        self.server = tcp_server(self.net.host_b, self.net.HOST_B4)
        self.done = {}
        self.rekeyed = self.dropped = 0  # by hand; by the lossy router

    def text_a(self, others=0):
        return toml_a("keep_guard_on_stop = true", extra=LIFETIMES) + self.others(others, self.net.A4, self.net.B4)

    def text_b(self, others=0):
        return toml_b("keep_guard_on_stop = true", extra=LIFETIMES) + self.others(others, self.net.B4, self.net.A4)

    def others(self, count, local, remote):
        return "".join(connection(f"other{n}", local, remote, f"here{n}.example", f"there{n}.example", f'["10.60.{n}.0/24"]', f'["10.61.{n}.0/24"]', "wait") for n in range(count))

    # What happens. Each leaves the tunnel where it can come back by itself.

    def transfer(self):
        tcp_transfer(self.net.host_a, self.net.HOST_B4, size=self.chance.randrange(100_000, 4_000_000))

    def rekey(self):
        for merlon, name in ((self.a, "b"), (self.b, "a")):
            if self.chance.random() < 0.7:
                answer = merlon.cli("rekey", name, *(["--ike"] if self.chance.random() < 0.5 else []), check=False)  # refused when one is going on
                self.rekeyed += answer.returncode == 0

    def reload(self):
        for merlon, text in ((self.a, self.text_a), (self.b, self.text_b)):
            for _ in range(self.chance.randrange(1, 30)):
                merlon.write_config(text(self.chance.randrange(0, 4)))
                ask(merlon, command="reload")

    def down_and_up(self):
        ask(self.a, command="down", connection="b")
        ask(self.a, command="up", connection="b", wait=False)

    def crash(self):
        merlon = self.chance.choice((self.a, self.b))
        merlon.kill()
        time.sleep(self.chance.random())
        merlon.start()

    def restart(self):
        merlon = self.chance.choice((self.a, self.b))
        expect(merlon.stop() == 0, "a clean end")
        merlon.start()

    def cut(self):
        device = self.chance.choice(("to-a", "to-b"))
        self.net.router.ip("link", "set", device, "down")
        time.sleep(self.chance.random() * 6)
        self.net.router.ip("link", "set", device, "up")
        self.net.router.ip("-6", "addr", "replace", f"2001:db8:{device[-1]}::1/64", "dev", device, "nodad")

    def loss(self):
        """Of 15 % each way. By nftables, which every machine has that these tests run on; netem is not in every kernel."""
        rule = "numgen random mod 100 < 15 counter drop"
        self.net.router.run("nft", f"table inet loss {{ chain forward {{ type filter hook forward priority 0; {rule}; }}; }}")
        time.sleep(2 + self.chance.random() * 4)
        dropped = int(re.search(r"counter packets (\d+)", self.net.router.run("nft", "list", "table", "inet", "loss").stdout).group(1))
        self.net.router.run("nft", "delete", "table", "inet", "loss")
        expect(dropped > 0, "packets should have been lost")
        self.dropped += dropped

    def flood(self):
        kind = self.chance.choice(("init", "garbage", "unknown-spis", "ip-fragments"))
        Flood(self.net, kind, rate=5000, seconds=2, seed=self.chance.randrange(1 << 30), **{"from": "27.0.0.0/8"}).wait()

    def own_device(self):
        self.net.gw_a.ip("link", "set", "merlon0", "down")
        time.sleep(0.3)
        self.net.gw_a.ip("link", "set", "merlon0", "up")

    def routes(self):
        batch = "".join(f"route replace 172.20.{n // 16}.{n % 16 * 16}/28 via 10.1.0.2\n" for n in range(2000))
        self.net.gw_a.run("ip", "-force", "-batch", "-", input=batch, check=False)
        self.net.gw_a.ip("route", "flush", "root", "172.20.0.0/16")

    KINDS = ("transfer", "transfer", "rekey", "rekey", "reload", "down_and_up", "crash", "restart", "cut", "loss", "flood", "own_device", "routes")

    def one(self):
        kind = self.chance.choice(self.KINDS)
        begun = time.monotonic()
        try:
            getattr(self, kind)()
            self.recovered()
        except Failure as failure:
            raise Failure(f"after {kind}: {failure}\ngw_a's log:\n{self.a.log()[-2500:]}\ngw_b's log:\n{self.b.log()[-2500:]}") from None
        count, seconds = self.done.get(kind, (0, 0.0))
        self.done[kind] = count + 1, max(seconds, time.monotonic() - begun)

    def recovered(self):
        """Up, traffic both ways in both families, and before long one IKE SA with one Child SA."""
        wait_until(lambda: self.a.is_up("b"), "the tunnel is up")
        for host, destination in ((self.net.host_a, self.net.HOST_B4), (self.net.host_b, self.net.HOST_A6)):
            wait_until(lambda: host.ping(destination, count=1, wait=1, check=False) == 1, f"{host.name} reaches {destination}")
        wait_until(lambda: all(len(m.connection(n)["ike_sas"]) == 1 and len(m.child_sas(n)) == 1 for m, n in ((self.a, "b"), (self.b, "a"))), "one IKE SA with one Child SA stays")

    def level(self):
        """Of daemons that have lived since the beginning of the last stretch."""
        self.recovered()
        return {name: holds(merlon) for name, merlon in (("gw_a", self.a), ("gw_b", self.b))}


def soak(lab, seconds, seed):
    """The daemons of the second half are never killed: they are those whose memory is looked at."""
    run = Soak(lab, seed)
    capture = run.net.router.capture("any", "clear.pcap", ("udp port 7777 or net 10.0.0.0/8 or net fd00::/8",))
    flows = [Ping(run.net.host_a, run.net.HOST_B4, interval=0.05), Ping(run.net.host_b, run.net.HOST_A6, interval=0.05)]
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < seconds * 0.4:
            run.one()
        run.KINDS = tuple(kind for kind in run.KINDS if kind not in ("crash", "restart"))
        while time.monotonic() - begun < seconds * 0.55:
            run.one()
        run.reload()
        before = run.level()
        while time.monotonic() - begun < seconds * 0.95:
            run.one()
        for merlon, text in ((run.a, run.text_a), (run.b, run.text_b)):
            merlon.write_config(text(3))
            ask(merlon, command="reload")
        after = run.level()
    except Failure as failure:
        raise Failure(f"soak with seed {seed}, {time.monotonic() - begun:.0f} s after its begin: {failure}") from None
    for flow in flows:
        flow.stop()
    capture.stop()
    print("  " + ", ".join(f"{kind} {count} (longest {longest:.1f} s)" for kind, (count, longest) in sorted(run.done.items())))
    print(f"  {run.rekeyed} rekeys by hand; {run.dropped} packets dropped on the way")
    print(f"  before {before}\n  after  {after}")
    expect_nothing_in_clear(capture)
    expect(run.rekeyed > 0 or "rekey" not in run.done, "rekeys by hand should have succeeded")
    for name, merlon in (("gw_a", run.a), ("gw_b", run.b)):
        was, held = before[name], after[name]
        expect(held["descriptors"] <= was["descriptors"] + 2, f"{name}: {held['descriptors']} descriptors, {was['descriptors']} before")
        expect(held["threads"] == was["threads"], f"{name}: {held['threads']} threads, {was['threads']} before")
        expect(held["rss_kb"] - was["rss_kb"] < (200_000 if sanitizer(merlon) else 8_000), f"{name}: {held['rss_kb']} kB, {was['rss_kb']} kB before")
    run.a.check_clean_end()
    run.b.check_clean_end()
