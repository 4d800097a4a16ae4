//! Which servers are trusted: those that a certificate authority of this machine vouches for.
//!
//! The authorities are read when the first server shows its certificate, and
//! once for all connections: a run with a hundred keys read them a hundred
//! times, and kept them as often. What a certificate must be is rustls' to say.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// How every encrypted connection is made; `protocols` are offered to the server, the best one first.
pub(crate) fn config(protocols: &[&str]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trusted = Arc::new(Trusted(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // Dangerous is only who checks nothing.
    let mut config = builder.dangerous().with_custom_certificate_verifier(trusted).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Whether this is why a connection was not made: asking again would change nothing.
pub(crate) fn is_distrust(cause: &(dyn std::error::Error + 'static)) -> bool {
    match (cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref), cause.downcast_ref()) {
        (Some(inner), _) => is_distrust(inner),
        // The second one is the verifier's, where the machine trusts nobody.
        (None, Some(Error::InvalidCertificate(_) | Error::General(_))) => true,
        _ => false,
    }
}

/// The platform's verifier, made when it is needed.
#[derive(Debug)]
struct Trusted(Arc<CryptoProvider>);

impl Trusted {
    fn verifier(&self) -> Result<&'static Verifier, Error> {
        static VERIFIER: OnceLock<Result<Verifier, Error>> = OnceLock::new();
        VERIFIER.get_or_init(|| Verifier::new(Arc::clone(&self.0))).as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
