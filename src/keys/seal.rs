//! Vouching for rows: what this server wrote is told from what someone else wrote into its database.

use aws_lc_rs::hmac;

use super::MasterKey;

const PURPOSE: &[u8] = b"hallpass rows v1";

/// Bytes of a seal: half of an HMAC-SHA-256, which RFC 2104, section 5, allows.
const BYTES: usize = 16;

/// Proof that a row was written by a holder of the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSeal([u8; BYTES]);

/// What a row says that must not be changed behind the server's back.
#[derive(Clone, Copy, Debug)]
pub enum SealedRow<'a> {
    /// Lists sign the stored payload again: were it not sealed, whoever can write to the database could
    /// have any token signed.
    Token { project_id: i64, expires_at: i64, kid: &'a str, payload: &'a str },
    /// Otherwise whoever can write to the database could add a key of their own.
    ApiKey { id: &'a str, project_id: i64, gateway: bool, hash: &'a [u8; 32] },
}

/// Seals rows under a key derived from the master key.
pub struct RowSealer(hmac::Key);

impl RowSealer {
    pub fn new(master: &MasterKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, master.derive(PURPOSE).as_ref()))
    }

    /// The seal of a row.
    pub fn seal(&self, row: SealedRow<'_>) -> RowSeal {
        let mut context = hmac::Context::with_key(&self.0);
        // Only the last part of each kind varies in length, and a payload begins with a brace, which no
        // `kid` holds: no two rows read alike.
        match row {
            SealedRow::Token { project_id, expires_at, kid, payload } => {
                context.update(b"t");
                context.update(&project_id.to_be_bytes());
                context.update(&expires_at.to_be_bytes());
                context.update(kid.as_bytes());
                context.update(payload.as_bytes());
            }
            SealedRow::ApiKey { id, project_id, gateway, hash } => {
                context.update(b"k");
                context.update(&project_id.to_be_bytes());
                context.update(&[u8::from(gateway)]);
                context.update(hash);
                context.update(id.as_bytes());
            }
        }
        let mut seal = [0; BYTES];
        seal.copy_from_slice(&context.sign().as_ref()[..BYTES]);
        RowSeal(seal)
    }

    /// Whether a row is as it was sealed; the comparison takes the same time wherever they differ.
    pub fn fits(&self, row: SealedRow<'_>, seal: RowSeal) -> bool {
        use subtle::ConstantTimeEq;
        self.seal(row).0.ct_eq(&seal.0).into()
    }
}

impl std::fmt::Debug for RowSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowSealer([redacted])")
    }
}

impl RowSeal {
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn sealer(byte: u8) -> RowSealer {
        RowSealer::new(&MasterKey::parse(&STANDARD.encode([byte; 32])).unwrap())
    }

    #[test]
    fn a_row_fits_only_its_own_seal() {
        let token = SealedRow::Token { project_id: 1, expires_at: 2, kid: "k", payload: "{}" };
        let seal = sealer(1).seal(token);
        assert!(sealer(1).fits(token, seal));
        for other in [
            SealedRow::Token { project_id: 2, expires_at: 2, kid: "k", payload: "{}" },
            SealedRow::Token { project_id: 1, expires_at: 3, kid: "k", payload: "{}" },
            SealedRow::Token { project_id: 1, expires_at: 2, kid: "k", payload: "{ }" },
            SealedRow::Token { project_id: 1, expires_at: 2, kid: "l", payload: "{}" },
            SealedRow::ApiKey { id: "k{}", project_id: 1, gateway: false, hash: &[0; 32] },
        ] {
            assert!(!sealer(1).fits(other, seal), "{other:?}");
        }
        assert!(!sealer(2).fits(token, seal), "another master key");
    }

    #[test]
    fn every_part_of_an_api_key_counts() {
        let key = |id, project_id, gateway, hash| {
            sealer(1).seal(SealedRow::ApiKey { id, project_id, gateway, hash })
        };
        let seal = key("key_1", 1, false, &[0; 32]);
        assert_ne!(seal, key("key_2", 1, false, &[0; 32]));
        assert_ne!(seal, key("key_1", 2, false, &[0; 32]));
        assert_ne!(seal, key("key_1", 1, true, &[0; 32]));
        assert_ne!(seal, key("key_1", 1, false, &[1; 32]));
    }
}
