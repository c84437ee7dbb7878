package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func newToken() *cobra.Command {
	command := &cobra.Command{
		Use:   "token",
		Short: "Print an access token for the SQL API, good for a minute at least",
		Long: `Print an access token for the SQL API, refreshed if need be. It is a password for as long as it
lives: give it to programs by a pipe or a variable, not on a command line that others can see.`,
		Example: `  curl https://grants.example.com/v1/query -H @<(echo "Authorization: Bearer $(shiftgrant token)") \
       -H 'Content-Type: application/sql' --data-binary 'select current_user'
  shiftgrant token --json`,
		Args: noArguments,
	}
	profile, out := withProfile(command), withJSON(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		session, err := openSession(*profile)
		if err != nil {
			return err
		}
		tokens, err := session.Token(command.Context())
		if err != nil {
			return explainSignedOut(session, err)
		}
		document := struct {
			AccessToken string    `json:"access_token"`
			TokenType   string    `json:"token_type"`
			ExpiresAt   time.Time `json:"expires_at"`
			Gateway     string    `json:"gateway"`
		}{tokens.Access, "Bearer", tokens.Expires.UTC(), session.Login().Gateway}
		return out.show(command, document, func(w io.Writer) { fmt.Fprintln(w, tokens.Access) })
	}
	return command
}
