"""What the network and the kernel below the daemon can do to it. Each test says what is to come of it."""
import errno
import signal
import time

from common import Ping, ask, connection, expect, expect_nothing_in_clear, pair, spis, tcp_server, tcp_transfer, toml_a, toml_b
from fire import holds, metric, metrics
from faults import Faults, SHORT, flows_again, pair_with_faults, spi_set, table
from lab import Merlon, Offices, wait_until
from runner import test

# ---- The network.

@test
def interfaces_go_down_and_up(lab):
    """The outer device, the inner one and our own: whichever goes, nothing passes in clear, and with it everything comes back by itself."""
    net = Offices(lab)
    a, b = pair(net)
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4, interval=0.1)
    kept = spis(a, "b")
    net.gw_a.ip("link", "set", "lan0", "down")
    time.sleep(1)
    net.gw_a.ip("link", "set", "lan0", "up")
    net.gw_a.address("lan0", *[])
    net.gw_a.ip("addr", "replace", "fd00:1::1/64", "dev", "lan0", "nodad")
    flows_again(net)
    expect(spis(a, "b") == kept, "the inner device should matter to no SA")
    net.gw_a.ip("link", "set", "merlon0", "down")
    time.sleep(1.5)
    net.gw_a.ip("link", "set", "merlon0", "up")
    flows_again(net)
    for seconds in (0.5, 4):
        net.gw_a.ip("link", "set", "wan0", "down")
        time.sleep(seconds)
        net.gw_a.ip("link", "set", "wan0", "up")
        net.gw_a.ip("addr", "replace", "2001:db8:a::2/64", "dev", "wan0", "nodad")
        net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
        net.gw_a.ip("-6", "route", "replace", "default", "via", "2001:db8:a::1")
        a.wait_up("b")
        flows_again(net)
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def the_default_route_goes_and_comes(lab):
    """Without it nothing leaves, least of all in clear; with it the tunnel is back by itself."""
    net = Offices(lab)
    a, b = pair(net)
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4)
    for seconds in (0.3, 7):
        net.gw_a.ip("route", "del", "default")
        time.sleep(seconds)
        if seconds > 5:
            expect(not a.is_up("b"), "after so long the peer should count as gone")
            expect(a.connection("b")["last_error"]["sentence"], "and status should say why")
        net.gw_a.ip("route", "add", "default", "via", "198.51.100.1")
        a.wait_up("b")
        flows_again(net)
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def our_device_is_removed(lab):
    """`ip link del`: it ends at once, says why and leaves the guards, so that whoever started it starts it again; nothing passes in clear."""
    net = Offices(lab)
    a, b = pair(net)
    capture = net.router.capture("any", "clear.pcap")
    flow = Ping(net.host_a, net.HOST_B4)
    time.sleep(0.5)
    net.gw_a.ip("link", "del", "merlon0")
    wait_until(lambda: not a.process.running(), "gw_a's daemon has ended")
    expect("removed the device merlon0" in a.log()[-2000:], f"it should say why it ended:\n{a.log()[-2000:]}")
    expect(a.process.popen.returncode > 0, f"a failure, so that it is started again, not {a.process.popen.returncode}")
    time.sleep(0.5)
    left = table(net.gw_a)
    expect(left and all(route.startswith("blackhole") for route in left), f"only blackholes should stand, not {left}")
    a.start()
    a.wait_up("b")
    flows_again(net)
    flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def addresses_change_over_and_over(lab):
    """The outer address moves ten times, faster than liveness notices: in the end the tunnel leaves from where it can."""
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a().replace(f'local = "{net.A4}"\n', "")).start()
    b = Merlon(net.gw_b, toml_b().replace(f'remote = "{net.A4}"\n', "")).start()
    a.wait_up("b")
    current = net.A4
    for number in range(10):
        new = f"198.51.100.{20 + number}"
        net.gw_a.ip("addr", "add", f"{new}/24", "dev", "wan0")
        net.gw_a.ip("addr", "del", f"{current}/24", "dev", "wan0")
        net.gw_a.ip("addr", "replace", f"{new}/24", "dev", "wan0")
        net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
        current = new
        time.sleep((0.05, 0.4, 1.2)[number % 3])
    wait_until(lambda: a.is_up("b") and any(sa["local"].startswith(f"{current}:") for sa in a.connection("b")["ike_sas"]), "the tunnel leaves from the last address")
    flows_again(net)
    wait_until(lambda: len(b.connection("a")["ike_sas"]) == 1 and len(a.connection("b")["ike_sas"]) == 1, "one IKE SA stays")
    a.check_clean_end()
    b.check_clean_end()


# ---- The kernel.

@test
def netlink_messages_are_lost(lab):
    """More changes of routes than the socket holds while the daemon is stopped, and among them our own address moves: the kernel says only
    that something was lost (ENOBUFS), so the daemon looks anew and finds it."""
    net = Offices(lab)
    a = Merlon(net.gw_a, toml_a().replace(f'local = "{net.A4}"\n', "")).start()
    b = Merlon(net.gw_b, toml_b().replace(f'remote = "{net.A4}"\n', "")).start()
    a.wait_up("b")
    before = holds(a)
    a.process.popen.send_signal(signal.SIGSTOP)
    batch = lambda verb: "".join(f"route {verb} 172.{16 + n // 4000}.{n // 16 % 250}.{n % 16 * 16}/28 via 10.1.0.2\n" for n in range(12000))
    for verb in ("replace", "flush_all"):
        if verb == "replace":
            net.gw_a.run("ip", "-force", "-batch", "-", input=batch(verb), check=False)
        else:
            net.gw_a.ip("route", "flush", "root", "172.16.0.0/12")
    overflown = netlink_drops(net.gw_a, a.process.pid)
    expect(overflown > 0, "the socket's buffer should have overflown")
    net.gw_a.ip("addr", "add", "198.51.100.7/24", "dev", "wan0")
    net.gw_a.ip("addr", "del", f"{net.A4}/24", "dev", "wan0")
    net.gw_a.ip("addr", "replace", "198.51.100.7/24", "dev", "wan0")
    net.gw_a.ip("route", "replace", "default", "via", "198.51.100.1")
    a.process.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: a.is_up("b") and any(sa["local"].startswith("198.51.100.7:") for sa in a.connection("b")["ike_sas"]), "the tunnel leaves from the new address")
    flows_again(net)
    expect(holds(a)["descriptors"] <= before["descriptors"] + 1, "no descriptor should stay open")
    print(f"  {overflown} netlink messages lost")
    a.check_clean_end()
    b.check_clean_end()


def netlink_drops(host, pid):
    """Messages that sockets of the process lost, as /proc/net/netlink counts them. libnl's port number holds the process number."""
    lines = host.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]
    return sum(int(fields[8]) for fields in map(str.split, lines) if int(fields[2]) & 0x3fffff == pid)


@test
def netlink_refuses_requests(lab):
    """The kernel takes no request while a new configuration comes: the daemon says so, keeps its tunnel, lets nothing out in clear, and
    does what it could not do as soon as it can, by itself."""
    net = Offices(lab)
    a, b, faults = pair_with_faults(lab, net)
    capture = net.router.capture("any", "clear.pcap")
    flow, kept = Ping(net.host_a, net.HOST_B4), spis(a, "b")
    faults.set("netlink_percent", 100)
    more = connection("later", net.A4, net.B4, "later.example", "b.example", '["10.1.0.0/24"]', '["10.9.0.0/24"]', "wait")
    a.write_config(toml_a() + more)
    ask(a, command="reload")
    wait_until(lambda: "routes and guards" in a.log(), "the log says that routes and guards are not as they should be")
    time.sleep(2)
    lines = a.log().count("\n")
    expect(faults.get("failed_requests") > 0, "requests should have failed")
    expect(lines < 200, f"the log should stay short, not {lines} lines")
    faults.set("netlink_percent", 0)
    wait_until(lambda: any("10.9.0.0/24" in route for route in table(net.gw_a)), "the new routes come by themselves", timeout=15)
    expect(flow.lost() == 0 and spis(a, "b") == kept, "the tunnel should not notice")
    for percent in (30, 60):
        faults.set("netlink_percent", percent)
        for _ in range(3):
            net.gw_a.ip("addr", "add", "198.51.100.9/24", "dev", "wan0")
            net.gw_a.ip("addr", "del", "198.51.100.9/24", "dev", "wan0")
            time.sleep(0.7)
    faults.set("netlink_percent", 0)
    a.wait_up("b")
    flows_again(net)
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def what_an_administrator_flushes_comes_back(lab):
    """Somebody flushes our routing tables, our rules, and every nftables table: all of it is back within seconds, and meanwhile nothing leaves
    in clear, since the guard stands where routes are gone, and routes where the guard is."""
    net = Offices(lab)
    a, b = pair(net)
    capture = net.router.capture("any", "clear.pcap")
    flows = [Ping(net.host_a, destination, interval=0.02) for destination in (net.HOST_B4, net.HOST_B6)]
    routes = {family: sorted(table(net.gw_a, family)) for family in ("-4", "-6")}
    rules = {family: net.gw_a.ip(family, "rule").count("lookup 4500") for family in ("-4", "-6")}
    expect(all(routes.values()) and all(rules.values()), f"there should be routes and rules of both families: {routes}, {rules}")

    def flush(what, commands, back, timeout):
        for command in commands:
            net.gw_a.run(*command)
        expect(not back(), f"the {what} should be gone, or nothing is tried")
        begun = time.monotonic()
        wait_until(back, f"the {what} are back", timeout, interval=0.02)
        print(f"  {what}: back after {time.monotonic() - begun:.1f} s")
        flows_again(net)

    for family in ("-4", "-6"):
        flush(f"routes ({family})", [("ip", family, "route", "flush", "table", "4500")], lambda: sorted(table(net.gw_a, family)) == routes[family], timeout=4)
    for family in ("-4", "-6"):  # the kernel's own rule for `main` goes, too; with it packets find the way to the router
        flush(f"rules ({family})", [("ip", family, "rule", "flush"), ("ip", family, "rule", "add", "from", "all", "lookup", "main", "priority", "32766")],
              lambda: net.gw_a.ip(family, "rule").count("lookup 4500") == rules[family], timeout=4)
    flush("guard", [("nft", "flush", "ruleset")], lambda: "merlon_guard" in net.gw_a.run("nft", "list", "tables").stdout, timeout=10)
    for flow in flows:
        flow.stop()
    capture.stop()
    expect_nothing_in_clear(capture)
    a.check_clean_end()
    b.check_clean_end()


@test
def sockets_without_buffers(lab):
    """A third of all sends fails with ENOBUFS: what IKE loses is sent again, so the tunnel stands, rekeys and comes up anew; ESP loses packets
    and counts them."""
    net = Offices(lab)
    a, b, faults = pair_with_faults(lab, net, extra=SHORT + "retransmit_tries = 8\n")
    flow = Ping(net.host_a, net.HOST_B4, interval=0.02)
    faults.set("send_percent", 33)
    old = spi_set(a, "b")
    wait_until(lambda: not old & spi_set(a, "b"), "the SAs are rekeyed")
    a.cli("down", "b")
    a.cli("up", "b")
    page = metrics(a)
    faults.set("send_percent", 100)
    time.sleep(0.5)
    faults.set("send_percent", 0)
    a.wait_up("b")
    flow.stop()
    failed = metric(page, "merlon_io_failures_total", kind="send_blocked") + metric(page, "merlon_io_failures_total", kind="send")
    expect(faults.get("failed_sends") > 20 and failed > 0, f"{faults.get('failed_sends')} sends should have failed, and {failed:.0f} are counted")
    wait_until(lambda: net.host_a.ping(net.HOST_B4, count=20, interval=0.05, wait=1, check=False) == 20, "everything passes again")
    a.check_clean_end()
    b.check_clean_end()


UDP = 'encapsulation = "udp"\n'


def transfers_both_ways(net):
    for server, client, address in ((net.host_b, net.host_a, net.HOST_B4), (net.host_a, net.host_b, net.HOST_A6)):
        tcp_server(server, address)
        tcp_transfer(client, address, size=8_000_000)


@test
def an_old_kernel(lab):
    """A kernel without UDP_SEGMENT, without UDP_GRO, without programs that choose a socket: the daemon finds out at the start, says so, and
    carries everything packet by packet."""
    net = Offices(lab)
    every = Faults.LACKS_UDP_SEGMENT | Faults.LACKS_UDP_GRO | Faults.LACKS_REUSEPORT_PROGRAM
    a, b, faults = pair_with_faults(lab, net, extra=UDP, faults={"lacks": every, "segment_errno": errno.EIO}, daemon="workers = 1")
    expect("neither UDP_SEGMENT nor UDP_GRO" in a.log(), f"the log should name what is missing: {a.log()[:2000]}")
    expect("IKE shares the receive buffer of ESP" in a.log(), "and that IKE has no socket of its own")
    expect("goes and comes in trains" in b.log(), "where nothing is missing, the log says that")
    transfers_both_ways(net)
    expect(faults.get("refused_segments") == 0, "nothing should be tried that cannot be")
    expect("does not take" not in a.log(), "that is no matter of the way")
    for merlon in (a, b):
        merlon.check_clean_end()
    faults.set("lacks", Faults.LACKS_UDP_GRO)
    faults.set("segment_errno", 0)
    a.start(env=faults.env())
    expect("has no UDP_GRO" in a.log(), f"one may be missing alone: {a.log()[-2000:]}")
    a.check_clean_end()


@test
def a_device_that_takes_single_packets_only(lab):
    """Every send of several ESP packets fails with EIO: they go one by one from then on, nothing is lost, and the log says so once."""
    net = Offices(lab)
    a, b, faults = pair_with_faults(lab, net, extra=UDP, faults={"segment_errno": errno.EIO})
    transfers_both_ways(net)
    refused = faults.get("refused_segments")
    expect(refused > 0, "trains should have been tried")
    sentence = f"the way to {net.B4}:4500 does not take several ESP packets in one send (Input/output error): one by one now"
    expect(a.log().count(sentence) == 1, f"the log should say it once: {a.log()[-2000:]}")
    transfers_again = [tcp_transfer(net.host_a, net.HOST_B4, size=8_000_000) for _ in range(2)]
    expect(all(transfers_again) and faults.get("refused_segments") == refused, f"no train should be tried again: {refused}, then {faults.get('refused_segments')}")
    page = metrics(a)
    expect(metric(page, "merlon_io_failures_total", kind="send") == 0, "and nothing is lost")
    a.check_clean_end()
    b.check_clean_end()
