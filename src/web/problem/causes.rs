//! What the application and the store can't do, as problems: what the client learns, and what the log does.

use super::{Cause, Problem};
use crate::app::IssueError;
use crate::store::StoreError;
use crate::web::Kind;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        let (detail, known) = match error {
            StoreError::Damaged(_) => return Self::internal(text),
            StoreError::Busy => {
                ("the server has more requests than it can store; nothing was done, try again", true)
            }
            StoreError::BatchFailed(_) => {
                ("the database takes no writes for now; nothing was done, try again", true)
            }
            StoreError::Unavailable(_) => {
                ("the database cannot be used for now; nothing was done, try again", false)
            }
            StoreError::Stale(_) => (
                "the database has been out of reach for too long to know which tokens are good; try again",
                true,
            ),
            StoreError::Closed => ("the server is stopping; nothing was done, try again", true),
        };
        Self { cause: Some(Cause { text, known }), ..Self::new(Kind::Unavailable, detail) }
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Agents(errors) => Self::with_errors(Kind::AgentNotAllowed, errors),
            IssueError::TooLarge { bytes, limit } => Self::new(
                Kind::ContentTooLarge,
                format!(
                    "the token would have {bytes} bytes, and `tokens.max_bytes` allows {limit}: grant fewer agents, or raise the limit"
                ),
            ),
            IssueError::KeyRevoked => Self::refused_key(),
            IssueError::Store(error) => error.into(),
            IssueError::Signing(_) | IssueError::Claims(_) => Self::internal(error),
        }
    }
}
