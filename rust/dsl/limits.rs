//! What a program may cost; each limit has its own error code and can be set for each call.

/// Upper bounds that hold before and while a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of source (`limit-source`); at most 2^24 whatever is set.
    pub source_bytes: usize,
    /// Tokens, comments and line ends not counted (`limit-tokens`).
    pub tokens: usize,
    /// Open parentheses, and open signs and powers, at once (`limit-nesting`).
    pub nesting: usize,
    /// Operators after equal subexpressions are merged (`limit-operators`).
    pub operators: usize,
    /// Bytes of values held at once while the program runs (`limit-memory`).
    pub live_bytes: u64,
    /// Element-operations of one run, weighted by the cost of each operator (`limit-work`).
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            source_bytes: 16 << 10,
            tokens: 4096,
            nesting: 64,
            operators: 512,
            live_bytes: 1 << 30,
            work: 100_000_000_000,
        }
    }
}
