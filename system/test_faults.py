"""What the machine under the daemon can do to it. Each test says what is to come of it."""
import os
import pathlib
import random
import re
import signal
import socket
import struct
import time

from common import Ping, ask, connection, expect, expect_nothing_in_clear, pair, spis, toml_a, toml_b
from fire import holds, metric, metrics, sanitizer
from lab import Merlon, Offices, run, wait_until
from runner import Skip, test

SHORT = 'lifetime_soft = "4s"\nlifetime_hard = "30s"\nlifetime_jitter = "1s"\nike_lifetime_soft = "9s"\nike_lifetime_hard = "60s"\nike_lifetime_jitter = "2s"\n'


def table(host, family="-4"):
    return [line for line in host.ip(family, "route", "show", "table", "4500", check=False).splitlines() if "proto 77" in line]


def flows_again(net, timeout=30):
    for host, destination in ((net.host_a, net.HOST_B4), (net.host_b, net.HOST_A6)):
        wait_until(lambda: host.ping(destination, count=1, wait=1, check=False) == 1, f"{host.name} reaches {destination} again", timeout)


class Faults:
    """system/shim/faults.c below a daemon."""
    FIELDS = ("clock_step_s", "send_percent", "netlink_percent", "failed_sends", "failed_requests")

    def __init__(self, lab, name):
        self.library = lab.build / "system/shim/merlon-faults.so"
        if not self.library.exists():
            raise Skip(f"{self.library} is not built")
        self.path = lab.directory / f"faults-{name}"
        self.path.write_bytes(bytes(8 * len(self.FIELDS)))

    def env(self):
        return {"LD_PRELOAD": str(self.library), "MERLON_FAULTS": str(self.path)}

    def set(self, field, value):
        with open(self.path, "r+b") as file:
            file.seek(8 * self.FIELDS.index(field))
            file.write(struct.pack("=q", value))

    def get(self, field):
        return struct.unpack_from("=q", self.path.read_bytes(), 8 * self.FIELDS.index(field))[0]


def pair_with_faults(lab, net, extra="", **kwargs):
    """As pair(), with faults below gw_a's daemon."""
    faults = Faults(lab, "a")
    b = Merlon(net.gw_b, toml_b(extra=extra, **kwargs)).start()
    a = Merlon(net.gw_a, toml_a(extra=extra, **kwargs)).start(env=faults.env())
    a.wait_up("b")
    b.wait_child("a")
    return a, b, faults


# ---- The process.

@test
def killed_at_any_moment(lab):
    """kill -9 while it starts, negotiates, rekeys, reloads: what stays are guards and nothing else, nothing passes in clear, and the next
    start brings the tunnel back by itself."""
    net = Offices(lab)
    a, b = pair(net, extra=SHORT)
    chance = random.Random(7296)
    # The router pretends to be in the peer's network, too.
    forged = ("10.2.0.99", "fd00:2::99")
    net.router.address("lo", f"{forged[0]}/32", f"{forged[1]}/128")
    net.router.ip("route", "add", "10.1.0.0/24", "via", net.A4)
    net.router.ip("-6", "route", "add", "fd00:1::/64", "via", net.A6)
    entered = net.host_a.capture("eth0", "entered.pcap", ("src", "host", forged[0], "or", "src", "host", forged[1]))
    capture = net.router.capture("any", "clear.pcap")
    forgers = [Ping(net.router, destination, extra=("-I", source)) for source, destination in zip(forged, (net.HOST_A4, net.HOST_A6))]
    flows = [Ping(net.host_a, net.HOST_B4), Ping(net.host_b, net.HOST_A4), Ping(net.host_a, net.HOST_B6), Ping(net.host_b, net.HOST_A6)]
    for round_number in range(16):
        victim, host = ((a, net.gw_a), (b, net.gw_b))[round_number % 2]
        moment = chance.random() * (0.15 if round_number % 4 < 2 else 2.5)  # in the middle of a start, or later
        victim.kill()
        victim.start(wait=False)
        if chance.random() < 0.5:
            host.start(victim.build / "merlon", "--socket", victim.socket, "reload", log="reload.log")
        time.sleep(moment)
        victim.kill()
        left = table(host) + table(host, "-6")
        expect(left and all(route.startswith("blackhole") for route in left), f"after kill -9 {moment:.2f} s after its start only blackholes should stand, not {left}")
        expect("merlon_guard" in host.run("nft", "list", "tables").stdout, "the guard should stand")
        expect("merlon0" not in host.ip("link"), "the device should be gone")
        victim.start()
        if round_number % 4 == 3:
            wait_until(lambda: a.is_up("b"), f"the tunnel is back after round {round_number}")
            flows_again(net)
    for flow in flows + forgers:
        flow.stop()
    for seen in (capture, entered):
        seen.stop()
    expect_nothing_in_clear(capture, but=forged)
    expect(not entered.lines(), f"{len(entered.lines())} packets came in in clear")
    wait_until(lambda: len(b.connection("a")["ike_sas"]) == 1, "one IKE SA stays")
    a.check_clean_end()
    b.check_clean_end()
    for host in (net.gw_a, net.gw_b):
        expect("proto 77" not in host.ip("route", "show", "table", "all") + host.ip("rule"), "a clean stop should leave nothing")
        expect("merlon_guard" not in host.run("nft", "list", "tables").stdout, "a clean stop should take the guard away")


@test
def descriptors_exhausted_while_it_runs(lab):
    """Commands that never say anything take every descriptor: the tunnel goes on and rekeys, nothing spins, and afterwards all is as before."""
    net = Offices(lab)
    a, b = pair(net, extra=SHORT)
    if sanitizer(a) == "asan":
        raise Skip("UBSan asks the kernel through a pipe whether memory is there, and takes no pipe for no memory")
    before = holds(a)
    flow = Ping(net.host_a, net.HOST_B4)
    run("prlimit", f"--pid={a.process.pid}", f"--nofile={before['descriptors'] + 3}:")
    idle = []
    for _ in range(200):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(str(a.socket))
        except OSError:
            pass  # the queue of the socket is full, too
        idle.append(client)
    a.process.popen.send_signal(signal.SIGHUP)  # and somebody wants a new configuration, of all times
    used, old = cpu_s(a), {name for name in spi_set(b, "a")}
    begun = time.monotonic()
    wait_until(lambda: not old & spi_set(b, "a") and time.monotonic() - begun > 6, "the SAs are rekeyed without a free descriptor")
    share = (cpu_s(a) - used) / (time.monotonic() - begun)
    expect(share < 0.5, f"nothing should spin, but {100 * share:.0f} % of a core are used")
    for client in idle:
        client.close()
    wait_until(lambda: a.cli("status", "--json", check=False).returncode == 0, "the daemon answers again")
    run("prlimit", f"--pid={a.process.pid}", "--nofile=1024:")
    expect(flow.lost() == 0, "no packet should be lost")
    wait_until(lambda: holds(a)["descriptors"] <= before["descriptors"], "its descriptors are closed")
    a.check_clean_end()
    b.check_clean_end()


@test
def descriptors_exhausted_at_the_start(lab):
    """Too few to begin with: a sentence and a status that says so, whatever the number, and no routes to a device that is not there."""
    net = Offices(lab)
    b = Merlon(net.gw_b, toml_b()).start()
    a = Merlon(net.gw_a, toml_a())
    started = 0
    for limit in range(5, 40, 3):
        a.start(wait=False, before=("prlimit", f"--nofile={limit}"))
        lines = a.log().count("\n")
        wait_until(lambda: not a.process.running() or "is ready" in a.log().split("\n", lines)[-1], f"an end, or a start with {limit} descriptors")
        if a.process.running():
            started += 1
            expect(a.stop() == 0, "a clean end")
        else:
            log = "\n".join(a.log().splitlines()[lines:])
            ended = a.process.popen.returncode
            expect(ended in (1, 2, 127) and ("open files" in log or "descriptor" in log.lower()), f"{limit} descriptors: status {ended}, and it said:\n{log[-1500:]}")
            expect(all(route.startswith("blackhole") for route in table(net.gw_a)), "no route should lead to a device that is not there")
    expect(started > 0, "with enough of them it should start")
    a.start()
    a.wait_up("b")
    a.check_clean_end()
    b.check_clean_end()


@test
def memory_exhausted(lab):
    """No more address space: the daemon survives, or it stops at once and says so; guards stay and nothing passes in clear. Started
    again it works."""
    net = Offices(lab)
    a, b = pair(net)
    if sanitizer(a):
        raise Skip("a sanitizer's shadow memory and a limit on address space do not go together")
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4)
    size_kb = int(re.search(r"VmSize:\s+(\d+)", pathlib.Path(f"/proc/{a.process.pid}/status").read_text()).group(1))
    run("prlimit", f"--pid={a.process.pid}", f"--as={size_kb * 1024 + 65536}")
    big = toml_a() + "".join(connection(f"x{n}", net.A4, net.B4, f"x{n}.example", "b.example", f'["10.77.{n % 250}.0/24"]', f'["10.{80 + n // 250}.{n % 250}.0/24"]') for n in range(1500))
    a.write_config(big)
    answer = a.cli("reload", check=False)
    a.cli("status", check=False)
    time.sleep(2)
    if a.process.running():
        print(f"  it survived: reload ended with {answer.returncode}, {answer.stderr.strip()[:200]}")
    else:
        log = a.log()[-1500:]
        expect("memory" in log or "bad_alloc" in log, f"it should say that memory is exhausted:\n{log}")
        print(f"  it stopped with {a.process.popen.returncode}: {log.strip().splitlines()[-1][:200]}")
        left = table(net.gw_a)
        expect(left and all(route.startswith("blackhole") for route in left), f"only blackholes should stand, not {left}")
    a.kill()
    a.write_config(toml_a())
    a.start()
    a.wait_up("b")
    flows_again(net)
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def the_disk_is_full(lab):
    """The log, the keys of a trace and the control socket lie on a disk without a free byte: the tunnel stands and rekeys; what cannot be
    written is said or left out; with room again the log goes on."""
    net = Offices(lab)
    disk = lab.directory / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk)
    try:
        b = Merlon(net.gw_b, toml_b(extra=SHORT)).start()
        a = Merlon(net.gw_a, toml_a('log_level = "debug"', extra=SHORT))
        log = disk / "merlond.log"
        a.start(before=("sh", "-c", f'exec "$0" "$@" 2>>{log}'))
        a.wait_up("b")
        flow = Ping(net.host_a, net.HOST_B4)
        fill = disk / "fill"
        with open(fill, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        size, old = log.stat().st_size, spi_set(a, "b")
        wait_until(lambda: not old & spi_set(a, "b"), "the SAs are rekeyed with a full disk")
        wait_until(lambda: log.stat().st_size - size <= 4096, "nothing more fits")
        ask(a, command="reload")
        expect(flow.lost() == 0, "no packet should be lost")
        second = Merlon(net.host_a, f'[daemon]\ncontrol_socket = "{disk}/second.sock"\n')
        second.socket = disk / "second.sock"
        second.write_config("[daemon]\n")
        second.start(wait=False)
        wait_until(lambda: not second.process.running() or second.socket.exists(), "a daemon whose control socket cannot be made ends, or makes it")
        if not second.process.running():
            expect(second.process.popen.returncode == 1 and "second.sock" in second.log(), f"it should name the socket: {second.log()[-500:]}")
        else:
            expect(second.stop() == 0, "a clean end")
        fill.unlink()
        size = log.stat().st_size
        wait_until(lambda: log.stat().st_size > size, "with room again the log goes on")
        a.check_clean_end()
        b.check_clean_end()
    finally:
        for process in lab.processes:
            if process.running():
                process.popen.kill()
                process.popen.wait()
        run("umount", "-l", disk, check=False)


# ---- The clock.

@test
def the_clock_is_stepped(lab):
    """The wall clock jumps by hours, both ways, on one side: no SA ends for it, rekeys come when they are due, no packet is lost."""
    net = Offices(lab)
    a, b, faults = pair_with_faults(lab, net, extra='lifetime_soft = "20s"\nlifetime_hard = "60s"\nlifetime_jitter = "0s"\n')
    sa, flow, begun = spis(a, "b"), Ping(net.host_a, net.HOST_B4), time.monotonic()
    for step in (5 * 3600, -7 * 3600, 400 * 86400, -30 * 86400, 0):
        faults.set("clock_step_s", step)
        time.sleep(1.5)
        expect(spis(a, "b") == sa or time.monotonic() - begun > 19, f"a clock that steps to {step} s should move no SA")
    wait_until(lambda: spis(a, "b") != sa and len(spis(a, "b")) == 1, "the rekey comes when it is due", timeout=40)
    expect(18 <= time.monotonic() - begun <= 30, f"and not {time.monotonic() - begun:.0f} s after the start, whatever the clock said")
    expect(flow.lost() == 0, "no packet should be lost")
    faults.set("clock_step_s", -20 * 365 * 86400)
    a.cli("down", "b")
    a.cli("up", "b")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


# ---- The network below.

@test
def interfaces_go_down_and_up(lab):
    """The outer device, the inner one and our own: whichever goes, nothing passes in clear, and with it everything comes back by itself."""
    net = Offices(lab)
    a, b = pair(net)
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4, interval=0.1)
    kept = spis(a, "b")
    net.gw_a.ip("link", "set", "lan0", "down")
    time.sleep(1)
    net.gw_a.ip("link", "set", "lan0", "up")
    net.gw_a.address("lan0", *[])
    net.gw_a.ip("addr", "replace", "fd00:1::1/64", "dev", "lan0", "nodad")
    flows_again(net)
    expect(spis(a, "b") == kept, "the inner device should matter to no SA")
    net.gw_a.ip("link", "set", "merlon0", "down")
    time.sleep(1.5)
    net.gw_a.ip("link", "set", "merlon0", "up")
    flows_again(net)
    for seconds in (0.5, 4):
        net.gw_a.ip("link", "set", "wan0", "down")
        time.sleep(seconds)
        net.gw_a.ip("link", "set", "wan0", "up")
        net.gw_a.ip("addr", "replace", "2001:db8:a::2/64", "dev", "wan0", "nodad")
        net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
        net.gw_a.ip("-6", "route", "replace", "default", "via", "2001:db8:a::1")
        a.wait_up("b")
        flows_again(net)
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def the_default_route_goes_and_comes(lab):
    """Without it nothing leaves, least of all in clear; with it the tunnel is back by itself."""
    net = Offices(lab)
    a, b = pair(net)
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4)
    for seconds in (0.3, 7):
        net.gw_a.ip("route", "del", "default")
        time.sleep(seconds)
        if seconds > 5:
            expect(not a.is_up("b"), "after so long the peer should count as gone")
            expect(a.connection("b")["last_error"]["sentence"], "and status should say why")
        net.gw_a.ip("route", "add", "default", "via", "198.51.100.1")
        a.wait_up("b")
        flows_again(net)
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def addresses_change_over_and_over(lab):
    """The outer address moves ten times, faster than liveness notices: in the end the tunnel leaves from where it can."""
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a().replace(f'local = "{net.A4}"\n', "")).start()
    b = Merlon(net.gw_b, toml_b().replace(f'remote = "{net.A4}"\n', "")).start()
    a.wait_up("b")
    current = net.A4
    for number in range(10):
        new = f"198.51.100.{20 + number}"
        net.gw_a.ip("addr", "add", f"{new}/24", "dev", "wan0")
        net.gw_a.ip("addr", "del", f"{current}/24", "dev", "wan0")
        net.gw_a.ip("addr", "replace", f"{new}/24", "dev", "wan0")
        net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
        current = new
        time.sleep((0.05, 0.4, 1.2)[number % 3])
    wait_until(lambda: a.is_up("b") and any(sa["local"].startswith(f"{current}:") for sa in a.connection("b")["ike_sas"]), "the tunnel leaves from the last address")
    flows_again(net)
    wait_until(lambda: len(b.connection("a")["ike_sas"]) == 1 and len(a.connection("b")["ike_sas"]) == 1, "one IKE SA stays")
    a.check_clean_end()
    b.check_clean_end()


# ---- The kernel.

@test
def netlink_messages_are_lost(lab):
    """More changes of routes than the socket holds while the daemon is stopped, and among them our own address moves: the kernel says only
    that something was lost (ENOBUFS), so the daemon looks anew and finds it."""
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a().replace(f'local = "{net.A4}"\n', "")).start()
    b = Merlon(net.gw_b, toml_b().replace(f'remote = "{net.A4}"\n', "")).start()
    a.wait_up("b")
    before = holds(a)
    a.process.popen.send_signal(signal.SIGSTOP)
    batch = lambda verb: "".join(f"route {verb} 172.{16 + n // 4000}.{n // 16 % 250}.{n % 16 * 16}/28 via 10.1.0.2\n" for n in range(12000))
    for verb in ("replace", "flush_all"):
        if verb == "replace":
            net.gw_a.run("ip", "-force", "-batch", "-", input=batch(verb), check=False)
        else:
            net.gw_a.ip("route", "flush", "root", "172.16.0.0/12")
    overflown = netlink_drops(net.gw_a, a.process.pid)
    expect(overflown > 0, "the socket's buffer should have overflown")
    net.gw_a.ip("addr", "add", "198.51.100.7/24", "dev", "wan0")
    net.gw_a.ip("addr", "del", f"{net.A4}/24", "dev", "wan0")
    net.gw_a.ip("addr", "replace", "198.51.100.7/24", "dev", "wan0")
    net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
    a.process.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: a.is_up("b") and any(sa["local"].startswith("198.51.100.7:") for sa in a.connection("b")["ike_sas"]), "the tunnel leaves from the new address")
    flows_again(net)
    expect(holds(a)["descriptors"] <= before["descriptors"] + 1, "no descriptor should stay open")
    print(f"  {overflown} netlink messages lost")
    a.check_clean_end()
    b.check_clean_end()


def netlink_drops(host, pid):
    """Messages that sockets of the process lost, as /proc/net/netlink counts them. libnl's port number holds the process number."""
    lines = host.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]
    return sum(int(fields[8]) for fields in map(str.split, lines) if int(fields[2]) & 0x3fffff == pid)


@test
def netlink_refuses_requests(lab):
    """The kernel takes no request while a new configuration comes: the daemon says so, keeps its tunnel, lets nothing out in clear, and
    does what it could not do as soon as it can, by itself."""
    net = Offices(lab)
    a, b, faults = pair_with_faults(lab, net)
    capture = net.router.capture("any", "clear.pcap")
    flow, kept = Ping(net.host_a, net.HOST_B4), spis(a, "b")
    faults.set("netlink_percent", 100)
    more = connection("later", net.A4, net.B4, "later.example", "b.example", '["10.1.0.0/24"]', '["10.9.0.0/24"]', "wait")
    a.write_config(toml_a() + more)
    ask(a, command="reload")
    wait_until(lambda: "routes and guards" in a.log(), "the log says that routes and guards are not as they should be")
    time.sleep(2)
    lines = a.log().count("\n")
    expect(faults.get("failed_requests") > 0, "requests should have failed")
    expect(lines < 200, f"the log should stay short, not {lines} lines")
    faults.set("netlink_percent", 0)
    wait_until(lambda: any("10.9.0.0/24" in route for route in table(net.gw_a)), "the new routes come by themselves", timeout=15)
    expect(flow.lost() == 0 and spis(a, "b") == kept, "the tunnel should not notice")
    for percent in (30, 60):
        faults.set("netlink_percent", percent)
        for _ in range(3):
            net.gw_a.ip("addr", "add", "198.51.100.9/24", "dev", "wan0")
            net.gw_a.ip("addr", "del", "198.51.100.9/24", "dev", "wan0")
            time.sleep(0.7)
    faults.set("netlink_percent", 0)
    a.wait_up("b")
    flows_again(net)
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def what_an_administrator_flushes_comes_back(lab):
    """Somebody flushes our routing table, our rules, and every nftables table: no packet leaves in clear for long, and all of it is back
    within seconds."""
    net = Offices(lab)
    a, b = pair(net)
    for what, command, back in (
            ("routes", ("ip", "route", "flush", "table", "4500"), lambda: len(table(net.gw_a)) == 2),
            ("rules", ("ip", "rule", "flush"), lambda: "4500" in net.gw_a.ip("rule")),
            ("guard", ("nft", "flush", "ruleset"), lambda: "merlon_guard" in net.gw_a.run("nft", "list", "tables").stdout)):
        net.gw_a.run(*command)
        if what == "rules":
            for table_name, priority in (("main", 32766), ("default", 32767)):
                net.gw_a.ip("rule", "add", "from", "all", "lookup", table_name, "priority", priority, check=False)
        wait_until(back, f"the {what} are back", timeout=20)
        flows_again(net)
    a.check_clean_end()
    b.check_clean_end()


@test
def sockets_without_buffers(lab):
    """A third of all sends fails with ENOBUFS: what IKE loses is sent again, so the tunnel stands, rekeys and comes up anew; ESP loses packets
    and counts them."""
    net = Offices(lab)
    a, b, faults = pair_with_faults(lab, net, extra=SHORT + "retransmit_tries = 8\n")
    flow = Ping(net.host_a, net.HOST_B4, interval=0.02)
    faults.set("send_percent", 33)
    old = spi_set(a, "b")
    wait_until(lambda: not old & spi_set(a, "b"), "the SAs are rekeyed")
    a.cli("down", "b")
    a.cli("up", "b")
    page = metrics(a)
    faults.set("send_percent", 100)
    time.sleep(0.5)
    faults.set("send_percent", 0)
    a.wait_up("b")
    flow.stop()
    failed = metric(page, "merlon_io_failures_total", kind="send_blocked") + metric(page, "merlon_io_failures_total", kind="send")
    expect(faults.get("failed_sends") > 20 and failed > 0, f"{faults.get('failed_sends')} sends should have failed, and {failed:.0f} are counted")
    wait_until(lambda: net.host_a.ping(net.HOST_B4, count=20, interval=0.05, wait=1, check=False) == 20, "everything passes again")
    a.check_clean_end()
    b.check_clean_end()


# ---- The configuration.

@test
def replaced_while_it_connects(lab):
    """New configurations at every stage of a negotiation, back and forth, wrong keys and other selectors among them: the last one counts."""
    net = Offices(lab)
    a, b = pair(net)
    chance = random.Random(4301)
    texts = [toml_a(), toml_a().replace("correct horse", "wrong horse"), toml_a(remote_ts='["10.2.0.0/25"]'), toml_a(local_ts='["10.1.0.0/25"]', remote_ts='["10.2.0.0/24"]'),
             toml_a().replace("a.example", "stranger.example"), "[daemon]\n", toml_a(extra='esp_proposals = ["aes128gcm16-x25519-noesn"]\n')]
    for _ in range(120):
        a.write_config(chance.choice(texts))
        ask(a, command="reload")
        time.sleep(chance.random() * 0.06)
    a.write_config(toml_a())
    ask(a, command="reload")
    a.wait_up("b")
    flows_again(net)
    wait_until(lambda: len(b.connection("a")["ike_sas"]) == 1 and len(b.child_sas("a")) == 1, "one IKE SA with one Child SA stays")
    wait_until(lambda: not b.status()["unconfigured_ike_sas"] and not a.status()["unconfigured_ike_sas"], "half-open IKE SAs of negotiations given up end by themselves")
    a.check_clean_end()
    b.check_clean_end()


@test
def two_thousand_reloads(lab):
    """Under traffic, each tenth with a change to another connection: no packet lost, no SA touched, nothing leaked."""
    net = Offices(lab)
    a, b = pair(net)
    other = connection("other", net.A4, net.B4, "other.example", "b.example", '["10.1.0.0/24"]', '["10.9.0.0/24"]', "wait")
    texts = [toml_a() + other, toml_a() + other.replace("10.9.0.0", "10.8.0.0"), toml_a()]
    for number in range(100):
        a.write_config(texts[number % 3])
        ask(a, command="reload")
    before, kept, flow, begun = holds(a), spis(a, "b"), Ping(net.host_a, net.HOST_B4), time.monotonic()
    for number in range(2000):
        if number % 10 == 0:
            a.write_config(texts[number // 10 % 3])
        ask(a, command="reload")
    took, after = time.monotonic() - begun, holds(a)
    expect(spis(a, "b") == kept and flow.lost() == 0, "the tunnel should not notice")
    expect(after["descriptors"] <= before["descriptors"] + 1 and after["threads"] == before["threads"], f"{after} after 2,000 reloads, {before} before")
    expect(after["rss_kb"] - before["rss_kb"] < (150_000 if sanitizer(a) else 3_000), f"{after} after 2,000 reloads, {before} before")
    print(f"  2,000 reloads in {took:.1f} s; memory {after['rss_kb'] - before['rss_kb']:+} kB")
    a.check_clean_end()
    b.check_clean_end()


def spi_set(merlon, name):
    """By which packets come in, without a process of its own."""
    found = next(c for c in ask(merlon, command="status")["connections"] if c["name"] == name)
    return {child["spi_in"] for sa in found["ike_sas"] for child in sa["child_sas"]}


def cpu_s(merlon):
    fields = pathlib.Path(f"/proc/{merlon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
