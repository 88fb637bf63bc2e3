"""New keys under traffic, begun by each side: not one ping is lost in either direction. And deletes, begun by each side."""
import concurrent.futures
import re
import time

from lab import Failure, wait_until
from peers import Pair, Pings
from runner import test


def ike_spis(pair):
    return {(sa["spi_i"], sa["spi_r"]) for sa in pair.swan.ike_sas()}


def child_spis(pair):
    return {child["spi_in"] for child in pair.swan.child_sas()}


def settled(pair, before, spis):
    """Both sides hold one SA again, and it is a new one."""
    def condition():
        theirs, ours = spis(pair), pair.merlon.connection("b")["ike_sas"]
        return len(theirs) == 1 and not theirs & before and len(ours) == 1 and len(ours[0]["child_sas"]) == 1
    return condition


REKEYS = {
    ("child", "merlon"): lambda pair: pair.merlon.cli("rekey", "b.net"),
    ("child", "strongswan"): lambda pair: pair.swan.rekey(child="net"),
    ("ike", "merlon"): lambda pair: pair.merlon.cli("rekey", "b", "--ike"),
    ("ike", "strongswan"): lambda pair: pair.swan.rekey(ike="a"),
}


@test([("merlon-began", "merlon"), ("strongswan-began", "strongswan")])
def rekey_loses_nothing(lab, initiator):
    """Twice round, since the second rekey is of SAs that a rekey made."""
    # charon keeps a Child SA that was replaced for as long as packets may be on their way: 5 s by default.
    with Pair(lab, suite="aes256gcm16-x25519") as pair:
        pair.charon["delete_rekeyed_delay"] = 1
        pair.start().up(initiator)
        with Pings(pair.net.host_a, pair.net.HOST_B4) as there, Pings(pair.net.host_b, pair.net.HOST_A4) as back:
            for _ in range(2):
                for (what, side), rekey in REKEYS.items():
                    spis = ike_spis if what == "ike" else child_spis
                    before = spis(pair)
                    rekey(pair)
                    wait_until(settled(pair, before, spis), f"{what} rekeyed by {side}")
        there.check_none_lost(at_least=100)
        back.check_none_lost(at_least=100)
        pair.use()
        pair.end()


def crossings(pair):
    """How often a rekey of one side met one of the other, by Merlon's log: two requests without an answer between them."""
    seen = re.findall(r" (-->|<--) \S+\n +CREATE_CHILD_SA (request|response)", pair.merlon.log())
    return sum(1 for one, two in zip(seen, seen[1:]) if one[1] == two[1] == "request" and one[0] != two[0])


@test([("child", "child"), ("ike", "ike")])
def simultaneous_rekeys(lab, what):
    """RFC 7296 2.8.1, 2.8.2: both begin at once, several times; one SA is left on both sides, and nothing is lost."""
    # Large numbers take their time: so the two exchanges do cross.
    with Pair(lab, suite="aes256gcm16-modp8192" if what == "child" else "gcm") as pair, concurrent.futures.ThreadPoolExecutor() as both:
        pair.charon["delete_rekeyed_delay"] = 1
        if what == "ike":
            pair.connection["ike_proposals"] = ["aes256gcm16-prfsha384-modp8192"]
            pair.swan_connection["proposals"] = "aes256gcm16-prfsha384-modp8192"
        pair.start().up()
        spis = ike_spis if what == "ike" else child_spis
        with Pings(pair.net.host_a, pair.net.HOST_B4) as there, Pings(pair.net.host_b, pair.net.HOST_A4) as back:
            # swanctl and merlon take different times to get there; so one of several pauses makes the exchanges cross.
            for attempt in range(6):
                before = spis(pair)
                theirs = both.submit(REKEYS[what, "strongswan"], pair)
                time.sleep(attempt % 3 * 0.01)
                REKEYS[what, "merlon"](pair)
                theirs.result()
                wait_until(settled(pair, before, spis), f"one {what} SA is left")
                if crossings(pair) >= 3:
                    break
        there.check_none_lost(at_least=40)
        back.check_none_lost(at_least=40)
        if not crossings(pair):
            raise Failure("the rekeys never crossed: the test tests nothing")
        pair.use()
        pair.end()


@test([("gcm", "gcm"), ("cbc-sha256", "cbc-sha256"), ("chacha20", "chacha20")])
def soft_lifetimes_rekey_by_themselves(lab, suite):
    """Merlon's soft lifetime in packets and strongSwan's in seconds both strike, also at the same time."""
    with Pair(lab, suite=suite) as pair:
        pair.charon["delete_rekeyed_delay"] = 1
        pair.child |= {"lifetime_soft_packets": 120, "lifetime_hard_packets": 5000}
        pair.swan_child |= {"rekey_time": "2s", "life_time": "20s", "rand_time": "1s"}
        pair.start().up()
        first = child_spis(pair)
        with Pings(pair.net.host_a, pair.net.HOST_B4) as there, Pings(pair.net.host_b, pair.net.HOST_A4) as back:
            seen = set(first)
            wait_until(lambda: seen.update(child_spis(pair)) or len(seen) >= 6, "five rekeys")
        there.check_none_lost(at_least=100)
        back.check_none_lost(at_least=100)
        pair.end()


@test([("merlon-began", "merlon"), ("strongswan-began", "strongswan")])
def deletes_from_each_side(lab, initiator):
    with Pair(lab) as pair:
        pair.start().up(initiator)
        # The peer deletes: ours must go at once, without a liveness check.
        pair.swan.terminate(child="net")
        wait_until(lambda: not pair.merlon.child_sas("b"), "Merlon lets go of the Child SA")
        if not pair.merlon.connection("b")["ike_sas"]:
            raise Failure("the IKE SA should have stayed")
        pair.up(initiator).ping_both_ways()
        pair.swan.terminate(ike="a")
        wait_until(lambda: not pair.merlon.connection("b")["ike_sas"], "Merlon lets go of the IKE SA")
        # We delete.
        pair.up(initiator).ping_both_ways()
        pair.merlon.cli("down", "b.net")
        wait_until(lambda: not pair.swan.child_sas(), "strongSwan lets go of the Child SA")
        pair.up("merlon").ping_both_ways()
        pair.merlon.cli("down", "b")
        wait_until(lambda: not pair.swan.ike_sas(), "strongSwan lets go of the IKE SA")
        if "received DELETE for IKE_SA" not in pair.swan.log():
            raise Failure("strongSwan saw no DELETE")
        pair.end()


@test
def always_comes_back_after_the_peers_delete(lab):
    with Pair(lab) as pair:
        pair.connection["start"] = "always"
        pair.start()
        pair.merlon.wait_up("b")
        before = ike_spis(pair)
        pair.swan.terminate(ike="a")
        wait_until(lambda: ike_spis(pair) - before and pair.merlon.is_up("b"), "the tunnel is back")
        pair.use()
        pair.end()
