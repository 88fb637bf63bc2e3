"""The Debian package: what is in it, what dpkg, man and systemd say of it, and that the daemon in it runs."""
from common import expect, toml_a, toml_b
from lab import Merlon, Offices, run
from runner import test

FILES = ("/usr/sbin/merlond", "/usr/bin/merlon", "/lib/systemd/system/merlond.service", "/etc/merlon/merlon.toml", "/etc/merlon/conf.d/",
         "/usr/share/man/man1/merlon.1", "/usr/share/man/man5/merlon.toml.5", "/usr/share/man/man8/merlond.8",
         "/usr/share/bash-completion/completions/merlon", "/usr/share/zsh/vendor-completions/_merlon", "/usr/share/fish/vendor_completions.d/merlon.fish")


def make_package(lab):
    """Returns the .deb's path and the folder where it stands unpacked."""
    run("cpack", "-G", "DEB", "-B", lab.directory / "package", cwd=lab.build, timeout=300)
    package = next((lab.directory / "package").glob("merlon_*.deb"))
    root = lab.directory / "root"
    run("dpkg-deb", "-x", package, root)
    return package, root


@test
def the_package_is_whole(lab):
    package, root = make_package(lab)
    control = run("dpkg-deb", "--info", package).stdout
    expect("Package: merlon" in control and "libssl3" in control, f"the package should name itself and what it depends on: {control}")
    contents = run("dpkg-deb", "--contents", package).stdout
    missing = [name for name in FILES if f" .{name}" not in contents]
    expect(not missing, f"missing from the package: {missing}")
    for page in ("man1/merlon.1", "man5/merlon.toml.5", "man8/merlond.8"):
        rendered = run("man", "--warnings", "-l", root / "usr/share/man" / page)
        expect(not rendered.stderr and len(rendered.stdout.splitlines()) > 30, f"{page} does not render cleanly: {rendered.stderr}")
    run("bash", "-n", root / "usr/share/bash-completion/completions/merlon")
    # merlond must exist where the unit says; systemd reads the unit itself.
    unit = root / "lib/systemd/system/merlond.service"
    unit.write_text(unit.read_text().replace("/usr/sbin/merlond", str(root / "usr/sbin/merlond")))
    verdict = run("systemd-analyze", "verify", "--man=no", unit, check=False)
    expect(verdict.returncode == 0 and "merlond.service" not in verdict.stderr, f"systemd complains of the unit: {verdict.stderr}")


@test
def the_packaged_daemon_joins_two_networks(lab):
    _, root = make_package(lab)
    (lab.directory / "bin").mkdir()
    for name, where in (("merlond", "usr/sbin"), ("merlon", "usr/bin")):
        (lab.directory / "bin" / name).symlink_to(root / where / name)
    shipped = root / "etc/merlon/merlon.toml"
    run(root / "usr/bin/merlon", "check-config", shipped)  # what is shipped must be a configuration that starts
    net = Offices(lab)
    b = Merlon(net.gw_b, toml_b(), build=lab.directory / "bin").start()
    a = Merlon(net.gw_a, toml_a(), build=lab.directory / "bin").start()
    a.wait_up("b")
    net.host_a.ping(net.HOST_B4)
    a.check_clean_end()
    b.check_clean_end()
