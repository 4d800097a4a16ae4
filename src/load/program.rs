//! The `duckdb` program: one process that is asked many times.
//!
//! SQL goes in on its standard input, JSON comes out, and a line of our own says
//! that an answer is whole. `-bail` ends the process at the first error; then its
//! words are the error, and the next question starts another process.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};

/// Ends an answer. No line of JSON looks like it.
const END: &str = "-- openai-elt: end of the answer";

/// The program with a database file open.
#[derive(Debug)]
pub(super) struct Session {
    program: PathBuf,
    file: PathBuf,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    words: JoinHandle<String>,
}

impl Session {
    pub(super) async fn start(program: &Path, file: &Path) -> Result<Session> {
        let mut command = Command::new(program);
        // Nothing of this user's start-up file may change what the SQL means.
        command.args(["-init", "/dev/null", "-bail", "-batch", "-json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| missing(program, &e.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(mut errors)) = pipes else {
            return Err(missing(program, "it has no pipes"));
        };
        // Read all the while, or a program with much to say would wait for us.
        let words = tokio::spawn(async move {
            let mut words = Vec::new();
            let _ = errors.read_to_end(&mut words).await;
            String::from_utf8_lossy(&words).into_owned()
        });
        let output = BufReader::new(output).lines();
        let mut session = Session { program: program.into(), file: file.into(), child, input, output, words };
        // Attached by a name of our own: a file that is named as the schema would make every name ambiguous.
        let name = session.file.display().to_string().replace('\'', "''");
        session.ask(&format!("ATTACH '{name}' AS _openai_elt;\nUSE _openai_elt;\nSET TimeZone = 'UTC';\n")).await?;
        Ok(session)
    }

    /// Runs SQL, and gives what it prints. After an error the session is of no more use.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<String> {
        // When it ends early, its own words say why.
        let _ = self.input.write_all(format!("{sql}\n.print {END}\n").as_bytes()).await;
        let _ = self.input.flush().await;
        let mut answer = String::new();
        while let Ok(Some(line)) = self.output.next_line().await {
            if line == END {
                return Ok(answer);
            }
            answer.push_str(&line);
            answer.push('\n');
        }
        let ended = self.child.wait().await.map_err(|e| missing(&self.program, &e.to_string()))?;
        let words = (&mut self.words).await.unwrap_or_default();
        Err(refused(&self.file, if words.trim().is_empty() { ended.to_string() } else { words }))
    }

    /// Lets the program close the file, which it then has to itself no longer.
    pub(super) async fn end(mut self) -> Result<()> {
        drop(self.input);
        let ended = self.child.wait().await.map_err(|e| missing(&self.program, &e.to_string()))?;
        match ended.success() {
            true => Ok(()),
            false => Err(refused(&self.file, self.words.await.unwrap_or_default())),
        }
    }
}

fn missing(program: &Path, why: &str) -> Error {
    Error::usage(format!("the program `{}` cannot be run: {why}", program.display())).hint(
        "pip install duckdb-cli, or --duckdb PROGRAM; or run what `openai-elt schema --dialect duckdb` prints yourself",
    )
}

fn refused(file: &Path, words: String) -> Error {
    let said = words.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect::<Vec<_>>().join(" ");
    let file = file.display();
    if said.contains("Could not set lock") || said.contains("Conflicting lock") {
        return Error::integrity(format!("{file} is open in another program")).hint("close it there, and load again");
    }
    if said.contains("not a valid DuckDB database file") {
        return Error::usage(format!("{file} is no DuckDB file")).hint("give another file, or move this one away");
    }
    if said.contains("Constraint Error") || said.contains("constraint violation") {
        return Error::new(Kind::Storage, format!("duckdb: {said}")).hint(
            "the lake's rows need not obey a constraint or unique index that somebody added: drop it, \
             or drop the table, which the next load makes and fills again; nothing of the group was loaded",
        );
    }
    Error::new(Kind::Storage, format!("duckdb: {said}"))
        .hint("nothing of the group was loaded; what was loaded before stays")
}
