package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect"
)

func newToken() *cobra.Command {
	var forRedshift, refresh bool
	command := &cobra.Command{
		Use:   "token",
		Short: "Print an access token for the SQL API, good for a minute at least",
		Long: `Print an access token for the SQL API, refreshed if need be. It is a password for as long as it
lives: give it to programs by a pipe or a variable, not on a command line that others can see.

With --redshift it is a token for the warehouse itself, where people are known by IAM Identity Center:
what Amazon's drivers (JDBC, ODBC, Python) take as token, with --json the token_type too. It says
until when it is good, and whether for one connection. The login has to be one with --credentials.`,
		Example: `  curl https://grants.example.com/v1/query -H @<(echo "Authorization: Bearer $(shiftgrant token)") \
       -H 'Content-Type: application/sql' --data-binary 'select current_user'
  shiftgrant token --json
  shiftgrant token --redshift --json`,
		Args: noArguments,
	}
	profile, out := withProfile(command), withJSON(command)
	command.Flags().BoolVar(&refresh, "refresh", false, "a new one, although that which there is may be good")
	command.Flags().BoolVar(&forRedshift, "redshift", false, "a token of IAM Identity Center for the warehouse itself")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if forRedshift {
			return showRedshiftToken(command, *profile, out)
		}
		return showAccessToken(command, *profile, refresh, out)
	}
	return command
}

func showAccessToken(command *cobra.Command, profile string, refresh bool, out *output) error {
	session, err := openSession(profile)
	if err != nil {
		return err
	}
	get := session.Token
	if refresh {
		get = func(ctx context.Context) (connect.Tokens, error) {
			return session.Renew(ctx, session.Login().Tokens.Access)
		}
	}
	tokens, err := get(command.Context())
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

func showRedshiftToken(command *cobra.Command, profile string, out *output) error {
	database, err := takeDatabaseLogin(command.Context(), profile)
	if err != nil {
		return err
	}
	if database.Token == "" {
		return errors.New("this warehouse takes a password, not a token: use `shiftgrant exec` or `shiftgrant pgpass`")
	}
	if database.SingleUse && isTerminal(command.OutOrStdout()) {
		fmt.Fprintf(command.ErrOrStderr(), "Good for one connection, until %s.\n", database.ExpiresAt.Local().Format("15:04:05"))
	}
	return out.show(command, database, func(w io.Writer) { fmt.Fprintln(w, database.Token) })
}
