//! The honest beside the hostile: one writer that keeps its connection and one reader
//! that opens one for each request, on threads of their own. Their latency is what a
//! hostile peer may not touch.

use anyhow::{Context as _, bail};
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Longest wait for one answer; past it the request has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two requests of one honest client.
const PAUSE: Duration = Duration::from_millis(10);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if the status says success.
    pub(super) fn json(self) -> anyhow::Result<serde_json::Value> {
        let text = String::from_utf8_lossy(&self.body);
        if !(200..300).contains(&self.status) {
            bail!("the server answered {}: {text:.500}", self.status);
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// A blocking client of one server with one token.
pub(super) struct Client {
    address: SocketAddr,
    token: String,
    connection: Option<BufReader<TcpStream>>,
    /// How often a kept connection was found closed.
    lost: usize,
}

impl Client {
    pub(super) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned(), connection: None, lost: 0 }
    }

    /// Forgets the connection: the next request opens one.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// One request. A connection that the server closed while it was idle is replaced
    /// once, as every client does: a failure is one that its user would see.
    pub(super) fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Answer> {
        let kept = self.connection.is_some();
        match self.attempt(method, path, body) {
            Err(_) if kept => {
                self.lost += 1;
                self.attempt(method, path, body)
            }
            answered => answered,
        }
    }

    fn attempt(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().context("could not connect")?,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        );
        connection.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let (answer, keep) = read_answer(&mut connection).map_err(in_words)?;
        self.connection = keep.then_some(connection);
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    }
}

/// A time-out, which the system tells as "temporarily unavailable".
fn in_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::WouldBlock) => error.context("no answer within 30 s"),
        _ => error,
    }
}

/// Reads one answer; whether the connection may be used again.
fn read_answer(from: &mut BufReader<TcpStream>) -> anyhow::Result<(Answer, bool)> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no status line, but {line:?}"))?;
    let (mut length, mut keep) = (None, true);
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<usize>().ok(),
            "connection" => keep = !value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = vec![0; length.context("an answer without Content-Length")?];
    from.read_exact(&mut body)?;
    Ok((Answer { status, body }, keep))
}

/// What an honest client met.
#[derive(Default)]
pub(super) struct Met {
    /// How long each request took that was answered as it should be.
    pub(super) took: Vec<Duration>,
    /// What went wrong, in words.
    pub(super) errors: Vec<String>,
    /// How often its connection was closed between two requests; it opened another.
    pub(super) lost: usize,
}

impl Met {
    /// The latency that `share` of all requests did not exceed; zero without any.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
    }

    fn note(&mut self, started: Instant, what: &str, answer: anyhow::Result<Answer>) {
        match answer.and_then(Answer::json) {
            Ok(_) => self.took.push(started.elapsed()),
            Err(error) => self.errors.push(format!("{what}: {error:#}")),
        }
        std::thread::sleep(PAUSE);
    }
}

/// An event. `number` makes it another one, `padding` bytes make it large.
pub(super) fn event(number: usize, padding: usize) -> String {
    format!(
        r#"{{"time":"2026-03-02T09:00:00Z","action":"customer.viewed","actor":{{"type":"user","id":"u-ada"}},"targets":[{{"type":"customer","id":"customer-{number}"}}],"outcome":{{"result":"success"}},"metadata":{{"padding":"{}"}}}}"#,
        "x".repeat(padding)
    )
}

/// Appends one event after the other.
pub(super) fn write(mut client: Client, log: &str, until: Instant) -> Met {
    let mut met = Met::default();
    for number in 0.. {
        let started = Instant::now();
        if started >= until {
            break;
        }
        let path = format!("/v1/logs/{log}/events");
        met.note(started, "append", client.request("POST", &path, &event(number, 170)));
    }
    met.lost = client.lost;
    met
}

/// Searches and reads one event in turn, each on a connection of its own.
pub(super) fn read(mut client: Client, log: &str, until: Instant) -> Met {
    let mut met = Met::default();
    for number in 0.. {
        let started = Instant::now();
        if started >= until {
            break;
        }
        let (what, path) = if number % 2 == 0 {
            let q = "action:customer.viewed%20actor:u-ada";
            ("search", format!("/v1/logs/{log}/events?order=desc&limit=10&q={q}"))
        } else {
            ("get", format!("/v1/logs/{log}/events/{}", number % 10))
        };
        client.hang_up();
        met.note(started, what, client.request("GET", &path, ""));
    }
    met
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers each connection's requests with what is given for it, then closes it.
    fn server(connections: Vec<Vec<&'static str>>) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for answers in connections {
                let (stream, _) = listener.accept()?;
                let mut stream = BufReader::new(stream);
                for answer in answers {
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        stream.read_line(&mut line)?;
                    }
                    stream.get_mut().write_all(answer.as_bytes())?;
                }
            }
            Ok::<_, io::Error>(())
        });
        Ok(address)
    }

    #[test]
    fn a_connection_closed_while_idle_is_replaced_and_counted() -> anyhow::Result<()> {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let mut client = Client::new(server(vec![vec![good], vec![good]])?, "secret");
        for lost in 0..2 {
            assert_eq!(client.request("GET", "/", "")?.body, b"{}");
            assert_eq!(client.lost, lost);
        }
        Ok(())
    }

    #[test]
    fn refusals_and_cut_answers_are_failures() -> anyhow::Result<()> {
        let full = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}";
        let mut client = Client::new(server(vec![vec![full], vec![cut], vec![]])?, "secret");
        let mut met = Met::default();
        met.note(Instant::now(), "get", client.request("GET", "/", ""));
        met.note(Instant::now(), "get", client.request("GET", "/", ""));
        met.note(Instant::now(), "get", client.request("GET", "/", ""));
        assert_eq!(met.took.len(), 0);
        assert_eq!(met.errors.len(), 3);
        assert_eq!(met.errors[0], "get: the server answered 503: busy");
        Ok(())
    }
}
