"""Who begins x how both prove themselves x the ESP suite, against strongSwan: ping and TCP both ways in each cell."""
from peers import SUITES, Pair
from runner import test

AUTHENTICATIONS = {"psk": "pre-shared key", "rsa": "RSA", "ecdsa": "ECDSA", "ed25519": "ED25519"}


@test([(f"{initiator}-begins,{auth},{suite}", initiator, auth, suite)
       for initiator in ("merlon", "strongswan") for auth in AUTHENTICATIONS for suite in SUITES])
def tunnel(lab, initiator, auth, suite):
    with Pair(lab, auth, suite) as pair:
        pair.start().up(initiator)
        pair.check_algorithms(SUITES[suite][1])
        pair.check_proof(AUTHENTICATIONS[auth])
        pair.use()
        pair.check_protected()
        pair.end()
