//! Whose key it is, known before anything is written: the first requests of a run are sent a little early.
//!
//! The header of any response tells the organization and the project of a key.
//! No request is sent for that alone: the first attempts of a key's first lists
//! are made before the tables begin, and each is kept until its list wants it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::{Answer, Attempt, Call, Client, Meter};
use crate::console::plain;
use crate::error::{Error, Kind};
use crate::schema::Surface;

/// What the responses to one key tell of it, and what they must not contradict.
#[derive(Default)]
pub(crate) struct Standing {
    organization: OnceLock<String>,
    project: OnceLock<String>,
    answered: AtomicBool,
    expected: OnceLock<Expected>,
}

/// What is settled of a key before its rows are written.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The organization by its id, by its name, or both.
    pub(crate) organizations: Vec<String>,
    /// What its rows carry as their project.
    pub(crate) project: Option<String>,
}

impl Standing {
    pub(crate) fn organization(&self) -> Option<&str> {
        self.organization.get().map(String::as_str)
    }

    pub(crate) fn project(&self) -> Option<&str> {
        self.project.get().map(String::as_str)
    }

    /// Whether a response was good.
    pub(crate) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// From now on a response that tells something else is an error.
    pub(crate) fn expect(&self, expected: Expected) {
        let _ = self.expected.set(expected);
    }

    pub(super) fn note(&self, organization: Option<&str>, project: Option<&str>, good: bool) {
        if let Some(organization) = told(organization) {
            self.organization.get_or_init(|| organization.to_string());
        }
        if let Some(project) = told(project) {
            self.project.get_or_init(|| project.to_string());
        }
        if good {
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    /// Rows of another owner, or under a name whose project became known too late, must not be written.
    pub(super) fn contradicted(
        &self,
        surface: Surface,
        organization: Option<&str>,
        project: Option<&str>,
    ) -> Option<Error> {
        let expected = self.expected.get()?;
        let alike = |known: &&String, said: &str| is_organization_id(known) == is_organization_id(said);
        if let Some(said) = told(organization)
            && let Some(known) = expected.organizations.iter().find(|known| alike(known, said))
            && known != said
        {
            let what = format!("the key is of organization {}, and the rows are of {}", plain(said), plain(known));
            return Some(
                Error::integrity(what)
                    .hint("run again: keys are compared with the destination before anything is written"),
            );
        }
        let (known, said) = (expected.project.as_deref()?, told(project)?);
        if surface != Surface::Project || known == said {
            return None;
        }
        let what = format!("the project of the key `{}` became known only now: {}", plain(known), plain(said));
        Some(Error::new(Kind::Unavailable, what).hint("run again: its rows carry the project's id then"))
    }
}

/// An id and a name of an organization cannot be compared with each other.
pub(crate) fn is_organization_id(organization: &str) -> bool {
    organization.starts_with("org-")
}

fn told(header: Option<&str>) -> Option<&str> {
    header.map(str::trim).filter(|text| !text.is_empty())
}

/// Attempts that were made before their list began.
#[derive(Default)]
pub(super) struct Early {
    /// Whether there are any: looked at for each request.
    some: AtomicBool,
    attempts: Mutex<Vec<(Call, Attempted)>>,
}

/// `None` if the response could not be kept: the request is sent once more then.
type Attempted = AbortOnDropHandle<Option<Attempt>>;

impl Early {
    fn attempts(&self) -> MutexGuard<'_, Vec<(Call, Attempted)>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt at this very request, once.
    pub(super) fn take(&self, call: &Call) -> Option<Attempted> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let mut attempts = self.attempts();
        let index = attempts.iter().position(|(early, _)| early == call)?;
        let (_, attempt) = attempts.swap_remove(index);
        self.some.store(!attempts.is_empty(), Ordering::Release);
        Some(attempt)
    }
}

/// What came of an early attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Good,
    /// Of this request alone; another one may tell more.
    Refused,
    /// Of the key, or nobody was there: another one would tell no more.
    Failed,
}

impl Client {
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Makes the first attempt at a request, which is kept for the list that will want it.
    pub(crate) fn ask_early(self: &Arc<Client>, call: Call, meter: Arc<Meter>) -> oneshot::Receiver<Word> {
        let (ended, end) = oneshot::channel();
        let (client, asked) = (Arc::clone(self), call.clone());
        let task = tokio::spawn(async move {
            let attempt = client.try_once(&asked, &meter).await.unwrap_or_else(Attempt::Fail);
            if let Attempt::Fail(error) = &attempt {
                client.note_denial(error);
            }
            let _ = ended.send(match &attempt {
                Attempt::Done(_) => Word::Good,
                Attempt::Fail(_) if client.denied.get().is_none() => Word::Refused,
                Attempt::Fail(_) | Attempt::Again { .. } => Word::Failed,
            });
            // Who waits for a table must not hold what the tables wait for.
            let blocks = matches!(&attempt, Attempt::Done(Answer::Body(_, share)) if share.is_the_one());
            (!blocks).then_some(attempt)
        });
        self.early.attempts().push((call, AbortOnDropHandle::new(task)));
        self.early.some.store(true, Ordering::Release);
        end
    }
}
