//! An archive on a server, and servers that do not answer or refuse.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use crate::helpers::{Log, Ran, command, missing, tidewal, wait_for};
use crate::server::{BUCKET, Server};

#[test]
fn a_store_that_does_not_answer_is_given_up_if_that_is_asked_for() {
    let log = Log::make();
    let ran = command(&["archive", "ship", log.path(), "s3://bucket/log"])
        .args(["--give-up-after", "50ms"])
        .envs(server_environment("http://127.0.0.1:9"))
        .output()
        .unwrap();
    Ran::from(ran).assert_failed(2, "not everything is in the archive");
    tidewal(&["verify", log.path()]).assert_ok();
}

/// A retry cannot help if a permission is missing: the command says so and ends.
#[test]
fn regression_a_server_that_forbids_everything_ends_the_command() {
    let (log, server) = (Log::make(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        server
            .incoming()
            .for_each(|client| forbid(&client.unwrap()));
    });
    let ran = command(&["archive", "ship", log.path(), "s3://bucket/log"])
        .envs(server_environment(&address))
        .output()
        .unwrap();
    let ran = Ran::from(ran);
    ran.assert_failed(2, "403");
    assert!(
        ran.stderr.contains("next: check that the credentials"),
        "{}",
        ran.stderr
    );
    tidewal(&["verify", log.path()]).assert_ok();
}

/// Answers one request of a client.
fn forbid(mut client: &TcpStream) {
    let mut lines = BufReader::new(client).lines();
    while lines
        .next()
        .is_some_and(|line| !line.unwrap_or_default().is_empty())
    {}
    let _ = client
        .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[test]
fn a_log_goes_to_a_server_and_comes_back() {
    let Some(server) = Server::start() else {
        return;
    };
    wait_for(server.make_bucket());
    let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
    let (url, copy) = (format!("s3://{BUCKET}/orders"), missing(root.path()));
    let run = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.envs(server_environment(&server.address));
        Ran::from(command.output().unwrap())
    };
    let ship = [
        "archive",
        "ship",
        log.path(),
        &url,
        "--give-up-after",
        "60s",
    ];
    run(&ship).assert_ok();
    run(&["archive", "verify", &url]).assert_ok();
    run(&["restore", &url, &copy]).assert_ok();
    let dumped = tidewal(&["dump", &copy, "--raw"]);
    assert_eq!(dumped.assert_ok().lines().len(), 900);
}

fn server_environment(address: &str) -> [(&'static str, &str); 5] {
    [
        ("AWS_ENDPOINT", address),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
}
