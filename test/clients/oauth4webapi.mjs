// Completes the flow with oauth4webapi, the strictest OAuth client there is for JavaScript:
// discovery, authorization code with PKCE and iss, ID token, refresh, userinfo, a query, and
// revocation. Environment: ISSUER, CLIENT_ID, CLIENT_SECRET (empty: public), REDIRECT_URI, SCOPE.
import * as oauth from "oauth4webapi";
import { finish, personAuthorizes } from "./browser.mjs";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPE } = process.env;
const http = { [oauth.allowInsecureRequests]: true }; // the test's gateway is on loopback
const issuer = new URL(ISSUER);

const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...http });
const server = await oauth.processDiscoveryResponse(issuer, found);
const viaOIDC = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...http }));
for (const member of ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"]) {
  if (server[member] !== viaOIDC[member]) throw new Error(`the two metadata documents differ in ${member}`);
}

const client = { client_id: CLIENT_ID };
const authenticate = CLIENT_SECRET ? oauth.ClientSecretBasic(CLIENT_SECRET) : oauth.None();

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const authorize = new URL(server.authorization_endpoint);
for (const [name, value] of Object.entries({
  client_id: CLIENT_ID, redirect_uri: REDIRECT_URI, response_type: "code", scope: SCOPE, state, nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
})) authorize.searchParams.set(name, value);

const callback = await personAuthorizes(authorize.href);
const parameters = oauth.validateAuthResponse(server, client, callback, state);
const exchange = await oauth.authorizationCodeGrantRequest(server, client, authenticate, parameters, REDIRECT_URI, verifier, http);
const tokens = await oauth.processAuthorizationCodeResponse(server, client, exchange, { expectedNonce: nonce, requireIdToken: true });
await oauth.validateApplicationLevelSignature(server, exchange, http); // checks the ID token's signature by our JWKS
const claims = oauth.getValidatedIdTokenClaims(tokens);

const userinfo = await oauth.processUserInfoResponse(server, client, claims.sub,
  await oauth.userInfoRequest(server, client, tokens.access_token, http));

const refreshed = await oauth.processRefreshTokenResponse(server, client,
  await oauth.refreshTokenGrantRequest(server, client, authenticate, tokens.refresh_token, http));
if (refreshed.refresh_token === tokens.refresh_token) throw new Error("the refresh token did not rotate");

const answer = await oauth.protectedResourceRequest(refreshed.access_token, "POST", new URL("/v1/query", issuer),
  new Headers({ "content-type": "application/json" }), JSON.stringify({ query: "select current_user" }), http);
const result = await answer.json();

await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authenticate, refreshed.refresh_token, http));
const after = await fetch(new URL("/v1/query", issuer), {
  method: "POST", body: JSON.stringify({ query: "select 1" }),
  headers: { authorization: `Bearer ${refreshed.access_token}`, "content-type": "application/json" },
});

finish({ claims, userinfo, rows: result.rows, afterRevocation: after.status });
