#!/usr/bin/python3
"""tunnel_quick.py [--build DIR] [--seconds S] [--rounds N] [--udp] [--v6] [--perf DIR]: one TCP stream through two
gateways, and the same stream through the same namespaces without Merlon, interleaved. A quick look while working on the
packet path; the official figures are those of ./bench/run tunnel.

    host-a -- gw-a ==== gw-b -- host-b      veth with all offloads; merlond on both gateways, ESP in UDP
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools/lab"))
from lab import Lab, Merlon, run, wait_until  # noqa: E402


def link(a, device_a, b, device_b):
    run("ip", "link", "add", device_a, "netns", a.ns, "type", "veth", "peer", "name", device_b, "netns", b.ns)


class Line:
    def __init__(self, lab):
        self.host_a, self.gw_a, self.gw_b, self.host_b = (lab.host(n) for n in ("host-a", "gw-a", "gw-b", "host-b"))
        link(self.host_a, "eth0", self.gw_a, "lan0")
        link(self.gw_a, "wan0", self.gw_b, "wan0")
        link(self.host_b, "eth0", self.gw_b, "lan0")
        self.gw_a.forward()
        self.gw_b.forward()
        self.host_a.address("eth0", "10.1.0.2/24", "fd00:1::2/64")
        self.gw_a.address("lan0", "10.1.0.1/24", "fd00:1::1/64")
        self.gw_a.address("wan0", "198.51.100.1/24")
        self.gw_b.address("wan0", "198.51.100.2/24")
        self.gw_b.address("lan0", "10.2.0.1/24", "fd00:2::1/64")
        self.host_b.address("eth0", "10.2.0.2/24", "fd00:2::2/64")
        # For the plain runs; Merlon's own rule comes first.
        self.gw_a.address("wan0", "fd00:9::1/64")
        self.gw_b.address("wan0", "fd00:9::2/64")
        self.gw_a.ip("route", "add", "10.2.0.0/24", "via", "198.51.100.2")
        self.gw_b.ip("route", "add", "10.1.0.0/24", "via", "198.51.100.1")
        self.gw_a.ip("-6", "route", "add", "fd00:2::/64", "via", "fd00:9::2")
        self.gw_b.ip("-6", "route", "add", "fd00:1::/64", "via", "fd00:9::1")
        self.host_a.ip("route", "add", "default", "via", "10.1.0.1")
        self.host_b.ip("route", "add", "default", "via", "10.2.0.1")
        self.host_a.ip("-6", "route", "add", "default", "via", "fd00:1::1")
        self.host_b.ip("-6", "route", "add", "default", "via", "fd00:2::1")


def toml(local, remote, local_id, remote_id, local_ts, remote_ts, start, daemon, native):
    encapsulation = "native" if native else "udp"
    return f"""[daemon]
{daemon}
[connection.x]
local = "{local}"
remote = "{remote}"
local_id = "{local_id}"
remote_id = "{remote_id}"
psk = "a quick look while working on it"
local_ts = {local_ts}
remote_ts = {remote_ts}
esp_proposals = ["aes128gcm16"]
encapsulation = "{encapsulation}"
start = "{start}"
"""


def prefer(pid):
    """On a shared machine: the scheduler's own group of the process goes first."""
    if BOOST:
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-20")


BOOST = False


def io_of(daemon):
    """Mean bytes of what was read from and written to TUN (the reads that find nothing count as well)."""
    fields = dict(line.split(": ") for line in pathlib.Path(f"/proc/{daemon.process.pid}/io").read_text().splitlines())
    return f"{int(fields['rchar']) // int(fields['syscr'])}/{int(fields['wchar']) // int(fields['syscw'])}"


def iperf(client, server, address, seconds, extra=()):
    listener = server.start("iperf3", "-s", "-1", log="iperf3-server.log")
    prefer(listener.pid)
    time.sleep(0.3)
    result = client.run("iperf3", "-c", address, "-t", seconds, "-J", *extra, timeout=seconds + 30, check=False)
    listener.stop()
    answer = json.loads(result.stdout)
    if "error" in answer:
        raise SystemExit(f"iperf3: {answer['error']}")
    end = answer["end"]
    total = end.get("sum_received", end.get("sum"))
    lost = f" lost {total['lost_percent']:.1f}%" if "lost_percent" in total else f" retransmits {end['sum_sent'].get('retransmits')}"
    cpu = end["cpu_utilization_percent"]
    cpu_s = (cpu["host_total"] + cpu["remote_total"]) / 100 * seconds
    return total["bits_per_second"] / 1e9, lost, cpu_s / (total["bytes"] / 1e9)


def cpu_of(daemon):
    fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=str(ROOT / "build/release"))
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--udp", action="store_true", help="1,380-byte UDP instead of TCP")
    parser.add_argument("--v6", action="store_true", help="IPv6 inside")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--native", action="store_true", help="IP protocol 50 instead of UDP")
    parser.add_argument("--daemon", default="", help="more keys of [daemon]")
    parser.add_argument("--boost", action="store_true", help="go before everything else on a shared machine: keep it short")
    parser.add_argument("--perf", help="a folder for perf data of both daemons")
    arguments = parser.parse_args()
    global BOOST
    BOOST = arguments.boost
    prefer("self")
    extra = ["-P", arguments.streams] + (["-u", "-b", "0", "-l", "1380"] if arguments.udp else [])
    target = "fd00:2::2" if arguments.v6 else "10.2.0.2"
    plain, tunnel = [], []
    local, remote = "198.51.100.1", "198.51.100.2"
    me, peer = "a.example", "b.example"
    mine, theirs = '["10.1.0.0/24", "fd00:1::/64"]', '["10.2.0.0/24", "fd00:2::/64"]'
    with Lab(arguments.build) as lab:
        line = Line(lab)
        for number in range(arguments.rounds):
            plain.append(iperf(line.host_a, line.host_b, target, arguments.seconds, extra))
            b = Merlon(line.gw_b, toml(remote, local, peer, me, theirs, mine, "wait", arguments.daemon, arguments.native)).start()
            a = Merlon(line.gw_a, toml(local, remote, me, peer, mine, theirs, "always", arguments.daemon, arguments.native)).start()
            a.wait_up("x")
            b.wait_child("x")
            prefer(a.process.pid)
            prefer(b.process.pid)
            recorders = []
            if arguments.perf:
                for daemon in (a, b):
                    recorders.append(subprocess.Popen(["perf", "record", "-q", "-g", "-o", f"{arguments.perf}/perf-{daemon.host.name}.data", "-p", str(daemon.process.pid)],
                                                      stderr=subprocess.DEVNULL))
            before = [cpu_of(daemon) for daemon in (a, b)]
            tunnel.append(iperf(line.host_a, line.host_b, target, arguments.seconds, extra))
            sizes = [io_of(daemon) for daemon in (a, b)]
            gigabytes = tunnel[-1][0] * arguments.seconds / 8
            costs = [(cpu_of(daemon) - start) / gigabytes for daemon, start in zip((a, b), before)]
            for recorder in recorders:
                recorder.terminate()
                recorder.wait()
            if number == 0:
                print(next((row for row in a.log().splitlines() if "carries" in row), ""))
                print(a.log()[-1500:] if "one by one" in a.log() else "")
            a.check_clean_end()
            b.check_clean_end()
            print(f"plain {plain[-1][0]:6.2f}{plain[-1][1]}   tunnel {tunnel[-1][0]:6.2f}{tunnel[-1][1]}   ratio {tunnel[-1][0] / plain[-1][0]:.2f}"
                  f"   CPU s/GB: plain {plain[-1][2]:.2f}, tunnel: iperf3 {tunnel[-1][2]:.2f} gw-a {costs[0]:.2f} gw-b {costs[1]:.2f}"
                  f" bytes a TUN read/write: {' '.join(sizes)} -> ratio {plain[-1][2] / (tunnel[-1][2] + sum(costs)):.2f}", flush=True)
    ratio = statistics.median(t[0] / p[0] for t, p in zip(tunnel, plain))
    print(f"median: plain {statistics.median(p[0] for p in plain):.2f} Gbit/s, tunnel {statistics.median(t[0] for t in tunnel):.2f} Gbit/s, ratio {ratio:.2f}")


main()
