// Uses an AWS account with AWS's own clients: who may become whom (IAM, STS), a secret, and keys.
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import * as iam from "@aws-sdk/client-iam";
import * as kms from "@aws-sdk/client-kms";
import { ExecuteStatementCommand, GetStatementResultCommand, RedshiftDataClient } from "@aws-sdk/client-redshift-data";
import { GetCredentialsCommand, RedshiftServerlessClient } from "@aws-sdk/client-redshift-serverless";
import * as secrets from "@aws-sdk/client-secrets-manager";
import * as sts from "@aws-sdk/client-sts";
import { account, client, counted, refused, region, session, startIssuer } from "./aws.mjs";
import { finish } from "./browser.mjs";

const issuer = await startIssuer();
const admin = client(iam.IAMClient, "admin");
const policy = (...Statement) => JSON.stringify({ Version: "2012-10-17", Statement });
const host = issuer.url.slice("http://".length);

// An OIDC provider.
const provide = (changes) => admin.send(new iam.CreateOpenIDConnectProviderCommand({ Url: issuer.url, ClientIDList: ["gateway"], ...changes }));
const { OpenIDConnectProviderArn: provider } = await provide({ ThumbprintList: ["a".repeat(40)], Tags: [{ Key: "made", Value: "by npm" }] });
await refused("the same provider again", provide({}), iam.EntityAlreadyExistsException, 409);
await refused("no audience", provide({ Url: "https://other.example", ClientIDList: [] }), iam.InvalidInputException);
await refused("a thumbprint that is none", provide({ Url: "https://other.example", ThumbprintList: ["g".repeat(40)] }), iam.InvalidInputException);
const named = { OpenIDConnectProviderArn: provider };
await admin.send(new iam.AddClientIDToOpenIDConnectProviderCommand({ ...named, ClientID: "second" }));
await admin.send(new iam.RemoveClientIDFromOpenIDConnectProviderCommand({ ...named, ClientID: "second" }));
await admin.send(new iam.TagOpenIDConnectProviderCommand({ ...named, Tags: [{ Key: "team", Value: "data" }] }));
const shown = await admin.send(new iam.GetOpenIDConnectProviderCommand(named));
assert.deepEqual([shown.Url, shown.ClientIDList, shown.Tags.map((t) => t.Key), shown.CreateDate instanceof Date], [host, ["gateway"], ["made", "team"], true]);
assert.ok((await admin.send(new iam.ListOpenIDConnectProvidersCommand({}))).OpenIDConnectProviderList.some((p) => p.Arn === provider));

// Roles: one for tokens of the issuer, one that it may assume, and one for another account.
const create = (RoleName, AssumeRolePolicyDocument, more) => admin.send(new iam.CreateRoleCommand({ RoleName, AssumeRolePolicyDocument, ...more }));
const web = policy({
  Effect: "Allow", Principal: { Federated: provider }, Action: ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
  Condition: { StringEquals: { [`${host}:aud`]: "gateway" }, StringNotEquals: { [`${host}:sub`]: "nobody" } },
});
const made = (await create("npm-web", web, { Description: "of tokens", MaxSessionDuration: 7200, Tags: [{ Key: "made", Value: "by npm" }] })).Role;
assert.deepEqual([made.Arn, decodeURIComponent(made.AssumeRolePolicyDocument), made.MaxSessionDuration, made.Description], [`arn:aws:iam::${account}:role/npm-web`, web, 7200, "of tokens"]);
await create("npm-next", policy({ Effect: "Allow", Principal: { AWS: made.Arn }, Action: ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"] }), { MaxSessionDuration: 7200 });
await create("npm-sourceless", policy({ Effect: "Allow", Principal: { AWS: made.Arn }, Action: ["sts:AssumeRole", "sts:TagSession"] }));
await create("npm-partner", policy({ Effect: "Allow", Principal: { AWS: "arn:aws:iam::210987654321:root" }, Action: "sts:AssumeRole", Condition: { StringEquals: { "sts:ExternalId": "npm-id" } } }));
await refused("a role again", create("npm-web", web), iam.EntityAlreadyExistsException, 409);
await refused("a policy that is no JSON", create("npm-x", "{"), iam.MalformedPolicyDocumentException);
await refused("a session of a second", create("npm-x", web, { MaxSessionDuration: 1 }), "ValidationError");
await refused("an unknown role", admin.send(new iam.GetRoleCommand({ RoleName: "npm-x" })), iam.NoSuchEntityException, 404);
const inline = { RoleName: "npm-web", PolicyName: "redshift", PolicyDocument: policy({ Effect: "Allow", Action: "redshift-data:*", Resource: "*" }) };
await admin.send(new iam.PutRolePolicyCommand(inline));
assert.equal(decodeURIComponent((await admin.send(new iam.GetRolePolicyCommand(inline))).PolicyDocument), inline.PolicyDocument);
assert.deepEqual((await admin.send(new iam.ListRolePoliciesCommand(inline))).PolicyNames, ["redshift"]);
assert.deepEqual((await admin.send(new iam.ListAttachedRolePoliciesCommand(inline))).AttachedPolicies, []);
await admin.send(new iam.TagRoleCommand({ RoleName: "npm-web", Tags: [{ Key: "team", Value: "data" }] }));
await admin.send(new iam.UntagRoleCommand({ RoleName: "npm-web", TagKeys: ["made"] }));
assert.deepEqual((await admin.send(new iam.ListRoleTagsCommand({ RoleName: "npm-web" }))).Tags, [{ Key: "team", Value: "data" }]);
assert.ok((await admin.send(new iam.ListRolesCommand({}))).Roles.some((r) => r.RoleName === "npm-web" && r.Tags.length === 1));

// Web identity.
const anybody = client(sts.STSClient);
const tags = (user) => ({ "https://aws.amazon.com/tags": { principal_tags: { RedshiftDbUser: [user] }, transitive_tag_keys: ["RedshiftDbUser"] } });
const web1 = (claims, more) => anybody.send(new sts.AssumeRoleWithWebIdentityCommand({ RoleArn: made.Arn, RoleSessionName: "bob@example.com", WebIdentityToken: issuer.token(claims), ...more }));
const bob = await web1({ ...tags("bob"), "https://aws.amazon.com/source_identity": "bob" }, { DurationSeconds: 7200 });
assert.deepEqual(
  [bob.SubjectFromWebIdentityToken, bob.Audience, bob.Provider, bob.SourceIdentity, bob.AssumedRoleUser.Arn],
  ["person", "gateway", provider, "bob", `arn:aws:sts::${account}:assumed-role/npm-web/bob@example.com`],
);
assert.ok(Math.abs(bob.Credentials.Expiration - Date.now() - 7200_000) < 60_000 && bob.Credentials.AccessKeyId.startsWith("ASIA") && bob.PackedPolicySize >= 0);
const now = Math.floor(Date.now() / 1000);
for (const [what, claims, expected, status] of [
  ["another audience", { aud: "other" }, sts.InvalidIdentityTokenException],
  ["an unknown issuer", { iss: "https://other.example" }, sts.InvalidIdentityTokenException],
  ["an expired token", { exp: now - 1 }, sts.ExpiredTokenException],
  ["a token from the future", { iat: now + 600, exp: now + 700 }, sts.IDPRejectedClaimException, 403],
  ["a person whom the policy leaves out", { sub: "nobody" }, "AccessDenied", 403],
  ["a tag with two values", { "https://aws.amazon.com/tags": { principal_tags: { a: ["b", "c"] } } }, sts.InvalidIdentityTokenException],
]) await refused(what, web1(claims), expected, status);
for (const [what, more, expected, status] of [
  ["a session of a minute", { DurationSeconds: 60 }, "ValidationError"],
  ["a session that is longer than the role's", { DurationSeconds: 7201 }, "ValidationError"],
  ["a session name of one letter", { RoleSessionName: "b" }, "ValidationError"],
  ["a session policy that is no JSON", { Policy: "no" }, sts.MalformedPolicyDocumentException],
  ["an unknown role", { RoleArn: `arn:aws:iam::${account}:role/npm-x` }, "AccessDenied", 403],
]) await refused(what, web1({}, more), expected, status);
await admin.send(new iam.CreateOpenIDConnectProviderCommand({ Url: "http://127.0.0.1:1", ClientIDList: ["gateway"] }));
await refused("an issuer that cannot be reached", web1({ iss: "http://127.0.0.1:1" }), sts.IDPCommunicationErrorException);

// What a role does is what its policies allow: those that are attached decide, and not those that were.
const asBob = client(secrets.SecretsManagerClient, session(bob));
const reading = () => asBob.send(new secrets.GetSecretValueCommand({ SecretId: "shiftgrant/tickit" }));
await refused("what no policy allows", reading(), "AccessDeniedException");
await admin.send(new iam.PutRolePolicyCommand({ ...inline, PolicyName: "secret", PolicyDocument: policy({ Effect: "Allow", Action: ["secretsmanager:Get*"], Resource: "*" }) }));
assert.ok((await reading()).SecretString);
await admin.send(new iam.PutRolePolicyCommand({ ...inline, PolicyName: "deny", PolicyDocument: policy({ Effect: "Deny", Action: "SecretsManager:GetSecretValue", Resource: "*" }) }));
await refused("what a policy denies", reading(), "AccessDeniedException");
for (const PolicyName of ["secret", "deny"]) await admin.send(new iam.DeleteRolePolicyCommand({ ...inline, PolicyName }));
await refused("a role's policy for what it administrates", client(iam.IAMClient, session(bob)).send(new iam.ListRolesCommand({})), "AccessDenied", 403);
await refused("a policy without a resource", admin.send(new iam.PutRolePolicyCommand({ ...inline, PolicyDocument: policy({ Effect: "Allow", Action: "s3:*" }) })), iam.MalformedPolicyDocumentException);

// On a workgroup everybody with the role is one database user, who is made when the first comes.
const shared = () => client(RedshiftServerlessClient, session(bob)).send(new GetCredentialsCommand({ workgroupName: "tickit-serverless" }));
await refused("a password that no policy allows", shared(), "AccessDeniedException");
await admin.send(new iam.PutRolePolicyCommand({ ...inline, PolicyName: "login", PolicyDocument: policy({ Effect: "Allow", Action: "redshift-serverless:GetCredentials", Resource: "*" }) }));
assert.equal((await shared()).dbUser, "IAMR:npm-web");
const data = client(RedshiftDataClient, session(bob));
const { Id } = await data.send(new ExecuteStatementCommand({ WorkgroupName: "tickit-serverless", Database: "dev", Sql: "select current_user", WaitTimeSeconds: 10 }));
assert.equal((await data.send(new GetStatementResultCommand({ Id, WaitTimeSeconds: 10 }))).Records[0][0].stringValue, "IAMR:npm-web");
await admin.send(new iam.DeleteRolePolicyCommand({ ...inline, PolicyName: "login" }));

// A role from a role: tags are passed on, and a chain lasts an hour.
const who = async (credentials) => (await client(sts.STSClient, credentials).send(new sts.GetCallerIdentityCommand({}))).Arn;
const next = (more, as = session(bob)) => client(sts.STSClient, as).send(new sts.AssumeRoleCommand({ RoleArn: `arn:aws:iam::${account}:role/npm-next`, RoleSessionName: "next", ...more }));
const chained = await next({ Tags: [{ Key: "team", Value: "data" }], DurationSeconds: 3600 });
assert.equal(await who(session(chained)), `arn:aws:sts::${account}:assumed-role/npm-next/next`);
assert.equal(chained.SourceIdentity, "bob");
for (const [what, more, as, expected, status] of [
  ["a chain of more than an hour", { DurationSeconds: 3601 }, undefined, "ValidationError"],
  ["a tag that was passed on", { Tags: [{ Key: "redshiftdbuser", Value: "alice" }] }, undefined, "ValidationError"],
  ["a role that may not carry the source identity", { RoleArn: `arn:aws:iam::${account}:role/npm-sourceless` }, undefined, "AccessDenied", 403],
  ["another source identity", { SourceIdentity: "alice" }, undefined, "AccessDenied", 403],
  ["a made-up context", { ProvidedContexts: [{ ProviderArn: "arn:aws:iam::aws:contextProvider/IdentityCenter", ContextAssertion: "made up" }] }, undefined, "InvalidContextAssertion"],
  ["a short context", { ProvidedContexts: [{ ProviderArn: "arn:aws:iam::aws:contextProvider/IdentityCenter", ContextAssertion: "abc" }] }, undefined, "ValidationError"],
  ["an unknown context provider", { ProvidedContexts: [{ ProviderArn: "arn:aws:iam::aws:contextProvider/Other", ContextAssertion: "abcd" }] }, undefined, "ValidationError"],
  ["somebody whom the role does not trust", {}, "alice", "AccessDenied", 403],
  ["wrong keys", {}, "wrong", "SignatureDoesNotMatch", 403],
]) await refused(what, next(more, as), expected, status);
const partner = (ExternalId) => next({ RoleArn: `arn:aws:iam::${account}:role/npm-partner`, ExternalId }, "partner");
assert.ok((await partner("npm-id")).Credentials);
await refused("another external id", partner("other-id"), "AccessDenied", 403);
await refused("no external id", partner(undefined), "AccessDenied", 403);
await refused("somebody without keys", anybody.send(new sts.GetCallerIdentityCommand({})), "InvalidClientTokenId", 403);

// A secret, from its creation to its end.
const vault = client(secrets.SecretsManagerClient, "admin");
const secret = { Name: "npm/warehouse", SecretString: JSON.stringify({ username: "svc", password: "Passw0rd" }), Description: "of npm", Tags: [{ Key: "RedshiftDataFullAccess", Value: "svc" }] };
const kept = await vault.send(new secrets.CreateSecretCommand(secret));
assert.match(kept.ARN, new RegExp(`^arn:aws:secretsmanager:${region}:${account}:secret:npm/warehouse-.{6}$`));
await refused("a secret again", vault.send(new secrets.CreateSecretCommand(secret)), secrets.ResourceExistsException);
await refused("a name with a space", vault.send(new secrets.CreateSecretCommand({ ...secret, Name: "a b" })), secrets.InvalidParameterException);
const SecretId = secret.Name;
const about = await vault.send(new secrets.DescribeSecretCommand({ SecretId }));
assert.deepEqual([about.Description, about.Tags, about.VersionIdsToStages, about.CreatedDate instanceof Date], ["of npm", secret.Tags, { [kept.VersionId]: ["AWSCURRENT"] }, true]);
const value = (more) => vault.send(new secrets.GetSecretValueCommand({ SecretId, ...more }));
assert.equal((await value()).SecretString, secret.SecretString);
await vault.send(new secrets.PutSecretValueCommand({ SecretId, SecretBinary: Buffer.from("two") }));
assert.equal(Buffer.from((await value()).SecretBinary).toString(), "two");
assert.equal((await value({ VersionStage: "AWSPREVIOUS" })).VersionId, kept.VersionId);
await refused("a version that is not there", value({ VersionId: "x".repeat(32) }), secrets.ResourceNotFoundException);
await refused("two contents", vault.send(new secrets.PutSecretValueCommand({ SecretId, SecretString: "a", SecretBinary: Buffer.from("b") })), secrets.InvalidParameterException);
await refused("another account", client(secrets.SecretsManagerClient, "partner").send(new secrets.GetSecretValueCommand({ SecretId: kept.ARN })), "AccessDeniedException");
const guard = (...statements) => vault.send(new secrets.PutResourcePolicyCommand({ SecretId, ResourcePolicy: policy(...statements), BlockPublicPolicy: true }));
const lets = (AWS, Effect = "Allow") => ({ Effect, Principal: { AWS }, Action: "secretsmanager:GetSecretValue", Resource: "*" });
await guard(lets("arn:aws:iam::210987654321:root"));
assert.ok((await client(secrets.SecretsManagerClient, "partner").send(new secrets.GetSecretValueCommand({ SecretId: kept.ARN }))).ARN);
await guard(lets(`arn:aws:iam::${account}:root`, "Deny"));
await refused("a policy that denies", value(), "AccessDeniedException");
assert.match((await vault.send(new secrets.GetResourcePolicyCommand({ SecretId }))).ResourcePolicy, /Deny/);
await refused("a policy for everybody", guard(lets("*")), secrets.PublicPolicyException);
await refused("a policy without a principal", guard({ Effect: "Allow", Action: "*" }), secrets.MalformedPolicyDocumentException);
await vault.send(new secrets.DeleteResourcePolicyCommand({ SecretId }));
await refused("a window of a day", vault.send(new secrets.DeleteSecretCommand({ SecretId, RecoveryWindowInDays: 1 })), secrets.InvalidParameterException);
await vault.send(new secrets.DeleteSecretCommand({ SecretId }));
await refused("a secret that is being deleted", value(), secrets.InvalidRequestException);
await refused("its name, meanwhile", vault.send(new secrets.CreateSecretCommand(secret)), secrets.InvalidRequestException);
await vault.send(new secrets.RestoreSecretCommand({ SecretId }));
assert.ok((await value()).VersionId);
await vault.send(new secrets.DeleteSecretCommand({ SecretId, ForceDeleteWithoutRecovery: true }));
await refused("a deleted secret", value(), secrets.ResourceNotFoundException);
assert.ok(!(await vault.send(new secrets.ListSecretsCommand({}))).SecretList.some((s) => s.Name === SecretId));

// Keys: one that seals, one that signs.
const box = client(kms.KMSClient, "gateway");
const [sealing, signing] = [1, 2].map((n) => `arn:aws:kms:${region}:${account}:key/00000000-0000-4000-8000-00000000000${n}`);
const EncryptionContext = { purpose: "seal" };
const { CiphertextBlob } = await box.send(new kms.EncryptCommand({ KeyId: sealing, Plaintext: Buffer.from("plain"), EncryptionContext }));
const open = (more) => box.send(new kms.DecryptCommand({ CiphertextBlob, EncryptionContext, ...more }));
assert.equal(Buffer.from((await open()).Plaintext).toString(), "plain");
await refused("another context", open({ EncryptionContext: { purpose: "other" } }), kms.InvalidCiphertextException);
await refused("another key", open({ KeyId: signing }), kms.IncorrectKeyException);
await refused("a blob that is none", open({ CiphertextBlob: Buffer.from("none") }), kms.InvalidCiphertextException);
const SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_256";
const sign = (more) => box.send(new kms.SignCommand({ KeyId: signing, Message: Buffer.from("message"), SigningAlgorithm, ...more }));
const published = await box.send(new kms.GetPublicKeyCommand({ KeyId: signing }));
const key = createPublicKey({ key: Buffer.from(published.PublicKey), format: "der", type: "spki" });
assert.ok(verify("RSA-SHA256", Buffer.from("message"), key, (await sign()).Signature));
const digest = createHash("sha256").update("message").digest();
assert.deepEqual((await sign({ Message: digest, MessageType: "DIGEST" })).Signature, (await sign()).Signature);
assert.ok(published.KeySpec === "RSA_2048" && published.SigningAlgorithms.includes(SigningAlgorithm));
await refused("a digest of another length", sign({ MessageType: "DIGEST" }), "ValidationException");
await refused("a key that seals", sign({ KeyId: sealing }), kms.InvalidKeyUsageException);
await refused("an unknown key", sign({ KeyId: `${signing}0` }), kms.NotFoundException);
await refused("somebody with a wrong key", client(kms.KMSClient, "wrong").send(new kms.GetPublicKeyCommand({ KeyId: signing })), "InvalidSignatureException");

// Back to nothing.
await refused("a role with a policy", admin.send(new iam.DeleteRoleCommand({ RoleName: "npm-web" })), iam.DeleteConflictException, 409);
await admin.send(new iam.DeleteRolePolicyCommand(inline));
await refused("a policy that is gone", admin.send(new iam.GetRolePolicyCommand(inline)), iam.NoSuchEntityException, 404);
for (const RoleName of ["npm-web", "npm-next", "npm-sourceless", "npm-partner"]) await admin.send(new iam.DeleteRoleCommand({ RoleName }));
await admin.send(new iam.DeleteOpenIDConnectProviderCommand(named));
await refused("a provider that is gone", admin.send(new iam.GetOpenIDConnectProviderCommand(named)), iam.NoSuchEntityException, 404);
await refused("a token of it", web1({}), sts.InvalidIdentityTokenException);

finish({ refusals: counted() });
