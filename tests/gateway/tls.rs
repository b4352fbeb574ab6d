//! An agent server behind TLS: its secret goes to whom the configured authority vouches for, and to no one
//! else.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::home::{Home, STATIC_KEY};
use crate::server::Server;
use crate::stage::{AGENT, ORIGIN, TOKENS, UPSTREAM_TOKEN};
use crate::wire::{Ask, Wire};

/// An authority, and the files of a server that it vouches for under a name such as `IP:127.0.0.1`.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn new(dir: &Path, name: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let run = |arguments: &str| {
            let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
            let output = output.expect("`openssl` is needed: apt-get install openssl");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        run(&format!("req -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.crt {key}"));
        run(&format!(
            "req -new -subj /CN=agents -addext subjectAltName={name} -keyout key.pem -out csr.pem {key}"
        ));
        run(
            "x509 -req -days 2 -in csr.pem -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -out crt.pem",
        );
        let [authority, certificate, key] = ["ca.crt", "crt.pem", "key.pem"].map(|file| dir.join(file));
        Self { authority, certificate, key }
    }

    fn config(&self) -> ServerConfig {
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder =
            ServerConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
        builder.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()
    }
}

/// An agent server that answers everything behind TLS, and what it was told there.
fn behind_tls(config: ServerConfig) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (config, heard) = (Arc::new(config), Arc::new(Mutex::new(String::new())));
    let told = heard.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, told) = (config.clone(), told.clone());
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let mut bytes = [0; 4096];
                // Who doesn't trust the certificate leaves here.
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    told.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
                    let answer =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]";
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    (address, heard)
}

fn serve(upstream: &str, authority: &Path) -> (Home, Server) {
    let home = Home::new();
    let mut command = home.hallpass(["serve"]);
    command
        .env("HALLPASS_API_KEY", STATIC_KEY)
        .env("HALLPASS_GATEWAY__UPSTREAM", upstream)
        .env("HALLPASS_GATEWAY__UPSTREAM_TOKEN", UPSTREAM_TOKEN)
        .env("HALLPASS_GATEWAY__UPSTREAM_CA", authority);
    let server = Server::start(command);
    (home, server)
}

/// A request with a client token, and one with a key.
fn requests(server: &Server) -> [Ask; 2] {
    let policy = serde_json::json!([{"type": "agent", "id": AGENT, "access": ["read_messages"]}]);
    let request = serde_json::json!({"hostname": ORIGIN, "policy": policy});
    let answer = Wire::connect(server.address()).ask(&Ask::post(TOKENS, &request).bearer(STATIC_KEY));
    let token = answer.expect(201).json()["token"].as_str().unwrap().to_owned();
    [Ask::get(&format!("/v1/agents/{AGENT}/messages")).by(&token), Ask::get("/v1/agents/").bearer(STATIC_KEY)]
}

#[test]
fn an_agent_server_is_reached_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(dir.path(), "IP:127.0.0.1,DNS:localhost");
    let (address, heard) = behind_tls(certificates.config());
    for host in ["127.0.0.1", "localhost"] {
        let (_home, server) = serve(&format!("https://{host}:{}", address.port()), &certificates.authority);
        for ask in requests(&server) {
            Wire::connect(server.address()).ask(&ask).expect(200);
            let told = std::mem::take(&mut *heard.lock().unwrap()).to_lowercase();
            assert!(told.contains(&format!("authorization: bearer {UPSTREAM_TOKEN}\r\n")), "{told}");
            assert!(told.contains(&format!("host: {host}:{}\r\n", address.port())), "{told}");
        }
    }
}

#[test]
fn nobody_else_gets_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Certificates::new(&dir.path().join("ours"), "IP:127.0.0.1");
    let strange = Certificates::new(&dir.path().join("strange"), "IP:127.0.0.1");
    let misnamed = Certificates::new(&dir.path().join("misnamed"), "DNS:agents.example.com,IP:127.0.0.2");
    for (authority, server) in [(&ours, &strange), (&misnamed, &misnamed)] {
        let (address, heard) = behind_tls(server.config());
        let (_home, server) = serve(&format!("https://{address}"), &authority.authority);
        for ask in requests(&server) {
            let answer = Wire::connect(server.address()).ask(&ask);
            answer.upstream_fault(502, "upstream-unreachable");
            assert_eq!(*heard.lock().unwrap(), "");
        }
    }
}

#[test]
fn an_agent_server_that_speaks_plainly_where_tls_is_wanted_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(dir.path(), "IP:127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let (_home, server) = serve(&format!("https://{address}"), &certificates.authority);
    for ask in requests(&server) {
        Wire::connect(server.address()).ask(&ask).upstream_fault(502, "upstream-unreachable");
    }
}

#[test]
fn an_agent_server_that_is_silent_before_it_could_be_asked_is_given_up_soon() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(dir.path(), "IP:127.0.0.1");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (_home, server) = serve(&format!("https://{address}"), &certificates.authority);
    let [ask, _] = requests(&server);
    // Connecting takes some seconds at most, and what comes before the request is part of it.
    let answer = Wire::connect(server.address()).ask(&ask);
    assert!(matches!(answer.status, 502 | 504), "{answer}");
}

#[test]
fn an_authority_that_cannot_be_read_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for authority in [dir.path().join("missing.pem"), empty] {
        let home = Home::new();
        let mut command = home.hallpass(["serve"]);
        command
            .env("HALLPASS_GATEWAY__UPSTREAM", "https://127.0.0.1:1")
            .env("HALLPASS_GATEWAY__UPSTREAM_CA", &authority);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let refusal = String::from_utf8(output.stderr).unwrap();
        assert!(refusal.contains(&authority.display().to_string()), "{refusal}");
    }
}
