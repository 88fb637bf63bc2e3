"""Floods beside clients that connect, rekey and pass traffic the whole time.

A flood must cost those outside of it nothing but time: every client gets in and stays in, memory stays level, the log bounded, the
counters tell what happened. The floods come from the router by a packet socket, so their sources are whatever they say."""
import re
import time

from common import ask, expect, toml_a, toml_b
from fire import Calls, Clients, Flood, Watch, echo_server, inside, metric, metrics, rss_kb, sanitizer
from lab import Merlon, Offices, wait_until
from runner import test

RATE = 20_000  # packets a second
LEAST_RATE = 10_000  # on a machine that cannot make more
SILENCE_S = 6  # the longest that a client may be without an answer, on a machine that has two cores for all of it
LEAST_ANSWERED = 0.9
LOG_LINES_FOR_AN_SA = 4  # made, proved, rekeyed, closed


def lines_of_strangers(log):
    """All but what clients cause: they are told of by name, and not as a warning."""
    return sum(not re.search(r" info: c\d+: ", line) for line in log.splitlines())


def allowed_lines(seconds):
    """What strangers cause: 100 at once, 20 a second, and a sentence that tells how many were left out."""
    return 100 + 21 * (seconds + 1)


# How much a flood may add: next to nothing, but for what strangers may leave unfinished, which is 32 MB and the IKE SAs around it.
MEMORY_KB, MEMORY_OF_FRAGMENTS_KB = 4_000, 48_000
# All floods and the rest of the test, but for those fragments: malloc keeps what they took for the next ones.
MEMORY_IN_ALL_KB = 24_000


class Stage:
    """One flood, and what the hub and its kernel say of it."""

    def __init__(self, net, hub, kind, **options):
        self.net, self.hub, self.kind = net, hub, kind
        self.page, self.log, self.rss, self.begun = self.metrics(), len(hub.log()), rss_kb(hub), time.monotonic()
        self.flood = Flood(net, kind, **{"rate": RATE, **options})

    def metrics(self):
        header, values = [line.split() for line in self.net.gw_b.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Ip: ")]
        return f"{metrics(self.hub)}\nkernel_ip_fragments {dict(zip(header, values))['ReasmReqds']}"

    def grew(self, name):
        name, _, reason = name.partition("/")
        labels = {"reason": reason} if reason else {}
        return metric(self.metrics(), name, **labels) - metric(self.page, name, **labels)

    def strikes(self, counters):
        wait_until(lambda: all(self.grew(c) > 0 for c in counters), f"{self.kind}: the counters {counters} tell of it")

    def goes_on(self, what):
        """What a test has just seen came to be during the flood, not after it."""
        print(f"  {self.kind}: {what} {time.monotonic() - self.begun:.1f} s after the flood had begun{', which had ended' if self.flood.done() else ''}")
        expect(not self.flood.done(), f"{self.kind}: {what}, but only when the flood had ended")

    def end(self, counters, rate=LEAST_RATE, least=1):
        report = self.flood.wait()
        # What was still in the sockets' buffers.
        wait_until(lambda: all(self.grew(c) >= least for c in counters), f"{self.kind}: the counters {counters} tell of {least}")
        took = time.monotonic() - self.begun
        lines, self.more_kb = lines_of_strangers(self.hub.log()[self.log:]), rss_kb(self.hub) - self.rss
        told = ", ".join(f"{c.removeprefix('merlon_').removesuffix('_total')} {self.grew(c):.0f}" for c in counters)
        print(f"  {self.kind}: {report['sent']} in {report['seconds']:.1f} s ({report['rate']:.0f} a second); memory {self.more_kb:+} kB, {lines} lines of log; {told}")
        expect(report["rate"] >= rate, f"{self.kind}: the sender made only {report['rate']:.0f} packets a second")
        limit = 350_000 if sanitizer(self.hub) else MEMORY_OF_FRAGMENTS_KB if self.kind == "ike-fragments" else MEMORY_KB  # a sanitizer keeps what is freed
        expect(self.more_kb < limit, f"{self.kind}: {self.more_kb} kB more than before")
        expect(lines < allowed_lines(took), f"{self.kind}: {lines} lines of log in {took:.1f} s")
        return report


DROP = "merlon_packets_dropped_total/"
"""Kind, options, and the counters that must tell of it. The first one needs what the flood of IKE_SA_INIT leaves behind, which is gone after 30 s:
the half-open IKE SAs for which cookies are asked."""
STAGES = [
    ("cookies", {"from": "21.0.0.0/8", "seconds": 4}, ("merlon_ike_cookies_rejected_total", "merlon_ike_cookies_sent_total")),
    ("replay", {"seconds": 4}, (DROP + "replayed",)),
    ("ike-fragments", {"from": "22.0.0.0/8", "seconds": 4, "rate": 300}, ("merlon_ike_fragments_received_total",)),
    ("garbage", {"from": "23.0.0.0/8", "seconds": 4}, ("merlon_ike_drop_malformed_total", "merlon_ike_drop_unknown_spi_total")),
    ("ip-fragments", {"from": "24.0.0.0/8", "seconds": 4}, ("kernel_ip_fragments",)),
    ("unknown-spis", {"from": "25.0.0.0/8", "seconds": 4}, (DROP + "unknown_spi",)),
    ("bad-icvs", {"seconds": 4}, (DROP + "integrity",)),
]


def reconnect(clients, numbers):
    """Of the shared ones. That each has begun anew is counted."""
    for n in numbers:
        before = attempts_of(clients, n)
        ask(clients.many, command="down", connection=f"hub{n}")
        ask(clients.many, command="up", connection=f"hub{n}")
        expect(attempts_of(clients, n) > before, f"client {n} should have begun anew")


@test
def fifty_clients_under_fire(lab):
    net = Offices(lab)
    clients = Clients(net).start(shared=24, others=1)
    hub, first = clients.hub, list(clients.started)
    clients.wait_up(first, "the first 25 clients are in before the floods")
    echo_server(net.host_b, net.HOST_B4)
    calls = Calls(net.HOST_B4, clients.callers(first))
    half_open = Watch(lambda: metric(metrics(hub), "merlon_ike_sas_half_open"))
    page, log_before, rss_before, begun = metrics(hub), len(hub.log()), rss_kb(hub), time.monotonic()
    attempts = {n: attempts_of(clients, n) for n in first}

    stage = Stage(net, hub, "init", seconds=12, **{"from": "20.0.0.0/8"})
    wait_until(lambda: stage.grew("merlon_ike_cookies_sent_total") > 0, "cookies are asked for as soon as there are many half-open IKE SAs")
    newcomers = clients.start_the_others()
    clients.wait_up(newcomers, "25 more get in while the flood goes on")
    stage.goes_on("25 more clients were in")
    stage.end(("merlon_ike_cookies_sent_total", "merlon_ike_cookies_verified_total"))
    most = max(half_open.samples)
    expect(64 <= most < 200, f"{most:.0f} half-open IKE SAs at once; cookies should go on at 64")
    more_calls = Calls(net.HOST_B4, clients.callers(newcomers))
    attempts.update({n: attempts_of(clients, n) for n in newcomers})
    bounced = set()

    for number, (kind, options, counters) in enumerate(STAGES):
        options = dict(options)
        if kind == "bad-icvs":
            options.update(spi=spis_of(hub), **{"from": f"{client_of(clients, 0)}/32"})
        if kind == "replay":
            recorded = net.router.capture("to-b", "recorded.pcap")
            reconnect(clients, (20, 21))  # so that whole negotiations are among it
            bounced.update((20, 21))
            time.sleep(0.5)
            options.update(capture=recorded.stop())
        stage = Stage(net, hub, kind, **options)
        stage.strikes(counters)
        again = [number * 2 + 1, number * 2 + 2]  # of the shared ones
        bounced.update(again)
        reconnect(clients, again)
        clients.wait_up(again, f"two clients come back during {kind}")
        stage.goes_on("two clients came back")
        report = stage.end(counters, rate=50 if kind == "ike-fragments" else LEAST_RATE, least=100)
        if kind == "replay":
            expect(report["rounds"] > 10, f"each packet should have been sent many times: {report}")
        if kind == "cookies":
            expect(report["cookies"] > 0, "the gateway should have given cookies")
        if kind == "ike-fragments":
            strangers, of_fragments_kb = report["half_open"], stage.more_kb
            expect(strangers > 300 and report["fragments"] > 10 * strangers, f"fragments should have been sent: {report}")
    most = max(half_open.stop())
    expect(most <= strangers + 200, f"{most:.0f} half-open IKE SAs at once, and {strangers:.0f} of those who sent fragments")

    everyone = list(range(clients.count))
    clients.wait_up(everyone, "all 50 are in at the end")
    wait_until(lambda: metric(metrics(hub), "merlon_ike_sas_half_open") < 10, "half-open IKE SAs end by themselves", timeout=90)
    cookies = metric(metrics(hub), "merlon_ike_cookies_sent_total")
    bounced.add(0)
    reconnect(clients, (0,))
    clients.wait_up(everyone, "and in again after the floods")
    expect(metric(metrics(hub), "merlon_ike_cookies_sent_total") == cookies, "after the floods nobody should be asked for a cookie")

    silent = {**calls.stop(), **more_calls.stop()}
    for n in everyone:
        seen = silent[inside(n)]
        expect(seen["gap"] < SILENCE_S, f"client {n} was without an answer for {seen['gap']:.1f} s: {seen}")
        expect(seen["sent"] > 100 and seen["answered"] > LEAST_ANSWERED * seen["sent"], f"client {n} has lost too much: {seen}")
        if n not in bounced:
            expect(attempts_of(clients, n) == attempts[n], f"client {n} should have stayed in, but began anew")
    lost = 1 - sum(seen["answered"] for seen in silent.values()) / sum(seen["sent"] for seen in silent.values())
    after, log, more_kb, took = metrics(hub), hub.log()[log_before:], rss_kb(hub) - rss_before, time.monotonic() - begun
    grew = {what: metric(after, f"merlon_ike_{what}_total") - metric(page, f"merlon_ike_{what}_total")
            for what in ("ike_sas_established", "child_sas_established", "ike_sas_rekeyed", "child_sas_rekeyed")}
    strange, lines = lines_of_strangers(log), log.count("\n")
    print(f"  longest silence of a client {max(seen['gap'] for seen in silent.values()):.1f} s, {100 * lost:.1f} % of their packets lost, at worst "
          f"{100 * min(seen['answered'] / seen['sent'] for seen in silent.values()):.1f} % answered; {grew['child_sas_rekeyed']:.0f} Child SAs and "
          f"{grew['ike_sas_rekeyed']:.0f} IKE SAs rekeyed meanwhile; {lines} lines of log, {strange} of them for strangers; memory {rss_before} kB {more_kb:+} kB")
    expect(grew["child_sas_rekeyed"] > clients.count, "they should have rekeyed during the floods")
    expect(strange < allowed_lines(took), f"{strange} lines of log for strangers in {took:.0f} s")
    expect(lines - strange <= LOG_LINES_FOR_AN_SA * sum(grew.values()), f"{lines - strange} lines of log for {grew}")
    expect(more_kb - of_fragments_kb < (350_000 if sanitizer(hub) else MEMORY_IN_ALL_KB), f"{more_kb} kB more than before all of it, {of_fragments_kb} of them by fragments")
    clients.check_clean_end()


def attempts_of(clients, n):
    return metric(metrics(clients.of(n)), "merlon_connection_attempts_total", connection=f"hub{n}")


def client_of(clients, n):
    connection = next(c for c in ask(clients.hub, command="status")["connections"] if c["name"] == f"c{n}")
    return connection["ike_sas"][0]["remote"].rsplit(":", 1)[0]


def spis_of(hub):
    """Those by which packets come in, as numbers."""
    return [int(child["spi_in"], 16) for c in ask(hub, command="status")["connections"] for sa in c["ike_sas"] for child in sa["child_sas"]]


@test([("ipv4", False), ("ipv6_by_64", True)])
def one_source_cannot_take_all_half_open_places(lab, v6):
    """An IPv6 /64 is one source, as an IPv4 address is: it has 16 places, the last 8 of them only for who returns a cookie. Others go on."""
    net = Offices(lab)
    anybody = toml_b("cookie_threshold = 1000000", v6=v6).replace(f'remote = "{net.A6 if v6 else net.A4}"\n', "")
    b = Merlon(net.gw_b, anybody).start()
    source, to = ("2001:db8:bad:1::/64", net.B6) if v6 else ("192.0.2.66/32", net.B4)
    report = Flood(net, "init", rate=2000, seconds=2, to=to, **{"from": source}).wait()
    page = metrics(b)
    expect(metric(page, "merlon_ike_sas_half_open") <= 9, f"{metric(page, 'merlon_ike_sas_half_open')} half-open IKE SAs of one source")
    expect(metric(page, "merlon_ike_cookies_sent_total") > report["sent"] / 4, "what is beyond should be asked for cookies")
    if not v6:  # one who is really there
        Flood(net, "ike-fragments", rate=100, seconds=2, to=to, **{"from": source}).wait()
        page = metrics(b)
        expect(9 < metric(page, "merlon_ike_sas_half_open") <= 17, f"{metric(page, 'merlon_ike_sas_half_open')} half-open IKE SAs of one source")
        expect(metric(page, "merlon_ike_drop_half_open_per_source_total") > 0, "what is beyond should be counted")
    a = Merlon(net.gw_a, toml_a(v6=v6)).start()
    a.wait_up("b", timeout=10)
    if v6:
        before = metric(metrics(b), "merlon_ike_sas_half_open")
        Flood(net, "init", rate=500, seconds=1, to=to, **{"from": "2001:db8:bad::/48"}).wait()
        expect(metric(metrics(b), "merlon_ike_sas_half_open") > before + 50, "addresses of many /64 are many sources")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


def received(merlon):
    return metric(metrics(merlon), "merlon_ike_messages_received_total")


@test
def failures_are_answered_and_told_so_often_only(lab):
    """Strangers that nothing fits, from everywhere and from one address or /64 alone, and a peer with a wrong key: refusals and log lines are
    bounded, in all and for each source. With the right key the peer gets in at once."""
    net = Offices(lab)
    b = Merlon(net.gw_b, toml_b()).start()

    def strangers(source, to, seconds, rate=RATE):
        page, lines, begun = metrics(b), b.log().count("\n"), time.monotonic()
        Flood(net, "init", rate=rate, seconds=seconds, to=to, **{"from": source}).wait()
        wait_until(lambda: received(b) == (time.sleep(0.3), received(b))[1], "what is still in the socket's buffer has been read")
        after, took = metrics(b), time.monotonic() - begun
        grew = lambda name: metric(after, name) - metric(page, name)
        expect(grew("merlon_ike_drop_no_connection_total") > 1000, "no connection answers these addresses, and that is counted")
        lines = b.log().count("\n") - lines
        print(f"  {source}: {lines} lines of log in {took:.1f} s")
        expect(lines < allowed_lines(took), f"{lines} lines of log in {took:.0f} s")
        return grew("merlon_ike_messages_sent_total"), took

    answers, took = strangers("26.0.0.0/8", net.B4, 4)
    expect(answers < 100 + 60 * took, f"strangers got {answers:.0f} refusals in {took:.0f} s")
    for source, to in (("192.0.2.77/32", net.B4), ("2001:db8:bad:1::/64", net.B6)):
        answers, took = strangers(source, to, 2, rate=5000)
        expect(answers <= 8 + 3 * (took + 1), f"{source} got {answers:.0f} refusals in {took:.0f} s")
    a = Merlon(net.gw_a, toml_a().replace("correct horse", "wrong horse")).start()
    wait_until(lambda: metric(metrics(b), "merlon_ike_authentication_failures_total") >= 3, "it tries over and over")
    a.write_config(toml_a())
    ask(a, command="reload")
    a.wait_up("b", timeout=15)
    a.check_clean_end()
    b.check_clean_end()


@test([("ipv4", False), ("ipv6", True)])
def a_forged_source_keeps_its_owner_out_of_nothing(lab, v6):
    """Requests in the name of an honest peer take its half-open places; who really is there proves it by a cookie and gets in."""
    net = Offices(lab)
    b = Merlon(net.gw_b, toml_b(v6=v6)).start()
    source, to = (f"{net.A6}/128", net.B6) if v6 else (f"{net.A4}/32", net.B4)
    flood = Flood(net, "init", rate=1000, seconds=6, to=to, **{"from": source})
    wait_until(lambda: metric(metrics(b), "merlon_ike_sas_half_open") >= 8, "its places are being taken")
    begun = time.monotonic()
    a = Merlon(net.gw_a, toml_a(v6=v6)).start()
    a.wait_up("b", timeout=20)
    expect(not flood.done(), f"it should get in while that goes on, not {time.monotonic() - begun:.1f} s later")
    flood.wait()
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()
