//! How many requests a table will take, from its lists and from what its last run took.
//!
//! Pure, and never more certain than what is known: a list has one page at least,
//! how many more there are only a run tells. The last run of the same kind is
//! taken as it was; there is no model of growth, since a plan that is wrong in an
//! unknown way is worth less than one that says "as last time".

/// A number of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) number: u64,
    /// Not fewer, and nobody knows how many more.
    pub(crate) at_least: bool,
}

/// What a run took for a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
}

/// The lists of a table: chains of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lists {
    /// For each key, workspace or parent row; none when the parents are not in the lake yet.
    pub(crate) owners: Option<u64>,
    /// Windows of time; one for a table that is read whole.
    pub(crate) windows: u64,
    pub(crate) passes: u64,
}

impl Lists {
    /// How many chains there are, as far as that is known.
    pub(crate) fn number(self) -> Option<u64> {
        Some(self.owners? * self.windows * self.passes)
    }

    /// Requests, when `last` is what a run of the same kind took for one window of each list.
    pub(crate) fn requests(self, last: Option<Taken>) -> Requests {
        let fewest = self.number().unwrap_or(0);
        match last {
            Some(last) if self.windows > 0 => {
                Requests { number: fewest.max(last.requests * self.windows), at_least: false }
            }
            Some(_) => Requests::default(),
            None => Requests { number: fewest, at_least: self.owners != Some(0) && self.windows > 0 },
        }
    }
}

impl std::iter::Sum for Requests {
    fn sum<I: Iterator<Item = Requests>>(all: I) -> Requests {
        all.fold(Requests::default(), |sum, one| Requests {
            number: sum.number + one.number,
            at_least: sum.at_least || one.at_least,
        })
    }
}

/// How long so many requests take at the pace of `last`.
pub(crate) fn seconds(requests: Requests, last: Option<Taken>) -> Option<f64> {
    let last = last.filter(|l| l.requests > 0)?;
    Some(last.seconds * requests.number as f64 / last.requests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(owners: Option<u64>, windows: u64) -> Lists {
        Lists { owners, windows, passes: 2 }
    }

    #[test]
    fn a_plan_is_no_surer_than_what_is_known() {
        let last = Some(Taken { requests: 10, seconds: 5.0 });
        let at_least = |number| Requests { number, at_least: true };
        let about = |number| Requests { number, at_least: false };
        let cases = [
            (lists(Some(3), 1), None, at_least(6)),
            (lists(None, 1), None, at_least(0)),
            (lists(Some(0), 1), None, about(0)),
            (lists(Some(3), 0), None, about(0)),
            (lists(Some(3), 1), last, about(10)),
            (lists(Some(30), 1), last, about(60)),
            (lists(Some(3), 4), last, about(40)),
            (lists(None, 1), last, about(10)),
            (lists(Some(3), 0), last, about(0)),
        ];
        for (lists, last, expected) in cases {
            assert_eq!(lists.requests(last), expected, "{lists:?} {last:?}");
        }
    }

    #[test]
    fn the_pace_is_that_of_the_last_run() {
        let requests = Requests { number: 40, at_least: false };
        assert_eq!(seconds(requests, Some(Taken { requests: 10, seconds: 5.0 })), Some(20.0));
        assert_eq!(seconds(requests, Some(Taken { requests: 0, seconds: 5.0 })), None);
        assert_eq!(seconds(requests, None), None);
    }

    #[test]
    fn one_unknown_makes_the_sum_a_lower_bound() {
        let sum: Requests =
            [Requests { number: 2, at_least: true }, Requests { number: 3, at_least: false }].into_iter().sum();
        assert_eq!(sum, Requests { number: 5, at_least: true });
    }
}
