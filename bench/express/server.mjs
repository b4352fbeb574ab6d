// What a team would write for itself: a token endpoint with Express, jose and better-sqlite3.
// It does the benchmark's job in full (key check, validation, EdDSA JWT, a durable record before the answer)
// and nothing else of Hallpass: no listing, no revocation, no rotation.

import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import Database from 'better-sqlite3';
import express from 'express';
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';

const ACCESS = new Set(['read_messages', 'write_messages', 'read_agent', 'write_agent']);
const DEFAULT_TTL_MS = 5 * 60_000;
const MAX_TTL_MS = 24 * 3_600_000;
const ISSUER = process.env.PUBLIC_URL ?? 'http://localhost:8284';

const sha256 = (text) => createHash('sha256').update(text).digest();
const keyHash = sha256(process.env.HALLPASS_API_KEY);

const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
const header = { alg: 'EdDSA', typ: 'at+jwt', kid: await calculateJwkThumbprint(await exportJWK(publicKey)) };

const db = new Database(process.env.DATABASE);
db.pragma('journal_mode = WAL');
db.pragma('synchronous = FULL');
db.exec(`
  CREATE TABLE IF NOT EXISTS tokens (
    jti TEXT PRIMARY KEY, project TEXT NOT NULL, hostname TEXT NOT NULL, policy TEXT NOT NULL,
    issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS token_agents (
    agent TEXT NOT NULL, issued_at INTEGER NOT NULL, jti TEXT NOT NULL, PRIMARY KEY (agent, issued_at, jti)
  ) WITHOUT ROWID;
`);
const insertToken = db.prepare('INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)');
const insertAgent = db.prepare('INSERT OR IGNORE INTO token_agents VALUES (?, ?, ?)');
const record = db.transaction((jti, body, now, expiresAt) => {
  insertToken.run(jti, 'default', body.hostname, JSON.stringify(body.policy), now, expiresAt);
  for (const grant of body.policy) insertAgent.run(grant.id, now, jti);
});

function authenticate(req, res, next) {
  const key = /^Bearer (\S+)$/i.exec(req.get('authorization') ?? '')?.[1] ?? '';
  if (!timingSafeEqual(sha256(key), keyHash)) {
    return res.status(401).set('WWW-Authenticate', 'Bearer').json({ message: 'Unknown API key' });
  }
  next();
}

/** The mistakes of a create request, each with its field; empty when there are none. */
function mistakes(body, now) {
  const found = [];
  const url = typeof body?.hostname === 'string' && URL.canParse(body.hostname) ? new URL(body.hostname) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || /[?#]|\/$/.test(body.hostname)) {
    found.push({ field: 'hostname', message: 'must be an absolute http or https URL' });
  }
  if (!Array.isArray(body?.policy) || body.policy.length < 1 || body.policy.length > 100) {
    found.push({ field: 'policy', message: 'must hold 1 to 100 grants' });
  } else {
    body.policy.forEach((grant, i) => {
      if (grant?.type !== 'agent') found.push({ field: `policy[${i}].type`, message: 'must be `agent`' });
      if (typeof grant?.id !== 'string' || !/^[!-.0-~]{1,256}$/.test(grant.id)) {
        found.push({ field: `policy[${i}].id`, message: 'must be 1 to 256 visible ASCII characters' });
      }
      if (!Array.isArray(grant?.access) || grant.access.length < 1 || !grant.access.every((a) => ACCESS.has(a))) {
        found.push({ field: `policy[${i}].access`, message: 'must name at least one known access' });
      }
    });
  }
  if (body?.expires_at != null) {
    const at = typeof body.expires_at === 'string' ? Date.parse(body.expires_at) : NaN;
    if (!(at > now && at <= now + MAX_TTL_MS + 60_000)) {
      found.push({ field: 'expires_at', message: 'must be a time within the next 24 hours' });
    }
  }
  return found;
}

const app = express();
app.disable('x-powered-by');
app.disable('etag'); // A POST has no use for one, and hashing each answer would only cost time.

app.post('/v1/client-side-access-tokens', authenticate, express.json({ limit: '64kb' }), async (req, res) => {
  const now = Date.now();
  const errors = mistakes(req.body, now);
  if (errors.length) return res.status(400).json({ message: 'Invalid request', errors });

  const { hostname, policy } = req.body;
  const expiresAt = req.body.expires_at != null ? Date.parse(req.body.expires_at) : now + DEFAULT_TTL_MS;
  const data = policy.map(({ type, id, access }) => ({ type, id, access: [...new Set(access)] }));
  const jti = randomUUID();
  const token = await new SignJWT({ hostname, origin: new URL(hostname).origin, policy: { version: '1', data } })
    .setProtectedHeader(header)
    .setIssuer(ISSUER)
    .setAudience('letta')
    .setSubject('default')
    .setJti(jti)
    .setIssuedAt(Math.floor(now / 1000))
    .setExpirationTime(Math.floor(expiresAt / 1000))
    .sign(privateKey);
  record(jti, { hostname, policy: data }, now, expiresAt);
  res.set('Cache-Control', 'no-store').status(201).json({
    token,
    expiresAt: new Date(expiresAt).toISOString(),
    hostname,
    policy: { version: '1', data },
  });
});

const server = app.listen(0, '127.0.0.1', (error) => {
  if (error) throw error;
  console.log(JSON.stringify({ address: `127.0.0.1:${server.address().port}` }));
});
process.on('SIGTERM', () => {
  server.close(() => db.close());
  server.closeAllConnections();
});
