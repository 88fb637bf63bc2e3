"""What a stop leaves behind: nothing; what a crash leaves: the guards, which the next start takes over."""
import re
import signal

from common import Ping, expect, expect_nothing_in_clear, pair, spis, toml_a
from lab import Offices, wait_until
from runner import test


def kernel(host):
    """Everything that Merlon may change in a namespace, as text without what changes by itself."""
    def stable(text):
        return sorted(re.sub(r"\b(expires|packets|bytes) \S+", "", line).strip() for line in text.splitlines())
    return {"routes": stable(host.ip("route", "show", "table", "all")), "routes6": stable(host.ip("-6", "route", "show", "table", "all")),
            "rules": stable(host.ip("rule")), "rules6": stable(host.ip("-6", "rule")),
            "addresses": stable(re.sub(r"valid_lft.*|\btentative\b", "", host.ip("-o", "addr"))),
            "links": re.findall(r"^\d+: ([^:@]+)", host.ip("-o", "link"), re.M), "nft": stable(host.run("nft", "list", "ruleset").stdout)}


def expect_same(before, after, when):
    for what in before:
        if before[what] != after[what]:
            gone = [line for line in before[what] if line not in after[what]]
            new = [line for line in after[what] if line not in before[what]]
            expect(False, f"{when}, {what} differ: gone {gone}, new {new}")


def settled(host):
    """With the link-local addresses that the kernel adds a moment after a link comes up, and their routes."""
    wait_until(lambda: host.ip("-6", "addr").count("inet6 fe80:") == 2, "link-local addresses")
    return kernel(host)


def ours(text):
    return [line for line in text.splitlines() if "proto 77" in line]


@test
def clean_stop_leaves_nothing(lab):
    net = Offices(lab)
    before = settled(net.gw_a)
    a, b = pair(net)
    net.host_a.ping(net.HOST_B4)
    expect(kernel(net.gw_a) != before, "a running daemon should have routes and guards")
    expect(a.stop() == 0, "merlond should end with 0")
    expect_same(before, kernel(net.gw_a), "after SIGTERM")
    expect(not a.socket.exists(), "the control socket should be gone")
    wait_until(lambda: not b.child_sas("a"), "the peer has been told")
    a.start()
    a.wait_up("b")
    a.cli("stop")
    wait_until(lambda: not a.process.running(), "`merlon stop` stops it")
    expect(a.process.popen.returncode == 0, "merlond should end with 0 after `merlon stop`")
    expect_same(before, kernel(net.gw_a), "after `merlon stop`")
    a.start()
    a.process.stop(signal.SIGINT)
    expect_same(before, kernel(net.gw_a), "after SIGINT")
    b.check_clean_end()


@test
def guards_survive_a_crash(lab):
    net = Offices(lab)
    before = settled(net.gw_a)
    a, b = pair(net)
    a.kill()
    routes = ours(net.gw_a.ip("route", "show", "table", "4500")) + ours(net.gw_a.ip("-6", "route", "show", "table", "4500"))
    expect(len(routes) == 2 and all("blackhole" in route for route in routes), f"after kill -9 two blackholes should stand, not {routes}")
    expect("merlon_guard" in net.gw_a.run("nft", "list", "tables").stdout, "the guard should stand after kill -9")
    expect("merlon0" not in net.gw_a.ip("link"), "the device goes with its process")
    expect(net.host_a.ping(net.HOST_B4, count=2, wait=1, check=False) == 0, "nothing should pass now")
    a.start()
    a.wait_up("b")
    net.host_a.ping(net.HOST_B4)
    net.host_b.ping(net.HOST_A6)
    a.check_clean_end()
    expect_same(before, kernel(net.gw_a), "after a crash, a start and a clean stop")
    b.check_clean_end()


@test
def a_new_configuration_takes_over_what_a_crash_left(lab):
    net = Offices(lab)
    before = settled(net.gw_a)
    a, b = pair(net)
    a.kill()
    a.write_config(toml_a(remote_ts='["10.2.0.0/25", "fd00:2::/64"]'))
    a.start()
    a.wait_up("b")
    routes = ours(net.gw_a.ip("route", "show", "table", "4500"))
    expect(len(routes) == 2 and all("10.2.0.0/25" in route for route in routes), f"only the new network should have routes, not {routes}")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    expect_same(before, kernel(net.gw_a), "after the new configuration's clean stop")
    b.check_clean_end()


@test
def guards_stay_on_request(lab):
    net = Offices(lab)
    before = settled(net.gw_a)
    a, b = pair(net, daemon="keep_guard_on_stop = true")
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4)
    expect(a.stop() == 0, "a clean end")
    expect("merlon_guard" in net.gw_a.run("nft", "list", "tables").stdout, "the guard should stand after the stop")
    expect(ours(net.gw_a.ip("route", "show", "table", "4500")), "the blackholes should stand after the stop")
    expect(net.host_a.ping(net.HOST_B4, count=2, wait=1, check=False) == 0, "nothing should pass now")
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.write_config(toml_a())
    a.start()
    a.wait_up("b")
    a.check_clean_end()
    expect_same(before, kernel(net.gw_a), "after a stop without keep_guard_on_stop")
    b.check_clean_end()


@test
def a_second_daemon_disturbs_nothing(lab):
    """Started by mistake beside a running one: it says why it ends, and the tunnel goes on."""
    net = Offices(lab)
    a, b = pair(net)
    before, kept = settled(net.gw_a), spis(a, "b")
    flow = Ping(net.host_a, net.HOST_B4, interval=0.02)
    second = net.gw_a.run(a.build / "merlond", "-c", a.config, check=False)
    expect(second.returncode == 1, f"a second daemon should end with 1, not {second.returncode}:\n{second.stderr}")
    expect_same(before, kernel(net.gw_a), "beside a second daemon")
    expect(flow.lost() == 0, "a second daemon should cost no packet")
    expect(spis(a, "b") == kept, "a second daemon should cost no SA")
    expect(a.status()["connections"], "the first daemon should still answer on its socket")
    a.check_clean_end()
    b.check_clean_end()
