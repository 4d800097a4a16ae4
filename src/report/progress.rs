//! What is shown while a run goes on: a display on a terminal, lines in a log.
//!
//! On a terminal one block that is redrawn: what is running, rows, requests,
//! and whether everybody waits for the rate limit. Elsewhere one line for each
//! table that ends, and nothing that a log would have to throw away.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use super::{Track, counted, grouped};
use crate::console::tell;
use crate::fetch::budget::Budget;

const REDRAW: Duration = Duration::from_millis(120);
/// Longer, and a log shows that the run is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Progress {
    pub(crate) fn start(tracks: Vec<Arc<Track>>, budgets: Vec<Arc<Budget>>) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            match shown {
                Some(bar) => draw(&bar, &tracks, &budgets).await,
                None => log(&tracks, &budgets).await,
            }
        });
        Progress { bar, task: Some(AbortOnDropHandle::new(task)) }
    }

    /// The same for a load, which asks nobody: rows and slices are those of the database.
    pub(crate) fn loading(tracks: Vec<Arc<Track>>) -> Progress {
        Progress::start(tracks, Vec::new())
    }

    /// Takes the display away; the summary comes in its place.
    pub(crate) fn stop(mut self) {
        self.task.take();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

async fn draw(bar: &ProgressBar, tracks: &[Arc<Track>], budgets: &[Arc<Budget>]) {
    loop {
        bar.set_message(line(tracks, budgets));
        bar.tick();
        tokio::time::sleep(REDRAW).await;
    }
}

fn line(tracks: &[Arc<Track>], budgets: &[Arc<Budget>]) -> String {
    let running: Vec<&str> = tracks.iter().filter(|t| t.is_running()).map(|t| t.name.as_str()).collect();
    let ended = tracks.iter().filter(|t| t.ended().is_some()).count();
    let sum = |f: fn(&Track) -> u64| tracks.iter().map(|t| f(t)).sum::<u64>();
    let mut line = format!(
        "{ended}/{}, {}, {}",
        counted(tracks.len() as u64, "table"),
        counted(sum(|t| t.slices.load(Ordering::Relaxed)), "slice"),
        counted(sum(|t| t.rows.load(Ordering::Relaxed)), "row"),
    );
    if !budgets.is_empty() {
        line.push_str(&format!(", {}", counted(sum(|t| t.meter.requests.load(Ordering::Relaxed)), "request")));
    }
    let pause = budgets.iter().map(|b| b.pause()).max().unwrap_or_default();
    if pause > REDRAW {
        line.push_str(&format!(", waiting {} s for the rate limit", pause.as_secs() + 1));
    }
    if !running.is_empty() {
        line.push_str(&format!(" · {}", running.join(", ")));
    }
    line
}

async fn log(tracks: &[Arc<Track>], budgets: &[Arc<Budget>]) {
    let mut told = vec![false; tracks.len()];
    let mut last = Instant::now();
    loop {
        for (track, told) in tracks.iter().zip(&mut told) {
            if let (false, Some(status)) = (*told, track.ended()) {
                *told = true;
                last = Instant::now();
                tell(&if budgets.is_empty() { loaded(track, &status) } else { ended(track, &status) });
            }
        }
        if last.elapsed() > SIGN_OF_LIFE {
            last = Instant::now();
            tell(&line(tracks, budgets));
        }
        tokio::time::sleep(REDRAW).await;
    }
}

fn loaded(track: &Track, status: &str) -> String {
    let report = track.report();
    let reason = report.error.as_ref().map(|e| format!(": {}", e.message)).unwrap_or_default();
    let slices = counted(track.slices.load(Ordering::Relaxed), "slice");
    format!(
        "{}: {status}, {} in {slices}, {:.1} s{reason}",
        track.name,
        counted(report.rows_read, "row"),
        report.seconds
    )
}

fn ended(track: &Track, status: &str) -> String {
    let report = track.report();
    let reason = report.error.as_ref().map(|e| format!(": {}", e.message)).unwrap_or_default();
    format!(
        "{}: {status}, {} read, {} written in {}, {}, {:.1} s{reason}",
        track.name,
        counted(report.rows_read, "row"),
        grouped(report.rows_written),
        counted(report.objects.len() as u64, "slice"),
        counted(report.requests, "request"),
        report.seconds
    )
}
