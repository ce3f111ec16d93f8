//! Keeps changes at run time in the state file before they are answered.

use super::Handles;
use std::path::PathBuf;
use tokio::sync::Mutex;

/// The state file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// Who writes: what was changed last is written last.
    turn: Mutex<()>,
}

impl Store {
    /// The one at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, turn: Mutex::new(()) }
    }
}

impl Handles {
    /// Writes what operators changed, where that is asked for. What fails is in the log and in `status`; the change goes on.
    pub(crate) async fn save(&self) {
        let Some(store) = &self.store else { return };
        let _turn = store.turn.lock().await;
        let saved = self.control().saved();
        let path = store.path.clone();
        // Apart, since a disk takes its time, and a death in a pool must not wait for that.
        let stored = tokio::task::spawn_blocking(move || saved.store(&path)).await;
        let error = match stored {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let path = store.path.display();
        let told = error
            .map(|error| format!("[state] file {path}: {error}; a restart would forget what was changed at run time"));
        self.control().note_unsaved(told);
    }
}
