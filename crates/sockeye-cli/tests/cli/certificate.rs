//! Certificates for a test, as files.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

/// A folder with an authority `ca.pem`, and what it vouches for.
pub(crate) struct Folder {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        // No two authorities have the same name: OpenSSL finds them by it.
        let name = format!("authority of {}", dir.path().display());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(
            dir.path().join("ca.pem"),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    /// With `NAME.pem` and `NAME.key` of a server with this common name, for `localhost`,
    /// 127.0.0.1 and the name.
    pub(crate) fn server(self, name: &str) -> Self {
        self.put_server(name, name);
        self
    }

    /// Makes a server's files, or makes them anew for another name.
    pub(crate) fn put_server(&self, file: &str, name: &str) {
        let names = ["localhost", "127.0.0.1", name].map(str::to_owned);
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.issue(
            file,
            name,
            CertificateParams::new(names.to_vec()).unwrap(),
            usage,
        );
    }

    /// With `NAME.pem` and `NAME.key` of a client.
    pub(crate) fn client(self, name: &str) -> Self {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        self.issue(name, name, CertificateParams::default(), usage);
        self
    }

    fn issue(
        &self,
        file: &str,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{file}.pem"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.path().join(file), text).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    pub(crate) fn path(&self, file: &str) -> String {
        let path: &Path = &self.dir.path().join(file);
        path.to_str().unwrap().to_owned()
    }
}
