"""start = "always", "on-traffic", "wait"."""
import time

from common import expect, expect_nothing_in_clear, toml_a, toml_b
from lab import Merlon, Offices, wait_until
from runner import test


@test
def the_first_packet_brings_the_tunnel_up(lab):
    net = Offices(lab)
    b = Merlon(net.gw_b, toml_b()).start()
    a = Merlon(net.gw_a, toml_a(start="on-traffic")).start()
    capture = net.router.capture("any", "clear.pcap")
    time.sleep(1)
    expect(a.connection("b")["attempts"] == 0, "without traffic there should be no attempt")
    net.host_a.ping(net.HOST_B4, count=1, wait=8)  # held, and delivered
    expect(a.is_up("b"), "the tunnel should be up now")
    a.cli("down", "b")
    wait_until(lambda: not a.child_sas("b"), "down")
    expect(net.host_a.ping(net.HOST_B4, count=2, wait=1, check=False) == 0 and not a.child_sas("b"), "what a person took down stays down, traffic or not")
    a.cli("up", "b")
    net.host_a.ping(net.HOST_B6)
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def no_attempt_without_traffic_after_a_failure(lab):
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a(start="on-traffic")).start()
    net.host_a.ping(net.HOST_B4, count=1, wait=1, check=False)
    wait_until(lambda: a.connection("b").get("last_error"), "the attempt has failed")
    error = a.connection("b")["last_error"]["sentence"]
    expect(net.B4 in error or "answer" in error, f"the error should say that nobody answers: {error}")
    attempts = a.connection("b")["attempts"]
    time.sleep(3)
    expect(a.connection("b")["attempts"] == attempts, "no further attempt should begin without traffic")
    b = Merlon(net.gw_b, toml_b()).start()
    net.host_a.ping(net.HOST_B4, count=1, wait=8)
    a.check_clean_end()
    b.check_clean_end()


@test
def wait_only_answers(lab):
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a(start="wait")).start()
    capture = net.router.capture("to-a", "ike.pcap")
    expect(net.host_a.ping(net.HOST_B4, count=3, wait=1, check=False) == 0, "nothing should pass yet")
    time.sleep(1)
    capture.stop()
    expect(not capture.lines("udp or esp") and a.connection("b")["attempts"] == 0, "start = \"wait\" should send nothing")
    b = Merlon(net.gw_b, toml_b(start="always")).start()
    b.wait_up("a")
    net.host_a.ping(net.HOST_B4)
    net.host_b.ping(net.HOST_A6)
    a.check_clean_end()
    b.check_clean_end()
