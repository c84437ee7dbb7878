// What the scripts with AWS's own clients share: who they are, how a refusal has to look, and an issuer
// of tokens as AWS sees a gateway. Environment: ENDPOINT, and KEYS, which are JSON by name.
import assert from "node:assert/strict";
import { createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";

export const account = "123456789012";
export const region = "us-east-1";
export const endpoint = process.env.ENDPOINT;
const keys = JSON.parse(process.env.KEYS);

// client is one of AWS's for somebody: a name among KEYS, credentials, or undefined for nobody.
export function client(Client, who) {
  const credentials = typeof who === "string" ? keys[who] : who ?? { accessKeyId: "none", secretAccessKey: "none" };
  return new Client({ endpoint, region, maxAttempts: 1, credentials });
}

// session makes credentials of what STS answers.
export const session = ({ Credentials: c }) => ({ accessKeyId: c.AccessKeyId, secretAccessKey: c.SecretAccessKey, sessionToken: c.SessionToken });

let refusals = 0;

// refused holds a call to the exception and the status that it has to end with, and gives the exception.
// A class has to be the one that the client's package exports; a name is for those without one.
export async function refused(what, call, expected, status = 400) {
  const error = await call.then(() => undefined, (e) => e);
  assert.ok(error, `${what}: it was not refused`);
  const name = typeof expected === "string" ? expected : expected.name;
  assert.equal(`${error.name} ${error.$metadata?.httpStatusCode}`, `${name} ${status}`, `${what}: ${error.message}`);
  assert.ok(typeof expected === "string" || error instanceof expected, `${what}: an Error of another class`);
  assert.ok(error.$metadata.requestId, `${what}: there is no request id`);
  refusals++;
  return error;
}

// counted is how many refusals were seen.
export const counted = () => refusals;

// startIssuer publishes a key, and signs tokens about people with it; changes that are undefined leave a
// claim out.
export async function startIssuer() {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "RS256", use: "sig" };
  const server = createServer((request, response) => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(request.url === "/keys" ? { keys: [jwk] } : { issuer: url, jwks_uri: `${url}/keys` }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return {
    url,
    token(changes = {}) {
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: url, sub: "person", aud: "gateway", jti: randomUUID(), iat: now, exp: now + 60, ...changes };
      const signed = `${encode({ alg: "RS256", typ: "JWT", kid: "k1" })}.${encode(claims)}`;
      return `${signed}.${createSign("RSA-SHA256").update(signed).sign(privateKey, "base64url")}`;
    },
  };
}
