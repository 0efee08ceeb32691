//! The programs of a tile as one graph of values, each computed once however many programs hold it.

use crate::dsl::{Axes, Hash, Instruction, Op, Program};

/// Not a node.
pub const NONE: u32 = u32::MAX;

/// One value that some programs share.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What computes it; its operands are nodes before it.
    pub instruction: Instruction,
    /// The last live node that reads it; its own place when none does.
    pub last_use: u32,
    /// Whether some score needs it.
    pub live: bool,
    /// The first program whose score it is, or `NONE`.
    pub owner: u32,
}

/// Values in the order in which they can be computed.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Node>,
    hashes: Vec<Hash>,
    /// Open addressing from hashes to nodes, each slot tagged with the round it was filled in.
    slots: Vec<Slot>,
    round: u32,
    /// The node of each instruction of the program that is being added.
    places: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    round: u32,
    node: u32,
}

/// What stands for "wanted, not found" while a program is added.
const WANTED: u32 = u32::MAX - 1;

impl Graph {
    /// Forgets all values; the memory stays.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.hashes.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
            self.round = 1;
        }
    }

    /// The values, operands first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds a program and returns the node of its score.
    ///
    /// From the score down, only what is not there yet is looked at; then the missing values are added from the
    /// operands up. Equal hashes are equal values: 128 bits name them across programs.
    pub fn add(&mut self, program: &Program) -> u32 {
        self.reserve(program.instructions.len());
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.resize(program.instructions.len(), NONE);
        if let Some(score) = places.last_mut() {
            *score = WANTED;
        }
        for (at, (instruction, hash)) in program.instructions.iter().zip(&program.hashes).enumerate().rev() {
            if places.get(at) != Some(&WANTED) {
                continue;
            }
            let found = self.find(*hash);
            if found != NONE {
                places[at] = found;
                continue;
            }
            for operand in instruction.operands() {
                if let Some(place) = places.get_mut(*operand as usize) {
                    *place = WANTED;
                }
            }
        }
        for (at, (instruction, hash)) in program.instructions.iter().zip(&program.hashes).enumerate() {
            if places.get(at) == Some(&WANTED) {
                let mut instruction = *instruction;
                let operands = instruction.op.operands();
                for operand in instruction.args.iter_mut().take(operands) {
                    *operand = places.get(*operand as usize).copied().unwrap_or(NONE);
                }
                places[at] = self.insert(instruction, *hash);
            }
        }
        let score = places.last().copied().unwrap_or(NONE);
        self.places = places;
        score
    }

    /// The node of a score times the squared error of each format, the column `error`.
    pub fn times_error(&mut self, score: u32, error: u16, hash: Hash) -> u32 {
        self.reserve(2);
        let axes = Axes::FORMAT;
        let name = Hash { high: u64::from(error), low: !u64::from(error) };
        let input = Instruction {
            op: Op::Input,
            axes,
            reduce: Axes::NONE,
            args: [u32::from(error), 0, 0],
            number: 0.0,
        };
        let input = self.find_or_insert(input, name);
        let product =
            Instruction { op: Op::Mul, axes, reduce: Axes::NONE, args: [score, input, 0], number: 0.0 };
        self.find_or_insert(product, Hash { high: !hash.high, low: hash.low.rotate_left(32) ^ hash.high })
    }

    /// Makes the node the score of `program`, unless it is already that of an earlier one, which is returned.
    pub fn own(&mut self, node: u32, program: u32) -> u32 {
        match self.nodes.get_mut(node as usize) {
            Some(node) => {
                if node.owner == NONE {
                    node.owner = program;
                }
                node.owner
            }
            None => program,
        }
    }

    /// Finds which values the scores need, and where each is read last.
    pub fn settle(&mut self) {
        for place in (0..self.nodes.len()).rev() {
            let Some(node) = self.nodes.get_mut(place) else { continue };
            node.live |= node.owner != NONE;
            if !node.live {
                continue;
            }
            let instruction = node.instruction;
            for operand in instruction.operands() {
                if let Some(read) = self.nodes.get_mut(*operand as usize).filter(|read| !read.live) {
                    (read.live, read.last_use) = (true, place as u32);
                }
            }
        }
    }

    fn find_or_insert(&mut self, instruction: Instruction, hash: Hash) -> u32 {
        let found = self.find(hash);
        if found == NONE { self.insert(instruction, hash) } else { found }
    }

    #[inline(always)]
    fn find(&self, hash: Hash) -> u32 {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash.low as usize & mask;
        while let Some(slot) = self.slots.get(at) {
            if slot.round != self.round {
                return NONE;
            }
            if self.hashes.get(slot.node as usize) == Some(&hash) {
                return slot.node;
            }
            at = (at + 1) & mask;
        }
        NONE
    }

    #[inline(always)]
    fn insert(&mut self, instruction: Instruction, hash: Hash) -> u32 {
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { instruction, last_use: node, live: false, owner: NONE });
        self.hashes.push(hash);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash.low as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.round != self.round {
                *slot = Slot { round: self.round, node };
                break;
            }
            at = (at + 1) & mask;
        }
        node
    }

    /// Keeps the slots at most half full with `more` values to come.
    fn reserve(&mut self, more: usize) {
        let needed = 2 * (self.nodes.len() + more);
        if needed <= self.slots.len() && self.round != 0 {
            return;
        }
        self.slots.clear();
        self.slots.resize(needed.next_power_of_two().max(4096), Slot::default());
        self.round = 1;
        let mask = self.slots.len() - 1;
        for (node, hash) in self.hashes.iter().enumerate() {
            let mut at = hash.low as usize & mask;
            while self.slots.get(at).is_some_and(|slot| slot.round == 1) {
                at = (at + 1) & mask;
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = Slot { round: 1, node: node as u32 };
            }
        }
    }
}
