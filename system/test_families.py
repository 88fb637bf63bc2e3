"""IPv4 and IPv6, outside and inside, in any mix; ESP as protocol 50 and in UDP."""
from common import expect, expect_nothing_in_clear, pair, tcp_server, tcp_transfer
from lab import Offices
from runner import test


@test([(f"{outer}-{how}", outer, how) for outer in ("ipv4", "ipv6") for how in ("native", "udp")])
def both_families_inside(lab, outer, how):
    net = Offices(lab)
    a, b = pair(net, v6=outer == "ipv6", extra=f'encapsulation = "{how}"')
    capture = net.router.capture("to-b", "outer.pcap")
    for destination in (net.HOST_B4, net.HOST_B6):
        net.host_a.ping(destination)
        tcp_server(net.host_b, destination)
        expect(tcp_transfer(net.host_a, destination), f"a TCP transfer to {destination}")
    net.host_b.ping(net.HOST_A4)
    net.host_b.ping(net.HOST_A6)
    expect(a.child_sas("b")[0]["udp_encapsulation"] == (how == "udp"), f"status should say {how}")
    capture.stop()
    expect_nothing_in_clear(capture)
    family = "ip6" if outer == "ipv6" else "ip"
    protocol = "proto 50" if how == "native" else "proto 17 and port 4500"
    expect(len(capture.lines(f"{family} {protocol}" if how == "native" else f"{family} and udp port 4500")) > 100, f"the packets should be {outer} {how}")
    other = "ip" if outer == "ipv6" else "ip6"
    expect(not capture.lines(f"{other} and (proto 50 or udp)"), f"nothing but {outer} should be outside")
    a.check_clean_end()
    b.check_clean_end()
