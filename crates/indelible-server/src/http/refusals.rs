//! What the rooms below refuse, as answers.

use crate::{control::error::ControlError, error::ApiError};
use indelible_api::Code;
use indelible_log::chain;

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let code = match error {
            ControlError::NotLive => Code::Unauthenticated,
            ControlError::Forbidden { .. } | ControlError::Outlasts | ControlError::OwnApproval => {
                Code::Forbidden
            }
            ControlError::Invalid { member, .. } => {
                return Self::invalid(error.to_string()).member(member);
            }
            ControlError::LogName(_) => Code::InvalidLogName,
            ControlError::LogExists(_) => Code::LogExists,
            ControlError::NoLog(_) => Code::LogNotFound,
            ControlError::Missing(..) => Code::EntryNotFound,
            ControlError::Lapsed { .. }
            | ControlError::Stale { .. }
            | ControlError::Conflict(_)
            | ControlError::Misfit(_) => return Self::new(Code::Conflict, chain(&error)),
            ControlError::TooManySaves { wait_s, .. } => {
                return Self::new(Code::RateLimited, error.to_string()).retry_after(wait_s);
            }
            ControlError::NotPrepared { source, .. } => return source.into(),
            ControlError::Stage(source) => return source.into(),
            ControlError::Append(source) => return source.into(),
            ControlError::NotCarriedOut { .. }
            | ControlError::NoRandom
            | ControlError::Fold(_)
            | ControlError::CutOff => return Self::internal(&error.to_string(), &error),
        };
        Self::new(code, error.to_string())
    }
}
