//! Where the instructions of a function begin: a breakpoint anywhere else would change what the program does.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use iced_x86::{Decoder, DecoderOptions};

use super::Function;

/// Most bytes of a function that are looked at.
const MOST: u64 = 1 << 20;

/// The addresses of the instructions of a function whose code lies at `offset`, up to the first that makes no sense.
pub fn instructions(file: &File, offset: u64, function: &Function) -> io::Result<BTreeSet<u64>> {
    let mut code = vec![0; function.size.min(MOST) as usize];
    let mut read = 0;
    while read < code.len() {
        match file.read_at(&mut code[read..], offset.saturating_add(read as u64))? {
            0 => break,
            more => read += more,
        }
    }
    let decoder = Decoder::with_ip(64, &code[..read], function.address, DecoderOptions::NONE);
    Ok(decoder
        .into_iter()
        .take_while(|instruction| !instruction.is_invalid())
        .map(|instruction| instruction.ip())
        .collect())
}
