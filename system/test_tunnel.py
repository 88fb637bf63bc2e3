"""The main job: two offices, joined."""
import time

from common import Ping, expect, pair
from lab import Merlon, Offices
from runner import test

PSK_A = """
[connection.b]
local = "198.51.100.2"
remote = "203.0.113.2"
local_id = "a.example"
remote_id = "b.example"
psk = "correct horse battery staple"
local_ts = ["10.1.0.0/24", "fd00:1::/64"]
remote_ts = ["10.2.0.0/24", "fd00:2::/64"]
"""
PSK_B = """
[connection.a]
remote = "198.51.100.2"
local_id = "b.example"
remote_id = "a.example"
psk = "correct horse battery staple"
local_ts = ["10.2.0.0/24", "fd00:2::/64"]
remote_ts = ["10.1.0.0/24", "fd00:1::/64"]
start = "wait"
"""


@test
def two_offices_with_psk(lab):
    net = Offices(lab)
    b = Merlon(net.gw_b, PSK_B).start()
    a = Merlon(net.gw_a, PSK_A).start()
    a.wait_up("b")
    net.host_a.ping(net.HOST_B4)
    net.host_b.ping(net.HOST_A4)
    net.host_a.ping(net.HOST_B6)
    net.gw_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()


@test
def nothing_is_lost_from_the_first_moment(lab):
    """From when the tunnel is said to be up: path searches, IPv6's start on new devices and the daemon's own must not disturb."""
    net = Offices(lab)
    a, b = pair(net)
    flows = [(host, destination, Ping(host, destination, interval=0.005)) for host, destinations in (
        (net.host_a, (net.HOST_B4, net.HOST_B6)), (net.host_b, (net.HOST_A4, net.HOST_A6))) for destination in destinations]
    time.sleep(5)
    for host, destination, flow in flows:
        lost = flow.lost()
        expect(lost == 0, f"{lost} pings from {host.name} to {destination} were lost; drops at a {a.status()['drops']}, at b {b.status()['drops']}")
    for merlon in (a, b):
        expect("no_policy" not in merlon.status()["drops"], f"the kernel's own packets on the device are no violation of a policy: {merlon.status()['drops']}")
        expect("audit" not in merlon.log(), f"nothing happened that is worth an audit record:\n{merlon.log()}")
    a.check_clean_end()
    b.check_clean_end()


@test([("native", "native", 500), ("udp", "udp", 4500)])
def status_shows_the_real_ports(lab, how, port):
    net = Offices(lab)
    a, b = pair(net, extra=f'encapsulation = "{how}"')
    for merlon, name, local, remote in ((a, "b", net.A4, net.B4), (b, "a", net.B4, net.A4)):
        sa = merlon.connection(name)["ike_sas"][0]
        expect((sa["local"], sa["remote"]) == (f"{local}:{port}", f"{remote}:{port}"), f"{merlon.host.name} shows {sa['local']} === {sa['remote']}")
    a.check_clean_end()
    b.check_clean_end()
