"""The main job: two offices, joined."""
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
