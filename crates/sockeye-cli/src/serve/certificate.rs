//! The certificates of `serve`: from files to what listeners use, and again on SIGHUP.

use sockeye::tls::{ClientCertificates, Identity, Roots, ServerTls, ServerTlsOptions};

use super::log::Log;
use crate::args::{ClientCert, ServeTlsArgs};
use crate::failure::Failure;
use crate::{signal, terminal};

/// What listeners use; `None` if no certificates are given.
pub(super) fn load(args: &ServeTlsArgs) -> Result<Option<ServerTls>, Failure> {
    match read(args)? {
        Some(options) => Ok(Some(ServerTls::new(options)?)),
        None => Ok(None),
    }
}

/// Reads all files anew on each SIGHUP.
pub(super) fn watch(args: ServeTlsArgs, tls: ServerTls, log: Log) -> Result<(), Failure> {
    signal::watch_hangup(move || match reload(&args, &tls) {
        Ok(()) => log.say("the certificates were read anew"),
        Err(failure) => terminal::complain(&Failure::Reload(Box::new(failure))),
    })
}

fn reload(args: &ServeTlsArgs, tls: &ServerTls) -> Result<(), Failure> {
    match read(args)? {
        Some(options) => Ok(tls.reload(options)?),
        None => Ok(()),
    }
}

fn read(args: &ServeTlsArgs) -> Result<Option<ServerTlsOptions>, Failure> {
    let certificates = &args.tls_cert;
    // Without keys of their own, certificates have them in the same files.
    let keys = match args.tls_key.is_empty() {
        true => certificates,
        false => &args.tls_key,
    };
    if keys.len() != certificates.len() {
        return Err(Failure::Options(
            "--tls-key: give one for each --tls-cert, in the same order",
        ));
    }
    let mut options = None;
    for (certificate, key) in certificates.iter().zip(keys) {
        let identity = Identity::from_pem_files(certificate, key)?;
        options = Some(match options {
            None => ServerTlsOptions::new(identity),
            Some(options) => ServerTlsOptions::identity(options, identity),
        });
    }
    let Some(mut options) = options else {
        return Ok(None);
    };
    if !args.client_ca.is_empty() {
        let mut roots = Roots::none();
        for file in &args.client_ca {
            roots = roots.with_pem_file(file)?;
        }
        options = options.client_certificates(match args.client_cert {
            Some(ClientCert::Optional) => ClientCertificates::Optional(roots),
            Some(ClientCert::Required) | None => ClientCertificates::Required(roots),
        });
    }
    if let Some(backend) = args.tls_backend {
        options = options.backend(backend.backend()?);
    }
    Ok(Some(options))
}
