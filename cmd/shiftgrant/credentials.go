package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

// awsKeys and databaseLogin are what the gateway gives.
type awsKeys struct {
	Region          string    `json:"region"`
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token"`
	ExpiresAt       time.Time `json:"expires_at"`
}

// A databaseLogin has a user and a password, or a token.
type databaseLogin struct {
	Host      string    `json:"host"`
	Port      int       `json:"port"`
	Database  string    `json:"database"`
	User      string    `json:"user,omitempty"`
	Password  string    `json:"password,omitempty"`
	Token     string    `json:"token,omitempty"`
	TokenType string    `json:"token_type,omitempty"`
	Provider  string    `json:"identity_provider,omitempty"`
	Namespace string    `json:"identity_namespace,omitempty"`
	SingleUse bool      `json:"single_use,omitempty"`
	Authority string    `json:"certificate_authority,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// takeCredentials asks the gateway for temporary credentials of one kind.
func takeCredentials(ctx context.Context, profile, kind string, into any) error {
	session, err := openSession(profile)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"kind": kind})
	if err != nil {
		return err
	}
	response, err := call(ctx, session, login.Request{Method: http.MethodPost, Path: "/v1/credentials", Accept: "application/json", Body: body})
	if err != nil {
		return explainCredentials(session, err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("read the credentials: %w", err)
	}
	return nil
}

// takeDatabaseLogin asks for what opens the warehouse's port.
func takeDatabaseLogin(ctx context.Context, profile string) (databaseLogin, error) {
	var database databaseLogin
	err := takeCredentials(ctx, profile, "database", &database)
	if err == nil {
		err = database.check()
	}
	return database, err
}

// check refuses what would be more than one line of a password file, or more than text on a terminal.
func (d databaseLogin) check() error {
	for _, text := range []string{d.Host, d.Database, d.User, d.Password, d.Token, d.TokenType, d.Namespace} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return errors.New("read the credentials: there are control characters in them: is this the gateway?")
		}
	}
	return nil
}

// explainCredentials says how to ask for what this login was not given.
func explainCredentials(session *login.Session, err error) error {
	var problem *connect.APIError
	l := session.Login()
	if errors.As(err, &problem) && problem.Status == http.StatusForbidden && !grant.Scopes(l.Scopes).Has(grant.ScopeCredentials) {
		return fmt.Errorf("this login may not take credentials out: sign in again with %s", loginCommand(l, grant.ScopeCredentials))
	}
	return err
}

func newCredentialProcess() *cobra.Command {
	command := &cobra.Command{
		Use:   "credential-process",
		Short: "Print temporary AWS credentials of yours, for AWS tools to call",
		Long: `Print temporary AWS credentials of yours in the form that AWS tools read from a credential_process.
They are for 15 minutes, and do what your role in the warehouse's account may do. The gateway has to
give them for the warehouse, and the login has to be one with --credentials.`,
		Example: `  # in ~/.aws/config
  [profile sales]
  region = eu-central-1
  credential_process = shiftgrant credential-process --profile sales`,
		Args: noArguments,
	}
	profile := withProfile(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		var keys awsKeys
		if err := takeCredentials(command.Context(), *profile, "aws", &keys); err != nil {
			return err
		}
		encoder := json.NewEncoder(command.OutOrStdout())
		encoder.SetEscapeHTML(false)
		return encoder.Encode(struct {
			Version         int
			AccessKeyID     string `json:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      time.Time
		}{1, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.ExpiresAt})
	}
	return command
}
