//! Generated code against what the IR means: in an interpreter of BPF, in the kernel, and as text.

mod build;
mod interpret;
mod kernel;
mod machine;
mod object;
mod random;
mod text;

use proptest::prelude::*;

use self::random::Flavour;
use crate::compile::ir::{Module, optimise};

/// Memory that looks like nothing in particular.
fn memory() -> Vec<u8> {
    (0..random::MEMORY as u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn code_does_what_the_ir_means(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let function = random::function("random", &choices, Flavour::Interpreter);
        let (mut expected, mut found) = (memory(), memory());
        interpret::run(&function, &mut expected);
        let (lines, frame) = machine::compile(&function);
        prop_assume!(frame <= 512);
        machine::run(&lines, &mut found);
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn the_passes_change_nothing_that_can_be_seen(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let function = random::function("random", &choices, Flavour::Interpreter);
        let mut module = Module { functions: vec![function.clone()], ..Module::default() };
        optimise(&mut module);
        let (mut expected, mut found) = (memory(), memory());
        interpret::run(&function, &mut expected);
        interpret::run(&module.functions[0], &mut found);
        prop_assert_eq!(expected, found);
    }
}
