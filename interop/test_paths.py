"""What lies between the peers: a NAT that forgets, datagrams that may not be large."""
import credentials
from lab import Failure, wait_until
from nat import Nat
from peers import Pair
from runner import test

FIRST_PORTS, LATER_PORTS = "30000-30999", "40000-40999"


def port(endpoint):
    return int(endpoint.rsplit(":", 1)[1])


@test([("merlon-behind-it,merlon-begins", "merlon", "merlon", "gcm"), ("strongswan-behind-it,strongswan-begins", "strongswan", "strongswan", "chacha20")])
def nat_that_forgets(lab, behind, initiator, suite):
    """The side outside sees the router's address; after the mapping is gone it follows the other to its new one."""
    with Pair(lab, "ecdsa", suite) as pair:
        net = pair.net
        if behind == "merlon":
            nat = Nat(net.router, "to-b", FIRST_PORTS)
            pair.swan_connection["remote_addrs"] = "%any"
        else:
            nat = Nat(net.router, "to-a", FIRST_PORTS)
            pair.connection["remote"] = None
            pair.swan_connection["dpd_delay"] = "2s"
        pair.start().up(initiator).use()
        sa = pair.merlon.connection("b")["ike_sas"][0]
        expected = (True, False) if behind == "merlon" else (False, True)
        # kernel-libipsec lies about its address to get ESP in UDP, so strongSwan seems to be behind a NAT in any case.
        if (sa["local_behind_nat"], sa["remote_behind_nat"])[0] != expected[0] or not sa["natt"]:
            raise Failure(f"Merlon does not see who is behind the NAT: {sa}")

        def seen():
            return pair.swan.ike_sas()[0]["remote"] if behind == "merlon" else pair.merlon.connection("b")["ike_sas"][0]["remote"]
        if port(seen()) not in range(30000, 31000):
            raise Failure(f"expected a port of the NAT's, saw {seen()}")
        nat.forget(LATER_PORTS)
        inside, target = (net.host_a, net.HOST_B4) if behind == "merlon" else (net.host_b, net.HOST_A4)
        wait_until(lambda: inside.ping(target, count=1, wait=1, check=False) and port(seen()) in range(40000, 41000),
                   "packets flow again, to the new mapping")
        pair.use()
        if behind == "strongswan" and "moved" not in pair.merlon.log():
            raise Failure("Merlon's log does not say that the peer moved")
        pair.end()


@test([("merlon", "merlon"), ("strongswan", "strongswan")])
def fragmentation_both_ways(lab, initiator):
    """RFC 7383: long chains and small datagrams; no IKE message leaves as IP fragments, and none exceeds the limit."""
    limit = 576
    with Pair(lab) as pair:
        pair.certificates(credentials.by_strongswan("rsa", "a.example", intermediates=2), credentials.by_strongswan("rsa", "b.example", intermediates=2))
        pair.connection |= {"fragment_size": limit, "send_certificate": "always"}
        pair.swan_connection |= {"fragmentation": "yes", "send_cert": "always"}
        pair.charon["fragment_size"] = limit
        capture = pair.net.router.capture("to-a", expression=["ip", "host", pair.net.B4])
        pair.start().up(initiator).use()
        capture.stop()
        # In UDP 4500 the IKE header stands behind the four zero bytes; its next payload is at 16, 53 is SKF.
        skf = "udp port 4500 and udp[8:4] = 0 and udp[28] = 53"
        for source in (pair.net.A4, pair.net.B4):
            fragments = capture.lines(f"src host {source} and {skf}")
            if len(fragments) < 4:
                raise Failure(f"{source} sent {len(fragments)} encrypted fragments\n" + capture.text("udp port 4500 and udp[8:4] = 0"))
            too_large = capture.lines(f"src host {source} and ({skf}) and greater {limit + 15}")  # Ethernet's 14
            if too_large:
                raise Failure("larger than the limit:\n" + "\n".join(too_large))
        if capture.lines("ip[6:2] & 0x3fff != 0 and udp"):
            raise Failure("IP fragments on the way")
        pair.end()


@test
def large_certificates_without_fragmentation(lab):
    """One that does not know RFC 7383: IP fragments carry the message."""
    with Pair(lab) as pair:
        pair.certificates(credentials.by_strongswan("rsa", "a.example", intermediates=2), credentials.by_strongswan("rsa", "b.example", intermediates=2))
        pair.swan_connection |= {"fragmentation": "no", "send_cert": "always"}
        pair.connection["send_certificate"] = "always"
        capture = pair.net.router.capture("to-a", expression=["ip", "host", pair.net.B4])
        pair.start().up("merlon").ping_both_ways()
        capture.stop()
        if capture.lines("udp port 4500 and udp[8:4] = 0 and udp[28] = 53"):
            raise Failure("encrypted fragments, though the peer did not announce that it knows them")
        pair.end()
