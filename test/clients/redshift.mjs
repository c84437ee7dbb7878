// Asks both of Redshift's control planes with AWS's own clients: as somebody with a role, and as a
// person on whose behalf Identity Center made the credentials.
import assert from "node:assert/strict";
import * as redshift from "@aws-sdk/client-redshift";
import * as serverless from "@aws-sdk/client-redshift-serverless";
import * as admin from "@aws-sdk/client-sso-admin";
import * as oidc from "@aws-sdk/client-sso-oidc";
import * as sts from "@aws-sdk/client-sts";
import { account, client, counted, refused, region, session, startIssuer } from "./aws.mjs";
import { finish } from "./browser.mjs";

const near = (time, seconds) => assert.ok(Math.abs(time - Date.now() - seconds * 1000) < 60_000, `${time} is not in ${seconds} s`);
const alice = client(redshift.RedshiftClient, "alice");
const aliceServerless = client(serverless.RedshiftServerlessClient, "alice");

// Where warehouses are.
const cluster = (await alice.send(new redshift.DescribeClustersCommand({ ClusterIdentifier: "tickit" }))).Clusters[0];
assert.deepEqual([cluster.ClusterStatus, cluster.DBName, cluster.Endpoint.Address, cluster.PubliclyAccessible, cluster.Encrypted], ["available", "dev", "localhost", false, true]);
assert.deepEqual((await alice.send(new redshift.DescribeClustersCommand({ TagKeys: ["none"] }))).Clusters, []);
await refused("an unknown cluster", alice.send(new redshift.DescribeClustersCommand({ ClusterIdentifier: "other" })), redshift.ClusterNotFoundFault, 404);
const { workgroup } = await aliceServerless.send(new serverless.GetWorkgroupCommand({ workgroupName: "tickit-serverless" }));
assert.deepEqual([workgroup.status, workgroup.endpoint.port, workgroup.namespaceName], ["AVAILABLE", cluster.Endpoint.Port, "tickit-serverless"]);
assert.equal((await aliceServerless.send(new serverless.ListWorkgroupsCommand({}))).workgroups.length, 1);
const missing = await refused("an unknown workgroup", aliceServerless.send(new serverless.GetWorkgroupCommand({ workgroupName: "other" })), serverless.ResourceNotFoundException);
assert.equal(missing.resourceName, "other");

// Passwords.
const password = (input, as = alice) => as.send(new redshift.GetClusterCredentialsCommand({ ClusterIdentifier: "tickit", DbUser: "alice", DbName: "dev", ...input }));
const given = await password({});
assert.equal(given.DbUser, "IAM:alice");
near(given.Expiration, 900);
near((await password({ DurationSeconds: 3600 })).Expiration, 3600);
for (const [what, input, expected, status] of [
  ["a life of a minute", { DurationSeconds: 60 }, "ValidationError"],
  ["a life of two hours", { DurationSeconds: 7200 }, "ValidationError"],
  ["a name with a colon", { DbUser: "IAM:alice" }, "ValidationError"],
  ["another's name", { DbUser: "bob" }, "AccessDenied", 403],
  ["a user to be made", { AutoCreate: true }, "AccessDenied", 403],
  ["a group to join", { DbGroups: ["admins"] }, "AccessDenied", 403],
  ["an unknown cluster", { ClusterIdentifier: "other" }, redshift.ClusterNotFoundFault, 404],
  ["an unknown domain name", { ClusterIdentifier: undefined, CustomDomainName: "dwh.example" }, redshift.ClusterNotFoundFault, 404],
]) await refused(what, password(input), expected, status);
await refused("wrong keys", password({}, client(redshift.RedshiftClient, "wrong")), "SignatureDoesNotMatch", 403);
const byRole = await alice.send(new redshift.GetClusterCredentialsWithIAMCommand({ ClusterIdentifier: "tickit", DurationSeconds: 1800 }));
assert.equal(byRole.DbUser, "IAMR:shiftgrant-tickit");
near(byRole.Expiration, 1800);
assert.ok(byRole.NextRefreshTime < byRole.Expiration);
const shared = await aliceServerless.send(new serverless.GetCredentialsCommand({ workgroupName: "tickit-serverless", dbName: "dev", durationSeconds: 3600 }));
assert.equal(shared.dbUser, "IAMR:shiftgrant-tickit");
near(shared.expiration, 3600);
assert.ok(shared.nextRefreshTime < shared.expiration);
await refused("a long life of a workgroup's", aliceServerless.send(new serverless.GetCredentialsCommand({ workgroupName: "tickit-serverless", durationSeconds: 7200 })), serverless.ValidationException);
await refused("credentials of an unknown workgroup", aliceServerless.send(new serverless.GetCredentialsCommand({ workgroupName: "other" })), serverless.ResourceNotFoundException);
await refused("a role that is no database user", client(serverless.RedshiftServerlessClient, "gateway").send(new serverless.GetCredentialsCommand({ workgroupName: "tickit-serverless" })), serverless.AccessDeniedException);

// Redshift's application in Identity Center, with an issuer of ours.
const issuer = await startIssuer();
const center = client(admin.SSOAdminClient, "admin");
const InstanceArn = (await center.send(new admin.ListInstancesCommand({}))).Instances[0].InstanceArn;
const { TrustedTokenIssuerArn } = await center.send(new admin.CreateTrustedTokenIssuerCommand({
  InstanceArn, Name: "npm for redshift", TrustedTokenIssuerType: "OIDC_JWT", TrustedTokenIssuerConfiguration: { OidcJwtConfiguration: {
    IssuerUrl: issuer.url, ClaimAttributePath: "email", IdentityStoreAttributePath: "emails.value", JwksRetrievalOption: "OPEN_ID_DISCOVERY",
  } },
}));
const owner = client(redshift.RedshiftClient, "admin");
const ours = {
  IdcInstanceArn: InstanceArn, RedshiftIdcApplicationName: "redshift-npm", IdentityNamespace: "corp", IdcDisplayName: "Redshift of npm", IamRoleArn: `arn:aws:iam::${account}:role/idc`,
  AuthorizedTokenIssuerList: [{ TrustedTokenIssuerArn, AuthorizedAudiencesList: ["gateway", "other"] }], Tags: [{ Key: "made", Value: "by npm" }],
};
const create = (changes) => owner.send(new redshift.CreateRedshiftIdcApplicationCommand({ ...ours, ...changes }));
const { RedshiftIdcApplication: made } = await create({});
const { RedshiftIdcApplicationArn, IdcManagedApplicationArn } = made;
assert.deepEqual([made.IdentityNamespace, made.AuthorizedTokenIssuerList, made.Tags], ["corp", ours.AuthorizedTokenIssuerList, ours.Tags]);
assert.ok(RedshiftIdcApplicationArn.startsWith(`arn:aws:redshift:${region}:${account}:redshiftidcapplication`));
await refused("an application again", create({}), redshift.RedshiftIdcApplicationAlreadyExistsFault);
await refused("another instance", create({ IdcInstanceArn: "arn:aws:sso:::instance/ssoins-0", RedshiftIdcApplicationName: "x" }), redshift.DependentServiceAccessDeniedFault, 403);
await refused("an unknown issuer", create({ RedshiftIdcApplicationName: "x", AuthorizedTokenIssuerList: [{ TrustedTokenIssuerArn: `${TrustedTokenIssuerArn}0`, AuthorizedAudiencesList: ["a"] }] }), "InvalidParameterValue");
const changed = await owner.send(new redshift.ModifyRedshiftIdcApplicationCommand({ RedshiftIdcApplicationArn, IdcDisplayName: "renamed", AuthorizedTokenIssuerList: [{ TrustedTokenIssuerArn, AuthorizedAudiencesList: ["gateway"] }] }));
assert.deepEqual([changed.RedshiftIdcApplication.IdcDisplayName, changed.RedshiftIdcApplication.AuthorizedTokenIssuerList[0].AuthorizedAudiencesList], ["renamed", ["gateway"]]);
assert.equal((await owner.send(new redshift.DescribeRedshiftIdcApplicationsCommand({ RedshiftIdcApplicationArn }))).RedshiftIdcApplications[0].IdcManagedApplicationArn, IdcManagedApplicationArn);

// A person on whose behalf the gateway acts, by the gateway's own application.
const app = `arn:aws:sso::${account}:application/ssoins-7223twin0000feed/apl-0000000000000001`;
await center.send(new admin.PutApplicationGrantCommand({ ApplicationArn: app, GrantType: "urn:ietf:params:oauth:grant-type:jwt-bearer", Grant: { JwtBearer: { AuthorizedTokenIssuers: [{ TrustedTokenIssuerArn, AuthorizedAudiences: ["gateway"] }] } } }));
const context = async (input) => (await client(oidc.SSOOIDCClient, "gateway").send(new oidc.CreateTokenWithIAMCommand({
  clientId: app, grantType: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: issuer.token({ email: "bob@example.com" }), ...input,
}))).awsAdditionalDetails.identityContext;
const provided = (...assertions) => assertions.map((ContextAssertion) => ({ ProviderArn: "arn:aws:iam::aws:contextProvider/IdentityCenter", ContextAssertion }));
const assume = (ProvidedContexts) => client(sts.STSClient, "gateway").send(new sts.AssumeRoleCommand({ RoleArn: `arn:aws:iam::${account}:role/shiftgrant-people`, RoleSessionName: "bob", ProvidedContexts }));
await refused("two contexts", assume(provided(await context(), await context())), "ValidationError");
const bob = session(await assume(provided(await context())));
const token = (input, as = bob) => client(redshift.RedshiftClient, as).send(new redshift.GetIdentityCenterAuthTokenCommand(input));
near((await token({ ClusterIds: ["tickit"] })).ExpirationTime, 3600);
await refused("plain credentials", token({ ClusterIds: ["tickit"] }, "alice"), redshift.UnsupportedOperationFault);
await refused("a token for an unknown cluster", token({ ClusterIds: ["other"] }), redshift.ClusterNotFoundFault, 404);
await refused("a token for nothing", token({ ClusterIds: [] }), redshift.RedshiftInvalidParameterFault);
await refused("a token for 21 clusters", token({ ClusterIds: Array(21).fill("tickit") }), redshift.RedshiftInvalidParameterFault);
const narrow = session(await assume(provided(await context({ scope: ["openid"] }))));
await refused("a person without the scope", token({ ClusterIds: ["tickit"] }, narrow), "AccessDenied", 403);
const tokenFor = (workgroupNames, as = bob) => client(serverless.RedshiftServerlessClient, as).send(new serverless.GetIdentityCenterAuthTokenCommand({ workgroupNames }));
near((await tokenFor(["tickit-serverless"])).expirationTime, 3600);
await refused("plain credentials at a workgroup", tokenFor(["tickit-serverless"], "alice"), serverless.AccessDeniedException);
await refused("a token for an unknown workgroup", tokenFor(["other"]), serverless.ResourceNotFoundException);
await refused("a token for no workgroup", tokenFor([]), serverless.ValidationException);

// Back to nothing.
await owner.send(new redshift.DeleteRedshiftIdcApplicationCommand({ RedshiftIdcApplicationArn }));
for (const call of [new redshift.DeleteRedshiftIdcApplicationCommand({ RedshiftIdcApplicationArn }), new redshift.ModifyRedshiftIdcApplicationCommand({ RedshiftIdcApplicationArn }), new redshift.DescribeRedshiftIdcApplicationsCommand({ RedshiftIdcApplicationArn })]) {
  await refused("a deleted application", owner.send(call), redshift.RedshiftIdcApplicationNotExistsFault, 404);
}

finish({ refusals: counted() });
