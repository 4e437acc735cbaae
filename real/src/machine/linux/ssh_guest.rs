//! A guest with the soft NIC and an ssh server on loopback: a hardware rig without hardware.

use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::apt::Index;
use super::cache::Cache;
use super::debian_kernel::{self, SUITES};
use super::guest_channel::{GuestChannel, INPUT};
use super::guest_root::GuestRoot;
use super::process::{KillOnDrop, POLL_INTERVAL, interrupted, output};
use super::qemu::Qemu;
use super::{busybox, initramfs};
use crate::guest::shell::{BUSYBOX, SCRIPT};
use crate::machine::{Failure, Series};

/// The suite of the ssh server, and its packages.
const SUITE: &str = "trixie";
const PACKAGES: [&str; 8] = [
    "dropbear-bin",
    "libtomcrypt1",
    "libtommath1",
    "libcrypt1",
    "libgmp10",
    "zlib1g",
    "libc6",
    "libgcc-s1",
];
/// The modules of the network card, in the order of their loading.
const MODULES: [&str; 3] =
    ["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"];
/// What the guest runs: an ssh server.
const SERVE: &str = "\
for module in failover net_failover virtio_net; do insmod /modules/$module.ko || exit 1; done
ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up || exit 1
mkdir -p /run /var/tmp /root
dropbearkey -t ed25519 -f /etc/hostkey > /dev/null 2>&1 || exit 1
exec dropbear -F -E -s -r /etc/hostkey -p 22
";
/// The rig file of the guest.
const RIG: &str = "\
[machine]
host = \"ifq-guest\"
ssh = [\"-F\", \"@FOLDER@/ssh_config\"]

[nic]
interface = \"sn0\"
queues = [2, 3]
address = \"198.51.100.1/24\"

[peer]
interface = \"sn1\"
address = \"198.51.100.2\"

[limits]
silence_seconds = 20
reconnect_seconds = 120

[reboot]
command = \"touch @FOLDER@/reboot\"
log = \"tail -c 40000 @FOLDER@/console\"
";

/// Boots a guest whose ssh server listens at a port of loopback, again and again, until the user interrupts.
/// Writes its rig file, the configuration of ssh, a key and the console into `folder`. If a file `reboot` appears
/// there, the guest is killed.
///
/// # Errors
///
/// [`Failure`]: it cannot be booted.
pub fn ssh_guest(ifq: &Path, series: Series, folder: &Path, port: u16) -> Result<(), Failure> {
    interrupted();
    let folder = fs::canonicalize(folder)
        .map_err(|error| Failure::NotRun(format!("{}: {error}", folder.display())))?;
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let root = files(ifq, &cache, series, &folder).map_err(Failure::NotRun)?;
    let qemu = Qemu::debian(ifq, series, 1)?.with_nic();
    let mut root = root;
    qemu.add_files(&mut root)?;
    write_configuration(&folder, port).map_err(Failure::NotRun)?;
    outln!("the rig file is {}", folder.join("rig.toml").display());
    loop {
        let channel = GuestChannel::new(|file| {
            initramfs::write(BufWriter::new(file), &root).map_err(|error| error.to_string())
        })
        .map_err(Failure::NotRun)?;
        let mut command = qemu.networked(INPUT, &folder.join("console"), port)?;
        channel.connect(&mut command).map_err(Failure::NotRun)?;
        command.stdout(Stdio::null());
        let mut child = KillOnDrop::start(command).map_err(Failure::NotRun)?;
        let reboot = folder.join("reboot");
        while child.exit_status().is_none() && fs::remove_file(&reboot).is_err() {
            if interrupted() {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        drop(child);
        outln!("the guest has ended; it is booted again");
    }
}

fn context(what: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", what.display())
}

/// The files of the guest.
fn files(ifq: &Path, cache: &Cache, series: Series, folder: &Path) -> Result<GuestRoot, String> {
    let mut root = GuestRoot::of(ifq)?;
    let server = cache.get(&format!("ssh-server-{SUITE}"), fetch_server)?;
    add_folder(&mut root, &server, &server)?;
    root.add(BUSYBOX, busybox::get(cache)?);
    root.add(SCRIPT, SERVE.as_bytes().to_vec());
    let image = debian_kernel::get(cache, series, false)?;
    let release = image.release()?.to_owned();
    let modules =
        cache.get(&format!("virtio-net-{release}"), |work| fetch_modules(work, &release))?;
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        let file = modules.join(name);
        let bytes = fs::read(&file).map_err(|error| context(&file, &error))?;
        root.add(format!("/modules/{name}"), bytes);
    }
    root.add("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n".to_vec());
    root.add("/etc/shells", b"/bin/sh\n".to_vec());
    root.add("/root/.ssh/authorized_keys", public_key(folder)?);
    Ok(root)
}

/// The key that the guest accepts, made if it is not there.
fn public_key(folder: &Path) -> Result<Vec<u8>, String> {
    let key = folder.join("key");
    if !key.exists() {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "ifq", "-f"]).arg(&key);
        output(command)?;
    }
    let public = folder.join("key.pub");
    fs::read(&public).map_err(|error| context(&public, &error))
}

fn write_configuration(folder: &Path, port: u16) -> Result<(), String> {
    let shown = folder.display().to_string();
    let config = format!(
        "Host ifq-guest\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {shown}/key\n  \
         IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    );
    for (name, text) in [("ssh_config", config), ("rig.toml", RIG.replace("@FOLDER@", &shown))] {
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| context(&file, &error))?;
    }
    Ok(())
}

fn fetch_server(work: &Path) -> Result<PathBuf, String> {
    errln!("ifq: fetching an ssh server of {SUITE} with apt, once");
    let index = Index::fetch(&work.join("apt"), &[SUITE])?;
    let root = index.unpack(&PACKAGES)?;
    let made = work.join("made");
    for part in ["usr/lib/x86_64-linux-gnu", "usr/sbin", "usr/bin", "usr/lib64"] {
        let from = root.join(part);
        let to = made.join(part);
        fs::create_dir_all(&to).map_err(|error| context(&to, &error))?;
        for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
            // Only programs and libraries; a link becomes its file.
            if entry.path().is_file() {
                let file = to.join(entry.file_name());
                fs::copy(entry.path(), &file).map_err(|error| context(&file, &error))?;
            }
        }
    }
    Ok(made)
}

fn fetch_modules(work: &Path, release: &str) -> Result<PathBuf, String> {
    errln!("ifq: fetching the modules of {release} with apt, once");
    let index = Index::fetch(&work.join("apt"), &SUITES)?;
    let root = index.unpack(&[&format!("linux-modules-{release}")])?;
    let made = work.join("made");
    fs::create_dir(&made).map_err(|error| context(&made, &error))?;
    for module in MODULES {
        let packed = root.join(format!("usr/lib/modules/{release}/kernel/{module}.xz"));
        let mut command = Command::new("xz");
        command.args(["-dc"]).arg(&packed);
        let name = made.join(module.rsplit('/').next().unwrap_or(module));
        fs::write(&name, output(command)?.stdout).map_err(|error| context(&name, &error))?;
    }
    Ok(made)
}

/// Adds a folder; libraries also where the loader of another C library looks for them.
fn add_folder(root: &mut GuestRoot, base: &Path, folder: &Path) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|error| context(folder, &error))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            add_folder(root, base, &path)?;
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| context(&path, &error))?;
        let inside = path.strip_prefix(base).unwrap_or(&path);
        // `/usr/lib` is also `/lib`, and `/usr/sbin` also `/sbin`.
        if let Ok(short) = inside.strip_prefix("usr") {
            let short = Path::new("/").join(short);
            if short.starts_with("/lib") || short.starts_with("/lib64") {
                root.add(&short, bytes.clone());
            } else {
                root.add(
                    Path::new("/bin").join(path.file_name().unwrap_or_default()),
                    bytes.clone(),
                );
            }
        }
        if let Some(name) = path.file_name()
            && name.to_string_lossy().starts_with("ld-linux")
        {
            root.add(Path::new("/lib64").join(name), bytes);
        }
    }
    Ok(())
}
