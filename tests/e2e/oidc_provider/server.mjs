// The npm package `oidc-provider` as an issuer of access tokens, for end-to-end tests.
//
//   node server.mjs [PORT [until-eof]]    prints one line of JSON {"issuer": …} when it is ready
//
// Nobody in this project wrote the part that counts: discovery, /jwks and the minting and signing of
// tokens are the package's own. What this file adds is a person without a browser: POST /mint makes a
// grant as a consent screen would, and then asks the package for that grant's access token (a JWT with
// the audience of the requested resource, RFC 8707; without `aud` an opaque one that userinfo takes). Keys are made at
// start and die with the process.
// POST /rotate replaces the signing key (the old one is withdrawn), POST /client gives the client that may introspect,
// POST /revoke ends an opaque token, POST /counts tells how often each of the package's own endpoints was asked.
// It listens on loopback only. With `until-eof` it stops when its standard input closes.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const PORT = Number(process.argv[2] ?? 0);
const CLIENT = "idmap-test-portal";
const LIFETIME = 600; // seconds

const INTROSPECTOR = { client_id: "idmap", client_secret: randomUUID() };

function newKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };
}

// subject → groups and acr, as told by the latest POST /mint for that subject
const groupsOf = new Map();
const acrOf = new Map();

const configuration = {
  cookies: { keys: [randomUUID()] },
  clients: [
    {
      client_id: CLIENT,
      client_secret: randomUUID(),
      redirect_uris: ["http://127.0.0.1/callback"],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
    { ...INTROSPECTOR, redirect_uris: [], response_types: [], grant_types: [] },
  ],
  ttl: { AccessToken: (_context, token) => token.resourceServer?.accessTokenTTL ?? LIFETIME, Grant: LIFETIME },
  scopes: ["openid", "ssh", "offline_access"],
  claims: { openid: ["sub", "groups"] },
  findAccount: (_context, subject) => ({
    accountId: subject,
    claims: () => ({ sub: subject, groups: groupsOf.get(subject) ?? [] }),
  }),
  // A token for a resource says its person's groups itself; one for userinfo leaves that to userinfo.
  extraTokenClaims: (_context, token) => (token.aud ? said(token.accountId) : undefined),
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: (_context, audience) => resource(audience) },
  },
};

function resource(audience, seconds = LIFETIME, format = "jwt") {
  return {
    scope: "ssh",
    audience,
    accessTokenTTL: seconds,
    accessTokenFormat: format,
    ...(format === "jwt" ? { jwt: { sign: { alg: "RS256" } } } : {}),
  };
}

function said(subject) {
  const acr = acrOf.get(subject);
  return { groups: groupsOf.get(subject) ?? [], ...(acr === undefined ? {} : { acr }) };
}

async function mint(provider, { sub, aud, scope = "ssh", groups = [], acr, seconds = LIFETIME, format = "jwt" }) {
  if (typeof sub !== "string" || (aud !== null && typeof aud !== "string")) throw new TypeError("sub and aud are strings");
  groupsOf.set(sub, groups);
  acrOf.set(sub, acr);
  const client = await provider.Client.find(CLIENT);
  const grant = new provider.Grant({ accountId: sub, clientId: CLIENT });
  if (aud === null) grant.addOIDCScope(scope);
  else grant.addResourceScope(aud, scope);
  const grantId = await grant.save();
  const token = new provider.AccessToken({ accountId: sub, client, grantId, gty: "authorization_code", scope });
  if (aud !== null) token.resourceServer = new provider.ResourceServer(aud, resource(aud, seconds, format));
  return token.save();
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

function answer(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

const server = createServer();
server.listen(PORT, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  // The package keeps its tokens outside of the instance, so that a new one with another key knows them still.
  const start = () => new Provider(issuer, { ...configuration, jwks: { keys: [newKey()] } });
  let provider = start();
  let callback = provider.callback();
  const counts = {};
  const ours = {
    "/mint": async (wanted) => ({ access_token: await mint(provider, wanted) }),
    "/client": async () => INTROSPECTOR,
    "/counts": async () => counts,
    "/rotate": async () => {
      provider = start();
      callback = provider.callback();
      return {};
    },
    "/revoke": async ({ token }) => {
      await (await provider.AccessToken.find(token))?.destroy();
      return {};
    },
  };
  server.on("request", (request, response) => {
    const own = request.method === "POST" && Object.hasOwn(ours, request.url) ? ours[request.url] : null;
    if (!own) {
      counts[request.url] = (counts[request.url] ?? 0) + 1;
      return callback(request, response);
    }
    body(request)
      .then(own)
      .then((value) => answer(response, 200, value))
      .catch((error) => answer(response, 400, { error: String(error) }));
  });
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
if (process.argv[3] === "until-eof") process.stdin.resume().on("end", () => process.exit(0));
