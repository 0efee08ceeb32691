//! What a program may cost; each limit has its own error code and can be set for each call.

/// Upper bounds that hold before and while a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of source (`limit-source`); at most 2^24 whatever is set.
    pub source_bytes: usize,
    /// Tokens, a name and the parenthesis behind it being one; comments and line ends not counted (`limit-tokens`).
    pub tokens: usize,
    /// Open parentheses, and open signs and powers, at once (`limit-nesting`).
    pub nesting: usize,
    /// Operators after equal subexpressions are merged (`limit-operators`).
    pub operators: usize,
    /// Bytes that a run holds at once beside the table, temporary ones included (`limit-memory`).
    pub live_bytes: u64,
    /// Element-operations of one run, weighted by the cost of each operator (`limit-work`). A run whose score is not
    /// finite is repeated once, to find where it broke.
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

impl Limits {
    /// All of them by name, in the order above.
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("source_bytes", self.source_bytes as u64),
            ("tokens", self.tokens as u64),
            ("nesting", self.nesting as u64),
            ("operators", self.operators as u64),
            ("live_bytes", self.live_bytes),
            ("work", self.work),
        ]
    }

    /// Set one by name; false when none has it.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let size = usize::try_from(value).unwrap_or(usize::MAX);
        match name {
            "source_bytes" => self.source_bytes = size,
            "tokens" => self.tokens = size,
            "nesting" => self.nesting = size,
            "operators" => self.operators = size,
            "live_bytes" => self.live_bytes = value,
            "work" => self.work = value,
            _ => return false,
        }
        true
    }
}
