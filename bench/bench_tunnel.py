"""tunnel: TCP and small UDP packets through two gateways in namespaces, all on two cores; peers: plain veth, strongSwan's kernel-libipsec,
wireguard-go of Debian 12 and, where a root folder of Debian 13 can be made, its newer one with offloads; and ourselves with two data workers, with
RFC 9611's Child SA for each of them, and with native ESP."""
import json

import common
from carriers import (HOST_B, Carrier, MerlonCarrier, NativeCarrier, NativeTwoWorkersCarrier, NewWireguardGoCarrier, ParallelCarrier, StrongSwanCarrier, TwoWorkersCarrier,
                      WireguardGoCarrier, start_all, two_cores)
from common import Sample, row, say

PACKAGES = ("iproute2", "nftables", "iputils-ping", "procps", "iperf3", "strongswan-charon", "strongswan-swanctl", "libcharon-extra-plugins",
            "libstrongswan-extra-plugins", "libstrongswan-standard-plugins", "wireguard-go", "wireguard-tools", "debootstrap")
TARGETS = ("merlond", "merlon", "bench-udp")
CASES = ("TCP, 1 stream", "TCP, 8 streams", "UDP, 64 bytes")
SINK_PORT = 7001
KINDS = (MerlonCarrier, Carrier, StrongSwanCarrier, WireguardGoCarrier, NewWireguardGoCarrier, TwoWorkersCarrier, ParallelCarrier, NativeCarrier, NativeTwoWorkersCarrier)


def run(options):
    from lab import Lab
    rounds = options.rounds or (2 if options.quick else 7)
    seconds = 1 if options.quick else 4
    two_cores()
    cases = [case for case in CASES if options.only in case]
    with Lab(options.build) as lab:
        carriers = start_all(lab, KINDS)
        for carrier in carriers:
            carrier.host_b.start("iperf3", "-s")
            carrier.host_b.start(common.program(options.build, "bench-udp"), "sink", SINK_PORT)
        samples = {(case, carrier.name): Sample() for case in cases for carrier in carriers}
        for turn in range(rounds):
            for case in cases:
                for carrier in carriers:
                    samples[case, carrier.name].add(measure(options, carrier, case, seconds))
                say(f"round {turn + 1}, {case}: " + ", ".join(f"{c.name} {samples[case, c.name].values[-1]:,.3g}" for c in carriers))
        return [row(case, "packets" if case.startswith("UDP") else "goodput", "packets/s" if case.startswith("UDP") else "Gbit/s",
                    samples[case, MerlonCarrier.name], samples[case, carrier.name], carrier.name, more_is_better=True)
                for case in cases for carrier in carriers[1:]]


def measure(options, carrier, case, seconds):
    if case.startswith("UDP"):
        output = carrier.host_a.run(common.program(options.build, "bench-udp"), "flood", HOST_B, SINK_PORT, seconds, 64).stdout
        return float(output.split()[1])
    streams = 8 if "8" in case else 1
    output = carrier.host_a.run("iperf3", "-c", HOST_B, "-t", seconds, "-O", 1, "-P", streams, "-J", check=False, timeout=seconds + 60).stdout
    report = json.loads(output)
    if "error" in report:
        raise common.Trouble(f"{carrier.name}, {case}: iperf3 says {report['error']}")
    return report["end"]["sum_received"]["bits_per_second"] / 1e9
