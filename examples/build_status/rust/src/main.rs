//! The build-status demo in Rust: server, client, and a proxy that makes the way long.

mod client;
mod folder;
mod history;
mod junit;
mod proxy;
mod status;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use marotte::{SturdyRef, Tub};
use serde_json::json;
use tokio::net::TcpListener;

use client::{Mode, Question};
use folder::Folder;
use status::{Board, Status};

const USAGE: &str = "\
usage: build-status serve --reports DIR [--tcp HOST:PORT] [--ws HOST:PORT]
       build-status client URI [--pipelined | --one-at-a-time] [--builder NAME] [--build NUMBER]
       build-status delay-proxy LISTEN TARGET MILLISECONDS

serve        offers the JUnit reports in DIR; without --tcp and --ws it listens on a free port for each.
client       makes three dependent calls and prints the round trips and the time they took.
delay-proxy  passes TCP on from LISTEN to TARGET (both HOST:PORT), each direction that much later.

Each prints one line of JSON when it is ready or done. Port 0 is any free port.";

enum Command {
    Help,
    Serve {
        reports: PathBuf,
        tcp: Option<String>,
        websocket: Option<String>,
    },
    Client(Question),
    DelayProxy {
        listen: String,
        target: String,
        delay: Duration,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = match parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut words: Vec<String> = Vec::new();
    let (mut reports, mut tcp, mut websocket) = (None, None, None);
    let (mut mode, mut builder, mut build) = (Mode::Pipelined, None, -1);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("reports") => reports = Some(PathBuf::from(parser.value()?)),
            Long("tcp") => tcp = Some(parser.value()?.string()?),
            Long("ws") => websocket = Some(parser.value()?.string()?),
            Long("pipelined") => mode = Mode::Pipelined,
            Long("one-at-a-time") => mode = Mode::OneAtATime,
            Long("builder") => builder = Some(parser.value()?.string()?),
            Long("build") => build = parser.value()?.parse()?,
            Value(word) => words.push(word.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => {
            let reports = reports.ok_or("serve needs --reports DIR")?;
            Ok(Command::Serve {
                reports,
                tcp,
                websocket,
            })
        }
        ["client", uri] => Ok(Command::Client(Question {
            uri: uri.to_owned(),
            mode,
            builder,
            build,
        })),
        ["delay-proxy", listen, target, milliseconds] => {
            let milliseconds = milliseconds
                .parse()
                .map_err(|_| format!("{milliseconds:?} is not a whole number of milliseconds"))?;
            Ok(Command::DelayProxy {
                listen: listen.to_owned(),
                target: target.to_owned(),
                delay: Duration::from_millis(milliseconds),
            })
        }
        [] => Err("say what to do".into()),
        _ => Err(format!("cannot make sense of: {}", words.join(" ")).into()),
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Help => println!("{USAGE}"),
        Command::Serve {
            reports,
            tcp,
            websocket,
        } => serve(reports, tcp, websocket).await?,
        Command::Client(question) => {
            println!("{}", serde_json::to_string(&client::ask(question).await?)?);
        }
        Command::DelayProxy {
            listen,
            target,
            delay,
        } => {
            let listener = bind(&listen, TcpListener::bind(&listen).await)?;
            println!(
                "{}",
                json!({ "listen": listener.local_addr()?.to_string() })
            );
            proxy::run(listener, target, delay).await;
        }
    }
    Ok(())
}

async fn serve(
    reports: PathBuf,
    tcp: Option<String>,
    websocket: Option<String>,
) -> Result<(), Box<dyn Error>> {
    let any = (tcp.is_none() && websocket.is_none()).then(|| "127.0.0.1:0".to_owned());
    let tub = Tub::new();
    let mut listeners = Vec::new();
    if let Some(address) = tcp.or_else(|| any.clone()) {
        listeners.push(("tcp", bind(&address, tub.listen_tcp(&address).await)?));
    }
    if let Some(address) = websocket.or(any) {
        listeners.push(("ws", bind(&address, tub.listen_websocket(&address).await)?));
    }
    let board = Arc::new(Board::default());
    // Whoever reads the line below finds the reports that are there already.
    let folder = board.look(Folder::new(reports)).await;
    let uri = tub.register_reference(Status(Arc::clone(&board)), Some("status"))?;
    let swiss = uri.parse::<SturdyRef>()?.swiss;

    let mut ready = serde_json::Map::from_iter([("server".to_owned(), json!("rust"))]);
    for (name, listener) in &listeners {
        let here = SturdyRef {
            location: listener.location().clone(),
            swiss: swiss.clone(),
        };
        ready.insert((*name).to_owned(), json!(here.to_string()));
    }
    println!("{}", json!(ready));
    board.watch(folder).await;
    Ok(())
}

/// Says which address it was that could not be listened on.
fn bind<T>(address: &str, listener: std::io::Result<T>) -> Result<T, String> {
    listener.map_err(|error| format!("cannot listen on {address}: {error}"))
}
