//! The support holds what it promises.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use time::macros::datetime;

use super::run::find;
use super::user::inherited;
use super::{BASE_MC, Clock, Sendmail, Smtp, TestDir, User};
use super::{mailca, openssl, require, run, run_with, users};

#[test]
fn a_program_gets_its_input_and_gives_its_output_and_status() {
    let script = "cat; echo oops >&2; exit 3";
    let ran = run_with(Command::new("sh").args(["-c", script]), "hello").exits(3);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("hello", "oops\n"));
    run(Command::new("sh").args(["-c", "kill -9 $$"])).exits(128 + 9);
}

#[test]
fn openssl_gives_its_output() {
    assert!(!require(&["openssl"]) || openssl(&["version"]).contains("SSL"));
}

#[test]
#[should_panic(expected = "expected exit status 0")]
fn openssl_panics_when_it_fails() {
    openssl(&["bogus"]);
}

#[test]
fn everyone_works_in_a_directory_of_their_own_which_goes_away() {
    for user in users() {
        let dir = TestDir::of(user);
        let id = run(dir.command("sh").args(["-c", "id -u; touch mine"])).exits(0);
        assert_eq!(id.stdout.trim(), user.uid.to_string());
        let meta = fs::metadata(dir.path().join("mine")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (user.uid, user.gid));
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
    }
}

#[test]
fn everyone_can_run_mailca() {
    run(mailca().arg("--help")).exits(0);
    for user in users() {
        run(&mut TestDir::of(user).mailca(&["--help"])).exits(0);
    }
}

#[test]
fn a_program_in_a_private_folder_runs_as_anyone() {
    let dir = TestDir::new();
    let program = dir.path().join("true");
    // Not fs::copy: a file open for writing here would be so in whatever
    // another test starts meanwhile, and could not be run.
    run(Command::new("cp").arg(find("true").unwrap()).arg(&program)).exits(0);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let (path, _open) = inherited(&program);
    run(User::ordinary().command(path).current_dir("/")).exits(0);
}

#[test]
fn programs_and_what_they_start_run_at_another_time() {
    if !require(&["cc"]) {
        return;
    }
    let clock = Clock::new();
    for user in users() {
        let dir = TestDir::of(user);
        let mut command = dir.command("sh");
        command.args(["-c", "date -u +%F; sh -c 'date -u +%F'"]);
        clock.set(&mut command, datetime!(2051-02-03 12:00 UTC));
        let ran = run(&mut command).exits(0);
        assert_eq!(ran.stdout, "2051-02-03\n2051-02-03\n", "{ran}");
        let init = ["init", "CA", "--subject=/CN=CA", "--no-passphrase"];
        let mut command = dir.mailca(&[&init[..], &["--days=1"]].concat());
        clock.set(&mut command, datetime!(2051-02-03 12:00 UTC));
        let ran = run(&mut command).exits(0);
        assert!(ran.stdout.contains("valid until 2051-02-04"), "{ran}");
    }
}

#[test]
fn sendmail_runs_at_another_time_and_so_do_its_children() {
    if !require(&["sendmail", "m4", "cc"]) {
        return;
    }
    for user in users() {
        let mut sendmail = Sendmail::start_at(user, BASE_MC, datetime!(2051-02-03 12:00 UTC));
        let dates_of_mails = |sendmail: &Sendmail| {
            let mut smtp = Smtp::connect(sendmail.port).unwrap();
            for line in ["EHLO a.test", "MAIL FROM:<a@localhost>", "RCPT TO:<root>"] {
                smtp.say(line).unwrap();
            }
            smtp.say("DATA").unwrap();
            smtp.say("Subject: test\r\n\r\n.").unwrap();
            let queue = sendmail.queue();
            let date = |mail: &String| mail.contains("Date: Fri, 3 Feb 2051 12:");
            (queue.iter().filter(|mail| date(mail)).count(), queue.len())
        };
        assert_eq!(dates_of_mails(&sendmail), (1, 1), "{:?}", sendmail.queue());
        sendmail.reload();
        assert_eq!(dates_of_mails(&sendmail), (2, 2), "{:?}", sendmail.queue());
        sendmail.restart_at(datetime!(2061-02-03 12:00 UTC));
        assert_eq!(dates_of_mails(&sendmail), (2, 3), "{:?}", sendmail.queue());
    }
}
