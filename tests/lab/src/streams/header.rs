//! Reading the header of the PROXY protocol, versions 1 and 2 (the HAProxy project's specification of 2020).

use anyhow::{Context, Result, bail, ensure};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;

/// The version of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Reads a header without TLVs and not a byte more: the client's address and the VIP's.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), version: Version) -> Result<(SocketAddr, SocketAddr)> {
    match version {
        Version::V1 => {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                ensure!(line.len() < LONGEST_LINE, "no header: {:?}", String::from_utf8_lossy(&line));
                line.push(stream.read_u8().await.context("the end of the stream in the header")?);
            }
            parse_line(&line)
        }
        Version::V2 => {
            let mut head = [0; 16];
            stream.read_exact(&mut head).await.context("the end of the stream in the header")?;
            let addresses = match (head.split_at(12), u16::from_be_bytes([head[14], head[15]])) {
                ((signature, [0x21, 0x11, ..]), 12) if *signature == SIGNATURE => 12,
                ((signature, [0x21, 0x21, ..]), 36) if *signature == SIGNATURE => 36,
                _ => bail!("no header: {head:02x?}"),
            };
            let mut body = vec![0; addresses];
            stream.read_exact(&mut body).await.context("the end of the stream in the header")?;
            parse_addresses(&body)
        }
    }
}

fn parse_line(line: &[u8]) -> Result<(SocketAddr, SocketAddr)> {
    let text = String::from_utf8_lossy(line);
    let words: Vec<_> = text.trim_end().split(' ').collect();
    let [_, _, client, vip, client_port, vip_port] = words[..] else { bail!("no header: {text:?}") };
    let client = SocketAddr::new(client.parse()?, client_port.parse()?);
    let vip = SocketAddr::new(vip.parse()?, vip_port.parse()?);
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let expected = format!("PROXY {family} {} {} {} {}\r\n", client.ip(), vip.ip(), client.port(), vip.port());
    ensure!(text == expected, "{text:?} instead of {expected:?}");
    Ok((client, vip))
}

fn parse_addresses(body: &[u8]) -> Result<(SocketAddr, SocketAddr)> {
    let (addresses, ports) = body.split_at(body.len() - 4);
    let (client, vip) = addresses.split_at(addresses.len() / 2);
    let address = |bytes: &[u8]| -> Result<IpAddr> {
        Ok(match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes)?.into(),
            _ => <[u8; 16]>::try_from(bytes)?.into(),
        })
    };
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Ok((SocketAddr::new(address(client)?, port(0)), SocketAddr::new(address(vip)?, port(2))))
}

#[cfg(test)]
mod tests {
    use super::{SIGNATURE, Version, read};
    use anyhow::Result;
    use std::net::SocketAddr;

    /// What is read, and what is left of the stream.
    fn parse(mut stream: &[u8], version: Version) -> Result<((SocketAddr, SocketAddr), &[u8])> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let read = runtime.block_on(read(&mut stream, version))?;
        Ok((read, stream))
    }

    fn v4() -> (SocketAddr, SocketAddr) {
        (([10, 1, 0, 2], 4000).into(), ([203, 0, 113, 9], 80).into())
    }

    #[test]
    fn a_line_of_text() -> Result<()> {
        let stream = b"PROXY TCP4 10.1.0.2 203.0.113.9 4000 80\r\nPROXY";
        assert_eq!(parse(stream, Version::V1)?, (v4(), &b"PROXY"[..]));
        let stream = b"PROXY TCP6 fd01::2 2001:db8::9 4000 80\r\n";
        assert_eq!(parse(stream, Version::V1)?.0.0, "[fd01::2]:4000".parse()?);
        for bad in [
            &b"PROXY TCP6 10.1.0.2 203.0.113.9 4000 80\r\n"[..],
            b"PROXY TCP4 10.1.0.2 203.0.113.9 4000 80\n",
            b"PROXY TCP4 10.1.0.2 203.0.113.9 04000 80\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY TCP4 10.1.0.2 203",
            &[b'x'; 200],
        ] {
            assert!(parse(bad, Version::V1).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        Ok(())
    }

    #[test]
    fn binary() -> Result<()> {
        let addresses = [10, 1, 0, 2, 203, 0, 113, 9, 0x0f, 0xa0, 0, 80];
        let with = |head: [u8; 4]| [&SIGNATURE[..], &head, &addresses, b"first"].concat();
        assert_eq!(parse(&with([0x21, 0x11, 0, 12]), Version::V2)?, (v4(), &b"first"[..]));
        for bad in [[0x20, 0x11, 0, 12], [0x21, 0x12, 0, 12], [0x21, 0x21, 0, 12], [0x21, 0x11, 0, 15]] {
            assert!(parse(&with(bad), Version::V2).is_err(), "{bad:02x?}");
        }
        let (client, vip) = ("[fd01::2]:4000".parse()?, "[2001:db8::9]:80".parse()?);
        let octets = |address: SocketAddr| match address.ip() {
            std::net::IpAddr::V6(ip) => ip.octets(),
            std::net::IpAddr::V4(_) => [0; 16],
        };
        let head = [0x21, 0x21, 0, 36];
        let stream = [&SIGNATURE[..], &head, &octets(client), &octets(vip), &addresses[8..]].concat();
        assert_eq!(parse(&stream, Version::V2)?, ((client, vip), &[][..]));
        Ok(())
    }
}
