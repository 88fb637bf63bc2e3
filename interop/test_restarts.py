"""A peer that dies without a word, and comes back."""
from lab import Failure, wait_until
from peers import Pair
from runner import test


@test
def strongswan_killed_and_back(lab):
    """start = "always" comes back; strongSwan only answers."""
    with Pair(lab) as pair:
        pair.connection["start"] = "always"
        pair.start()
        pair.merlon.wait_up("b", timeout=15)
        pair.ping_both_ways()
        pair.swan.kill()
        wait_until(lambda: not pair.merlon.is_up("b"), "Merlon notices", timeout=20)
        told = pair.last_error().get("sentence", "")
        if "203.0.113.2" not in told or "answer" not in told:
            raise Failure(f"the sentence for people does not tell that the peer stopped answering: {pair.last_error()}")
        pair.swan.start()
        pair.merlon.wait_up("b", timeout=20)
        pair.swan.wait_child("net")
        pair.use()
        pair.end()


@test
def strongswan_killed_and_back_before_it_is_missed(lab):
    """It has forgotten the SAs that Merlon still holds."""
    with Pair(lab) as pair:
        pair.connection["start"] = "always"
        pair.start()
        pair.merlon.wait_up("b", timeout=15)
        before = pair.merlon.child_sas("b")[0]["spi_in"]
        pair.swan.kill()
        pair.swan.start()
        wait_until(lambda: [c for c in pair.merlon.child_sas("b") if c["spi_in"] != before] and pair.swan.child_sas("net"), "a new tunnel", timeout=30)
        wait_until(lambda: pair.net.host_a.ping(pair.net.HOST_B4, count=1, wait=1, check=False), "packets flow", timeout=10)
        pair.use()
        pair.end()


@test
def strongswan_killed_begins_anew(lab):
    """strongSwan calls again, with INITIAL_CONTACT: the old SAs go at once, Merlon only answers."""
    with Pair(lab) as pair:
        pair.connection |= {"liveness_interval": "60s"}
        pair.start().up("strongswan").ping_both_ways()
        before = pair.merlon.connection("b")["ike_sas"][0]["spi_i"]
        pair.swan.kill()
        pair.swan.start().initiate("net")
        wait_until(lambda: [sa["spi_i"] for sa in pair.merlon.connection("b")["ike_sas"]] and before not in [sa["spi_i"] for sa in pair.merlon.connection("b")["ike_sas"]],
                   "only the new IKE SA is left", timeout=5)
        pair.use()
        pair.end()


@test([("merlon-begins", "merlon"), ("strongswan-begins", "strongswan")])
def merlon_killed_and_back(lab, initiator):
    """No residue, and INITIAL_CONTACT clears strongSwan's old SAs."""
    with Pair(lab) as pair:
        pair.start().up(initiator).ping_both_ways()
        before = {sa["spi_i"] for sa in pair.swan.ike_sas()}
        pair.merlon.kill()
        pair.merlon.start()
        pair.merlon.cli("up", "b")
        wait_until(lambda: not before & {sa["spi_i"] for sa in pair.swan.ike_sas()}, "strongSwan's old IKE SA is gone", timeout=5)
        pair.use()
        pair.end()


@test
def strongswan_notices_that_merlon_is_gone(lab):
    """Liveness checks of the peer are answered while Merlon lives, and it goes when nothing answers."""
    with Pair(lab) as pair:
        pair.swan_connection["dpd_delay"] = "1s"
        pair.charon["retransmit_tries"] = 2
        pair.connection["liveness_interval"] = "60s"
        pair.start().up("merlon")
        wait_until(lambda: pair.swan.log().count("sending DPD request") >= 2, "two liveness checks", timeout=10)
        if not pair.swan.ike_sas():
            raise Failure("Merlon does not answer liveness checks")
        pair.merlon.kill()
        wait_until(lambda: not pair.swan.ike_sas(), "strongSwan gives up", timeout=20)
