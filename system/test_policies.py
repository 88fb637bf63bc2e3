"""The SPD: protect, bypass, discard; order; ports."""
import time

from common import expect, tcp_server, tcp_transfer, toml_a, toml_b
from lab import Merlon, Offices
from runner import test

PRINTER4, PUBLIC4 = "10.2.0.130", "10.2.0.70"  # of host_b: bypassed, and discarded


def policies(local, remote, mirrored):
    """Bypass for .128/25 of office b, discard for .64/26, as seen from either side."""
    text = ""
    for action, there in (("bypass", "10.2.0.128/25"), ("discard", "10.2.0.64/26")):
        ours, theirs = ("10.1.0.0/24", there) if not mirrored else (there, "10.1.0.0/24")
        text += f'\n[[policy]]\naction = "{action}"\nlocal_ts = "{ours}"\nremote_ts = "{theirs}"\n'
    return text


@test
def bypass_and_discard(lab):
    net = Offices(lab)
    net.host_b.address("eth0", f"{PRINTER4}/24", f"{PUBLIC4}/24")
    net.router.ip("route", "add", "10.1.0.0/24", "via", net.A4)
    net.router.ip("route", "add", "10.2.0.0/24", "via", net.B4)
    b = Merlon(net.gw_b, toml_b() + policies("", "", True)).start()
    a = Merlon(net.gw_a, toml_a() + policies("", "", False)).start()
    a.wait_up("b")
    capture = net.router.capture("to-a", "outside.pcap")
    net.host_a.ping(net.HOST_B4)
    net.host_a.ping(PRINTER4)
    net.host_b.ping(net.HOST_A4, source=PRINTER4)
    expect(net.host_a.ping(PUBLIC4, wait=1, check=False) == 0, "discard should let nothing through")
    expect(net.host_b.ping(net.HOST_A4, source=PUBLIC4, wait=1, check=False) == 0, "discard should let nothing through, whoever begins")
    capture.stop()
    expect(len(capture.lines(f"host {PRINTER4} and icmp")) >= 12, "what a bypass names should pass in clear")
    expect(not capture.lines(f"host {PUBLIC4} or host {net.HOST_B4}"), "nothing else should")

    # Without the policies everything is protected.
    a.write_config(toml_a())
    b.write_config(toml_b())
    a.cli("reload"), b.cli("reload")
    capture = net.router.capture("to-a", "outside2.pcap")
    for address in (net.HOST_B4, PRINTER4, PUBLIC4):
        net.host_a.ping(address)
    capture.stop()
    expect(not capture.lines("net 10.0.0.0/8"), "everything should be protected now")
    expect(a.is_up("b"), "a policy's change touches no tunnel")
    a.check_clean_end()
    b.check_clean_end()


@test
def the_first_policy_decides(lab):
    """A child of smaller priority stands before a bypass that would swallow it."""
    net = Offices(lab)
    net.host_b.address("eth0", f"{PRINTER4}/24")
    net.router.ip("route", "add", "10.1.0.0/24", "via", net.A4)
    net.router.ip("route", "add", "10.2.0.0/24", "via", net.B4)
    swallow = '\n[[policy]]\naction = "bypass"\nlocal_ts = "{}"\nremote_ts = "{}"\npriority = 50\n'
    b = Merlon(net.gw_b, toml_b(local_ts='"10.2.0.0/25"', remote_ts='"10.1.0.0/24"', extra="priority = 10") + swallow.format("10.2.0.0/24", "10.1.0.0/24")).start()
    a = Merlon(net.gw_a, toml_a(local_ts='"10.1.0.0/24"', remote_ts='"10.2.0.0/25"', extra="priority = 10") + swallow.format("10.1.0.0/24", "10.2.0.0/24")).start()
    a.wait_up("b")
    capture = net.router.capture("to-a", "outside.pcap")
    net.host_a.ping(net.HOST_B4)
    net.host_a.ping(PRINTER4)
    capture.stop()
    expect(capture.lines(f"host {PRINTER4}") and not capture.lines(f"host {net.HOST_B4}"), "the child should decide first, then the bypass")
    a.cli("down", "b")
    time.sleep(0.3)
    capture = net.router.capture("to-a", "outside2.pcap")
    expect(net.host_a.ping(net.HOST_B4, wait=1, check=False) == 0, "what the child protects must not fall to the bypass")
    net.host_a.ping(PRINTER4)
    capture.stop()
    expect(not capture.lines(f"host {net.HOST_B4}"), "nor appear in clear")
    a.check_clean_end()
    b.check_clean_end()


@test
def only_one_port(lab):
    """tcp/8080 of office b, and nothing else; the port's own child comes up with the first packet."""
    net = Offices(lab)
    b = Merlon(net.gw_b, toml_b(local_ts='"10.2.0.0/24[tcp/8080]"', remote_ts='"10.1.0.0/24"')).start()
    a = Merlon(net.gw_a, toml_a(local_ts='"10.1.0.0/24"', remote_ts='"10.2.0.0/24[tcp/8080]"', start="on-traffic")).start()
    tcp_server(net.host_b, net.HOST_B4)
    capture = net.router.capture("any", "outside.pcap")
    expect(net.host_a.ping(net.HOST_B4, wait=1, check=False) == 0, "ICMP is not in the policy")
    expect(a.connection("b")["attempts"] == 0, "nor does it bring the tunnel up")
    expect(tcp_transfer(net.host_a, net.HOST_B4), "TCP port 8080 should pass")
    expect("tcp/8080" in a.child_sas("b")[0]["remote_ts"], f"status should show the selector: {a.child_sas('b')[0]['remote_ts']}")
    expect(net.host_a.ping(net.HOST_B4, wait=1, check=False) == 0, "and ICMP should still not")
    expect(net.host_b.ping(net.HOST_A4, wait=1, check=False) == 0, "in neither direction")
    capture.stop()
    expect(not capture.lines("net 10.0.0.0/8"), "nothing should be in clear")
    a.check_clean_end()
    b.check_clean_end()
