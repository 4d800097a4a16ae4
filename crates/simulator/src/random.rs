//! Numbers that look random and are not: every value of the organization is a pure
//! function of the seed and of the ids it belongs to, so nothing has to be stored
//! and the same seed gives the same bytes.

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A point in the tree of all values. Going down one branch never changes another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(mix(seed ^ 0x51AB_0F5E_ED00_0001))
    }

    /// The branch named by a word.
    pub(super) fn of(self, word: &str) -> Chance {
        word.bytes().fold(self, |chance, byte| chance.at(u64::from(byte) + 1))
    }

    /// The branch with a number.
    pub(super) fn at(self, number: u64) -> Chance {
        Chance(mix(self.0.rotate_left(17).wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))))
    }

    /// 0 up to, not including, `end`.
    pub(super) fn below(self, end: u64) -> u64 {
        self.0 % end.max(1)
    }

    /// `from` up to and including `to`.
    pub(super) fn between(self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1).max(1).unsigned_abs()).cast_signed()
    }

    pub(super) fn index(self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True once in `of` times.
    pub(super) fn once_in(self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of a list that is not empty; the type's default of an empty one.
    pub(super) fn pick<T: Copy + Default>(self, from: &[T]) -> T {
        from.get(self.index(from.len())).copied().unwrap_or_default()
    }

    /// An id as the API gives them: a prefix and letters.
    pub(super) fn id(self, prefix: &str, letters: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + letters);
        id.push_str(prefix);
        let mut state = self.0;
        for _ in 0..letters {
            state = mix(state);
            id.push(char::from(LETTERS[(state % 62) as usize]));
        }
        id
    }
}

/// The finalizer of splitmix64.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
