//! A network between a server and its database, with the weather that networks have.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Clear,
    /// Everything arrives so much later.
    Slow(Duration),
    /// Nothing arrives any more, and nobody is told. Connections that live through this stay dead, as
    /// behind a firewall that has forgotten them; new ones are dead too until it is over.
    Silent,
    /// Connections are reset, new ones too.
    Down,
}

#[derive(Clone, Copy)]
struct Sky {
    weather: Weather,
    /// How often all connections have been reset.
    resets: u64,
}

pub(crate) struct Proxy {
    port: u16,
    sky: watch::Sender<Sky>,
    _runtime: Runtime,
}

impl Proxy {
    /// To a port of this machine.
    pub(crate) fn to(upstream: u16) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sky, seen) = watch::channel(Sky { weather: Weather::Clear, resets: 0 });
        runtime.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(client, upstream, seen.clone()));
            }
        });
        Self { port, sky, _runtime: runtime }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.sky.send_modify(|sky| sky.weather = weather);
        if weather == Weather::Down {
            self.reset();
        }
    }

    /// Resets every connection that there is.
    pub(crate) fn reset(&self) {
        self.sky.send_modify(|sky| sky.resets += 1);
    }
}

/// A connection's life. What it ends by is a reset: a close in order is not what is tested.
async fn carry(mut client: TcpStream, upstream: u16, mut sky: watch::Receiver<Sky>) {
    let Sky { weather, resets } = *sky.borrow_and_update();
    let _ = client.set_nodelay(true);
    let _ = client.set_zero_linger();
    if weather == Weather::Down {
        return;
    }
    let mut server = None;
    if weather != Weather::Silent
        && let Ok(mut connected) = TcpStream::connect(("127.0.0.1", upstream)).await
    {
        let _ = connected.set_nodelay(true);
        let _ = connected.set_zero_linger();
        let (to_server, to_client) = (sky.clone(), sky.clone());
        {
            let (mut from_client, mut into_client) = client.split();
            let (mut from_server, mut into_server) = connected.split();
            tokio::select! {
                () = pump(&mut from_client, &mut into_server, to_server) => return,
                () = pump(&mut from_server, &mut into_client, to_client) => return,
                _ = sky.wait_for(|sky| sky.resets > resets || sky.weather == Weather::Silent) => {}
            }
        }
        server = Some(connected);
    }
    // Dead, or reset; held until then, so that neither end learns of it.
    let _ = sky.wait_for(|sky| sky.resets > resets).await;
    drop(server);
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    sky: watch::Receiver<Sky>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let weather = sky.borrow().weather;
        if let Weather::Slow(latency) = weather {
            tokio::time::sleep(latency).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
