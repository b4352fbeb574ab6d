//! Servers that reach the database over TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, give_away};
use crate::home::Home;

/// An authority, and a certificate for 127.0.0.1 that it vouches for, whose key the database may read.
fn certificates(dir: &Path) -> [PathBuf; 3] {
    let [authority, certificate, key] = ["ca.crt", "server.crt", "server.key"].map(|name| dir.join(name));
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(dir).output();
        let output = output.expect("`openssl` is needed: apt-get install openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let authority_request =
        ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"];
    run(&[&authority_request[..], &new_key].concat());
    let request = ["req", "-new", "-subj", "/CN=database", "-addext", "subjectAltName=IP:127.0.0.1"];
    run(&[&request[..], &["-keyout", "server.key", "-out", "server.csr"], &new_key].concat());
    let sign = ["x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key"];
    run(&[&sign[..], &["-CAcreateserial", "-copy_extensions", "copy", "-out", "server.crt"]].concat());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [dir, &certificate, &key] {
        give_away(path);
    }
    [authority, certificate, key]
}

#[test]
fn a_database_is_reached_over_tls_and_only_if_its_certificate_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let [authority, certificate, key] = certificates(dir.path()).map(|file| file.display().to_string());
    let files = [format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")];
    let cluster = Cluster::with(&["ssl=on", &files[0], &files[1]]);

    let url = format!("{}?sslmode=verify-full", cluster.url());
    let server = Home::at(format!("{url}&sslrootcert={authority}")).serve();
    assert!(server.is_active(&server.mint()));
    let of_ours = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'hallpass'";
    let mut session = cluster.session();
    assert!(session.number(&format!("SELECT count(*) {of_ours} AND ssl")) > 0);
    assert_eq!(session.number(&format!("SELECT count(*) {of_ours} AND NOT ssl")), 0);
    server.stop();

    let refusal = Home::at(url).serve_refused();
    assert!(refusal.contains("certificate"), "nobody else vouches for it: {refusal}");
}

#[test]
fn a_database_without_tls_is_refused_where_it_is_required() {
    let cluster = Cluster::new();
    let refusal = Home::at(format!("{}?sslmode=require", cluster.url())).serve_refused();
    assert!(refusal.to_lowercase().contains("tls"), "{refusal}");
}
