package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

const everything = "openid profile email offline_access sql:read warehouse:tickit"

// register adds an app of its own for a test, as an operator would.
func (w *world) register(t *testing.T, id string, public bool, redirect string) admin.Registered {
	t.Helper()
	arguments := []string{"apps", "--data", w.dataFolder(), "add", id, "--redirect", redirect}
	if public {
		arguments = append(arguments, "--public")
	}
	output, err := exec.Command(binary, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("apps add %s: %s", id, output)
	}
	registered := admin.Registered{App: admin.App{ID: id}}
	for line := range strings.Lines(string(output)) {
		if secret, ok := strings.CutPrefix(line, "client_secret"); ok {
			registered.Secret = strings.TrimSpace(secret)
		}
	}
	return registered
}

func TestIndependentClientsCompleteTheFlow(t *testing.T) {
	t.Parallel()
	w := development(t)
	for _, client := range []string{"oauth4webapi", "openid-client"} {
		for _, public := range []bool{true, false} {
			kind := map[bool]string{true: "public", false: "confidential"}[public]
			t.Run(client+" as "+kind+" client", func(t *testing.T) {
				t.Parallel()
				redirect := "http://127.0.0.1/callback"
				registered := w.register(t, client+"-"+kind, public, redirect)
				var result struct {
					Claims, Person  map[string]any
					Userinfo        map[string]any
					Rows, Again     [][]any
					AfterRevocation int
					Refused         string
				}
				script(t, client, person.New("alice", twin.Password), map[string]string{
					"ISSUER": w.gateway, "CLIENT_ID": registered.App.ID, "CLIENT_SECRET": registered.Secret,
					"REDIRECT_URI": "http://127.0.0.1:49152/callback", "SCOPE": everything,
				}, &result)
				if got := fmt.Sprint(result.Rows[0][0]); got != "alice" {
					t.Errorf("current_user is %s, want alice", got)
				}
				switch client {
				case "oauth4webapi":
					if result.Claims["iss"] != w.gateway || result.Userinfo["email"] != "alice@example.com" {
						t.Errorf("claims %v, userinfo %v", result.Claims, result.Userinfo)
					}
					if result.AfterRevocation != 401 {
						t.Errorf("query after revocation answered %d, want 401", result.AfterRevocation)
					}
				case "openid-client":
					if result.Person["name"] != "Alice Anders" || !reflect.DeepEqual(result.Again, [][]any{{1.0}}) {
						t.Errorf("person %v, rows after the refresh %v", result.Person, result.Again)
					}
					if result.Rows[0][1] != "hello" || result.Refused == "still works" {
						t.Errorf("parameter came back as %v; after disconnecting: %s", result.Rows[0][1], result.Refused)
					}
				}
			})
		}
	}
}

// developerKeys are what the twin gives out for AWS's own clients.
func (w *world) developerKeys(name string) map[string]string {
	keys := twin.DeveloperKeys(name)
	return map[string]string{
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.SessionToken,
		"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PAGER": "",
	}
}

func TestAWSSDKRunsStatementsAgainstTheTwin(t *testing.T) {
	t.Parallel()
	w := development(t)
	environment := w.developerKeys("alice")
	environment["ENDPOINT"], environment["DB_USER"] = w.twin, "alice"
	var result struct {
		Status    string
		Records   [][]map[string]any
		Columns   []string
		CSV       string
		Word      string
		Cancel    bool
		Cancelled string
		Failure   string
		Tables    []string
		Refused   string
	}
	script(t, "data-api", nil, environment, &result)
	if result.Status != "FINISHED" || result.Records[0][0]["stringValue"] != "alice" || result.Records[0][1]["longValue"] != 172456.0 {
		t.Errorf("status %s, records %v", result.Status, result.Records)
	}
	if result.CSV != "a,b,c\n1,,\"\"\n" {
		t.Errorf("CSV %q", result.CSV)
	}
	if result.Word != "it's" || !result.Cancel || result.Cancelled != "ABORTED" {
		t.Errorf("parameter %q, cancel %t, then %s", result.Word, result.Cancel, result.Cancelled)
	}
	if !strings.Contains(result.Failure, `relation "nowhere" does not exist`) || result.Refused != "InvalidSignatureException" {
		t.Errorf("failure %q; wrong key: %s", result.Failure, result.Refused)
	}
	if want := []string{"category", "date", "event", "listing", "sales", "users", "venue"}; !reflect.DeepEqual(result.Tables, want) {
		t.Errorf("tables %v, want %v", result.Tables, want)
	}
}

// aws runs Debian's AWS CLI against the twin.
func (w *world) aws(t *testing.T, who string, arguments ...string) (map[string]any, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "aws", append([]string{"--endpoint-url", w.twin, "--output", "json"}, arguments...)...)
	command.Env = os.Environ()
	for key, value := range w.developerKeys(who) {
		command.Env = append(command.Env, key+"="+value)
	}
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("aws %s: %w: %s", strings.Join(arguments, " "), err, complaints.String())
	}
	var result map[string]any
	if output.Len() > 0 {
		if err := json.Unmarshal(output.Bytes(), &result); err != nil {
			t.Fatalf("aws %s printed %s", strings.Join(arguments, " "), output.String())
		}
	}
	return result, nil
}

func TestAWSCommandLineRunsStatementsAgainstTheTwin(t *testing.T) {
	t.Parallel()
	w := development(t)
	target := []string{"--cluster-identifier", "tickit", "--database", "dev"}
	run := func(who, user, sql string) (map[string]any, error) {
		started, err := w.aws(t, who, append([]string{"redshift-data", "execute-statement", "--db-user", user, "--sql", sql}, target...)...)
		if err != nil {
			return nil, err
		}
		id := fmt.Sprint(started["Id"])
		for {
			described, err := w.aws(t, who, "redshift-data", "describe-statement", "--id", id)
			if err != nil || described["Status"] == "FAILED" {
				return described, err
			}
			if described["Status"] == "FINISHED" {
				return w.aws(t, who, "redshift-data", "get-statement-result", "--id", id)
			}
		}
	}
	identity, err := w.aws(t, "alice", "sts", "get-caller-identity")
	if err != nil || !strings.Contains(fmt.Sprint(identity["Arn"]), "assumed-role") {
		t.Errorf("get-caller-identity: %v, %v", identity, err)
	}
	result, err := run("bob", "bob", "select current_user")
	if err != nil || !strings.Contains(fmt.Sprint(result["Records"]), "bob") {
		t.Errorf("bob's current_user: %v, %v", result, err)
	}
	if result, err := run("bob", "bob", "select * from finance.commission_ledger"); err != nil || !strings.Contains(fmt.Sprint(result["Error"]), "permission denied for schema finance") {
		t.Errorf("bob in finance: %v, %v", result, err)
	}
	if _, err := run("bob", "alice", "select 1"); err == nil {
		t.Error("bob's keys open a statement as alice")
	}
}

func TestAWSCommandLineSealsByTheTwinsKMS(t *testing.T) {
	t.Parallel()
	w := development(t)
	plain, folder := []byte("a key of the gateway"), t.TempDir()
	path := filepath.Join(folder, "plain")
	if err := os.WriteFile(path, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, err := w.aws(t, "alice", "kms", "encrypt", "--key-id", twin.KeyARN, "--plaintext", "fileb://"+path, "--encryption-context", "purpose=seal")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(folder, "sealed")
	blob, err := base64.StdEncoding.DecodeString(fmt.Sprint(sealed["CiphertextBlob"]))
	if err != nil || os.WriteFile(path, blob, 0o600) != nil {
		t.Fatal("no ciphertext", err)
	}
	opened, err := w.aws(t, "alice", "kms", "decrypt", "--ciphertext-blob", "fileb://"+path, "--encryption-context", "purpose=seal")
	if err != nil || opened["Plaintext"] != base64.StdEncoding.EncodeToString(plain) {
		t.Errorf("%v, %v; want what was sealed", opened, err)
	}
	if _, err := w.aws(t, "alice", "kms", "decrypt", "--ciphertext-blob", "fileb://"+path, "--encryption-context", "purpose=rotation"); err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
		t.Errorf("for another purpose: %v, want InvalidCiphertextException", err)
	}
}

// The clients set up what they use, and are refused each time that something is missing: the scripts
// hold every exception to its class and its status.
func TestAWSsOwnClientsForNodeUnderstandTheTwin(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t)
	type pair struct {
		ID     string `json:"accessKeyId"`
		Secret string `json:"secretAccessKey"`
	}
	keys := map[string]pair{"wrong": {twin.GatewayKeys().AccessKeyID, "wrong"}}
	for name, known := range map[string]sigv4.Credential{
		"alice": twin.DeveloperKeys("alice"), "admin": twin.DeveloperKeys("admin"), "gateway": twin.GatewayKeys(), "partner": twin.PartnerKeys(),
	} {
		keys[name] = pair{known.AccessKeyID, known.SecretAccessKey}
	}
	written, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	for name, refusals := range map[string]int{"identity-center": 55, "account": 59, "redshift": 29} {
		t.Run(name, func(t *testing.T) {
			var result struct{ Refusals int }
			script(t, name, person.New("bob", twin.Password), map[string]string{"ENDPOINT": played.URL(), "KEYS": string(written)}, &result)
			if result.Refusals != refusals {
				t.Errorf("%d refusals were seen, want %d", result.Refusals, refusals)
			}
		})
	}
}
