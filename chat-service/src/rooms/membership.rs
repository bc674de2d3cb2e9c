//! What a manifest's names mean for a room's members: who joins, who leaves, who has another role. Pure.

use contract::event::{Body, MemberChange, Role, User};
use std::collections::HashMap;
use uuid::Uuid;

/// Somebody whom the manifest names and whose name is bound to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which room.
    pub(crate) room: Uuid,
    /// Who.
    pub(crate) user: User,
    /// With which role.
    pub(crate) role: Role,
}

/// Somebody whom the manifest named and no longer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Which room.
    pub(crate) room: Uuid,
    /// Who.
    pub(crate) user: Uuid,
}

/// A row of `members`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    /// Which room.
    pub(crate) room: Uuid,
    /// Who.
    pub(crate) user: User,
    /// With which role.
    pub(crate) role: Role,
    /// They joined by themselves: a manifest that drops them does not put them out.
    pub(crate) by_self: bool,
}

/// One change to a room's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which room.
    pub(crate) room: Uuid,
    /// Who.
    pub(crate) user: User,
    /// What.
    pub(crate) change: MemberChange,
    /// The role now; after `left` the one held before.
    pub(crate) role: Role,
}

impl Step {
    /// As the log says it.
    pub(crate) fn body(&self) -> Body {
        Body::Member { user: self.user.clone(), change: self.change, role: self.role }
    }
}

/// The changes from `present` to what the manifest wants. Who joined by themselves and is dropped keeps no role of the manifest's.
pub(crate) fn steps(wanted: &[Wanted], dropped: &[Dropped], present: &[Present]) -> Vec<Step> {
    let rows: HashMap<(Uuid, Uuid), &Present> = present.iter().map(|row| ((row.room, row.user.id), row)).collect();
    let named = wanted.iter().filter_map(|want| {
        let change = match rows.get(&(want.room, want.user.id)) {
            None => MemberChange::Joined,
            Some(row) if row.role != want.role => MemberChange::Role,
            Some(_) => return None,
        };
        Some(Step { room: want.room, user: want.user.clone(), change, role: want.role })
    });
    let unnamed = dropped.iter().filter_map(|drop| {
        let row = rows.get(&(drop.room, drop.user))?;
        let (change, role) = match (row.by_self, row.role) {
            (false, role) => (MemberChange::Left, role),
            (true, Role::Member) => return None,
            (true, _) => (MemberChange::Role, Role::Member),
        };
        Some(Step { room: drop.room, user: row.user.clone(), change, role })
    });
    named.chain(unnamed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(n: u8) -> User {
        User { id: Uuid::from_u128(n.into()), username: format!("u{n}"), display_name: format!("U{n}") }
    }

    fn present(n: u8, role: Role, by_self: bool) -> Present {
        Present { room: Uuid::nil(), user: user(n), role, by_self }
    }

    fn wanted(n: u8, role: Role) -> Wanted {
        Wanted { room: Uuid::nil(), user: user(n), role }
    }

    fn dropped(n: u8) -> Dropped {
        Dropped { room: Uuid::nil(), user: user(n).id }
    }

    #[test]
    fn a_named_person_joins_with_the_role_and_has_it_set_again() {
        let joined = steps(&[wanted(1, Role::Owner)], &[], &[]);
        assert_eq!((joined[0].change, joined[0].role), (MemberChange::Joined, Role::Owner));
        let again = steps(&[wanted(1, Role::Owner)], &[], &[present(1, Role::Member, true)]);
        assert_eq!((again[0].change, again[0].role), (MemberChange::Role, Role::Owner));
        assert_eq!(steps(&[wanted(1, Role::Owner)], &[], &[present(1, Role::Owner, false)]), []);
    }

    #[test]
    fn a_dropped_person_is_out_unless_they_joined_themselves() {
        let out = steps(&[], &[dropped(1)], &[present(1, Role::Moderator, false)]);
        assert_eq!((out[0].change, out[0].role), (MemberChange::Left, Role::Moderator));
        let stays = steps(&[], &[dropped(1)], &[present(1, Role::Moderator, true)]);
        assert_eq!((stays[0].change, stays[0].role), (MemberChange::Role, Role::Member));
        assert_eq!(steps(&[], &[dropped(1)], &[present(1, Role::Member, true)]), []);
        assert_eq!(steps(&[], &[dropped(1)], &[]), []);
    }

    fn role() -> impl Strategy<Value = Role> {
        prop_oneof![Just(Role::Owner), Just(Role::Moderator), Just(Role::Member), Just(Role::ReadOnly)]
    }

    proptest! {
        /// After the steps everybody named is there with that role, nobody dropped is there by the manifest, and nothing is left to do.
        #[test]
        fn steps_reach_a_fixed_point(
            names in proptest::collection::btree_map(0_u8..8, proptest::option::of(role()), 0..8),
            rows in proptest::collection::btree_map(0_u8..8, (role(), any::<bool>()), 0..8),
        ) {
            let want: Vec<_> = names.iter().filter_map(|(n, role)| role.map(|role| wanted(*n, role))).collect();
            let gone: Vec<_> = names.iter().filter(|(_, role)| role.is_none()).map(|(n, _)| dropped(*n)).collect();
            let mut table: Vec<_> = rows.iter().map(|(n, (role, by_self))| present(*n, *role, *by_self)).collect();
            for step in steps(&want, &gone, &table) {
                table.retain(|row| step.change != MemberChange::Left || row.user != step.user);
                match table.iter_mut().find(|row| row.user == step.user) {
                    Some(row) => row.role = step.role,
                    None if step.change == MemberChange::Joined => {
                        table.push(Present { room: step.room, user: step.user, role: step.role, by_self: false });
                    }
                    None => {}
                }
            }
            prop_assert_eq!(steps(&want, &gone, &table), []);
            for one in &want {
                prop_assert!(table.iter().any(|row| row.user == one.user && row.role == one.role));
            }
            for one in &gone {
                prop_assert!(table.iter().all(|row| row.user.id != one.user || row.by_self));
            }
        }
    }
}
