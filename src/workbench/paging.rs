//! The pages of one list, from answers that may be anything.

use std::collections::HashSet;

use super::catalog;
use super::tree::Tree;
use crate::fetch::Chain;
use crate::schema::{Paging, Pointer};

/// The chain of a table's pages.
pub struct Pages {
    paging: Paging,
    rows: Option<Pointer>,
    chain: Chain,
}

impl Pages {
    /// None when the catalog has no such table, or its list comes in one answer.
    pub fn new(table: &str) -> Option<Pages> {
        let table = catalog().get(table)?;
        let rows = table.request.rows.first().cloned();
        Some(Pages { paging: table.paging.clone()?, rows, chain: Chain::default() })
    }

    /// The next page's token; none at the end of the list.
    pub fn next(&mut self, answer: &str) -> Result<Option<String>, String> {
        self.chain.next(&self.paging, self.rows.as_ref(), answer).map_err(|e| e.to_string())
    }

    /// Reads these answers, one after the other, and says what is wrong with where the list went.
    pub fn hold<'a>(mut self, answers: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let mut seen = HashSet::new();
        for answer in answers {
            let next = self.next(answer);
            if let Ok(tree) = Tree::read(answer)
                && tree.depth() <= crate::decode::json::MAX_DEPTH
            {
                self.expected(&tree, &next)?;
            }
            match next {
                Ok(Some(token)) if token.is_empty() || !seen.insert(token.clone()) => {
                    return Err(format!("the token {token:?} leads nowhere new"));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(told) if told.is_empty() => return Err("an error without words".to_string()),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// What an answer's own words mean, read from its tree.
    fn expected(&self, answer: &Tree, next: &Result<Option<String>, String>) -> Result<(), String> {
        let at = |pointer: &Option<Pointer>| pointer.as_ref().and_then(|p| answer.at(&p.0));
        let records = match at(&self.rows) {
            Some(Tree::List(items)) => items.as_slice(),
            _ => &[],
        };
        let said = match at(&self.paging.while_) {
            Some(Tree::Bool(more)) => Some(*more),
            _ => None,
        };
        let last = self.paging.last.as_ref().and_then(|p| records.last()?.at(&p.0)).and_then(token);
        let from = at(&self.paging.from).and_then(token);
        let more = match (&self.paging.while_, said) {
            (Some(_), Some(more)) => more,
            (Some(_), None) if !self.paging.until_empty => {
                return next.is_err().then_some(()).ok_or_else(|| format!("{next:?} without `while`"));
            }
            (None, _) if !self.paging.until_empty => from.is_some(),
            _ => !records.is_empty(),
        };
        let ends = !more || (records.is_empty() && self.paging.empty_ends);
        let right = match (next, from.or(last)) {
            (Ok(None), _) => ends,
            (Ok(Some(token)), Some(expected)) => !ends && *token == expected,
            (Ok(Some(_)), None) => false,
            // Without a token, in circles, or empty for too long.
            (Err(_), _) => !ends,
        };
        right.then_some(()).ok_or_else(|| format!("the list went to {next:?}, ends: {ends}"))
    }
}

fn token(tree: &Tree) -> Option<String> {
    match tree {
        Tree::Text(text) if !text.is_empty() => Some(text.clone()),
        Tree::Number(digits) => Some(digits.clone()),
        _ => None,
    }
}
