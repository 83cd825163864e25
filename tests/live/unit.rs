//! The systemd unit: a service manager of the test's own runs it, with everything it forbids.
//!
//! Knows: systemd, namespaces, the command line. Must never know: what the unit allows, and why.
//! Keeps: the unit is the one in `deploy/`, unchanged; the machine's own services, files and mounts are
//! not touched.

use crate::support::{Scratch, act, brick, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian keeps the service manager.
const MANAGER: &str = "/lib/systemd/systemd";

/// What the manager does first. Directories that it writes to are covered by layers in memory.
const INSIDE: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for dir in etc opt var/lib usr/local; do
    mkdir -p /run/layers/$dir/upper /run/layers/$dir/work
    mount -t overlay -o lowerdir=/$dir,upperdir=/run/layers/$dir/upper,workdir=/run/layers/$dir/work none /$dir
done
mkdir -p /etc/foundry /opt/foundry-test/tool /etc/systemd/system/foundry.service.d /usr/local/bin
cp "$PROGRAM" /usr/local/bin/foundry-user
cp "$UNIT" /etc/systemd/system/foundry.service
cp "$OWN/watched" /opt/foundry-test/tool/there-before
printf 'watch = ["/opt/foundry-test"]\nno-listen = true\n' > /etc/foundry/foundry.toml
# Nothing but this is started, and what it says is kept.
printf '[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=file:%s/daemon\n' "$OWN" \
    > /etc/systemd/system/foundry.service.d/test.conf
cat > /etc/systemd/system/test.service <<END
[Unit]
DefaultDependencies=no
Wants=foundry.service
After=foundry.service
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=OWN=$OWN
ExecStart=/bin/sh $OWN/used
StandardOutput=file:$OWN/said
StandardError=inherit
END
exec env -i container=test PATH="$PATH" /lib/systemd/systemd --system --unit=test.service \
    --log-target=console --show-status=no
"#;

/// What whoever uses the service does. It ends as it began: with bricks that are what the disk is.
const USED: &str = r#"
set -ex
foundry-user sync
foundry-user inspect /opt/foundry-test/tool/there-before --json > $OWN/before
dd if=/dev/zero of=/opt/foundry-test/tool/there-before bs=1 count=3 seek=70000 conv=notrunc
mkdir -p /opt/foundry-test/deep/er
cp /opt/foundry-test/tool/there-before /opt/foundry-test/deep/er/copy
foundry-user sync
foundry-user verify --all
foundry-user status --json > $OWN/status
foundry-user inspect /opt/foundry-test/deep/er/copy --json > $OWN/copy
cp /opt/foundry-test/deep/er/copy $OWN/copied
sed -i "1i log = \"debug\"" /etc/foundry/foundry.toml
systemctl reload foundry
systemctl restart foundry
foundry-user sync
foundry-user verify --all
systemctl stop foundry
test "$(systemctl show -P Result foundry)" = success
"#;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/foundry.service")
}

/// The service works with what the unit leaves it.
#[test]
fn the_unit_runs_under_systemd() {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        println!("not asked for: FOUNDRY_LIVE is not set");
        return;
    }
    if !Path::new(MANAGER).exists() {
        return skip("the unit: there is no systemd here (as root: apt-get install systemd)");
    }
    let scratch = Scratch::new();
    let own = scratch.tree();
    act::write(&own.join("watched"), &[7; 200_000]).unwrap();
    act::write(&own.join("used"), USED.as_bytes()).unwrap();
    let ended = Command::new("timeout")
        .args(["--kill-after=5", "300", "unshare", "--fork", "--pid", "--mount", "--uts", "--ipc"])
        .args(["--cgroup", "--kill-child", "--mount-proc", "sh", "-c", INSIDE])
        .env("PROGRAM", crate::support::program::path())
        .env("UNIT", unit())
        .env("OWN", &own)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let kept = |name: &str| fs::read_to_string(own.join(name)).unwrap_or_default();
    let all = || {
        let manager = String::from_utf8_lossy(&ended.stderr).into_owned();
        format!("{}\nthe daemon: {}\nthe manager: {manager}", kept("said"), kept("daemon"))
    };
    assert!(ended.status.success(), "{}: {}", ended.status, all());
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_str(&kept(name))
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", all()))
    };
    assert_eq!(json("before")["blake3"], blake3::hash(&[7; 200_000]).to_hex().to_string());
    assert_eq!(json("copy")["blake3"], brick::b3sum(&own.join("copied")));
    assert_eq!(json("status")["unreadable"], 0, "{}", all());
}

/// What the unit says of itself is what systemd says of it.
#[test]
fn the_unit_is_rated_as_it_says() {
    let Ok(rated) =
        Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(unit()).output()
    else {
        return skip(
            "rating the unit: there is no systemd here (as root: apt-get install systemd)",
        );
    };
    let rated = String::from_utf8_lossy(&rated.stdout).into_owned();
    let found = rated.split("foundry.service: ").nth(1).and_then(|rest| rest.split(' ').next());
    let text = fs::read_to_string(unit()).unwrap();
    let said = text.split("rates it ").nth(1).and_then(|rest| rest.split(". ").next());
    assert!(said.is_some());
    assert_eq!(found, said, "{rated}");
}
