//! What of a record is indexed, and how.

use crate::{
    doc::{Doc, MAX_TOKEN, cut, lower, next_word},
    field::{FIELD_NAMES, Field},
};
use std::{collections::BTreeMap, net::IpAddr};
use tantivy::{
    TantivyDocument,
    schema::{FAST, Field as Column, IndexRecordOption, Schema, TextFieldIndexing, TextOptions},
    tokenizer::{
        LowerCaser, RawTokenizer, TextAnalyzer, Token, TokenStream, Tokenizer, TokenizerManager,
    },
};

/// Raised when what is indexed changes: pieces of another version are rebuilt.
pub(crate) const VERSION: u32 = 2;
/// Longest value that is indexed whole, in bytes.
const MAX_VALUE: usize = 200;
/// Bytes of text of one record whose words are indexed; one with more is always read.
const MAX_TEXT: usize = 32 << 10;
/// Values of one field of one record that are indexed.
const MAX_VALUES: usize = 100;

/// The columns of the index.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) schema: Schema,
    pub(crate) keywords: BTreeMap<Field, Column>,
    actor_id: Column,
    pub(crate) tenant_exact: Column,
    pub(crate) words: Column,
    pub(crate) index: Column,
    pub(crate) time: Column,
    pub(crate) received: Column,
    pub(crate) ip: Column,
    /// 1 for records of which not all is indexed.
    pub(crate) partial: Column,
}

/// Name of a keyword's column.
pub(crate) fn column_name(field: Field) -> String {
    field.name().replace('.', "_")
}

/// Name of the column that a field's values are counted in. Actors are searched by id and
/// name, and counted by id.
pub(crate) fn counted_name(field: Field) -> String {
    match field {
        Field::Actor => "actor_id".to_owned(),
        other => column_name(other),
    }
}

impl Columns {
    pub(crate) fn new() -> Self {
        let mut builder = Schema::builder();
        let indexing = |tokenizer: &str| {
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_index_option(IndexRecordOption::Basic)
                .set_fieldnorms(false)
        };
        let mut keywords = BTreeMap::new();
        for (_, field) in FIELD_NAMES.iter().filter(|(_, field)| field.is_indexed()) {
            let mut options = TextOptions::default().set_indexing_options(indexing("keyword"));
            if field.is_counted() && *field != Field::Actor {
                options = options.set_fast("raw");
            }
            keywords.insert(*field, builder.add_text_field(&column_name(*field), options));
        }
        let text = |tokenizer| TextOptions::default().set_indexing_options(indexing(tokenizer));
        Self {
            keywords,
            actor_id: builder.add_text_field("actor_id", TextOptions::default().set_fast("raw")),
            tenant_exact: builder.add_text_field("tenant_exact", text("raw")),
            words: builder.add_text_field("words", text("words")),
            index: builder.add_u64_field("index", FAST),
            time: builder.add_i64_field("time", FAST),
            received: builder.add_i64_field("received", FAST),
            ip: builder.add_ip_addr_field("ip_address", FAST),
            partial: builder.add_u64_field("partial", FAST),
            schema: builder.build(),
        }
    }

    /// What is indexed of a record.
    pub(crate) fn document(&self, doc: &Doc) -> TantivyDocument {
        let mut out = TantivyDocument::default();
        let mut partial = false;
        out.add_u64(self.index, doc.index);
        out.add_i64(self.received, doc.received_us);
        if let Some(time) = doc.time_us {
            out.add_i64(self.time, time);
        }
        if let Some(ip) = doc.ip() {
            let v6 = match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            out.add_ip_addr(self.ip, v6);
        }
        let mut counts = [0usize; FIELD_NAMES.len() + 1];
        for (field, text) in &doc.fields {
            let Some(column) = self.keywords.get(field) else { continue };
            let count = counts.get_mut(*field as usize);
            let nth = count.map_or(0, |count| std::mem::replace(count, *count + 1));
            partial |= text.len() > MAX_VALUE || nth >= MAX_VALUES;
            if nth >= MAX_VALUES {
                continue;
            }
            let value = value_of(text);
            match field {
                Field::Actor if nth == 0 => out.add_text(self.actor_id, value),
                Field::Tenant => out.add_text(self.tenant_exact, value),
                _ => {}
            }
            out.add_text(*column, value);
        }
        // One text for all: no word crosses the line between two strings.
        let mut words = String::with_capacity(512);
        doc.strings(&mut |text| {
            // Long texts are cut; what is cut is found by reading.
            let end = cut_at(text, MAX_TEXT.saturating_sub(words.len()));
            partial |= end < text.len();
            words.push_str(text.get(..end).unwrap_or_default());
            words.push('\n');
        });
        out.add_text(self.words, words);
        out.add_u64(self.partial, partial.into());
        out
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
    manager.register(
        "keyword",
        TextAnalyzer::builder(RawTokenizer::default()).filter(LowerCaser).build(),
    );
    manager.register("words", Words::default());
    manager
}

/// The words of a text, as `doc::tokens` finds them.
#[derive(Debug, Clone, Default)]
struct Words {
    token: Token,
}

struct WordStream<'a> {
    rest: &'a str,
    token: &'a mut Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream { rest: text, token: &mut self.token }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((word, rest)) = next_word(self.rest) else { return false };
        self.rest = rest;
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text.clear();
        if word.is_ascii() {
            self.token.text.push_str(cut(word, MAX_TOKEN));
            self.token.text.make_ascii_lowercase();
        } else {
            self.token.text.push_str(cut(&lower(word), MAX_TOKEN));
        }
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
