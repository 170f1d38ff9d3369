//! The texts that an array points to, as a program's arguments lie in memory.

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
};
use tracer_common::record::{JOINED_SIZE, JOINED_TEXTS};

/// The address at an index of an array, or the error.
///
/// # Safety
/// The kernel looks whether there is something to be read.
#[inline(always)]
unsafe fn address_at(array: u64, index: u64, user: bool) -> Result<u64, i64> {
    let mut address = 0_u64;
    let to = (&raw mut address).cast();
    let from = (array + 8 * index) as *const _;
    // SAFETY: there is room for 8 bytes.
    let result = unsafe { if user { bpf_probe_read_user(to, 8, from) } else { bpf_probe_read_kernel(to, 8, from) } };
    if result == 0 { Ok(address) } else { Err(result) }
}

/// Writes the texts, each with its NUL. The first empty one and address 0 end the list, as in bpftrace. The low half of the
/// result is how many bytes those are, the high half the error, negated, if something could not be read.
///
/// # Safety
/// `to` has room for [`JOINED_TEXTS`] texts of [`JOINED_SIZE`] bytes; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_join(to: *mut u8, array: u64, user: u64) -> u64 {
    let mut end = 0_u64;
    for index in 0..JOINED_TEXTS as u64 {
        // SAFETY: nothing is read that is not there, and what is written fits: the first so many texts end within so many times
        // the size of one.
        let length = unsafe {
            let address = match address_at(array, index, user != 0) {
                Ok(0) => break,
                Ok(address) => address,
                Err(error) => return failed(error, end),
            };
            if end > (JOINED_TEXTS as u64 - 1) * JOINED_SIZE as u64 {
                break;
            }
            let text = to.add(end as usize).cast();
            let from = address as *const _;
            if user != 0 {
                bpf_probe_read_user_str(text, JOINED_SIZE as u32, from)
            } else {
                bpf_probe_read_kernel_str(text, JOINED_SIZE as u32, from)
            }
        };
        if length < 0 {
            return failed(length, end);
        }
        // Of an empty text of a process, older kernels (6.1 and 6.12) say 0, not 1.
        if length <= 1 || length > JOINED_SIZE as i64 {
            break;
        }
        end += length as u64;
    }
    end
}

#[inline(always)]
fn failed(error: i64, end: u64) -> u64 {
    ((-error) as u64) << 32 | end
}
