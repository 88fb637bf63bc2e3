"""scapy and tshark read what two merlonds say to each other, and scapy speaks to one of them."""
import credentials
from lab import Failure, Merlon, Offices, wait_until
from oracle import ALGORITHMS, KeyTrace, ScapySa, echo_request, esp_packets, inject, tshark
from peers import FAST, PSK, toml_table
from runner import test


class TwoMerlons:
    """Children c0, c1 ...: child i leads from 10.1.0.0/24 to 10.2.i.0/24, where host b answers as 10.2.i.2."""

    def __init__(self, lab, proposals, connection=None, family=4, a=None, b=None):
        self.net = Offices(lab)
        ends = (self.net.A4, self.net.B4) if family == 4 else (self.net.A6, self.net.B6)
        self.outer_a, self.outer_b = ends
        self.children = [f"c{i}" for i in range(len(proposals))]
        self.net.gw_b.ip("route", "add", "10.2.0.0/16", "via", self.net.HOST_B4)
        for i in range(1, len(proposals)):
            self.net.host_b.ip("addr", "add", f"10.2.{i}.2/32", "dev", "lo")

        def configuration(name, own, peer, own_id, peer_id, keys, selectors):
            text = toml_table("daemon", {"log_level": "debug", **(keys or {}).pop("daemon", {})})
            text += toml_table(f"connection.{name}", {"local": own, "remote": peer, "local_id": own_id, "remote_id": peer_id, "psk": PSK, "start": "wait",
                                                      **FAST, "liveness_interval": "30s", **(connection or {}), **(keys or {})})
            for i, proposal in enumerate(proposals):
                mine, others = selectors(i)
                text += toml_table(f"connection.{name}.child.c{i}", {"local_ts": mine, "remote_ts": others, "esp_proposals": [proposal]})
            return text
        self.b = Merlon(self.net.gw_b, configuration("a", ends[1], ends[0], "b.example", "a.example", b, lambda i: (f"10.2.{i}.0/24", "10.1.0.0/24"))).start()
        self.a = Merlon(self.net.gw_a, configuration("b", ends[0], ends[1], "a.example", "b.example", a, lambda i: ("10.1.0.0/24", f"10.2.{i}.0/24"))).start()
        self.trace = KeyTrace(self.a, "b")

    def up(self):
        self.a.cli("up", "b")
        wait_until(lambda: len(self.sas()) == len(self.children), "all children are up")

    def sas(self):
        return {sa["child"]: sa for sa in self.a.child_sas("b")}

    def end(self):
        self.trace.stop()
        self.a.check_clean_end()
        self.b.check_clean_end()


@test([("native", "native", False, 4), ("udp", "udp", False, 4), ("native,ipv6", "native", False, 6), ("native,esn", "native", True, 4)])
def esp(lab, encapsulation, esn, family):
    """Every algorithm that an oracle knows, in one tunnel each: both directions are decrypted by both, and scapy's packets
    come out at the host."""
    suffix = "-esn" if esn else "-noesn"
    # scapy leaves ESN's upper half out of an HMAC; tshark knows no ESN.
    algorithms = [a for a in ALGORITHMS if not esn or (a.scapy and not a.scapy_integrity)]
    pair = TwoMerlons(lab, [a.proposal + suffix for a in algorithms], {"encapsulation": encapsulation}, family)
    pair.up()
    net, sas, keys = pair.net, pair.sas(), pair.trace.esp_keys()
    capture = net.router.capture("to-a", expression=["ip6" if family == 6 else "ip"])
    for i in range(len(algorithms)):
        for size in (0, 13, 1200):
            net.host_a.ping(f"10.2.{i}.2", count=1, size=size)
    capture.stop()
    packets = esp_packets(capture.path)
    for i, algorithm in enumerate(algorithms):
        sa = sas[f"c{i}"]
        outbound, inbound = (pair.outer_b, int(sa["spi_out"], 16)), (pair.outer_a, int(sa["spi_in"], 16))
        for end, source, destination in ((outbound, net.HOST_A4, f"10.2.{i}.2"), (inbound, f"10.2.{i}.2", net.HOST_A4)):
            check_by_scapy(pair, algorithm, end[1], keys[end], source, destination, esn, [p for p in packets if p[0] == end])
    if not esn:
        check_by_tshark(capture.path, pair, algorithms, sas)
    accepts_scapys(pair, algorithms, sas, keys, encapsulation == "udp", esn)
    pair.end()


def check_by_scapy(pair, algorithm, spi, keys, source, destination, esn, packets):
    if len(packets) != 3:
        raise Failure(f"{algorithm.proposal}: {len(packets)} ESP packets with SPI {spi:#x} instead of 3")
    if [sequence for _, sequence, _ in packets] != [1, 2, 3]:
        raise Failure(f"{algorithm.proposal}: sequence numbers {[p[1] for p in packets]}")  # RFC 4303 2.2: from 1
    if not algorithm.scapy:
        return
    scapy = ScapySa(algorithm, spi, keys, pair.outer_a, pair.outer_b, False, esn)
    for size, (_, _, data) in zip((0, 13, 1200), packets):
        inner = scapy.decrypt(data)
        if (inner.src, inner.dst) != (source, destination) or len(inner["ICMP"].payload) != size:
            raise Failure(f"{algorithm.proposal}: scapy sees {inner.summary()}, expected {size} bytes from {source} to {destination}")


def check_by_tshark(capture, pair, algorithms, sas):
    rows = tshark(capture, pair.trace.tshark_options(), "esp", ["esp.spi", "esp.icv_good", "esp.icv_bad", "icmp.type", "ip.dst", "ipv6.dst", "_ws.malformed"])
    for i, algorithm in enumerate(algorithms):
        if not algorithm.tshark:
            continue
        for direction, icmp_type in (("spi_out", "8"), ("spi_in", "0")):
            spi = int(sas[f"c{i}"][direction], 16)
            towards = pair.outer_b if direction == "spi_out" else pair.outer_a
            own = [row for row in rows if int(row["esp.spi"][0], 0) == spi and towards in row["ip.dst"] + row["ipv6.dst"]]
            wrong = [row for row in own if row["icmp.type"] != [icmp_type] or row["_ws.malformed"]
                     or (algorithm.tshark_checks and (not row["esp.icv_good"] or row["esp.icv_good"][0] not in ("1", "True")))]
            if len(own) != 3 or wrong:
                raise Failure(f"{algorithm.proposal}: tshark sees {len(own)} packets, and in these no good ICMP: {wrong}")


def accepts_scapys(pair, algorithms, sas, keys, in_udp, esn):
    """A packet of scapy's own comes out at host a; the same again, or with one bit changed, does not."""
    net, packets, markers = pair.net, [], []
    capture = net.host_a.capture("eth0", name="injected.pcap", expression=["icmp"])
    for i, algorithm in enumerate(algorithms):
        if not algorithm.scapy:
            continue
        spi = int(sas[f"c{i}"]["spi_in"], 16)
        scapy = ScapySa(algorithm, spi, keys[pair.outer_a, spi], pair.outer_b, pair.outer_a, in_udp, esn)
        for name, sequence in (("good", 400), ("forged", 401)):
            marker = f"scapy {name} {algorithm.proposal} {i}."
            sealed = scapy.encrypt(echo_request(f"10.2.{i}.2", net.HOST_A4, marker), sequence, forged=name == "forged")
            packets += [sealed] if name == "forged" else [sealed, sealed]
            markers += [] if name == "forged" else [marker]
    inject(net.router, packets, pair.outer_a)
    arrived = []

    def all_there():
        arrived[:] = [bytes(p["Raw"].load).decode(errors="replace") for p in echo_requests(capture.path)]
        return set(markers) <= set(arrived)
    try:
        wait_until(all_there, "scapy's packets come out at the host")
    except Failure as failure:
        raise Failure(f"{failure}; missing: {sorted(set(markers) - set(arrived))}; drops: {pair.a.status()['drops']}") from None
    drops = pair.a.status()["drops"]
    capture.stop()
    all_there()
    if sorted(arrived) != sorted(markers):
        raise Failure(f"replayed or forged packets came out: {sorted(arrived)}")
    if drops.get("replayed", 0) < len(markers) or drops.get("integrity", 0) < len(markers):
        raise Failure(f"expected {len(markers)} drops as replays and for their ICV each: {drops}")


def echo_requests(path):
    from scapy.utils import PcapReader
    try:
        return [p for p in PcapReader(str(path)) if "ICMP" in p and p["ICMP"].type == 8 and "Raw" in p]
    except EOFError:
        return []


IKE_SUITES = [
    ("gcm", "aes256gcm16-prfsha384-x25519"), ("gcm-8", "aes128gcm8-prfsha256-ecp256"), ("cbc", "aes256-sha512-modp3072"), ("cbc-sha1", "aes128-sha1-modp2048"),
    ("ccm", "aes256ccm16-prfsha512-ecp521"), ("ccm-8", "aes128ccm8-prfsha256-ecp384"),
]


@test(IKE_SUITES)
def ike(lab, proposal):
    """A life of an IKE SA: init, auth, rekeys, delete; tshark decrypts each message and has nothing to complain of."""
    pair = TwoMerlons(lab, ["aes256gcm16-x25519", "aes128gcm16-ecp256"], {"ike_proposals": [proposal]})
    capture = pair.net.router.capture("to-a", expression=["udp"])
    pair.up()
    live_through(pair)
    capture.stop()
    pair.end()
    check_ike(capture.path, pair.trace)


@test
def ike_with_certificates_in_fragments(lab):
    ours, theirs = (credentials.by_strongswan("rsa", name, intermediates=2) for name in ("a.example", "b.example"))
    keys = []
    for own, peer, name in ((ours, theirs, "a"), (theirs, ours, "b")):
        chain = lab.directory / f"{name}.pem"
        chain.write_text("".join(path.read_text() for path in (own.certificate, *own.intermediates)))
        keys.append({"certificate": str(chain), "private_key": str(own.key), "ca": [str(peer.authority)], "psk": None, "fragment_size": 600, "daemon": {"cookie_threshold": 0}})
    pair = TwoMerlons(lab, ["aes256gcm16-x25519", "aes128gcm16-ecp256"], a=keys[0], b=keys[1])
    capture = pair.net.router.capture("to-a", expression=["udp"])
    pair.up()
    live_through(pair)
    capture.stop()
    pair.end()
    check_ike(capture.path, pair.trace, cookie=True)


def live_through(pair):
    def spis():
        return {sa["spi_in"] for sa in pair.a.child_sas("b")}
    before = spis()
    pair.a.cli("rekey", "b.c0")
    wait_until(lambda: len(spis()) == 2 and spis() != before, "a Child SA is rekeyed")
    old = pair.a.connection("b")["ike_sas"][0]["spi_i"]
    pair.b.cli("rekey", "a", "--ike")
    wait_until(lambda: [sa["spi_i"] for sa in pair.a.connection("b")["ike_sas"]] not in ([old], []) and len(pair.a.connection("b")["ike_sas"]) == 1, "the IKE SA is rekeyed")
    pair.a.cli("down", "b.c1")
    wait_until(lambda: len(pair.b.child_sas("a")) == 1, "a Child SA is deleted")
    pair.b.cli("down", "a")
    wait_until(lambda: not pair.a.connection("b")["ike_sas"], "the IKE SA is deleted")


EXCHANGES = {"34": "IKE_SA_INIT", "35": "IKE_AUTH", "36": "CREATE_CHILD_SA", "37": "INFORMATIONAL"}


def check_ike(capture, trace, cookie=False):
    fields = ["frame.number", "isakmp.exchangetype", "isakmp.flag_r", "isakmp.nextpayload", "isakmp.typepayload", "isakmp.notify.msgtype", "isakmp.id.data.fqdn", "isakmp.auth.method",
              "isakmp.delete.protoid", "isakmp.enc.decrypted", "_ws.expert.message", "_ws.malformed"]
    rows = tshark(capture, trace.tshark_options(), "isakmp", fields)
    seen = {name: sum(1 for row in rows if row["isakmp.exchangetype"] == [number]) for number, name in EXCHANGES.items()}
    if seen["IKE_SA_INIT"] < 2 or seen["IKE_AUTH"] < 2 or seen["CREATE_CHILD_SA"] < 6 or seen["INFORMATIONAL"] < 6:
        raise Failure(f"too few messages were seen: {seen}")
    complaints = [row for row in rows if row["_ws.malformed"] or row["_ws.expert.message"]]
    if complaints:
        raise Failure(f"tshark complains: {complaints}")
    encrypted = [row for row in rows if row["isakmp.exchangetype"] != ["34"]]
    closed = [row for row in encrypted if not row["isakmp.enc.decrypted"] and "53" not in row["isakmp.typepayload"] + row["isakmp.nextpayload"]]
    if closed:
        raise Failure(f"tshark could not decrypt: {closed}")
    identities = {name for row in rows for name in row["isakmp.id.data.fqdn"]}
    if not {"a.example", "b.example"} <= identities:
        raise Failure(f"tshark reads the identities {identities}")
    if cookie and "16390" not in {kind for row in rows for kind in row["isakmp.notify.msgtype"]}:
        raise Failure("no COOKIE was seen")
