//! `slow N` calls `slow::work` N times.

use std::thread::sleep;
use std::time::Duration;

#[inline(never)]
fn work(i: u32) -> u32 {
    sleep(Duration::from_millis(2));
    std::hint::black_box(i + 1)
}

fn main() {
    let calls = std::env::args().nth(1).and_then(|calls| calls.parse().ok()).unwrap_or(0);
    for i in 0..calls {
        assert_eq!(work(i), i + 1);
    }
}
