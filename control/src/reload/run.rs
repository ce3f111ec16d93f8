//! From a file to what runs.

use super::{Refusal, diff};
use crate::api::Handles;
use guideway_config::model::Config;
use guideway_config::{Failure, Machine, Parsed, load};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::SystemTime;
use tracing::{info, warn};
use utoipa::ToSchema;

/// Lines that go to the log: a reload may change ten thousand backends.
const LINES_LOGGED: usize = 50;

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The machine that it is for; `None`: any.
    pub machine: Option<Machine>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Another file than that of the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<PathBuf>,
    /// Whether connections may break.
    #[serde(default)]
    pub disruptive: bool,
    /// Whether to say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The file.
    #[schema(value_type = String)]
    pub config: PathBuf,
    /// Whether it is applied: not in a dry run.
    pub applied: bool,
    /// Whether that breaks connections.
    pub disruptive: bool,
    /// What changes, a line each.
    pub changes: Vec<String>,
    /// What the file says but probably does not mean.
    pub warnings: Vec<String>,
}

/// Why nothing changed.
#[derive(Debug)]
pub enum ReloadError {
    /// Nobody said which file.
    NoFile,
    /// The file has errors.
    File(Failure),
    /// The file is good, and cannot be applied.
    Refused {
        /// The file.
        path: PathBuf,
        /// Why; never empty.
        refusals: Vec<Refusal>,
    },
    /// The process is stopping.
    Stopping,
}

/// A line for each reason, each beginning with the file.
impl Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("this process was started without a file: name one"),
            Self::Stopping => f.write_str("the process is stopping"),
            Self::File(failure) => failure.fmt(f),
            Self::Refused { path, refusals } => {
                for (index, refusal) in refusals.iter().enumerate() {
                    let gap = if index > 0 { "\n" } else { "" };
                    write!(f, "{gap}{}: {refusal}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ReloadError {}

/// Reads the file, and applies all of it or nothing.
///
/// # Errors
///
/// [`ReloadError`]; nothing changed then.
pub async fn reload(handles: &Handles, ask: Ask) -> Result<Outcome, ReloadError> {
    // Whoever moved logs away says so by a reload.
    handles.control().audit_mut().reopen();
    let of_start = || handles.source.as_ref().map(|source| source.path.clone());
    let path = ask.config.clone().or_else(of_start).ok_or(ReloadError::NoFile)?;
    let machine = handles.source.as_ref().and_then(|source| source.machine.clone());
    // Apart, since large files take a while, and a death in a pool must not wait for that.
    let file = path.clone();
    let loaded = tokio::task::spawn_blocking(move || load(&file, machine.as_ref())).await;
    let Parsed { config, warnings } = loaded.map_err(|_| ReloadError::Stopping)?.map_err(ReloadError::File)?;
    let warnings = warnings.iter().map(|warning| warning.at_path(&path).to_string()).collect();
    let applied = apply(handles, &ask, path, &config, warnings);
    if applied.as_ref().is_ok_and(|outcome| outcome.applied) {
        handles.save().await;
    }
    applied
}

fn apply(
    handles: &Handles,
    ask: &Ask,
    path: PathBuf,
    config: &Config,
    warnings: Vec<String>,
) -> Result<Outcome, ReloadError> {
    let mut control = handles.control();
    let state = control.state();
    let refused = |refusals| ReloadError::Refused { path: path.clone(), refusals };
    let plan = diff(&state.desired(), config, state.pins.clock(), ask.disruptive).map_err(refused)?;
    if ask.dry_run {
        if !plan.anew {
            state.may_reload(&plan, SystemTime::now()).map_err(refused)?;
        }
    } else {
        control.reload(&plan, (handles.clock)()).map_err(refused)?;
        handles.step(&mut control);
        log(&plan.lines, plan.breaks);
    }
    Ok(Outcome { config: path, applied: !ask.dry_run, disruptive: plan.breaks, changes: plan.lines, warnings })
}

fn log(lines: &[String], disruptive: bool) {
    for line in lines.iter().take(LINES_LOGGED) {
        if disruptive { warn!("reload: {line}") } else { info!("reload: {line}") }
    }
    match lines.len() {
        0 => info!("reload: nothing changed"),
        count => info!(changes = count, disruptive, "reload: applied"),
    }
}
