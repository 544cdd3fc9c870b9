//! Bodies of requests and answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The one shape of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What to react to; one of the documented codes.
    pub code: String,
    /// What failed, why, and what to do, for people.
    pub message: String,
    /// Names this request in the server's log.
    pub request_id: String,
    /// Position in the batch of the event at fault, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Path of the member at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// Creates a log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateLog {
    /// Name: 1 to 63 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// Take raw entries (`POST /tlog/{log}/add`) instead of events.
    #[serde(default)]
    pub raw_add: bool,
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogInfo {
    /// Name in this server.
    pub name: String,
    /// Origin in checkpoints.
    pub origin: String,
    /// Key that checks its checkpoints (C2SP vkey).
    pub vkey: String,
    /// Number of records.
    pub size: u64,
    /// Root of the tree, base64.
    pub root: String,
    /// When the latest checkpoint was signed; null while the log is empty.
    pub checkpoint_time: Option<String>,
    /// When the log was created.
    pub created_at: String,
    /// `events` or `raw`.
    pub kind: String,
    /// Whether the log accepts appends; false after a storage error.
    pub accepting: bool,
    /// Whether anybody may fetch checkpoints and hash tiles.
    pub public: bool,
    /// All keys that have signed its checkpoints, oldest first; `vkey` is the newest.
    pub keys: Vec<LogKey>,
}

/// A key that signs, or has signed, the checkpoints of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogKey {
    /// The key (C2SP vkey).
    pub vkey: String,
    /// Until when it signs, if it was replaced.
    pub signs_until: Option<String>,
    /// The signed note by which the key before it announces it, and says from which size it
    /// signs; null for the first key.
    pub announcement: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// Whether an append made a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptStatus {
    /// A new record.
    Created,
    /// The same event was there: this is the first record's receipt.
    Duplicate,
}

/// What one appended event gets: a receipt or, in a partial batch, an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ReceiptItem {
    /// It is in the log.
    Receipt(Receipt),
    /// It is not.
    Refused {
        /// Why.
        error: ItemError,
    },
}

/// Where a record is, and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// Index of the record.
    pub index: u64,
    /// Id of the event.
    pub id: String,
    /// Leaf hash of the record, base64.
    pub leaf_hash: String,
    /// Whether it is new.
    pub status: ReceiptStatus,
    /// With `?proof=true`: inclusion proof under the answer's checkpoint, base64,
    /// from the leaf up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion_proof: Option<Vec<String>>,
}

/// Why one event of a partial batch was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemError {
    /// A documented code.
    pub code: String,
    /// What and why, for people.
    pub message: String,
    /// Path of the member at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// The answer to an append. With `received_at` and `recorded_by` the sender can
/// compute each new record, and so its leaf hash, from what it sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Appended {
    /// One item per event, in order.
    pub receipts: Vec<ReceiptItem>,
    /// A signed checkpoint that covers them all.
    pub checkpoint: String,
    /// `received_at` of the new records.
    pub received_at: String,
    /// `recorded_by` of the new records.
    pub recorded_by: String,
}

/// What the server attests of a record, apart from what the sender claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvelopeView {
    /// Version of the envelope.
    pub v: u64,
    /// Id of the event.
    pub id: String,
    /// When the server received it.
    pub received_at: String,
    /// Credential that wrote it.
    pub recorded_by: String,
    /// Format of the sender's bytes.
    pub format: String,
}

/// A record as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Index of the record.
    pub index: u64,
    /// Leaf hash of the record, base64.
    pub leaf_hash: String,
    /// The envelope; null in a raw log.
    pub envelope: Option<EnvelopeView>,
    /// The native view of the sender's bytes: see the event schema in the docs; null
    /// where they cannot be shown so (`note` tells why).
    #[schema(value_type = Object)]
    pub event: Value,
    /// Why there is no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A receipt as JSON; the same facts as the tlog-proof file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// Index of the record.
    pub index: u64,
    /// Leaf hash of the record, base64.
    pub leaf_hash: String,
    /// Inclusion proof, base64, from the leaf up.
    pub inclusion_proof: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// A consistency proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consistency {
    /// Size of the older tree.
    pub from: u64,
    /// Size of the newer tree.
    pub to: u64,
    /// Root of the older tree, base64.
    pub from_root: String,
    /// Root of the newer tree, base64.
    pub to_root: String,
    /// The proof, base64 (RFC 9162 §2.1.4).
    pub proof: Vec<String>,
}
