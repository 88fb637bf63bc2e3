"""Keys do not live for ever: seconds, bytes, packets, sequence numbers; and nothing is lost when they change."""

from common import Ping, esp_sequences, expect, pair, spis
from lab import Offices, wait_until
from runner import test


def rekeys_under_traffic(lab, enough, extra="", daemon="", interval=0.01, size=56, at_most=60):
    """Pings until `enough`(number of Child SAs that gw_a has had, of IKE SAs) is true; nothing may be lost."""
    net = Offices(lab)
    a, b = pair(net, extra=extra, daemon=daemon)
    mtu = a.child_sas("b")[0]["mtu"]
    capture = net.router.capture("to-a", "esp.pcap")
    flows = [Ping(net.host_a, net.HOST_B4, interval=interval, extra=("-s", size)), Ping(net.host_b, net.HOST_A6, interval=interval, extra=("-s", size))]
    children, ike = set(), set()

    def seen():
        children.update(spis(a, "b"))
        ike.update(sa["spi_i"] for sa in a.connection("b")["ike_sas"])
        return enough(len(children), len(ike))
    wait_until(seen, "enough rekeys", timeout=at_most, interval=0.2)
    for flow in flows:
        lost = flow.lost()
        expect(lost == 0, f"{lost} packets were lost over {len(children)} Child SAs and {len(ike)} IKE SAs; drops at a {a.status()['drops']}, at b {b.status()['drops']}")
    capture.stop()

    def at_rest():  # for the moment: where lifetimes are short, the next rekey is near
        if any(len(merlon.connection(name)["ike_sas"]) != 1 for merlon, name in ((a, "b"), (b, "a"))):
            return False
        ours, theirs = spis(a, "b"), spis(b, "a")
        return len(ours) == 1 and [(o, i) for i, o in ours] == theirs
    wait_until(at_rest, "old SAs are gone, and both ends have the same one")
    mtus = {a.child_sas("b")[0]["mtu"], b.child_sas("a")[0]["mtu"]}
    expect(mtus == {mtu}, f"a probe that dies with its IKE SA says nothing about the path: it carries {mtu}, not {mtus}")
    a.check_clean_end()
    b.check_clean_end()
    return esp_sequences(capture)


@test
def seconds(lab):
    rekeys_under_traffic(lab, lambda children, ike: children >= 4, 'lifetime_soft = "2s"\nlifetime_hard = "8s"\nlifetime_jitter = "1s"')


@test
def ike_sa_seconds(lab):
    rekeys_under_traffic(lab, lambda children, ike: ike >= 4, 'ike_lifetime_soft = "2s"\nike_lifetime_hard = "8s"\nike_lifetime_jitter = "1s"')


@test
def everything_at_once(lab):
    """Child and IKE SA rekeyed by both sides at about the same time: collisions (RFC 7296 2.8.1, 2.25)."""
    times = 'lifetime_soft = "2s"\nlifetime_hard = "9s"\nlifetime_jitter = "0s"\nike_lifetime_soft = "2s"\nike_lifetime_hard = "9s"\nike_lifetime_jitter = "0s"'
    rekeys_under_traffic(lab, lambda children, ike: children >= 4 and ike >= 4, times)


@test
def bytes_and_packets(lab):
    rekeys_under_traffic(lab, lambda children, ike: children >= 4, 'lifetime_soft_bytes = "200kB"\nlifetime_hard_bytes = "2MB"', size=1000)


@test
def packets(lab):
    found = rekeys_under_traffic(lab, lambda children, ike: children >= 4, "lifetime_soft_packets = 300\nlifetime_hard_packets = 1000")
    expect(max(max(numbers) for numbers in found.values()) <= 1000, "no SA may carry more packets than its hard limit")


@test
def sequence_numbers(lab):
    """RFC 4303 3.3.3: a lowered limit; the SA is replaced before it is reached."""
    found = rekeys_under_traffic(lab, lambda children, ike: children >= 4, daemon="sequence_limit = 2000", interval=0.002)
    expect(len(found) >= 6, f"the capture should hold several SAs each way, not {len(found)}")
    for spi, numbers in found.items():
        expect(max(numbers) <= 2000, f"SPI {spi} used sequence number {max(numbers)}")
        expect(len(numbers) == len(set(numbers)), f"SPI {spi} used a sequence number twice")


@test
def sequence_numbers_end_without_a_rekey(lab):
    """The peer answers nothing any more: the SA stops at its limit rather than to begin again."""
    net = Offices(lab)
    a, b = pair(net, daemon="sequence_limit = 100", extra='liveness_interval = "30s"\nretransmit_tries = 10')
    capture = net.router.capture("to-a", "esp.pcap")
    net.router.ip("link", "set", "to-b", "down")
    net.host_a.ping(net.HOST_B4, count=300, interval=0.01, wait=1, check=False)
    capture.stop()
    for spi, numbers in esp_sequences(capture).items():
        expect(numbers == sorted(set(numbers)) and max(numbers) <= 100, f"SPI {spi}: {numbers[-5:]}")
    expect(max(max(n) for n in esp_sequences(capture).values()) == 100, "every number up to the limit may be used")
    net.router.ip("link", "set", "to-b", "up")
    a.check_clean_end()
    b.check_clean_end()
