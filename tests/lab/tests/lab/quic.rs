//! The QUIC peers with nothing between them.

use anyhow::Result;
use guideway_lab::QuicReport;
use guideway_lab::quic::{Certificate, ClientOptions, ServerOptions, migrate, serve};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

const LOOPBACK: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];

/// A socket on any port.
fn socket() -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Four connections with three moves each.
fn clients(target: SocketAddr, certificate: &Path, download: usize, patience: u64) -> Result<QuicReport> {
    let source = LOOPBACK.map(Into::into).into();
    let certificate = certificate.to_owned();
    migrate(&ClientOptions { target, certificate, source, connections: 4, migrations: 3, download, patience })
}

#[test]
fn clients_move_and_are_served() -> Result<()> {
    let folder = tempfile::tempdir()?;
    Certificate::create(folder.path())?;
    let (free, address) = socket()?;
    drop(free);
    let ids = vec!["0:0a01:6:".parse()?, "5:0a01:6:8f95f09245765f80256934e50c66207f".parse()?];
    let options =
        ServerOptions { name: "here".into(), listen: vec![address], certificate: folder.path().to_owned(), ids };
    // It serves until this process ends; a client asks again if it was too early.
    std::thread::spawn(move || serve(&options));
    for download in [0, 1 << 20] {
        let report = clients(address, folder.path(), download, 60_000)?;
        assert_eq!((report.kept.get("here"), report.migrations), (Some(&4), 12), "{report:?}");
        assert!(report.failures.is_empty() && report.lost.is_empty(), "{report:?}");
    }
    Ok(())
}

#[test]
fn without_an_answer_nobody_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    Certificate::create(folder.path())?;
    let (_silent, address) = socket()?;
    let report = clients(address, folder.path(), 0, 300)?;
    assert_eq!((report.total_kept(), report.total_lost(), report.failures.len()), (0, 0, 4), "{report:?}");
    Ok(())
}
