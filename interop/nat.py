"""A router that masquerades, and forgets its mappings when told to."""
import sys

FLUSH = """
import socket, struct
# nfnetlink: IPCTNL_MSG_CT_DELETE (subsystem 1, message 2) without a tuple empties the table.
NLM_F_REQUEST, NLM_F_ACK = 1, 4
body = struct.pack('=BBH', socket.AF_UNSPEC, 0, 0)
message = struct.pack('=IHHII', 16 + len(body), 1 << 8 | 2, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
netlink.send(message)
error = struct.unpack_from('=i', netlink.recv(4096), 16)[0]
if error:
    raise OSError(-error, 'flush of the connection table')
"""


class Nat:
    """Everything that leaves the router through `device` leaves from its address and one of `ports`."""

    def __init__(self, router, device, ports="30000-30999"):
        self.router, self.device = router, device
        self.map_to(ports)

    def map_to(self, ports):
        rules = f"""
table ip nat
delete table ip nat
table ip nat {{
  chain out {{
    type nat hook postrouting priority srcnat
    oifname "{self.device}" meta l4proto udp masquerade to :{ports} random
    oifname "{self.device}" masquerade
  }}
}}
"""
        self.router.run("nft", "-f", "-", input=rules)

    def forget(self, ports):
        """Mappings in use are gone; new ones use other ports."""
        self.map_to(ports)
        self.router.run(sys.executable, "-c", FLUSH)
