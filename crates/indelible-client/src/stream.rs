//! Events as a server sends them, one block of lines each. (The libraries for it keep a
//! block of any length; whoever sends may be lying.)

use crate::{
    answer,
    error::{ClientError, Result},
};
use indelible_api::EventView;

/// Puts the parts of a stream together, as they come.
#[derive(Default)]
pub(crate) struct Blocks {
    buffer: Vec<u8>,
    /// Bytes of the buffer in which no block ends.
    seen: usize,
}

impl Blocks {
    /// Takes a part, and visits the events that are complete with it.
    pub(crate) fn take(&mut self, part: &[u8], mut visit: impl FnMut(EventView)) -> Result<()> {
        self.buffer.extend_from_slice(part);
        while let Some(end) = self.end() {
            let block: Vec<u8> = self.buffer.drain(..end).collect();
            self.seen = 0;
            let text = String::from_utf8_lossy(&block);
            let data = text.lines().find_map(|line| line.strip_prefix("data:"));
            // What is no event is a sign of life.
            if let Some(view) = data.and_then(|data| serde_json::from_str(data).ok()) {
                visit(view);
            }
        }
        match self.buffer.len() > answer::JSON {
            true => Err(ClientError::TooLong { most: answer::JSON }),
            false => Ok(()),
        }
    }

    /// Where the first block ends.
    fn end(&mut self) -> Option<usize> {
        let rest = self.buffer.get(self.seen..)?;
        let found = rest.windows(2).position(|two| two == b"\n\n");
        let end = found.map(|at| self.seen + at + 2);
        // The last byte may be the first of an end.
        self.seen = self.buffer.len().saturating_sub(1);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_stream_is_cut() {
        let event = |index: u64| {
            format!("data:{{\"index\":{index},\"leaf_hash\":\"x\",\"event\":{{}}}}\n\n")
        };
        let stream = format!(": alive\n\n{}id: 7\n{}\n\n{}", event(1), event(2), event(3));
        for size in 1..stream.len() {
            let (mut blocks, mut found) = (Blocks::default(), Vec::new());
            for part in stream.as_bytes().chunks(size) {
                assert!(blocks.take(part, |view| found.push(view.index)).is_ok());
            }
            assert_eq!(found, [1, 2, 3], "{size} bytes at a time");
        }
    }
}
