//! What of a record is indexed, and how.

use indelible_query::{Doc, FIELD_NAMES, Field, MAX_TOKEN, cut, lower, next_term};
use sha2::{Digest as _, Sha256};
use std::{
    net::{IpAddr, Ipv6Addr},
    ops::Range,
    sync::Arc,
};
use tantivy::{
    Document, Term,
    schema::{
        FAST, Field as Column, IndexRecordOption, Schema, TextFieldIndexing, TextOptions, Value,
        document::{ReferenceValue, ReferenceValueLeaf},
    },
    tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer, TokenizerManager},
};

/// Raised when what is indexed changes: pieces of another version are rebuilt.
pub(crate) const VERSION: u32 = 4;
/// Longest value that is indexed whole, in bytes; less than 256, see [`put`].
const MAX_VALUE: usize = 200;
/// Longest value that is counted by itself; a longer one cannot be asked for either, and
/// stands in counts with a digest of the rest.
const MAX_COUNTED: usize = 8000;
/// Most numbers of one record that have terms of their own.
const MAX_NUMBERS: usize = 1000;
/// Bytes of text of one record whose words are indexed; one with more is always read.
const MAX_TEXT: usize = 32 << 10;
/// Values of one field of one record that are indexed.
const MAX_VALUES: usize = 100;

/// The columns of the index.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) schema: Schema,
    /// All terms: what each is of, and the value or word. One list of terms costs a record
    /// less than one for each field.
    terms: Column,
    /// Values that are counted, by field.
    counted: [Option<Column>; FIELDS],
    /// Index of the newest record of the piece that the document was built in.
    newest: Column,
    time: Column,
    received: Column,
    ip: Column,
    /// 1 for records of which not all is indexed.
    partial: Column,
}

/// Number of fields, [`Field::ExactTenant`] included.
const FIELDS: usize = FIELD_NAMES.len() + 1;

/// What a term is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Field(Field),
    /// A word of any string.
    Words,
    /// A number of the sender's data that is not written in the plainest way.
    Number,
}

const WORDS: char = 'w';
const NUMBER: char = 'n';
/// Not folded to lower case.
const EXACT: char = code(Field::ExactTenant);

const fn code(field: Field) -> char {
    (b'A' + field as u8) as char
}

impl Of {
    const fn code(self) -> char {
        match self {
            Self::Field(field) => code(field),
            Self::Words => WORDS,
            Self::Number => NUMBER,
        }
    }
}

/// Name of the column that a field's values are counted in. Actors are searched by id and
/// name, and counted by id.
pub(crate) fn counted_name(field: Field) -> String {
    match field {
        Field::Actor => "actor_id".to_owned(),
        other => other.name().replace('.', "_"),
    }
}

impl Columns {
    pub(crate) fn new() -> Self {
        let mut builder = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("terms")
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false);
        let terms = TextOptions::default().set_indexing_options(indexing);
        let terms = builder.add_text_field("terms", terms);
        let mut counted = [None; FIELDS];
        for (_, field) in FIELD_NAMES.iter().filter(|(_, field)| field.is_counted()) {
            let options = TextOptions::default().set_fast("raw");
            if let Some(column) = counted.get_mut(*field as usize) {
                *column = Some(builder.add_text_field(&counted_name(*field), options));
            }
        }
        Self {
            terms,
            counted,
            newest: builder.add_u64_field("newest", FAST),
            time: builder.add_i64_field("time", FAST),
            received: builder.add_i64_field("received", FAST),
            ip: builder.add_ip_addr_field("ip_address", FAST),
            partial: builder.add_u64_field("partial", FAST),
            schema: builder.build(),
        }
    }

    /// The term of a value (in lower case, but for an exact one) or word.
    pub(crate) fn term(&self, of: Of, text: &str) -> Term {
        Term::from_field_text(self.terms, &format!("{}{text}", of.code()))
    }

    /// What is indexed of a record; `newest` if it is the newest of the piece that is
    /// built. Takes the memory of a document that is done with.
    pub(crate) fn document(&self, doc: &Doc<'_>, newest: bool, mut used: Indexed) -> Indexed {
        let Some(Entries { values, text, counted }) = Arc::get_mut(&mut used.0) else {
            return self.document(doc, newest, Indexed::default());
        };
        values.clear();
        text.clear();
        counted.clear();
        let mut partial = !doc.is_whole;
        if newest {
            values.push((self.newest, Entry::Unsigned(doc.index)));
        }
        values.push((self.received, Entry::Signed(doc.received_us)));
        if let Some(time) = doc.time_us {
            values.push((self.time, Entry::Signed(time)));
        }
        if let Some(ip) = doc.ip() {
            let v6 = match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            values.push((self.ip, Entry::Address(v6)));
        }
        let mut seen = [0usize; FIELDS];
        for (field, value) in doc.fields().filter(|(field, _)| field.is_indexed()) {
            let count = seen.get_mut(field as usize);
            let nth = count.map_or(0, |count| std::mem::replace(count, *count + 1));
            partial |= value.len() > MAX_VALUE || nth >= MAX_VALUES;
            if nth < MAX_VALUES {
                if field == Field::Tenant {
                    put(text, EXACT, value_of(value));
                }
                put(text, code(field), value_of(value));
            }
            let is_counted = field != Field::Actor || nth == 0;
            if let Some(Some(column)) = self.counted.get(field as usize).filter(|_| is_counted) {
                let start = counted.len();
                put_counted(counted, value);
                values.push((*column, Entry::Counted(start..counted.len())));
            }
        }
        let mut numbers = 0;
        doc.odd_numbers(&mut |number| {
            numbers += 1;
            partial |= numbers > MAX_NUMBERS;
            if numbers <= MAX_NUMBERS {
                put(text, NUMBER, number_term(&number.canonical()));
            }
        });
        // One text for all: no word crosses the line between two strings.
        text.push(WORDS);
        let start = text.len();
        doc.strings(&mut |string| {
            // Long texts are cut; what is cut is found by reading.
            let end = cut_at(string, MAX_TEXT.saturating_sub(text.len() - start));
            partial |= end < string.len();
            let string = string.get(..end).unwrap_or_default();
            match string.is_ascii() {
                true => text.push_str(string),
                // What a word is, is asked of lower case.
                false => text.push_str(&lower(string)),
            }
            text.push('\n');
        });
        values.push((self.terms, Entry::Text(0..text.len())));
        values.push((self.partial, Entry::Unsigned(partial.into())));
        used
    }
}

/// Writes a value as the tokenizer reads it: what it is of, its length, and itself.
fn put(text: &mut String, code: char, value: &str) {
    text.push(code);
    // Values are cut long before that.
    text.push(char::from(u8::try_from(value.len()).unwrap_or_default()));
    text.push_str(value);
}

/// Writes a value as it is counted.
fn put_counted(out: &mut String, value: &str) {
    let start = cut(value, MAX_COUNTED);
    out.push_str(start);
    if start.len() < value.len() {
        let digest: [u8; 32] = Sha256::digest(value).into();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        out.push_str(&format!("… ({} bytes, sha256 {digest})", value.len()));
    }
}

/// The part of a number's canonical text that is indexed.
pub(crate) fn number_term(canonical: &str) -> &str {
    cut(canonical, MAX_TOKEN)
}

/// What is indexed of a record. Cheap to make again and again: it is shared with tantivy
/// only while it is added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Indexed(Arc<Entries>);

#[derive(Debug, Default)]
struct Entries {
    values: Vec<(Column, Entry)>,
    /// What entries of text are parts of.
    text: String,
    /// What counted entries are parts of.
    counted: String,
}

#[derive(Debug)]
enum Entry {
    Text(Range<usize>),
    Counted(Range<usize>),
    Unsigned(u64),
    Signed(i64),
    Address(Ipv6Addr),
}

/// A value as tantivy takes it.
#[derive(Debug, Clone)]
pub(crate) struct Shown<'a>(ReferenceValueLeaf<'a>);

impl<'a> Value<'a> for Shown<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(self.0.clone())
    }
}

/// The values of a document, one after the other.
pub(crate) struct Values<'a> {
    values: std::slice::Iter<'a, (Column, Entry)>,
    text: &'a str,
    counted: &'a str,
}

impl<'a> Iterator for Values<'a> {
    type Item = (Column, Shown<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (column, entry) = self.values.next()?;
        let leaf = match entry {
            Entry::Text(range) => {
                ReferenceValueLeaf::Str(self.text.get(range.clone()).unwrap_or_default())
            }
            Entry::Counted(range) => {
                ReferenceValueLeaf::Str(self.counted.get(range.clone()).unwrap_or_default())
            }
            Entry::Unsigned(value) => ReferenceValueLeaf::U64(*value),
            Entry::Signed(value) => ReferenceValueLeaf::I64(*value),
            Entry::Address(value) => ReferenceValueLeaf::IpAddr(*value),
        };
        Some((*column, Shown(leaf)))
    }
}

impl Document for Indexed {
    type Value<'a> = Shown<'a>;
    type FieldsValuesIter<'a> = Values<'a>;

    fn iter_fields_and_values(&self) -> Values<'_> {
        Values { values: self.0.values.iter(), text: &self.0.text, counted: &self.0.counted }
    }
}

fn cut_at(text: &str, len: usize) -> usize {
    if text.len() <= len {
        return text.len();
    }
    // Between words, so that no half word is indexed.
    let end = (0..=len).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().rfind(|c: char| !c.is_alphanumeric()).unwrap_or(0)
}

/// A value as it is indexed.
pub(crate) fn value_of(text: &str) -> &str {
    cut(text, MAX_VALUE)
}

/// Whether a value that is asked for may have been cut when it was indexed.
pub(crate) fn is_long(text: &str) -> bool {
    text.len() + 3 > MAX_VALUE
}

/// The tokenizers that the columns name.
pub(crate) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register("terms", TextAnalyzer::builder(Terms::default()).build());
    manager
}

/// The terms of a text as [`Columns::document`] writes it: values, then words as
/// [`next_term`] finds them.
#[derive(Debug, Clone, Default)]
struct Terms {
    token: Token,
}

struct TermStream<'a> {
    rest: &'a str,
    /// Whether the words are reached.
    words: bool,
    token: &'a mut Token,
}

impl Tokenizer for Terms {
    type TokenStream<'a> = TermStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> TermStream<'a> {
        self.token.reset();
        TermStream { rest: text, words: false, token: &mut self.token }
    }
}

impl<'a> TermStream<'a> {
    /// The next value, and what it is of; `None` where the words begin.
    fn value(&mut self) -> Option<(char, &'a str)> {
        let mut rest = self.rest.chars();
        let code = rest.next()?;
        if code == WORDS {
            self.rest = rest.as_str();
            return None;
        }
        let len = rest.next()? as usize;
        let (value, rest) = rest.as_str().split_at_checked(len)?;
        self.rest = rest;
        Some((code, value))
    }
}

impl TermStream<'_> {
    /// The term of a value or word, of which `most` bytes count.
    fn set(&mut self, code: char, value: &str, most: usize) {
        let text = &mut self.token.text;
        text.clear();
        text.push(code);
        if code == EXACT {
            text.push_str(value);
        } else if value.is_ascii() {
            let from = text.len();
            text.push_str(cut(value, most));
            if let Some(value) = text.get_mut(from..) {
                value.make_ascii_lowercase();
            }
        } else {
            text.push_str(cut(&lower(value), most));
        }
        self.token.position = self.token.position.wrapping_add(1);
    }
}

impl TokenStream for TermStream<'_> {
    fn advance(&mut self) -> bool {
        if !self.words {
            if let Some((code, value)) = self.value() {
                self.set(code, value, usize::MAX);
                return true;
            }
            self.words = true;
        }
        let Some((word, rest)) = next_term(self.rest) else { return false };
        self.rest = rest;
        self.set(WORDS, word, MAX_TOKEN);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
