"""merlon reload, and SIGHUP: a bad configuration changes nothing, a good one only what it changes."""
import re
import signal

from common import Ping, connection, expect, spis
from lab import Merlon, Offices, wait_until
from runner import test


def two(net, side, b2_extra="", names=("b", "b2"), b_extra=""):
    """Two connections between the same gateways, each with identities and networks of its own."""
    text = ""
    for number, name in enumerate(("b", "b2", "b3")):
        if name not in names:
            continue
        here, there = ("a", "b") if side == "a" else ("b", "a")
        nets = {"a": f'["10.1.{number}.0/24"]', "b": f'["10.2.{number}.0/24"]'}
        addresses = {"a": net.A4, "b": net.B4}
        text += connection(name, addresses[here], addresses[there], f"{here}{number}.example", f"{there}{number}.example", nets[here], nets[there],
                           "always" if side == "a" else "wait", {"b": b_extra, "b2": b2_extra}.get(name, ""))
    return text


def offices_with_two_networks(lab):
    net = Offices(lab)
    for number in (1, 2):
        net.host_a.address("eth0", f"10.1.{number}.2/24")
        net.host_b.address("eth0", f"10.2.{number}.2/24")
        net.gw_a.address("lan0", f"10.1.{number}.1/24")
        net.gw_b.address("lan0", f"10.2.{number}.1/24")
    return net


@test
def reload_touches_only_what_changes(lab):
    net = offices_with_two_networks(lab)
    b = Merlon(net.gw_b, two(net, "b")).start()
    a = Merlon(net.gw_a, two(net, "a")).start()
    for name in ("b", "b2"):
        a.wait_up(name)
    kept, others = spis(a, "b"), spis(a, "b2")
    flow = Ping(net.host_a, net.HOST_B4, interval=0.02)

    good = a.config.read_text()
    for broken, line_of, said in ((good.replace("start =", "strat =", 1), "strat", "start"),
                                  (good.replace('"10.2.1.0/24"', '"10.2.1.0/33"'), "10.2.1.0/33", "10.2.1.0/33"),
                                  (good + "\n[connection.b\n", "[connection.b\n", ""),
                                  (good.replace('psk = "correct', 'psk_file = "/nowhere/psk" #', 1), "psk_file", "/nowhere/psk")):
        a.config.write_text(broken)
        line = broken[:broken.rindex(line_of)].count("\n") + 1
        answer = a.cli("reload", check=False)
        expect(answer.returncode != 0, f"a reload of a bad configuration should fail: {line_of}")
        expect(said in answer.stderr, f"the error should name {said}: {answer.stderr}")
        if "nowhere" not in said:
            expect(re.search(rf"merlon\.toml:{line}:\d+: ", answer.stderr), f"the error should name line {line} and a column: {answer.stderr}")
            checked = a.cli("check-config", a.config, check=False)
            expect(checked.returncode == 2 and f":{line}:" in checked.stderr, f"check-config should say the same with status 2, not {checked.returncode}: {checked.stderr}")
        a.process.popen.send_signal(signal.SIGHUP)
        wait_until(lambda: a.log().count("stays as it is") > 0, "the log says so after SIGHUP")
        expect(spis(a, "b") == kept and spis(a, "b2") == others, "a bad configuration should touch nothing")

    # b2 changes, b3 comes.
    b.write_config(two(net, "b", names=("b", "b2", "b3")))
    b.cli("reload")
    a.write_config(two(net, "a", names=("b", "b2", "b3"), b2_extra='esp_proposals = ["chacha20poly1305"]'))
    a.cli("reload")
    a.wait_up("b3")
    wait_until(lambda: spis(a, "b2") and spis(a, "b2") != others, "b2 is negotiated anew")
    a.wait_up("b2")
    expect("chacha" in a.child_sas("b2")[0]["algorithms"].lower(), "b2 should use what the new configuration says")
    net.host_a.ping("10.2.1.2", source="10.1.1.2")
    net.host_a.ping("10.2.2.2", source="10.1.2.2")
    expect(spis(a, "b") == kept, "b should be as it was")

    # b3 goes, by SIGHUP.
    others = spis(a, "b2")
    a.write_config(two(net, "a", b2_extra='esp_proposals = ["chacha20poly1305"]'))
    a.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: len(a.status()["connections"]) == 2, "b3 is gone")
    wait_until(lambda: not b.child_sas("b3"), "the peer has been told that b3 is gone")
    expect("10.2.2.0/24" not in net.gw_a.ip("route", "show", "table", "4500"), "the route of b3 should be gone")
    expect(spis(a, "b2") == others and spis(a, "b") == kept, "b and b2 should be as they were")
    expect(flow.lost() == 0, "no packet of an unchanged connection should be lost")
    a.check_clean_end()
    b.check_clean_end()


@test
def reload_reads_conf_d_and_keeps_what_a_person_took_down(lab):
    net = offices_with_two_networks(lab)
    b = Merlon(net.gw_b, two(net, "b")).start()
    a = Merlon(net.gw_a, two(net, "a", names=("b",))).start()
    a.wait_up("b")
    folder = a.directory / "conf.d"
    folder.mkdir()
    more = folder / "b2.toml"
    more.write_text(two(net, "a", names=("b2",)))
    more.chmod(0o644)
    answer = a.cli("reload", check=False)
    expect(answer.returncode != 0 and "b2.toml:" in answer.stderr and "chmod" in answer.stderr, f"a secret that others can read should be refused: {answer.stderr}")
    more.chmod(0o600)
    a.cli("down", "b")
    a.cli("reload")
    a.wait_up("b2")
    expect(a.connection("b")["phase"] == "down", f"what a person took down stays down, not {a.connection('b')['phase']}")
    a.cli("up", "b")
    expect(a.is_up("b"), "`merlon up` should answer when it is up")
    a.check_clean_end()
    b.check_clean_end()
