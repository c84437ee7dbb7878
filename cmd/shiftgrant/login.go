package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

type loginOptions struct {
	profile   *string
	gateway   string
	warehouse string
	write     bool
	outside   bool
	noBrowser bool
}

func newLogin() *cobra.Command {
	var options loginOptions
	command := &cobra.Command{
		Use:   "login GATEWAY_URL",
		Short: "Sign in at a gateway, to query as yourself",
		Long: `Sign in at a gateway: a browser opens, you sign in where your organization has you sign in, and
say yes to what this command may do for you. The login is kept in the keyring of the operating
system, or in a file that only you can read where there is none, until you log out.

Where no browser can be opened on this machine, --no-browser shows a code to enter on another.
A profile is a login with a name: have several for several gateways or warehouses.`,
		Example: `  shiftgrant login https://grants.example.com
  shiftgrant login https://grants.example.com --warehouse sales --write --profile sales
  shiftgrant login https://grants.example.com --no-browser`,
		Args: oneArgument("GATEWAY_URL"),
		RunE: func(command *cobra.Command, args []string) error {
			options.gateway = strings.TrimSuffix(args[0], "/")
			return runLogin(command, options)
		},
	}
	options.profile = withProfile(command)
	flags := command.Flags()
	flags.StringVar(&options.warehouse, "warehouse", "", "`name` of the warehouse (default: the only one)")
	flags.BoolVar(&options.write, "write", false, "ask for the right to change data, too")
	flags.BoolVar(&options.outside, "credentials", false, "ask for temporary passwords and AWS keys, for exec, pgpass and credential-process")
	flags.BoolVar(&options.noBrowser, "no-browser", false, "show a code to enter in a browser on another device")
	completeWarehousesOf(command)
	return command
}

func runLogin(command *cobra.Command, options loginOptions) error {
	if err := login.CheckProfile(*options.profile); err != nil {
		return usage(command, "--profile: "+err.Error())
	}
	if u, err := url.Parse(options.gateway); err != nil || u.Host == "" {
		return usage(command, "GATEWAY_URL: give it complete, such as https://grants.example.com")
	}
	ctx, messages := command.Context(), command.ErrOrStderr()
	scopes, err := options.scopes(ctx)
	if err != nil {
		return err
	}
	sign := signInByBrowser
	if options.noBrowser {
		sign = signInByDevice
	}
	signedIn, err := sign(ctx, options.gateway, scopes, messages)
	if err != nil {
		return err
	}
	kept, err := keepLogin(ctx, options, scopes, signedIn)
	if err != nil {
		return err
	}
	fmt.Fprintf(messages, "Signed in as %s%s. The login is kept in %s until `shiftgrant logout`.\n", printable(cmp.Or(kept.Name, kept.Subject)), inWarehouse(kept.Warehouse), place(kept.KeptIn))
	return nil
}

func inWarehouse(name string) string {
	if name == "" {
		return ""
	}
	return ", for the warehouse " + printable(name)
}

// signedIn is what a sign-in gave.
type signedIn struct {
	identity connect.Identity
	tokens   connect.Tokens
}

// scopes are what the command asks for. The gateway says which warehouses there are, so that a
// person hears of a missing name here and not from a page in the browser.
func (o *loginOptions) scopes(ctx context.Context) ([]string, error) {
	names, known, err := warehousesOf(ctx, o.gateway)
	if err != nil {
		return nil, err
	}
	if o.warehouse == "" && len(names) == 1 {
		o.warehouse = names[0]
	}
	switch {
	case o.warehouse == "" && len(names) > 1:
		return nil, fmt.Errorf("the gateway has several warehouses: choose one with --warehouse (%s)", strings.Join(names, ", "))
	case o.warehouse != "" && !slices.Contains(names, o.warehouse):
		return nil, fmt.Errorf("the gateway has no warehouse %q; it has: %s", o.warehouse, strings.Join(names, ", "))
	}
	scopes := []string{grant.ScopeOpenID, grant.ScopeProfile, grant.ScopeEmail, grant.ScopeOffline, grant.ScopeRead}
	if o.write {
		scopes = append(scopes, grant.ScopeWrite)
	}
	if o.outside && !slices.Contains(known, grant.ScopeCredentials) {
		return nil, errors.New("the gateway gives no credentials: its operator can allow it for a warehouse (credentials in the configuration)")
	}
	if o.outside {
		scopes = append(scopes, grant.ScopeCredentials)
	}
	return append(scopes, grant.WarehouseScope(o.warehouse)), nil
}

// warehousesOf asks a gateway for the names of its warehouses, and for all scopes it knows.
func warehousesOf(ctx context.Context, gateway string) (names, scopes []string, err error) {
	client, err := commandLineClient(strings.TrimSuffix(gateway, "/"), nil, "", nil)
	if err != nil {
		return nil, nil, err
	}
	known, err := client.ScopesSupported(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("no gateway answers at %s (%w): see that the address is right, and that you can reach it", gateway, err)
	}
	return grant.Scopes(known).Warehouses(), known, nil
}

// keepLogin keeps a login, and ends the one that was kept under the same name.
func keepLogin(ctx context.Context, options loginOptions, scopes []string, in signedIn) (login.Login, error) {
	shelf, err := openShelf()
	if err != nil {
		return login.Login{}, err
	}
	unlock, err := shelf.Lock(ctx, *options.profile)
	if err != nil {
		return login.Login{}, err
	}
	defer unlock()
	before, beforeErr := shelf.Load(*options.profile)
	who := in.identity
	kept, err := shelf.Put(login.Login{
		Profile: *options.profile, Gateway: options.gateway, Warehouse: grant.Scopes(scopes).Warehouses()[0], Scopes: scopes,
		Subject: who.Subject, Name: who.Name, Email: who.Email, Username: who.Username,
		CreatedAt: time.Now().UTC().Truncate(time.Second), Tokens: in.tokens,
	})
	if err != nil || beforeErr != nil {
		return kept, err
	}
	// Nobody can use what is no longer kept. A gateway that does not answer ends it by itself.
	if client, err := commandLineClient(before.Gateway, nil, "", nil); err == nil {
		_ = client.Revoke(ctx, before.Tokens)
	}
	return kept, nil
}

// printable shows text of somebody else on a terminal, where it must not give orders.
func printable(text string) string { return strings.Map(printableCharacter, text) }

// printableLines is for text of several lines, such as an error: parts of it are Redshift's words, which
// quote what somebody put into a table.
func printableLines(text string) string { return strings.Map(printableInLines, text) }

func printableInLines(r rune) rune {
	if r == '\n' || r == '\t' {
		return r
	}
	return printableCharacter(r)
}

func printableCharacter(r rune) rune {
	if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
		return '�'
	}
	return r
}
