//! Checks by ordinary sockets: every kind before a server that answers rightly, one that answers wrongly, and none.

use guideway_config::model::{Agent, Check, CheckKind, CheckTimes, Dns, Grpc, Http, Tls, Udp, Via};
use guideway_control::checks::{self, Asked, HistoryResult, Outlets, Request, Subject};
use guideway_control::events::Event;
use guideway_control::health::{Reason, Transition};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMES: CheckTimes = CheckTimes {
    interval: Duration::from_millis(20),
    fast_interval: Duration::from_millis(20),
    timeout: Duration::from_secs(5),
    rise: 2,
    fall: 2,
};
const PATIENCE: Duration = Duration::from_secs(30);

fn asked(kind: CheckKind, port: u16) -> Asked {
    let check = Check {
        kind,
        via: Via::Kernel,
        port: Some(port),
        port_of_vip: false,
        times: TIMES,
        dead_after: Duration::ZERO,
        probe_source: None,
    };
    Asked::check(0, &check)
}

/// Runs the checks and asks these, while `servers` run. What they say first, and what is kept of it.
async fn first(asked: Asked) -> (Event, Vec<HistoryResult>) {
    let (requests, of_checks) = mpsc::unbounded_channel();
    let (sender, mut events) = mpsc::unbounded_channel();
    let started = Instant::now();
    let clock = move || Nanos(1_000_000_000 + started.elapsed().as_nanos() as u64);
    let (_rt, stack) = checks::path();
    let running = spawn_local(checks::run(of_checks, stack, Outlets { events: sender, clock: Arc::new(clock) }));
    let subject = Subject { backend: BackendId(7), destination: HERE, source: None, asked };
    requests.send(Request::Configure(vec![subject])).expect("it runs");
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    let (answer, answered) = oneshot::channel();
    requests.send(Request::History(BackendId(7), answer)).expect("it runs");
    let history = answered.await.expect("an answer").remove(0).1;
    running.abort();
    (event.unwrap_or_else(|_| panic!("no verdict: {history:?}")).expect("an event"), history)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

async fn says(asked: Asked, transition: Transition, reason: Reason) {
    let word = format!("{asked:?}");
    let (event, history) = first(asked).await;
    let Event::Health(event) = event else { panic!("{word}: {event:?}") };
    assert_eq!((event.transition, event.reason), (transition, reason), "{word}: {history:?}");
    assert_eq!((event.backend, event.check), (BackendId(7), Some(0)));
    assert_eq!(history[0].reason, Some(reason));
}

/// A server that answers each connection with these bytes once something came, and closes.
async fn answers(bytes: &'static [u8], listens: bool) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4_096];
            if listens {
                let _ = stream.read(&mut buffer).await;
            }
            let _ = stream.write_all(bytes).await;
        }
    });
    port
}

/// A server of datagrams.
async fn echoes(change: impl Fn(&mut Vec<u8>) + 'static) -> u16 {
    let socket = UdpSocket::bind((HERE, 0)).await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    spawn_local(async move {
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = buffer[..len].to_vec();
            change(&mut answer);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    port
}

async fn closed() -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    listener.local_addr().map(|address: SocketAddr| address.port()).expect("an address")
}

fn http(expect_body: Option<&str>) -> Http {
    Http {
        method: "GET",
        path: "/health".to_owned(),
        host: Some("shop.example".to_owned()),
        expect_status: vec![(200, 299)],
        expect_body: expect_body.map(str::to_owned),
    }
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nall ok";

#[test]
fn tcp_and_http() {
    run(async {
        says(asked(CheckKind::Tcp, answers(b"", false).await), Transition::Up, Reason::Answered).await;
        says(asked(CheckKind::Tcp, closed().await), Transition::Down, Reason::Refused).await;
        let ask = |body, port| asked(CheckKind::Http(http(body)), port);
        says(ask(Some("ok"), answers(GOOD, true).await), Transition::Up, Reason::Answered).await;
        says(ask(Some("no"), answers(GOOD, true).await), Transition::Down, Reason::Mismatch).await;
        let bad = answers(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", true).await;
        says(ask(None, bad), Transition::Down, Reason::Status(503)).await;
        says(ask(None, answers(b"SSH-2.0-x\r\n\r\n", true).await), Transition::Down, Reason::Garbled).await;
        says(ask(None, answers(b"", true).await), Transition::Down, Reason::Closed).await;
    });
}

#[test]
fn datagrams_and_names() {
    run(async {
        let udp = |expect: Option<&str>| {
            CheckKind::Udp(Udp { send: b"ping".to_vec(), expect: expect.map(|text| text.as_bytes().to_vec()) })
        };
        let port = echoes(|_| {}).await;
        says(asked(udp(Some("in")), port), Transition::Up, Reason::Answered).await;
        says(asked(udp(Some("pong")), port), Transition::Down, Reason::Mismatch).await;
        says(asked(udp(None), closed().await), Transition::Down, Reason::Refused).await;
        let dns = CheckKind::Dns(Dns { name: "example.com".to_owned(), record_type: 6, expect_rcode: 0 });
        says(asked(dns.clone(), echoes(|m| m[2] |= 0x80).await), Transition::Up, Reason::Answered).await;
        let fails = echoes(|m| (m[2], m[3]) = (m[2] | 0x80, 2)).await;
        says(asked(dns, fails), Transition::Down, Reason::Rcode(2)).await;
    });
}

#[test]
fn an_agent_says_what_it_wants() {
    run(async {
        let port = answers(b"50% drain down # tired\n", false).await;
        let interval = Duration::from_millis(20);
        let agent = Asked::agent(&Agent { port, interval, timeout: PATIENCE, via: Via::Kernel });
        let (event, history) = first(agent).await;
        let Event::Advice { backend, advice, .. } = event else { panic!("{event:?}") };
        assert_eq!(
            (backend, advice.percent, advice.drain, advice.down),
            (BackendId(7), Some(50), Some(true), Some(true))
        );
        assert_eq!(history[0].detail.as_deref(), Some("50% drain down # tired"));
    });
}

/// A certificate for `shop.example`, as a file and for a server.
fn certificate(folder: &std::path::Path, protocols: &[&[u8]]) -> (PathBuf, tokio_rustls::TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
    let der = made.cert.der().to_vec();
    let file = folder.join("ca.pem");
    std::fs::write(&file, made.cert.pem()).expect("a file");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.expect("versions").with_no_client_auth().with_single_cert(vec![der.into()], key).expect("a key");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    (file, tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

#[test]
fn https_and_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ca_file, acceptor) = certificate(folder.path(), &[]);
    run(async {
        let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 4_096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(GOOD).await;
                let _ = stream.shutdown().await;
            }
        });
        let tls = |name: &str, verify| Tls { sni: Some(name.to_owned()), verify, ca_file: Some(ca_file.clone()) };
        let https = |tls| asked(CheckKind::Https(http(Some("ok")), tls), port);
        says(https(tls("shop.example", true)), Transition::Up, Reason::Answered).await;
        says(https(tls("other.example", true)), Transition::Down, Reason::Tls).await;
        says(https(tls("other.example", false)), Transition::Up, Reason::Answered).await;
        says(asked(CheckKind::Tls(tls("shop.example", true)), port), Transition::Up, Reason::Answered).await;
        let plain = answers(GOOD, true).await;
        says(asked(CheckKind::Tls(tls("shop.example", true)), plain), Transition::Down, Reason::Tls).await;
    });
}

/// A health service that answers with this message, and ends calls with this status.
async fn grpc_server(acceptor: Option<tokio_rustls::TlsAcceptor>, message: &'static [u8], status: &'static str) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &acceptor {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        spawn_local(grpc_calls(stream, message, status));
                    }
                }
                None => drop(spawn_local(grpc_calls(stream, message, status))),
            }
        }
    });
    port
}

async fn grpc_calls<S>(stream: S, message: &'static [u8], status: &'static str)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let Ok(mut body) = respond.send_response(hyper::Response::new(()), false) else { return };
        let _ = body.send_data(hyper::body::Bytes::from_static(message), false);
        let trailers = [("grpc-status".parse().expect("a name"), status.parse().expect("a value"))];
        let _ = body.send_trailers(trailers.into_iter().collect());
    }
}

#[test]
fn grpc_in_plain_text_and_in_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ca_file, acceptor) = certificate(folder.path(), &[b"h2"]);
    const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
    const NOT_SERVING: &[u8] = b"\0\0\0\0\x02\x08\x02";
    run(async {
        let grpc = |tls| CheckKind::Grpc(Grpc { service: "shop.Cart".to_owned(), host: None, tls });
        let port = grpc_server(None, SERVING, "0").await;
        says(asked(grpc(None), port), Transition::Up, Reason::Answered).await;
        let port = grpc_server(None, NOT_SERVING, "0").await;
        says(asked(grpc(None), port), Transition::Down, Reason::NotServing).await;
        let port = grpc_server(None, b"", "5").await;
        says(asked(grpc(None), port), Transition::Down, Reason::Grpc(5)).await;
        let tls = Tls { sni: Some("shop.example".to_owned()), verify: true, ca_file: Some(ca_file) };
        let port = grpc_server(Some(acceptor), SERVING, "0").await;
        says(asked(grpc(Some(tls)), port), Transition::Up, Reason::Answered).await;
    });
}

#[test]
fn what_is_the_fault_of_this_machine_judges_nobody() {
    run(async {
        let tls = Tls { sni: Some("a".to_owned()), verify: true, ca_file: Some("/nonexistent/ca.pem".into()) };
        let port = answers(b"", true).await;
        let (requests, of_checks) = mpsc::unbounded_channel();
        let (sender, mut events) = mpsc::unbounded_channel();
        let started = Instant::now();
        let clock = move || Nanos(1_000_000_000 + started.elapsed().as_nanos() as u64);
        let (_rt, stack) = checks::path();
        spawn_local(checks::run(of_checks, stack, Outlets { events: sender, clock: Arc::new(clock) }));
        let asked = asked(CheckKind::Tls(tls), port);
        let subject = Subject { backend: BackendId(7), destination: HERE, source: None, asked };
        requests.send(Request::Configure(vec![subject])).expect("it runs");
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let (answer, answered) = oneshot::channel();
            requests.send(Request::Report(answer)).expect("it runs");
            let report = answered.await.expect("an answer").remove(0);
            if report.status.void >= 5 {
                assert!(report.detail.is_some_and(|text| text.contains("/nonexistent/ca.pem")));
                assert_eq!(report.status.failed, 0);
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{report:?}");
        }
        assert!(events.try_recv().is_err());
    });
}
