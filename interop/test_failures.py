"""What goes wrong, on either side, whoever begins: the right notification on the wire, and the sentence for people."""
import credentials
from lab import Failure, wait_until
from peers import Pair
from runner import test


class Wrong:
    """One way to be wrong. change(pair) makes it so; sent_by[initiator] is who sends `notification`; `sentence` are words that
    Merlon's sentence must hold, by who found it out."""

    def __init__(self, change, notification, sent_by, words, established=False):
        self.change, self.notification, self.sent_by, self.words, self.established = change, notification, sent_by, words, established


RESPONDER = {"merlon": "strongswan", "strongswan": "merlon"}
MERLON = {"merlon": "merlon", "strongswan": "merlon"}
STRONGSWAN = {"merlon": "strongswan", "strongswan": "strongswan"}


def wrong_psk(pair):
    pair.psk("correct horse battery staple", "incorrect horse battery staple")


def wrong_local_identity(pair):
    """strongSwan presents another identity than Merlon expects; it holds a key for it."""
    pair.swan_connection["local"]["id"] = "mallory.example"
    pair.swan_secrets["ike-a"]["id-3"] = "mallory.example"
    pair.connection["remote_id"] = "b.example"


def wrong_remote_identity(pair):
    """Merlon presents another identity than strongSwan expects."""
    pair.connection["local_id"] = "mallory.example"
    pair.swan_secrets["ike-a"]["id-3"] = "mallory.example"


def expired_swan(pair):
    pair.certificates(credentials.by_merlon(pair.lab.build, "ecdsa", "a.example"), credentials.by_strongswan("ecdsa", "b.example", not_after="31.12.20 00:00:00"))


def expired_merlon(pair):
    pair.certificates(credentials.by_strongswan("ecdsa", "a.example", not_after="31.12.20 00:00:00"), credentials.by_strongswan("ecdsa", "b.example"))


def revoked_swan(pair):
    revoked, crl = credentials.revoked_by_merlon(pair.lab.build, "ecdsa", "b.example")
    pair.certificates(credentials.by_merlon(pair.lab.build, "ecdsa", "a.example"), revoked)
    pair.daemon["crl"] = str(crl)


def revoked_merlon(pair):
    revoked, crl = credentials.revoked_by_merlon(pair.lab.build, "ecdsa", "a.example")
    pair.certificates(revoked, credentials.by_strongswan("ecdsa", "b.example"))
    pair.swan_files["x509crl/crl.pem"] = crl
    pair.swan_connection["remote"]["revocation"] = "strict"


def untrusted_swan(pair):
    pair.certificates(credentials.by_merlon(pair.lab.build, "ecdsa", "a.example"), credentials.by_strongswan("ecdsa", "b.example"))
    pair.connection["ca"] = [str(credentials.by_strongswan("rsa", "b.example").authority)]


def ike_proposals(pair):
    pair.connection["ike_proposals"] = ["aes256gcm16-prfsha384-ecp384"]
    pair.swan_connection["proposals"] = "aes128-sha256-modp3072"


def esp_proposals(pair):
    pair.child["esp_proposals"] = ["aes256gcm16"]
    pair.swan_child["esp_proposals"] = "aes128-sha256"


def selectors(pair):
    pair.child |= {"local_ts": "10.1.0.0/24", "remote_ts": "10.9.0.0/24"}


AUTH_FAILED, NO_PROPOSAL, TS_UNACCEPTABLE = "N(AUTH_FAILED)", "N(NO_PROP)", "N(TS_UNACCEPT)"
CASES = {
    "wrong-psk": Wrong(wrong_psk, AUTH_FAILED, RESPONDER, {"merlon": ["pre-shared keys differ", "b.example"], "strongswan": ["AUTHENTICATION_FAILED", "same pre-shared key"]}),
    # Merlon asks for b.example by IDr, which strongSwan does not serve: so strongSwan refuses where Merlon begins.
    "strongswan-is-somebody-else": Wrong(wrong_local_identity, AUTH_FAILED, RESPONDER,
                                         {"merlon": ["mallory.example", "b.example", "remote id"], "strongswan": ["AUTHENTICATION_FAILED", "we asked for 'b.example'"]}),
    # strongSwan asks for a.example by IDr, which Merlon does not serve: so Merlon refuses where strongSwan begins.
    "merlon-is-somebody-else": Wrong(wrong_remote_identity, AUTH_FAILED, RESPONDER,
                                     {"merlon": ["a.example", "mallory.example"], "strongswan": ["AUTHENTICATION_FAILED", "mallory.example"]}),
    "strongswans-certificate-expired": Wrong(expired_swan, AUTH_FAILED, MERLON, {"merlon": ["certificate", "b.example", "expired"]}),
    "merlons-certificate-expired": Wrong(expired_merlon, AUTH_FAILED, STRONGSWAN, {"strongswan": ["AUTHENTICATION_FAILED", "expired"]}),
    "strongswans-certificate-revoked": Wrong(revoked_swan, AUTH_FAILED, MERLON, {"merlon": ["certificate", "b.example", "revoked"]}),
    "merlons-certificate-revoked": Wrong(revoked_merlon, AUTH_FAILED, STRONGSWAN, {"strongswan": ["AUTHENTICATION_FAILED", "revoked"]}),
    "strongswans-authority-unknown": Wrong(untrusted_swan, AUTH_FAILED, MERLON, {"merlon": ["certificate", "b.example", "CA for b.example"]}),
    "no-common-ike-proposal": Wrong(ike_proposals, NO_PROPOSAL, RESPONDER,
                                    {"merlon": ["aes256gcm16-prfsha384-ecp384", "aes128-sha256-modp3072"], "strongswan": ["NO_PROPOSAL_CHOSEN", "aes256gcm16-prfsha384-ecp384"]}),
    "no-common-esp-proposal": Wrong(esp_proposals, NO_PROPOSAL, RESPONDER,
                                    {"merlon": ["aes256gcm16", "aes128-sha256"], "strongswan": ["NO_PROPOSAL_CHOSEN", "aes256gcm16"]}, established=True),
    "no-common-selectors": Wrong(selectors, TS_UNACCEPTABLE, RESPONDER,
                                 {"merlon": ["10.9.0.0/24", "10.2.0.0/24"], "strongswan": ["TS_UNACCEPTABLE", "10.9.0.0/24"]}, established=True),
}


def sentence_of(pair, words):
    """Where people look: the status of the connection, and the log."""
    def find():
        told = pair.last_error().get("sentence", "")
        return told if all(word in told for word in words) else None
    try:
        told = wait_until(find, f"last_error with {words}")
    except Failure as failure:
        raise Failure(f"{failure}; it is {pair.last_error()}") from None
    if told not in pair.merlon.log():
        raise Failure(f"the log does not hold the sentence of the status: {told}")


@test([(f"{name},{initiator}-begins", case, initiator) for name, case in CASES.items() for initiator in ("merlon", "strongswan")])
def refused(lab, case, initiator):
    with Pair(lab, "psk") as pair:
        case.change(pair)
        pair.charon["retransmit_tries"] = 1
        pair.start()
        if initiator == "merlon":
            up = pair.merlon.cli("up", "b", check=False, timeout=30)
            if up.returncode == 0:
                raise Failure(f"the tunnel came up: {up.stdout}")
            sender = case.sent_by[initiator]
            if not all(word in up.stderr + up.stdout for word in case.words[sender]):
                raise Failure(f"`merlon up` does not say {case.words[sender]}: {up.stdout}{up.stderr}")
        elif pair.swan.initiate("net", check=False):
            raise Failure("the tunnel came up")
        sender = case.sent_by[initiator]
        mark = "generating" if sender == "strongswan" else "parsed"
        wait_until(lambda: any(mark in line and case.notification in line for line in pair.swan.log().splitlines()),
                   f"strongSwan {'sends' if sender == 'strongswan' else 'sees'} {case.notification}")
        sentence_of(pair, case.words[sender])
        if pair.merlon.child_sas("b") or pair.swan.child_sas():
            raise Failure("there is a Child SA")
        if not case.established:
            wait_until(lambda: not pair.merlon.connection("b")["ike_sas"] and not pair.swan.ike_sas(), "no IKE SA is left over")
        pair.end()
