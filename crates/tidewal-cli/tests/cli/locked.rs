//! Logs that another process has open.

use std::io::{BufRead, BufReader, Write};

use crate::helpers::{Log, command, start, tidewal};

#[test]
fn while_somebody_appends_only_inspect_looks_and_says_who() {
    let log = Log::make();
    let mut writer = start(&["append", log.path()]);
    let mut stdin = writer.stdin.take().unwrap();
    let mut stdout = BufReader::new(writer.stdout.take().unwrap());
    writeln!(stdin, "more").unwrap();
    stdout.read_line(&mut String::new()).unwrap();

    let json = tidewal(&["inspect", log.path(), "--json"]).json();
    assert_eq!(
        (&json["in_use"], &json["sound"]),
        (&true.into(), &serde_json::Value::Null)
    );
    assert!(json["ending"].is_null());
    assert_eq!(json["read"], "headers");
    if cfg!(target_os = "linux") {
        assert_eq!(json["lock_owners"][0]["pid"], writer.id());
        assert_eq!(json["lock_owners"][0]["name"], "tidewal");
        assert_eq!(json["lock_owners"][0]["access"], "appending");
    }
    for command in ["verify", "dump", "repair", "append"] {
        tidewal(&[command, log.path()]).assert_failed(2, "in use");
    }
    let ran = tidewal(&["repair", log.path(), "--yes"]);
    ran.assert_failed(2, "in use");
    if cfg!(target_os = "linux") {
        let holder = format!("appending by process {} (tidewal)", writer.id());
        assert!(ran.stderr.contains(&holder), "{}", ran.stderr);
    }

    let waiting = command(&["dump", log.path(), "--wait", "--from", "901"])
        .spawn()
        .unwrap();
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "901\tmore\n");
}

#[test]
fn readers_do_not_disturb_each_other() {
    let log = Log::make();
    let reader = crate::helpers::wait_for(Log::options().read(&log.dir)).unwrap();
    tidewal(&["verify", log.path()]).assert_ok();
    tidewal(&["dump", log.path()]).assert_ok();
    log.damage(0, 4096 + 25);
    tidewal(&["repair", log.path(), "--yes"]).assert_failed(2, "in use");
    drop(reader);
}
