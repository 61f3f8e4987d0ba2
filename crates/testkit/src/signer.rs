//! One who signs messages. The key is for tests alone, and known to everybody.

/// The private key: RSA of 2048 bits, PKCS#8 in PEM.
pub const KEY: &str = include_str!("signer.key");

/// Its certificate, which is valid for a hundred years.
pub const CERTIFICATE: &str = include_str!("signer.crt");
