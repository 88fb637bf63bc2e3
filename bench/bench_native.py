"""native: moving packets of IP protocol 50 between the kernel and a program over veth: the raw sockets that merlond has, and as their peers AF_PACKET
rings and AF_XDP, which it has not; docs/performance.md says why. No crypto, no gateway."""
import common
from carriers import Carrier, MerlonCarrier
from carriers import two_cores as two_cores_only
from common import Row, Sample, Server, row, say

PACKAGES = ("iproute2", "nftables", "iputils-ping", "procps", "iperf3")
TARGETS = ("bench-native", "merlond", "merlon", "bench-udp")
SIZES = (64, 1424)
OURS = "raw"
IN = {"ring2": "AF_PACKET ring (TPACKET_V2)", "ring3": "AF_PACKET ring (TPACKET_V3)", "xdp": "AF_XDP, driver mode, copy", "xdp-generic": "AF_XDP, generic mode",
      "ring2-stack": "AF_PACKET ring (TPACKET_V2), right with any devices"}
SEVERAL = {"raw-of-2": "raw sockets of 2 that read", "raw-of-8": "raw sockets of 8 that read", "ring2-of-2": "AF_PACKET rings of 2 that read, PACKET_FANOUT"}
OUT = {"raw-bare": "raw socket, destination only", "raw-connected": "raw socket, connected", "raw-headers": "raw socket, own IP headers",
       "packet": "AF_PACKET, past the queueing discipline", "ring": "AF_PACKET ring (PACKET_TX_RING)", "xdp": "AF_XDP, copy"}


def run(options):
    rounds = options.rounds or (2 if options.quick else 9)
    turns = 20 if options.quick else 60
    rows = []
    with Server("bench-native", common.program(options.build, TARGETS[0]), cpu=common.quietest_cpu()) as one, \
            Server("bench-native", common.program(options.build, TARGETS[0])) as two:
        for size in SIZES:
            for family in (4, 6):
                rows += way_in(options, one, family, size, rounds, turns)
                rows += way_out(options, one, family, size, rounds, turns)
            rows += two_cores(options, two, size, rounds)
            rows += waiting(options, one, size, rounds)
    return rows + beside_xdp(options, rounds)


def taking_turns(case, server, ways, rounds, question):
    samples = {way: Sample() for way in ways}
    for _ in range(rounds):
        for way in ways:
            samples[way].add(numbers(server, question(way)))
    say(f"{case}: " + ", ".join(f"{way} {samples[way].median:,.3g}" for way in ways))
    return samples


def numbers(server, question):
    answer, _, lost = server.ask(question).partition(" lost ")
    if lost and float(lost) > 20:
        say(f"{question}: {lost} of 1,000 packets were lost")
    return [float(word) for word in answer.split()[1:]]


def way_in(options, server, family, size, rounds, turns):
    """Beyond what sending, and a device that drops, cost."""
    case = f"in, IPv{family}, {size:,} bytes, 1 core"
    if options.only not in case:
        return []
    peers = {**IN, **SEVERAL}
    if family == 6:  # the rest was written for IPv4
        peers = {way: name for way, name in peers.items() if way not in ("ring2-stack", "ring2-of-2")}
    samples = taking_turns(case, server, ("drop", OURS, *peers), rounds, lambda way: f"in {way} {family} {size} {turns}")
    floor = samples["drop"].median
    beyond = {way: Sample([value - floor for value in sample.values]) for way, sample in samples.items()}
    return [row(case, "beyond the device", "cycles/packet", beyond[OURS], beyond[way], name) for way, name in peers.items()]


def way_out(options, server, family, size, rounds, turns):
    case = f"out, IPv{family}, {size:,} bytes, 1 core"
    if options.only not in case:
        return []
    # Own IPv6 headers and a connected socket save what they save over IPv4.
    peers = {way: name for way, name in OUT.items() if family == 4 or way not in ("raw-connected", "raw-headers")}
    samples = taking_turns(case, server, (OURS, *peers), rounds, lambda way: f"out {way} {family} {size} {turns}")
    return [row(case, "sending, and a far device that drops", "cycles/packet", samples[OURS], samples[way], name) for way, name in peers.items()]


def two_cores(options, server, size, rounds):
    """A thread sends past the IP stack, one takes in; the kernel's part of receiving runs on the sender's core, as on that of a device's interrupt."""
    case = f"in, IPv4, {size:,} bytes, 2 cores"
    if options.only not in case:
        return []
    ways = (OURS, *IN)
    samples = {way: (Sample(), Sample()) for way in ways}
    for _ in range(rounds):
        for way in ways:
            packets, receiver, sender = numbers(server, f"two {way} 4 {size} 200")
            samples[way][0].add(packets)
            samples[way][1].add(receiver)
    say(f"{case}: " + ", ".join(f"{way} {samples[way][0].median:,.3g}/s {samples[way][1].median:,.3g} ns" for way in ways))
    rows = [row(case, "packets", "packets/s", samples[OURS][0], samples[way][0], name, more_is_better=True) for way, name in IN.items()]
    return rows + [row(case, "CPU time of the receiving thread", "ns/packet", samples[OURS][1], samples[way][1], name) for way, name in IN.items()]


def waiting(options, server, size, rounds):
    case = f"in, IPv4, {size:,} bytes, a packet at a time"
    if options.only not in case:
        return []
    samples = taking_turns(case, server, (OURS, *IN), rounds, lambda way: f"one {way} 4 {size} 100")
    return [Row(case, "from sending until it is taken, p50", "us", samples[OURS].median, samples[way].median, name, False, samples[OURS].spread, samples[way].spread)
            for way, name in IN.items()]


def beside_xdp(options, rounds):
    """What AF_XDP's program on the gateways' outer devices costs all that is not for AF_XDP."""
    import bench_tunnel
    from lab import Lab, wait_until
    kinds = {Carrier: "plain TCP", MerlonCarrier: "TCP in ESP in UDP"}
    kinds = {kind: f"{name}, 1 stream, beside AF_XDP" for kind, name in kinds.items() if options.only in f"{name}, 1 stream, beside AF_XDP"}
    if not kinds:
        return []
    two_cores_only()
    rows = []
    with Lab(options.build) as lab:
        for kind, case in kinds.items():
            carrier = kind(lab)
            carrier.host_b.start("iperf3", "-s")
            wait_until(lambda: carrier.host_b.run("ss", "-Hltn", "sport = :5201").stdout, "iperf3 listens")
            samples = {mode: Sample() for mode in ("none", "generic", "driver")}
            for _ in range(rounds):
                for mode, sample in samples.items():
                    programs = [] if mode == "none" else [gateway.start(common.program(options.build, TARGETS[0]), "idle-xdp", mode, "wan0", log=f"xdp-{mode}.log")
                                                          for gateway in (carrier.gw_a, carrier.gw_b)]
                    for program in programs:
                        wait_until(lambda: "attached" in program.log(), "the XDP program is attached")
                    try:
                        sample.add(bench_tunnel.measure(options, carrier, "TCP, 1 stream", 1 if options.quick else 2))
                    except common.Trouble as trouble:  # driver mode may lose so much that iperf3 gives up
                        say(str(trouble))
                    for program in programs:
                        program.stop()
            say(f"{case}: " + ", ".join(f"{mode} {sample.median:.3g}" for mode, sample in samples.items()))
            rows += [row(case, "goodput", "Gbit/s", samples["none"], samples[mode], f"with a program in {mode} mode", more_is_better=True) for mode in ("generic", "driver") if samples[mode].values]
    return rows
