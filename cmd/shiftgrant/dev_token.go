package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

// The public app that `shiftgrant dev` registers for curl and scripts.
const (
	demoClient   = "cli-demo"
	demoRedirect = "http://127.0.0.1/callback"
	demoScopes   = "sql:read warehouse:tickit"
)

func newDevToken() *cobra.Command {
	var gateway, scopes string
	command := &cobra.Command{
		Use:   "token PERSON",
		Short: "Walk through the flow as a person of the twin and print an access token",
		Long: `Walk through the flow as a person of the twin (alice, bob or admin) and print the
access token. It does what a browser does: sign in at the twin's IdP, press Allow on the
consent page; then what an app does: exchange the code.`,
		Example: `  export TOKEN=$(shiftgrant dev token alice)
  curl http://localhost:7420/v1/query -H "Authorization: Bearer $TOKEN" \
       -H 'Content-Type: application/json' -d '{"query": "select current_user"}'`,
		Args: oneArgument("PERSON"),
		RunE: func(command *cobra.Command, args []string) error {
			token, err := obtainToken(command.Context(), gateway, args[0], scopes)
			if err != nil {
				return err
			}
			fmt.Fprintln(command.OutOrStdout(), token)
			return nil
		},
	}
	command.Flags().StringVar(&gateway, "gateway", cmp.Or(os.Getenv("SHIFTGRANT_GATEWAY"), fmt.Sprintf("http://localhost:%d", devPort)),
		"`URL` of the gateway that dev started, if not in $SHIFTGRANT_GATEWAY")
	command.Flags().StringVar(&scopes, "scope", demoScopes, "scopes to ask for")
	return command
}

// obtainToken is the authorization code flow of a public app (RFC 6749 §4.1 with RFC 7636).
func obtainToken(ctx context.Context, gateway, name, scopes string) (string, error) {
	client := oauth2.Config{
		ClientID:    demoClient,
		RedirectURL: demoRedirect,
		Scopes:      []string{scopes},
		Endpoint:    oauth2.Endpoint{AuthURL: gateway + "/oauth2/authorize", TokenURL: gateway + "/oauth2/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	callback, err := person.New(name, twin.Password).Authorize(ctx, client.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		return "", fmt.Errorf("get a token for %s: %w", name, err)
	}
	answer := callback.Query()
	switch {
	case answer.Get("state") != state:
		return "", errors.New("get a token: the answer has another state than the request")
	case answer.Get("iss") != gateway:
		return "", errors.New("get a token: the answer comes from another issuer")
	case answer.Get("error") != "":
		return "", fmt.Errorf("get a token for %s: %s: %s", name, answer.Get("error"), answer.Get("error_description"))
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: 30 * time.Second})
	token, err := client.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return "", fmt.Errorf("get a token for %s: %w", name, err)
	}
	return token.AccessToken, nil
}
