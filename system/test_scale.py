"""Five hundred connections on one gateway."""
import pathlib
import time

from common import connection, expect
from lab import Merlon, Offices, wait_until
from runner import test

CONNECTIONS = 500


def network(number):
    return f"10.{100 + number // 250}.{number % 250}.0/24"


@test
def five_hundred_connections(lab):
    net = Offices(lab)
    daemon = "[daemon]\nhalf_open_limit_per_source = 1000\ncookie_threshold = 100\n"
    hub, spokes = daemon, daemon
    slow = 'retransmit_tries = 8\nliveness_interval = "30s"\n'
    for n in range(CONNECTIONS):
        hub += connection(f"spoke{n}", net.B4, net.A4, "hub.example", f"spoke{n}.example", '["10.2.0.0/24"]', f'["{network(n)}"]', "wait").replace('liveness_interval = "1s"\n', slow).replace("retransmit_tries = 4\n", "")
        spokes += connection(f"hub{n}", net.A4, net.B4, f"spoke{n}.example", "hub.example", f'["{network(n)}"]', '["10.2.0.0/24"]').replace('liveness_interval = "1s"\n', slow).replace("retransmit_tries = 4\n", "")
    begun = time.monotonic()
    b = Merlon(net.gw_b, hub).start()
    a = Merlon(net.gw_a, spokes).start()
    started = time.monotonic()

    def up():
        return sum(c["phase"] == "up" for c in a.status()["connections"])
    wait_until(lambda: up() == CONNECTIONS, "500 connections are up", timeout=240, interval=0.5)
    took = time.monotonic() - started
    children = sum(len(sa["child_sas"]) for c in b.status()["connections"] for sa in c["ike_sas"])
    expect(children == CONNECTIONS, f"the hub should have 500 Child SAs, not {children}")
    for number in (0, 1, 249, 250, 373, 499):
        address = network(number).replace(".0/24", ".9")
        net.host_a.address("eth0", f"{address}/32")
        net.gw_a.ip("route", "add", f"{address}/32", "via", "10.1.0.2")
        net.host_a.ping(net.HOST_B4, source=address)
        net.host_b.ping(address)
    sizes = []
    for merlon in (a, b):
        status = pathlib.Path(f"/proc/{merlon.process.pid}/status").read_text()
        sizes.append(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")))
        sanitized = "asan" in pathlib.Path(f"/proc/{merlon.process.pid}/maps").read_text()
        expect(sizes[-1] < (1500 if sanitized else 150), f"{sizes[-1]} MB for 500 connections")
    print(f"  500 connections: daemons started in {started - begun:.1f} s, tunnels up in {took:.1f} s, {sizes[0]} and {sizes[1]} MB")
    stopping = time.monotonic()
    expect(a.stop() == 0, "a clean end")
    expect(time.monotonic() - stopping < 20, "a stop should not take long")
    wait_until(lambda: not any(c["ike_sas"] for c in b.status()["connections"]), "the hub has been told of all")
    b.check_clean_end()
    expect("proto 77" not in net.gw_a.ip("route", "show", "table", "all") + net.gw_a.ip("rule"), "nothing should be left")
