// Runs statements with AWS's own SDK against the twin's Data API, signed with the twin's
// developer keys. Environment: ENDPOINT and the usual AWS_ variables.
import {
  CancelStatementCommand, DescribeStatementCommand, ExecuteStatementCommand, GetStatementResultCommand,
  GetStatementResultV2Command, ListTablesCommand, RedshiftDataClient,
} from "@aws-sdk/client-redshift-data";

const data = new RedshiftDataClient({ endpoint: process.env.ENDPOINT, region: "us-east-1", maxAttempts: 1 });
const target = { ClusterIdentifier: "tickit", Database: "dev", DbUser: process.env.DB_USER };

async function finished(id) {
  for (;;) {
    const statement = await data.send(new DescribeStatementCommand({ Id: id, WaitTimeSeconds: 10 }));
    if (["FINISHED", "FAILED", "ABORTED"].includes(statement.Status)) return statement;
  }
}

const who = await data.send(new ExecuteStatementCommand({ ...target, Sql: "select current_user as me, count(*) as n from tickit.sales" }));
const description = await finished(who.Id);
const page = await data.send(new GetStatementResultCommand({ Id: who.Id }));

const csv = await data.send(new ExecuteStatementCommand({ ...target, Sql: "select 1 as a, null as b, '' as c", ResultFormat: "CSV" }));
await finished(csv.Id);
const csvPage = await data.send(new GetStatementResultV2Command({ Id: csv.Id }));

const parameters = await data.send(new ExecuteStatementCommand({
  ...target, Sql: "select :word::varchar as w", Parameters: [{ name: "word", value: "it's" }],
}));
await finished(parameters.Id);
const word = await data.send(new GetStatementResultCommand({ Id: parameters.Id }));

const slow = await data.send(new ExecuteStatementCommand({ ...target, Sql: "select pg_sleep(30)" }));
const cancel = await data.send(new CancelStatementCommand({ Id: slow.Id }));
const cancelled = await finished(slow.Id);

const failed = await data.send(new ExecuteStatementCommand({ ...target, Sql: "select * from nowhere" }));
const failure = await finished(failed.Id);

const tables = await data.send(new ListTablesCommand({ ...target, SchemaPattern: "tickit" }));
const unsigned = new RedshiftDataClient({
  endpoint: process.env.ENDPOINT, region: "us-east-1", maxAttempts: 1,
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" },
});
const refused = await unsigned.send(new ExecuteStatementCommand({ ...target, Sql: "select 1" })).then(() => "accepted", (e) => e.name);

console.log(`RESULT ${JSON.stringify({
  status: description.Status, records: page.Records, columns: page.ColumnMetadata.map((c) => `${c.name} ${c.typeName}`),
  csv: csvPage.Records.map((r) => r.CSVRecords).join(""), word: word.Records[0][0].stringValue,
  cancel: cancel.Status, cancelled: cancelled.Status, failure: failure.Error,
  tables: tables.Tables.map((t) => t.name).sort(), refused,
})}`);
