"""Who begins x how both prove themselves x the ESP suite, against strongSwan: ping and TCP both ways in each cell."""
from peers import SUITES, Pair
from runner import test

AUTHENTICATIONS = ("psk", "rsa", "ecdsa", "ed25519")


@test([(f"{initiator}-begins,{auth},{suite}", initiator, auth, suite)
       for initiator in ("merlon", "strongswan") for auth in AUTHENTICATIONS for suite in SUITES])
def tunnel(lab, initiator, auth, suite):
    with Pair(lab, auth, suite) as pair:
        pair.start().up(initiator)
        pair.established(SUITES[suite][1])
        pair.use()
        pair.end()
