//! The certificates that the tests of TLS use, made anew for each run.
//!
//! Knows names, keys and dates; not who shows which certificate to whom. `conformance/README.md`
//! lists the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::command::Failure;
use crate::workspace::Workspace;

const DAY: Duration = Duration::from_secs(86_400);

/// From and till when, in days from now.
type Validity = (i32, i32);
const VALID: Validity = (-1, 30);
const EXPIRED: Validity = (-9, -3);
const FUTURE: Validity = (3, 9);

const HERE: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// Who a certificate is for.
#[derive(Clone, Copy)]
enum Holder {
    Server(&'static [&'static str]),
    Client,
}

/// Everything is made relative to these.
struct Mint {
    folder: PathBuf,
    now: Duration,
}

/// Makes all of them, and says in which folder.
pub(crate) fn make(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let folder = workspace.target("certificates");
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
    fill(&folder)?;
    Ok(folder)
}

fn fill(folder: &Path) -> Result<(), Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|error| Failure::new(format!("the clock of this machine: {error}")))?;
    let mint = Mint {
        folder: folder.to_owned(),
        now,
    };
    let root = mint.authority("root", None)?;
    let between = mint.authority("between", Some(&root))?;
    let clients = mint.authority("clients", None)?;
    let stranger = mint.authority("stranger", None)?;

    // Its chain has to be sent whole: nobody knows the one between.
    let chain = mint.read("between.pem")?;
    mint.issue("server", Holder::Server(HERE), &between, VALID)?;
    let own = mint.read("server.pem")?;
    mint.write("server.pem", &format!("{own}{chain}"))?;
    mint.issue("renewed", Holder::Server(HERE), &root, VALID)?;
    mint.issue("expired", Holder::Server(HERE), &root, EXPIRED)?;
    mint.issue("future", Holder::Server(HERE), &root, FUTURE)?;
    mint.issue("impostor", Holder::Server(HERE), &stranger, VALID)?;
    mint.issue("a", Holder::Server(&["a.test"]), &root, VALID)?;
    mint.issue("b", Holder::Server(&["b.test", "*.b.test"]), &root, VALID)?;

    mint.issue("client", Holder::Client, &clients, VALID)?;
    mint.issue("client-expired", Holder::Client, &clients, EXPIRED)?;
    mint.issue("client-stranger", Holder::Client, &stranger, VALID)
}

type Authority = Issuer<'static, KeyPair>;

impl Mint {
    /// Somebody who vouches for others: `NAME.pem`. The key is kept by nobody.
    fn authority(&self, name: &str, above: Option<&Authority>) -> Result<Authority, Failure> {
        let mut params = self.params(name, VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failure)?;
        let certificate = match above {
            None => params.self_signed(&key),
            Some(above) => params.signed_by(&key, above),
        };
        self.write(&format!("{name}.pem"), &certificate.map_err(failure)?.pem())?;
        Ok(Issuer::new(params, key))
    }

    /// `NAME.pem` and `NAME.key`.
    fn issue(
        &self,
        name: &str,
        holder: Holder,
        authority: &Authority,
        validity: Validity,
    ) -> Result<(), Failure> {
        let mut params = self.params(name, validity);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let purpose = match holder {
            Holder::Server(names) => {
                let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
                params.subject_alt_names = CertificateParams::new(names)
                    .map_err(failure)?
                    .subject_alt_names;
                ExtendedKeyUsagePurpose::ServerAuth
            }
            Holder::Client => ExtendedKeyUsagePurpose::ClientAuth,
        };
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().map_err(failure)?;
        let certificate = params.signed_by(&key, authority).map_err(failure)?;
        self.write(&format!("{name}.pem"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn params(&self, name: &str, (from, till): Validity) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let now = date_time_ymd(1970, 1, 1) + self.now;
        let at = |days: i32| {
            let span = DAY * days.unsigned_abs();
            if days < 0 { now - span } else { now + span }
        };
        params.not_before = at(from);
        params.not_after = at(till);
        params
    }

    fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::file(&path, &error))
    }
}

fn failure(error: rcgen::Error) -> Failure {
    Failure::new(format!("a certificate for the tests: {error}"))
}
