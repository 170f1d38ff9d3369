//! The control-flow graph of a function: edges, order and dominance. Computed afresh by whoever needs it.

use super::{Block, Function, Target, Terminator, Value};

impl Terminator {
    /// The values it looks at.
    pub fn own_operands(&self) -> Vec<Value> {
        match self {
            Self::Branch { a, b, .. } => vec![*a, *b],
            Self::Switch { value, .. } => vec![*value],
            Self::Jump(_) | Self::Return | Self::Stop => Vec::new(),
        }
    }

    /// The values it uses: what it looks at, then what it passes.
    pub fn operands(&self) -> Vec<Value> {
        let mut operands = self.own_operands();
        operands.extend(self.targets().into_iter().flat_map(|target| &target.arguments));
        operands
    }

    /// The same, to be changed.
    pub fn operands_mut(&mut self) -> Vec<&mut Value> {
        let (mut operands, targets) = match self {
            Self::Jump(target) => (Vec::new(), vec![target]),
            Self::Branch { a, b, then, otherwise, .. } => (vec![a, b], vec![then, otherwise]),
            Self::Switch { value, cases, default } => {
                (vec![value], cases.iter_mut().map(|(_, target)| target).chain([default]).collect())
            }
            Self::Return | Self::Stop => (Vec::new(), Vec::new()),
        };
        operands.extend(targets.into_iter().flat_map(|target| &mut target.arguments));
        operands
    }

    /// The edges out of the block, in order.
    pub fn targets(&self) -> Vec<&Target> {
        match self {
            Self::Jump(target) => vec![target],
            Self::Branch { then, otherwise, .. } => vec![then, otherwise],
            Self::Switch { cases, default, .. } => cases.iter().map(|(_, target)| target).chain([default]).collect(),
            Self::Return | Self::Stop => Vec::new(),
        }
    }

    /// The same, to be changed.
    pub fn targets_mut(&mut self) -> Vec<&mut Target> {
        match self {
            Self::Jump(target) => vec![target],
            Self::Branch { then, otherwise, .. } => vec![then, otherwise],
            Self::Switch { cases, default, .. } => {
                cases.iter_mut().map(|(_, target)| target).chain([default]).collect()
            }
            Self::Return | Self::Stop => Vec::new(),
        }
    }
}

impl Function {
    /// A block.
    pub fn block(&self, block: Block) -> &super::BlockData {
        &self.blocks[block.0 as usize]
    }

    /// All blocks, in the order of their numbers.
    pub fn block_ids(&self) -> impl Iterator<Item = Block> + use<> {
        (0..self.blocks.len() as u32).map(Block)
    }

    /// The blocks that can be reached, each before those that it dominates.
    pub fn reverse_postorder(&self) -> Vec<Block> {
        let mut seen = vec![false; self.blocks.len()];
        let mut order = Vec::with_capacity(self.blocks.len());
        // A block and its successors that have not been walked, the first one first; explicit, because unrolled scripts go
        // deep. The last edge is walked first, so that the first comes first in the reversed order.
        let targets = |block: Block| self.block(block).terminator.targets();
        let mut stack = vec![(Block(0), targets(Block(0)))];
        seen[0] = true;
        while let Some((block, left)) = stack.last_mut() {
            let Some(target) = left.pop() else {
                order.push(*block);
                stack.pop();
                continue;
            };
            if !std::mem::replace(&mut seen[target.block.0 as usize], true) {
                stack.push((target.block, targets(target.block)));
            }
        }
        order.reverse();
        order
    }

    /// For each block, those that jump to it; once for each edge. Blocks that cannot be reached do not count.
    pub fn predecessors(&self) -> Vec<Vec<Block>> {
        let mut predecessors = vec![Vec::new(); self.blocks.len()];
        for block in self.reverse_postorder() {
            for target in self.block(block).terminator.targets() {
                predecessors[target.block.0 as usize].push(block);
            }
        }
        predecessors
    }
}

/// Which blocks lie on every way to which others.
#[derive(Clone, Debug, Default)]
pub struct Dominators {
    /// `None` for blocks not (yet) known.
    tree: Vec<Option<Node>>,
}

/// A block's place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// The immediate dominator; the entry is its own.
    parent: Block,
    /// How many blocks are above it.
    depth: u32,
    /// Some block above it, so chosen that from each block a few of these jumps lead to any above (Myers, "An Applicative
    /// Random-Access Stack").
    far: Block,
}

impl Dominators {
    /// Of a whole function (Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm").
    pub fn compute(function: &Function) -> Self {
        let order = function.reverse_postorder();
        let predecessors = function.predecessors();
        let mut dominators = Self::default();
        let mut changed = true;
        while changed {
            changed = false;
            for &block in &order {
                changed |= dominators.add(block, &predecessors[block.0 as usize]);
            }
        }
        dominators
    }

    /// Places a block in the tree by those of its predecessors that are in it; the first one becomes the root.
    /// Whether anything has changed.
    pub fn add(&mut self, block: Block, predecessors: &[Block]) -> bool {
        let immediate = predecessors
            .iter()
            .copied()
            .filter(|&predecessor| self.node(predecessor).is_some())
            .reduce(|a, b| self.common(a, b))
            .unwrap_or(block);
        let node = match self.node(immediate).filter(|_| immediate != block) {
            None => Node { parent: block, depth: 0, far: block },
            Some(parent) => {
                let twice = self.far(parent.far);
                let even = parent.depth - self.depth(parent.far) == self.depth(parent.far) - self.depth(twice);
                Node { parent: immediate, depth: parent.depth + 1, far: if even { twice } else { immediate } }
            }
        };
        if self.tree.len() <= block.0 as usize {
            self.tree.resize(block.0 as usize + 1, None);
        }
        self.tree[block.0 as usize].replace(node) != Some(node)
    }

    /// Whether every way to `b` leads through `a`. A block dominates itself.
    pub fn dominates(&self, a: Block, mut b: Block) -> bool {
        let (Some(Node { depth, .. }), Some(_)) = (self.node(a), self.node(b)) else { return false };
        while self.depth(b) > depth {
            let far = self.far(b);
            b = if self.depth(far) >= depth { far } else { self.parent(b) };
        }
        a == b
    }

    fn node(&self, block: Block) -> Option<Node> {
        self.tree.get(block.0 as usize).copied().flatten()
    }

    fn depth(&self, block: Block) -> u32 {
        self.node(block).map_or(0, |node| node.depth)
    }

    fn parent(&self, block: Block) -> Block {
        self.node(block).map_or(block, |node| node.parent)
    }

    fn far(&self, block: Block) -> Block {
        self.node(block).map_or(block, |node| node.far)
    }

    fn common(&self, mut a: Block, mut b: Block) -> Block {
        while a != b {
            if self.depth(a) >= self.depth(b) {
                a = self.parent(a);
            } else {
                b = self.parent(b);
            }
        }
        a
    }
}
