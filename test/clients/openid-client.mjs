// The flow with openid-client, as an app developer would write it. docs/auth-flow.md quotes
// the parts between the "snippet" marks. Environment as in oauth4webapi.mjs.
import { finish, personAuthorizes } from "./browser.mjs";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPE } = process.env;

// snippet: configure
import * as client from "openid-client";

const options = ISSUER.startsWith("http://localhost") ? { execute: [client.allowInsecureRequests] } : {};
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined,
  CLIENT_SECRET ? client.ClientSecretBasic(CLIENT_SECRET) : client.None(), options);
// end: configure

// snippet: authorize
// One transaction: keep it in a short-lived, HttpOnly cookie or your server-side session.
const transaction = {
  verifier: client.randomPKCECodeVerifier(),
  state: client.randomState(),
  nonce: client.randomNonce(),
};
const authorizationUrl = client.buildAuthorizationUrl(config, {
  redirect_uri: REDIRECT_URI,
  scope: SCOPE,
  state: transaction.state,
  nonce: transaction.nonce,
  code_challenge: await client.calculatePKCECodeChallenge(transaction.verifier),
  code_challenge_method: "S256",
});
// end: authorize

const callbackUrl = await personAuthorizes(authorizationUrl.href);

// snippet: callback
// state, iss, nonce and the ID token are checked here; a mismatch throws.
let tokens = await client.authorizationCodeGrant(config, callbackUrl, {
  pkceCodeVerifier: transaction.verifier,
  expectedState: transaction.state,
  expectedNonce: transaction.nonce,
});
const person = tokens.claims();
// end: callback

// snippet: query
async function query(sql, parameters = []) {
  const response = await fetch(new URL("/v1/query", ISSUER), {
    method: "POST",
    headers: { authorization: `Bearer ${tokens.access_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: sql, parameters }),
  });
  if (!response.ok) throw new Error((await response.json()).detail);
  return response.json();
}
// end: query
const rows = (await query("select current_user, :greeting", [{ name: "greeting", value: "hello" }])).rows;

// snippet: refresh
// Keep the new refresh token before you use the new access token. If the answer is lost, ask
// again with the old one: you get the same successor.
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
tokens = { ...tokens, ...refreshed };
// end: refresh
const again = (await query("select 1 as one")).rows;

// snippet: disconnect
await client.tokenRevocation(config, tokens.refresh_token);
// end: disconnect
const refused = await query("select 1").then(() => "still works", (error) => error.message);

finish({ person, rows, again, refused });
