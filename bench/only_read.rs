//! The pages of a set over HTTP, and nothing made of them: what asking and reading costs anybody.
//!
//! One connection, one request after the other, by the calls of the system and
//! no more of HTTP than the benchmark's server needs.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::work::{Outcome, next};

/// Reads the list of a set to its end. `server` is a host and a port.
pub(crate) fn all(server: &str, set: &str) -> Outcome<()> {
    let (path, send, size) = match set {
        "users" => ("users", "after", 100),
        "usage" => ("usage/completions", "page", 31),
        _ => ("audit_logs", "after", 100),
    };
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let (mut token, mut buffer) = (String::new(), vec![0; 1 << 20]);
    loop {
        let target = format!("/v1/organization/{path}?limit={size}{token}");
        let request = format!("GET {target} HTTP/1.1\r\nhost: {server}\r\naccept: application/json\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let page = body(&mut stream, &mut buffer)?;
        match next(&page) {
            Some(next) => token = format!("&{send}={next}"),
            None => return Ok(()),
        }
    }
}

fn body(stream: &mut TcpStream, buffer: &mut [u8]) -> Outcome<String> {
    let mut filled = 0;
    let start = loop {
        let read = stream.read(&mut buffer[filled..])?;
        filled += read;
        if let Some(at) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if read == 0 {
            return Err("the answer has no end of its head".into());
        }
    };
    let head = std::str::from_utf8(&buffer[..start])?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?.parse()?;
    let mut body = Vec::with_capacity(length);
    body.extend_from_slice(&buffer[start..filled]);
    stream.take((length - body.len()) as u64).read_to_end(&mut body)?;
    Ok(String::from_utf8(body)?)
}
