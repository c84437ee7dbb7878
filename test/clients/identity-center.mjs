// Sets up IAM Identity Center and gets tokens of it by every grant, with AWS's own clients: what a
// customer's administrator, a gateway and a program on somebody's desk do.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import * as admin from "@aws-sdk/client-sso-admin";
import * as oidc from "@aws-sdk/client-sso-oidc";
import { account, client, counted, endpoint, refused, startIssuer } from "./aws.mjs";
import { finish, personAuthorizes } from "./browser.mjs";

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
const deviceCode = "urn:ietf:params:oauth:grant-type:device_code";
const accessToken = "urn:ietf:params:oauth:token-type:access_token";
const custom = "arn:aws:sso::aws:applicationProvider/custom";
const nowhere = "arn:aws:sso::123456789012:application/ssoins-7223twin0000feed/apl-ffffffffffffffff";
const redirect = "http://127.0.0.1:7890/";

const issuer = await startIssuer();
const center = client(admin.SSOAdminClient, "admin");
const instance = (await center.send(new admin.ListInstancesCommand({}))).Instances[0];
assert.equal((await center.send(new admin.DescribeInstanceCommand({ InstanceArn: instance.InstanceArn }))).Status, "ACTIVE");
assert.ok(instance.CreatedDate instanceof Date);

// Trusted token issuers.
const configuration = (changes) => ({ OidcJwtConfiguration: {
  IssuerUrl: issuer.url, ClaimAttributePath: "email", IdentityStoreAttributePath: "emails.value", JwksRetrievalOption: "OPEN_ID_DISCOVERY", ...changes,
} });
const trusting = (changes) => new admin.CreateTrustedTokenIssuerCommand({
  InstanceArn: instance.InstanceArn, Name: "npm", TrustedTokenIssuerType: "OIDC_JWT", TrustedTokenIssuerConfiguration: configuration(), ...changes,
});
const once = { ClientToken: "the-same-request" };
const { TrustedTokenIssuerArn: tti } = await center.send(trusting({ ...once, Tags: [{ Key: "made", Value: "by npm" }] }));
assert.equal((await center.send(trusting({ ...once, Tags: [{ Key: "made", Value: "by npm" }] }))).TrustedTokenIssuerArn, tti);
await refused("the same token for another request", center.send(trusting({ ...once, Name: "other" })), admin.ConflictException);
await refused("the same name again", center.send(trusting({})), admin.ConflictException);
await refused("another instance", center.send(trusting({ InstanceArn: "arn:aws:sso:::instance/ssoins-0000000000000000" })), admin.ResourceNotFoundException);
await refused("an unknown attribute", center.send(trusting({ Name: "x", TrustedTokenIssuerConfiguration: configuration({ IssuerUrl: "https://x.example", IdentityStoreAttributePath: "shoeSize" }) })), admin.ValidationException);
const tags = await center.send(new admin.ListTagsForResourceCommand({ InstanceArn: instance.InstanceArn, ResourceArn: tti }));
assert.deepEqual(tags.Tags, [{ Key: "made", Value: "by npm" }]);
await center.send(new admin.UpdateTrustedTokenIssuerCommand({ TrustedTokenIssuerArn: tti, Name: "renamed" }));
const described = await center.send(new admin.DescribeTrustedTokenIssuerCommand({ TrustedTokenIssuerArn: tti }));
assert.equal(`${described.Name} ${described.TrustedTokenIssuerConfiguration.OidcJwtConfiguration.IssuerUrl}`, `renamed ${issuer.url}`);
const many = [];
for (let n = (await center.send(new admin.ListTrustedTokenIssuersCommand({ InstanceArn: instance.InstanceArn }))).TrustedTokenIssuers.length; n < 10; n++) {
  many.push(await center.send(trusting({ Name: `issuer ${n}`, TrustedTokenIssuerConfiguration: configuration({ IssuerUrl: `https://${n}.example` }) })));
}
await refused("an eleventh issuer", center.send(trusting({ Name: "x", TrustedTokenIssuerConfiguration: configuration({ IssuerUrl: "https://x.example" }) })), admin.ServiceQuotaExceededException);
for (const { TrustedTokenIssuerArn } of many) await center.send(new admin.DeleteTrustedTokenIssuerCommand({ TrustedTokenIssuerArn }));

// An application, step by step: what is missing is what it is refused for.
const create = (Name) => center.send(new admin.CreateApplicationCommand({ InstanceArn: instance.InstanceArn, Name, ApplicationProviderArn: custom }));
const { ApplicationArn: app } = await create("npm");
const gateway = client(oidc.SSOOIDCClient, "gateway");
const withIAM = (input) => gateway.send(new oidc.CreateTokenWithIAMCommand({ clientId: app, ...input }));
const bearer = (claims, more) => withIAM({ grantType: jwtBearer, assertion: issuer.token({ email: "bob@example.com", ...claims }), ...more });
await refused("nobody may act", bearer({}), oidc.AccessDeniedException);
await center.send(new admin.PutApplicationAuthenticationMethodCommand({
  ApplicationArn: app, AuthenticationMethodType: "IAM", AuthenticationMethod: { Iam: { ActorPolicy: {
    Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { AWS: `arn:aws:iam::${account}:role/shiftgrant-gateway` }, Action: "sso-oauth:CreateTokenWithIAM", Resource: "*" }],
  } } },
}));
await refused("no grant", bearer({}), oidc.UnauthorizedClientException);
const grant = (GrantType, Grant) => center.send(new admin.PutApplicationGrantCommand({ ApplicationArn: app, GrantType, Grant }));
const takes = (...AuthorizedAudiences) => ({ JwtBearer: { AuthorizedTokenIssuers: [{ TrustedTokenIssuerArn: tti, AuthorizedAudiences }] } });
await refused("no audience", grant(jwtBearer, takes()), admin.ValidationException);
await refused("eleven audiences", grant(jwtBearer, takes(..."abcdefghijk")), admin.ValidationException);
await refused("a grant of another type", grant(jwtBearer, { RefreshToken: {} }), admin.ValidationException);
await grant(jwtBearer, takes("gateway"));
await refused("no assignment", bearer({}), oidc.AccessDeniedException);
const bob = { ApplicationArn: app, PrincipalType: "USER", PrincipalId: "9067642ac7-b04d95c2" };
await refused("nobody", center.send(new admin.CreateApplicationAssignmentCommand({ ...bob, PrincipalId: "9067642ac7-00000000" })), admin.ResourceNotFoundException);
await center.send(new admin.CreateApplicationAssignmentCommand(bob));
assert.deepEqual((await center.send(new admin.ListApplicationAssignmentsCommand({ ApplicationArn: app }))).ApplicationAssignments, [bob]);
await bearer({});
await center.send(new admin.DeleteApplicationAssignmentCommand(bob));
await refused("an assignment that ended", center.send(new admin.DescribeApplicationAssignmentCommand(bob)), admin.ResourceNotFoundException);
await center.send(new admin.CreateApplicationAssignmentCommand({ ApplicationArn: app, PrincipalType: "GROUP", PrincipalId: "9067642ac7-group-analysts" }));
await bearer({});
await refused("somebody of another group", bearer({ email: "admin@example.com" }), oidc.AccessDeniedException);
await center.send(new admin.PutApplicationAssignmentConfigurationCommand({ ApplicationArn: app, AssignmentRequired: false }));
await center.send(new admin.PutApplicationAccessScopeCommand({ ApplicationArn: app, Scope: "redshift:connect", AuthorizedTargets: [] }));
for (const [type, given] of [["refresh_token", { RefreshToken: {} }], ["authorization_code", { AuthorizationCode: { RedirectUris: [redirect] } }]]) await grant(type, given);
const listed = (await center.send(new admin.ListApplicationGrantsCommand({ ApplicationArn: app }))).Grants;
assert.deepEqual(listed.map((g) => g.GrantType), ["authorization_code", "refresh_token", jwtBearer]);

// CreateTokenWithIAM.
const tokens = await bearer({});
assert.match(tokens.accessToken, /^aoa/);
assert.deepEqual([tokens.tokenType, tokens.expiresIn, tokens.issuedTokenType], ["Bearer", 3600, accessToken]);
assert.deepEqual(tokens.scope, ["openid", "aws", "sts:identity_context", "redshift:connect"]);
const idToken = JSON.parse(Buffer.from(tokens.idToken.split(".")[1], "base64url"));
assert.equal(idToken["sts:identity_context"], tokens.awsAdditionalDetails.identityContext);
assert.deepEqual([idToken.aud, idToken.sub, idToken.iss], [app, "9067642ac7-b04d95c2", "https://identitycenter.amazonaws.com/ssoins-7223twin0000feed"]);
const again = issuer.token({ email: "bob@example.com" });
await withIAM({ grantType: jwtBearer, assertion: again });
const now = Math.floor(Date.now() / 1000);
for (const [what, claims, expected] of [
  ["another audience", { aud: "other" }, oidc.InvalidGrantException],
  ["an expired token", { exp: now - 1 }, oidc.ExpiredTokenException],
  ["a token from the future", { iat: now + 600, exp: now + 700 }, oidc.InvalidGrantException],
  ["no subject", { sub: undefined }, oidc.InvalidRequestException],
  ["no jti", { jti: undefined }, oidc.InvalidRequestException],
  ["no e-mail address", { email: undefined }, oidc.InvalidGrantException],
  ["an unknown issuer", { iss: "https://other.example" }, oidc.InvalidGrantException],
]) await refused(what, bearer(claims), expected);
const twice = await refused("a token that was used", withIAM({ grantType: jwtBearer, assertion: again }), oidc.InvalidGrantException);
assert.equal(twice.error, "invalid_grant");
assert.match(twice.error_description, /exchanged before/);
await refused("no assertion", withIAM({ grantType: jwtBearer }), oidc.InvalidRequestException);
await refused("a scope that the application lacks", bearer({}, { scope: ["s3:read"] }), oidc.InvalidScopeException);
await refused("an unknown application", withIAM({ clientId: nowhere, grantType: jwtBearer, assertion: "x" }), oidc.InvalidClientException, 401);
await refused("an unknown grant", withIAM({ grantType: "password" }), oidc.UnsupportedGrantTypeException);
await refused("somebody who is no actor", client(oidc.SSOOIDCClient, "alice").send(new oidc.CreateTokenWithIAMCommand({ clientId: app, grantType: jwtBearer, assertion: "x" })), oidc.AccessDeniedException);
await refused("wrong keys", client(oidc.SSOOIDCClient, "wrong").send(new oidc.CreateTokenWithIAMCommand({ clientId: app, grantType: jwtBearer, assertion: "x" })), "InvalidSignatureException");
const refreshed = await withIAM({ grantType: "refresh_token", refreshToken: tokens.refreshToken });
assert.ok(refreshed.awsAdditionalDetails.identityContext && refreshed.refreshToken !== tokens.refreshToken);
await refused("a refresh token that was used", withIAM({ grantType: "refresh_token", refreshToken: tokens.refreshToken }), oidc.InvalidGrantException);

// The page at which people sign in, for an application and for a program that registers itself.
const verifier = randomBytes(32).toString("base64url");
const code = async (page, clientId) => {
  const query = new URLSearchParams({
    response_type: "code", client_id: clientId, redirect_uri: redirect, state: "s1", scopes: "redshift:connect",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
  });
  const back = (await personAuthorizes(`${page}?${query}`)).searchParams;
  assert.equal(back.get("state"), "s1");
  return { grantType: "authorization_code", code: back.get("code"), redirectUri: redirect, codeVerifier: verifier };
};
const ofApp = await code(`${endpoint}/authorize`, app);
assert.ok((await withIAM(ofApp)).awsAdditionalDetails.identityContext);
await refused("the application's code again", withIAM(ofApp), oidc.InvalidGrantException);
await refused("another verifier", withIAM({ ...(await code(`${endpoint}/authorize`, app)), codeVerifier: verifier.toUpperCase() }), oidc.InvalidGrantException);

const open = client(oidc.SSOOIDCClient);
const register = (changes) => open.send(new oidc.RegisterClientCommand({
  clientName: "npm", clientType: "public", scopes: ["redshift:connect"], redirectUris: [redirect], grantTypes: ["authorization_code", "refresh_token", deviceCode], ...changes,
}));
for (const [what, changes, expected] of [
  ["a redirect elsewhere", { redirectUris: ["https://app.example/"] }, oidc.InvalidRedirectUriException],
  ["a confidential client", { clientType: "confidential" }, oidc.InvalidClientMetadataException],
  ["an unknown scope", { scopes: ["all"] }, oidc.InvalidScopeException],
  ["an unknown grant", { grantTypes: ["password"] }, oidc.UnsupportedGrantTypeException],
  ["another instance", { issuerUrl: "https://identitycenter.amazonaws.com/ssoins-0" }, oidc.InvalidRequestException],
]) await refused(what, register(changes), expected);
const registered = await register({});
assert.equal(registered.clientSecretExpiresAt - registered.clientIdIssuedAt, 90 * 24 * 3600);
const known = { clientId: registered.clientId, clientSecret: registered.clientSecret };
const createToken = (input) => open.send(new oidc.CreateTokenCommand({ ...known, ...input }));
const desk = await createToken(await code(registered.authorizationEndpoint, registered.clientId));
assert.deepEqual([desk.tokenType, desk.expiresIn, desk.idToken], ["Bearer", 3600, undefined]);
const renewed = await createToken({ grantType: "refresh_token", refreshToken: desk.refreshToken });
assert.notEqual(renewed.accessToken, desk.accessToken);
await refused("a made-up code", createToken({ grantType: "authorization_code", code: "x", redirectUri: redirect, codeVerifier: verifier }), oidc.InvalidGrantException);
await refused("a wrong secret", createToken({ clientSecret: "wrong", grantType: "refresh_token", refreshToken: "x" }), oidc.InvalidClientException, 401);
await refused("a grant of another kind of client", createToken({ grantType: jwtBearer }), oidc.UnsupportedGrantTypeException);
const narrow = await register({ grantTypes: ["authorization_code"] });
await refused("a grant that was not registered", createToken({ ...{ clientId: narrow.clientId, clientSecret: narrow.clientSecret }, grantType: "refresh_token", refreshToken: "x" }), oidc.UnauthorizedClientException);

// The device flow.
const begin = (startUrl) => open.send(new oidc.StartDeviceAuthorizationCommand({ ...known, startUrl }));
await refused("no start URL", begin(""), oidc.InvalidRequestException);
await refused("an unknown client", open.send(new oidc.StartDeviceAuthorizationCommand({ ...known, clientSecret: "x", startUrl: "https://x" })), oidc.InvalidClientException, 401);
const device = await begin("https://d-90twin0001.awsapps.com/start");
assert.deepEqual([device.expiresIn, device.interval], [600, 1]);
const poll = () => createToken({ grantType: deviceCode, deviceCode: device.deviceCode });
const pending = await refused("before somebody approves", poll(), oidc.AuthorizationPendingException);
assert.equal(pending.error, "authorization_pending");
await refused("at once again", poll(), oidc.SlowDownException);
const answer = (more) => fetch(device.verificationUri, { method: "POST", body: new URLSearchParams({ user_code: device.userCode, ...more }) });
assert.equal((await answer({ username: "bob", password: "wrong" })).status, 401);
assert.equal((await answer({ username: "bob", password: "twin" })).status, 200);
assert.ok((await poll()).accessToken);
await refused("a device code that was used", poll(), oidc.InvalidGrantException);
const other = await begin("https://d-90twin0001.awsapps.com/start");
await fetch(other.verificationUri, { method: "POST", body: new URLSearchParams({ user_code: other.userCode, answer: "cancel" }) });
await refused("a device that somebody refused", createToken({ grantType: deviceCode, deviceCode: other.deviceCode }), oidc.AccessDeniedException);

// Token exchange: from the first application to another one that it names as a target.
const { ApplicationArn: second } = await create("npm, second");
const traded = (subject, more) => withIAM({ clientId: second, grantType: exchange, subjectToken: subject, subjectTokenType: accessToken, ...more });
const policy = (await center.send(new admin.GetApplicationAuthenticationMethodCommand({ ApplicationArn: app, AuthenticationMethodType: "IAM" }))).AuthenticationMethod;
await center.send(new admin.PutApplicationAuthenticationMethodCommand({ ApplicationArn: second, AuthenticationMethodType: "IAM", AuthenticationMethod: policy }));
await center.send(new admin.PutApplicationAssignmentConfigurationCommand({ ApplicationArn: second, AssignmentRequired: false }));
const fresh = (await bearer({})).accessToken;
await refused("no exchange grant", traded(fresh), oidc.UnauthorizedClientException);
await center.send(new admin.PutApplicationGrantCommand({ ApplicationArn: second, GrantType: exchange, Grant: { TokenExchange: {} } }));
await refused("no scope that leads there", traded(fresh), oidc.AccessDeniedException);
await center.send(new admin.PutApplicationAccessScopeCommand({ ApplicationArn: app, Scope: "redshift:connect", AuthorizedTargets: [second] }));
const got = await traded(fresh);
assert.equal(JSON.parse(Buffer.from(got.idToken.split(".")[1], "base64url")).aud, second);
await refused("a token that came of an exchange", traded(got.accessToken), oidc.InvalidGrantException);
await refused("a made-up token", traded("aoaX"), oidc.InvalidGrantException);
await refused("another type of token", traded(fresh, { subjectTokenType: jwtBearer }), oidc.InvalidRequestException);

// Back to nothing.
await center.send(new admin.UpdateApplicationCommand({ ApplicationArn: app, Status: "DISABLED", Description: "over" }));
assert.deepEqual(await center.send(new admin.DescribeApplicationCommand({ ApplicationArn: app })).then((a) => [a.Status, a.Description, a.CreatedFrom]), ["DISABLED", "over", "us-east-1"]);
await refused("a disabled application", bearer({}), oidc.InvalidClientException, 401);
for (const arn of [app, second]) await center.send(new admin.DeleteApplicationCommand({ ApplicationArn: arn }));
await refused("a deleted application", center.send(new admin.DescribeApplicationCommand({ ApplicationArn: app })), admin.ResourceNotFoundException);
await center.send(new admin.DeleteTrustedTokenIssuerCommand({ TrustedTokenIssuerArn: tti }));
await refused("a deleted issuer", center.send(new admin.DescribeTrustedTokenIssuerCommand({ TrustedTokenIssuerArn: tti })), admin.ResourceNotFoundException);
await refused("somebody without keys", client(admin.SSOAdminClient).send(new admin.ListInstancesCommand({})), "UnrecognizedClientException");

finish({ refusals: counted() });
