"""Nothing in clear: what a policy protects neither leaves nor enters unprotected, whatever the daemons do."""
import time

from common import INSIDE_B, Ping, UDP_FLOOD, expect, expect_nothing_in_clear, start_python, toml_a, toml_b
from lab import Merlon, Offices, wait_until
from runner import test

FORGED4, FORGED6 = "10.2.0.99", "fd00:2::99"  # the router claims to be in the peer's network
ELSEWHERE4, ELSEWHERE6 = "192.0.2.99", "2001:db8:99::99"  # somewhere on the internet


def forge(net):
    """Sends packets in clear from the router into gw_a's network; the number that reached host_a."""
    capture = net.host_a.capture("eth0", "forged.pcap")
    for source, destination in ((FORGED4, net.HOST_A4), (FORGED6, net.HOST_A6)):
        net.router.ping(destination, source=source, count=3, interval=0.05, wait=1, check=False)
    capture.stop()
    return len(capture.lines(f"(src host {FORGED4} and dst host {net.HOST_A4}) or (src host {FORGED6} and dst host {net.HOST_A6})"))


def prepare_forger(net):
    net.router.address("lo", f"{FORGED4}/32", f"{FORGED6}/128")
    net.router.ip("route", "add", "10.1.0.0/24", "via", net.A4)
    net.router.ip("-6", "route", "add", "fd00:1::/64", "via", net.A6)
    expect(forge(net) > 0, "without Merlon a forged packet should reach host_a, or this test proves nothing")


def kill_switch(lab, remote_ts_of_a, elsewhere):
    net = Offices(lab)
    prepare_forger(net)
    net.router.address("lo", f"{ELSEWHERE4}/32", f"{ELSEWHERE6}/128")
    a = Merlon(net.gw_a, toml_a(remote_ts=remote_ts_of_a))
    b = Merlon(net.gw_b, toml_b(local_ts=remote_ts_of_a))
    try:
        a.start()  # and nobody answers yet
        capture = net.router.capture("any", "clear.pcap")
        leaving = [start_python(net.host_a, UDP_FLOOD, to, log=f"udp-{to.replace(':', '-')}.log") for to in (ELSEWHERE4, ELSEWHERE6) if elsewhere]
        flows = [Ping(net.host_a, net.HOST_B4), Ping(net.host_a, net.HOST_B6), start_python(net.host_a, UDP_FLOOD, net.HOST_B4, log="udp4.log"),
                 start_python(net.host_a, UDP_FLOOD, net.HOST_B6, log="udp6.log"), Ping(net.gw_a, net.HOST_B4, extra=("-I", "10.1.0.1"))]
        time.sleep(0.5)
        expect(forge(net) == 0, "forged packets reached host_a while the tunnel was not up yet")
        allowed = [FORGED4, FORGED6]
        if elsewhere:
            for flow in leaving:
                flow.stop()
            # Once the tunnel is up, gw_b rightly sends on in clear what gw_a held back for it: what was before is looked at alone.
            before, capture = capture, net.router.capture("any", "clear-with-b.pcap")
            before.stop()
            expect_nothing_in_clear(before, but=allowed)
            allowed += [ELSEWHERE4, ELSEWHERE6]
        b.start()
        flows += [Ping(net.host_b, net.HOST_A4), Ping(net.host_b, net.HOST_A6)]
        a.wait_up("b")
        net.host_a.ping(net.HOST_B4)
        net.host_b.ping(net.HOST_A6)
        expect(forge(net) == 0, "forged packets reached host_a while the tunnel was up")
        a.cli("down", "b")
        wait_until(lambda: not a.child_sas("b"), "the tunnel is down")
        time.sleep(0.3)
        expect(forge(net) == 0, "forged packets reached host_a while the tunnel was down")
        a.cli("up", "b")
        b.kill()
        time.sleep(0.5)
        a.kill()
        time.sleep(0.5)
        expect(forge(net) == 0, "forged packets reached host_a after kill -9")
        b.start()
        a.start()
        a.wait_up("b")
        net.host_a.ping(net.HOST_B4)
        net.host_b.ping(net.HOST_A6)
        for flow in flows:
            flow.stop()
        capture.stop()
        expect_nothing_in_clear(capture, but=allowed)
        expect(capture.lines("esp or udp port 4500"), "the capture should hold ESP")
    finally:
        a.check_clean_end()
        b.check_clean_end()


@test
def nothing_in_clear_between_offices(lab):
    kill_switch(lab, INSIDE_B, elsewhere=False)


@test
def nothing_in_clear_when_everything_is_protected(lab):
    kill_switch(lab, '["0.0.0.0/0", "::/0"]', elsewhere=True)
