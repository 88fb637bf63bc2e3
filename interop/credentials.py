"""Authorities, certificates and revocation lists, made by `merlon pki` or by strongSwan's `pki`, once in a run."""
import atexit
import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile

from lab import DIRECTORY_PREFIX, run

MERLON_KINDS = {"rsa": "rsa-2048", "rsa-4096": "rsa-4096", "ecdsa": "ecdsa-p256", "ed25519": "ed25519"}
PKI_KINDS = {"rsa": ("rsa", 2048), "rsa-4096": ("rsa", 4096), "ecdsa": ("ecdsa", 256), "ed25519": ("ed25519", None)}


@dataclasses.dataclass(frozen=True)
class Credentials:
    certificate: pathlib.Path
    key: pathlib.Path
    authority: pathlib.Path
    intermediates: tuple = ()


@functools.cache
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-pki-"))
    atexit.register(shutil.rmtree, path, True)
    return path


@functools.cache
def by_merlon(build, kind, name):
    """A certificate for host name `name` from an authority of its own kind and of its own."""
    where = folder() / f"merlon-{kind}-{name}"
    merlon = pathlib.Path(build) / "merlon"
    run(merlon, "pki", "init", "--ca", where / "ca", "--type", MERLON_KINDS[kind], "--dn", f"O=Merlon {kind}, CN=CA for {name}")
    made = Credentials(where / f"{name}.pem", where / f"{name}.key", where / "ca/ca.pem")
    run(merlon, "pki", "issue", "--ca", where / "ca", "--type", MERLON_KINDS[kind], "--dn", f"O=Merlon, CN={name}", "--san", name,
        "--key", made.key, "--out", made.certificate)
    return made


@functools.cache
def revoked_by_merlon(build, kind, name):
    """(credentials, CRL that names them)"""
    merlon = pathlib.Path(build) / "merlon"
    where = folder() / f"revoked-{kind}-{name}"
    made = Credentials(where / f"{name}.pem", where / f"{name}.key", where / "ca/ca.pem")
    run(merlon, "pki", "init", "--ca", where / "ca", "--type", MERLON_KINDS[kind], "--dn", f"O=Merlon revoked, CN=CA for {name}")
    run(merlon, "pki", "issue", "--ca", where / "ca", "--type", MERLON_KINDS[kind], "--san", name, "--key", made.key, "--out", made.certificate)
    run(merlon, "pki", "revoke", "--ca", where / "ca", "--certificate", made.certificate, "--reason", "keyCompromise")
    run(merlon, "pki", "crl", "--ca", where / "ca", "--out", where / "crl.pem")
    return made, where / "crl.pem"


def _pki(*args):
    return run("pki", *args, "--outform", "pem").stdout


def _key(path, kind):
    name, size = PKI_KINDS[kind]
    path.write_text(_pki("--gen", "--type", name, *(["--size", size] if size else [])))
    path.chmod(0o600)
    return path


@functools.cache
def by_strongswan(kind, name, intermediates=0, not_after=None):
    """The same from strongSwan's tool; not_after "31.12.20 00:00:00" for an expired one."""
    where = folder() / f"strongswan-{kind}-{name}-{intermediates}-{(not_after or '')[:8]}"
    where.mkdir()
    issuer_key, issuer = _key(where / "ca.key", kind), where / "ca.pem"
    issuer.write_text(_pki("--self", "--ca", "--lifetime", 3650, "--in", issuer_key, "--type", "priv", "--dn", f"O=strongSwan {kind} {intermediates}, CN=CA for {name}"))
    authority, between = issuer, []
    for i in range(intermediates):
        key, certificate = _key(where / f"between-{i}.key", kind), where / f"between-{i}.pem"
        certificate.write_text(_pki("--issue", "--ca", "--lifetime", 3000, "--in", key, "--type", "priv", "--cacert", issuer, "--cakey", issuer_key,
                                    "--dn", f"O=strongSwan {kind}, OU={'a department with a long name ' * 8}, CN=intermediate {i} for {name}"))
        issuer_key, issuer = key, certificate
        between.insert(0, certificate)
    key, certificate = _key(where / f"{name}.key", kind), where / f"{name}.pem"
    age = ["--not-before", "01.01.20 00:00:00", "--not-after", not_after] if not_after else ["--lifetime", 300]
    certificate.write_text(_pki("--issue", *age, "--in", key, "--type", "priv", "--cacert", issuer, "--cakey", issuer_key, "--dn", f"O=strongSwan, CN={name}", "--san", name))
    return Credentials(certificate, key, authority, tuple(between))
