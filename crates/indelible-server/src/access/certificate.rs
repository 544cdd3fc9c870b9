//! Client certificates: the TLS layer has verified the chain; here the subject becomes
//! a principal, `cert:CN=app,O=acme` (RFC 4514 order as in the certificate).

use super::Principal;
use indelible_event::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The principal of a verified certificate; `None` where its subject cannot be
/// written so that no other subject is written alike.
pub(crate) fn principal(der: &[u8]) -> Option<Principal> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut parts = Vec::new();
    for attribute in certificate.subject().iter_attributes() {
        let value = attribute.as_str().ok()?;
        let plain = |c: char| !c.is_control() && !",+\"\\<>;=#".contains(c);
        if value.is_empty() || value.len() > 256 || !value.chars().all(plain) {
            return None;
        }
        let kind = match attribute.attr_type().to_id_string().as_str() {
            "2.5.4.3" => "CN".to_owned(),
            "2.5.4.10" => "O".to_owned(),
            "2.5.4.11" => "OU".to_owned(),
            "2.5.4.6" => "C".to_owned(),
            "2.5.4.7" => "L".to_owned(),
            "2.5.4.8" => "ST".to_owned(),
            other => other.to_owned(),
        };
        parts.push(format!("{kind}={value}"));
    }
    if parts.is_empty() {
        return None;
    }
    let end = certificate.validity().not_after.timestamp().saturating_mul(1_000_000);
    let name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .map(str::to_owned);
    Some(Principal {
        id: format!("cert:{}", parts.join(",")),
        name,
        groups: Vec::new(),
        expires_at: Some(Timestamp::from_micros(end)),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn subject(parts: &[(DnType, &str)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        principal(certificate.der()).map(|principal| principal.id)
    }

    #[test]
    fn subjects_are_written_in_one_way_only() {
        let full = [(DnType::CommonName, "app"), (DnType::OrganizationName, "acme")];
        assert_eq!(subject(&full).unwrap(), "cert:CN=app,O=acme");
        // A name that would be written like the one above is no name.
        assert_eq!(subject(&[(DnType::CommonName, "app,O=acme")]), None);
        assert_eq!(subject(&[]), None);
        assert!(principal(b"not a certificate").is_none());
    }
}
