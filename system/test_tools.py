"""What people use: pairing, a small CA and its CRL, trace, monitor, status, metrics; and secrets, which nobody sees."""
import json
import re
import time

from common import FAST, PSK, expect, pair, python, spis, toml_a, toml_b, wait_watching
from lab import Merlon, Offices, wait_until
from runner import test


def merlon_tool(host, build, *args, **kwargs):
    return host.run(build / "merlon", *args, **kwargs)


@test
def two_lines_join_two_machines(lab):
    """merlon pair on both sides, each fed the other's line."""
    net = Offices(lab)
    gateways, lines = {}, {}
    for host, name, address, inside in ((net.gw_a, "berlin", net.A4, "10.1.0.0/24"), (net.gw_b, "paris", net.B4, "10.2.0.0/24")):
        gateways[name] = Merlon(host, "")
        gateways[name].directory.chmod(0o755)
        args = ("pair", "--id", name, "--address", address, "--network", inside)
        first = merlon_tool(host, gateways[name].build, "-c", gateways[name].config, *args, input="\n", check=False)
        lines[name] = (args, next(line for line in first.stdout.splitlines() if line.strip()))
    for name, peer in (("berlin", "paris"), ("paris", "berlin")):
        merlon = gateways[name]
        answer = merlon_tool(merlon.host, merlon.build, "-c", merlon.config, *lines[name][0], "--peer", lines[peer][1])
        expect(lines[name][1] in answer.stdout, "the same line should be printed each time")
        key = merlon.directory / "merlon.key"
        expect(key.stat().st_mode & 0o077 == 0, "others must not read the private key")
    for merlon in gateways.values():
        merlon.start()
    gateways["berlin"].wait_up("paris")
    net.host_a.ping(net.HOST_B4)
    net.host_b.ping(net.HOST_A4)
    for merlon in gateways.values():
        merlon.check_clean_end()


@test
def a_revoked_peer_stays_out(lab):
    net = Offices(lab)
    build, ca = lab.build, lab.directory / "ca"
    merlon_tool(net.gw_a, build, "pki", "init", "--ca", ca, "--type", "ecdsa-p256", "--dn", "O=Example, CN=Example VPN CA")
    for name in ("a", "b"):
        folder = (net.gw_a if name == "a" else net.gw_b).directory / "merlon"
        folder.mkdir()
        merlon_tool(net.gw_a, build, "pki", "issue", "--ca", ca, "--type", "ecdsa-p256", "--dn", f"O=Example, CN={name}", "--san", f"{name}.example",
                    "--key", folder / "own.key", "--out", folder / "own.pem")
    merlon_tool(net.gw_a, build, "pki", "crl", "--ca", ca)

    def text(name, peer, local, remote, here, there, start):
        return (f'[daemon]\nca = "{ca}/ca.pem"\ncrl = "{ca}/crl.pem"\n[connection.{peer}]\nlocal = "{local}"\nremote = "{remote}"\nlocal_id = "{name}.example"\n'
                f'remote_id = "{peer}.example"\ncertificate = "own.pem"\nprivate_key = "own.key"\nrevocation = "required"\nlocal_ts = "{here}"\nremote_ts = "{there}"\n'
                f'start = "{start}"\n{FAST}')
    b = Merlon(net.gw_b, text("b", "a", net.B4, net.A4, "10.2.0.0/24", "10.1.0.0/24", "wait")).start()
    a = Merlon(net.gw_a, text("a", "b", net.A4, net.B4, "10.1.0.0/24", "10.2.0.0/24", "always")).start()
    a.wait_up("b")
    net.host_a.ping(net.HOST_B4)
    merlon_tool(net.gw_a, build, "pki", "revoke", "--ca", ca, "--certificate", b.directory / "own.pem", "--reason", "keyCompromise")
    merlon_tool(net.gw_a, build, "pki", "crl", "--ca", ca)
    listed = merlon_tool(net.gw_a, build, "pki", "list", "--ca", ca).stdout
    expect("revoked" in listed, f"`merlon pki list` should tell what is revoked: {listed}")
    a.cli("reload")
    a.cli("down", "b")
    answer = a.cli("up", "b", check=False)
    expect(answer.returncode != 0 and "revoked" in answer.stderr, f"a revoked peer should be refused, with a sentence: {answer.stdout}{answer.stderr}")
    time.sleep(1)
    expect(not a.child_sas("b"), "nor come back later")
    expect("revoked" in a.connection("b")["last_error"]["sentence"], "status should say why")
    # And when the revoked side calls.
    a.cli("down", "b")
    a.check_clean_end()
    a.config.write_text(a.config.read_text().replace('start = "always"', 'start = "wait"'))
    a.start()
    answer = b.cli("up", "a", check=False)
    expect(answer.returncode != 0 and not a.child_sas("b"), "a revoked peer that calls should be refused")
    a.check_clean_end()
    b.check_clean_end()


@test
def files_that_others_can_read_are_refused(lab):
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a())
    a.config.chmod(0o644)
    answer = net.gw_a.run(a.build / "merlond", "-c", a.config, check=False)
    expect(answer.returncode == 2 and "chmod 600" in answer.stderr and re.search(r"merlon\.toml:\d+:\d+", answer.stderr),
           f"a psk in a file that others can read should be refused, with file, line and column; got {answer.returncode}: {answer.stderr}")
    expect(PSK not in answer.stderr, "and not be shown")
    secret = a.directory / "psk"
    secret.write_text(PSK + "\n")
    secret.chmod(0o640)
    a.write_config(toml_a().replace(f'psk = "{PSK}"', f'psk_file = "{secret}"'))
    answer = net.gw_a.run(a.build / "merlond", "-c", a.config, check=False)
    expect(answer.returncode != 0 and str(secret) in answer.stderr, f"a psk_file that others can read should be refused: {answer.stderr}")
    secret.chmod(0o600)
    b = Merlon(net.gw_b, toml_b()).start()
    a.start().wait_up("b")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


@test
def trace_monitor_status_and_metrics(lab):
    net = Offices(lab)
    a, b = pair(net, daemon='metrics_listen = "127.0.0.1:9101"\nlog_level = "debug"')
    tool = (a.build / "merlon", "--socket", a.socket)
    keys = lab.directory / "keys"
    trace = net.gw_a.start(*tool, "trace", "b", log="trace.log")
    monitor = net.gw_a.start(*tool, "monitor", "--json", log="monitor.log")
    with_keys = net.gw_a.start(*tool, "trace", "b", "--keys", keys, log="trace-keys.log")
    wait_watching(a, 3)
    a.cli("down", "b")
    a.cli("up", "b")
    net.host_a.ping(net.HOST_B4)
    before = spis(a, "b")
    a.cli("rekey", "b")
    wait_until(lambda: spis(a, "b") != before and len(spis(a, "b")) == 1, "the Child SA is rekeyed")
    old_ike = a.connection("b")["ike_sas"][0]["spi_i"]
    a.cli("rekey", "b", "--ike")
    wait_until(lambda: [sa["spi_i"] for sa in a.connection("b")["ike_sas"]] not in ([], [old_ike]) and len(a.connection("b")["ike_sas"]) == 1, "the IKE SA is rekeyed")
    net.host_a.ping(net.HOST_B4)

    wait_until(lambda: "CREATE_CHILD_SA" in trace.log(), "the trace has all")
    for word in ("IKE_SA_INIT", "IKE_AUTH", "CREATE_CHILD_SA", "INFORMATIONAL", "a.example", "b.example", "AES_GCM_16"):
        expect(word in trace.log(), f"the trace should tell of {word}:\n{trace.log()[:3000]}")
    events = [json.loads(line)["event"] for line in monitor.log().splitlines()]
    for event in ("ike-sa-closed", "ike-sa-established", "child-sa-established", "child-sa-rekeyed", "ike-sa-rekeyed"):
        expect(event in events, f"monitor should show {event}, not only {sorted(set(events))}")

    page = python(net.gw_a, "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9101/metrics', timeout=5).read().decode())").stdout
    expect('merlon_connection_up{connection="b"} 1' in page, f"metrics should say that b is up:\n{page[:2000]}")
    for name in ("merlon_child_sa_packets_total", "merlon_packets_dropped_total", "merlon_ike_sa_age_seconds"):
        expect(name in page, f"metrics should hold {name}")

    status, people = a.cli("status", "--json").stdout, a.cli("status").stdout
    expect("b.example" in people and "AES_GCM" in people and before[0][0] not in people, f"status for people:\n{people}")
    sa = a.child_sas("b")[0]
    expect(sa["packets_in"] >= 3 and sa["packets_out"] >= 3 and sa["bytes_out"] > 0, f"traffic should be counted: {sa}")

    # RFC 7296 5 and common sense: what is secret is seen by nobody, but in the files that root asked for.
    secrets = {PSK}
    for file in ("ikev2_decryption_table", "esp_sa"):
        content = (keys / file).read_text()
        expect((keys / file).stat().st_mode & 0o077 == 0, f"others must not read {file}")
        secrets |= set(re.findall(r"[0-9a-f]{40,}", content))
    expect(len(secrets) > 8, f"the key files should hold keys, not {len(secrets)}")
    for where, text in (("the log", a.log() + b.log()), ("the trace", trace.log() + with_keys.log()), ("monitor", monitor.log()), ("status", status + people), ("metrics", page)):
        for secret in secrets:
            expect(secret not in text and secret.upper() not in text, f"a secret stands in {where}")
    expect(a.cli("status").returncode == 0 and net.gw_a.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *tool, "status", check=False).returncode != 0,
           "others than root should not be let in")
    a.check_clean_end()
    b.check_clean_end()
