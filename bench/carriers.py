"""Two gateways and two hosts in namespaces, and what carries packets between the gateways.

    host-a 10.1.0.2 - 10.1.0.1 gw-a 198.51.100.1 - 198.51.100.2 gw-b 10.2.0.1 - 10.2.0.2 host-b

Devices keep their offloads: what is measured is what a gateway on one machine does.
"""
import atexit
import os
import pathlib
import shutil
import subprocess

import common
from lab import Failure, Merlon, run, wait_until

A, B = "198.51.100.1", "198.51.100.2"
INSIDE_A, INSIDE_B = "10.1.0.0/24", "10.2.0.0/24"
HOST_A, HOST_B = "10.1.0.2", "10.2.0.2"
PSK = "correct horse battery staple"


def two_cores():
    """What is measured, and all that it starts, runs on two CPUs."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-2:])


class Carrier:
    """`name`, and how the gateways come to carry packets; everything of it ends with its lab."""
    name = "plain veth"
    slug = "veth"

    def __init__(self, lab):
        self.lab = lab
        self.host_a, self.gw_a, self.gw_b, self.host_b = (lab.host(f"{self.slug}-{place}") for place in ("ha", "ga", "gb", "hb"))
        for a, device_a, b, device_b in ((self.host_a, "eth0", self.gw_a, "lan0"), (self.gw_a, "wan0", self.gw_b, "wan0"), (self.gw_b, "lan0", self.host_b, "eth0")):
            run("ip", "link", "add", device_a, "netns", a.ns, "type", "veth", "peer", "name", device_b, "netns", b.ns)
        for gateway in (self.gw_a, self.gw_b):
            gateway.forward()
        self.host_a.address("eth0", f"{HOST_A}/24")
        self.gw_a.address("lan0", "10.1.0.1/24")
        self.gw_a.address("wan0", f"{A}/24")
        self.gw_b.address("wan0", f"{B}/24")
        self.gw_b.address("lan0", "10.2.0.1/24")
        self.host_b.address("eth0", f"{HOST_B}/24")
        self.host_a.ip("route", "add", "default", "via", "10.1.0.1")
        self.host_b.ip("route", "add", "default", "via", "10.2.0.1")
        self.start()
        wait_until(lambda: self.host_a.ping(HOST_B, count=1, check=False, wait=1), f"{self.name} carries packets", timeout=30)

    def start(self):
        self.gw_a.ip("route", "add", INSIDE_B, "via", B)
        self.gw_b.ip("route", "add", INSIDE_A, "via", A)


class MerlonCarrier(Carrier):
    """With the defaults, so one data worker: there are two CPUs."""
    name, slug = "merlon", "mrl"
    daemon, encapsulation, child = "", "udp", ""

    def start(self):
        for gateway, local, remote, inside, beyond, start in ((self.gw_b, B, A, INSIDE_B, INSIDE_A, "wait"), (self.gw_a, A, B, INSIDE_A, INSIDE_B, "always")):
            # The outer route: in this net there is none but the link's own.
            gateway.ip("route", "add", "default", "via", remote)
            Merlon(gateway, f'[daemon]\n{self.daemon}\n[connection.peer]\nlocal = "{local}"\nremote = "{remote}"\nlocal_id = "{local}"\nremote_id = "{remote}"\n'
                            f'psk = "{PSK}"\nencapsulation = "{self.encapsulation}"\nstart = "{start}"\n[connection.peer.child.net]\nlocal_ts = "{inside}"\n'
                            f'remote_ts = "{beyond}"\nesp_proposals = ["aes128gcm16-x25519"]\n{self.child}\n').start()


class TwoWorkersCarrier(MerlonCarrier):
    name, slug, daemon = "merlon, workers = 2", "mrl2", "workers = 2"


class ParallelCarrier(MerlonCarrier):
    name, slug, daemon, child = "merlon, workers = 2, parallel = 2", "mrlp", "workers = 2", "parallel = 2"


class NativeCarrier(MerlonCarrier):
    name, slug, daemon, encapsulation = "merlon, native ESP", "mrln", "", "native"


class NativeTwoWorkersCarrier(MerlonCarrier):
    name, slug, daemon, encapsulation = "merlon, workers = 2, native ESP", "mrln2", "workers = 2", "native"


class StrongSwanCarrier(Carrier):
    name, slug = "strongSwan's kernel-libipsec", "swan"

    def start(self):
        from strongswan import StrongSwan
        daemons = []
        for gateway, local, remote, inside, beyond in ((self.gw_b, B, A, INSIDE_B, INSIDE_A), (self.gw_a, A, B, INSIDE_A, INSIDE_B)):
            child = {"local_ts": inside, "remote_ts": beyond, "esp_proposals": "aes128gcm16"}
            connection = {"version": 2, "local_addrs": local, "remote_addrs": remote, "proposals": "aes256gcm16-prfsha256-x25519",
                          "local": {"auth": "psk", "id": local}, "remote": {"auth": "psk", "id": remote}, "children": {"net": child}}
            quiet = {"filelog": {"main": {"path": str(gateway.directory / "strongswan" / "charon.log"), "default": 0}}}
            daemons.append(StrongSwan(gateway, {"peer": connection}, {"ike-peer": {"secret": PSK}}, charon=quiet).start())
        daemons[-1].initiate("net")


class WireguardGoCarrier(Carrier):
    name, slug = "wireguard-go", "wg"

    def program(self):
        return ("wireguard-go",)

    def start(self):
        keys = [run("wg", "genkey").stdout.strip() for _ in range(2)]
        publics = [run("wg", "pubkey", input=key + "\n").stdout.strip() for key in keys]
        for i, (gateway, remote, beyond) in enumerate(((self.gw_a, B, INSIDE_B), (self.gw_b, A, INSIDE_A))):
            # Its control socket stands in a folder of the whole machine: each gets a name of its own.
            device = f"{self.slug}-{os.getpid() % 100000}{'ab'[i]}"
            gateway.start(*self.program(), "-f", device, log="wireguard-go.log", env={"LOG_LEVEL": "error", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"})
            socket = pathlib.Path(f"/var/run/wireguard/{device}.sock")
            atexit.register(socket.unlink, missing_ok=True)
            wait_until(socket.exists, "wireguard-go listens")
            key_file = gateway.directory / "key"
            key_file.write_text(keys[i])
            gateway.run("wg", "set", device, "listen-port", 51820, "private-key", key_file, "peer", publics[1 - i], "endpoint", f"{remote}:51820", "allowed-ips", beyond)
            gateway.ip("link", "set", device, "up")
            gateway.ip("route", "add", beyond, "dev", device)


class NewWireguardGoCarrier(WireguardGoCarrier):
    """Debian 13's, which carries super-packets as well, run from a root folder with its own libraries."""
    name, slug = "wireguard-go of Debian 13", "wg13"

    def program(self):
        root = debian_13()
        return (root / "lib64/ld-linux-x86-64.so.2", "--library-path", root / "usr/lib/x86_64-linux-gnu", root / "usr/bin/wireguard-go")


class RelayCarrier(Carrier):
    name, slug = "bare relay TUN-UDP", "rel"

    def start(self):
        for gateway, local, remote, beyond in ((self.gw_a, A, B, INSIDE_B), (self.gw_b, B, A, INSIDE_A)):
            gateway.start(common.program(self.lab.build, "bench-relay"), "tun0", local, remote)
            wait_until(lambda: "tun0" in gateway.ip("link"), "the relay has its device")
            gateway.ip("link", "set", "tun0", "up", "mtu", 1400)
            gateway.ip("route", "add", beyond, "dev", "tun0")


def debian_13():
    """A root folder with wireguard-go, made once; Failure where none can be made."""
    root = common.ROOT / "build/debian-13"
    if not (root / "usr/bin/wireguard-go").exists():
        common.say("making a root folder of Debian 13 for its wireguard-go ...")
        unfinished = root.with_name("debian-13.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        run("debootstrap", "--variant=minbase", "--include=wireguard-go", "trixie", unfinished, timeout=900)
        unfinished.rename(root)
    return root


def start_all(lab, kinds):
    """Those that start; of another it is said why it does not."""
    carriers = []
    for kind in kinds:
        try:
            carriers.append(kind(lab))
            common.say(f"{kind.name} carries packets")
        except (Failure, OSError, subprocess.TimeoutExpired) as failure:
            if issubclass(kind, MerlonCarrier):
                raise common.Trouble(f"merlon carries no packets: {failure}") from None
            common.say(f"{kind.name} is left out: {failure}")
    return carriers
