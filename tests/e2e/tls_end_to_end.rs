//! Servers that end TLS behind the PROXY protocol, with the configurations of `docs/forwarding-modes.md`: the session is between
//! client and backend, and the balancer changes no byte of it.

use crate::proxied::{WAYS, header, site};
use crate::setup::{PATIENCE, Site};
use crate::transfer::{arrived, noise};
use anyhow::{Context, Result, ensure};
use guideway_lab::packet::Flow;
use guideway_lab::process::wait_for;
use guideway_lab::reassembly::read_streams;
use guideway_lab::{Capture, Certificate, TlsProgram, TlsServer, runnable};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where clients ask, and where the servers of the documentation listen.
const SERVICE_PORT: u16 = 443;
const SERVER_PORT: u16 = 9443;
/// Whom the certificate names.
const NAME: &str = "web1.test";
/// Bytes that are posted, and that are asked for.
const BODY_BYTES: usize = 300_000;
/// The number of TCP.
const TCP: u8 = 6;

/// The page that has the configurations.
const PAGE: &str = include_str!("../../docs/forwarding-modes.md");

/// The block of the page that begins with this line.
fn documented(first_line: &str) -> Result<&'static str> {
    let block = PAGE.split("```").find(|block| block.lines().nth(1) == Some(first_line));
    let block =
        block.with_context(|| format!("docs/forwarding-modes.md has no block that begins with: {first_line}"))?;
    Ok(block.split_once('\n').unwrap_or_default().1)
}

/// A connection that a client has made.
struct Connection {
    version: &'static str,
    client: SocketAddr,
    service: SocketAddr,
}

/// One request inside TLS; the client's own address and port. The client trusts this certificate and no other, and has been
/// shown it.
fn request(site: &Site, vip: IpAddr, certificate: &Certificate, path: &str, arguments: &[&str]) -> Result<SocketAddr> {
    let service = SocketAddr::new(vip, SERVICE_PORT);
    let trusted = certificate.file().to_string_lossy();
    let (to, url) = (format!("{NAME}:{SERVICE_PORT}:{service}"), format!("https://{NAME}{path}"));
    let common = ["--cacert", &trusted, "--connect-to", &to, "-w", "%{local_ip} %{local_port}\n%{certs}", &url];
    let answer = site.curl(&[arguments, &common].concat()).with_context(|| format!("{service}\n{}", site.log()))?;
    let (client, shown) = answer.split_once('\n').context("no certificate")?;
    let (address, port) = client.split_once(' ').with_context(|| format!("no address: {client}"))?;
    let pem = std::fs::read_to_string(certificate.file())?;
    ensure!(shown.replace(['\r', '\n'], "").contains(&pem.replace(['\r', '\n'], "")), "{service} shows {shown}");
    Ok(SocketAddr::new(address.parse()?, port.parse()?))
}

/// Downloads by TLS 1.3 and uploads by TLS 1.2 in every way; the connections.
fn use_every_way(site: &Site, certificate: &Certificate) -> Result<Vec<Connection>> {
    let upload = site.lab.folder().join("upload");
    std::fs::write(&upload, noise(BODY_BYTES))?;
    let big = std::fs::read(site.lab.backend(1).folder().join("root/big"))?;
    let (got, posted) = (site.lab.folder().join("got"), format!("@{}", upload.display()));
    let output = got.to_string_lossy();
    let range = format!("0-{}", BODY_BYTES - 1);
    let mut connections = Vec::new();
    for way in WAYS {
        let (vip, version) = (way.vip, way.version);
        let service = SocketAddr::new(vip, SERVICE_PORT);
        let client = request(site, vip, certificate, "/big", &["-o", &output, "-r", &range, "--tlsv1.3"])
            .with_context(|| format!("{way:?}"))?;
        ensure!(std::fs::read(&got)? == big[..BODY_BYTES], "{way:?}: a download is not what was sent");
        connections.push(Connection { version, client, service });
        let client =
            request(site, vip, certificate, "/upload", &["-o", &output, "--tls-max", "1.2", "--data-binary", &posted])
                .with_context(|| format!("{way:?}"))?;
        arrived(site, &std::fs::read_to_string(&got)?, &upload).with_context(|| format!("{way:?}"))?;
        connections.push(Connection { version, client, service });
    }
    Ok(connections)
}

/// The log of the server tells each client's address and port.
fn ensure_logged(server: &TlsServer, connections: &[Connection]) -> Result<()> {
    for Connection { client, .. } in connections {
        let begin = format!("{} {} ", client.ip(), client.port());
        let found = wait_for("the client in the log", PATIENCE, || {
            Ok(server.log()?.lines().any(|line| line.starts_with(&begin)).then_some(()))
        });
        found.with_context(|| format!("{begin}\n{}", server.log().unwrap_or_default()))?;
    }
    Ok(())
}

/// What each side sent, the other received, to the byte; before the client's bytes there is the header, and nothing else.
fn ensure_unchanged(near: &Path, far: &Path, connections: &[Connection]) -> Result<()> {
    let (near, far) = (read_streams(near)?, read_streams(far)?);
    let reverse = |flow: &Flow| Flow { source: flow.destination, destination: flow.source, protocol: TCP };
    let sent =
        |streams: &HashMap<Flow, Vec<u8>>, flow| streams.get(&flow).cloned().with_context(|| format!("no {flow:?}"));
    for Connection { version, client, service } in connections {
        let flow = Flow { source: *client, destination: *service, protocol: TCP };
        let header = header(version, *client, *service);
        let mut same =
            far.iter().filter(|(flow, bytes)| flow.destination.port() == SERVER_PORT && bytes.starts_with(&header));
        let (behind, received) = same.next().with_context(|| format!("{flow:?}: no connection with its header"))?;
        ensure!(same.next().is_none(), "{flow:?}: two connections with its header");
        let (request, answer) = (sent(&near, flow)?, sent(&near, reverse(&flow))?);
        ensure!(request.starts_with(b"\x16\x03") && answer.starts_with(b"\x16\x03"), "{flow:?}: no TLS handshake");
        ensure!(request.len() + answer.len() > BODY_BYTES, "{flow:?}: the capture misses bytes");
        ensure!(received[header.len()..] == request, "{flow:?}: the backend has received another stream");
        ensure!(sent(&far, reverse(behind))? == answer, "{flow:?}: the client has received another stream");
    }
    Ok(())
}

fn end_to_end(program: TlsProgram, first_line: &str) -> Result<()> {
    if !runnable(&format!("TLS end to end: {program}")) {
        return Ok(());
    }
    let site = site(SERVICE_PORT, SERVER_PORT)?;
    let (backend, folder) = (site.lab.backend(1), site.lab.folder());
    let certificate = Certificate::create(folder, NAME)?;
    let server = TlsServer::start(backend, program, documented(first_line)?, SERVER_PORT, &certificate)?;
    let (near, far) = (folder.join("near.pcap"), folder.join("far.pcap"));
    let captures = [
        Capture::start_whole(site.lab.client(), "eth0", &near, &format!("tcp port {SERVICE_PORT}"))?,
        Capture::start_whole(backend.namespace(), "eth0", &far, &format!("tcp port {SERVER_PORT}"))?,
    ];
    let connections = use_every_way(&site, &certificate)?;
    ensure_logged(&server, &connections)?;
    captures.into_iter().try_for_each(|capture| capture.finish().map(drop))?;
    ensure_unchanged(&near, &far, &connections)
}

#[test]
fn nginx_for_http() -> Result<()> {
    end_to_end(TlsProgram::NginxHttp, "# /etc/nginx/conf.d/web.conf")
}

#[test]
fn nginx_for_streams() -> Result<()> {
    end_to_end(TlsProgram::NginxStream, "# /etc/nginx/nginx.conf, beside http { }")
}

#[test]
fn haproxy() -> Result<()> {
    end_to_end(TlsProgram::HaProxy, "# /etc/haproxy/haproxy.cfg")
}

#[test]
fn envoy() -> Result<()> {
    end_to_end(TlsProgram::Envoy, "# /etc/envoy/envoy.yaml")
}
