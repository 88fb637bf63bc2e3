"""What test_faults.py and test_faults_network.py share."""
import os
import pathlib
import struct

from common import ask, toml_a, toml_b
from lab import Merlon, wait_until
from runner import Skip

SHORT = 'lifetime_soft = "4s"\nlifetime_hard = "30s"\nlifetime_jitter = "1s"\nike_lifetime_soft = "9s"\nike_lifetime_hard = "60s"\nike_lifetime_jitter = "2s"\n'


def table(host, family="-4"):
    return [line for line in host.ip(family, "route", "show", "table", "4500", check=False).splitlines() if "proto 77" in line]


def flows_again(net, timeout=30):
    for host, destination in ((net.host_a, net.HOST_B4), (net.host_b, net.HOST_A6)):
        wait_until(lambda: host.ping(destination, count=1, wait=1, check=False) == 1, f"{host.name} reaches {destination} again", timeout)


class Faults:
    """system/shim/faults.c below a daemon."""
    FIELDS = ("clock_step_s", "send_percent", "netlink_percent", "failed_sends", "failed_requests", "lacks", "segment_errno", "refused_segments")
    LACKS_UDP_SEGMENT, LACKS_UDP_GRO, LACKS_REUSEPORT_PROGRAM = 1, 2, 4

    def __init__(self, lab, name):
        self.library = lab.build / "system/shim/merlon-faults.so"
        if not self.library.exists():
            raise Skip(f"{self.library} is not built")
        self.path = lab.directory / f"faults-{name}"
        self.path.write_bytes(bytes(8 * len(self.FIELDS)))

    def env(self):
        return {"LD_PRELOAD": str(self.library), "MERLON_FAULTS": str(self.path)}

    def set(self, field, value):
        with open(self.path, "r+b") as file:
            file.seek(8 * self.FIELDS.index(field))
            file.write(struct.pack("=q", value))

    def get(self, field):
        return struct.unpack_from("=q", self.path.read_bytes(), 8 * self.FIELDS.index(field))[0]


def pair_with_faults(lab, net, extra="", faults=None, **kwargs):
    """As pair(), with faults below gw_a's daemon; those of `faults` from its start on."""
    begin, faults = faults or {}, Faults(lab, "a")
    for field, value in begin.items():
        faults.set(field, value)
    b = Merlon(net.gw_b, toml_b(extra=extra, **kwargs)).start()
    a = Merlon(net.gw_a, toml_a(extra=extra, **kwargs)).start(env=faults.env())
    a.wait_up("b")
    b.wait_child("a")
    return a, b, faults


def spi_set(merlon, name):
    """By which packets come in, without a process of its own."""
    found = next(c for c in ask(merlon, command="status")["connections"] if c["name"] == name)
    return {child["spi_in"] for sa in found["ike_sas"] for child in sa["child_sas"]}


def cpu_s(merlon):
    fields = pathlib.Path(f"/proc/{merlon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
