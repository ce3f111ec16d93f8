//! Configurations of HAProxy and nginx as balancers of the site, one thread each.

use super::Way;
use crate::address;
use crate::certificate::Certificate;
use crate::nginx::PROXIED_TLS_PORT;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A program, and what it is started with.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

/// Writes what the balancer of this way needs into `folder`; `None` on ways that have no such balancer.
pub(super) fn prepare(way: Way, folder: &Path, certificate: &Certificate) -> Result<Option<Started>> {
    let (program, text) = match way {
        Way::Direct | Way::GuidewayL2dsr | Way::GuidewayFullnat => return Ok(None),
        Way::HaproxyTcp => ("haproxy", haproxy_tcp(way)),
        Way::HaproxyTls => ("haproxy", haproxy_tls(way, &pair(folder, certificate)?)),
        Way::NginxTls => ("nginx", nginx_tls(way, certificate)),
    };
    let file = write(folder, &format!("{}.conf", way.name()), &text)?.to_string_lossy().into_owned();
    let folder = folder.to_string_lossy().into_owned();
    let arguments: &[&str] = match program {
        "haproxy" => &["-db", "-f", &file],
        _ => &["-p", &folder, "-e", "balancer.error.log", "-c", &file],
    };
    Ok(Some(Started { program, arguments: arguments.iter().map(|&argument| argument.to_owned()).collect() }))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Certificate and key in one file, as HAProxy reads them.
fn pair(folder: &Path, certificate: &Certificate) -> Result<PathBuf> {
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    write(folder, "haproxy.pem", &(read(certificate.file())? + &read(certificate.key())?))
}

/// What both ways of HAProxy begin with.
fn haproxy(mode: &str) -> String {
    format!(
        "global\n  nbthread 1\ndefaults\n  mode {mode}\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n"
    )
}

fn haproxy_tcp(way: Way) -> String {
    let (vip, backend) = (way.target(), address::backend_v4(1));
    haproxy("tcp")
        + &format!("frontend web\n  bind {vip}\n  default_backend servers\n")
        + &format!("backend servers\n  server web1 {backend}:{PROXIED_TLS_PORT} send-proxy-v2\n")
}

/// Ends TLS, with the curve that clients offer first, and keeps connections to the backend for all of its clients: the best
/// case for it. By default it would open one for each.
fn haproxy_tls(way: Way, pair: &Path) -> String {
    let (vip, backend) = (way.target(), address::backend_v4(1));
    haproxy("http")
        + &format!("frontend web\n  bind {vip} ssl crt {} curves X25519:P-256\n", pair.display())
        + "  option forwardfor\n  default_backend servers\n"
        + &format!("backend servers\n  http-reuse always\n  server web1 {backend}:80\n")
}

/// The same of nginx: by default it too would open a connection to the backend for each request.
fn nginx_tls(way: Way, certificate: &Certificate) -> String {
    let (vip, backend) = (way.target(), address::backend_v4(1));
    let (file, key) = (certificate.file().display(), certificate.key().display());
    format!(
        r#"daemon off;
user root;
worker_processes 1;
pid balancer.pid;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    upstream servers {{
        server {backend}:80;
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen {vip} ssl backlog=4096;
        ssl_certificate {file};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"#
    )
}
