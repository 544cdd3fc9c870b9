//! Attachments: data too long for a record, kept beside the log under its SHA-256.
//! A record that names one is committed only after the attachment is durable.

use crate::error::{LogError, Result, damaged};
use indelible_event::Attachment;
use indelible_store::{Store, StoreError};

/// Path of an attachment in its log's store.
pub(crate) fn path(attachment: &Attachment) -> String {
    let hex = attachment.hex();
    format!("attachments/{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// Stores `data` and returns what a record says of it.
pub(crate) fn put(store: &dyn Store, data: &[u8]) -> Result<Attachment> {
    let attachment = Attachment::of(data);
    match store.create(&path(&attachment), data) {
        Ok(()) => Ok(attachment),
        // The same data was attached before, or is at this moment: whoever did may not
        // have come so far as to make its name durable, or may have died before. That it
        // is whole and durable is seen to here, so that a receipt never vouches for a blob
        // that is not there.
        Err(StoreError::AlreadyExists { .. }) => {
            get(store, &attachment)?;
            store.sync(&path(&attachment))?;
            Ok(attachment)
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads an attachment and checks it against its hash and size.
pub(crate) fn get(store: &dyn Store, attachment: &Attachment) -> Result<Vec<u8>> {
    let data = get_by_hash(store, attachment)?;
    if data.len() as u64 == attachment.size {
        Ok(data)
    } else {
        Err(damaged(
            &path(attachment),
            0,
            format!("attachment has {} bytes, its record says {}", data.len(), attachment.size),
        ))
    }
}

/// Reads an attachment and checks it against its hash.
pub(crate) fn get_by_hash(store: &dyn Store, attachment: &Attachment) -> Result<Vec<u8>> {
    let path = path(attachment);
    let data = store.read(&path).map_err(|error| match error {
        StoreError::NotFound { .. } => {
            LogError::NoRecord(format!("attachment {}", attachment.hex()))
        }
        other => other.into(),
    })?;
    if is_named(&path, &data) {
        Ok(data)
    } else {
        Err(damaged(&path, 0, "attachment does not match its hash"))
    }
}

/// Whether `path` is where an attachment of this data would be.
pub(crate) fn is_named(path: &str, data: &[u8]) -> bool {
    self::path(&Attachment::of(data)) == path
}
