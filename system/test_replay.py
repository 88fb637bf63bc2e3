"""Packets that an attacker repeats, changes or, with stolen keys, makes up."""
import json
import re
import time

from common import expect, pair, python, wait_watching
from lab import Offices, wait_until
from runner import test

REINJECT = """
    import socket, struct, sys
    data = open(sys.argv[1], "rb").read()
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((sys.argv[2], 0))
    at, count = 24, 0
    while at < len(data):
        size = struct.unpack_from("<IIII", data, at)[2]
        frame = bytearray(data[at + 16:at + 16 + size])
        if frame[23] == socket.IPPROTO_UDP:
            frame[40:42] = bytes(2)  # no checksum: that of a captured packet may not have been filled in yet
        if len(sys.argv) > 3:
            frame[int(sys.argv[3])] ^= 1  # from the end
        s.send(frame)
        at, count = at + 16 + size, count + 1
    print(count)
"""


@test([("native", "native", "esp"), ("udp", "udp", "udp port 4500 and udp[8:4] != 0")])
def repeated_and_changed_packets(lab, how, expression):
    net = Offices(lab)
    a, b = pair(net, extra=f'encapsulation = "{how}"\nliveness_interval = "60s"')
    stolen = net.router.capture("to-b", "stolen.pcap", (*expression.split(), "and", "src", "host", net.A4, "and", "greater", "100"))
    inner = net.host_b.capture("eth0", "inner.pcap", ("icmp",))
    net.host_a.ping(net.HOST_B4, count=20, interval=0.01)
    stolen.stop()
    count = int(python(net.router, REINJECT, stolen.path, "to-b").stdout)
    expect(count == 20, f"20 packets should have been captured, not {count}")
    wait_until(lambda: b.status()["drops"].get("replayed", 0) >= 20, f"status should count 20 replays: {b.status()['drops']}")
    python(net.router, REINJECT, stolen.path, "to-b", -1)  # the ICV
    python(net.router, REINJECT, stolen.path, "to-b", -30)  # the inner packet
    time.sleep(0.3)
    inner.stop()
    requests = re.findall(r"echo request, id (\d+), seq (\d+)", inner.text())
    expect(len(requests) == 20 and len(set(requests)) == 20, f"host_b should have got each request once, not {len(requests)}")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


FORGE = """
    import json, sys
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.ipsec import ESP, SecurityAssociation
    from scapy.packet import Raw
    from scapy.sendrecv import send
    spi, key, outer_source, outer_destination, forged = sys.argv[1:]
    sa = SecurityAssociation(ESP, spi=int(spi, 16), crypt_algo="AES-GCM", crypt_key=bytes.fromhex(key),
                             tunnel_header=IP(src=outer_source, dst=outer_destination))
    for sequence, source, destination, mark in json.loads(forged):
        packet = IP(src=source, dst=destination) / ICMP(id=mark, seq=1) / Raw(b"made up")
        send(sa.encrypt(packet, seq_num=sequence, iv=sequence.to_bytes(8, "big")), verbose=False)
"""


@test
def selectors_bind_the_peer(lab):
    """RFC 4301 5.2: even a peer that has the keys cannot send from addresses that are not its own."""
    net = Offices(lab)
    a, b = pair(net, up=False, extra='encapsulation = "native"\nesp_proposals = ["aes128gcm16-x25519-noesn"]')
    keys = lab.directory / "keys"
    a.cli("down", "b")
    trace = net.gw_a.start(a.build / "merlon", "--socket", a.socket, "trace", "b", "--keys", keys, log="trace.log")
    wait_watching(a, 1)
    a.cli("up", "b")
    wait_until(lambda: (keys / "esp_sa").exists() and len((keys / "esp_sa").read_text().splitlines()) >= 2, "the keys are written")
    trace.stop()
    line = next(line for line in (keys / "esp_sa").read_text().splitlines() if f'"{net.B4}","{net.A4}"' in line)
    fields = [field.strip('"') for field in line.split(",")]
    spi, key = fields[3], fields[5].removeprefix("0x")
    inner = net.host_a.capture("eth0", "inner.pcap", ("icmp",))

    forged = [(1001, net.HOST_B4, net.HOST_A4, 4001),  # what the peer may send
              (1002, "192.0.2.7", net.HOST_A4, 4002),  # not from its network
              (1003, net.HOST_B4, "10.9.9.9", 4003),  # not into ours
              (1004, net.HOST_A4, net.HOST_A4, 4004),  # as if from our own network
              (1001, net.HOST_B4, net.HOST_A4, 4005),  # a sequence number again
              (1006, net.HOST_B4, net.HOST_A4, 4006)]  # the SA goes on
    python(net.router, FORGE, spi, key, net.B4, net.A4, json.dumps(forged))
    wait_until(lambda: sum(a.status()["drops"].get(reason, 0) for reason in ("selector_mismatch", "replayed")) >= 4, "what was forged has been dropped")
    wait_until(lambda: "id 4006," in inner.text(), "the last of them has arrived")
    inner.stop()
    marks = [int(m) for m in re.findall(r"echo request, id (\d+)", inner.text())]
    expect(marks == [4001, 4006], f"host_a should have got only what the selectors allow, not {marks}")
    drops = a.status()["drops"]
    expect(drops.get("selector_mismatch") == 3 and drops.get("replayed") == 1, f"the drops should be counted: {drops}")
    a.check_clean_end()
    b.check_clean_end()
