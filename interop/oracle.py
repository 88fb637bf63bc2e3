"""tshark and scapy as independent witnesses of what merlond puts on the wire. Keys come from `merlon trace --keys`."""
import csv
import dataclasses
import ipaddress
import json
import signal
import sys
import time

from lab import Failure, run, wait_until

sys.path.append("/usr/lib/python3/dist-packages")
from scapy.layers.inet import ICMP, IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402
from scapy.utils import PcapReader  # noqa: E402

INJECT = """
import json, socket, sys
for packet in json.load(sys.stdin):
    data = bytes.fromhex(packet["bytes"])
    if data[0] >> 4 == 4:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    else:
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.sendto(data, (packet["to"], 0))
"""


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One ESP proposal, as the oracles name it; None where an oracle does not know it."""
    proposal: str
    scapy_cipher: str = None
    scapy_integrity: str = None
    icv: int = None  # scapy's crypt_icv_size
    tshark: bool = True
    tshark_checks: bool = True  # the ICV, not only the cipher

    @property
    def scapy(self):
        return self.scapy_cipher is not None


ALGORITHMS = [
    Algorithm("aes128gcm16", "AES-GCM"), Algorithm("aes192gcm16", "AES-GCM"), Algorithm("aes256gcm16", "AES-GCM"),
    Algorithm("aes256gcm12"), Algorithm("aes128gcm8"),  # scapy's GCM has ICVs of 16 bytes only
    Algorithm("aes128ccm16", "AES-CCM", tshark=False), Algorithm("aes256ccm12", "AES-CCM", icv=12, tshark=False), Algorithm("aes256ccm8", "AES-CCM", icv=8, tshark=False),
    Algorithm("chacha20poly1305", "CHACHA20-POLY1305", tshark=False),
    Algorithm("aes128-sha256", "AES-CBC", "SHA2-256-128"), Algorithm("aes192-sha384", "AES-CBC", "SHA2-384-192"), Algorithm("aes256-sha512", "AES-CBC", "SHA2-512-256"),
    Algorithm("aes128-sha1", "AES-CBC", "HMAC-SHA1-96"),
    Algorithm("aes128-aescmac", "AES-CBC", "AES-CMAC-96", tshark_checks=False), Algorithm("aes128-aesxcbc", tshark_checks=False),
    Algorithm("aes128ctr-sha256", "AES-CTR", "SHA2-256-128"), Algorithm("aes256ctr-sha512", "AES-CTR", "SHA2-512-256"),
    Algorithm("null-sha256", "NULL", "SHA2-256-128"), Algorithm("null-sha384", "NULL", "SHA2-384-192"),
]


class KeyTrace:
    """`merlon trace NAME --keys` while it runs."""

    def __init__(self, merlon, connection):
        self.directory = merlon.directory / "keys"
        self.process = merlon.host.start(merlon.build / "merlon", "--socket", merlon.socket, "-c", merlon.config, "trace", connection, "--keys", self.directory, log="trace.log")
        wait_until(lambda: self.directory.exists(), "merlon trace listens")
        time.sleep(0.2)  # the folder is made just before the daemon is asked

    def stop(self):
        self.process.stop(signal.SIGINT)

    def lines(self, name):
        file = self.directory / name
        return file.read_text().splitlines() if file.exists() else []

    def esp_keys(self):
        """{(destination, SPI): (cipher key and salt, integrity key)} of all SAs. Each side draws its own SPIs: two may be equal."""
        keys = {}
        for row in csv.reader(self.lines("esp_sa") + self.lines("esp_sa_other")):
            keys[row[2], int(row[3], 16)] = tuple(bytes.fromhex(key.removeprefix("0x")) for key in (row[5], row[7]))
        return keys

    def tshark_options(self):
        options = ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
        for table in ("esp_sa", "ikev2_decryption_table"):
            options += [option for line in self.lines(table) for option in ("-o", f"uat:{table}:{line}")]
        return options


def tshark(capture, options, display_filter, fields):
    """One list of values for each packet and field."""
    columns = [option for field in fields for option in ("-e", field)]
    told = run("tshark", "-n", "-r", capture, *options, "-Y", display_filter, "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", *columns, timeout=120).stdout
    return [dict(zip(fields, ([v for v in column.split(",") if v] for column in line.split("|")))) for line in told.splitlines()]


class ScapySa:
    """One direction of a Child SA, as scapy sees it."""

    def __init__(self, algorithm, spi, keys, source, destination, in_udp, esn):
        self.in_udp, self.esn = in_udp, esn
        self.outer = (IP if ipaddress.ip_address(source).version == 4 else IPv6)(src=source, dst=destination)
        self.sa = SecurityAssociation(ESP, spi=spi, crypt_algo=algorithm.scapy_cipher, crypt_key=keys[0] or None, crypt_icv_size=algorithm.icv,
                                      auth_algo=algorithm.scapy_integrity, auth_key=keys[1] or None, tunnel_header=self.outer, esn_en=esn, esn=0)

    def decrypt(self, esp_bytes):
        """The inner packet; Failure when the ICV is wrong."""
        try:
            return self.sa.decrypt(type(self.outer)(bytes(self.outer / ESP(esp_bytes))), esn_en=self.esn, esn=0)
        except Exception as error:
            raise Failure(f"scapy refuses our ESP packet with SPI {self.sa.spi:#x}: {error!r}") from None

    def encrypt(self, packet, sequence, forged=False):
        """A whole outer packet; forged: one bit of the ICV is wrong. scapy's own UDP header would have a wrong length."""
        esp = bytearray(bytes(self.sa.encrypt(packet, seq_num=sequence, esn_en=self.esn, esn=0)[ESP]))
        esp[-1] ^= forged
        return bytes(self.outer / UDP(sport=4500, dport=4500) / bytes(esp) if self.in_udp else self.outer.copy() / ESP(bytes(esp)))


def esp_packets(capture):
    """[((destination, SPI), sequence number, ESP bytes)] of a capture, native and in UDP."""
    found = []
    for packet in PcapReader(str(capture)):
        esp = None
        if UDP in packet and 4500 in (packet[UDP].sport, packet[UDP].dport):
            payload = bytes(packet[UDP].payload)[:packet[UDP].len - 8]
            if len(payload) > 8 and payload[:4] != bytes(4):
                esp = payload
        elif IP in packet and packet[IP].proto == 50:
            esp = bytes(packet[IP].payload)[:packet[IP].len - 4 * packet[IP].ihl]
        elif IPv6 in packet and packet[IPv6].nh == 50:
            esp = bytes(packet[IPv6].payload)[:packet[IPv6].plen]
        if esp:
            outer = packet[IP] if IP in packet else packet[IPv6]
            found.append(((outer.dst, int.from_bytes(esp[:4], "big")), int.from_bytes(esp[4:8], "big"), esp))
    return found


def inject(host, packets, destination):
    """Sends whole IP packets, whatever their source address."""
    host.run(sys.executable, "-c", INJECT, input=json.dumps([{"bytes": bytes(packet).hex(), "to": destination} for packet in packets]))


def echo_request(source, destination, payload):
    """As the bytes that a host would send, checksums and all."""
    return IP(bytes(IP(src=source, dst=destination, ttl=64) / ICMP(id=0x4d45, seq=1) / payload))
