"""esp: the packet engine in memory, cycles a packet; peers: DPDK's librte_ipsec, and intel-ipsec-mb alone as the floor."""
import common
from common import Sample, Server, row, say

PACKAGES = ("libdpdk-dev", "libipsec-mb-dev")
TARGETS = ("bench-esp-merlon", "bench-esp-cipher", "bench-esp-ipsec-mb", "bench-esp-dpdk")
OURS, CIPHER, DPDK, FLOOR = "merlon", "merlon's cipher alone", "librte_ipsec", "ipsec-mb alone"
PROGRAMS = {OURS: "bench-esp-merlon", CIPHER: "bench-esp-cipher", DPDK: "bench-esp-dpdk", FLOOR: "bench-esp-ipsec-mb"}
ALGORITHMS = ("aes128gcm16", "aes256gcm16", "chacha20poly1305", "aes128-sha256")
SIZES = ("64", "256", "512", "1024", "1424", "imix")
SA_COUNTS = (1, 1000, 100000)
BURST = 64
# How ESP travels, and whether inner packets of one flow can be put together: what cases are called.
KINDS = {"native": "", "udp": ", ESP in UDP", "joined": ", ESP in UDP, packets that can be joined"}


def run(options):
    rounds = options.rounds or (2 if options.quick else 7)
    chunks = 40 if options.quick else 120
    shapes = [(algorithm, sas, kind) for algorithm in ALGORITHMS for kind in KINDS for sas in SA_COUNTS
              if (kind == "native" or algorithm == ALGORITHMS[0]) and (not options.quick or (algorithm == ALGORITHMS[0] and sas <= 1000))]
    sizes = ("64", "1424", "imix") if options.quick else SIZES
    rows = []
    cpu = common.quietest_cpu()
    for algorithm, sas, kind in shapes:
        shape = f"{algorithm}, {sas:,} SA{'s' if sas > 1 else ''}{KINDS[kind]}"
        if options.only not in shape:
            continue
        # New processes for each: what one had allocated does not shape the next one's memory.
        servers = {name: Server(name, common.program(options.build, target), cpu=cpu) for name, target in PROGRAMS.items()}
        try:
            notes = {name: server.ask(f"setup {algorithm} {sas} {BURST} {kind}") for name, server in servers.items()}
            say(f"{shape}: " + "; ".join(f"{name} {note}" for name, note in notes.items()))
            servers_ready = {name: server for name, server in servers.items() if notes[name].startswith("ok")}
            if OURS not in servers_ready:
                raise common.Trouble(f"{OURS}: {notes[OURS]}")
            rows += measure(shape, servers_ready, sizes, rounds, chunks)
        finally:
            for server in servers.values():
                server.close()
    return rows


def measure(shape, servers, sizes, rounds, chunks):
    samples = {(name, size, direction): Sample() for name in servers for size in sizes for direction in ("encap", "decap")}
    for _ in range(rounds):
        for size in sizes:
            for direction in ("encap", "decap"):
                for name, server in servers.items():
                    samples[name, size, direction].add(server.numbers(f"measure {direction} {size} {chunks}"))
    rows = []
    for size in sizes:
        case = f"{shape}, {size if size == 'imix' else size + ' bytes'}"
        for peer in (DPDK, FLOOR):
            if peer not in servers:
                continue
            for direction in ("encap", "decap"):
                rows.append(row(case, direction, "cycles/packet", samples[OURS, size, direction], samples[peer, size, direction], peer))
            rows.append(row(case, "encap + decap", "cycles/packet", both(samples, OURS, size), both(samples, peer, size), peer))
        # What of our cycles is the cipher's, beside the same of the library.
        if CIPHER in servers and FLOOR in servers:
            rows.append(row(case, "cipher alone, both ways", "cycles/packet", both(samples, CIPHER, size), both(samples, FLOOR, size), FLOOR))
    return rows


def both(samples, name, size):
    return Sample([a + b for a, b in zip(samples[name, size, "encap"].values, samples[name, size, "decap"].values)])
