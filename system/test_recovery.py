"""Failures, and how tunnels come back by themselves."""
import pathlib
import shutil

from common import expect, pair, spis, toml_a, toml_b
from lab import Merlon, Offices, wait_until
from runner import test


@test
def the_network_fails_and_comes_back(lab):
    net = Offices(lab)
    a, b = pair(net)
    net.router.ip("link", "set", "to-b", "down")
    wait_until(lambda: not a.is_up("b"), "gw_a notices")
    wait_until(lambda: not b.child_sas("a"), "gw_b notices")
    error = a.connection("b")["last_error"]["sentence"]
    expect(error, "status should say why")
    net.router.ip("link", "set", "to-b", "up")
    net.router.ip("-6", "addr", "replace", "2001:db8:b::1/64", "dev", "to-b", "nodad")
    a.wait_up("b")
    net.host_a.ping(net.HOST_B4)
    net.host_b.ping(net.HOST_A6)
    expect(a.connection("b")["last_error"]["over"], "the last error should be marked as over")
    a.check_clean_end()
    b.check_clean_end()


@test
def the_peer_is_killed_and_comes_back(lab):
    """Each end once; the one that only answers is recovered by the other's calls."""
    net = Offices(lab)
    a, b = pair(net)
    for victim in (b, a):
        before = spis(a, "b")
        victim.kill()
        victim.start()
        wait_until(lambda: a.is_up("b") and spis(a, "b") != before, "new SAs")
        net.host_a.ping(net.HOST_B4)
        wait_until(lambda: len(b.child_sas("a")) == 1 and len(b.connection("a")["ike_sas"]) == 1, "INITIAL_CONTACT or time removes the old SAs")
    a.check_clean_end()
    b.check_clean_end()


@test
def the_peer_s_name_moves(lab):
    """RFC 1034 is not trusted for long: each attempt asks anew."""
    net = Offices(lab)
    etc = pathlib.Path("/etc/netns") / net.gw_a.ns
    etc.mkdir(parents=True)
    try:
        hosts = etc / "hosts"
        hosts.write_text("127.0.0.1 localhost\n")
        text = toml_a().replace(f'remote = "{net.B4}"', 'remote = "gate.example.test"').replace(f'local = "{net.A4}"\n', "")
        a = Merlon(net.gw_a, text).start()
        wait_until(lambda: a.connection("b").get("last_error"), "the name is not known yet")
        error = a.connection("b")["last_error"]["sentence"]
        expect("gate.example.test" in error, f"the error should name the name: {error}")
        hosts.write_text(f"127.0.0.1 localhost\n{net.B4} gate.example.test\n")
        b_text = toml_b().replace(f'local = "{net.B4}"\n', "")
        b = Merlon(net.gw_b, b_text).start()
        a.wait_up("b")
        net.host_a.ping(net.HOST_B4)
        net.gw_b.ip("addr", "add", "203.0.113.7/24", "dev", "wan0")
        net.gw_b.ip("addr", "del", f"{net.B4}/24", "dev", "wan0")
        net.gw_b.ip("addr", "replace", "203.0.113.7/24", "dev", "wan0")
        net.gw_b.ip("route", "replace", "default", "via", "203.0.113.1")
        hosts.write_text("127.0.0.1 localhost\n203.0.113.7 gate.example.test\n")
        wait_until(lambda: a.is_up("b") and leads(a, "remote", "203.0.113.7:"), "the tunnel leads to the new address")
        net.host_a.ping(net.HOST_B4)
        a.check_clean_end()
        b.check_clean_end()
    finally:
        shutil.rmtree(etc)


@test
def our_own_address_changes(lab):
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a().replace(f'local = "{net.A4}"\n', "")).start()
    b = Merlon(net.gw_b, toml_b().replace(f'remote = "{net.A4}"\n', "")).start()
    a.wait_up("b")
    net.gw_a.ip("addr", "add", "198.51.100.7/24", "dev", "wan0")
    net.gw_a.ip("addr", "del", f"{net.A4}/24", "dev", "wan0")
    net.gw_a.ip("addr", "replace", "198.51.100.7/24", "dev", "wan0")
    net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
    wait_until(lambda: a.is_up("b") and leads(a, "local", "198.51.100.7:"), "the tunnel leaves from the new address")
    wait_until(lambda: net.host_a.ping(net.HOST_B4, count=1, wait=1, check=False) == 1, "traffic passes again")
    wait_until(lambda: len(b.connection("a")["ike_sas"]) == 1, "the old SAs are gone")
    a.check_clean_end()
    b.check_clean_end()


@test
def up_right_after_down_answers_when_the_new_tunnel_is_there(lab):
    net = Offices(lab)
    a, b = pair(net)
    for _ in range(5):
        old = spis(a, "b")
        a.cli("down", "b")
        a.cli("up", "b")
        new = spis(a, "b")
        expect(new and not set(old) & set(new), f"after down and up there is {new}, before it was {old}")
        net.host_a.ping(net.HOST_B4, count=1)
    a.check_clean_end()
    b.check_clean_end()


@test
def many_ups_and_downs_leak_nothing(lab):
    from common import ask
    net = Offices(lab)
    a, b = pair(net)

    def resources(merlon):
        proc = pathlib.Path(f"/proc/{pid_of(merlon)}")
        rss = next(int(line.split()[1]) for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
        return len(list((proc / "fd").iterdir())), rss

    def cycles(count):
        for _ in range(count):
            ask(a, command="down", connection="b")
            ask(a, command="up", connection="b")
    cycles(40)
    before = resources(a), resources(b)
    cycles(160)
    wait_until(lambda: len(b.child_sas("a")) == 1, "old SAs are gone")
    after = resources(a), resources(b)
    for (fds, rss), (fds_before, rss_before) in zip(after, before):
        expect(abs(fds - fds_before) <= 1, f"{fds} file descriptors after 200 cycles, {fds_before} before")
        expect(rss - rss_before < (60_000 if is_sanitized(a) else 4_000), f"{rss} kB after 200 cycles, {rss_before} kB before")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


def leads(merlon, end, address):
    return any(sa[end].startswith(address) for sa in merlon.connection("b")["ike_sas"])


def pid_of(merlon):
    """Of merlond itself, which `ip netns exec` became."""
    return merlon.process.pid


def is_sanitized(merlon):
    maps = pathlib.Path(f"/proc/{pid_of(merlon)}/maps").read_text()
    return "asan" in maps or "tsan" in maps
