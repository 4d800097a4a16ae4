//! The pages of one list, each asked for while the one before is being decoded.

use std::sync::Arc;

use futures::Stream;
use futures::stream::try_unfold;
use tokio_util::task::AbortOnDropHandle;

use super::page::Chain;
use super::{Call, Client, Meter, Text};
use crate::error::{Error, Result};
use crate::schema::{Paging, Pointer, Table};

/// Says of each page whether the rest of its list need not be asked for.
pub(crate) type Enough = Box<dyn FnMut(&str) -> bool + Send>;

/// One answer of a list.
pub(crate) struct Page {
    pub(crate) text: Text,
    /// The list goes on, and was not asked any further.
    pub(crate) cut: bool,
    /// The list ends here with nothing, although the page before said that more follow.
    pub(crate) broke_off: bool,
}

pub(crate) struct List {
    client: Arc<Client>,
    meter: Arc<Meter>,
    call: Call,
    paging: Option<Paging>,
    rows: Option<Pointer>,
    of_files: bool,
    chain: Chain,
    page: u32,
    /// The next page, on its way. Dropping the list takes its request back.
    coming: Option<AbortOnDropHandle<Result<Text>>>,
    enough: Option<Enough>,
}

impl List {
    /// Nothing is asked before the first page is awaited.
    pub(crate) fn new(client: Arc<Client>, meter: Arc<Meter>, table: &Table, call: Call) -> List {
        List {
            client,
            meter,
            call,
            paging: table.paging.clone(),
            rows: table.request.rows.first().cloned(),
            of_files: table.files.is_some(),
            chain: Chain::default(),
            page: 0,
            coming: None,
            enough: None,
        }
    }

    /// The same list, read no further than `enough` says.
    pub(crate) fn until(self, enough: Option<Enough>) -> List {
        List { enough, ..self }
    }

    /// The next page; none after the last one.
    async fn next(&mut self) -> Result<Option<Page>> {
        let first = self.page == 0;
        self.page += 1;
        let answer = match self.coming.take() {
            Some(coming) => coming.await.map_err(|e| Error::of_task(&e))?,
            None if first => self.client.send(&self.call, &self.meter).await,
            None => return Ok(None),
        };
        let answer = answer.map_err(|e| self.at(e))?;
        let mut cut = false;
        if let Some(paging) = &self.paging {
            let token = self.chain.next(paging, self.rows.as_ref(), &answer).map_err(|e| self.at(e))?;
            // Asked before the next page is: that would be the request that is saved.
            cut = token.is_some() && self.enough.as_mut().is_some_and(|enough| enough(&answer));
            let token = token.filter(|_| !cut);
            let call = token.map(|token| self.call.page(&paging.send, &self.before(token)));
            self.coming = call.map(|call| self.ask(call));
            if self.coming.is_some() {
                // What was spawned waits for this thread, which would decode first and ask afterwards.
                tokio::task::yield_now().await;
            }
        }
        Ok(Some(Page { text: answer, cut, broke_off: self.chain.broke_off() }))
    }

    /// Files that were closed in one instant must not be parted by a page's edge:
    /// their list is asked again from a millisecond before, and repetitions are dropped.
    fn before(&self, token: String) -> String {
        let time = chrono::DateTime::parse_from_rfc3339(&token).ok().filter(|_| self.of_files);
        match time {
            Some(time) => {
                (time.to_utc() - chrono::Duration::milliseconds(1)).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
            }
            None => token,
        }
    }

    fn ask(&self, call: Call) -> AbortOnDropHandle<Result<Text>> {
        let (client, meter) = (Arc::clone(&self.client), Arc::clone(&self.meter));
        AbortOnDropHandle::new(tokio::spawn(async move { client.send(&call, &meter).await }))
    }

    fn at(&self, error: Error) -> Error {
        match self.page {
            1 => error,
            page => error.at(format!("page {page}")),
        }
    }

    pub(crate) fn pages(self) -> impl Stream<Item = Result<Page>> + Send {
        try_unfold(self, |mut list| async move { Ok(list.next().await?.map(|page| (page, list))) })
    }
}
