//! The one error type, sorted by what its reader must do.
//!
//! The place where something went wrong is added while unwinding, so that the
//! path costs nothing when all is well:
//! `costs date=2026-11-20 page 3 /data/4/amount/value: expected …`.
//! A message never holds a secret, is lower case and has no full stop.

use std::fmt;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Who has to act, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A flag, variable, configuration or table file is wrong: edit it. Nothing was started.
    Usage,
    /// 401: the key of this surface is wrong.
    WrongKey,
    /// 403: the key lacks a permission, or an allow-list refuses this machine.
    Forbidden,
    /// 404: the thing asked for is not there, or not enabled.
    NotThere,
    /// 410, or a table that is marked so: gone upstream for good.
    Retired,
    /// Network, time-out, 408, 429, 5xx, after all attempts: run again later.
    Unavailable,
    /// A retry will not help: quota, billing, or `x-should-retry: false`. Something must be done first.
    Refused,
    /// The API answered something that the table file does not allow.
    Contract,
    /// The destination cannot be read or written: disk, bucket, rights.
    Storage,
    /// State, lease or lake cannot be trusted: nothing was touched.
    Integrity,
    /// A snapshot would soft-delete an implausible share of what is known: confirm it, or wait for the next run.
    HeldBack,
    /// A signal ended the run.
    Interrupted,
    /// A bug of this program or of a library: report it.
    Internal,
}

impl Kind {
    /// The word for it in reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::WrongKey => "wrong key",
            Kind::Forbidden => "forbidden",
            Kind::NotThere => "not enabled",
            Kind::Retired => "retired upstream",
            Kind::Unavailable => "unavailable",
            Kind::Refused => "refused",
            Kind::Contract => "unexpected answer",
            Kind::Storage => "storage",
            Kind::Integrity => "integrity",
            Kind::HeldBack => "held back",
            Kind::Interrupted => "interrupted",
            Kind::Internal => "internal error",
        }
    }
}

/// What an HTTP refusal said, kept for the few rules that react to its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) text: String,
    /// The other requests of the same key would meet the same refusal.
    pub(crate) of_key: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    message: String,
    hint: Option<String>,
    path: Vec<String>,
    pub(crate) refusal: Option<Box<Refusal>>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None, path: Vec::new(), refusal: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::new(Kind::Usage, message)
    }

    pub(crate) fn contract(message: impl Into<String>) -> Error {
        Error::new(Kind::Contract, message)
    }

    /// Who waited for something that was stopped says no more than that: the run tells why.
    pub(crate) fn interrupted() -> Error {
        Error::new(Kind::Interrupted, "interrupted")
    }

    /// A panic. The message says where, as far as the panic hook saw it.
    pub(crate) fn internal() -> Error {
        Error::new(Kind::Internal, format!("internal error{}", crate::panics::last())).hint(crate::panics::HINT)
    }

    /// Why a task gave no result: it panicked, or it was stopped.
    pub(crate) fn of_task(e: &tokio::task::JoinError) -> Error {
        if e.is_panic() { Error::internal() } else { Error::interrupted() }
    }

    pub(crate) fn storage(message: impl Into<String>) -> Error {
        Error::new(Kind::Storage, message)
    }

    pub(crate) fn integrity(message: impl Into<String>) -> Error {
        Error::new(Kind::Integrity, message)
    }

    /// Adds the cure; the first one given stays.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Another cure in place of the one that is there.
    pub(crate) fn rather(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn refused(mut self, refusal: Refusal) -> Error {
        self.refusal = Some(Box::new(refusal));
        self
    }

    /// Adds the place, outermost last.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Error {
        self.path.insert(0, place.into());
        self
    }

    /// Points to the candidate nearest to what was typed, if one is near.
    pub(crate) fn meant<'a>(self, typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Error {
        match nearest(typed, candidates) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    pub(crate) fn cure(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.join(" "))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The nearest of `candidates` to what was typed, when it is near enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(typed, c), c))
        .min()
        .filter(|(distance, c)| *distance <= 1 + c.len() / 3)
        .map(|(_, c)| c)
}
