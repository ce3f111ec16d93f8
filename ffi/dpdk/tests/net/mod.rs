//! A network namespace of its own for each test process, a veth pair in it, and a raw socket on the far end.

// Not every test uses all of it.
#![allow(dead_code)]

use guideway_dataplane::port::{Burst, RxQueue as _};
use guideway_dpdk::{Mbuf, RxQueue};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a frame may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Moves the calling thread, and all that it starts, into a new network namespace. It disappears with them, with
/// everything in it, even if the test is killed.
pub fn enter_new_namespace() {
    // SAFETY: affects the calling thread alone.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
}

/// Runs a command that must succeed.
pub fn run(command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|e| panic!("{command}: {e}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A command's standard output.
pub fn output(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|e| panic!("{command}: {e}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A veth pair without offloads and without the kernel's own IPv6 chatter.
pub fn veth(near: &str, far: &str, queues: u16) {
    run(&format!(
        "ip link add {near} numrxqueues {queues} numtxqueues {queues} type veth \
         peer name {far} numrxqueues {queues} numtxqueues {queues}"
    ));
    for end in [near, far] {
        run(&format!("ethtool -K {end} tx off rx off gso off gro off tso off"));
        run(&format!("sysctl -qw net.ipv6.conf.{end}.disable_ipv6=1"));
        run(&format!("ip link set {end} up"));
    }
}

/// A raw socket on an interface: what the cable would carry.
pub struct Wire(OwnedFd);

impl Wire {
    pub fn open(interface: &str) -> Self {
        let name = std::ffi::CString::new(interface).expect("no NUL");
        // SAFETY: plain system calls on a fresh descriptor; the address is plain data of the size given.
        unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from((libc::ETH_P_ALL as u16).to_be()));
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            let fd = OwnedFd::from_raw_fd(fd);
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
            let size = size_of::<libc::sockaddr_ll>() as u32;
            assert_eq!(libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size), 0);
            let ignore_own = 1_i32;
            libc::setsockopt(fd.as_raw_fd(), libc::SOL_PACKET, 23, (&raw const ignore_own).cast(), 4);
            let wait = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
            let size = size_of::<libc::timeval>() as u32;
            libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const wait).cast(), size);
            Self(fd)
        }
    }

    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the slice is readable.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
    }

    /// Frames of the test's own EtherType, until `count` have come.
    pub fn receive(&self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while frames.len() < count && Instant::now() < deadline {
            let mut buffer = vec![0_u8; 10_000];
            // SAFETY: the buffer is writable.
            let n = unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            if n > 0 {
                buffer.truncate(n as usize);
                frames.extend(is_ours(&buffer).then_some(buffer));
            }
        }
        frames
    }
}

/// A frame of the local experimental EtherType 0x88b5 whose bytes follow from its number.
pub fn frame(number: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5, number];
    frame.resize_with(len, Default::default);
    for (at, byte) in frame.iter_mut().enumerate().skip(15) {
        *byte = (at as u8).wrapping_mul(31) ^ number;
    }
    frame
}

/// Whether a frame was made by [`frame`].
pub fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x88, 0xb5])
}

/// Polls until `count` packets of the test have come.
pub fn receive(queues: &mut [RxQueue], count: usize) -> Vec<Mbuf> {
    use guideway_dataplane::port::Packet as _;
    let mut packets = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    let mut burst = Burst::new();
    while packets.len() < count && Instant::now() < deadline {
        for queue in &mut *queues {
            queue.receive(&mut burst);
            packets.extend(burst.drain(..).filter(|packet| is_ours(packet.frame())));
        }
    }
    packets
}
