//! What decides: agents, controllers, grants, CAs, freezes, epochs, acts. The writer has it in its memory.

use std::sync::Arc;

use prost::Message as _;
use proto::v1;

use super::super::JournalError;
use super::super::memory::Memory;
use super::super::rows::{
    AgentRow, ControllerRow, FreezeRow, GrantRow, Granted, agent_row, controller_row, decoded,
};
use super::{Read, Reader};
use crate::convert;

impl Reader<'_> {
    /// An agent.
    pub fn agent(&self, id: &str) -> Read<Option<AgentRow>> {
        let sql = "SELECT record, idx, created_ms, updated_ms FROM agent WHERE id = ?1";
        self.deciding_one(sql, [id], agent_row)?.map(decoded).transpose()
    }

    /// Agents after `id`, by name, of one owner or of all, at most `limit`.
    pub fn agents(&self, after: &str, owner: Option<&str>, limit: u64) -> Read<Vec<AgentRow>> {
        let sql = "SELECT record, idx, created_ms, updated_ms FROM agent WHERE id > ?1 AND (?2 IS NULL OR owner = ?2) ORDER BY id LIMIT ?3";
        self.many(sql, (after, owner, limit), agent_row)?.into_iter().map(decoded).collect()
    }

    /// A controller.
    pub fn controller(&self, name: &str) -> Read<Option<ControllerRow>> {
        self.deciding_one(
            "SELECT name, idx, line_start_ms, removed FROM controller WHERE name = ?1",
            [name],
            controller_row,
        )
    }

    /// Controllers after `name`, at most `limit`.
    pub fn controllers(&self, after: &str, limit: u64) -> Read<Vec<ControllerRow>> {
        let sql =
            "SELECT name, idx, line_start_ms, removed FROM controller WHERE name > ?1 ORDER BY name LIMIT ?2";
        self.many(sql, (after, limit), controller_row)
    }

    /// A controller's grants, by name.
    pub fn grants(&self, controller: &str) -> Read<Vec<GrantRow>> {
        let sql = "SELECT idx, body FROM granted WHERE controller = ?1 ORDER BY name";
        let rows: Vec<(u64, Vec<u8>)> =
            self.deciding_many(sql, [controller], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let decode = |(index, body): (u64, Vec<u8>)| {
            let grant =
                v1::Grant::decode(&*body).map_err(|error| JournalError::Corrupt(error.to_string()))?;
            Ok(GrantRow { index, grant })
        };
        rows.into_iter().map(decode).collect()
    }

    /// The same, ready to be held against what is asked for.
    pub fn granted(&self, controller: &str) -> Read<Arc<[Granted]>> {
        if let Some(known) = self.memory().and_then(|memory| memory.grants(controller)) {
            return Ok(known);
        }
        let ready = |row: GrantRow| {
            let grant = convert::grant_from_wire(&row.grant);
            let grant = grant.map_err(|error| JournalError::Corrupt(format!("a grant: {error}")))?;
            Ok(Granted { index: row.index, grant })
        };
        let grants: Arc<[Granted]> =
            self.grants(controller)?.into_iter().map(ready).collect::<Read<Vec<_>>>()?.into();
        if let Some(memory) = self.memory() {
            memory.keep_grants(controller, &grants);
        }
        Ok(grants)
    }

    /// Whether a public key is a CA's own.
    pub fn is_ca_key(&self, spki_sha256: &[u8]) -> Read<bool> {
        Ok(self.deciding_one("SELECT 1 FROM ca WHERE spki_sha256 = ?1", [spki_sha256], |_| Ok(()))?.is_some())
    }

    /// What officers stopped.
    pub fn freeze(&self) -> Read<FreezeRow> {
        if let Some(known) = self.memory().and_then(Memory::freeze) {
            return Ok(known);
        }
        let row = self.deciding_one("SELECT frozen, stopped_until_ms, alone_ms FROM freeze", [], |row| {
            Ok(FreezeRow { frozen: row.get(0)?, stopped_until_ms: row.get(1)?, alone_ms: row.get(2)? })
        })?;
        let row = row.unwrap_or_default();
        if let Some(memory) = self.memory() {
            memory.keep_freeze(row);
        }
        Ok(row)
    }

    /// Entries under the newest checkpoint that is known of an epoch that is over, by its number: all there are where officers have opened more
    /// than one since, the last of them in knowledge of whatever turned up of it.
    pub fn lost(&self, epoch: u32) -> Read<Option<u64>> {
        let sql = "SELECT number, lost_size FROM epoch WHERE number > ?1 ORDER BY number DESC LIMIT 1";
        let newest: Option<(u64, u64)> =
            self.deciding_one(sql, [epoch], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(newest.map(|(number, lost)| if number > u64::from(epoch) + 1 { u64::MAX } else { lost }))
    }

    /// The entry that opened the newest epoch; none in the first.
    pub(crate) fn epoch_index(&self) -> Read<Option<u64>> {
        self.deciding_one("SELECT idx FROM epoch ORDER BY number DESC LIMIT 1", [], |row| row.get(0))
    }

    /// Until when certificates may live that were recorded in what was lost, in seconds since 1970.
    pub(crate) fn lost_live_until(&self) -> Read<Option<i64>> {
        Ok(self.deciding_one("SELECT max(live_until) FROM epoch", [], |row| row.get(0))?.flatten())
    }

    /// Entries that the epochs that are over are known to have had, all together; 0 in the first.
    pub fn all_lost(&self) -> Read<u64> {
        Ok(self
            .deciding_one("SELECT sum(lost_size) FROM epoch", [], |row| row.get::<_, Option<u64>>(0))?
            .flatten()
            .unwrap_or(0))
    }

    /// The entry that carried out the proposal with this nonce.
    pub fn proposal(&self, nonce: &[u8]) -> Read<Option<u64>> {
        self.deciding_one("SELECT idx FROM proposal WHERE nonce = ?1", [nonce], |row| row.get(0))
    }
}
