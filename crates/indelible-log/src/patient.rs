//! A signer that is waited for, but not for ever: a module that never answers refuses
//! appends instead of holding all of them.

use indelible_tlog::{NoteSignature, SignError, Signer, VerifyingKey};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};

type Answer = Result<NoteSignature, SignError>;
type Ask = (String, SyncSender<Answer>);

/// Asks a signer on a thread of its own.
#[derive(Debug)]
pub(crate) struct Patient {
    key: VerifyingKey,
    wait: Duration,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    /// The thread ends when this is dropped, or once the module answers.
    asks: SyncSender<Ask>,
    /// The answer that was waited for in vain: nobody waits again until it has come.
    late: Option<Receiver<Answer>>,
}

impl Patient {
    /// Waits for each signature as long as `wait`.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub(crate) fn new(signer: Arc<dyn Signer>, wait: Duration) -> std::io::Result<Self> {
        let key = signer.verifying_key().clone();
        let (asks, asked) = sync_channel::<Ask>(1);
        thread::Builder::new().name("signer".to_owned()).spawn(move || {
            for (text, answer) in asked {
                // Nobody waits any more: what was signed is dropped, nobody ever saw it.
                drop(answer.send(signer.sign_text(&text)));
            }
        })?;
        Ok(Self { key, wait, line: Mutex::new(Line { asks, late: None }) })
    }
}

impl Signer for Patient {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn sign_text(&self, text: &str) -> Answer {
        let gone = || SignError("the signer's thread has ended".to_owned());
        let silent = || SignError(format!("no answer for {} s", self.wait.as_secs_f32()));
        let mut line = self.line.lock();
        if let Some(late) = &line.late {
            match late.try_recv() {
                Err(TryRecvError::Empty) => return Err(silent()),
                Ok(_) | Err(TryRecvError::Disconnected) => line.late = None,
            }
        }
        let (answer, answered) = sync_channel(1);
        line.asks.send((text.to_owned(), answer)).map_err(|_| gone())?;
        match answered.recv_timeout(self.wait) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                line.late = Some(answered);
                Err(silent())
            }
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}
