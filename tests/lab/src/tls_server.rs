//! Servers that end TLS behind the PROXY protocol, before a web server of the same backend.

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::process::{Process, wait_for};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::net::{Ipv6Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Debian's nginx has its module for streams.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// What a configuration calls the certificate, its key, and both in one file; without the endings.
const CERTIFICATE: &str = "/etc/ssl/web1";
/// The folder of nginx's logs, and the log of clients in it.
const NGINX_LOGS: &str = "/var/log/nginx";
const NGINX_LOG: &str = "clients.log";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProgram {
    /// nginx; the configuration is what stands in `http`.
    NginxHttp,
    /// nginx; the configuration is a block `stream`.
    NginxStream,
    /// HAProxy that logs to standard output.
    HaProxy,
    /// Envoy that logs to standard output.
    Envoy,
}

impl fmt::Display for TlsProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NginxHttp => "nginx for HTTP",
            Self::NginxStream => "nginx for streams",
            Self::HaProxy => "HAProxy",
            Self::Envoy => "Envoy",
        })
    }
}

/// A running server; dropped means killed.
#[derive(Debug)]
pub struct TlsServer {
    _process: Process,
    log: PathBuf,
}

impl TlsServer {
    /// Starts a server and waits until it listens at `port`.
    ///
    /// The configuration has the paths of a real machine: `/etc/ssl/web1.crt`, `.key` and `.pem` (both), and the log of nginx,
    /// `/var/log/nginx/clients.log`. The lab puts files of the backend's folder in their place.
    pub fn start(
        backend: &Backend,
        program: TlsProgram,
        configuration: &str,
        port: u16,
        certificate: &Certificate,
    ) -> Result<Self> {
        let folder = backend.folder().join("tls");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        write_certificate(&folder, certificate)?;
        let path = folder.to_string_lossy();
        let text = configuration.replace(CERTIFICATE, &format!("{path}/web1")).replace(NGINX_LOGS, &path);
        let file = folder.join(program.file());
        std::fs::write(&file, program.whole(&text)).with_context(|| format!("cannot write {}", file.display()))?;
        let output = folder.join("output.log");
        let arguments = program.arguments(&path, &file.to_string_lossy());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut process = backend.namespace().spawn(program.executable()?, &arguments, &output)?;
        wait_for(&format!("{program} to listen at {port}"), Duration::from_secs(30), || {
            if let Some(status) = process.try_wait()? {
                bail!("{program} ended: {status}\n{}", process.log_tail(10));
            }
            Ok(backend.namespace().enter(|| TcpStream::connect((Ipv6Addr::LOCALHOST, port)))?.ok())
        })?;
        let log = if program.is_nginx() { folder.join(NGINX_LOG) } else { output };
        Ok(Self { _process: process, log })
    }

    /// What it has logged: lines that begin with a client's address, a blank, its port, as far as the configuration says so.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("cannot read {}", self.log.display()))
    }
}

impl TlsProgram {
    fn is_nginx(self) -> bool {
        matches!(self, Self::NginxHttp | Self::NginxStream)
    }

    /// The name of its configuration: Envoy tells the language by the ending.
    fn file(self) -> &'static str {
        match self {
            Self::NginxHttp | Self::NginxStream => "nginx.conf",
            Self::HaProxy => "haproxy.cfg",
            Self::Envoy => "envoy.yaml",
        }
    }

    fn executable(self) -> Result<PathBuf> {
        match self {
            Self::NginxHttp | Self::NginxStream => Ok("nginx".into()),
            Self::HaProxy => Ok("haproxy".into()),
            Self::Envoy => envoy(),
        }
    }

    fn arguments(self, folder: &str, file: &str) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::NginxHttp | Self::NginxStream => &["-p", folder, "-e", "error.log", "-c", file],
            Self::HaProxy => &["-db", "-f", file],
            // Hot restart would meet the Envoy of another lab in shared memory. Logs are flushed every 10 s by default.
            Self::Envoy => &[
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--file-flush-interval-msec",
                "100",
                "--log-level",
                "warning",
                "-c",
                file,
            ],
        };
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    }

    /// The whole configuration around a part of one.
    fn whole(self, part: &str) -> String {
        let process = "daemon off;\nuser root;\nworker_processes 1;\npid nginx.pid;\nevents { }\n";
        let folders =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};\n"));
        match self {
            Self::NginxHttp => format!("{process}http {{\n{}{part}}}\n", folders.concat()),
            Self::NginxStream => format!("load_module {STREAM_MODULE};\n{process}{part}"),
            Self::HaProxy | Self::Envoy => part.to_owned(),
        }
    }
}

fn write_certificate(folder: &Path, certificate: &Certificate) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (shown, key) = (read(certificate.file())?, read(certificate.key())?);
    let both = [&shown[..], &key[..]].concat();
    for (ending, content) in [("crt", &shown), ("key", &key), ("pem", &both)] {
        let path = folder.join(format!("web1.{ending}"));
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The Envoy that `scripts/setup` puts into cargo's target folder, which the running executable is in.
fn envoy() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("the path of the running executable is unknown")?;
    let found = executable.ancestors().map(|folder| folder.join("envoy/bin/envoy")).find(|path| path.is_file());
    found.with_context(|| format!("there is no envoy/bin/envoy above {}: run scripts/setup", executable.display()))
}
