//! `hallpass healthcheck`: for a container, which has no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::print;
use crate::config::Loaded;

const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct Arguments {
    /// Ask whether it is ready for work, not only whether it is up
    #[arg(long)]
    ready: bool,
    /// Where the server listens; by default, what `server.listen` says
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
}

pub(super) fn run(
    arguments: &Arguments,
    load: impl FnOnce() -> anyhow::Result<Loaded>,
) -> anyhow::Result<ExitCode> {
    let address = match arguments.address {
        Some(address) => address,
        None => reachable(load()?.config.server.listen),
    };
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { tokio::time::timeout(TIMEOUT, ask(address, path)).await });
    let status = asked
        .with_context(|| format!("no answer from `{address}` within {} s", TIMEOUT.as_secs()))?
        .with_context(|| format!("cannot ask `{address}`"))?;
    if status != 200 {
        bail!("`{address}{path}` answers {status}");
    }
    print::line("healthy")?;
    Ok(ExitCode::SUCCESS)
}

/// A server on all addresses is asked on the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("host", address.to_string()).body(Empty::<bytes::Bytes>::new())?;
    let answer = async { anyhow::Ok(sender.send_request(request).await?.status().as_u16()) };
    tokio::select! {
        status = answer => status,
        ended = connection => {
            ended?;
            bail!("the connection was closed without an answer")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:8284".parse().unwrap()), "127.0.0.1:8284".parse().unwrap());
        assert_eq!(reachable("[::]:8284".parse().unwrap()), "[::1]:8284".parse().unwrap());
        assert_eq!(reachable("10.1.2.3:80".parse().unwrap()), "10.1.2.3:80".parse().unwrap());
    }
}
