//! Taking a body apart, and staging each event that is found in it.

use super::door::Door;
use crate::error::{ApiError, Result};
use indelible_api::{Code, ItemError, MAX_EVENTS};
use indelible_event::{
    EventError, Format, Item, NATIVE, Piece, Place, Places, RecordHeader, Splitter, Timestamp,
    events_of, format_named,
};
use indelible_log::Batch;

/// The events of a body, as they are found.
pub(super) struct Staging<'a> {
    door: &'a Door,
    native: &'static dyn Format,
    pub(super) received_at: Timestamp,
    /// What the records of each format begin with.
    headers: Vec<(&'static str, RecordHeader)>,
    pub(super) batch: Batch,
    /// Where each event of the batch stands in the body.
    pub(super) places: Vec<Place>,
    pub(super) refused: Vec<(usize, ItemError)>,
    pub(super) count: usize,
    /// Documents that hold no events, as they should.
    pub(super) nothing: Option<&'static str>,
    /// Where what is staged begins in the body, and where that is.
    at: Places,
    bytes: &'a [u8],
}

impl<'a> Staging<'a> {
    pub(super) fn new(door: &'a Door, bytes: &'a [u8]) -> Result<Self> {
        let native = format_named(NATIVE)?;
        let (received_at, header) = door.log.header(&door.recorded_by, native.name());
        let mut batch = Batch::new();
        batch.partial = door.partial;
        // Envelopes add about a third to an ordinary event.
        batch.reserve(bytes.len() + bytes.len() / 3 + 256);
        Ok(Self {
            door,
            native,
            received_at,
            headers: vec![(native.name(), header)],
            batch,
            places: Vec::new(),
            refused: Vec::new(),
            count: 0,
            nothing: None,
            at: Places::default(),
            bytes,
        })
    }

    /// Finds and stages everything.
    pub(super) fn run(&mut self) -> Result<()> {
        let bytes = self.bytes;
        let mut splitter = Splitter::default();
        while let Some(piece) = splitter.next(bytes, true) {
            match piece {
                Piece::Value { start, end } => {
                    let value = bytes.get(start..end).unwrap_or_default();
                    self.at.pass(bytes, start);
                    self.value(value, start)?;
                }
                Piece::Bad { start, at, problem } => {
                    self.at.pass(bytes, start);
                    let error =
                        ApiError::new(Code::InvalidJson, format!("not valid JSON: {problem}"));
                    self.refuse(error, at)?;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &'a [u8], start: usize) -> Result<()> {
        // Most are native: that is tried before anything is recognised.
        if self.door.format.is_none()
            && let Ok(text) = std::str::from_utf8(value)
            && text.contains("\"outcome\"")
        {
            self.room()?;
            match self.stage(self.native, text) {
                Ok(()) => return self.staged(start),
                Err(error) if matches!(error.code, Code::InvalidEvent | Code::InvalidJson) => {}
                Err(error) => return self.refuse(error, start),
            }
        }
        events_of(value, start, self.door.format, &mut |item| match item {
            Item::Event { format, data, offset } => {
                self.room()?;
                match self.stage(format, &data) {
                    Ok(()) => self.staged(offset),
                    // Where in the event it is wrong, if its bytes are those of the body.
                    Err(error) => {
                        let within = match format.accept(&data) {
                            Err(EventError::Json { offset, .. }) => offset,
                            _ => 0,
                        };
                        let is_verbatim = matches!(data, std::borrow::Cow::Borrowed(_));
                        self.refuse(error, if is_verbatim { offset + within } else { offset })
                    }
                }
            }
            Item::Bad { at, error, .. } => self.refuse(error.into(), at),
            Item::Nothing { why, .. } => {
                self.nothing = Some(why);
                Ok(())
            }
        })
    }

    /// Adds an event to the batch.
    fn stage(&mut self, format: &'static dyn Format, data: &str) -> Result<()> {
        let name = format.name();
        if !self.headers.iter().any(|(known, _)| *known == name) {
            let header = RecordHeader::new(self.received_at, &self.door.recorded_by, name);
            self.headers.push((name, header));
        }
        self.door.check_tenant(format, data)?;
        let header = self.headers.iter().find(|(known, _)| *known == name);
        if let Some((_, header)) = header {
            self.door.log.stage(&mut self.batch, header, self.received_at, format, data)?;
        }
        Ok(())
    }

    /// Whether there may be another event.
    fn room(&self) -> Result<()> {
        if self.count < MAX_EVENTS {
            return Ok(());
        }
        let message = format!("more than {MAX_EVENTS} events in one request; split it");
        Err(ApiError::new(Code::TooLarge, message))
    }

    fn staged(&mut self, offset: usize) -> Result<()> {
        self.places.push(self.at.of(self.bytes, offset));
        self.count += 1;
        Ok(())
    }

    /// Refuses what stands at `offset`, or with it the request.
    fn refuse(&mut self, error: ApiError, offset: usize) -> Result<()> {
        let place = self.at.of(self.bytes, offset);
        let error = error.at_place(place);
        if !self.door.partial || error.is_fatal() {
            return Err(error.at(self.count));
        }
        self.room()?;
        self.refused.push((self.count, error.into_item()));
        self.count += 1;
        Ok(())
    }
}
