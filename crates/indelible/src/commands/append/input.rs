//! Reading what is to be appended: in a thread of its own, since a read of a pipe ends
//! when it likes. What is compressed is inflated, and everything is taken apart into
//! events with their places. Little is held: what was read and not yet handed over.

use flate2::bufread::GzDecoder;
use indelible_api::MAX_BODY_BYTES;
use indelible_event::{
    EventError, Format, Item, Kind, Piece, Place, Places, Splitter, Utf16, events_of,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;

/// Bytes of one read.
const READ: usize = 64 << 10;
/// What is handed over at a time, in items and in bytes.
const GROUP: (usize, usize) = (1000, 1 << 20);
/// Groups that wait.
const GROUPS: usize = 4;
/// Characters shown of what is refused.
const START: usize = 80;

/// Where something stands.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) file: Arc<str>,
    pub(super) place: Place,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.file, self.place)
    }
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    Event {
        at: At,
        format: &'static dyn Format,
        data: String,
    },
    /// What is no event, with its first characters.
    Bad {
        at: At,
        code: &'static str,
        problem: String,
        start: String,
    },
    /// A document without events.
    Nothing {
        at: At,
        why: &'static str,
    },
    /// A file could not be read, or not to its end.
    Failed {
        at: At,
        problem: String,
    },
}

/// What the reader is at, for whoever wants to stop.
#[derive(Debug, Default)]
pub(super) struct State {
    /// No more is to be read.
    pub(super) stop: AtomicBool,
    /// Everything that was read is handed over, and more may come.
    pub(super) waits: AtomicBool,
    /// The part of an event that has no end yet, and its bytes.
    pub(super) part: Mutex<Option<(At, usize)>>,
}

/// Starts to read the files, one after the other.
pub(super) fn read(
    files: Vec<PathBuf>,
    forced: Option<&'static dyn Format>,
    read: impl Fn(u64) + Send + Sync + 'static,
) -> io::Result<(mpsc::Receiver<Vec<Found>>, Arc<State>)> {
    let (sender, receiver) = mpsc::channel(GROUPS);
    let state = Arc::new(State::default());
    let mut reader = Reader {
        sender,
        state: Arc::clone(&state),
        forced,
        group: Vec::new(),
        group_bytes: 0,
        read: Arc::new(read),
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        for path in files {
            if !reader.file(&path) {
                return;
            }
        }
    })?;
    Ok((receiver, state))
}

/// Whether a file can be opened, and is one.
pub(super) fn check(path: &Path) -> io::Result<()> {
    if path.as_os_str() != "-" && File::open(path)?.metadata()?.is_dir() {
        return Err(io::Error::other("it is a folder; name the files in it"));
    }
    Ok(())
}

struct Reader {
    sender: mpsc::Sender<Vec<Found>>,
    state: Arc<State>,
    forced: Option<&'static dyn Format>,
    group: Vec<Found>,
    group_bytes: usize,
    read: Arc<dyn Fn(u64) + Send + Sync>,
}

/// A file being read.
struct Current {
    name: Arc<str>,
    buffer: Vec<u8>,
    splitter: Splitter,
    places: Places,
}

impl Current {
    fn at(&self, offset: usize) -> At {
        At { file: Arc::clone(&self.name), place: self.places.of(&self.buffer, offset) }
    }
}

impl Reader {
    /// Reads a file; false when nobody wants more.
    fn file(&mut self, path: &Path) -> bool {
        let is_input = path.as_os_str() == "-";
        let name = if is_input { "standard input".into() } else { path.display().to_string() };
        let mut current = Current {
            name: name.into(),
            buffer: Vec::new(),
            splitter: Splitter::default(),
            places: Places::default(),
        };
        let source: io::Result<Box<dyn Read>> = match is_input {
            true => Ok(Box::new(io::stdin())),
            false => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
        };
        let source = source.map(|inner| Counted { inner, read: Arc::clone(&self.read) });
        let read = source.and_then(|source| opened(Box::new(source)));
        let result = read.and_then(|(source, decoder)| self.stream(source, decoder, &mut current));
        match result {
            Ok(goes_on) => goes_on,
            Err(error) => {
                // What was whole is taken; where it stops is told.
                self.split(&mut current, true);
                let at = current.at(current.buffer.len());
                self.push(Found::Failed { at, problem: error.to_string() }, 0);
                self.hand_over()
            }
        }
    }

    fn stream(
        &mut self,
        mut source: Box<dyn Read>,
        mut utf16: Option<Utf16>,
        current: &mut Current,
    ) -> io::Result<bool> {
        let mut part = vec![0; READ];
        loop {
            if !self.wait_for_more(current) {
                return Ok(false);
            }
            let read = match source.read(&mut part) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.state.waits.store(false, Ordering::SeqCst);
            let part = part.get(..read).unwrap_or_default();
            match &mut utf16 {
                None => current.buffer.extend_from_slice(part),
                Some(decoder) if read == 0 => decoder.end(&mut current.buffer),
                Some(decoder) => decoder.decode(part, &mut current.buffer),
            }
            if !self.split(current, read == 0) || (read == 0 && !self.hand_over()) {
                return Ok(false);
            }
            if read == 0 {
                *self.state.part.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Ok(true);
            }
        }
    }

    /// Hands over what there is and tells what is left; false when no more is wanted.
    fn wait_for_more(&mut self, current: &Current) -> bool {
        if !self.hand_over() {
            return false;
        }
        let rest = current.buffer.len();
        let part = (rest > 0).then(|| (current.at(0), rest));
        *self.state.part.lock().unwrap_or_else(PoisonError::into_inner) = part;
        self.state.waits.store(true, Ordering::SeqCst);
        !self.state.stop.load(Ordering::SeqCst)
    }

    /// Takes what is in the buffer apart; false when nobody wants it.
    fn split(&mut self, current: &mut Current, is_whole: bool) -> bool {
        while let Some(piece) = current.splitter.next(&current.buffer, is_whole) {
            match piece {
                Piece::Value { start, end } => {
                    current.places.pass(&current.buffer, start);
                    self.value(current, start, end);
                }
                Piece::Bad { start, at, problem } => {
                    current.places.pass(&current.buffer, start);
                    let start = beginning(current.buffer.get(start..).unwrap_or_default());
                    let problem = format!("not valid JSON: {problem}");
                    let found =
                        Found::Bad { at: current.at(at), code: "invalid_json", problem, start };
                    self.push(found, 0);
                }
            }
            let is_full = self.group.len() >= GROUP.0 || self.group_bytes >= GROUP.1;
            if is_full && !self.hand_over() {
                return false;
            }
        }
        let passed = current.splitter.kept_from().min(current.buffer.len());
        current.places.forget(&current.buffer, passed);
        current.splitter.forget(passed);
        current.buffer.drain(..passed);
        true
    }

    fn value(&mut self, current: &Current, start: usize, end: usize) {
        let value = current.buffer.get(start..end).unwrap_or_default();
        let mut found = Vec::new();
        let visited = events_of(value, start, self.forced, &mut |item| {
            found.push(match item {
                Item::Event { format, data, offset } => event(current, format, &data, offset),
                Item::Bad { start, at, error } => refused(current, start, at, &error),
                Item::Nothing { offset, why } => Found::Nothing { at: current.at(offset), why },
            });
            Ok::<(), std::convert::Infallible>(())
        });
        match visited {
            Ok(()) => found.into_iter().for_each(|found| {
                let bytes = if let Found::Event { data, .. } = &found { data.len() } else { 0 };
                self.push(found, bytes);
            }),
            Err(never) => match never {},
        }
    }

    fn push(&mut self, found: Found, bytes: usize) {
        self.group.push(found);
        self.group_bytes += bytes;
    }

    fn hand_over(&mut self) -> bool {
        self.group_bytes = 0;
        self.group.is_empty() || self.sender.blocking_send(std::mem::take(&mut self.group)).is_ok()
    }
}

/// An event, if its format takes it: what is wrong is told before anything is sent.
fn event(current: &Current, format: &'static dyn Format, data: &str, offset: usize) -> Found {
    // In a request it stands in brackets.
    if data.len() + 2 > MAX_BODY_BYTES {
        let problem =
            format!("the event has {} bytes; a request takes {MAX_BODY_BYTES} in all", data.len());
        let start = beginning(data.as_bytes());
        return Found::Bad { at: current.at(offset), code: "too_large", problem, start };
    }
    match format.accept(data) {
        Ok(_) => Found::Event { at: current.at(offset), format, data: data.to_owned() },
        Err(error) => {
            let written = current.buffer.get(offset..).unwrap_or_default();
            let is_verbatim = written.starts_with(data.as_bytes());
            let within = error.offset().filter(|_| is_verbatim).unwrap_or(0);
            refused(current, offset, offset + within, &error)
        }
    }
}

fn refused(current: &Current, start: usize, at: usize, error: &EventError) -> Found {
    let code = match error {
        EventError::Json { .. } => "invalid_json",
        _ => "invalid_event",
    };
    let start = beginning(current.buffer.get(start..).unwrap_or_default());
    Found::Bad { at: current.at(at), code, problem: error.to_string(), start }
}

/// The first characters of a line.
fn beginning(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let text = String::from_utf8_lossy(line.get(..4 * START).unwrap_or(line));
    text.chars().take(START).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A source that tells how much is read of it.
struct Counted {
    inner: Box<dyn Read>,
    read: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.read)(read as u64);
        Ok(read)
    }
}

/// What is behind the first bytes of a source: inflated, and how its text is encoded.
fn opened(source: Box<dyn Read>) -> io::Result<(Box<dyn Read>, Option<Utf16>)> {
    let mut source = source;
    // A compressed file that was compressed once more is two.
    for _ in 0..3 {
        let mut start = Vec::with_capacity(Kind::LOOK);
        source.by_ref().take(Kind::LOOK as u64).read_to_end(&mut start)?;
        let kind = Kind::of(&start);
        let whole = io::Cursor::new(start).chain(source);
        source = match kind {
            Kind::Text => return Ok((Box::new(whole), None)),
            Kind::Utf16Little => return Ok((Box::new(whole), Some(Utf16::new(false)))),
            Kind::Utf16Big => return Ok((Box::new(whole), Some(Utf16::new(true)))),
            Kind::Gzip => Box::new(Gzip::new(BufReader::new(whole))),
            Kind::Zstd => Box::new(zstd::Decoder::new(whole)?),
            Kind::Other(what) => return Err(io::Error::other(format!("this is {what}"))),
        };
    }
    Err(io::Error::other("this is compressed more than three times; unpack it first"))
}

/// Gzip as it is found: members one behind the other, zeros after the last.
struct Gzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::other("the gzip file breaks off; what is before that was read")
                }
                _ => io::Error::other(format!("the gzip file is damaged: {error}")),
            })?;
            if read > 0 {
                return Ok(read);
            }
            let Some(member) = self.member.take() else { break };
            let mut rest = member.into_inner();
            loop {
                let next = rest.fill_buf()?;
                match next.first() {
                    None => return Ok(0),
                    Some(0) => {
                        let zeros = next.iter().take_while(|byte| **byte == 0).count();
                        rest.consume(zeros);
                    }
                    Some(0x1f) => break,
                    Some(_) => {
                        return Err(io::Error::other(
                            "behind the gzip data stands something else; it was not read",
                        ));
                    }
                }
            }
            self.member = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
}
