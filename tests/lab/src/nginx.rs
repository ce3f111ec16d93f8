//! nginx on a backend, with a configuration of its own.

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::health::GRPC_PORT;
use crate::process::{Process, wait_for};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::net::{Ipv6Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes that `/big` answers.
pub const BIG_BYTES: usize = 8 << 20;

/// Ports that it listens on besides 80, for services of many ports.
pub const MORE_PORTS: [u16; 7] = [81, 7999, 8000, 8050, 8080, 8099, 8100];

/// The port where it expects the PROXY protocol, in either version, before HTTP.
pub const PROXIED_PORT: u16 = 9080;

/// Port of TLS, where it serves TLS.
pub const TLS_PORT: u16 = 443;

/// The port where it expects the PROXY protocol, in either version, before TLS, where it serves TLS.
pub const PROXIED_TLS_PORT: u16 = 9443;

/// The certificate that it shows, and its key, in the backend's folder.
const SHOWN: [&str; 2] = ["shown.certificate.pem", "shown.key.pem"];

/// A running nginx; dropped means killed.
///
/// | path | answer |
/// | --- | --- |
/// | `/` | the backend's name and a line feed |
/// | `/client` | the client's address and port as the backend sees them |
/// | `/forwarded` | the header `X-Forwarded-For` of the request, as it came |
/// | `/service` | its own address and port, as the client asked for them |
/// | `/big` | [`BIG_BYTES`] bytes |
/// | `/upload` | the name; what was posted lies in a file of its own in the folder `body` |
/// | any other | the file of that name that a test put there, see [`Nginx::put`] |
///
/// Every answer names the backend in its header `Backend`. At [`PROXIED_PORT`] and [`PROXIED_TLS_PORT`] the client and the service
/// are those of the PROXY header.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    folder: PathBuf,
}

impl Nginx {
    /// Starts nginx on port 80 and [`MORE_PORTS`] of every address of the backend and waits until it accepts connections.
    pub fn start(backend: &Backend) -> Result<Self> {
        let folder = backend.folder().to_owned();
        write_files(&folder, backend.name())?;
        let prefix = folder.to_string_lossy().into_owned();
        let arguments = ["-p", prefix.as_str(), "-e", "error.log", "-c", "nginx.conf"];
        let mut process = backend.namespace().spawn("nginx", &arguments, &folder.join("nginx.log"))?;
        wait_for(&format!("nginx on {} to listen", backend.name()), Duration::from_secs(10), || {
            if let Some(status) = process.try_wait()? {
                anyhow::bail!("nginx on {} ended: {status}\n{}", backend.name(), process.log_tail(10));
            }
            let connected = backend.namespace().enter(|| TcpStream::connect((Ipv6Addr::LOCALHOST, 80)))?;
            Ok(connected.ok())
        })?;
        Ok(Self { process, folder })
    }

    /// The same, and on [`TLS_PORT`] and [`PROXIED_TLS_PORT`] inside TLS with this certificate, by HTTP/1.1 and HTTP/2. There it
    /// passes gRPC's health checks on to [`crate::HealthServers`], and serves of the paths above `/client` and files.
    pub fn start_with_tls(backend: &Backend, certificate: &Certificate) -> Result<Self> {
        let path = backend.folder().join("tls.conf");
        std::fs::write(&path, tls_configuration(backend.name()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        copy_certificate(backend.folder(), certificate)?;
        Self::start(backend)
    }

    /// Shows another certificate from now on: a server that was started with TLS reads its files again.
    pub fn show(&self, certificate: &Certificate) -> Result<()> {
        copy_certificate(&self.folder, certificate)?;
        self.process.signal(Signal::SIGHUP)
    }

    /// Puts a file into its document root; `None`: takes it away.
    pub fn put(&self, file: &str, content: Option<&str>) -> Result<()> {
        let path = self.folder.join("root").join(file);
        let done = match content {
            Some(content) => std::fs::write(&path, content),
            None => std::fs::remove_file(&path),
        };
        done.with_context(|| format!("cannot change {}", path.display()))
    }

    /// Kills all of its processes at once: the kernel refuses new connections from then on.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// The process, for signals: a stopped nginx (SIGSTOP) keeps its port open and never answers.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Lets it run on after this handle.
    pub fn detach(self) {
        self.process.detach();
    }

    /// The access log: a line a request with the client's address, port, the request, and at the end the time in seconds
    /// since 1970.
    pub fn access_log(&self) -> Result<String> {
        let path = self.folder.join("access.log");
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

fn write_files(folder: &Path, name: &str) -> Result<()> {
    let write = |file: &str, content: &[u8]| {
        let path = folder.join(file);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    std::fs::create_dir_all(folder.join("root")).context("cannot create the document root")?;
    let pattern: Vec<u8> = (0..BIG_BYTES).map(|index| b"0123456789abcdef"[index % 16]).collect();
    write("root/big", &pattern)?;
    write("nginx.conf", configuration(name).as_bytes())
}

fn copy_certificate(folder: &Path, certificate: &Certificate) -> Result<()> {
    for (from, to) in [certificate.file(), certificate.key()].into_iter().zip(SHOWN) {
        std::fs::copy(from, folder.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

fn tls_configuration(name: &str) -> String {
    tls_server(name, TLS_PORT, "", "$remote_addr $remote_port")
        + &tls_server(name, PROXIED_TLS_PORT, " proxy_protocol", "$proxy_protocol_addr $proxy_protocol_port")
}

/// A server of TLS at `port`, with further words behind `listen`, that knows its client as `client`.
fn tls_server(name: &str, port: u16, listen: &str, client: &str) -> String {
    let [certificate, key] = SHOWN;
    format!(
        r#"server {{
    listen 0.0.0.0:{port} ssl http2 backlog=4096{listen};
    listen [::]:{port} ssl http2 ipv6only=on backlog=4096{listen};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    root root;
    add_header Backend {name} always;
    location /grpc.health.v1.Health/ {{ grpc_pass grpc://127.0.0.1:{GRPC_PORT}; }}
    location = /client {{ return 200 "{client}\n"; }}
}}
"#
    )
}

fn configuration(name: &str) -> String {
    let listen = |port: u16| format!("listen 0.0.0.0:{port}; listen [::]:{port} ipv6only=on;");
    let more_ports = MORE_PORTS.map(listen).join("\n        ");
    format!(
        r#"daemon off;
user root;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format peers '$remote_addr $remote_port "$request" $status $body_bytes_sent $msec';
    access_log access.log peers;
    keepalive_timeout 65s;
    keepalive_requests 1000000;
    default_type text/plain;
    include tls*.conf;
    server {{
        listen 0.0.0.0:80 backlog=4096;
        listen [::]:80 ipv6only=on backlog=4096;
        {more_ports}
        root root;
        client_max_body_size 64m;
        add_header Backend {name} always;
        location = / {{ return 200 "{name}\n"; }}
        location = /upload {{
            client_body_in_file_only on;
            proxy_pass http://127.0.0.1/;
        }}
        location = /service {{ return 200 "$server_addr $server_port\n"; }}
        location = /client {{ return 200 "$remote_addr $remote_port\n"; }}
        location = /forwarded {{ return 200 "$http_x_forwarded_for\n"; }}
    }}
    server {{
        listen 0.0.0.0:{PROXIED_PORT} proxy_protocol backlog=4096;
        listen [::]:{PROXIED_PORT} ipv6only=on proxy_protocol backlog=4096;
        root root;
        client_max_body_size 64m;
        add_header Backend {name} always;
        location = / {{ return 200 "{name}\n"; }}
        location = /upload {{
            client_body_in_file_only on;
            proxy_pass http://127.0.0.1/;
        }}
        location = /service {{ return 200 "$proxy_protocol_server_addr $proxy_protocol_server_port\n"; }}
        location = /client {{ return 200 "$proxy_protocol_addr $proxy_protocol_port\n"; }}
    }}
}}
"#
    )
}
