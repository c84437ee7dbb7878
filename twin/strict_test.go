package twin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin"
)

// What AWS's clients would not send, a client that somebody writes may: nothing of it is passed over.
func TestWhatAServiceDoesNotKnowIsRefused(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	for _, c := range []struct{ what, service, target, body, want string }{
		{"an unknown operation", "secretsmanager", "secretsmanager.Steal", `{}`, "UnknownOperationException"},
		{"an unknown member", "secretsmanager", "secretsmanager.GetSecretValue", `{"SecretID":"s","Secret":"s"}`, "SerializationException"},
		{"a member of another type", "sso", "SWBExternalService.ListInstances", `{"MaxResults":"ten"}`, "SerializationException"},
		{"two requests", "redshift-serverless", "RedshiftServerless.GetWorkgroup", `{"workgroupName":"tickit-serverless"}{}`, "SerializationException"},
		{"no request", "redshift-serverless", "RedshiftServerless.GetWorkgroup", ``, "SerializationException"},
		{"an unknown operation of keys", "kms", "TrentService.DeleteKey", `{}`, "UnknownOperationException"},
		{"an unknown member about a key", "kms", "TrentService.Sign", `{"Key":"x"}`, "SerializationException"},
		{"another service's signature", "kms", "secretsmanager.GetSecretValue", `{}`, "InvalidSignatureException"},
		{"an unknown action", "iam", "", "Action=CreateUser&Version=2010-05-08", "InvalidAction"},
		{"an unknown parameter", "iam", "", "Action=GetRole&Version=2010-05-08&RoleName=x&Name=y", "ValidationError"},
		{"an unknown parameter of a cluster", "redshift", "", "Action=DescribeClusters&Version=2012-12-01&Cluster=tickit", "ValidationError"},
		{"no form", "redshift", "", "Action=DescribeClusters&Version=2012-12-01&%zz", "MalformedQueryString"},
	} {
		var answer any = &map[string]any{}
		if c.target == "" {
			answer = &struct{}{}
		}
		if got := a.ask(t, twin.DeveloperKeys("admin"), c.service, c.target, c.body, answer); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// SSO-OIDC says an error's type in a header, and OAuth's word for it in the body.
func TestTheTypeOfAnErrorIsInAHeader(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	for path, c := range map[string]struct{ target, body, kind, word string }{
		"/token":                {"", `{"clientId":"x","clientSecret":"y","grantType":"refresh_token"}`, "InvalidClientException", "invalid_client"},
		"/client/register":      {"", `{"clientName":"x","kind":"public"}`, "InvalidRequestException", "invalid_request"},
		"/device_authorization": {"", `{"clientId":"x","startUrl":"https://x"}{}`, "InvalidRequestException", "invalid_request"},
		"/":                     {"RedshiftServerless.GetWorkgroup", `{}`, "MissingAuthenticationTokenException", ""},
	} {
		header := map[string]string{"Content-Type": "application/json"}
		if c.target != "" {
			header = map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": c.target}
		}
		response, err := http.DefaultTransport.RoundTrip(request(t, "POST", a.URL()+path, c.body, header))
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Error string `json:"error"`
			Type  string `json:"__type"`
		}
		if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		kind, id := response.Header.Get("X-Amzn-ErrorType"), response.Header.Get("X-Amzn-RequestId")
		if kind != c.kind || id == "" || body.Error != c.word || c.word == "" && body.Type != c.kind {
			t.Errorf("%s: %s, request %q, %+v; want %s and %q", path, kind, id, body, c.kind, c.word)
		}
		if strings.HasPrefix(path, "/token") && response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, response.Header.Get("Cache-Control"))
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
