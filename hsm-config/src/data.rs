//! Data objects: what a token keeps for us beside keys.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};

use crate::error::TokenError;
use crate::session::TokenSession;

/// CKA_APPLICATION of our data objects.
const APPLICATION: &[u8] = b"rootcellar";

impl TokenSession {
    /// What the token keeps under this label, in no order: one value, or two where a crash came between the new and the old.
    ///
    /// # Errors
    /// The token fails.
    pub fn kept(&self, label: &str) -> Result<Vec<Vec<u8>>, TokenError> {
        let _alone = self.module().alone();
        let mut values = Vec::new();
        for object in self.objects(label)? {
            for attribute in self.raw().get_attributes(object, &[AttributeType::Value])? {
                if let Attribute::Value(value) = attribute {
                    values.push(value);
                }
            }
        }
        Ok(values)
    }

    /// Keeps a value in place of what was there. The new object is made before the old one goes: a crash leaves both.
    ///
    /// # Errors
    /// The token fails, or can hold no data objects (PKCS#11 v3.1 §4.5).
    pub fn keep(&self, label: &str, value: &[u8]) -> Result<(), TokenError> {
        let _alone = self.module().alone();
        let before = self.objects(label)?;
        let mut template = template(label);
        template.extend([Attribute::Private(true), Attribute::Value(value.to_vec())]);
        self.raw().create_object(&template)?;
        before.into_iter().try_for_each(|old| self.raw().destroy_object(old)).map_err(TokenError::from)
    }

    /// Removes what the token keeps under this label.
    ///
    /// # Errors
    /// The token fails.
    pub(crate) fn forget(&self, label: &str) -> Result<(), TokenError> {
        let _alone = self.module().alone();
        let objects = self.objects(label)?;
        objects.into_iter().try_for_each(|object| self.raw().destroy_object(object)).map_err(TokenError::from)
    }

    fn objects(&self, label: &str) -> Result<Vec<ObjectHandle>, TokenError> {
        Ok(self.raw().find_objects(&template(label))?)
    }
}

fn template(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Application(APPLICATION.to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}
