"""Turns that a negotiation can take: another key exchange method, cookies, narrower selectors, several children, the defaults."""
import sys

import credentials
from lab import Failure, run, wait_until
from peers import Pair
from runner import test

BOTH = [("merlon-begins", "merlon"), ("strongswan-begins", "strongswan")]


def log_holds(pair, text):
    wait_until(lambda: text in pair.swan.log(), f"strongSwan's log holds {text}")


@test(BOTH)
def another_key_exchange_method(lab, initiator):
    """RFC 7296 1.2: the initiator guesses a method that the responder does not have, is told INVALID_KE_PAYLOAD, begins anew."""
    with Pair(lab) as pair:
        wide, narrow = "aes256gcm16-prfsha384-x25519-ecp384", "aes256gcm16-prfsha384-ecp384"
        pair.connection["ike_proposals"] = [wide if initiator == "merlon" else narrow]
        pair.swan_connection["proposals"] = wide if initiator == "strongswan" else narrow
        pair.start().up(initiator)
        log_holds(pair, "N(INVAL_KE)")
        pair.ping_both_ways()
        pair.end()


@test(BOTH)
def cookies(lab, initiator):
    """RFC 7296 2.6"""
    with Pair(lab) as pair:
        pair.daemon["cookie_threshold"] = 0
        pair.charon |= {"cookie_threshold": 1, "cookie_threshold_ip": 1, "dos_protection": "yes"}
        pair.start()
        if initiator == "merlon":
            fill_half_open(pair)
        pair.up(initiator)
        log_holds(pair, "N(COOKIE)")
        pair.ping_both_ways()
        pair.end()


def fill_half_open(pair):
    """strongSwan asks for cookies while enough IKE SAs are half open; each of these begins one and says no more."""
    script = f"""
import socket, struct, os
suite = struct.pack('!BBHBBBB', 0, 0, 8 + 8 + 4 + 8 + 8, 1, 1, 0, 3)
suite += struct.pack('!BBHBBHHH', 3, 0, 12, 1, 0, 20, 0x800e, 256) + struct.pack('!BBHBBH', 3, 0, 8, 2, 0, 6) + struct.pack('!BBHBBH', 0, 0, 8, 4, 0, 31)
suite = suite[:2] + struct.pack('!H', len(suite)) + suite[4:]
def payload(following, body): return struct.pack('!BBH', following, 0, 4 + len(body)) + body
body = payload(34, suite) + payload(40, struct.pack('!HH', 31, 0) + os.urandom(32)) + payload(0, os.urandom(32))
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind(('198.51.100.1', 0))
for i in range(8):
    out.sendto(os.urandom(8) + bytes(8) + struct.pack('!BBBBII', 33, 0x20, 34, 8, 0, 28 + len(body)) + body, ('203.0.113.2', 500))
"""
    pair.swan_connection["remote_addrs"] = "%any"
    pair.swan.configure({"a": pair.swan_connection}, pair.swan_secrets)
    pair.swan.load()
    pair.net.router.run(sys.executable, "-c", script)
    wait_until(lambda: pair.swan.log().count("parsed IKE_SA_INIT request") >= 1, "strongSwan holds half-open IKE SAs")


@test(BOTH)
def selectors_are_narrowed(lab, initiator):
    """RFC 7296 2.9: the responder's are narrower; both take the smaller ones."""
    with Pair(lab) as pair:
        if initiator == "merlon":
            pair.child |= {"remote_ts": "10.0.0.0/8"}
        else:
            pair.swan_child |= {"remote_ts": "10.0.0.0/8"}
        pair.start().up(initiator)
        sa = pair.merlon.child_sas("b")[0]
        if (sa["local_ts"], sa["remote_ts"]) != ("10.1.0.0/24", "10.2.0.0/24"):
            raise Failure(f"expected the narrower selectors: {sa}")
        pair.use()
        pair.end()


@test(BOTH)
def several_children(lab, initiator):
    """The first in IKE_AUTH, the others in CREATE_CHILD_SA, IPv4 and IPv6 inside, with and without PFS."""
    with Pair(lab) as pair:
        pair.children = {"net": pair.child, "six": {"local_ts": "fd00:1::/64", "remote_ts": "fd00:2::/64", "esp_proposals": ["aes128gcm16-x25519"]},
                         "one": {"local_ts": "10.1.0.0/24[udp]", "remote_ts": "10.2.1.1/32[udp/53]", "esp_proposals": ["aes128-sha256-ecp256"]}}
        pair.swan_connection["children"] |= {"six": {"local_ts": "fd00:2::/64", "remote_ts": "fd00:1::/64", "esp_proposals": "aes128gcm16-x25519"},
                                             "one": {"local_ts": "10.2.1.1/32[udp/53]", "remote_ts": "10.1.0.0/24[udp]", "esp_proposals": "aes128-sha256-ecp256"}}
        pair.net.gw_b.ip("addr", "add", "10.2.1.1/32", "dev", "lo")  # kernel-libipsec wants an address in each of its networks
        pair.start()
        if initiator == "merlon":
            pair.merlon.cli("up", "b", timeout=40)
        else:
            for child in pair.swan_connection["children"]:
                pair.swan.initiate(child)
        wait_until(lambda: len({sa["child"] for sa in pair.merlon.child_sas("b")}) == 3 and len(pair.swan.child_sas()) == 3, "three children")
        pair.ping_both_ways()
        pair.net.host_a.ping(pair.net.HOST_B6, interval=0.05)
        pair.net.host_b.ping(pair.net.HOST_A6, interval=0.05)
        pair.end()


@test(BOTH)
def ipv6_outside(lab, initiator):
    with Pair(lab, "ecdsa") as pair:
        pair.connection |= {"local": pair.net.A6, "remote": pair.net.B6}
        pair.swan_connection |= {"local_addrs": pair.net.B6, "remote_addrs": pair.net.A6}
        pair.start().up(initiator).use()
        pair.end()


@test(BOTH)
def defaults_agree(lab, initiator):
    """Neither side names algorithms."""
    with Pair(lab) as pair:
        del pair.connection["ike_proposals"], pair.child["esp_proposals"]
        pair.swan_connection["proposals"] = pair.swan_child["esp_proposals"] = "default"
        pair.start().up(initiator).use()
        pair.end()


@test(BOTH)
def raw_public_keys(lab, initiator):
    """RFC 7670 on our side; strongSwan holds the same keys as files."""
    with Pair(lab) as pair:
        folder = pair.lab.directory
        keygen = run(pair.lab.build / "merlon", "keygen", folder / "a.key")
        (folder / "a.pub").write_text(f"-----BEGIN PUBLIC KEY-----\n{keygen.stdout.strip()}\n-----END PUBLIC KEY-----\n")
        swan = credentials.by_strongswan("ed25519", "b.example")
        public = run("openssl", "pkey", "-in", swan.key, "-pubout").stdout
        (folder / "b.pub").write_text(public)
        del pair.connection["psk"]
        pair.connection |= {"private_key": str(folder / "a.key"), "remote_public_key": "".join(public.splitlines()[1:-1])}
        pair.swan_connection["local"] = {"auth": "pubkey", "id": "b.example", "pubkeys": "b.pub"}
        pair.swan_connection["remote"] = {"auth": "pubkey", "id": "a.example", "pubkeys": "a.pub"}
        pair.swan_secrets, pair.swan_files = {}, {"private/b.key": swan.key, "pubkey/a.pub": folder / "a.pub", "pubkey/b.pub": folder / "b.pub"}
        pair.start().up(initiator)
        pair.check_proof("ED25519")
        pair.use()
        pair.end()


@test(BOTH)
def a_peer_that_knows_no_resources(lab, initiator):
    """RFC 9611 towards a peer that has never heard of it (strongSwan knows it from 6.0.2 on): one Child SA, and traffic."""
    with Pair(lab) as pair:
        pair.daemon["workers"] = 2
        pair.child["parallel"] = 2
        pair.start().up(initiator)
        pair.use()
        if len(pair.swan.child_sas("net")) != 1 or len(pair.merlon.child_sas("b")) != 1:
            raise Failure(f"one Child SA was expected, not {pair.swan.child_sas('net')}")
        pair.check_protected()
        pair.end()
