use super::*;

fn record(digest: u64, user: u32, pid: u32, frames: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(digest.to_le_bytes());
    bytes.extend((frames.len() as u64).to_le_bytes());
    bytes.extend(pid.to_le_bytes());
    bytes.extend(user.to_le_bytes());
    bytes.extend(77u64.to_le_bytes());
    bytes.extend(88u64.to_le_bytes());
    bytes.extend(frames.iter().flat_map(|frame| frame.to_le_bytes()));
    bytes
}

fn user(style: FrameStyle) -> Frames {
    Frames { user: true, style, lines: false }
}

/// A function of this very process is named, by the file that it is in.
#[test]
fn a_frame_of_a_process_is_named_by_its_file() {
    let here = a_frame_of_a_process_is_named_by_its_file as fn() as usize as u64;
    let mut symbols = Symbols::default();
    symbols.learn(&record(1, 1, std::process::id(), &[here + 4, 1]));
    let id = StackId { digest: 1, frames: 2 };
    let text = symbols.show(id, user(FrameStyle::Named));
    let name = "tracer::host::symbols::tests::a_frame_of_a_process_is_named_by_its_file+4";
    assert_eq!(text, format!("\n        {name}\n        0x1\n"));
    let file = std::env::current_exe().unwrap();
    let perf = symbols.show(id, user(FrameStyle::Perf));
    assert_eq!(perf, format!("\n\t{:x} {name} ({})\n\t1 0x1 ([unknown])\n", here + 4, file.display()));
    assert_eq!(symbols.show(id, user(FrameStyle::Raw)), format!("\n{:x}\n1\n", here + 4));
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let symbols = Symbols::default();
    let frames = user(FrameStyle::Named);
    assert_eq!(symbols.show(StackId::default(), frames), "\n", "no frames");
    assert_eq!(symbols.show(StackId { digest: 5, frames: 3 }, frames), "\n        [frames lost]\n");
}

#[test]
fn records_that_are_cut_off_are_left_alone() {
    let mut symbols = Symbols::default();
    let whole = record(1, 0, 0, &[1, 2]);
    for end in 0..whole.len() {
        symbols.learn(&whole[..end]);
    }
    assert!(symbols.stacks.is_empty());
}

#[test]
fn notes_that_the_kernel_had_no_room_for_are_told() {
    let mut symbols = Symbols::default();
    assert_eq!(symbols.remarks(), [""; 0]);
    // PERF_RECORD_LOST: its kind, nothing, and how many bytes it has; an id, how many, and the time.
    let lost = [2u64 | 32 << 48, 7, 3, 1].map(u64::to_le_bytes).concat();
    symbols.note(&lost);
    symbols.note(&lost);
    let [remark] = &symbols.remarks()[..] else { panic!("{:?}", symbols.remarks()) };
    assert!(remark.starts_with("6 notes"), "{remark}");
}
