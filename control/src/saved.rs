//! What operators changed at run time, beside what the configuration file says: told by `status`, and kept in a file of its own so
//! that it survives a restart.
//!
//! It belongs to the configuration that it was written for. After a restart with another one the same holds as after a reload:
//! the configuration file wins over weights, additions and removals, and drains stay.

use crate::api::Addition;
use crate::control::Control;
use crate::state::{Admin, Change, State};
use guideway_config::model::{Backend, Config};
use guideway_dataplane::time::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::warn;

/// The form of the file.
const VERSION: u32 = 1;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    version: u32,
    /// Which configuration it belongs to.
    configuration: String,
    /// By pool and backend: what differs from that.
    pools: BTreeMap<String, BTreeMap<String, Override>>,
}

/// What differs of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wish: Option<Wish>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    added: Option<Addition>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

/// What an operator wants of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    Drained,
    Disabled,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system refuses.
    #[error("{path}: {source}; changes at run time that it holds are forgotten")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is damaged, or of another version.
    #[error("{path}: {reason}; kept as {}, and changes at run time that it holds are forgotten", .aside.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// Where it is now.
        aside: PathBuf,
    },
}

impl Saved {
    /// Where a state differs from the configuration file.
    #[must_use]
    pub fn of(file: &Config, state: &State) -> Self {
        let mut pools = BTreeMap::new();
        let desired = state.desired();
        let in_file: HashMap<&str, &[Backend]> =
            file.pools.iter().map(|pool| (pool.name.as_str(), pool.backends.as_slice())).collect();
        for (index, pool) in desired.pools.iter().enumerate() {
            let of_file = in_file.get(pool.name.as_str()).copied().unwrap_or_default();
            let overrides = overrides(of_file, &pool.backends, &wishes(state, index));
            if !overrides.is_empty() {
                pools.insert(pool.name.clone(), overrides);
            }
        }
        Self { version: VERSION, configuration: identity(file), pools }
    }

    /// The differences for people, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let all = self.pools.iter().flat_map(|(pool, of)| of.iter().map(move |(name, of)| (pool, name, of)));
        all.map(|(pool, name, of)| format!("{pool}/{name}: {}", of.words())).collect()
    }

    /// Reads a file; `None` if there is none yet. One that is damaged is put aside.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub fn load(path: &Path) -> Result<Option<Self>, LoadError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LoadError::Read { path: path.to_owned(), source }),
        };
        let reason = match serde_json::from_slice::<Self>(&text) {
            Ok(saved) if saved.version == VERSION => return Ok(Some(saved)),
            Ok(saved) => format!("is of version {}, and this program knows {VERSION}", saved.version),
            Err(error) => error.to_string(),
        };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".damaged-{seconds}"));
        let aside = PathBuf::from(aside);
        std::fs::rename(path, &aside).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Err(LoadError::Damaged { path: path.to_owned(), reason, aside })
    }

    /// Writes the file: whoever reads it meanwhile, or after a crash, finds the whole of it or of the one before.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        // The name is in the folder: that has to last, too.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    /// Makes a state that was built from `file` follow, before workers run. What could not be taken over, a line each.
    pub fn apply(self, file: &Config, state: &mut State, wall: SystemTime) -> Vec<String> {
        let is_same = self.configuration == identity(file);
        let mut untaken = Vec::new();
        for (pool, overrides) in self.pools {
            // Additions first: the last backend of a pool cannot be removed.
            let (added, rest): (Vec<_>, Vec<_>) = overrides.into_iter().partition(|(_, of)| of.added.is_some());
            for (name, of) in added.into_iter().chain(rest) {
                if let Err(why) = of.apply(&pool, &name, is_same, state, wall) {
                    untaken.push(format!("{pool}/{name}: {why}"));
                }
            }
        }
        state.settle();
        untaken
    }
}

impl Override {
    fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(Addition { address, weight, .. }) = &self.added {
            words.push(format!("added ({address}, weight {weight}), not in the file"));
        }
        if self.removed {
            words.push("removed, still in the file".to_owned());
        }
        words.extend(self.weight.map(|weight| format!("weight {weight}, another one in the file")));
        words.extend(self.wish.map(|wish| match wish {
            Wish::Drained => "drained".to_owned(),
            Wish::Disabled => "disabled".to_owned(),
        }));
        words.join(", ")
    }

    fn apply(self, pool: &str, name: &str, is_same: bool, state: &mut State, wall: SystemTime) -> Result<(), String> {
        // Nothing runs yet: what drains here has no flows, and its time begins with the first ones.
        let mut change = |change| state.change(pool, name, change, Nanos(0)).map_err(|error| error.to_string());
        let is_of_file = self.added.is_some() || self.removed || self.weight.is_some();
        if is_same && self.removed {
            return change(Change::Remove { force: true });
        }
        if is_same && let Some(weight) = self.weight {
            change(Change::Weight(weight))?;
        }
        if is_same && let Some(addition) = self.added {
            let index = state.pool_named(pool).map_err(|error| error.to_string())?;
            let backend = addition.check(&state.config, index)?;
            state.add(pool, backend, wall).map_err(|error| error.to_string())?;
        }
        let mut change = |change| state.change(pool, name, change, Nanos(0)).map_err(|error| error.to_string());
        match self.wish {
            Some(Wish::Drained) => change(Change::Drain { force: false })?,
            Some(Wish::Disabled) => change(Change::Disable)?,
            None => {}
        }
        if is_of_file && !is_same {
            return Err("the configuration file has changed since, and wins".to_owned());
        }
        Ok(())
    }
}

impl Control {
    /// The same, of a state that was changed since it was made from this configuration file.
    #[must_use]
    pub fn with_file(mut self, file: Arc<Config>) -> Self {
        self.file = file;
        self
    }

    /// Where the state differs from the configuration file.
    #[must_use]
    pub fn saved(&self) -> Saved {
        Saved::of(&self.file, &self.state)
    }

    /// Why changes at run time could not be kept, if they could not.
    #[must_use]
    pub fn unsaved(&self) -> Option<&str> {
        self.unsaved.as_deref()
    }

    /// Notes whether changes at run time could be kept.
    pub fn note_unsaved(&mut self, why: Option<String>) {
        if let Some(why) = &why {
            warn!("{why}");
        }
        self.unsaved = why;
    }
}

/// What is wanted of the backends of a pool, by name; the newest of two of one name counts.
fn wishes(state: &State, pool: usize) -> HashMap<&str, Wish> {
    let both = state.config.pools[pool].backends.iter().zip(&state.pools[pool].backends);
    let mut wishes = HashMap::new();
    for (of, backend) in both.filter(|(_, backend)| !backend.is_leaving()) {
        match backend.admin {
            Admin::Enabled => wishes.remove(of.name.as_str()),
            Admin::Drained => wishes.insert(of.name.as_str(), Wish::Drained),
            Admin::Disabled => wishes.insert(of.name.as_str(), Wish::Disabled),
        };
    }
    wishes
}

fn overrides(file: &[Backend], now: &[Backend], wishes: &HashMap<&str, Wish>) -> BTreeMap<String, Override> {
    let mut in_file: HashMap<&str, &Backend> = file.iter().map(|backend| (backend.name.as_str(), backend)).collect();
    let mut all = BTreeMap::new();
    for backend in now {
        let before = in_file.remove(backend.name.as_str());
        let of = Override {
            wish: wishes.get(backend.name.as_str()).copied(),
            weight: before.filter(|before| before.weight != backend.weight).map(|_| backend.weight),
            added: before.is_none().then(|| Addition::from(backend)),
            removed: false,
        };
        if of != Override::default() {
            all.insert(backend.name.clone(), of);
        }
    }
    let removed = in_file.into_keys().map(|name| (name.to_owned(), Override { removed: true, ..Override::default() }));
    all.extend(removed);
    all
}

impl From<&Backend> for Addition {
    fn from(backend: &Backend) -> Self {
        let hex = |id: &[u8]| {
            id.iter().fold(String::new(), |mut text, byte| {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        Self {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            port: backend.port,
            weight: backend.weight,
            priority: backend.priority,
            server_id: backend.server_id.as_deref().map(hex),
        }
    }
}

/// What names a configuration, as far as run-time changes concern it: its pools and their backends, in any order.
fn identity(config: &Config) -> String {
    let mut words: Vec<String> = config
        .pools
        .iter()
        .flat_map(|pool| {
            pool.backends.iter().map(|of| {
                let port = of.port.map_or_else(String::new, |port| format!(":{port}"));
                let (weight, priority, id) = (of.weight, of.priority, &of.server_id);
                format!("{}/{}@{}{port} {weight} {priority} {id:?}", pool.name, of.name, of.address)
            })
        })
        .collect();
    words.sort_unstable();
    format!("{:016x}", crate::status::fnv(words.join("\n").bytes().map(u64::from)))
}
