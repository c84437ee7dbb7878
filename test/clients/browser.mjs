// The person in these tests is played by the Go test that runs the script: the script prints
// the authorization URL, and reads the callback URL that the person was sent to.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function personAuthorizes(authorizationUrl) {
  console.log(`AUTHORIZE ${authorizationUrl}`);
  const { value, done } = await lines.next();
  if (done) throw new Error("no callback URL came");
  return new URL(value);
}

export function finish(result) {
  console.log(`RESULT ${JSON.stringify(result)}`);
  process.exit(0);
}
