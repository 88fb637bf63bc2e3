"""strongSwan's charon in a host's namespace, configured from Python.

charon hard-codes /run/charon.pid and its VICI socket, so each daemon gets a mount namespace of its own with a private folder
on /run; swanctl reaches the socket from outside. Packets go through the kernel-libipsec plug-in, which knows ESP in tunnel
mode, in UDP only: it pretends a NAT, so that peers put ESP into UDP.
"""
import pathlib
import re
import signal

from lab import Failure, run, wait_until

CHARON = "/usr/lib/ipsec/charon"
RETRANSMISSION = {"retransmit_timeout": "1.0", "retransmit_base": "1.4", "retransmit_tries": 4}


def render(tree, indent=""):
    """A dictionary as strongSwan writes settings: sections in braces, lists with commas."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key} {{", render(value, indent + "  "), f"{indent}}}"]
        elif isinstance(value, (list, tuple)):
            lines.append(f"{indent}{key} = {','.join(str(v) for v in value)}")
        else:
            lines.append(f'{indent}{key} = "{value}"')
    return "\n".join(line for line in lines if line)


def credential_sections(credentials, authority_files):
    """Files of swanctl's folders: {"x509/NAME": path ...}."""
    files = {f"x509ca/{i}-{path.name}": path for i, path in enumerate(authority_files)}
    if credentials:
        files[f"x509/{credentials.certificate.name}"] = credentials.certificate
        files[f"private/{credentials.key.name}"] = credentials.key
        files |= {f"x509ca/{path.name}": path for path in credentials.intermediates}
    return files


class StrongSwan:
    """connections: swanctl.conf's tree of that name; secrets, authorities likewise. files: {"x509ca/ca.pem": path}.
    charon: further keys of strongswan.conf's section charon."""

    def __init__(self, host, connections, secrets=None, files=None, charon=None):
        self.host = host
        self.directory = host.directory / "strongswan"
        self.swanctl_directory = self.directory / "swanctl"
        self.run_directory = self.directory / "run"
        self.log_file = self.directory / "charon.log"
        self.uri = f"unix://{self.run_directory}/charon.vici"
        self.process = None
        for folder in ("x509", "x509ca", "x509crl", "private", "pubkey"):
            (self.swanctl_directory / folder).mkdir(parents=True, exist_ok=True)
        self.run_directory.mkdir(exist_ok=True)
        for name, source in (files or {}).items():
            (self.swanctl_directory / name).write_bytes(pathlib.Path(source).read_bytes())
        self.settings = self._settings(charon or {})
        self.configure(connections, secrets)

    def _settings(self, further):
        log = {"path": self.log_file, "default": 1, "ike": 2, "cfg": 2, "knl": 1, "enc": 1, "net": 1, "time_format": "%H:%M:%S", "flush_line": "yes", "append": "yes"}
        charon = {"load_modular": "yes", "install_routes": "yes", "filelog": {"main": log}, "syslog": {"daemon": {"default": -1}, "auth": {"default": -1}}, **RETRANSMISSION, **further}
        # The plug-ins' own files come first; kernel-libipsec is off in them.
        plugins = "plugins {\n include /etc/strongswan.d/charon/*.conf\n kernel-libipsec { load = yes\n allow_peer_ts = no }\n}"
        return f"charon {{\n{render(charon, '  ')}\n{plugins}\n}}\nswanctl {{ load = pem pkcs1 pkcs8 x509 revocation constraints pubkey openssl curve25519 random }}\n"

    def configure(self, connections, secrets=None):
        self.connections = connections
        (self.directory / "strongswan.conf").write_text(self.settings)
        tree = {"connections": connections, "secrets": secrets or {}}
        (self.swanctl_directory / "swanctl.conf").write_text(render(tree) + "\n")

    def start(self):
        for stale in self.run_directory.glob("charon.*"):
            stale.unlink()
        script = f"mount --bind {self.run_directory} /run && exec {CHARON}"
        self.process = self.host.start("unshare", "-m", "bash", "-c", script, log="charon.out", env={"STRONGSWAN_CONF": str(self.directory / "strongswan.conf")})
        socket = self.run_directory / "charon.vici"
        wait_until(lambda: socket.exists() or not self.process.running(), f"charon on {self.host.name} listens", interval=0.03)
        self.load()
        return self

    def load(self):
        """Takes the configuration that now stands in the files."""
        wait_until(lambda: self.swanctl("--load-all", "--noprompt", check=False).returncode == 0 or not self.process.running(),
                   f"charon on {self.host.name} takes its configuration", interval=0.05)
        if not self.process.running():
            raise Failure(f"charon on {self.host.name} ended:\n{self.process.log()}\n{self.log()[-3000:]}")

    def swanctl(self, *args, check=True, timeout=40):
        return run("env", f"SWANCTL_DIR={self.swanctl_directory}", f"STRONGSWAN_CONF={self.directory}/strongswan.conf", "swanctl", *args, "--uri", self.uri,
                   check=check, timeout=timeout)

    def initiate(self, child, check=True, timeout=40):
        """True when the child came up."""
        result = self.swanctl("--initiate", "--child", child, "--timeout", timeout, check=False)
        if check and result.returncode != 0:
            raise Failure(f"strongSwan could not initiate {child}:\n{result.stdout}{result.stderr}\n{self.log()[-3000:]}")
        return result.returncode == 0

    def terminate(self, child=None, ike=None):
        self.swanctl("--terminate", *(["--child", child] if child else ["--ike", ike]), "--timeout", 10)

    def rekey(self, child=None, ike=None):
        self.swanctl("--rekey", *(["--child", child] if child else ["--ike", ike]))

    def ike_sas(self):
        """[{"name", "state", "initiator", "spi_i", "spi_r", "children": [{"name", "state", "spi_in", "spi_out"}]}]"""
        sas = []
        for event in self.swanctl("--list-sas", "--raw").stdout.splitlines():
            if not event.startswith("list-sa event"):
                continue
            head, _, tail = event.partition("child-sas {")
            sas.append({"name": re.match(r"list-sa event \{(\S+) \{", head).group(1), "state": _field(head, "state"), "initiator": "initiator=yes" in head,
                        "spi_i": _field(head, "initiator-spi"), "spi_r": _field(head, "responder-spi"), "remote": f"{_field(head, 'remote-host')}:{_field(head, 'remote-port')}",
                        "children": [_child(text) for text in re.findall(r"\{(name=.*?)\}", tail)]})
        return sas

    def child_sas(self, name=None):
        return [child for sa in self.ike_sas() for child in sa["children"] if name in (None, child["name"])]

    def wait_child(self, name=None):
        return wait_until(lambda: [c for c in self.child_sas(name) if c["state"] == "INSTALLED"], f"strongSwan has a Child SA {name or ''}\n{self.log()[-2500:]}", timeout=30)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self):
        self.process.stop()

    def kill(self):
        self.process.stop(signal.SIGKILL)


def _field(text, key):
    match = re.search(rf"(?:^|[ {{]){key}=(\S*?)(?=[ }}]|$)", text)
    return match.group(1) if match else ""


def _child(text):
    return {"name": _field(text, "name"), "state": _field(text, "state"), "spi_in": _field(text, "spi-in"), "spi_out": _field(text, "spi-out"),
            "algorithms": "-".join(filter(None, (_field(text, "encr-alg"), _field(text, "encr-keysize"), _field(text, "integ-alg"))))}
