"""What the machine can do to the daemon: its process, its clock, its configuration. Each test says what is to come of it."""
import datetime
import pathlib
import random
import re
import signal
import socket
import time

from common import FORGED4, FORGED6, Ping, ask, connection, expect, expect_nothing_in_clear, pair, prepare_forger, spis, toml_a, toml_b
from faults import SHORT, cpu_s, flows_again, pair_with_faults, spi_set, table
from fire import holds, sanitizer
from lab import Merlon, Offices, run, wait_until
from runner import Skip, test

# ---- The process.

@test
def killed_at_any_moment(lab):
    """kill -9 while it starts, negotiates, rekeys, reloads: what stays are guards and nothing else, nothing passes in clear, and the next
    start brings the tunnel back by itself."""
    net = Offices(lab)
    prepare_forger(net)
    a, b = pair(net, extra=SHORT)
    chance = random.Random(7296)
    forged = (FORGED4, FORGED6)
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
        expect(answer.returncode != 0 and re.search("memory|bad_alloc", answer.stderr), f"memory was to run out, and the reload to fail for it: {answer.returncode}, {answer.stderr}")
        print(f"  it survived: reload ended with {answer.returncode}, {answer.stderr.strip()[:200]}")
    else:
        log = a.log()[-1500:]
        expect("memory" in log or "bad_alloc" in log, f"it should say that memory is exhausted:\n{log}")
        print(f"  it stopped with {a.process.popen.returncode}: {log.strip().splitlines()[-1][:200]}")
        left = table(net.gw_a)
        expect(left and all(route.startswith("blackhole") for route in left), f"only blackholes should stand, not {left}")
    if a.process.running():
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
        expect_log_time(a, step)
        time.sleep(1.5)
        expect(spis(a, "b") == sa or time.monotonic() - begun > 19, f"a clock that steps to {step} s should move no SA")
    wait_until(lambda: spis(a, "b") != sa and len(spis(a, "b")) == 1, "the rekey comes when it is due", timeout=40)
    expect(14 <= time.monotonic() - begun <= 30, f"and not {time.monotonic() - begun:.0f} s after the start, whatever the clock said")
    expect(flow.lost() == 0, "no packet should be lost")
    faults.set("clock_step_s", -20 * 365 * 86400)
    a.cli("down", "b")
    a.cli("up", "b")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


def expect_log_time(merlon, step_s):
    """That the daemon's clock is stepped: by what it writes into its log, as it does after SIGHUP."""
    lines = merlon.log().count("\n")
    merlon.process.popen.send_signal(signal.SIGHUP)
    written = lambda: re.search(r"^([\d-]+ [\d:]+)\.\d+ ", "".join(merlon.log().splitlines(keepends=True)[lines:]), re.M)
    stamp = datetime.datetime.fromisoformat(wait_until(written, "the reload is told in the log").group(1))
    stepped = datetime.datetime.now() + datetime.timedelta(seconds=step_s)
    expect(abs(stamp - stepped) < datetime.timedelta(hours=2), f"the daemon's clock should say {stepped}, and its log says {stamp}")


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
