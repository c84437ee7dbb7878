package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

// withProfile gives a command --profile.
func withProfile(command *cobra.Command) *string {
	var profile string
	command.Flags().StringVarP(&profile, "profile", "p", cmp.Or(os.Getenv("SHIFTGRANT_PROFILE"), "default"), "`name` of the login to use, if not in $SHIFTGRANT_PROFILE")
	completeProfiles(command)
	return &profile
}

// openShelf finds where this person's logins are kept.
func openShelf() (*login.Shelf, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return nil, fmt.Errorf("find the folder for logins: %w", err)
	}
	shelf := &login.Shelf{Folder: filepath.Join(folder, "shiftgrant", "logins")}
	if os.Getenv("SHIFTGRANT_KEYRING") != "off" {
		shelf.Keyring = login.SystemKeyring()
	}
	return shelf, nil
}

// openSession finds a login that a command is to use.
func openSession(profile string) (*login.Session, error) {
	shelf, err := openShelf()
	if err != nil {
		return nil, err
	}
	session := &login.Session{Shelf: shelf, Now: time.Now, HTTP: gatewayHTTP()}
	if err := session.Open(profile); err != nil {
		if errors.Is(err, login.ErrNone) {
			return nil, &signedOutError{profile: profile}
		}
		return nil, err
	}
	session.Issuer, err = commandLineClient(session.Login().Gateway, nil, "", nil)
	return session, err
}

// gatewayHTTP has no timeout of its own: a statement may take as long as it takes, and whoever
// waits can press Ctrl-C.
func gatewayHTTP() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// commandLineClient is the built-in app at one gateway.
func commandLineClient(issuer string, scopes []string, redirect string, more func(*connect.Config)) (*connect.Client, error) {
	key := make([]byte, 32)
	rand.Read(key) // for the few minutes of a sign-in; never fails since Go 1.24
	config := connect.Config{
		Issuer: issuer, ClientID: gateway.CommandLineApp, RedirectURL: cmp.Or(redirect, gateway.CommandLineRedirect), Scopes: scopes,
		Key: key, CookiePrefix: "shiftgrant_cli", AfterLogin: "/done", SessionLifetime: time.Minute,
	}
	if more != nil {
		more(&config)
	}
	client, err := connect.New(config)
	if err != nil {
		return nil, fmt.Errorf("%w; give the gateway's URL as it is in its configuration, such as https://grants.example.com", err)
	}
	return client, nil
}

// signedOutError says that a person has to sign in (again).
type signedOutError struct {
	profile string
	again   string // the command that does it; "" where nobody was signed in
}

func (e *signedOutError) Error() string {
	if e.again != "" {
		return "the connection has ended: it was revoked, or has expired; sign in again: " + e.again
	}
	return fmt.Sprintf("nobody is signed in as profile %s; sign in: shiftgrant login GATEWAY_URL%s", e.profile, profileOption(e.profile))
}

// loginCommand is how to sign in again for what a login may do, and for more scopes.
func loginCommand(l login.Login, more ...string) string {
	command := "shiftgrant login " + l.Gateway
	scopes := grant.Scopes(slices.Concat(l.Scopes, more))
	if scopes.Has(grant.ScopeWrite) {
		command += " --write"
	}
	if scopes.Has(grant.ScopeCredentials) {
		command += " --credentials"
	}
	return command + profileOption(l.Profile)
}

func profileOption(profile string) string {
	if profile == "default" {
		return ""
	}
	return " --profile " + profile
}

// explainSignedOut turns what a session says into what a person can do.
func explainSignedOut(session *login.Session, err error) error {
	if errors.Is(err, connect.ErrSignedOut) || errors.Is(err, login.ErrNone) {
		return &signedOutError{profile: session.Login().Profile, again: loginCommand(session.Login())}
	}
	return err
}

// call asks the gateway as the person, and makes an error of an answer that is none.
func call(ctx context.Context, session *login.Session, request login.Request) (*http.Response, error) {
	response, err := session.Do(ctx, request)
	if err != nil {
		return nil, explainSignedOut(session, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	problem := connect.ReadProblem(response)
	return nil, errors.Join(problem, response.Body.Close())
}

// place is where tokens are kept, in words.
func place(keptIn string) string {
	if keptIn == login.InFile {
		return "a file that only you can read"
	}
	return "the " + keptIn
}
