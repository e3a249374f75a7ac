//! Leases: which member owns a group, until when, and under which epoch.
//!
//! A lease is free when it was given back, when it was not renewed in time, or when its holder is a
//! process of this host that has ended. Time is the wall clock's: a clock that was set forward lets
//! another member take over early, which the epoch makes harmless.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{file::now_ms, identity::Identity};
use crate::{
    Epoch, Group,
    session::{Claim, Signals},
};

/// A member of this process, whether it owns its group or waits for it.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) group: Group,
    /// Name of the group in the tables.
    pub(super) name: String,
    /// Name of the member, which no other member of this or another process has.
    member: String,
    pub(super) signals: Signals,
}

impl Hold {
    pub(super) fn new(group: Group, process: &Identity) -> Self {
        static MEMBERS: AtomicU64 = AtomicU64::new(1);
        let number = MEMBERS.fetch_add(1, Ordering::Relaxed);
        let Identity { boot, namespace, process, started, .. } = process;
        let member = format!("{boot}/{namespace}/{process}/{started}/{number}");
        Self { group, name: group.to_string(), member, signals: Signals::default() }
    }
}

/// A row of the table.
struct Lease {
    epoch: u64,
    member: Option<String>,
    process: Identity,
    since: String,
    renewed_ms: i64,
    expires_ms: i64,
}

impl Lease {
    fn load(connection: &Connection, group: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT epoch, member, host, boot, process_namespace, process, process_started,
                        strftime('%Y-%m-%dT%H:%M:%SZ', since_ms / 1000, 'unixepoch'), renewed_ms, expires_ms
                 FROM leases WHERE group_name = ?1",
            )?
            .query_row([group], |row| {
                Ok(Self {
                    epoch: row.get::<_, i64>(0)?.unsigned_abs(),
                    member: row.get(1)?,
                    process: Identity {
                        host: row.get(2)?,
                        boot: row.get(3)?,
                        namespace: row.get(4)?,
                        process: row.get(5)?,
                        started: row.get(6)?,
                    },
                    since: row.get(7)?,
                    renewed_ms: row.get(8)?,
                    expires_ms: row.get(9)?,
                })
            })
            .optional()
    }

    fn is_free(&self, me: &Identity) -> bool {
        let now = now_ms();
        let length = self.expires_ms.saturating_sub(self.renewed_ms);
        // Renewed in what is now the future: the clock was set back, and the expiry means nothing.
        let set_back = self.renewed_ms.saturating_sub(now) > length;
        self.member.is_none() || now >= self.expires_ms || set_back || me.knows_gone(&self.process)
    }

    fn holder(&self) -> String {
        match &self.member {
            Some(_) => {
                let Identity { host, process, .. } = &self.process;
                format!("process {process} on host {host} (since {})", self.since)
            }
            None => "nobody: this member has left".to_owned(),
        }
    }
}

/// Who keeps the group from this member, without asking for it.
pub(super) fn obstacle(
    connection: &Connection,
    hold: &Hold,
    me: &Identity,
) -> rusqlite::Result<Option<String>> {
    let lease = Lease::load(connection, &hold.name)?;
    let others = lease.filter(|lease| lease.member.as_ref() != Some(&hold.member) && !lease.is_free(me));
    Ok(others.map(|lease| lease.holder()))
}

/// Holder of a group, as anybody sees it.
pub(super) fn holder(
    connection: &Connection,
    group: &str,
    me: &Identity,
) -> rusqlite::Result<Option<String>> {
    let lease = Lease::load(connection, group)?.filter(|lease| !lease.is_free(me));
    Ok(lease.map(|lease| lease.holder()))
}

/// Who has the group if it is not this member under this epoch. A lease that ran out stays its member's
/// until somebody else takes it.
pub(super) fn successor(
    connection: &Connection,
    hold: &Hold,
    epoch: Epoch,
) -> rusqlite::Result<Option<String>> {
    Ok(match Lease::load(connection, &hold.name)? {
        Some(lease) if lease.member.as_ref() == Some(&hold.member) && lease.epoch == epoch.0 => None,
        Some(lease) => Some(lease.holder()),
        None => Some("nobody yet".to_owned()),
    })
}

/// Takes the group for this member if it is free.
pub(super) fn claim(
    connection: &Connection,
    hold: &Hold,
    me: &Identity,
    length: Duration,
) -> rusqlite::Result<Claim> {
    if hold.signals.has_left() {
        return Ok(Claim::Left);
    }
    let epoch = match Lease::load(connection, &hold.name)? {
        Some(lease) if lease.member.as_ref() == Some(&hold.member) => {
            return Ok(Claim::Granted(Epoch(lease.epoch)));
        }
        Some(lease) if !lease.is_free(me) => return Ok(Claim::Held(lease.holder())),
        Some(lease) => lease.epoch.saturating_add(1),
        None => 1,
    };
    let now = now_ms();
    connection
        .prepare_cached("INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)")?
        .execute(params![
            hold.name,
            i64::try_from(epoch).unwrap_or(i64::MAX),
            hold.member,
            me.host,
            me.boot,
            me.namespace,
            me.process,
            me.started,
            now,
            expiry(now, length),
        ])?;
    Ok(Claim::Granted(Epoch(epoch)))
}

/// Puts off the expiry of a lease that is still this member's.
pub(super) fn renew(connection: &Connection, hold: &Hold, length: Duration) -> rusqlite::Result<()> {
    let now = now_ms();
    connection
        .prepare_cached(
            "UPDATE leases SET renewed_ms = ?3, expires_ms = ?4 WHERE group_name = ?1 AND member = ?2",
        )?
        .execute(params![hold.name, hold.member, now, expiry(now, length)])?;
    Ok(())
}

/// Gives the group back if it is this member's.
pub(super) fn release(connection: &Connection, hold: &Hold) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE leases SET member = NULL WHERE group_name = ?1 AND member = ?2")?
        .execute([&hold.name, &hold.member])?;
    Ok(())
}

fn expiry(now: i64, length: Duration) -> i64 {
    now.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}
