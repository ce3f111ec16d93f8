//! Ports of conversations.

use guideway_dataplane::ids::BackendId;
use guideway_dataplane::select::CONVERSATION_PORT_BASE;
use std::ops::RangeInclusive;

const ALL: RangeInclusive<u16> = CONVERSATION_PORT_BASE..=u16::MAX;

/// Who has which port. A port rests as long as there are others, since a backend may remember its last connection.
pub(super) struct Ports {
    next: u16,
    /// The backend that had each port last, and whether it has it now.
    owners: Vec<Option<(BackendId, bool)>>,
}

impl Default for Ports {
    fn default() -> Self {
        Self { next: CONVERSATION_PORT_BASE, owners: vec![None; ALL.len()] }
    }
}

impl Ports {
    /// A port for a conversation with a backend; `None`: all are taken.
    pub(super) fn take(&mut self, backend: BackendId) -> Option<u16> {
        for _ in ALL {
            let port = self.next;
            self.next = if port == u16::MAX { CONVERSATION_PORT_BASE } else { port + 1 };
            let owner = &mut self.owners[usize::from(port - CONVERSATION_PORT_BASE)];
            if !owner.is_some_and(|(_, taken)| taken) {
                *owner = Some((backend, true));
                return Some(port);
            }
        }
        None
    }

    /// The conversation ended.
    pub(super) fn give_back(&mut self, port: u16) {
        if let Some(Some((_, taken))) = self.owners.get_mut(usize::from(port.wrapping_sub(CONVERSATION_PORT_BASE))) {
            *taken = false;
        }
    }

    /// The backend that has a port, or had it last.
    pub(super) fn owner(&self, port: u16) -> Option<BackendId> {
        let owner = self.owners.get(usize::from(port.checked_sub(CONVERSATION_PORT_BASE)?))?;
        owner.map(|(backend, _)| backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ports_are_distinct_and_rest_before_they_are_used_again() {
        let mut ports = Ports::default();
        let first = ports.take(BackendId(1)).unwrap();
        ports.give_back(first);
        assert_eq!(ports.owner(first), Some(BackendId(1)), "its last packets still find their way");
        let taken: HashSet<u16> = (1..ALL.len()).map(|_| ports.take(BackendId(2)).unwrap()).collect();
        assert_eq!(taken.len(), ALL.len() - 1);
        assert!(!taken.contains(&first) && taken.iter().all(|port| ALL.contains(port)));
        assert_eq!(ports.take(BackendId(3)), Some(first));
        assert_eq!(ports.take(BackendId(3)), None);
        assert_eq!((ports.owner(first), ports.owner(80)), (Some(BackendId(3)), None));
    }
}
