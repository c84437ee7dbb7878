// A real IdP for the gateway's upstream sign-in: npm oidc-provider with its own sign-in and
// consent forms. Environment: PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI. Prints READY.
import { Provider } from "oidc-provider";

const { PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI } = process.env;
const issuer = `http://localhost:${PORT}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: CLIENT_ID, client_secret: CLIENT_SECRET, redirect_uris: [REDIRECT_URI],
    grant_types: ["authorization_code", "refresh_token"], response_types: ["code"],
  }],
  claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false, // put the claims into the ID token, as Okta and Entra do
  pkce: { required: () => true },
  cookies: { keys: ["test-only"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of oidc-provider`, preferred_username: id, email: `${id}@example.com`, email_verified: true }),
  }),
});
provider.listen(Number(PORT), "127.0.0.1", () => console.log("READY"));
