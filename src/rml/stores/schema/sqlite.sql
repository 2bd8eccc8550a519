-- The ledger in one SQLite file, schema version 1.
-- The bytes of an entry are the truth; the columns beside them are derived from its header, for queries.
-- `personal` holds what can be erased, as JSON {name: [salt, value]}; the bytes commit to it.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE entries (
  idx          INTEGER PRIMARY KEY,
  bytes        BLOB NOT NULL,
  leaf         BLOB NOT NULL,
  id           TEXT NOT NULL,
  kind         TEXT NOT NULL,
  world        TEXT NOT NULL,
  at           TEXT NOT NULL,
  recorded_at  TEXT NOT NULL,
  actor        TEXT,
  service      TEXT,
  operation    TEXT,
  scope        TEXT,
  key          TEXT,
  effect       TEXT,
  attempt      INTEGER,
  corrects     TEXT,
  incident     TEXT,
  correlation  TEXT,
  traceparent  TEXT,
  personal     BLOB
) STRICT;

CREATE UNIQUE INDEX entries_id          ON entries (id);
CREATE INDEX        entries_kind        ON entries (kind)        WHERE kind NOT IN ('effect.intent', 'effect.done');
CREATE INDEX        entries_effect      ON entries (effect)      WHERE effect IS NOT NULL;
CREATE INDEX        entries_corrects    ON entries (corrects)    WHERE corrects IS NOT NULL;
CREATE INDEX        entries_incident    ON entries (incident)    WHERE incident IS NOT NULL;
CREATE INDEX        entries_correlation ON entries (correlation) WHERE correlation IS NOT NULL;

-- Full tiles of the Merkle tree over the entries.
CREATE TABLE tiles (
  level  INTEGER NOT NULL,
  place  INTEGER NOT NULL,
  root   BLOB NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (level, place)
) STRICT;

-- The size and root after the last commit.
CREATE TABLE head (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  size INTEGER NOT NULL,
  root BLOB NOT NULL
) STRICT;

-- Who is carrying out which effect. Not history: a lease comes and goes.
CREATE TABLE leases (
  effect  TEXT PRIMARY KEY,
  attempt INTEGER NOT NULL,
  owner   TEXT NOT NULL,
  until   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Append-only: no UPDATE, no DELETE, and no INSERT OR REPLACE, which deletes without firing a DELETE trigger.
CREATE TRIGGER entries_in_order BEFORE INSERT ON entries
WHEN NEW.idx IS NOT (SELECT coalesce(max(idx), -1) + 1 FROM entries) OR EXISTS (SELECT 1 FROM entries WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_no_update BEFORE UPDATE OF
  idx, bytes, leaf, id, kind, world, at, recorded_at, actor, service, operation, scope, key, effect, attempt, corrects,
  incident, correlation, traceparent ON entries
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
-- A value goes only after its erasure has been recorded, or a pruning that covers it: what it kept is named there by its
-- id. Canonical JSON escapes a quote inside a text, so `{"below":` and quoted ids are found by their letters, and the ids
-- end at the next `]`; not every SQLite lets a trigger use JSON functions.
CREATE TRIGGER entries_only_erased BEFORE UPDATE OF personal ON entries
WHEN NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.corrects = OLD.id AND e.kind = 'payload.erased')
AND NOT EXISTS (
  SELECT 1 FROM (
    SELECT idx, below, substr(below, 1, instr(below, ']')) AS kept FROM (
      SELECT idx, substr(CAST(bytes AS TEXT), instr(CAST(bytes AS TEXT), '{"below":') + 9) AS below FROM entries
      WHERE kind = 'payload.pruned' AND kind NOT IN ('effect.intent', 'effect.done') ORDER BY idx DESC LIMIT 1
    )
  )
  WHERE NEW.personal IS NULL AND OLD.idx < idx AND OLD.idx < CAST(below AS INTEGER)
  AND instr(kept, '"' || OLD.id || '"') = 0 AND instr(kept, '"' || coalesce(OLD.effect, OLD.id) || '"') = 0
)
BEGIN SELECT RAISE(ABORT, 'a value goes only after its erasure has been recorded'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER tiles_no_replace BEFORE INSERT ON tiles
WHEN EXISTS (SELECT 1 FROM tiles WHERE level = NEW.level AND place = NEW.place)
BEGIN SELECT RAISE(ABORT, 'tiles are append-only'); END;
CREATE TRIGGER tiles_no_update BEFORE UPDATE ON tiles BEGIN SELECT RAISE(ABORT, 'tiles are append-only'); END;
CREATE TRIGGER tiles_no_delete BEFORE DELETE ON tiles BEGIN SELECT RAISE(ABORT, 'tiles are append-only'); END;
CREATE TRIGGER meta_no_replace BEFORE INSERT ON meta WHEN EXISTS (SELECT 1 FROM meta WHERE name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'the ledger''s identity is fixed'); END;
CREATE TRIGGER meta_no_update BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'the ledger''s identity is fixed'); END;
CREATE TRIGGER meta_no_delete BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'the ledger''s identity is fixed'); END;
CREATE TRIGGER head_no_replace BEFORE INSERT ON head WHEN EXISTS (SELECT 1 FROM head)
BEGIN SELECT RAISE(ABORT, 'there is one head'); END;
CREATE TRIGGER head_no_delete BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'the head is never removed'); END;
CREATE TRIGGER head_only_grows BEFORE UPDATE ON head WHEN NEW.size <= OLD.size
BEGIN SELECT RAISE(ABORT, 'the head only grows'); END;

-- For people who look into the file with other tools.
CREATE VIEW history AS
SELECT idx, recorded_at, at, kind, world, operation, key, effect, attempt, corrects, incident, correlation, actor, service,
       json_extract(CAST(bytes AS TEXT), '$[2]') AS facts, id
FROM entries;
