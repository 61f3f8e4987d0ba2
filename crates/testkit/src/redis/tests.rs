use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::*;

fn say(server: &Server, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[test]
fn a_killed_server_comes_back_on_its_port_with_its_data() {
    let mut server = Settings::default().append_only().start().unwrap();
    let port = server.port();
    assert_eq!(say(&server, "SET key value").unwrap(), "+OK\r\n");
    server.kill().unwrap();
    assert!(say(&server, "GET key").is_err());
    server.start_again().unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(say(&server, "GET key").unwrap(), "$5\r\nvalue\r\n");
}

#[test]
fn a_password_is_asked_for() {
    let server = Settings::default().password("secret").start().unwrap();
    assert!(say(&server, "PING").unwrap().starts_with("-NOAUTH"));
}

#[test]
fn a_paused_server_keeps_its_connections_and_answers_later() {
    let server = Server::start().unwrap();
    server.pause().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    assert!(stream.read_exact(&mut answer).is_err());
    server.resume().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_dropped_server_has_ended() {
    let server = Server::start().unwrap();
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_sentinel_knows_its_master() {
    let server = Server::start().unwrap();
    let sentinel = Sentinel::start(&server).unwrap();
    let port = sentinel.url().rsplit(':').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let question = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}\r\n", sentinel.master_name());
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.contains(&server.port().to_string()), "{answer}");
}
