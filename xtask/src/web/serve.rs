//! A server for the folder, on this machine alone.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response, Server};

/// Ports tried after the one that was asked for.
const PORTS: u16 = 20;
const TYPES: [(&str, &str); 8] = [
    ("bin", "application/octet-stream"),
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("wasm", "application/wasm"),
];

/// Serves until the program is stopped.
pub(super) fn forever(folder: &Path, port: u16) -> Result<()> {
    let server = (port..=port.saturating_add(PORTS))
        .find_map(|port| Server::http(("127.0.0.1", port)).ok())
        .ok_or_else(|| anyhow!("no port from {port} on is free; name another with --port"))?;
    eprintln!("http://{}", server.server_addr());
    for request in server.incoming_requests() {
        // A visitor who went away is no reason to stop.
        let _ = answer(folder, request);
    }
    Ok(())
}

fn answer(folder: &Path, request: Request) -> std::io::Result<()> {
    let file = matches!(request.method(), Method::Get | Method::Head)
        .then(|| find(folder, request.url()))
        .flatten()
        .and_then(|path| Some((File::open(&path).ok()?, kind(&path))));
    match file {
        Some((file, kind)) => request.respond(Response::from_file(file).with_header(header("Content-Type", kind))),
        None => request.respond(Response::from_string("not found").with_status_code(404)),
    }
}

/// The file that a URL names; nothing outside the folder.
fn find(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.trim_start_matches('/');
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return None;
    }
    Some(folder.join(path)).filter(|path| path.is_file())
}

fn kind(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, kind)| kind)
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("both are plain ASCII")
}
