package twintest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// A test of a program that uses Redshift: it is told where AWS is, logs in with the password that
// the secret holds, and is refused when the account says no.
func Example() {
	_ = func(t *testing.T) {
		aws := twintest.Start(t, twin.Config{Issuer: "http://localhost:7420"})

		// Give your program these as endpoints: AWS_ENDPOINT_URL, --endpoint-url, or BaseEndpoint.
		fmt.Println(aws.URL(), aws.WireAddress(), twin.GatewayKeys().AccessKeyID)

		// Have the account refuse something, and see what your program does.
		aws.Secrets.Script.Refuse("GetSecretValue", script.AccessDenied)
	}
}

// The twin can also be started without a test, by a program that plays with it.
func Example_withoutATest() {
	played, err := twin.Start(context.Background(), twin.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer played.Close()
	_ = played.URL()
}

func TestStartNeedsNothing(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t)
	response, err := http.Get(played.URL() + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.Contains(string(played.Authority()), "BEGIN CERTIFICATE") {
		t.Errorf("the certificate: %d", response.StatusCode)
	}
	host, port, _ := strings.Cut(played.WireAddress(), ":")
	_, err = pgconn.Connect(t.Context(), "host="+host+" port="+port+" sslmode=disable user=x dbname=dev")
	if err == nil || !strings.Contains(err.Error(), "SSL off") {
		t.Errorf("without TLS: %v", err)
	}
}
