//! Somebody who reads: waits for a turn, for memory, and may it still
//! after each wait.

use crate::{
    access::{Permission, Scope, caller::Caller},
    background::in_background,
    error::{ApiError, Result},
    reading::desk::Desk,
    reading::room::{PORTION, Reading, Room, SMALL, Stopped},
    site::memory::{Held, ROOM_WAIT},
};
use indelible_api::Code;
use std::{sync::Arc, time::Duration};

/// How long a search waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// Who reads, and what of which logs it may see.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) desk: Arc<Desk>,
    pub(crate) caller: Caller,
    /// What it was let in for.
    pub(crate) permission: Permission,
    /// The logs that are read, and the scope that each is read in.
    pub(crate) logs: Vec<(String, Arc<Scope>)>,
}

impl Reader {
    /// A reader of the log that it was let into.
    pub(crate) fn of_one(desk: &Arc<Desk>, caller: Caller, name: &str) -> Self {
        let logs = vec![(name.to_owned(), Arc::clone(&caller.scope))];
        Self { desk: Arc::clone(desk), caller, permission: Permission::Read, logs }
    }

    /// The same, let in for receipts alone.
    pub(crate) fn of_proofs(desk: &Arc<Desk>, caller: Caller, name: &str) -> Self {
        Self { permission: Permission::Prove, ..Self::of_one(desk, caller, name) }
    }

    /// Who it is.
    pub(crate) fn principal(&self) -> &str {
        self.caller.principal.as_ref().map_or("anonymous", |known| known.id.as_str())
    }

    /// Refuses who may not read any more what it was let in for.
    pub(crate) fn still_may(&self) -> Result<()> {
        let mut logs = self.logs.iter();
        logs.try_for_each(|(name, scope)| {
            self.caller.still_may_in(&self.desk.control, self.permission, name, scope)
        })
    }

    /// Runs a search: some at a time, so that they neither take all threads and memory
    /// nor hold up each other; the others wait a while.
    pub(crate) async fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.desk.searches.take(self.principal());
        let turn = tokio::time::timeout(TURN_WAIT, turn).await.map_err(|_| {
            ApiError::new(Code::Overloaded, "too many searches at once; try again").retry_after(2)
        })?;
        self.still_may()?;
        in_background(move || {
            // Whoever hangs up has its turn until the search is over.
            let _turn = turn;
            work()
        })
        .await
    }

    /// Reads what is shown, in bounded memory; what comes with it is to be held as long
    /// as what was read is. Work that takes more than it has is begun again with more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Room) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<(T, Option<Held>)> {
        let work = Arc::new(work);
        let mut held: Option<Held> = None;
        loop {
            let again = Arc::clone(&work);
            let done = in_background(move || {
                let mut room = Room::of(held.as_ref().map_or(SMALL, Held::bytes));
                match again(&mut room) {
                    Ok(read) => Ok(Ok((read, held))),
                    // Nothing is held while more is waited for.
                    Err(Stopped::Room(needed)) => Ok(Err(needed)),
                    Err(Stopped::Failed(error)) => Err(error),
                }
            })
            .await?;
            let needed = match done {
                Ok(read) => return Ok(read),
                Err(needed) => needed.max(PORTION),
            };
            held = Some(self.desk.memory.hold(self.principal(), needed, ROOM_WAIT).await?);
            self.still_may()?;
        }
    }
}
