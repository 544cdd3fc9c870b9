//! Signing keys in a hardware module, by PKCS#11: they are made there and never leave.
//! A log's folder then holds a reference, `pkcs11:token=…;id=…` (after RFC 7512).

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use indelible_log::KeyStore;
use indelible_tlog::{NoteSignature, SignError, Signer, VerifyingKey};
use parking_lot::Mutex;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// DER of the name of the curve, as PKCS#11 3.0 has it (PrintableString edwards25519).
const ED25519: [u8; 14] = *b"\x13\x0cedwards25519";

/// Why the module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The module, or its token, refuses.
    #[error("could not {what} with the PKCS#11 module {module}")]
    Module {
        /// What was tried.
        what: &'static str,
        /// Path of the module.
        module: PathBuf,
        /// What it says.
        source: cryptoki::error::Error,
    },
    /// There is no token of that label.
    #[error("the PKCS#11 module has no token with the label {0:?}")]
    NoToken(String),
    /// The file with the PIN cannot be used.
    #[error("could not use the PIN file {0}: {1}")]
    Pin(PathBuf, String),
}

/// A token of a PKCS#11 module, logged in to.
pub struct Pkcs11 {
    module: Module,
    slot: Slot,
    label: String,
    /// Keeps the login; other sessions share it.
    session: Mutex<Session>,
}

impl fmt::Debug for Pkcs11 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11({})", self.label)
    }
}

impl Pkcs11 {
    /// Loads the module and logs in to the token.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub fn open(path: &Path, label: &str, pin_file: &Path) -> Result<Self, Pkcs11Error> {
        let failed =
            |what| move |source| Pkcs11Error::Module { what, module: path.to_owned(), source };
        let pin =
            read_pin(pin_file).map_err(|problem| Pkcs11Error::Pin(pin_file.to_owned(), problem))?;
        let module = Module::new(path).map_err(failed("load it"))?;
        module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed("start"))?;
        let slots = module.get_slots_with_token().map_err(failed("list tokens"))?;
        let slot = slots
            .into_iter()
            .find(|slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == label))
            .ok_or_else(|| Pkcs11Error::NoToken(label.to_owned()))?;
        let session = module.open_rw_session(slot).map_err(failed("open a session"))?;
        let pin = AuthPin::new(pin.as_str().into());
        session.login(UserType::User, Some(&pin)).map_err(failed("log in"))?;
        Ok(Self { module, slot, label: label.to_owned(), session: Mutex::new(session) })
    }

    fn signer(&self, origin: &str, id: &[u8]) -> Result<Arc<dyn Signer>, String> {
        let session = self.module.open_ro_session(self.slot).map_err(|e| e.to_string())?;
        let find = |class: ObjectClass| -> Result<ObjectHandle, String> {
            let wanted = [
                Attribute::Class(class),
                Attribute::KeyType(KeyType::EC_EDWARDS),
                Attribute::Id(id.to_vec()),
            ];
            let found = session.find_objects(&wanted).map_err(|e| e.to_string())?;
            found
                .first()
                .copied()
                .ok_or_else(|| format!("token {:?} has no Ed25519 key with that id", self.label))
        };
        let (public, private) = (find(ObjectClass::PUBLIC_KEY)?, find(ObjectClass::PRIVATE_KEY)?);
        let attributes =
            session.get_attributes(public, &[AttributeType::EcPoint]).map_err(|e| e.to_string())?;
        let point = attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        let key = point.as_deref().and_then(raw_point).ok_or("the key's point is not Ed25519's")?;
        let public = VerifyingKey::from_public(origin, &key).map_err(|e| e.to_string())?;
        Ok(Arc::new(ModuleKey { public, private, session: Mutex::new(session) }))
    }
}

/// The 32 bytes of a point, which some modules wrap in a DER OCTET STRING.
fn raw_point(point: &[u8]) -> Option<[u8; 32]> {
    let raw = match point {
        [0x04, 0x20, raw @ ..] if raw.len() == 32 => raw,
        raw => raw,
    };
    raw.try_into().ok()
}

fn read_pin(path: &Path) -> Result<Zeroizing<String>, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if found.permissions().mode() & 0o077 != 0 {
        return Err("others can read it: chmod 600 it".to_owned());
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| e.to_string())?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    let (pairs, _) = digits.as_chunks::<2>();
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl KeyStore for Pkcs11 {
    fn create(&self, origin: &str) -> Result<(String, Arc<dyn Signer>), String> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| e.to_string())?;
        let common = [Attribute::Token(true), Attribute::Id(id.to_vec())];
        let mut public = common.to_vec();
        public.extend([
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::Label(origin.as_bytes().to_vec()),
            Attribute::EcParams(ED25519.to_vec()),
        ]);
        let mut private = common.to_vec();
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Label(origin.as_bytes().to_vec()),
        ]);
        self.session
            .lock()
            .generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
            .map_err(|e| format!("could not make a key: {e}"))?;
        let id_text = crate::random::hex(&id);
        let reference = format!("pkcs11:token={};id={id_text}", self.label);
        Ok((reference, self.signer(origin, &id)?))
    }

    fn open(&self, origin: &str, reference: &str) -> Result<Arc<dyn Signer>, String> {
        let rest = reference.strip_prefix("pkcs11:").ok_or("not a pkcs11: reference")?;
        let part = |name: &str| {
            rest.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        if part("token") != Some(&self.label) {
            return Err(format!(
                "the key is in token {:?}, and {:?} is configured",
                part("token").unwrap_or_default(),
                self.label
            ));
        }
        let id = part("id").and_then(from_hex).ok_or("the reference has no id")?;
        self.signer(origin, &id)
    }
}

/// One key in the module.
struct ModuleKey {
    public: VerifyingKey,
    private: ObjectHandle,
    session: Mutex<Session>,
}

impl fmt::Debug for ModuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleKey({})", self.public)
    }
}

impl Signer for ModuleKey {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign_text(&self, text: &str) -> Result<NoteSignature, SignError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = self.session.lock().sign(&mechanism, self.private, text.as_bytes());
        signature.map(|raw| self.public.line(raw)).map_err(|e| SignError(e.to_string()))
    }
}
