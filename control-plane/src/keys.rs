//! The control plane's keys: an authority, certificates of servers and of the API server as the kubelet's client, and the pair that
//! signs ServiceAccounts' tokens.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::{ControlPlane, Error, KUBERNETES};

/// The certificate to trust.
pub const AUTHORITY: &str = "authority.crt";
/// The kubelet's certificate.
pub const KUBELET: &str = "kubelet.crt";
/// Its key.
pub const KUBELET_KEY: &str = "kubelet.key";
pub(crate) const SERVER: &str = "server.crt";
pub(crate) const SERVER_KEY: &str = "server.key";
pub(crate) const CLIENT: &str = "client.crt";
pub(crate) const CLIENT_KEY: &str = "client.key";
pub(crate) const ACCOUNTS_KEY: &str = "accounts.key";
pub(crate) const ACCOUNTS_PUBLIC: &str = "accounts.pub";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Makes them and writes them; gives the authority's certificate, as PEM.
pub(crate) fn write(plane: &ControlPlane) -> Result<String, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the authority of a cluster on one machine");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    plane.put(AUTHORITY, &authority.pem())?;

    let mut names = ["127.0.0.1", "localhost", "kubernetes.default.svc", KUBERNETES].map(str::to_owned).to_vec();
    names.extend(plane.node.as_ref().map(|node| node.address.to_string()));
    issue(plane, &authority, &CertificateParams::new(names)?, (SERVER, SERVER_KEY))?;
    if let Some(node) = &plane.node {
        let names = vec![node.name.clone(), node.address.to_string()];
        issue(plane, &authority, &CertificateParams::new(names)?, (KUBELET, KUBELET_KEY))?;
        issue(plane, &authority, &client(), (CLIENT, CLIENT_KEY))?;
    }
    let accounts = KeyPair::generate()?;
    plane.put(ACCOUNTS_KEY, &accounts.serialize_pem())?;
    plane.put(ACCOUNTS_PUBLIC, &accounts.public_key_pem())?;
    Ok(authority.pem())
}

/// The API server, where it is a client of kubelets.
fn client() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn issue(
    plane: &ControlPlane,
    authority: &Authority,
    params: &CertificateParams,
    (certificate, key_name): (&str, &str),
) -> Result<(), Error> {
    let key = KeyPair::generate()?;
    plane.put(certificate, &params.signed_by(&key, authority)?.pem())?;
    plane.put(key_name, &key.serialize_pem())?;
    Ok(())
}
