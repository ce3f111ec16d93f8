//! Which XDP program sits on an interface: rtnetlink for its id (`IFLA_XDP`), bpf(2) for its name.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
/// Nested and byte-order flags in an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
/// `struct nlmsghdr` and `struct ifinfomsg`.
const HEADER: usize = 16;
const BODY: usize = 16;

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's number of it, as in `bpftool prog`.
    pub id: u32,
    /// Its name, at most 15 bytes; empty if the kernel does not tell.
    pub name: String,
}

/// The program on the interface with this index; `None` without one, or if the kernel does not answer.
pub(crate) fn program(interface: u32) -> Option<XdpProgram> {
    let answer = get_link(interface)?;
    let id = program_id(&answer)?;
    Some(XdpProgram { id, name: program_name(id).unwrap_or_default() })
}

fn get_link(interface: u32) -> Option<Vec<u8>> {
    let mut request = Vec::with_capacity(HEADER + BODY);
    request.extend((HEADER as u32 + BODY as u32).to_ne_bytes());
    request.extend(RTM_GETLINK.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    // ifinfomsg: family, padding, type; index; flags, change.
    request.extend([0; 4]);
    request.extend(interface.to_ne_bytes());
    request.extend([0; 8]);
    let mut answer = vec![0_u8; 32 * 1024];
    // SAFETY: plain system calls; the descriptor is owned from its making on, the buffers are valid for their lengths.
    let received = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE);
        if fd < 0 {
            return None;
        }
        let socket = OwnedFd::from_raw_fd(fd);
        if libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) < 0 {
            return None;
        }
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    answer.truncate(usize::try_from(received).ok()?);
    Some(answer)
}

/// Attributes of `bytes` as (type, payload); stops at the first malformed one.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let payload = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

fn program_id(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind != RTM_NEWLINK {
        return None;
    }
    let (_, xdp) = attributes(answer.get(HEADER + BODY..)?).find(|(kind, _)| *kind == IFLA_XDP)?;
    let (_, id) = attributes(xdp).find(|(kind, _)| *kind == IFLA_XDP_PROG_ID)?;
    Some(u32::from_ne_bytes(id.try_into().ok()?))
}

/// `union bpf_attr` as the two commands here use it, and `struct bpf_prog_info` up to its name (linux/bpf.h).
fn program_name(id: u32) -> Option<String> {
    const PROG_GET_FD_BY_ID: i32 = 13;
    const OBJ_GET_INFO_BY_FD: i32 = 15;
    const NAME: std::ops::Range<usize> = 64..80;
    let mut info = [0_u8; NAME.end];
    let mut attribute = [0_u32; 4];
    attribute[0] = id;
    // SAFETY: each command reads the 16 bytes given and writes at most `info`'s length behind the pointer in them.
    unsafe {
        let size = size_of_val(&attribute);
        let fd = libc::syscall(libc::SYS_bpf, PROG_GET_FD_BY_ID, attribute.as_mut_ptr(), size);
        let program = OwnedFd::from_raw_fd(i32::try_from(fd).ok().filter(|&fd| fd >= 0)?);
        let pointer = (info.as_mut_ptr() as u64).to_ne_bytes();
        attribute[0] = u32::try_from(program.as_raw_fd()).ok()?;
        attribute[1] = info.len() as u32;
        attribute[2] = u32::from_ne_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]);
        attribute[3] = u32::from_ne_bytes([pointer[4], pointer[5], pointer[6], pointer[7]]);
        if libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, attribute.as_mut_ptr(), size) != 0 {
            return None;
        }
    }
    let name = info[NAME].split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((4 + payload.len() as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn answer(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + BODY];
        bytes[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn finds_the_id_among_other_attributes() {
        let xdp = [attribute(2, &[1]), attribute(IFLA_XDP_PROG_ID, &226_u32.to_ne_bytes())].concat();
        let link = [attribute(3, b"gw0\0"), attribute(IFLA_XDP | 0x8000, &xdp)].concat();
        assert_eq!(program_id(&answer(&link)), Some(226));
        assert_eq!(program_id(&answer(&attribute(3, b"gw0\0"))), None);
    }

    #[test]
    fn no_answer_makes_it_panic() {
        let xdp = attribute(IFLA_XDP_PROG_ID, &7_u32.to_ne_bytes());
        let whole = answer(&attribute(IFLA_XDP, &xdp));
        for len in 0..whole.len() {
            assert_eq!(program_id(&whole[..len]), None);
            for byte in [0, 1, 3, 0xff] {
                let mut broken = whole.clone();
                broken[len] = byte;
                let _ = program_id(&broken);
            }
        }
    }

    #[test]
    fn loopback_has_no_program() {
        assert_eq!(program(1), None);
    }
}
