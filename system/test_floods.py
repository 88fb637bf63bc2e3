"""Floods beside clients that connect, rekey and pass traffic the whole time.

A flood must cost those outside of it nothing but time: every client gets in and stays in, memory stays level, the log bounded, the
counters tell what happened. The floods come from the router by a packet socket, so their sources are whatever they say."""
import time

from common import ask, expect, toml_a, toml_b
from fire import Calls, Clients, Flood, Watch, echo_server, inside, metric, metrics, rss_kb, sanitizer
from lab import Merlon, Offices, wait_until
from runner import test

RATE = 20_000  # packets a second
LEAST_RATE = 10_000  # on a machine that cannot make more
LOG_LINES_A_SECOND = 25  # of what strangers cause: 20 a second and the sentence that tells how many were left out
LOG_BURST = 100
SILENCE_S = 6  # the longest that a client may be without an answer, on a machine that has two cores for all of it


def memory_limit_kb(merlon, kind):
    """How much a flood may add: next to nothing, but what unfinished messages may take (64 MB); a sanitizer keeps freed memory for a while."""
    return (350_000 if sanitizer(merlon) else 16_000) + (64_000 if kind == "ike-fragments" else 0)


class Stage:
    """One flood, and what the hub says of it."""

    def __init__(self, hub, flood):
        self.hub, self.flood = hub, flood
        self.page, self.lines, self.rss, self.begun = metrics(hub), hub.log().count("\n"), rss_kb(hub), time.monotonic()

    def end(self, *counters, rate=LEAST_RATE):
        report = self.flood.wait()
        took = time.monotonic() - self.begun
        # What was still in the sockets' buffers.
        wait_until(lambda: all(self.grew(c) > 0 for c in counters), f"{self.flood.kind}: the counters {counters} tell of it")
        self.report = report
        lines, rss = self.hub.log().count("\n") - self.lines, rss_kb(self.hub) - self.rss
        told = ", ".join(f"{c.removeprefix('merlon_').removesuffix('_total')} {self.grew(c):.0f}" for c in counters)
        print(f"  {self.flood.kind}: {report['sent']} in {report['seconds']:.1f} s ({report['rate']:.0f} a second); memory {rss:+} kB, {lines} lines of log; {told}")
        expect(report["rate"] >= rate, f"{self.flood.kind}: the sender made only {report['rate']:.0f} packets a second")
        expect(rss < memory_limit_kb(self.hub, self.flood.kind), f"{self.flood.kind}: {rss} kB more than before")
        return report, lines, took

    def grew(self, name):
        name, _, reason = name.partition("/")
        labels = {"reason": reason} if reason else {}
        return metric(metrics(self.hub), name, **labels) - metric(self.page, name, **labels)


DROP = "merlon_packets_dropped_total/"
"""Kind, options, and the counters that must tell of it. The first ones leave half-open IKE SAs behind, which are gone after 30 s."""
STAGES = [
    ("replay", {"seconds": 4}, (DROP + "replayed",)),
    ("cookies", {"from": "21.0.0.0/8", "seconds": 4}, ("merlon_ike_cookies_rejected_total", "merlon_ike_cookies_sent_total")),
    ("ike-fragments", {"from": "22.0.0.0/8", "seconds": 4, "rate": 300}, ("merlon_ike_fragments_received_total",)),
    ("garbage", {"from": "23.0.0.0/8", "seconds": 4}, ("merlon_ike_drop_malformed_total", "merlon_ike_drop_unknown_spi_total")),
    ("ip-fragments", {"from": "24.0.0.0/8", "seconds": 4}, ()),
    ("unknown-spis", {"from": "25.0.0.0/8", "seconds": 4}, (DROP + "unknown_spi",)),
    ("bad-icvs", {"seconds": 4}, (DROP + "integrity",)),
]


@test
def fifty_clients_under_fire(lab):
    net = Offices(lab)
    clients = Clients(net).start(shared=24, others=1)
    hub, first = clients.hub, list(clients.started)
    clients.wait_up(first, "the first 25 clients are in before the floods")
    echo_server(net.host_b, net.HOST_B4)
    calls = Calls(net.HOST_B4, clients.callers(first))
    half_open = Watch(lambda: metric(metrics(hub), "merlon_ike_sas_half_open"))
    log_before, begun = hub.log().count("\n"), time.monotonic()

    stage = Stage(hub, Flood(net, "init", rate=RATE, seconds=12, **{"from": "20.0.0.0/8"}))
    wait_until(lambda: stage.grew("merlon_ike_cookies_sent_total") > 0, "cookies are asked for as soon as there are many half-open IKE SAs")
    newcomers = clients.start_the_others()
    clients.wait_up(newcomers, "25 more get in while the flood goes on")
    print(f"  25 more clients were in {time.monotonic() - stage.begun:.1f} s after the flood had begun{', which had ended' if stage.flood.done() else ''}")
    stage.end("merlon_ike_cookies_sent_total", "merlon_ike_cookies_verified_total")
    more_calls = Calls(net.HOST_B4, clients.callers(newcomers))
    attempts = {n: attempts_of(clients, n) for n in range(clients.count)}
    bounced = set()

    for number, (kind, options, counters) in enumerate(STAGES):
        options = dict(options)
        if kind == "bad-icvs":
            options.update(spi=spis_of(hub), **{"from": f"{client_of(clients, 0)}/32"})
        if kind == "replay":
            recorded = net.router.capture("to-b", "recorded.pcap")
            for n in (20, 21):  # so that whole negotiations are among it
                ask(clients.many, command="down", connection=f"hub{n}")
                ask(clients.many, command="up", connection=f"hub{n}")
            bounced.update((20, 21))
            time.sleep(0.5)
            options.update(capture=recorded.stop())
        stage = Stage(hub, Flood(net, kind, **{"rate": RATE, **options}))
        again = [number * 2 + 1, number * 2 + 2]  # of the shared ones
        bounced.update(again)
        for n in again:
            ask(clients.many, command="down", connection=f"hub{n}")
            ask(clients.many, command="up", connection=f"hub{n}")
        report, _, _ = stage.end(*counters, rate=50 if kind == "ike-fragments" else LEAST_RATE)
        clients.wait_up(again, f"two clients come back during {kind}")
        if kind == "replay":
            expect(report["rounds"] > 10, f"each packet should have been sent many times: {report}")
        if kind == "cookies":
            expect(report["cookies"] > 0, "the gateway should have given cookies")
        if kind == "ike-fragments":
            expect(report["half_open"] > 0 and report["fragments"] > 10 * report["half_open"], f"fragments should have been sent: {report}")

    lines = hub.log().count("\n") - log_before
    allowed = LOG_BURST + LOG_LINES_A_SECOND * (time.monotonic() - begun) + 12 * 2 * clients.count * (time.monotonic() - begun) / 7
    expect(lines < allowed, f"{lines} lines of log; {allowed:.0f} would be in order")
    most = max(half_open.stop())
    expect(most <= 4096, f"{most} half-open IKE SAs at once")

    everyone = list(range(clients.count))
    clients.wait_up(everyone, "all 50 are in at the end")
    wait_until(lambda: metric(metrics(hub), "merlon_ike_sas_half_open") < 10, "half-open IKE SAs end by themselves", timeout=90)
    cookies = metric(metrics(hub), "merlon_ike_cookies_sent_total")
    bounced.add(0)
    ask(clients.many, command="down", connection="hub0")
    ask(clients.many, command="up", connection="hub0")
    clients.wait_up(everyone, "and in again after the floods")
    expect(metric(metrics(hub), "merlon_ike_cookies_sent_total") == cookies, "after the floods nobody should be asked for a cookie")

    silent = {**calls.stop(), **more_calls.stop()}
    steady = [n for n in everyone if n not in bounced]
    for n in steady:
        seen = silent[inside(n)]
        expect(seen["gap"] < SILENCE_S, f"client {n} was without an answer for {seen['gap']:.1f} s: {seen}")
        expect(attempts_of(clients, n) == attempts[n], f"client {n} should have stayed in, but began anew")
    lost = [1 - silent[inside(n)]["answered"] / silent[inside(n)]["sent"] for n in steady if silent[inside(n)]["sent"]]
    page = metrics(hub)
    print(f"  longest silence of a client {max(silent[inside(n)]['gap'] for n in steady):.1f} s, {100 * sum(lost) / len(lost):.1f} % of their packets lost; "
          f"{metric(page, 'merlon_ike_child_sas_rekeyed_total'):.0f} Child SAs and {metric(page, 'merlon_ike_ike_sas_rekeyed_total'):.0f} IKE SAs rekeyed meanwhile; {lines} lines of log")
    expect(metric(page, "merlon_ike_child_sas_rekeyed_total") > clients.count, "they should have rekeyed during the floods")
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
        expect(lines < LOG_BURST + LOG_LINES_A_SECOND * took, f"{lines} lines of log in {took:.0f} s")
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
