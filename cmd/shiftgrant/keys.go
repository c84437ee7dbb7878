package main

import (
	"cmp"
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
		Use:   "list",
		Short: "List the versions that there are, without showing any key",
		Long: `List the versions of the sealing key, and the signing keys with where they are in their lives:

  published  its time has not come, and AWS and apps can know it already
  signs      signs assertions and ID tokens
  verifies   signs no more; published until what it signed has expired
  over       not published any more; its file, or the key in AWS KMS, may be deleted`,
		Example: "  shiftgrant keys list\n  shiftgrant keys list --json",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			keys, err := client().Keys(command.Context())
			if err != nil {
				return err
			}
			return table(out, command, keys, "KIND\tID\tIN USE\tSTATE\tFROM\tPUBLISHED UNTIL\tKEPT IN", func(w io.Writer, key admin.Key) {
				use := ""
				if key.InUse {
					use = "yes"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", key.Kind, cmp.Or(key.ID, "-"), use, cmp.Or(key.State, "-"), when(key.From), when(key.Until), cmp.Or(key.Place, "-"))
			})
		},
	}
	out = withJSON(command)
	return command
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
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
of its own; the sealing key is one for all. Keys in AWS KMS are made there, and added to issuer_kms in
the configuration.`,
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
			if issuer && after < 24*time.Hour {
				fmt.Fprintln(command.ErrOrStderr(), "AWS and apps may not have read the new key by then, and refuse what it signs for up to a day")
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
