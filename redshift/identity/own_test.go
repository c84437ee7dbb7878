package identity

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// metadataService plays EC2's metadata service, an ECS agent and STS.
func metadataService(t *testing.T) (server *httptest.Server, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	answer := func(id string) string {
		return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"s","Token":"t","Expiration":%q}`, id, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Path)
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			fmt.Fprint(w, "session")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/" && r.Header.Get("X-Aws-Ec2-Metadata-Token") == "session":
			fmt.Fprint(w, "gateway\n")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/gateway" && r.Header.Get("X-Aws-Ec2-Metadata-Token") == "session":
			fmt.Fprint(w, answer("of-the-instance"))
		case r.URL.Path == "/agent" && r.Header.Get("Authorization") == "shown":
			fmt.Fprint(w, answer("of-the-container"))
		case r.Method == http.MethodPost && r.FormValue("WebIdentityToken") == "token-of-the-pod" && r.FormValue("RoleSessionName") == "shiftgrant":
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>of-the-pod</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
				time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	return server, asked
}

func TestOwnCredentialsAreFoundWhereAWSToolsFindThem(t *testing.T) {
	t.Parallel()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name        string
		environment func(url string) map[string]string
		want, fails string
	}{
		{"keys come first", func(url string) map[string]string {
			return map[string]string{"AWS_ACCESS_KEY_ID": "of-the-environment", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/agent"}
		}, "of-the-environment", ""},
		{"a pod's web identity", func(string) map[string]string {
			return map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file("token-of-the-pod\n"), "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/gateway"}
		}, "of-the-pod", ""},
		{"a web identity whose file is gone", func(string) map[string]string {
			return map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/gateway"}
		}, "", "AWS_WEB_IDENTITY_TOKEN_FILE"},
		{"a container's agent", func(url string) map[string]string {
			return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/agent", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "shown"}
		}, "of-the-container", ""},
		{"a container's agent, with a token in a file", func(url string) map[string]string {
			return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/agent", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file("shown\n")}
		}, "of-the-container", ""},
		{"an agent that refuses", func(url string) map[string]string {
			return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/agent"}
		}, "", "status 401"},
		{"an agent elsewhere", func(string) map[string]string {
			return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/agent"}
		}, "", "neither https nor"},
		{"an instance's role", func(string) map[string]string { return nil }, "of-the-instance", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, _ := metadataService(t)
			environment := c.environment(server.URL)
			own := NewOwn(OwnConfig{
				Region: "us-east-1", STSEndpoint: server.URL, MetadataEndpoint: server.URL, HTTPClient: server.Client(),
				Environment: func(name string) string { return environment[name] },
			})
			defer own.Close()
			got, err := own.Credentials(t.Context())
			switch {
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v, want an error with %q", err, c.fails)
			case c.fails == "" && (err != nil || got.AccessKeyID != c.want):
				t.Errorf("%q, %v; want %q", got.AccessKeyID, err, c.want)
			}
		})
	}
}

func TestNoOwnCredentialsSayWhatToDo(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	own := NewOwn(OwnConfig{MetadataEndpoint: server.URL, HTTPClient: server.Client(), Environment: func(string) string { return "" }})
	defer own.Close()
	if _, err := own.Credentials(t.Context()); err == nil || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID") {
		t.Errorf("%v, want a remedy", err)
	}
}

func TestOwnCredentialsAreKept(t *testing.T) {
	t.Parallel()
	server, asked := metadataService(t)
	own := NewOwn(OwnConfig{MetadataEndpoint: server.URL, HTTPClient: server.Client(), Environment: func(string) string { return "" }})
	defer own.Close()
	for range 3 {
		if _, err := own.Credentials(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if len(*asked) != 3 {
		t.Errorf("asked %q, want each question once", *asked)
	}
}
