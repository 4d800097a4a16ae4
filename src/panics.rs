//! A panic is a bug, and still an error like any other: with an exit code, a report, and the lease given back.
//!
//! The hook prints nothing by itself, because the message of a panic quotes whatever the code held, and the default
//! one would print it from any thread in the middle of other lines. It keeps place and message, without the values of
//! secret variables; whoever waits for the work turns that into an error. A backtrace is printed if RUST_BACKTRACE
//! asks for one.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;

use crate::console::{plain, tell};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// What to do about a bug.
pub(crate) const HINT: &str =
    "this is a bug: please report this line; what was committed stays, and running again is safe";

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Installs the hook, for the whole process.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let text = format!(" at {}: {}", place(info), said(info));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            tell(&format!("internal error{text}\n{}", Backtrace::force_capture()));
        }
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
}

/// Place and message of the last panic, as the end of a sentence; empty if there was none.
pub(crate) fn last() -> String {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

/// Runs work, and turns its panic into an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal()))
}

/// The same for work that waits. What the work shares with others may be half done: nobody may use it but to end.
pub(crate) async fn caught_async<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(Error::internal()))
}

/// File and line, without the folders of the machine that built the program.
fn place(info: &PanicHookInfo<'_>) -> String {
    let Some(location) = info.location() else { return "an unknown place".to_string() };
    let file = location.file();
    let file = match file.split_once("registry/src/") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, file)| file),
        None => file,
    };
    format!("{file}:{}", location.line())
}

fn said(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text =
        payload.downcast_ref::<&str>().map(ToString::to_string).or_else(|| payload.downcast_ref::<String>().cloned());
    plain(&without_secrets(&text.unwrap_or_default(), std::env::vars_os()))
}

/// Removes the values of variables whose names tell that they are secret.
fn without_secrets(text: &str, variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> String {
    const TELLING: [&str; 7] = ["KEY", "SECRET", "TOKEN", "PASS", "SAS", "CREDENTIAL", "PROXY"];
    let is_secret = |name: &str| TELLING.iter().any(|part| name.to_ascii_uppercase().contains(part));
    let secrets = variables.filter(|(name, _)| name.to_str().is_some_and(is_secret));
    secrets
        .filter_map(|(_, value)| value.into_string().ok())
        .flat_map(|value| [value.trim().to_string(), value])
        .filter(|value| value.len() > 3)
        .fold(text.to_string(), |text, secret| Secret::new(secret).hide_in(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_panic_holds_no_secret() {
        let variables = || {
            [("AWS_SECRET_ACCESS_KEY", "a-secret/of+somebody\n"), ("HOME", "/home/ada"), ("PGPASSWORD", "hunter2")]
                .map(|(name, value)| (name.into(), value.into()))
                .into_iter()
        };
        let text = "called `unwrap()` on \"a-secret/of+somebody\" of /home/ada with hunter2";
        assert_eq!(without_secrets(text, variables()), "called `unwrap()` on \"[secret]\" of /home/ada with [secret]");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own_kind() {
        async fn work() -> Result<()> {
            panic!("boo")
        }
        assert_eq!(caught_async(work()).await.unwrap_err().kind, crate::error::Kind::Internal);
        assert!(caught(|| Ok(1)).is_ok());
    }
}
