//! A disk with no room left.

use std::path::Path;
use std::process::Command;

use super::support::invariants::broken;
use super::support::{Ca, User, require, run, tell};

// On a disk of its own, in a namespace with which the mount goes: fills the
// disk but for $4 KiB, runs the command, makes room, runs another one.
const ON_A_DISK: &str = r#"
set -e
disk=$1 template=$2 result=$3 free=$4 mailca=$5
shift 5
mount -t tmpfs -o size=2m none "$disk"
cp -a "$template/." "$disk/"
room=$(df -k --output=avail "$disk" | tail -1)
head -c $(((room - free) * 1024)) /dev/zero >"$disk/filler"
cd "$disk"
code=0
"$mailca" --ca "$disk/CA" --yes "$@" 2>"$result/stderr" || code=$?
echo $code >"$result/code"
rm "$disk/filler"
"$mailca" --ca "$disk/CA" --yes issue after.example.com
cp -a "$disk/." "$result/"
"#;

// Where nothing may be mounted, a limit on the size of each file stands for it.
const WITH_A_LIMIT: &str = r#"
set -e
disk=$1 template=$2 result=$3 free=$4 mailca=$5
shift 5
cp -a "$template/." "$disk/"
cd "$disk"
code=0
(
	trap '' XFSZ
	ulimit -f $((free / 4))
	exec "$mailca" --ca "$disk/CA" --yes "$@" 2>"$result/stderr"
) || code=$?
echo $code >"$result/code"
"$mailca" --ca "$disk/CA" --yes issue after.example.com
cp -a "$disk/." "$result/"
"#;

/// How a script may mount: the words before it.
fn namespace() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-r", "-m"]];
    ways.into_iter().find(|way| {
        let mut probe = Command::new(way[0]);
        probe
            .args(&way[1..])
            .args(["sh", "-c", "mount -t tmpfs none /mnt"]);
        run(&mut probe).code() == 0
    })
}

#[test]
fn a_full_disk_loses_nothing_and_the_next_command_works() {
    if !require(&["unshare"]) {
        return;
    }
    let template = Ca::new();
    template.ok(&["issue", "mail.example.com", "--yes"]);
    template.ok(&["req", "next.example.com"]);
    let way = namespace();
    let (script, words) = match way {
        Some(words) => (ON_A_DISK, words),
        None => (WITH_A_LIMIT, &["env"][..]),
    };
    let mut failed = 0;
    let commands: [&[&str]; 2] = [&["issue", "new.example.com"], &["sign", "--out", "new.pem"]];
    for command in commands {
        for free in (0..=48).step_by(4) {
            let result = Ca::unmade(User::me());
            let disk = Ca::unmade(User::me());
            let mut line = Command::new(words[0]);
            line.args(&words[1..]).args(["sh", "-c", script, "sh"]);
            line.args([disk.dir.path(), template.dir.path(), result.dir.path()]);
            line.args([&free.to_string(), env!("CARGO_BIN_EXE_mailca")]);
            let ran = run(line.args(command)).exits(0);
            let code = result.dir.read("code").trim().to_owned();
            let stderr = result.dir.read("stderr");
            let issued = result.rows().len() - 2;
            match code.as_str() {
                "0" => assert_eq!(issued, 1, "{free} KiB: {ran}"),
                "1" => assert_eq!(issued, 0, "{free} KiB: {stderr}"),
                "3" => assert_eq!(issued, 1, "{free} KiB: {stderr}"),
                _ => panic!("{free} KiB: exit status {code}: {stderr}"),
            }
            if code != "0" {
                failed += 1;
                let place = disk.dir.path().display().to_string();
                assert!(stderr.contains(&place), "no file is named: {stderr}");
            }
            let problems = broken(Path::new(&result.file("")));
            assert!(
                problems.is_empty(),
                "{command:?} with {free} KiB: {problems:?}\n{stderr}"
            );
        }
    }
    assert!(failed > 4, "only {failed} commands ran out of room");
    let means = way.map_or("a limit on files", |_| "a full tmpfs");
    tell(&format!("{failed} commands ran out of room, by {means}"));
}
