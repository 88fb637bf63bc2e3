"""scale: memory for an SA pair and for a policy, and what finding one costs, from 1 to 1,000,000; peers: DPDK's librte_ipsec with its table
of SAs, and librte_acl, which DPDK's IPsec gateway has for policies."""
import common
from common import Row, Sample, Server, row, say

PACKAGES = ("libdpdk-dev", "libipsec-mb-dev")
TARGETS = ("bench-scale-merlon", "bench-scale-dpdk")
COUNTS = (1, 1000, 100000, 1000000)
SADB, ACL = "librte_ipsec", "librte_acl"
BYTES_A_MILLION = 12e9


def run(options):
    rounds = options.rounds or (2 if options.quick else 7)
    chunks = 40 if options.quick else 120
    counts = COUNTS[:2] if options.quick else COUNTS
    rows = []
    for count in counts:
        if count >= 1000000 and available_bytes() < BYTES_A_MILLION:
            say(f"{count:,} is left out: {available_bytes() / 1e9:.0f} GB of memory are free, {BYTES_A_MILLION / 1e9:.0f} are wanted")
            continue
        cpu = common.quietest_cpu()
        with Server("merlon", common.program(options.build, TARGETS[0]), cpu=cpu) as ours, Server("DPDK", common.program(options.build, TARGETS[1]), cpu=cpu) as peer:
            rows += sas(count, ours, peer, rounds, chunks)
            rows += policies(count, ours, peer, rounds, chunks)
    return rows


def sas(count, ours, peer, rounds, chunks):
    case = f"{count:,} SA pair{'s' if count > 1 else ''}"
    say(case)
    rows = []
    # The tables are made for some size: of one SA its own memory cannot be told.
    memory = [server.numbers(f"sas {count}") for server in (ours, peer)]
    if count > 1:
        rows += [Row(case, "memory of a pair", "bytes", memory[0][0], memory[1][0], SADB),
                 Row(case, "memory of a direction beside the key schedule", "bytes", memory[0][1], memory[1][1], SADB)]
    return rows + [lookups(case, "inbound SA by SPI", "find-sa", ours, peer, SADB, rounds, chunks)]


def policies(count, ours, peer, rounds, chunks):
    case = f"{count:,} polic{'ies' if count > 1 else 'y'}"
    say(case)
    own = ours.numbers(f"policies {count}")
    other = peer.numbers(f"policies {count}")
    if not other:
        say(f"{ACL} does not take {count:,} policies: they are compared with what it does with 100,000")
        other = peer.numbers("policies 100000")
    name = ACL if count <= 100000 else f"{ACL} with 100,000"
    rows = [Row(case, "memory of a policy", "bytes", own[0], other[0], name)] if count > 1 else []
    return rows + [lookups(case, "policy of a packet", "find-policy", ours, peer, name, rounds, chunks)]


def lookups(case, metric, verb, ours, peer, name, rounds, chunks):
    samples = Sample(), Sample()
    for _ in range(rounds):
        for server, sample in zip((ours, peer), samples):
            sample.add(server.numbers(f"{verb} {chunks}"))
    return row(case, metric, "cycles", *samples, name)


def available_bytes():
    with open("/proc/meminfo") as info:
        return next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
