package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/admin"
)

func newApps() *cobra.Command {
	command := &cobra.Command{
		Use:   "apps",
		Short: "Register apps at the running gateway",
		Long: `Register apps at the running gateway, through the admin socket in its data folder.
Apps of the configuration file are listed too, but changed there.`,
	}
	client := overSocket(command)
	command.AddCommand(newAppsAdd(client), newAppsList(client), newAppsRemove(client), newAppsRotate(client))
	return command
}

func newAppsAdd(client func() *admin.Client) *cobra.Command {
	var app admin.App
	var public bool
	var out *output
	command := &cobra.Command{
		Use:   "add ID --redirect URI…",
		Short: "Register an app and show its client secret, this one time",
		Example: `  shiftgrant apps add stargazer --name Stargazer --redirect https://stargazer.example/callback
  shiftgrant apps add notebook --public --redirect http://127.0.0.1/callback`,
		Args: oneArgument("ID"),
		RunE: func(command *cobra.Command, args []string) error {
			if len(app.RedirectURIs) == 0 {
				return usage(command, "give at least one --redirect")
			}
			app.ID, app.Type = args[0], "confidential"
			if public {
				app.Type = "public"
			}
			registered, err := client().AddApp(command.Context(), app)
			if err != nil {
				return err
			}
			return showRegistered(out, command, registered)
		},
	}
	out = withJSON(command)
	flags := command.Flags()
	flags.StringVar(&app.Name, "name", "", "name that people see at consent (default: the id)")
	flags.StringVar(&app.Homepage, "homepage", "", "the app's own `URL`, shown at consent")
	flags.BoolVar(&public, "public", false, "the app cannot keep a secret: browser, desktop, command line")
	flags.StringArrayVar(&app.RedirectURIs, "redirect", nil, "redirect `URI`, matched exactly; give it again for more")
	flags.StringArrayVar(&app.Scopes, "scope", nil, "a `scope` the app may ask for; give it again for more (default: all)")
	return command
}

func newAppsList(client func() *admin.Client) *cobra.Command {
	var out *output
	command := &cobra.Command{
		Use:     "list",
		Short:   "List the apps",
		Example: "  shiftgrant apps list\n  shiftgrant apps list --json",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			apps, err := client().Apps(command.Context())
			if err != nil {
				return err
			}
			return table(out, command, apps, "ID\tNAME\tTYPE\tFROM\tSECRETS\tREDIRECT URIS", func(w io.Writer, app admin.App) {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", app.ID, app.Name, app.Type, app.Origin, secretDates(app), strings.Join(app.RedirectURIs, " "))
			})
		},
	}
	out = withJSON(command)
	return command
}

func newAppsRemove(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{
		Use:     "remove ID",
		Short:   "Remove an app and revoke all its grants",
		Example: "  shiftgrant apps remove stargazer",
		Args:    oneArgument("ID"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := client().RemoveApp(command.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "removed %s and revoked its grants\n", args[0])
			return nil
		},
	}
}

func newAppsRotate(client func() *admin.Client) *cobra.Command {
	var out *output
	command := &cobra.Command{
		Use:     "rotate-secret ID",
		Short:   "Give an app a new client secret; the one before it stays good until the next rotation",
		Example: "  shiftgrant apps rotate-secret stargazer\n  shiftgrant apps rotate-secret stargazer --json",
		Args:    oneArgument("ID"),
		RunE: func(command *cobra.Command, args []string) error {
			registered, err := client().RotateSecret(command.Context(), args[0])
			if err != nil {
				return err
			}
			return showRegistered(out, command, registered)
		},
	}
	out = withJSON(command)
	return command
}

func showRegistered(out *output, command *cobra.Command, registered admin.Registered) error {
	return out.show(command, registered, func(w io.Writer) {
		fmt.Fprintf(w, "client_id      %s\n", registered.App.ID)
		if registered.Secret != "" {
			fmt.Fprintf(w, "client_secret  %s\n", registered.Secret)
			fmt.Fprintln(w, "\nKeep the secret now: it is stored as a hash and cannot be shown again.")
		}
	})
}

func secretDates(app admin.App) string {
	if len(app.Secrets) == 0 {
		return "-"
	}
	var dates []string
	for _, s := range app.Secrets {
		dates = append(dates, s.CreatedAt.Format(time.DateOnly))
	}
	return strings.Join(dates, ",")
}
