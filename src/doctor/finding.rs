//! What one check finds: what is, what should be, how to mend it.

use serde_json::{Value, json};
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be found out.
    Unknown,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Names the check, and what it looked at where there are several.
    pub(super) id: String,
    pub(super) state: State,
    pub(super) is: String,
    /// What should be; empty if it is.
    pub(super) should: String,
    /// Commands, or what to do by hand.
    pub(super) mend: Vec<String>,
    /// Whether `--fix` runs the commands.
    pub(super) fixable: bool,
}

impl Finding {
    fn new(id: impl Into<String>, state: State, is: impl Into<String>) -> Self {
        Self { id: id.into(), state, is: is.into(), should: String::new(), mend: Vec::new(), fixable: false }
    }

    pub(super) fn ok(id: impl Into<String>, is: impl Into<String>) -> Self {
        Self::new(id, State::Ok, is)
    }

    pub(super) fn warn(id: impl Into<String>, is: impl Into<String>) -> Self {
        Self::new(id, State::Warn, is)
    }

    pub(super) fn fail(id: impl Into<String>, is: impl Into<String>) -> Self {
        Self::new(id, State::Fail, is)
    }

    pub(super) fn unknown(id: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(id, State::Unknown, why)
    }

    /// What should be instead.
    pub(super) fn should(mut self, should: impl Into<String>) -> Self {
        self.should = should.into();
        self
    }

    /// One step that mends it.
    pub(super) fn mend(mut self, step: impl Into<String>) -> Self {
        self.mend.push(step.into());
        self
    }

    /// `--fix` runs the steps, unless their words cannot be told apart at white space.
    pub(super) fn fixable_if(mut self, plain: bool) -> Self {
        self.fixable = plain;
        self
    }

    pub(super) fn json(&self) -> Value {
        let Self { id, state, is, should, mend, fixable } = self;
        json!({"id": id, "state": state.word(), "is": is, "should": should, "mend": mend, "fixable": fixable})
    }
}

/// A line, and one more for what should be and for each step.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<22} {}", self.state.word(), self.id, self.is)?;
        if !self.should.is_empty() {
            write!(f, "\n{:>31} {}", "should be:", self.should)?;
        }
        for step in &self.mend {
            write!(f, "\n{:>31} {step}", "mend:")?;
        }
        Ok(())
    }
}
