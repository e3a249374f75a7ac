//! Apache Kafka: one node in KRaft mode, broker and controller at once.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    ServerError,
    child::{ServerProcess, free_ports},
    folder::Folder,
    tools::tool,
};

/// Folder of the jars below `target/tools`; the version is that of `tests/servers/kafka/pom.xml`.
const JARS: &str = "kafka-4.3.1";

/// Any 16 bytes in base64: one node needs no other cluster to be told from.
const CLUSTER: &str = "Q291bnRlcnBvaW50MDAwMA";

const GLANCE: Duration = Duration::from_secs(2);

/// How a broker is set up.
#[derive(Debug, Clone, Default)]
pub struct KafkaSetup {
    port: Option<u16>,
    folder: Option<PathBuf>,
    protocol: Option<&'static str>,
    properties: Vec<(String, String)>,
    users: Vec<String>,
}

impl KafkaSetup {
    /// A broker for tests: it forgets what it was told when it ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// The port that clients connect to; a free one where none is given.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// A folder that stays, with what an earlier broker left in it.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// How clients have to connect: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT`, `SASL_SSL`.
    #[must_use]
    pub fn protocol(mut self, protocol: &'static str) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// A property of the broker.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A user of `SCRAM-SHA-512`, known from the beginning: with a new folder, that is.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push(format!("SCRAM-SHA-512=[name={name},password={password}]"));
        self
    }

    /// Starts the broker and waits until it answers.
    ///
    /// # Errors
    /// If it is not installed, or ends or stays silent instead.
    pub fn start(self) -> Result<KafkaServer, ServerError> {
        KafkaServer::start(self)
    }
}

/// A broker that runs, unless it was stopped.
#[derive(Debug)]
pub struct KafkaServer {
    // Dropped before the folder: a live process would write on.
    process: ServerProcess,
    port: u16,
    inner_port: u16,
    jars: PathBuf,
    folder: Folder,
}

impl KafkaServer {
    fn start(setup: KafkaSetup) -> Result<Self, ServerError> {
        let jars = tool(JARS)?;
        let folder = match &setup.folder {
            Some(folder) => Folder::kept(folder)?,
            None => Folder::temporary("kafka-")?,
        };
        let place = folder.path().to_owned();
        let [free, inner_port, controller] = free_ports()?;
        let port = setup.port.unwrap_or(free);
        let settings = place.join("server.properties");
        let text = properties(&place, [port, inner_port, controller], &setup);
        fs::write(&settings, text).map_err(|source| ServerError::Io {
            what: "cannot write",
            place: settings.clone(),
            source,
        })?;
        let mut format = java(&jars, &place, "kafka.tools.StorageTool");
        format.args(["format", "--ignore-formatted", "-t", CLUSTER, "-c"]).arg(&settings);
        for user in &setup.users {
            format.args(["--add-scram", user]);
        }
        let output = format.output().map_err(|source| ServerError::Io {
            what: "cannot run java in",
            place: place.clone(),
            source,
        })?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(ServerError::Ended { name: "Kafka's storage tool".to_owned(), log });
        }
        let process = launch(&jars, &folder, inner_port)?;
        Ok(Self { process, port, inner_port, jars, folder })
    }

    /// What `--broker` takes.
    pub fn broker(&self) -> String {
        format!("kafka://127.0.0.1:{}", self.port)
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its data and its log, `server.log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it in order, as an operator would.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports and data.
    ///
    /// # Errors
    /// As [`KafkaSetup::start`].
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.process.stop();
        self.process = launch(&self.jars, &self.folder, self.inner_port)?;
        Ok(())
    }

    /// Stops its clock: connections stay, answers do not come.
    pub fn suspend(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::suspend`].
    pub fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits until it ends by itself, such as by a signal of the terminal.
    pub fn wait(&mut self) {
        self.process.wait();
    }
}

fn launch(jars: &Path, folder: &Folder, inner_port: u16) -> Result<ServerProcess, ServerError> {
    let path = folder.path();
    let mut command = java(jars, path, "kafka.Kafka");
    command.arg(path.join("server.properties"));
    let log = path.join("server.log");
    let mut process = ServerProcess::start("Kafka", &command, &log, folder.temporary_path())?;
    process.ready(|| answers(inner_port))?;
    Ok(process)
}

fn java(jars: &Path, folder: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    // Small and quick to start: a broker of a test lives for seconds.
    command.args([
        "-Dorg.apache.logging.log4j.level=WARN",
        "-Xmx384m",
        "-Xms64m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
    ]);
    command.arg(jars.join("*")).arg(class).current_dir(folder);
    command
}

fn properties(folder: &Path, [port, inner, controller]: [u16; 3], setup: &KafkaSetup) -> String {
    let protocol = setup.protocol.unwrap_or("PLAINTEXT");
    let listeners = format!("CLIENTS://127.0.0.1:{port},INNER://127.0.0.1:{inner}");
    let data = folder.join("data").display().to_string();
    let own = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "INNER".to_owned()),
        ("listeners", format!("{listeners},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", listeners),
        (
            "listener.security.protocol.map",
            format!("CLIENTS:{protocol},INNER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ),
        ("log.dirs", data),
        ("auto.create.topics.enable", "false".to_owned()),
        // One node keeps one copy.
        ("default.replication.factor", "1".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        // Quick where a cluster would rather wait.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("group.min.session.timeout.ms", "500".to_owned()),
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000".to_owned()),
        // Small: a gigabyte of address space per partition is too much for hundreds of short logs.
        ("log.index.size.max.bytes", "1048576".to_owned()),
        ("log.cleaner.dedupe.buffer.size", "4194304".to_owned()),
        ("num.network.threads", "2".to_owned()),
        ("num.io.threads", "4".to_owned()),
    ];
    let mut text = String::new();
    for (name, value) in own {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    for (name, value) in &setup.properties {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// Whether the broker answers a request for the versions it speaks (`ApiVersions`, version 0).
fn answers(port: u16) -> bool {
    const REQUEST: [u8; 16] = [0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, b'h', b'i'];
    let ask = || -> io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, GLANCE)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.write_all(&REQUEST)?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer)?;
        // Length, the number of the request, no error.
        Ok(answer[4..] == [0, 0, 0, 7, 0, 0])
    };
    ask().unwrap_or(false)
}
