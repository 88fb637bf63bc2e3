"""handshake: IKE SAs with a Child SA, a second of one core, and what one costs in memory.

Ours: the IKE and the packet engine in one process, without a network; the CPU time of each side apart. Peers: the public-key operations, PRFs
and ciphers of one side by bare OpenSSL (the floor), and strongSwan's charon: its user time, the kernel's not counted, for the same proposals
between two namespaces.
"""
import os
import pathlib
import re
import subprocess
import time

import common
from common import Row, Sample, Server, row, say

PACKAGES = ("strongswan-charon", "strongswan-swanctl", "strongswan-pki", "libcharon-extra-plugins", "libstrongswan-extra-plugins",
            "libstrongswan-standard-plugins", "iproute2", "procps")
TARGETS = ("bench-handshake",)
KES = {"x25519": "x25519", "P-256": "ecp256", "MODP-2048": "modp2048"}
PROOFS = {"PSK": "psk", "ECDSA P-256 certificates": "ecdsa-p256", "RSA-2048 certificates": "rsa-2048"}
SIDES = ("initiator", "responder")
FLOOR, CHARON = "bare OpenSSL", "strongSwan 5.9 charon"


def run(options):
    rounds = options.rounds or (2 if options.quick else 6)
    batches, batch = (2, 10) if options.quick else (4, 50)
    charon_sas = 40 if options.quick else 300
    cases = [(ke, proof) for ke in KES for proof in PROOFS if proof != "RSA-2048 certificates" or ke == "x25519"]
    cases = [(ke, proof) for ke, proof in cases if options.only in f"{ke}, {proof}"]
    rows = []
    with Server("bench-handshake", common.program(options.build, "bench-handshake"), cpu=common.quietest_cpu()) as server:
        ours = {(case, side): Sample() for case in cases for side in SIDES}
        floor = {case: Sample() for case in cases}
        charon = {(case, side): Sample() for case in cases for side in SIDES}
        charon_bytes = {side: Sample() for side in SIDES}
        for turn in range(rounds):
            for case in cases:
                numbers = server.numbers(f"rate {KES[case[0]]} {PROOFS[case[1]]} {batches} {batch}")
                ours[case, "initiator"].add([1e6 / us for us in numbers[0::3]])
                ours[case, "responder"].add([1e6 / us for us in numbers[1::3]])
                floor[case].add([1e6 / us for us in numbers[2::3]])
            if turn < (1 if options.quick else 3):
                for case in cases:
                    if case[1] == "PSK":
                        say(f"strongSwan: {charon_sas} IKE SAs with {case[0]}")
                        rates, memory = measure_charon(options, KES[case[0]], charon_sas)
                        for side in SIDES:
                            charon[case, side].add(rates[side])
                            charon_bytes[side].add(memory[side])
        for case in cases:
            for side in SIDES:
                rows.append(row(", ".join(case), side, "IKE SAs/CPU s", ours[case, side], floor[case], FLOOR, more_is_better=True))
                if charon[case, side].values:
                    rows.append(row(", ".join(case), side, "IKE SAs/CPU s", ours[case, side], charon[case, side], CHARON, more_is_better=True))
        if charon_bytes["responder"].values:
            rows += memory_rows(server, charon_bytes, 1000 if options.quick else 10000)
    return rows


def memory_rows(server, charon_bytes, count):
    memory = server.numbers(f"memory x25519 psk {count}")
    return [Row(f"{count:,} IKE SAs, PSK", f"memory, {side}", "bytes/IKE SA", ours, charon_bytes[side].median, CHARON + ", whole process", False, 0.0,
                charon_bytes[side].spread) for side, ours in zip(SIDES, memory)]


# ---- strongSwan.

def measure_charon(options, ke, count):
    """({side: IKE SAs a second of user time}, {side: bytes a further IKE SA}) between two charons."""
    from lab import Lab, run as run_in_namespace
    with Lab(options.build) as lab:
        hosts = {side: lab.host(side) for side in SIDES}
        lab.link(hosts["initiator"], "eth0", hosts["responder"], "eth0")
        hosts["initiator"].address("eth0", "192.0.2.1/24")
        hosts["responder"].address("eth0", "192.0.2.2/24")
        # charon takes a Child SA only where it has an address in its local selectors.
        hosts["responder"].ip("addr", "add", "192.168.0.1/32", "dev", "lo")
        lines = "".join(f"addr add {inner_address(i)}/32 dev lo\n" for i in range(count))
        run_in_namespace("ip", "-n", hosts["initiator"].ns, "-batch", "-", input=lines)
        daemons = {"initiator": start_charon(hosts["initiator"], initiator_connections(ke, count)),
                   "responder": start_charon(hosts["responder"], {"road": responder_connection(ke)})}
        pids = {side: charon_pid(daemon) for side, daemon in daemons.items()}
        warm_up = max(10, count // 10)
        bring_up(daemons["initiator"], range(warm_up))
        cpu = {side: user_s(pid) for side, pid in pids.items()}
        memory = {side: resident_bytes(pid) for side, pid in pids.items()}
        bring_up(daemons["initiator"], range(warm_up, count))
        done = count - warm_up
        established = len(daemons["responder"].ike_sas())
        if established != count:
            raise common.Trouble(f"strongSwan: {established} of {count} IKE SAs came up:\n{daemons['responder'].log()[-1000:]}")
        return ({side: done / max(user_s(pid) - cpu[side], 1e-9) for side, pid in pids.items()},
                {side: (resident_bytes(pid) - memory[side]) / done for side, pid in pids.items()})


def inner_address(number):
    return f"10.0.{number // 250}.{number % 250 + 1}"


def start_charon(host, connections):
    from strongswan import StrongSwan
    secrets = {"ike-all": {"secret": "a shared secret of good length"}}
    quiet = {"filelog": {"log": {"path": str(host.directory / "strongswan" / "charon.log"), "default": -1}}}
    return StrongSwan(host, connections, secrets, charon=quiet).start()


def initiator_connections(ke, count):
    return {f"c{i}": {**both_sides(ke), "remote_addrs": "192.0.2.2",
                      "local": {"auth": "psk", "id": f"u{i}.example.com"}, "remote": {"auth": "psk", "id": "gw.example.com"},
                      "children": {f"n{i}": {"local_ts": f"{inner_address(i)}/32", "remote_ts": "192.168.0.0/16", "esp_proposals": "aes128gcm16"}}}
            for i in range(count)}


def responder_connection(ke):
    return {**both_sides(ke), "local": {"auth": "psk", "id": "gw.example.com"}, "remote": {"auth": "psk"},
            "children": {"net": {"local_ts": "192.168.0.0/16", "remote_ts": "10.0.0.0/8", "esp_proposals": "aes128gcm16"}}}


def both_sides(ke):
    return {"version": 2, "proposals": f"aes256gcm16-prfsha256-{ke}", "unique": "never"}


def charon_pid(daemon):
    return int((daemon.run_directory / "charon.pid").read_text())


def bring_up(initiator, numbers):
    """Four at a time: swanctl itself takes longer than charon."""
    environment = {**os.environ, "SWANCTL_DIR": str(initiator.swanctl_directory), "STRONGSWAN_CONF": str(initiator.directory / "strongswan.conf")}
    names = "\n".join(f"n{i}" for i in numbers)
    result = subprocess.run(["xargs", "-P4", "-I{}", "swanctl", "--initiate", "--child", "{}", "--timeout", "20", "--uri", initiator.uri],
                            input=names, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        raise common.Trouble(f"strongSwan did not come up: {result.stderr[-500:]}{result.stdout[-500:]}\n{initiator.log()[-500:]}")


def user_s(pid):
    time.sleep(0.2)
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024
