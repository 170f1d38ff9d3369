//! Blocks of instructions → one sequence: jumps threaded, blocks that are not expected to run last.

use super::insn::{AluOp, Bits, Condition, Insn, Operand, Reg};
use crate::compile::source::Span;

/// A basic block on registers.
#[derive(Debug)]
pub struct CodeBlock {
    /// What it does, and the source of each step.
    pub steps: Vec<(Step, Span)>,
    /// How it ends.
    pub exit: CodeExit,
    /// Where the exit comes from.
    pub exit_span: Span,
    /// Not expected to run.
    pub cold: bool,
}

/// Part of a block.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// An instruction that is no jump.
    Insn(Insn),
    /// Passes over the next step if the condition holds.
    SkipNextIf(Condition),
}

/// How a block ends; targets are indices of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeExit {
    /// To another block.
    Jump(usize),
    /// To one of two.
    Branch {
        /// Decides.
        condition: Condition,
        /// Where it holds.
        then: usize,
        /// Where it does not.
        otherwise: usize,
    },
    /// Returns 0.
    Return,
    /// Returns 1.
    Stop,
}

/// An instruction and the source that it comes from. Jumps name an index among the function's lines.
pub type Line = (Insn, Span);

impl CodeBlock {
    /// A block that does nothing yet.
    pub fn new(exit_span: Span, cold: bool) -> Self {
        Self { steps: Vec::new(), exit: CodeExit::Return, exit_span, cold }
    }
}

impl CodeExit {
    /// Lets the target number `which` be another block.
    pub fn redirect(&mut self, which: usize, to: usize) {
        match (self, which) {
            (Self::Jump(target), 0) | (Self::Branch { then: target, .. }, 0) => *target = to,
            (Self::Branch { otherwise: target, .. }, 1) => *target = to,
            (exit, which) => unreachable!("{exit:?} has no target {which}"),
        }
    }
}

/// Puts the blocks one after the other; the first one is the entry.
pub fn lay_out(mut blocks: Vec<CodeBlock>) -> Vec<Line> {
    thread(&mut blocks);
    let order = order(&blocks);
    let mut lines = Vec::new();
    let mut starts = vec![usize::MAX; blocks.len()];
    // Until all blocks have been placed, a jump names its block; one past the last block, and so on, stand for lines.
    for (position, &block) in order.iter().enumerate() {
        let CodeBlock { steps, exit, exit_span, .. } = &blocks[block];
        starts[block] = lines.len();
        for &(step, span) in steps {
            match step {
                Step::Insn(insn) => lines.push((insn, span)),
                Step::SkipNextIf(condition) => {
                    lines.push((Insn::Branch { condition, to: blocks.len() + lines.len() + 2 }, span))
                }
            }
        }
        let next = order.get(position + 1).copied();
        leave(&blocks, *exit, *exit_span, next, &mut lines);
    }
    for (insn, _) in &mut lines {
        if let Some(to) = insn.target() {
            insn.set_target(if to < blocks.len() { starts[to] } else { to - blocks.len() });
        }
    }
    reachable(lines)
}

/// The lines that something comes to; the verifier takes no others. The end of a program may be none of them: who jumps
/// there ends by itself.
fn reachable(lines: Vec<Line>) -> Vec<Line> {
    let mut reached = vec![false; lines.len()];
    let mut ways = vec![0];
    while let Some(mut at) = ways.pop() {
        while !std::mem::replace(&mut reached[at], true) {
            let (insn, _) = &lines[at];
            ways.extend(insn.target());
            if !insn.falls_through() {
                break;
            }
            at += 1;
        }
    }
    let mut place = 0;
    let places: Vec<usize> = reached
        .iter()
        .map(|&reached| {
            place += usize::from(reached);
            place - usize::from(reached)
        })
        .collect();
    let mut kept = reached.iter();
    let mut lines = lines;
    lines.retain(|_| kept.next() == Some(&true));
    for (insn, _) in &mut lines {
        if let Some(to) = insn.target() {
            insn.set_target(places[to]);
        }
    }
    lines
}

/// The end of a block that `next` is placed behind.
fn leave(blocks: &[CodeBlock], exit: CodeExit, span: Span, next: Option<usize>, lines: &mut Vec<Line>) {
    match exit {
        CodeExit::Jump(to) if Some(to) == next => {}
        CodeExit::Jump(to) if is_return(&blocks[to]) => leave(blocks, CodeExit::Return, span, next, lines),
        CodeExit::Jump(to) => lines.push((Insn::Jump { to }, span)),
        CodeExit::Branch { condition, then, otherwise } => {
            let inverse = condition.op.negated().filter(|_| Some(then) == next);
            if let Some(op) = inverse {
                lines.push((Insn::Branch { condition: Condition { op, ..condition }, to: otherwise }, span));
            } else {
                lines.push((Insn::Branch { condition, to: then }, span));
                leave(blocks, CodeExit::Jump(otherwise), span, next, lines);
            }
        }
        CodeExit::Return | CodeExit::Stop => {
            let src = Operand::Imm(i32::from(exit == CodeExit::Stop));
            lines.push((Insn::Alu { bits: Bits::B64, op: AluOp::Mov, dst: Reg::RESULT, src }, span));
            lines.push((Insn::Exit, span));
        }
    }
}

fn is_return(block: &CodeBlock) -> bool {
    block.steps.is_empty() && block.exit == CodeExit::Return
}

/// Leads jumps to a block that only jumps to where that one goes, and makes a branch to one place a jump.
fn thread(blocks: &mut [CodeBlock]) {
    let end_of = |blocks: &[CodeBlock], start: usize| {
        let mut at = start;
        // An endless loop of empty blocks ends the search.
        for _ in 0..blocks.len() {
            match blocks[at] {
                CodeBlock { ref steps, exit: CodeExit::Jump(to), .. } if steps.is_empty() => at = to,
                _ => break,
            }
        }
        at
    };
    for block in 0..blocks.len() {
        blocks[block].exit = match blocks[block].exit {
            CodeExit::Jump(to) => CodeExit::Jump(end_of(blocks, to)),
            CodeExit::Branch { condition, then, otherwise } => {
                let (then, otherwise) = (end_of(blocks, then), end_of(blocks, otherwise));
                if then == otherwise { CodeExit::Jump(then) } else { CodeExit::Branch { condition, then, otherwise } }
            }
            exit @ (CodeExit::Return | CodeExit::Stop) => exit,
        };
    }
}

/// After so many steps, cold blocks are placed before more of the others: what leads to them and back is to be near.
const PART: usize = 8192;

/// The blocks that can be reached, each followed where possible by one that it leads to; cold ones last, of a long function
/// last in each part of it.
fn order(blocks: &[CodeBlock]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut placed = vec![false; blocks.len()];
    let (mut hot, mut cold) = (vec![0], Vec::new());
    let mut steps = 0;
    // Whether a part is at its end, and its cold blocks are placed.
    let mut closing = false;
    loop {
        closing &= !cold.is_empty();
        let start = if closing { cold.pop() } else { hot.pop().or_else(|| cold.pop()) };
        let Some(mut at) = start else { return order };
        while !std::mem::replace(&mut placed[at], true) {
            order.push(at);
            steps += blocks[at].steps.len();
            let mut targets = match blocks[at].exit {
                CodeExit::Jump(to) => vec![to],
                // A condition without a negation can only pass over what comes next.
                CodeExit::Branch { condition, then, otherwise } if condition.op.negated().is_none() => {
                    vec![otherwise, then]
                }
                CodeExit::Branch { then, otherwise, .. } => vec![then, otherwise],
                CodeExit::Return | CodeExit::Stop => vec![],
            };
            // Where the program goes on comes next; its end can be jumped to from anywhere.
            targets.sort_by_key(|to| is_return(&blocks[*to]));
            let suits = |to: usize| blocks[to].cold == blocks[at].cold || (blocks[at].cold && !closing);
            let next = targets.iter().copied().find(|&to| !placed[to] && suits(to));
            for to in targets.into_iter().filter(|to| Some(*to) != next && !placed[*to]) {
                if blocks[to].cold {
                    cold.push(to);
                } else if closing {
                    // Where the part before goes on comes first.
                    hot.insert(0, to);
                } else {
                    hot.push(to);
                }
            }
            match next {
                Some(next) if steps >= PART && !blocks[at].cold && !cold.is_empty() => {
                    hot.push(next);
                    (closing, steps) = (true, 0);
                    break;
                }
                Some(next) => at = next,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::bpf::insn::JumpOp;

    fn steps(count: usize) -> Vec<(Step, Span)> {
        let insn = Insn::Alu { bits: Bits::B64, op: AluOp::Add, dst: Reg::R1, src: Operand::Imm(1) };
        vec![(Step::Insn(insn), Span::default()); count]
    }

    #[test]
    fn an_end_that_nothing_jumps_to_is_left_out() {
        // There is no jump for bits that are not set, so the way to the end is written out.
        let condition = Condition { bits: Bits::B64, op: JumpOp::Set, a: Reg::R1, b: Operand::Imm(4) };
        let block = |count, exit| CodeBlock { steps: steps(count), exit, exit_span: Span::default(), cold: false };
        let blocks = vec![
            block(1, CodeExit::Branch { condition, then: 1, otherwise: 2 }),
            block(1, CodeExit::Return),
            block(0, CodeExit::Return),
        ];
        assert_eq!(lay_out(blocks).len(), 2 + 2 + 1 + 2, "one of the two ends alone");
    }

    #[test]
    fn what_is_cold_stays_near_in_a_long_function() {
        const LENGTH: usize = 6000;
        // Each of the first half leads to the next, or to a cold one that leads there too.
        let hot = (0..LENGTH).map(|at| {
            let condition = Condition { bits: Bits::B64, op: JumpOp::Eq, a: Reg::R1, b: Operand::Imm(at as i32) };
            let exit = match at + 1 {
                LENGTH => CodeExit::Return,
                next => CodeExit::Branch { condition, then: LENGTH + at, otherwise: next },
            };
            CodeBlock { steps: steps(10), exit, exit_span: Span::default(), cold: false }
        });
        let cold = (1..LENGTH).map(|next| CodeBlock {
            steps: steps(5),
            exit: CodeExit::Jump(next),
            exit_span: Span::default(),
            cold: true,
        });
        let lines = lay_out(hot.chain(cold).collect());
        let insns = lines.iter().filter(|(insn, _)| matches!(insn, Insn::Alu { op: AluOp::Add, .. })).count();
        assert_eq!(insns, LENGTH * 10 + (LENGTH - 1) * 5, "every block stands somewhere, once");
        let far = lines.iter().enumerate().filter_map(|(at, (insn, _))| Some(insn.target()?.abs_diff(at))).max();
        assert!(far.is_some_and(|far| far < 2 * PART), "{far:?}");
    }
}
