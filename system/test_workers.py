"""Several data workers: an SA belongs to one of them, what arrives elsewhere crosses to it; nothing is lost, and flows stay in order."""
import ctypes
import json
import os
import pathlib
import signal

from common import connection, expect, python, start_python
from lab import Merlon, Offices, wait_until
from runner import test

NUMBERS = (0, 1, 2, 3)  # networks on both sides, a connection for each


def config(side, extra="", numbers=NUMBERS, workers=2):
    here, there = ("a", "b") if side == "a" else ("b", "a")
    nets = {"a": "10.1.{}.0/24", "b": "10.2.{}.0/24"}
    addresses = {"a": Offices.A4, "b": Offices.B4}
    text = f"[daemon]\nworkers = {workers}\n"
    for n in numbers:
        text += connection(f"{there}{n}", addresses[here], addresses[there], f"{here}{n}.example", f"{there}{n}.example",
                           f'["{nets[here].format(n)}"]', f'["{nets[there].format(n)}"]', "always" if side == "a" else "wait", extra)
    return text


def offices(lab, numbers=NUMBERS):
    net = Offices(lab)
    for n in numbers[1:]:
        net.host_a.address("eth0", f"10.1.{n}.2/24")
        net.host_b.address("eth0", f"10.2.{n}.2/24")
        net.gw_a.address("lan0", f"10.1.{n}.1/24")
        net.gw_b.address("lan0", f"10.2.{n}.1/24")
    return net


def start_pair(net, extra="", **both):
    b = Merlon(net.gw_b, config("b", extra, **both)).start()
    a = Merlon(net.gw_a, config("a", extra, **both)).start()
    for n in both.get("numbers", NUMBERS):
        a.wait_up(f"b{n}")
        b.wait_child(f"a{n}")
    return a, b


# Numbered datagrams in small bursts over several flows, both ways at once; says how many came of each flow, and how many were behind a later one.
EXCHANGE = """
    import json, selectors, signal, socket, struct, sys, time
    here, there, bursts = sys.argv[1].split(","), sys.argv[2].split(","), int(sys.argv[3])
    flows, watch = [], selectors.DefaultSelector()
    for local, remote in zip(here, there):
        for port in range(7000, 7000 + int(sys.argv[4])):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
            s.bind((local, port))
            s.setblocking(False)
            flow = {"socket": s, "to": (remote, port), "sent": 0, "came": 0, "newest": -1, "late": 0}
            watch.register(s, selectors.EVENT_READ, flow)
            flows.append(flow)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    print("ready", flush=True)
    signal.sigwait([signal.SIGUSR1])
    def read(until):
        while (left := until - time.monotonic()) > 0:
            for key, _ in watch.select(left):
                flow = key.data
                try:
                    while True:
                        number, = struct.unpack("!I", flow["socket"].recv(2000)[:4])
                        flow["came"] += 1
                        flow["late"] += number < flow["newest"]
                        flow["newest"] = max(flow["newest"], number)
                except BlockingIOError:
                    pass
    for burst in range(bursts):
        until = time.monotonic() + 0.02
        for flow in flows:
            for i in range(5):
                flow["socket"].sendto(struct.pack("!I", flow["sent"]) + bytes(40 + 130 * (flow["sent"] % 9)), flow["to"])
                flow["sent"] += 1
        read(until)
    read(time.monotonic() + 2)
    print(json.dumps([{k: f[k] for k in ("sent", "came", "late")} | {"flow": str(f["to"])} for f in flows]), flush=True)
"""


class Exchange:
    def __init__(self, net, bursts, numbers=NUMBERS, flows=3):
        a, b = (",".join(f"10.{side}.{n}.2" for n in numbers) for side in (1, 2))
        self.sides = [start_python(host, EXCHANGE, here, there, bursts, flows, log="exchange.log") for host, here, there in ((net.host_a, a, b), (net.host_b, b, a))]
        for side in self.sides:
            wait_until(lambda: "ready" in side.log() or not side.running(), "a host is ready")
        for side in self.sides:
            side.popen.send_signal(signal.SIGUSR1)

    def running(self):
        return all(side.running() for side in self.sides)

    def check(self, *merlons):
        wait_until(lambda: not any(side.running() for side in self.sides), "both hosts have sent and received everything", timeout=120)
        results = [json.loads(side.log().splitlines()[-1]) for side in self.sides]
        tell = "; ".join(f"drops {m.status()['drops']}, workers {m.status()['workers']}" for m in merlons)
        for sender, receiver in (results, results[::-1]):
            for sent, received in zip(sender, receiver):
                expect(received["came"] == sent["sent"], f"{sent['sent'] - received['came']} of {sent['sent']} datagrams to {sent['flow']} were lost; {tell}")
                expect(received["late"] == 0, f"{received['late']} datagrams to {sent['flow']} came behind later ones; {tell}")


def busy_workers(lab, extra):
    """Rekeys and reloads under traffic."""
    net = offices(lab)
    times = 'lifetime_soft = "3s"\nlifetime_hard = "20s"\nlifetime_jitter = "1s"\n'
    a, b = start_pair(net, times + extra)
    before = {child["spi_in"] for n in NUMBERS for child in a.child_sas(f"b{n}")}
    owners = {}
    for merlon, name in ((a, "b"), (b, "a")):
        owners[name] = [{child["worker"] for child in merlon.child_sas(f"{name}{n}")} for n in NUMBERS]
        expect(set().union(*owners[name]) == {0, 1}, f"both workers should own SAs, not {owners[name]}")
    exchange = Exchange(net, 450)
    b.write_config(config("b", times + extra, numbers=(*NUMBERS, 4)))
    a.write_config(config("a", times + extra, numbers=(*NUMBERS, 4)))
    b.cli("reload")
    a.cli("reload")
    a.wait_up("b4")
    wait_until(lambda: not before & {child["spi_in"] for n in NUMBERS for child in a.child_sas(f"b{n}")}, "every Child SA was rekeyed")
    for merlon, name in ((a, "b"), (b, "a")):
        now = [{child["worker"] for child in merlon.child_sas(f"{name}{n}")} for n in NUMBERS]
        expect(now == owners[name], f"a new SA should stay with the worker of the one before: {owners[name]}, then {now}")
    a.write_config(config("a", times + extra))
    a.cli("reload")
    expect(exchange.running(), "the traffic should outlast all that")
    exchange.check(a, b)
    for merlon in (a, b):
        workers = merlon.status()["workers"]
        expect(sum(w["crossed_out"] for w in workers) > 0, f"flows from the wrong queue should have crossed: {workers}")
        expect(all(w["crossing_refused"] == 0 and w["stalls"] == 0 for w in workers), f"no worker should have been too slow: {workers}")
        expect(not merlon.status()["drops"].get("unknown_spi"), f"the owner should have got its packets: {merlon.status()['drops']}")
        merlon.check_clean_end()


@test
def two_workers_under_rekeys_and_reloads_udp(lab):
    busy_workers(lab, 'encapsulation = "udp"\n')


@test
def two_workers_under_rekeys_and_reloads_native(lab):
    busy_workers(lab, "")


@test
def parallel_child_sas(lab):
    """RFC 9611: one tunnel, a Child SA for each worker, through rekeys; both carry packets."""
    one = NUMBERS[:1]
    net = offices(lab, one)
    times = 'lifetime_soft = "4s"\nlifetime_hard = "20s"\nlifetime_jitter = "1s"\n'
    a, b = start_pair(net, times + 'parallel = "auto"\n', numbers=one)
    for merlon, name in ((a, "b0"), (b, "a0")):
        wait_until(lambda: {child["worker"] for child in merlon.child_sas(name)} == {0, 1}, "each worker owns a Child SA")
    before = {child["spi_in"] for child in a.child_sas("b0")}
    exchange = Exchange(net, 300, one, flows=12)
    carried = set()

    def both_have_carried():
        carried.update(child["worker"] for child in a.child_sas("b0") if child["packets_out"])
        return carried == {0, 1}
    wait_until(both_have_carried, "the Child SAs of both workers carry packets")
    wait_until(lambda: not before & {child["spi_in"] for child in a.child_sas("b0")}, "all were rekeyed")
    exchange.check(a, b)
    for merlon, name in ((a, "b0"), (b, "a0")):
        owners = {child["worker"] for child in merlon.child_sas(name)}
        expect(owners == {0, 1}, f"each worker should still own a Child SA, not only {owners}")
    for merlon in (a, b):
        merlon.check_clean_end()


@test
def more_workers_than_cpus(lab):
    """Of different numbers on both ends, and one that is no power of two."""
    net = offices(lab)
    b = Merlon(net.gw_b, config("b", workers=3)).start()
    a = Merlon(net.gw_a, config("a", workers=5)).start()
    for n in NUMBERS:
        a.wait_up(f"b{n}")
    expect(len({child["worker"] for n in NUMBERS for child in a.child_sas(f"b{n}")}) == 4, "four SAs should be spread over five workers")
    Exchange(net, 100).check(a, b)
    a.check_clean_end()
    b.check_clean_end()


class Stopped:
    """One thread of a process, stopped as a debugger does it."""
    ATTACH, DETACH, WALL = 16, 17, 0x40000000

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)
        expect(self.libc.ptrace(self.ATTACH, tid, 0, 0) == 0, f"thread {tid} should be stopped: {os.strerror(ctypes.get_errno())}")
        os.waitpid(tid, self.WALL)

    def go_on(self):
        expect(self.libc.ptrace(self.DETACH, self.tid, 0, 0) == 0, f"thread {self.tid} should go on")


@test
def a_worker_that_stalls_is_noticed(lab):
    net = offices(lab, NUMBERS[:2])
    a, b = start_pair(net, numbers=NUMBERS[:2])
    monitor = net.gw_a.start(a.build / "merlon", "--socket", a.socket, "-c", a.config, "monitor", log="monitor.log")
    wait_until(lambda: "monitor" in str(monitor.popen.args) and monitor.running(), "the monitor runs")
    tid = next(int(task.name) for task in pathlib.Path(f"/proc/{a.process.pid}/task").iterdir() if (task / "comm").read_text().strip() == "merlond-data1")
    owner = {a.child_sas(f"b{n}")[0]["worker"]: n for n in NUMBERS[:2]}
    thread = Stopped(tid)
    try:
        wait_until(lambda: a.status()["workers"][1]["stalled_s"], "status says that worker 1 stands still")
        wait_until(lambda: "data worker 1 has not moved" in a.log() and "data worker 1 has not moved" in monitor.log(), "log and event stream say so")
        expect("Data worker 1 has not moved" in a.cli("status").stdout, "status should say it to people")
        expect('merlon_worker_stalls_total{worker="1"} 1' in a.cli("metrics").stdout, "the metrics should count it")
        expect(a.status()["workers"][0]["stalled_s"] is None, "worker 0 runs")
        # The other worker's SA goes on: what the kernel puts into the stopped one's queue waits, its own passes.
        came = python(net.host_b, """
            import socket, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.sendto(b"x", (sys.argv[1], 9))
        """, f"10.1.{owner[0]}.2")
        expect(came.returncode == 0, "sending should work")
    finally:
        thread.go_on()
    wait_until(lambda: a.status()["workers"][1]["stalled_s"] is None, "status says that worker 1 runs")
    wait_until(lambda: "data worker 1 runs again" in a.log() and "data worker 1 runs again" in monitor.log(), "log and event stream say so")
    for n in NUMBERS[:2]:
        net.host_a.ping(f"10.2.{n}.2", source=f"10.1.{n}.2")
    monitor.stop(signal.SIGINT)
    a.check_clean_end()
    b.check_clean_end()
