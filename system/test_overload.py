"""More packets than the gateways can carry: what is too much is dropped at the edge and has a name, memory stays level, and IKE goes on."""
import time

from common import expect, start_python, toml_a, toml_b
from fire import LIVELY, metric, metrics, rss_kb, sanitizer
from lab import Merlon, Offices, wait_until
from runner import test

SECONDS = 12
SETTLED_S = 4  # by then as many packets are in flight as ever will be
SHORT = LIVELY + 'liveness_interval = "1s"\nlifetime_soft = "3s"\nlifetime_jitter = "1s"\nike_lifetime_soft = "5s"\nike_lifetime_jitter = "1s"\n'

# As fast as it goes: many datagrams in one call, or one by one.
SENDER = """
    import socket, sys, time
    to, seconds, segments = (sys.argv[1], 7000), float(sys.argv[2]), int(sys.argv[3])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if segments > 1:
        s.setsockopt(socket.IPPROTO_UDP, 103, 64)  # UDP_SEGMENT
    data, sent, until = bytes(64 * segments), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(50):
            try:
                s.sendto(data, to)
                sent += segments
            except OSError:
                pass
    print(sent, flush=True)
"""
SINK = """
    import socket, sys, time
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[1], 7000))
    print("ready", flush=True)
    while True:
        s.recv(2000)
"""


def overflow(merlon):
    page = metrics(merlon)
    return {kind: int(metric(page, "merlon_io_failures_total", kind=kind)) for kind in ("tun_overflow", "receive_overflow", "ike_receive_overflow")}


@test([("udp", "udp", 1), ("native", "native", 2)])
def overload_both_ways_leaves_ike_alive(lab, how, workers):
    """Unpaced small datagrams both ways for twelve seconds, of which the SAs are rekeyed every few: no IKE SA is lost, nothing grows, what
    is too much is counted, and right afterwards everything passes."""
    net = Offices(lab)
    both = {"daemon": f"workers = {workers}", "extra": SHORT + f'encapsulation = "{how}"\n'}
    inits = net.router.capture("any", "inits.pcap", ("udp port 500 and udp[26] = 34",))  # IKE_SA_INIT
    b = Merlon(net.gw_b, toml_b(**both)).start()
    a = Merlon(net.gw_a, toml_a(**both)).start()
    a.wait_up("b")
    b.wait_child("a")
    expect(net.host_a.ping(net.HOST_B4) == 3, "the tunnel carries packets")
    for host, address in ((net.host_a, net.HOST_A4), (net.host_b, net.HOST_B4)):
        sink = start_python(host, SINK, address, log="sink.log")
        wait_until(lambda: "ready" in sink.log(), "somebody listens")
    begun, idle = {m: metrics(m) for m in (a, b)}, {m: rss_kb(m) for m in (a, b)}
    wait_until(lambda: inits.lines(), "the capture has seen how the IKE SA was begun")
    before = len(inits.lines())
    senders = [start_python(host, SENDER, to, SECONDS, segments, log=f"sender-{segments}.log")
               for host, to in ((net.host_a, net.HOST_B4), (net.host_b, net.HOST_A4)) for segments in (60, 1)]
    settled, most = None, {}
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(0.5)
        rss = {m: rss_kb(m) for m in (a, b)}
        if settled is None and time.monotonic() > until - SECONDS + SETTLED_S:
            settled = rss
        most = {m: max(rss[m], most.get(m, 0)) for m in rss}
    wait_until(lambda: not any(sender.running() for sender in senders), "the senders have ended")
    # What still stands in queues goes first.
    quiet = time.monotonic()
    wait_until(lambda: net.host_a.ping(net.HOST_B4, count=1, wait=0.3, check=False) == 1, "afterwards a ping passes", 2)
    print(f"  a ping passed {time.monotonic() - quiet:.1f} s after the end")
    expect(net.host_a.ping(net.HOST_B4, count=5, interval=0.05, wait=2, check=False) == 5, "afterwards everything should pass again")
    sent = sum(int(sender.log()) for sender in senders)
    inits.stop()
    for m, name in ((a, "b"), (b, "a")):
        page, lost = metrics(m), overflow(m)
        grew = {what: int(metric(page, f"merlon_ike_{what}_total") - metric(begun[m], f"merlon_ike_{what}_total")) for what in ("ike_sas_rekeyed", "child_sas_rekeyed")}
        grown = most[m] - settled[m]
        print(f"  {m.host.name}: {lost}, {grew}, memory {idle[m]} kB, then {settled[m]} kB {grown:+}; {sent} sent in all")
        expect(all(grew.values()), f"IKE SAs and Child SAs should have been rekeyed meanwhile: {grew}")
        expect(len(m.connection(name)["ike_sas"]) >= 1, "the IKE SA should be there")
        expect(grown < (350_000 if sanitizer(m) else 8_000), f"{grown} kB more than after {SETTLED_S} s")
        expect(most[m] - idle[m] < (350_000 if sanitizer(m) else 40_000), f"{most[m] - idle[m]} kB more than before")
        expect(lost["ike_receive_overflow"] == 0, f"IKE should not wait behind ESP: {lost}")
    expect(sum(overflow(a).values()) + sum(overflow(b).values()) > 0, "what was too much should be counted where it was dropped")
    expect(len(inits.lines()) == before, f"nobody should have begun anew: {inits.lines()[before:][:5]}")
    expect(metric(metrics(a), "merlon_connection_attempts_total", connection="b") == 1, "one negotiation should have been enough")
    a.check_clean_end()
    b.check_clean_end()
