//! DPDK's log, kept in memory: the last lines go into error texts, nothing reaches the terminal.

use dpdk_sys::{FILE, cookie_io_functions_t, fopencookie, rte_openlog_stream};
use std::collections::VecDeque;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes kept; older ones are forgotten, so a driver that complains for days costs nothing.
const CAPACITY: usize = 16 * 1024;

static BUFFER: Mutex<VecDeque<u8>> = Mutex::new(VecDeque::new());

fn buffer() -> MutexGuard<'static, VecDeque<u8>> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by stdio with what DPDK printed.
unsafe extern "C" fn write(_cookie: *mut c_void, data: *const c_char, len: usize) -> i64 {
    if len == 0 || data.is_null() {
        return 0;
    }
    // SAFETY: stdio hands over `len` readable bytes.
    append(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) });
    i64::try_from(len).unwrap_or(i64::MAX)
}

unsafe extern "C" fn close(_cookie: *mut c_void) -> c_int {
    0
}

fn append(bytes: &[u8]) {
    let mut buffer = buffer();
    buffer.extend(bytes);
    let excess = buffer.len().saturating_sub(CAPACITY);
    buffer.drain(..excess);
}

/// Sends DPDK's log here. Returns `false` if the C library gives no stream; the log then stays on stderr.
pub(crate) fn capture() -> bool {
    let functions = cookie_io_functions_t { read: None, write: Some(write), seek: None, close: Some(close) };
    // SAFETY: the mode is a C string; the functions are valid for the life of the process and need no cookie.
    let stream: *mut FILE = unsafe { fopencookie(std::ptr::null_mut(), c"w".as_ptr(), functions) };
    if stream.is_null() {
        return false;
    }
    // SAFETY: the stream is open and never closed.
    unsafe { rte_openlog_stream(stream) == 0 }
}

/// Forgets what was logged so far, so that the next [`take`] tells about what comes now.
pub(crate) fn clear() {
    buffer().clear();
}

/// Takes what was logged since [`clear`]: one line, at most the last six messages.
pub(crate) fn take() -> String {
    let bytes: Vec<u8> = buffer().drain(..).collect();
    summary(&String::from_utf8_lossy(&bytes))
}

fn summary(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(6)..];
    if last.is_empty() { "DPDK logged nothing".to_owned() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_bytes_only() {
        append(&vec![b'x'; CAPACITY]);
        append(b"\nlast line\n");
        assert!(buffer().len() <= CAPACITY);
        assert!(take().ends_with("; last line"));
        assert_eq!(take(), "DPDK logged nothing");
    }

    #[test]
    fn summary_is_one_line_of_six_messages() {
        assert_eq!(summary("a\nb\n\n c \nd\ne\nf\ng\n"), "b; c; d; e; f; g");
    }
}
