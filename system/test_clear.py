"""Nothing in clear: what a policy protects neither leaves nor enters unprotected, whatever the daemons do."""
import time

from common import FORGED4, FORGED6, INSIDE_B, Ping, UDP_FLOOD, expect, expect_nothing_in_clear, forge, prepare_forger, start_python, toml_a, toml_b
from lab import Merlon, Offices, wait_until
from runner import test

ELSEWHERE4, ELSEWHERE6 = "192.0.2.99", "2001:db8:99::99"  # somewhere on the internet


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
