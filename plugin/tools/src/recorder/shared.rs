//! Values that the workers of one process share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The shared values of one process; clones are the same values.
#[derive(Clone, Debug, Default)]
pub struct SharedValues(Rc<RefCell<Values>>);

/// Values by key, each with the mark that guards a change of it.
type Values = HashMap<Vec<u8>, (Vec<u8>, u32)>;

/// One look at a shared value, or a change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whose value.
    pub key: Vec<u8>,
    /// It was changed.
    pub changed: bool,
}

impl SharedValues {
    /// A value and its mark.
    pub fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    /// Changes a value if its mark is still this one; mark 0 changes it in any case.
    pub fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> bool {
        let mut values = self.0.borrow_mut();
        let found = values.get(key).map_or(0, |(_, mark)| *mark);
        let fits = mark == 0 || mark == found;
        if fits {
            values.insert(key.to_vec(), (value.to_vec(), found.wrapping_add(1).max(1)));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_refused_where_another_was_faster() {
        let values = SharedValues::default();
        assert!(values.swap(b"key", b"first", 0));
        let (_, mark) = values.get(b"key").unwrap();
        assert!(values.clone().swap(b"key", b"second", mark));
        assert!(!values.swap(b"key", b"late", mark));
        assert_eq!(values.get(b"key").map(|(value, _)| value), Some(b"second".to_vec()));
    }
}
