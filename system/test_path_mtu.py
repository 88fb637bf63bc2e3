"""Packets that are too big somewhere: told to senders, learnt from routers, and found out where routers say nothing."""
import re
import time

from common import expect, pair, python, tcp_server, tcp_transfer
from lab import Offices, wait_until
from runner import test


def ping_output(host, destination, size, *extra):
    return host.run("ping", "-n", "-c", 3, "-i", 0.3, "-W", 1, "-s", size, *extra, destination, check=False).stdout


def mtu_of(merlon, name):
    return merlon.child_sas(name)[0]["mtu"]


@test([("ipv4-native", False, "native"), ("ipv4-udp", False, "udp"), ("ipv6-native", True, "native")])
def narrow_path(lab, v6, how):
    """A link of 1,280 bytes behind the router; gw_a learns it from ICMP, its hosts from gw_a."""
    net = Offices(lab, mtu=1280)
    a, b = pair(net, v6=v6, extra=f'encapsulation = "{how}"')
    ping_output(net.host_a, net.HOST_B4, 1300, "-M", "do")
    wait_until(lambda: mtu_of(a, "b") < 1280, "gw_a has learnt the path MTU from the router")
    learnt = mtu_of(a, "b")
    expect(1180 < learnt < 1280, f"a path of 1280 bytes should leave some 1200 to inner packets, not {learnt}")

    # RFC 1191: the sender is told, with the right number; the host remembers, so the next packet fits.
    net.host_a.ip("route", "flush", "cache")
    told = ping_output(net.host_a, net.HOST_B4, 1300, "-M", "do")
    expect(f"mtu = {learnt}" in told or f"mtu={learnt}" in told, f"host_a should be told {learnt}:\n{told}")
    net.host_a.ping(net.HOST_B4, size=learnt - 28, extra=("-M", "do"))
    expect(net.host_a.ping(net.HOST_B4, size=learnt - 27, extra=("-M", "do"), wait=1, check=False) == 0, "one byte more should not fit")
    net.host_a.ping(net.HOST_B4, size=3000, extra=("-M", "dont"))

    # RFC 8200 5: a link must carry 1,280 bytes of IPv6.
    net.host_a.ping(net.HOST_B6, size=1232, extra=("-M", "do"))
    net.host_b.ping(net.HOST_A6, size=1232, extra=("-M", "do"))
    told = ping_output(net.host_a, net.HOST_B6, 1300, "-M", "do")
    expect(re.search(r"mtu ?= ?1280", told), f"IPv6 hosts are told 1280 at least:\n{told}")

    for destination in (net.HOST_B4, net.HOST_B6):
        tcp_server(net.host_b, destination)
        expect(tcp_transfer(net.host_a, destination), f"a TCP transfer to {destination}")
    for destination in (net.HOST_A4, net.HOST_A6):
        tcp_server(net.host_a, destination)
        expect(tcp_transfer(net.host_b, destination), f"a TCP transfer to {destination}")
    a.check_clean_end()
    b.check_clean_end()


@test([("ipv4-native", False, "native"), ("ipv4-udp", False, "udp"), ("ipv6-native", True, "native"), ("ipv6-udp", True, "udp")])
def black_hole(lab, v6, how):
    """A router that passes 1,280 bytes and says nothing about what it drops."""
    net = Offices(lab)
    for device, prefix4, prefix6 in (("to-a", "198.51.100.0/24", "2001:db8:a::/64"), ("to-b", "203.0.113.0/24", "2001:db8:b::/64")):
        net.router.ip("route", "replace", prefix4, "dev", device, "mtu", "lock", "1280")
        net.router.ip("-6", "route", "replace", prefix6, "dev", device, "metric", "256", "mtu", "lock", "1280")
    net.router.run("nft", "add table inet silent; add chain inet silent output { type filter hook output priority 0; }; "
                          "add rule inet silent output icmp type destination-unreachable drop; add rule inet silent output icmpv6 type packet-too-big drop")
    a, b = pair(net, v6=v6, extra=f'encapsulation = "{how}"')
    for destination in (net.HOST_B4, net.HOST_B6):
        tcp_server(net.host_b, destination)
        expect(tcp_transfer(net.host_a, destination), f"a TCP transfer to {destination} through a path that swallows big packets")
    for merlon, name in ((a, "b"), (b, "a")):
        wait_until(lambda: 1180 < mtu_of(merlon, name) < 1280, f"{merlon.host.name} has found the path's MTU, not {mtu_of(merlon, name)}")
    net.host_b.ping(net.HOST_A4, size=1500, extra=("-M", "dont"))
    # RFC 8200 5: also where the kernel still believes in 1,500 bytes of the outer path.
    outer = net.router.capture("to-a", "outer.pcap")
    net.host_a.ping(net.HOST_B6, size=1232, extra=("-M", "do"))
    net.host_b.ping(net.HOST_A6, size=1232, extra=("-M", "do"))
    outer.stop()
    if v6:
        expect(len(outer.lines(f"ip6[6] == 44 and src host {net.A6}")) >= 12, "each echo and each answer should have left gw_a in two IPv6 fragments")
    a.check_clean_end()
    b.check_clean_end()


FORGE_TOO_BIG = """
    import sys
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.packet import Raw
    from scapy.sendrecv import send
    source, destination, how, mtu, *spis = sys.argv[1:]
    for spi in spis:
        esp = Raw(bytes.fromhex(spi) + bytes(60))
        quoted = IP(src=destination, dst=source, flags="DF", len=1400, proto=50) / esp
        if how == "udp":
            quoted = IP(src=destination, dst=source, flags="DF", len=1400) / UDP(sport=4500, dport=4500, len=1380, chksum=0) / esp
        send(IP(src="203.0.113.77", dst=destination) / ICMP(type=3, code=4, nexthopmtu=int(mtu)) / quoted, verbose=False)
"""


@test([("native", "native"), ("udp", "udp")])
def forged_too_big(lab, how):
    """RFC 8899 4.6.1: who says that our packets are too big must have seen one."""
    net = Offices(lab)
    a, b = pair(net, extra=f'encapsulation = "{how}"')
    net.host_a.ping(net.HOST_B4)
    before = mtu_of(a, "b")
    ours = a.child_sas("b")[0]["spi_out"].removeprefix("0x")
    others = [f"{int(ours, 16) ^ 1 << bit:08x}" for bit in range(32)]
    # Of a peer that has no SA at all, too: nothing may be kept for it.
    python(net.router, FORGE_TOO_BIG, "192.0.2.200", net.A4, how, 700, ours)
    python(net.router, FORGE_TOO_BIG, net.B4, net.A4, how, 700, *others)
    time.sleep(1)
    expect(mtu_of(a, "b") == before, f"forged reports should change nothing, not {before} to {mtu_of(a, 'b')}")
    python(net.router, FORGE_TOO_BIG, net.B4, net.A4, how, 700, ours)
    wait_until(lambda: mtu_of(a, "b") < 700, "a report that quotes a packet of ours counts")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


@test
def mtu_key(lab):
    """A fixed MTU: hosts are told it, and TCP segments fit it."""
    net = Offices(lab)
    a, b = pair(net, extra="mtu = 1300")
    expect(mtu_of(a, "b") == 1300, f"status should say 1300, not {mtu_of(a, 'b')}")
    net.host_a.ping(net.HOST_B4, size=1272, extra=("-M", "do"))
    expect("1300" in ping_output(net.host_a, net.HOST_B4, 1273, "-M", "do"), "host_a should be told 1300")
    capture = net.host_b.capture("eth0", "syn.pcap", ("tcp",))
    for destination in (net.HOST_B4, net.HOST_B6):
        tcp_server(net.host_b, destination)
        expect(tcp_transfer(net.host_a, destination, size=200_000), "a TCP transfer")
    capture.stop()
    sizes = sorted({int(n) for n in re.findall(r"mss (\d+)", "\n".join(line for line in capture.lines() if "Flags [S]" in line))})
    expect(sizes == [1240, 1260], f"the MSS that arrives should be 1300 - 60 and 1300 - 40, not {sizes}")
    a.check_clean_end()
    b.check_clean_end()


ECHO_TOS = """
    import socket, sys, time
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for tos in map(int, sys.argv[2:]):
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        s.sendto(bytes([tos]), (sys.argv[1], 7777))
        time.sleep(0.05)
"""


def tos_values(capture, expression):
    return [int(v, 16) for v in re.findall(r"\(tos (0x[0-9a-f]+)", capture.text("-v", *expression.split()))]


@test
def dscp_ecn_and_df(lab):
    net = Offices(lab)
    a, b = pair(net, extra='encapsulation = "native"')
    outer, inner = net.router.capture("to-a", "outer.pcap"), net.host_b.capture("eth0", "inner.pcap")
    python(net.host_a, ECHO_TOS, net.HOST_B4, 0xB8, 0x02, 0x01, 0x22)
    net.host_a.ping(net.HOST_B4, count=2, extra=("-M", "dont", "-Q", "0x10"))
    outer.stop(), inner.stop()
    # RFC 4301 5.1.2 and RFC 6040 4.1, normal mode: DSCP and ECN copied.
    seen = tos_values(outer, f"esp and src host {net.A4}")
    for tos in (0xB8, 0x02, 0x01, 0x22, 0x10):
        expect(tos in seen, f"outer packets should carry {tos:#x}, which the inner ones had, not only {[hex(v) for v in seen]}")
    text = outer.text("-v", "esp", "and", "src", "host", net.A4)
    expect(re.search(r"tos 0x10[^\n]*flags \[none\]", text), "without DF inside there should be none outside")

    # RFC 6040 4.2: congestion seen by the router reaches the receiver.
    net.router.run("nft", "add table ip marks; add chain ip marks forward { type filter hook forward priority 0; }; add rule ip marks forward ip protocol 50 ip ecn set ce")
    inner = net.host_b.capture("eth0", "inner2.pcap")
    python(net.host_a, ECHO_TOS, net.HOST_B4, 0x02, 0x01, 0xB8 | 0x02)
    python(net.host_a, ECHO_TOS, net.HOST_B4, 0x00)  # not ECN-capable, and CE outside: must not arrive
    wait_until(lambda: 0xBB in tos_values(inner, "udp port 7777"), "the marked packets have arrived")
    time.sleep(0.2)
    inner.stop()
    seen = tos_values(inner, "udp port 7777")
    expect(seen == [0x03, 0x03, 0xBB], f"CE should have been copied inside, and nothing else arrive: {[hex(v) for v in seen]}")
    a.check_clean_end()
    b.check_clean_end()
