-- The ledger in one schema of a PostgreSQL database, version 1; applied with that schema as the search path.
-- Entries come in without order and wait; sealing gives each its index. The bytes of an entry are the truth; the columns
-- beside them are derived from its header, for queries. No row of a table of history is ever updated or deleted.

CREATE TABLE migrations (
  version    integer PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE meta (
  name  text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE entries (
  seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  bytes        bytea NOT NULL,
  id           text COLLATE "C" NOT NULL,
  kind         text COLLATE "C" NOT NULL,
  world        text COLLATE "C" NOT NULL,
  at           text COLLATE "C" NOT NULL,
  recorded_at  text COLLATE "C" NOT NULL,
  actor        text COLLATE "C",
  service      text COLLATE "C",
  operation    text COLLATE "C",
  scope        text COLLATE "C",
  key          text COLLATE "C",
  effect       text COLLATE "C",
  attempt      bigint,
  corrects     text COLLATE "C",
  incident     text COLLATE "C",
  correlation  text COLLATE "C",
  traceparent  text COLLATE "C",
  CONSTRAINT entries_id UNIQUE (id)
);

CREATE INDEX        entries_kind        ON entries (kind)        WHERE kind NOT IN ('effect.intent', 'effect.done');
CREATE INDEX        entries_effect      ON entries (effect)      WHERE effect IS NOT NULL;
CREATE INDEX        entries_corrects    ON entries (corrects)    WHERE corrects IS NOT NULL;
CREATE INDEX        entries_incident    ON entries (incident)    WHERE incident IS NOT NULL;
CREATE INDEX        entries_correlation ON entries (correlation) WHERE correlation IS NOT NULL;

-- What can be erased, as JSON {name: [salt, value]}; the bytes of the entry commit to it.
CREATE TABLE personal (
  entry text COLLATE "C" PRIMARY KEY,
  data  bytea NOT NULL
);

-- Entries that have no index yet. A row goes once its entry has one.
CREATE TABLE waiting (
  seq   bigint PRIMARY KEY,
  leaf  bytea NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which entry is at which index of the tree, and its leaf hash.
CREATE TABLE places (
  idx  bigint PRIMARY KEY CHECK (idx >= 0),
  seq  bigint NOT NULL UNIQUE,
  leaf bytea NOT NULL
);

-- Full tiles of the Merkle tree over the entries.
CREATE TABLE tiles (
  level  integer NOT NULL,
  place  bigint NOT NULL,
  root   bytea NOT NULL,
  hashes bytea NOT NULL,
  PRIMARY KEY (level, place)
);

-- The size and root after the last sealing; updated so often that its page is kept half empty.
CREATE TABLE head (
  one  integer PRIMARY KEY CHECK (one = 1),
  size bigint NOT NULL,
  root bytea NOT NULL
) WITH (fillfactor = 50);

-- Who is carrying out which effect. Not history: a lease comes and goes.
CREATE TABLE leases (
  effect  text COLLATE "C" PRIMARY KEY,
  attempt bigint NOT NULL,
  owner   text NOT NULL,
  until   text COLLATE "C" NOT NULL
) WITH (fillfactor = 80);

-- For people who look into the database with other tools. No text of PostgreSQL's has a zero character, so facts that have one
-- are left out.
CREATE VIEW history AS
SELECT idx, recorded_at, at, kind, world, operation, key, effect, attempt, corrects, incident, correlation, actor, service,
       CASE WHEN position(E'\\u0000' IN convert_from(bytes, 'UTF8')) = 0 THEN convert_from(bytes, 'UTF8')::json -> 2 END AS facts,
       id
FROM entries LEFT JOIN places USING (seq);

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

-- Plans are kept, also those of a trigger, so they must not rest on how small a table was: each place is looked up.
CREATE FUNCTION only_sealed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM gone AS g WHERE (SELECT p.seq FROM places AS p WHERE p.seq = g.seq) IS NULL) THEN
    RAISE EXCEPTION 'an entry waits until it has an index' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION head_only_grows() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  IF NEW.size <= OLD.size OR NEW.size IS DISTINCT FROM (SELECT max(idx) + 1 FROM places) THEN
    RAISE EXCEPTION 'the head only grows, with the entries' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

-- A value goes only after its erasure has been recorded, or a pruning that covers it: below its index, not kept, and all that
-- is beside the entry at once.
CREATE FUNCTION only_erased() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  pruned record;
  old_entry record;
BEGIN
  IF EXISTS (SELECT FROM entries AS e WHERE e.corrects = OLD.entry AND e.kind = 'payload.erased') THEN
    RETURN coalesce(NEW, OLD);
  END IF;
  SELECT e.id, e.effect, p.idx INTO old_entry FROM entries AS e JOIN places AS p USING (seq) WHERE e.id = OLD.entry;
  SELECT p.idx, convert_from(e.bytes, 'UTF8')::json -> 2 AS facts INTO pruned
  FROM entries AS e LEFT JOIN places AS p USING (seq)
  WHERE e.kind = 'payload.pruned' AND e.kind NOT IN ('effect.intent', 'effect.done') ORDER BY e.seq DESC LIMIT 1;
  IF TG_OP = 'DELETE' AND old_entry.idx < coalesce(pruned.idx, 9223372036854775807)
  AND old_entry.idx < (pruned.facts ->> 'below')::bigint
  AND NOT EXISTS (
    SELECT FROM json_array_elements_text(pruned.facts -> 'kept') AS k WHERE k IN (old_entry.id, old_entry.effect)
  ) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'a value goes only after its erasure has been recorded' USING ERRCODE = 'restrict_violation';
END
$$;

-- One entry, with plans that the server keeps: a pooler may give each transaction another connection, so no statement of a
-- session's own need be kept.
CREATE FUNCTION append(
  bytes bytea, leaf bytea, personal bytea, id text, kind text, world text, at text, recorded_at text, actor text,
  service text, operation text, scope text, key text, effect text, attempt bigint, corrects text, incident text,
  correlation text, traceparent text
) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  number bigint;
BEGIN
  INSERT INTO entries (
    bytes, id, kind, world, at, recorded_at, actor, service, operation, scope, key, effect, attempt, corrects, incident,
    correlation, traceparent
  ) VALUES ($1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
  RETURNING entries.seq INTO number;
  INSERT INTO waiting (seq, leaf) VALUES (number, $2);
  IF $3 IS NOT NULL THEN
    INSERT INTO personal (entry, data) VALUES ($4, $3);
  END IF;
END
$$;

-- Where an effect stands, as it was at one moment: in the first row its lease, and then its entries. Its plans are kept, so they
-- must not rest on how small a table was.
CREATE FUNCTION standing(effect text)
RETURNS TABLE (idx bigint, bytes bytea, data bytea, attempt bigint, owner text, until text)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY SELECT NULL::bigint, NULL::bytea, NULL::bytea, l.attempt, l.owner, l.until
  FROM (SELECT) AS one LEFT JOIN leases AS l ON l.effect = $1;
  RETURN QUERY SELECT
    (SELECT p.idx FROM places AS p WHERE p.seq = e.seq), e.bytes,
    (SELECT k.data FROM personal AS k WHERE k.entry = e.id), NULL::bigint, NULL, NULL
  FROM entries AS e WHERE e.effect = $1 ORDER BY e.seq;
END
$$;

-- The same of an effect whose lock is held: what was committed while the function waited is seen.
CREATE FUNCTION hold(patience text, idle text, effect text, seed bigint, ledger integer, gate integer)
RETURNS TABLE (idx bigint, bytes bytea, data bytea, attempt bigint, owner text, until text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM set_config('lock_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true);
  PERFORM pg_advisory_xact_lock(hashtextextended($3, $4));
  PERFORM pg_advisory_xact_lock_shared($5, $6);
  RETURN QUERY SELECT * FROM standing($3);
END
$$;

-- A decision on one effect as one statement. The work behind it rests on what was last seen of the effect: so many entries, and
-- a lease or none. If that is so still, once the effect is held, its entry and its lease are recorded. If not, nothing is, and
-- where the effect stands comes back; at once, without waiting for who holds it, if it was held to be new and is not. Where the
-- statements of a transaction see one moment, that may have passed: then too.
CREATE FUNCTION decide(
  patience text, effect text, seed bigint, ledger integer, gate integer, seen bigint, seen_attempt bigint, seen_owner text,
  seen_until text, attempt bigint, owner text, until text, bytes bytea, leaf bytea, personal bytea, id text, kind text,
  world text, at text, recorded_at text, actor text, service text, operation text, scope text, key text, entry_effect text,
  entry_attempt bigint, corrects text, incident text, correlation text, traceparent text
) RETURNS TABLE (seen_idx bigint, seen_bytes bytea, seen_data bytea, now_attempt bigint, now_owner text, now_until text)
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
  held record;
  number bigint;
BEGIN
  IF $6 = 0 AND EXISTS (SELECT FROM entries AS e WHERE e.effect = $2) THEN
    RETURN QUERY SELECT * FROM standing($2);
    RETURN;
  END IF;
  IF pg_try_advisory_xact_lock(hashtextextended($2, $3)) IS FALSE OR pg_try_advisory_xact_lock_shared($4, $5) IS FALSE THEN
    PERFORM set_config('lock_timeout', $1, true);
    PERFORM pg_advisory_xact_lock(hashtextextended($2, $3));
    PERFORM pg_advisory_xact_lock_shared($4, $5);
  END IF;
  SELECT l.attempt, l.owner, l.until INTO held FROM leases AS l WHERE l.effect = $2;
  IF (held.attempt, held.owner, held.until) IS NOT DISTINCT FROM ($7, $8, $9)
  AND $6 = (SELECT count(*) FROM entries AS e WHERE e.effect = $2)
  AND current_setting('transaction_isolation') = 'read committed' THEN
    IF $13 IS NOT NULL THEN
      INSERT INTO entries (
        bytes, id, kind, world, at, recorded_at, actor, service, operation, scope, key, effect, attempt, corrects, incident,
        correlation, traceparent
      ) VALUES ($13, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31)
      RETURNING seq INTO number;
      INSERT INTO waiting (seq, leaf) VALUES (number, $14);
      IF $15 IS NOT NULL THEN
        INSERT INTO personal (entry, data) VALUES ($16, $15);
      END IF;
    END IF;
    IF ($10, $11, $12) IS DISTINCT FROM ($7, $8, $9) THEN
      PERFORM lease($2, $10, $11, $12);
    END IF;
  ELSE
    RETURN QUERY SELECT * FROM standing($2);
  END IF;
END
$$;

-- The kind of an effect's newest entry, and what is kept beside it.
CREATE FUNCTION newest(effect text) RETURNS TABLE (kind text, data bytea)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY SELECT e.kind, (SELECT k.data FROM personal AS k WHERE k.entry = e.id)
  FROM entries AS e WHERE e.effect = $1 ORDER BY e.seq DESC LIMIT 1;
END
$$;

-- Since how many seconds the first of the entries without an index waits.
CREATE FUNCTION waits_since() RETURNS double precision
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  RETURN (SELECT extract(epoch FROM clock_timestamp() - w.since)::float8 FROM waiting AS w ORDER BY w.seq LIMIT 1);
END
$$;

-- What a sealing rests on, once it holds the sealer's lock: in the first row the head, and then what waits, in order. Nothing,
-- if it has no patience and another one is under way.
CREATE FUNCTION to_seal(patience text, ledger integer, sealer integer, most bigint) RETURNS TABLE (number bigint, hash bytea)
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  IF $1 IS NOT NULL THEN
    PERFORM set_config('lock_timeout', $1, true);
    PERFORM pg_advisory_xact_lock($2, $3);
  ELSIF NOT pg_try_advisory_xact_lock($2, $3) THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT h.size, h.root FROM (SELECT) AS one LEFT JOIN head AS h ON true;
  RETURN QUERY SELECT w.seq, w.leaf FROM waiting AS w ORDER BY w.seq LIMIT $4;
END
$$;

-- Give what waited its indexes, keep the tiles that are full by it, and wake who follows.
CREATE FUNCTION seal(
  size bigint, root bytea, seqs bigint[], leaves bytea[], levels bigint[], tile_places bigint[], tile_roots bytea[],
  tile_hashes bytea[], channel text
) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  INSERT INTO places (idx, seq, leaf)
  SELECT $1 - cardinality($3) + g.o - 1, g.seq, g.leaf FROM unnest($3, $4) WITH ORDINALITY AS g (seq, leaf, o);
  DELETE FROM waiting AS w WHERE w.seq = ANY($3);
  INSERT INTO tiles (level, place, root, hashes) SELECT * FROM unnest($5, $6, $7, $8);
  UPDATE head AS h SET size = $1, root = $2 WHERE h.one = 1;
  PERFORM pg_notify($9, '');
END
$$;

-- Grant or renew a lease, or end it: then it has no owner.
CREATE FUNCTION lease(effect text, attempt bigint, owner text, until text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF $3 IS NULL THEN
    DELETE FROM leases AS l WHERE l.effect = $1;
  ELSE
    INSERT INTO leases VALUES ($1, $2, $3, $4) ON CONFLICT ON CONSTRAINT leases_pkey
    DO UPDATE SET attempt = excluded.attempt, owner = excluded.owner, until = excluded.until;
  END IF;
END
$$;

CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries EXECUTE FUNCTION append_only();
CREATE TRIGGER places_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON places EXECUTE FUNCTION append_only();
CREATE TRIGGER tiles_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tiles EXECUTE FUNCTION append_only();
CREATE TRIGGER meta_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON meta EXECUTE FUNCTION append_only();
CREATE TRIGGER migrations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON migrations EXECUTE FUNCTION append_only();
CREATE TRIGGER head_not_removed BEFORE DELETE OR TRUNCATE ON head EXECUTE FUNCTION append_only();
CREATE TRIGGER head_grows BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION head_only_grows();
CREATE TRIGGER waiting_not_removed BEFORE UPDATE OR TRUNCATE ON waiting EXECUTE FUNCTION append_only();
CREATE TRIGGER waiting_sealed AFTER DELETE ON waiting REFERENCING OLD TABLE AS gone EXECUTE FUNCTION only_sealed();
CREATE TRIGGER personal_erased BEFORE UPDATE OR DELETE ON personal FOR EACH ROW EXECUTE FUNCTION only_erased();
CREATE TRIGGER personal_not_removed BEFORE TRUNCATE ON personal EXECUTE FUNCTION append_only();

-- Also for a session that claims to be a replica.
ALTER TABLE entries    ENABLE ALWAYS TRIGGER entries_append_only;
ALTER TABLE places     ENABLE ALWAYS TRIGGER places_append_only;
ALTER TABLE tiles      ENABLE ALWAYS TRIGGER tiles_append_only;
ALTER TABLE meta       ENABLE ALWAYS TRIGGER meta_append_only;
ALTER TABLE migrations ENABLE ALWAYS TRIGGER migrations_append_only;
ALTER TABLE head       ENABLE ALWAYS TRIGGER head_not_removed;
ALTER TABLE head       ENABLE ALWAYS TRIGGER head_grows;
ALTER TABLE waiting    ENABLE ALWAYS TRIGGER waiting_not_removed;
ALTER TABLE waiting    ENABLE ALWAYS TRIGGER waiting_sealed;
ALTER TABLE personal   ENABLE ALWAYS TRIGGER personal_erased;
ALTER TABLE personal   ENABLE ALWAYS TRIGGER personal_not_removed;
