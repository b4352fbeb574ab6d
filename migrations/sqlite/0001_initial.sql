-- Whose tokens a key sees. `agents` is a JSON array of the agents that the project's keys may issue
-- for; NULL is any.
CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    agents TEXT,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO projects (id, name, created_at) VALUES (1, 'default', 0);

-- `seal` proves that a holder of the master key wrote the row: nobody adds a key by writing here.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    gateway INTEGER NOT NULL,
    seal BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- Asked for each token issued: it holds next to nothing.
CREATE INDEX api_keys_revoked ON api_keys (id) WHERE revoked_at IS NOT NULL;

-- Private keys are encrypted under the master key, which is not here.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    activated_at INTEGER,
    ends_at INTEGER,
    sealed BLOB NOT NULL
) STRICT;

-- One row for each token issued; the token itself, signature and all, is never stored. `id` is the
-- order of issue and never used twice, `expires_at` is milliseconds since the Unix epoch, `kid` is the
-- key that signed `payload`, the token's claims to the byte, and `seal` proves that a holder of the
-- master key wrote what is signed again for lists. A row never changes.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    jti BLOB NOT NULL,
    project_id INTEGER NOT NULL,
    api_key_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    kid TEXT NOT NULL,
    payload TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;

-- For finding a token by its id, and for revoking it without a look at its row, which among millions
-- is a cold page. A unique index would hold the id alone, so a trigger sees to it that no id is issued
-- twice.
CREATE INDEX tokens_by_jti ON tokens (jti, project_id, expires_at);

CREATE TRIGGER token_issued_before BEFORE INSERT ON tokens
WHEN EXISTS (SELECT 1 FROM tokens WHERE jti = new.jti) BEGIN
    SELECT RAISE(ROLLBACK, 'a token of this id was issued before');
END;

-- For revoking what is live and for removing what is long over.
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- For listing, newest first, at a cost that depends on the page: a project's tokens, and those for
-- one agent. `expires_at` is in both so that tokens that are over are passed by without a look at
-- their row.
CREATE INDEX tokens_by_project ON tokens (project_id, id, expires_at);

CREATE TABLE token_agents (
    project_id INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    token_id INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, agent_id, token_id)
) STRICT, WITHOUT ROWID;

-- Revoked tokens, in the order in which they were revoked: servers that keep them in memory ask for
-- what came after the last that they saw. A revocation costs by how many there are, not by how many
-- tokens there are.
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    jti BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    UNIQUE (project_id, token_id)
) STRICT;

-- For a server that starts and needs those of tokens that aren't over.
CREATE INDEX revocations_by_expiry ON revocations (expires_at);

-- What belongs to a token goes with it, in the statement that removes many at once; SQLite finds no
-- good plan for deleting many entries by all three columns.
CREATE TRIGGER token_removed AFTER DELETE ON tokens BEGIN
    DELETE FROM revocations WHERE project_id = old.project_id AND token_id = old.id;
    DELETE FROM token_agents
    WHERE project_id = old.project_id
      AND agent_id IN (SELECT value ->> 'id' FROM json_each(old.payload, '$.policy.data'))
      AND token_id = old.id;
END;

-- Counters that move when what servers keep in memory has changed, so that they notice by one read.
CREATE TABLE versions (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO versions (name, version) VALUES ('api_keys', 0), ('signing_keys', 0);

-- Written to learn whether writing works. It takes more room than a token, or on a nearly full disk
-- it would seem to work where no token can be issued.
CREATE TABLE write_probe (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    filler BLOB NOT NULL
) STRICT;

INSERT INTO write_probe (id, filler) VALUES (1, zeroblob(32768));

-- What tells this database from another application's: `hall` in ASCII.
PRAGMA application_id = 0x68616c6c;
