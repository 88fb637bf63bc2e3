"""latency: round trips of 64-byte packets through two gateways on two cores, idle and beside a stream of a fixed rate; peers: plain veth, and
a bare relay between TUN and UDP with the same calls."""
import time

import common
from carriers import HOST_B, Carrier, MerlonCarrier, RelayCarrier, start_all, two_cores
from common import Row, Sample, say

PACKAGES = ("iproute2", "nftables", "iputils-ping", "procps", "iperf3")
TARGETS = ("merlond", "merlon", "bench-udp", "bench-relay")
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
ECHO_PORT = 7002
LOAD = "300M"  # each of them carries this


def run(options):
    from lab import Lab
    rounds = options.rounds or (4 if options.quick else 20)
    count = 500  # of one turn: short, so that what disturbs meets all alike
    two_cores()
    cases = [case for case in ("idle", f"beside TCP at {LOAD}bit/s") if options.only in case]
    with Lab(options.build) as lab:
        carriers = start_all(lab, (MerlonCarrier, Carrier, RelayCarrier))
        for carrier in carriers:
            carrier.host_b.start("iperf3", "-s")
            carrier.host_b.start(common.program(options.build, "bench-udp"), "echo", ECHO_PORT)
        turns = {(case, carrier.name): [] for case in cases for carrier in carriers}
        for turn in range(rounds):
            for case in cases:
                for carrier in carriers:
                    turns[case, carrier.name].append(measure(options, carrier, case, count))
                say(f"round {turn + 1}, {case}: " + ", ".join(f"{c.name} {percentile(turns[case, c.name][-1], 0.5):.1f} us" for c in carriers))
        return [compare(case, name, part, turns[case, MerlonCarrier.name], turns[case, carrier.name], carrier.name)
                for case in cases for carrier in carriers[1:] for name, part in PERCENTILES.items()]


def measure(options, carrier, case, count):
    """The round trips of one turn."""
    load = None
    if case != "idle":
        load = carrier.host_a.start("iperf3", "-c", HOST_B, "-t", 600, "-b", LOAD)
        time.sleep(0.5)
    try:
        output = carrier.host_a.run(common.program(options.build, "bench-udp"), "ping", HOST_B, ECHO_PORT, count, 64, timeout=300).stdout
    finally:
        if load:
            load.stop()
    times = [float(word) for word in output.split()[1:]]
    if len(times) < count * 0.9:
        raise common.Trouble(f"{carrier.name}, {case}: {count - len(times)} of {count} packets were lost")
    return times


def percentile(times, part):
    return sorted(times)[min(len(times) - 1, int(part * len(times)))]


def compare(case, name, part, ours, peer, peer_name):
    """The percentile of all turns together; the spread is that of the turns' own."""
    values = [percentile([time for turn in turns for time in turn], part) for turns in (ours, peer)]
    spreads = [Sample([percentile(turn, part) for turn in turns]).spread for turns in (ours, peer)]
    return Row(case, f"round trip, {name}", "us", *values, peer_name, False, *spreads)
