//! Comparing the index with the records: each piece is built again beside it, and both
//! must say the same. A seal tells whether files were altered; this tells whether what was
//! written is right, whoever wrote it.

use crate::{
    index::{IndexError, LogIndex},
    piece::{Piece, other},
    schema::counted_name,
};
use indelible_query::FIELD_NAMES;
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use tantivy::{DocSet as _, TERMINATED, schema::IndexRecordOption};

/// How a piece of the index compares with the records it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The records.
    pub records: Range<u64>,
    /// Whether the index says of them what they say.
    pub is_right: bool,
}

impl LogIndex {
    /// Compares every piece with its records, one after the other, and visits how it
    /// compares. Takes as long as building the index.
    ///
    /// # Errors
    /// [`IndexError`] when a piece cannot be built to compare with.
    pub fn compare(&self, mut visit: impl FnMut(Compared)) -> Result<(), IndexError> {
        for piece in self.untouched().pieces.iter() {
            let records = piece.start..piece.end;
            let parent = self.of().parent.join("compared.tmp");
            std::fs::create_dir_all(&parent).map_err(|e| IndexError::Folder(parent.clone(), e))?;
            let mut of = self.of();
            of.parent = &parent;
            let again = Piece::build(&of, records.clone()).and_then(|again| digest(&again));
            std::fs::remove_dir_all(&parent).map_err(|e| IndexError::Folder(parent.clone(), e))?;
            // What cannot be read is not right.
            let is_right = digest(piece).ok() == Some(again?);
            visit(Compared { records, is_right });
        }
        Ok(())
    }
}

/// What a piece says: its terms, each with its records, and its columns.
fn digest(piece: &Piece) -> tantivy::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let segment = piece.segment().ok_or_else(|| other("a piece without a segment"))?;
    let field = segment.schema().get_field("terms")?;
    let terms = segment.inverted_index(field)?;
    let mut stream = terms.terms().stream()?;
    while stream.advance() {
        hash.update((stream.key().len() as u64).to_le_bytes());
        hash.update(stream.key());
        let info = stream.value().clone();
        let mut docs = terms.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
        while docs.doc() != TERMINATED {
            hash.update(docs.doc().to_le_bytes());
            docs.advance();
        }
        hash.update(TERMINATED.to_le_bytes());
    }
    let columns = segment.fast_fields();
    let docs = 0..segment.max_doc();
    hash.update(columns.u64("newest")?.first(0).unwrap_or_default().to_le_bytes());
    let (time, received) = (columns.i64("time")?, columns.i64("received")?);
    let (partial, ip) = (columns.u64("partial")?, columns.ip_addr("ip_address")?);
    for doc in docs.clone() {
        let facts = (time.first(doc), received.first(doc), partial.first(doc), ip.first(doc));
        hash.update(format!("{facts:?}\n"));
    }
    for (name, field) in FIELD_NAMES.iter().filter(|(_, field)| field.is_counted()) {
        let Some(column) = columns.str(&counted_name(*field))? else { continue };
        hash.update(name);
        let mut text = String::new();
        for doc in docs.clone() {
            for ord in column.term_ords(doc) {
                text.clear();
                column.ord_to_str(ord, &mut text).map_err(other)?;
                hash.update(format!("{doc} {text:?}\n"));
            }
        }
    }
    Ok(hash.finalize().into())
}
