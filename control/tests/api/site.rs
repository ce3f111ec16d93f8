//! A control socket with everything behind it but packets: a control whose clock and workers the test moves, and a
//! real-time side that takes its duties.

use guideway_config::model::Listen;
use guideway_control::api::client::Client;
use guideway_control::api::{Handles, Listener, Socket, Store, router};
use guideway_control::audit::author::Peer;
use guideway_control::checks;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::duties::duties;
use guideway_control::events::Request;
use guideway_control::reconcile::reconcile;
use guideway_control::reload::run::Source;
use guideway_control::rt::Rt;
use guideway_control::runtime::events;
use guideway_control::state::State;
use guideway_control::status::model::PoolStatus;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::memory::{MemoryPool, MemoryPort};
use guideway_dataplane::publish;
use guideway_dataplane::snapshot::{PortState, SnapshotReader};
use guideway_dataplane::time::Nanos;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

/// `arm_time`.
pub const ARM: Duration = Duration::from_millis(100);
/// T of all pools.
pub const IDLE: Duration = Duration::from_secs(1);
/// More than a walk through the pins takes.
pub const SWEEP: Duration = Duration::from_millis(300);
/// How long a change waits for the worker, which the test moves: not long.
const PATIENCE: Duration = Duration::from_millis(20);
/// The token over TCP.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// How time passes.
const STEP: Duration = Duration::from_millis(10);

const CONFIG: &str = r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1]
[state]
pins = 1024
arm_time = "100ms"
[[port]]
name = "edge"
device = "net_null0"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24", "fd00::1/64"]
NEIGHBORS
[[pool]]
name = "web"
forward = "l2dsr"
health = { kind = "none" }
idle_timeout = { tcp = "1s" }
backend = [
  { name = "web1", address = "10.0.0.11" },
  { name = "web2", address = "10.0.0.12" },
  { name = "web3", address = "10.0.0.13" },
]
[[pool]]
name = "checked"
forward = "l2dsr"
idle_timeout = { tcp = "1s" }
backend = [{ address = "10.0.0.21" }, { address = "10.0.0.22" }]
[[pool]]
name = "quic"
forward = "l2dsr"
health = { kind = "none" }
idle_timeout = { quic = "1s" }
backend = [{ name = "quic1", address = "10.0.0.31", server_id = "0a0b" }]
[[pool.quic_lb]]
config_id = 0
server_id_len = 2
nonce_len = 6
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
[[vip]]
address = "203.0.113.11"
protocol = "tcp"
port = 80
pool = "checked"
[[vip]]
address = "203.0.113.12"
protocol = "quic"
port = 443
pool = "quic"
"#;

/// A control socket, and what is behind it.
pub struct Site {
    pub client: Client,
    pub counters: Arc<WorkerCounters>,
    pub handles: Handles,
    now: Arc<AtomicU64>,
    worker: Mutex<SnapshotReader>,
    folder: TempDir,
}

impl Site {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let neighbors = (11..40).map(|host| {
            format!("[[interface.neighbor]]\naddress = \"10.0.0.{host}\"\nmac = \"02:00:00:00:00:{host:02x}\"\n")
        });
        let text = CONFIG.replace("NEIGHBORS", &neighbors.collect::<String>());
        std::fs::write(folder.path().join("guideway.toml"), &text).expect("a folder");
        let config = Arc::new(guideway_config::parse(&text, None).expect("a valid configuration").config);
        let mut state = State::new(config, vec![PortState::new([2, 0, 0, 0, 0, 1])], UNIX_EPOCH).expect("a state");
        let (requests, requested) = crossbeam::channel::unbounded();
        requests.send(Request::Configure(Box::new(duties(&state)))).expect("a receiver");
        let (checks, of_checks) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || serve_checks(of_checks));
        let (publisher, mut readers) = publish::channel(reconcile(&mut state), 1);
        let counters = Arc::new(WorkerCounters::default());
        let control = Control::new(state, publisher, vec![Arc::clone(&counters)], Arc::new(NoDevices));
        let now = Arc::new(AtomicU64::new(1_000_000_000));
        let clock = Arc::clone(&now);
        let handles = Handles {
            control: Arc::new(Mutex::new(control)),
            requests,
            checks,
            clock: Arc::new(move || Nanos(clock.load(Relaxed))),
            patience: PATIENCE,
            store: Some(Arc::new(Store::new(folder.path().join("state.json")))),
            source: Some(Arc::new(Source { path: folder.path().join("guideway.toml"), machine: None })),
        };
        let clock = Arc::clone(&now);
        std::thread::spawn(move || serve_requests(&requested, &clock));
        let path = folder.path().join("control.sock");
        let socket = Socket::bind(&path).expect("a socket");
        let served = handles.clone();
        std::thread::spawn(move || serve(&socket, served));
        let client = Client::new(&path).expect("a client");
        let worker = Mutex::new(readers.pop().expect("one reader"));
        let site = Self { client, counters, handles, now, worker, folder };
        site.run(STEP * 2);
        site
    }

    /// Lets time pass.
    pub fn run(&self, duration: Duration) {
        let mut worker = self.worker.lock().expect("no panic");
        for _ in 0..duration.as_nanos().div_ceil(STEP.as_nanos()) {
            self.now.fetch_add(STEP.as_nanos() as u64, Relaxed);
            worker.load();
            let mut control = self.handles.control.lock().expect("no panic");
            control.step((self.handles.clock)());
            control.reclaim();
            if control.take_duties_stale() {
                let duties = Box::new(duties(control.state()));
                self.handles.requests.send(Request::Configure(duties)).expect("a receiver");
            }
        }
        worker.load();
    }

    /// The file that it reads again.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("guideway.toml")
    }

    /// The state file.
    pub fn state_file(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    /// Changes the file.
    pub fn edit(&self, edits: &[(&str, &str)]) {
        let mut text = std::fs::read_to_string(self.file()).expect("a file");
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(self.file(), text).expect("a folder");
    }

    pub fn pool(&self, name: &str) -> PoolStatus {
        self.client.pool(name).expect("a pool")
    }

    /// A request as any client writes it: the code of the answer, and its body.
    pub fn raw(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (code, _, body) = self.exchange(method, path, "", body);
        (code, body)
    }

    /// The same with further lines in the head; the answer's head as well.
    pub fn exchange(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = UnixStream::connect(self.folder.path().join("control.sock")).expect("a listener");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: guideway\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}"
        );
        write!(stream, "{head}\r\n{body}").expect("a listener");
        whole_answer(stream)
    }

    /// Serves the same over TCP, with the token or without; the address.
    pub fn serve_tcp(&self, with_token: bool) -> SocketAddr {
        let token_file = self.folder.path().join("token");
        std::fs::write(&token_file, format!("{TOKEN}\n")).expect("a folder");
        std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).expect("a file");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = Listen { address: any, token_file: with_token.then_some(token_file) };
        let listener = Listener::bind(&listen).expect("a free port");
        let address = listener.listener.local_addr().expect("an address");
        let router = listener.router(self.handles.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener.listener).expect("a listener");
                let service = router.into_make_service_with_connect_info::<Peer>();
                axum::serve(listener, service).await.expect("it serves for ever");
            });
        });
        address
    }

    /// The worker takes what was published, all the time, while something else happens.
    pub fn with_worker<T>(&self, act: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    self.worker.lock().expect("no panic").load();
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            let acted = act();
            done.store(true, Relaxed);
            acted
        })
    }
}

/// A request over TCP with these headers: the code of the answer, and its body.
pub fn over_tcp(address: SocketAddr, request: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a listener");
    write!(stream, "{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n")
        .expect("a listener");
    answer(stream)
}

/// What is read of an answer: the code, and the body.
fn answer(stream: impl Read) -> (u16, String) {
    let (code, _, body) = whole_answer(stream);
    (code, body)
}

/// The same with the head.
fn whole_answer(mut stream: impl Read) -> (u16, String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, head.to_owned(), body.to_owned())
}

/// Stands for the thread of the checks: nobody is asked anything.
fn serve_checks(mut requests: tokio::sync::mpsc::UnboundedReceiver<checks::Request>) {
    while let Some(request) = requests.blocking_recv() {
        match request {
            checks::Request::Configure(_) => {}
            checks::Request::Report(answer) => drop(answer.send(Vec::new())),
            checks::Request::History(_, answer) => drop(answer.send(Vec::new())),
        }
    }
}

/// The real-time thread, as far as it answers: nobody sends it packets.
fn serve_requests(requested: &crossbeam::channel::Receiver<Request>, now: &AtomicU64) {
    let (sender, _events) = events();
    let mut rt: Rt<MemoryPort> = Rt::new(Vec::new(), Vec::new(), Arc::new(MemoryPool), [7; 16], sender);
    while let Ok(request) = requested.recv() {
        let now = Nanos(now.load(Relaxed));
        match request {
            Request::Configure(duties) => rt.configure(now, *duties).expect("targets that can be probed"),
            Request::Report(answer) => drop(answer.send(rt.report(now))),
            Request::History(backend, answer) => drop(answer.send(rt.history(backend, now))),
            Request::Link { .. } => {}
        }
    }
}

fn serve(socket: &Socket, handles: Handles) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = socket.listener.try_clone().and_then(tokio::net::UnixListener::from_std).expect("a listener");
        let service = router(handles).into_make_service_with_connect_info::<Peer>();
        axum::serve(listener, service).await.expect("it serves for ever");
    });
}
