package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/admin"
)

func newKeys() *cobra.Command {
	command := &cobra.Command{
		Use:   "keys",
		Short: "List and rotate the gateway's own keys while it serves",
	}
	client := overSocket(command)
	command.AddCommand(newKeysList(client), newKeysRotate(client))
	return command
}

func newKeysList(client func() *admin.Client) *cobra.Command {
	var out *output
	command := &cobra.Command{
		Use:     "list",
		Short:   "List the versions that there are, without showing any key",
		Example: "  shiftgrant keys list\n  shiftgrant keys list --json",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			keys, err := client().Keys(command.Context())
			if err != nil {
				return err
			}
			return table(out, command, keys, "KIND\tID\tIN USE\tFROM", func(w io.Writer, key admin.Key) {
				use, from := "", "-"
				if key.InUse {
					use = "yes"
				}
				if !key.From.IsZero() {
					from = key.From.Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", key.Kind, key.ID, use, from)
			})
		},
	}
	out = withJSON(command)
	return command
}

func newKeysRotate(client func() *admin.Client) *cobra.Command {
	var issuer bool
	var after time.Duration
	command := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new version of the sealing key, or of the signing key with --issuer",
		Long: `Make a new version of the key that seals what is stored. It is used at once; what earlier versions
sealed still opens, and upstream tokens are sealed again in the background. Keep a copy of the
key file afterwards.

With --issuer, make a new key that signs assertions and ID tokens. AWS and apps keep the key set that
they fetched for hours, so it is published now and signs later. Each tenant (--tenant) has signing keys
of its own; the sealing key is one for all.`,
		Example: "  shiftgrant keys rotate\n  shiftgrant keys rotate --issuer --after 48h\n  shiftgrant keys rotate --issuer --tenant acme",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if after < 0 {
				return usage(command, "--after: give a time from now on, such as 24h")
			}
			kind := "seal"
			if issuer {
				kind = "issuer"
			} else {
				after = 0
			}
			key, err := client().RotateKey(command.Context(), kind, after)
			if err != nil {
				return err
			}
			if key.InUse {
				fmt.Fprintf(command.OutOrStdout(), "new %s key %s, in use\n", key.Kind, key.ID)
				return nil
			}
			fmt.Fprintf(command.OutOrStdout(), "new %s key %s, published now, in use from %s\n", key.Kind, key.ID, key.From.Format(time.RFC3339))
			return nil
		},
	}
	command.Flags().BoolVar(&issuer, "issuer", false, "the signing key in place of the sealing key")
	command.Flags().DurationVar(&after, "after", 24*time.Hour, "how long a signing key is published before it signs")
	return command
}
